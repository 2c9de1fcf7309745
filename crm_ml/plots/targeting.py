"""What contacting the right customers first is worth: gains, lift, profit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crm_ml.evaluation.campaigns.campaign import RetentionCampaign
from crm_ml.evaluation.campaigns.profit import best_depth, profit_curve
from crm_ml.evaluation.measures.curves import Predictions, by_predictor, gains_curve, lift_curve
from crm_ml.plots.display import Display
from crm_ml.plots.prediction import predict_panel
from crm_ml.plots.style import (
    HEIGHT_INCHES,
    INK,
    MUTED,
    PALE,
    dress,
    figure_of,
    key_above,
    key_height_inches,
    marks,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["GainsDisplay", "LiftDisplay", "ProfitDisplay"]

DOTTED = (0, (1, 2))
RANDOM = "at random"
BAND = "interval of the best depth"


class GainsDisplay(Display):
    """Share of churners reached when contacting the riskiest share of customers.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per predictor and point: `predictor` (name), `contacted_share` and `captured_share`, both in
        [0, 1], each predictor's points in ascending order of `contacted_share`.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> display = GainsDisplay.from_predictions([1, 0, 1, 0], {"recency": [0.9, 0.8, 0.7, 0.1]}, points=3)
    >>> display.data["captured_share"].tolist()
    [0.0, 0.5, 1.0]
    >>> display.plot().ax_.get_ylabel()
    'churners reached'
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("predictor", "contacted_share", "captured_share"), what="gains curves")
        self.data = data

    @classmethod
    def from_predictions(cls, churned: npt.ArrayLike, probability: Predictions, *, points: int = 101) -> Self:
        """Return the display of one predictor or of several by name; see `crm_ml.evaluation.gains_curve`."""
        return cls(by_predictor(lambda p: gains_curve(churned, p, points=points), probability))

    @classmethod
    def from_estimator(cls, model: Any, panel: pd.DataFrame, *, points: int = 101) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, on a panel with its features and `churned`."""
        predictions = predict_panel(model, panel)
        return cls.from_predictions(panel["churned"], predictions, points=points)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one line per predictor and the diagonal of contacting at random."""
        ax = _axes_for(self.data["predictor"], beside=RANDOM) if ax is None else ax
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DOTTED, label=RANDOM)
        _draw_curves(ax, self.data, "captured_share")
        ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="customers contacted, riskiest first")
        ax.set_ylabel("churners reached")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        _finish(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class LiftDisplay(Display):
    """How many times more churners are reached than at random when contacting the riskiest share of customers.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per predictor and point: `predictor` (name), `contacted_share` in (0, 1] and `lift`, each
        predictor's points in ascending order of `contacted_share`.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> display = LiftDisplay.from_predictions([1, 0, 1, 0], {"recency": [0.9, 0.8, 0.7, 0.1]}, points=4)
    >>> display.data["lift"].round(6).tolist()
    [2.0, 1.0, 1.333333, 1.0]
    >>> display.plot().ax_.get_ylabel()
    'times the churners at random'
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("predictor", "contacted_share", "lift"), what="lift curves")
        self.data = data

    @classmethod
    def from_predictions(cls, churned: npt.ArrayLike, probability: Predictions, *, points: int = 100) -> Self:
        """Return the display of one predictor or of several by name; see `crm_ml.evaluation.lift_curve`."""
        return cls(by_predictor(lambda p: lift_curve(churned, p, points=points), probability))

    @classmethod
    def from_estimator(cls, model: Any, panel: pd.DataFrame, *, points: int = 100) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, on a panel with its features and `churned`."""
        predictions = predict_panel(model, panel)
        return cls.from_predictions(panel["churned"], predictions, points=points)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one line per predictor and the level of contacting at random."""
        ax = _axes_for(self.data["predictor"], beside=RANDOM) if ax is None else ax
        ax.plot([0, 1], [1, 1], color=MUTED, linewidth=1, linestyle=DOTTED, label=RANDOM)
        _draw_curves(ax, self.data, "lift")
        ax.set(xlim=(0, 1), xlabel="customers contacted, riskiest first", ylabel="times the churners at random")
        ax.set_ylim(0, None)
        ax.yaxis.set_major_locator(MaxNLocator(6))
        _finish(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class ProfitDisplay(Display):
    """What a retention campaign brings in, by the share of customers it contacts.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per predictor and point: `predictor` (name), `contacted_share` in [0, 1] and `profit` (money),
        each predictor's points in ascending order of `contacted_share`.
    best : pandas.DataFrame, optional
        One row per predictor: `predictor`, the best `contacted_share` with its interval `share_lower` and
        `share_upper`, and the `profit` there.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> from crm_ml.evaluation import RetentionCampaign
    >>> campaign = RetentionCampaign(save_rate=0.5, incentive_cost=10, contact_cost=2)
    >>> display = ProfitDisplay.from_predictions(
    ...     [1, 1, 0, 0], {"churn model": [0.9, 0.8, 0.1, 0.1]}, value=100, campaign=campaign, currency="$"
    ... )
    >>> display.best[["contacted_share", "profit"]].to_dict("records")
    [{'contacted_share': 0.5, 'profit': 86.0}]
    >>> display.plot().ax_.get_legend().get_texts()[0].get_text()
    'churn model: best at 50%, $86'
    """

    def __init__(self, data: pd.DataFrame, best: pd.DataFrame | None = None, *, currency: str = "") -> None:
        require_columns(data, ("predictor", "contacted_share", "profit"), what="profit curves")
        if best is not None:
            columns = ("predictor", "contacted_share", "share_lower", "share_upper", "profit")
            require_columns(best, columns, what="best depths")
        self.data = data
        self.best = best
        self.currency = currency

    @classmethod
    def from_predictions(
        cls,
        churned: npt.ArrayLike | None,
        probability: Predictions,
        *,
        value: npt.ArrayLike,
        campaign: RetentionCampaign,
        level: float = 0.9,
        points: int = 101,
        seed: int = 0,
        currency: str = "",
    ) -> Self:
        """Return the display of one predictor or of several by name, each contacting the most profitable first.

        Parameters
        ----------
        churned : (n,) 1 or 0, or None where it is not known yet and the profit is the one to expect.
        probability : (n,) calibrated probability of churn, or several by name.
        value : (n,) each customer's own value, or one number for all; money.
        campaign : costs and save rate.
        level : of the interval of the best depth.
        points : of each curve; see `crm_ml.evaluation.profit_curve`.
        seed : of the interval's bootstrap; see `crm_ml.evaluation.best_depth`.
        currency : sign written before amounts.
        """

        def depth(p: npt.ArrayLike) -> pd.DataFrame:
            rng = np.random.default_rng(seed)
            found = best_depth(p, value, campaign=campaign, churned=churned, level=level, rng=rng)
            return pd.DataFrame([asdict(found)])

        curves = by_predictor(
            lambda p: profit_curve(p, value, campaign=campaign, churned=churned, points=points), probability
        )
        return cls(curves, by_predictor(depth, probability), currency=currency)

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        panel: pd.DataFrame,
        *,
        value: npt.ArrayLike,
        campaign: RetentionCampaign,
        level: float = 0.9,
        points: int = 101,
        seed: int = 0,
        currency: str = "",
    ) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, on a panel with its features and `churned`.

        `value` is in the order of the panel's rows; the other settings are those of `from_predictions`.
        """
        predictions = predict_panel(model, panel)
        return cls.from_predictions(
            panel["churned"],
            predictions,
            value=value,
            campaign=campaign,
            level=level,
            points=points,
            seed=seed,
            currency=currency,
        )

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one line per predictor, with its best depth marked and the interval of that as a pale band.

        The band of a single predictor is as high as the Axes, those of several lie at their highest profit.
        """
        labels = self._labels()
        ax = _axes_for(labels.values(), beside=BAND) if ax is None else ax
        ax.axhline(0, color=INK, linewidth=0.8)
        _draw_curves(ax, self.data, "profit", labels=labels)
        if self.best is not None:
            self._mark_best(ax, self.best)
        ax.set(xlim=(0, 1), xlabel="customers contacted, best first", ylabel="profit of the campaign")
        ax.margins(y=0.08)
        ax.yaxis.set_major_locator(MaxNLocator(6))
        ax.yaxis.set_major_formatter(number_axis(self.currency))
        _finish(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _labels(self) -> dict[object, str]:
        labels = {name: str(name) for name in self.data["predictor"].unique()}
        for row in [] if self.best is None else self.best.to_dict("records"):
            profit = short_number(row["profit"], prefix=self.currency)
            labels[row["predictor"]] = f"{row['predictor']}: best at {row['contacted_share']:.0%}, {profit}"
        return labels

    def _mark_best(self, ax: Axes, best: pd.DataFrame) -> None:
        given = marks(self.data["predictor"])
        alone = len(best) == 1
        for i, row in enumerate(best.to_dict("records")):
            lower, upper, label = row["share_lower"], row["share_upper"], BAND if i == 0 else ""
            if alone:
                ax.axvspan(lower, upper, color=PALE, alpha=0.5, linewidth=0, zorder=0, label=label)
            else:
                ax.hlines(row["profit"], lower, upper, color=PALE, linewidth=7, zorder=1, label=label)
            ax.plot(
                [row["contacted_share"]],
                [row["profit"]],
                linestyle="none",
                marker="*",
                markersize=12,
                color=given[row["predictor"]].colour,
                markeredgecolor="white",
                clip_on=False,
                zorder=4,
            )


def _axes_for(names: Iterable[object], *, beside: str) -> Axes:
    return new_axes(height_inches=HEIGHT_INCHES + key_height_inches([*dict.fromkeys(map(str, names)), beside]))


def _draw_curves(ax: Axes, data: pd.DataFrame, column: str, *, labels: Mapping[object, str] | None = None) -> None:
    for name, mark in marks(data["predictor"]).items():
        curve = data[data["predictor"] == name]
        ax.plot(
            curve["contacted_share"].to_numpy(),
            curve[column].to_numpy(),
            color=mark.colour,
            linestyle=mark.linestyle,
            linewidth=mark.linewidth,
            marker=mark.marker,
            markersize=4,
            markevery=0.12,
            label=str(name) if labels is None else labels[name],
        )


def _finish(ax: Axes) -> None:
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    key_above(ax)
    dress(ax, grid="both")
