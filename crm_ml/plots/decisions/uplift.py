"""Whom an offer moves, and what plans brought: Qini curves, calibrated uplift, values of policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crm_ml.decisions.uplift.calibration import effect_groups
from crm_ml.decisions.uplift.qini import qini_curve
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    HEIGHT_INCHES,
    INK,
    MUTED,
    dress,
    figure_of,
    key_above,
    key_height_inches,
    marks,
    new_axes,
    number_axis,
    require_columns,
)

__all__ = ["PolicyValueDisplay", "QiniDisplay", "UpliftCalibrationDisplay"]

DOTTED = (0, (1, 2))
RANDOM = "at random"


class QiniDisplay(Display):
    """Gain per customer from treating the share ranked first, against treating as many at random.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per ranking and point, such as `crm_ml.decisions.uplift.qini_curve` returns: `contacted_share` in
        [0, 1], ascending, `gain` with `lower` and `upper`, and `at_random`, in the unit of the outcome; with several
        rankings also `ranking` (name).
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> display = QiniDisplay.from_predictions([2, 2, 1, 1], treated=[1, 0, 1, 0], outcome=[5, 1, 0, 0], points=3)
    >>> display.data["gain"].tolist()
    [0.0, 2.0, 2.0]
    >>> display.plot().ax_.get_ylabel()
    'gain per customer'
    """

    def __init__(self, data: pd.DataFrame, *, currency: str = "") -> None:
        require_columns(data, ("contacted_share", "gain", "lower", "upper", "at_random"), what="Qini curves")
        self.data = data
        self.currency = currency

    @classmethod
    def from_predictions(
        cls,
        score: npt.ArrayLike | Mapping[str, npt.ArrayLike],
        *,
        treated: npt.ArrayLike,
        outcome: npt.ArrayLike,
        propensity: float | None = None,
        fold: npt.ArrayLike | None = None,
        points: int = 101,
        level: float = 0.90,
        currency: str = "",
    ) -> Self:
        """Return the display of one ranking or of several by name; see `crm_ml.decisions.uplift.qini_curve`."""
        named = score if isinstance(score, Mapping) else {"uplift": score}
        settings = {"propensity": propensity, "fold": fold, "points": points, "level": level}
        curves = [
            qini_curve(values, treated=treated, outcome=outcome, **settings).assign(ranking=name)  # type: ignore[arg-type]
            for name, values in named.items()
        ]
        return cls(pd.concat(curves, ignore_index=True), currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one line per ranking with its band, and the line of treating at random."""
        rankings = _by_name(self.data, "ranking", alone="uplift")
        if ax is None:
            ax = new_axes(height_inches=HEIGHT_INCHES + key_height_inches([*rankings, RANDOM]))
        first = next(iter(rankings.values()))
        ends = first["contacted_share"].to_numpy(), first["at_random"].to_numpy()
        ax.plot(*ends, color=MUTED, linewidth=1, linestyle=DOTTED, label=RANDOM)
        ax.axhline(0, color=INK, linewidth=0.8)
        for (name, curve), mark in zip(rankings.items(), marks(rankings).values(), strict=True):
            share, gain = curve["contacted_share"].to_numpy(), curve["gain"].to_numpy()
            bounds = curve["lower"].to_numpy(), curve["upper"].to_numpy()
            ax.fill_between(share, *bounds, color=mark.colour, alpha=0.13, linewidth=0)
            line = {"color": mark.colour, "linestyle": mark.linestyle, "linewidth": mark.linewidth}
            ax.plot(share, gain, marker=mark.marker, markersize=4, markevery=0.12, label=name, **line)
        ax.set(xlim=(0, 1), xlabel="customers contacted, highest score first", ylabel="gain per customer")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.yaxis.set_major_locator(MaxNLocator(6))
        ax.yaxis.set_major_formatter(number_axis(self.currency))
        key_above(ax)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class UpliftCalibrationDisplay(Display):
    """Predicted effect against the effect estimated from the experiment, group by group.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per group, such as `crm_ml.decisions.uplift.effect_groups` returns: `predicted`, and `estimated` with
        `lower` and `upper`, in the unit of the outcome; with several arms also `arm` (name).
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> groups = pd.DataFrame({"predicted": [0.2, 1.1], "estimated": [0.3, 1.0], "lower": [-0.1, 0.6],
    ...                        "upper": [0.7, 1.4]})
    >>> UpliftCalibrationDisplay(groups).plot().ax_.get_xlabel()
    'predicted uplift'
    """

    def __init__(self, data: pd.DataFrame, *, currency: str = "") -> None:
        require_columns(data, ("predicted", "estimated", "lower", "upper"), what="groups by uplift")
        self.data = data
        self.currency = currency

    @classmethod
    def from_estimator(cls, model: Any, *, groups: int = 10, level: float = 0.90, currency: str = "") -> Self:
        """Return the display of a fitted `crm_ml.decisions.uplift.UpliftModel`, out of fold, arm by arm."""
        found = []
        for arm in model.arms_:
            column = f"uplift_{arm}"
            predicted = model.out_of_fold_[column].to_numpy()
            scores = model.effect_scores_[column].to_numpy()
            found.append(effect_groups(predicted, scores, groups=groups, level=level).assign(arm=arm))
        return cls(pd.concat(found, ignore_index=True), currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw each group with its interval, and the diagonal on which predictions are right."""
        arms = _by_name(self.data, "arm", alone="uplift")
        if ax is None:
            ax = new_axes(height_inches=HEIGHT_INCHES + key_height_inches(list(arms) if len(arms) > 1 else []))
        low = float(self.data["predicted"].min())
        ax.axline((low, low), slope=1, color=MUTED, linewidth=1, linestyle=DOTTED)
        ax.axhline(0, color=INK, linewidth=0.8)
        for (name, rows), mark in zip(arms.items(), marks(arms).values(), strict=True):
            estimated = rows["estimated"].to_numpy()
            ax.errorbar(
                rows["predicted"].to_numpy(),
                estimated,
                yerr=np.abs(np.vstack([rows["lower"], rows["upper"]]) - estimated),
                color=mark.colour,
                linestyle="none",
                marker=mark.marker,
                markersize=5,
                linewidth=1.2,
                capsize=2.5,
                label=name,
            )
        ax.margins(0.06)
        ax.set(xlabel="predicted uplift", ylabel="uplift in the experiment")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6))
            axis.set_major_formatter(number_axis(self.currency))
        if len(arms) > 1:
            key_above(ax)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class PolicyValueDisplay(Display):
    """What policies brought per customer, or how they differ from a reference, with intervals.

    Parameters
    ----------
    data : pandas.DataFrame
        `estimates` or `differences` of `crm_ml.decisions.uplift.PolicyValue`: indexed by policy and estimator,
        `value` or `difference` with `lower` and `upper`, in the unit of the outcome.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> rows = pd.MultiIndex.from_product([["nobody", "our plan"], ["doubly robust"]], names=["policy", "estimator"])
    >>> values = pd.DataFrame({"value": [0.6, 0.9], "lower": [0.4, 0.7], "upper": [0.8, 1.1]}, index=rows)
    >>> [label.get_text() for label in PolicyValueDisplay(values).plot().ax_.get_yticklabels()]
    ['nobody', 'our plan']
    """

    def __init__(self, data: pd.DataFrame, *, currency: str = "") -> None:
        self.shown = "difference" if "difference" in data.columns else "value"
        require_columns(data, (self.shown, "lower", "upper"), what="values of policies")
        require_columns(data.reset_index(), ("policy", "estimator"), what="values of policies")
        self.data = data
        self.currency = currency

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a row per policy with a mark and an interval per estimator, in the order of the frame."""
        rows = self.data.reset_index()
        policies, estimators = (list(dict.fromkeys(rows[name])) for name in ("policy", "estimator"))
        if ax is None:
            key_inches = key_height_inches([str(name) for name in estimators])
            ax = new_axes(height_inches=0.8 + key_inches + (0.16 + 0.17 * len(estimators)) * len(policies))
        for place, (estimator, mark) in enumerate(marks(estimators).items()):
            own = rows[rows["estimator"] == estimator]
            found = own[self.shown].to_numpy()
            ax.errorbar(
                found,
                [policies.index(name) + 0.24 * (place - (len(estimators) - 1) / 2) for name in own["policy"]],
                xerr=np.abs(np.vstack([own["lower"], own["upper"]]) - found),
                color=mark.colour,
                linestyle="none",
                marker=mark.marker,
                markersize=5,
                linewidth=1.4,
                capsize=2.5,
                label=str(estimator),
            )
        if self.shown == "difference":
            ax.axvline(0, color=INK, linewidth=0.8)
        ax.set_yticks(range(len(policies)), [str(name) for name in policies])
        ax.set(ylim=(len(policies) - 0.5, -0.5), xlabel=f"{self.shown} per customer")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(number_axis(self.currency))
        key_above(ax)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


def _by_name(data: pd.DataFrame, column: str, *, alone: str) -> dict[str, pd.DataFrame]:
    if column not in data:
        return {alone: data}
    return {str(name): rows for name, rows in data.groupby(column, sort=False)}
