"""Why: the reasons of one customer's risk, what matters over all, and how the risk depends on one feature."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.special import expit, logit

from crm_ml.churn.influence import importance, partial_dependence
from crm_ml.errors import SchemaError
from crm_ml.features.builders.words import percent
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    HEIGHT_INCHES,
    INK,
    LINE_INCHES,
    MUTED,
    PALE,
    PRIMARY,
    RULE,
    SMALL_TEXT_SIZE,
    dress,
    figure_of,
    key,
    key_above,
    key_height_inches,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["ImportanceDisplay", "PartialDependenceDisplay", "ReasonsDisplay"]

TEXT_CHARACTERS = 30
RAISES, LOWERS = "raises the risk", "lowers it"
BAND = "8 customers in 10"
MEAN = "mean"
NOTHING = "nothing sets this customer apart"
THICKNESS = 0.9
ROW_LINES = 1.4
TICKS = 5
KEY_LINES = 2
ROOM, LEAST_ROOM = 0.3, 0.15
SOLID: dict[str, Any] = {"facecolor": PRIMARY, "edgecolor": PRIMARY, "linewidth": 0.6}
OUTLINED: dict[str, Any] = {"facecolor": PALE, "edgecolor": PRIMARY, "linewidth": 0.6}
PROBABILITIES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


class ReasonsDisplay(Display):
    """How one customer's risk comes about: reason by reason, from what everyone starts with.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per reason: `text` (its words) and `contribution` (log odds, above 0 where it raises the
        risk). With all reasons there are, the bars end at the customer's own log odds.
    base : float
        Log odds that everyone starts with.
    prediction : float, optional
        The calibrated probability, which is told beside the one before calibration.
    top : int
        Bars at most; what is weaker is summed in the last.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> data = pd.DataFrame({"text": ["has waited 2.4 × the usual 18 days", "bought on 9 days"],
    ...                      "contribution": [1.2, -0.4]})
    >>> ax = ReasonsDisplay(data, base=-0.8).plot().ax_
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['on average: 31%', 'this customer: 50%', 'raises the risk', 'lowers it']
    """

    def __init__(self, data: pd.DataFrame, *, base: float, prediction: float | None = None, top: int = 8) -> None:
        require_columns(data, ("text", "contribution"), what="reasons")
        self.data = data
        self.base = base
        self.prediction = prediction
        self.top = top

    @classmethod
    def from_estimator(cls, model: Any, features: pd.DataFrame, *, top: int = 8) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, for the one customer in a frame of features.

        Raises
        ------
        SchemaError
            The frame does not hold exactly one row.
        """
        if len(features) != 1:
            raise SchemaError(
                f"`features` must hold the row of one customer; it holds {len(features):,}.\n"
                "Choose one, such as features.loc[[customer_id]]."
            )
        told = model.explain(features, top=None, lowering=True)
        base = float(model.contributions(features)["base"].iloc[0])
        prediction = float(model.predict(features)["churn_probability"].iloc[0])
        return cls(told, base=base, prediction=prediction, top=top)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a bar per reason, each from where the one above it ends, on an axis of log odds marked in percent."""
        texts, sizes = self._rows()
        rows = [textwrap.fill(text, TEXT_CHARACTERS) for text in texts]
        ends = np.append(self.base, self.base + np.cumsum(sizes))
        if ax is None:
            ax = new_axes(height_inches=0.7 + _rows_height_inches(rows) + KEY_LINES * LINE_INCHES)
        at = _row_places(rows)
        _label_rows(ax, at, rows)
        _draw_bars(ax, at, sizes, ends)
        average = f"on average: {_as_percent(expit(self.base))}"
        for where, top, bottom, name, line in (
            (self.base, 0, at[0], average, {"color": MUTED, "linestyle": (0, (1, 2))}),
            (ends[-1], at[-1], ax.get_ylim()[0], self._name(ends[-1]), {"color": INK}),
        ):
            ax.vlines(where, top, bottom, label=name, linewidth=1.2, zorder=0, **line)
        room = max(ROOM * float(np.ptp(ends)), LEAST_ROOM)
        ax.set_xlim(ends.min() - room, ends.max() + room)
        _mark_in_percent(ax)
        ax.set_xlabel("churn probability before calibration\n(× is on the odds)", loc="right", multialignment="right")
        key(ax, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, columnspacing=1.2)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _name(self, margin: float) -> str:
        told = "" if self.prediction is None else f", {_as_percent(self.prediction)} calibrated"
        return f"this customer: {_as_percent(expit(margin))}{told}"

    def _rows(self) -> tuple[list[str], np.ndarray]:
        """Return the words and sizes of the bars, the weaker reasons as one."""
        sizes = self.data["contribution"].to_numpy(dtype=float)
        if len(sizes) == 0:
            return [NOTHING], np.zeros(1)
        order = np.argsort(-np.abs(sizes), kind="stable")
        texts = [str(self.data["text"].iloc[i]) for i in order]
        sizes = sizes[order]
        if len(sizes) <= self.top:
            return texts, sizes
        kept = self.top - 1
        return [*texts[:kept], f"{len(sizes) - kept} weaker reasons"], np.append(sizes[:kept], sizes[kept:].sum())


class ImportanceDisplay(Display):
    """How much each theme or feature matters over all customers.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by theme or feature, largest first, `importance` (mean |contribution|, log odds) and `share` of
        the sum of all; see `crm_ml.churn.importance`.
    top : int
        Bars at most; what is weaker is summed in the last.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> data = pd.DataFrame({"importance": [0.6, 0.2], "share": [0.75, 0.25]}, index=["waiting", "money"])
    >>> [float(bar.get_width()) for bar in ImportanceDisplay(data).plot().ax_.patches]
    [0.75, 0.25]
    """

    def __init__(self, data: pd.DataFrame, *, top: int = 15) -> None:
        require_columns(data, ("importance", "share"), what="importance")
        self.data = data
        self.top = top

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        features: pd.DataFrame,
        *,
        by: Literal["theme", "feature"] = "theme",
        rows: int = 2000,
        seed: int = 0,
        top: int = 15,
    ) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, over a frame of features.

        Parameters
        ----------
        model : with a method `contributions`.
        features : (n, p) frame with the model's features.
        by : whether features of one theme are summed.
        rows : customers drawn at random where there are more.
        seed : of the draw.
        top : bars at most.
        """
        rng = np.random.default_rng(seed)
        found = importance(lambda frame: model.contributions(frame, by=by), features, rows=rows, rng=rng)
        return cls(found, top=top)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a bar per theme or feature, in the order of the frame."""
        names, shares = [str(name) for name in self.data.index], self.data["share"].to_numpy(dtype=float)
        if len(names) > self.top:
            kept = self.top - 1
            names = [*names[:kept], f"{len(names) - kept} weaker ones"]
            shares = np.append(shares[:kept], shares[kept:].sum())
        rows = [textwrap.fill(name, TEXT_CHARACTERS) for name in names]
        ax = new_axes(height_inches=0.7 + _rows_height_inches(rows)) if ax is None else ax
        at = _row_places(rows)
        bars = ax.barh(at, shares, height=THICKNESS, **SOLID)
        ax.bar_label(bars, labels=[percent(share) for share in shares], padding=3, size=SMALL_TEXT_SIZE, color=INK)
        _label_rows(ax, at, rows)
        ax.margins(x=0.12)
        ax.set_xlim(0, None)
        ax.set_xlabel("share of all that moves the log odds of churn")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class PartialDependenceDisplay(Display):
    """The mean churn probability were one feature the same for all.

    Parameters
    ----------
    data : pandas.DataFrame
        `value` (ascending), `probability`, and `lower` and `upper`, between which eight customers in ten are;
        see `crm_ml.churn.partial_dependence`.
    feature : str
        Name of the feature.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> data = pd.DataFrame({"value": [1.0, 30.0], "probability": [0.2, 0.6], "lower": [0.1, 0.4],
    ...                      "upper": [0.3, 0.8]})
    >>> PartialDependenceDisplay(data, "recency_days").plot().ax_.get_xlabel()
    'recency_days'
    """

    def __init__(self, data: pd.DataFrame, feature: str) -> None:
        require_columns(data, ("value", "probability", "lower", "upper"), what="partial dependence")
        self.data = data
        self.feature = feature

    @classmethod
    def from_estimator(
        cls, model: Any, features: pd.DataFrame, feature: str, *, points: int = 20, rows: int = 500, seed: int = 0
    ) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, over a frame of features.

        Parameters
        ----------
        model : with a method `predict`, whose calibrated probability is taken.
        features : (n, p) frame with the model's features.
        feature : the column to vary.
        points : values of it at most.
        rows : customers drawn at random where there are more.
        seed : of the draw.
        """

        def predict(frame: pd.DataFrame) -> pd.Series:
            found: pd.Series = model.predict(frame)["churn_probability"]
            return found

        rng = np.random.default_rng(seed)
        return cls(partial_dependence(predict, features, feature, points=points, rows=rows, rng=rng), feature)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the mean as a line with a dot per value and where most customers are as a pale band."""
        ax = new_axes(height_inches=HEIGHT_INCHES + key_height_inches([MEAN, BAND])) if ax is None else ax
        value = self.data["value"].to_numpy()
        lower, upper = self.data["lower"].to_numpy(), self.data["upper"].to_numpy()
        ax.fill_between(value, lower, upper, color=PALE, alpha=0.5, linewidth=0, label=BAND)
        ax.plot(
            value,
            self.data["probability"].to_numpy(),
            color=PRIMARY,
            linewidth=2.2,
            marker="o",
            markersize=4,
            label=MEAN,
        )
        ax.set(ylim=(0, None), xlabel=self.feature, ylabel="churn probability")
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.xaxis.set_major_formatter(number_axis())
        ax.yaxis.set_major_locator(MaxNLocator(6))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        key_above(ax)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


def _draw_bars(ax: Axes, at: np.ndarray, sizes: np.ndarray, ends: np.ndarray) -> None:
    """Draw each bar from one end to the next, with what it does to the odds written beside it."""
    for name, chosen, fill in ((RAISES, sizes > 0, SOLID), (LOWERS, sizes <= 0, OUTLINED)):
        if chosen.any():
            ax.barh(at[chosen], sizes[chosen], left=ends[:-1][chosen], height=THICKNESS, label=name, **fill)
    ax.vlines(ends[1:-1], at[:-1], at[1:], color=RULE, linewidth=1, zorder=0)
    for place, end, size in zip(at, ends[1:], sizes, strict=True):
        ax.annotate(
            f"×{short_number(float(np.exp(size)))}",
            (end, place),
            xytext=(3 if size > 0 else -3, 0),
            textcoords="offset points",
            ha="left" if size > 0 else "right",
            va="center",
            size=SMALL_TEXT_SIZE,
            color=INK,
        )


def _row_lines(rows: Sequence[str]) -> np.ndarray:
    return np.array([row.count("\n") + ROW_LINES for row in rows])


def _rows_height_inches(rows: Sequence[str]) -> float:
    return float(LINE_INCHES * _row_lines(rows).sum())


def _row_places(rows: Sequence[str]) -> np.ndarray:
    """Return where each row is, in lines of text from the top, so that long texts have their room."""
    lines = _row_lines(rows)
    return np.asarray(np.cumsum(lines) - lines / 2)


def _label_rows(ax: Axes, at: np.ndarray, rows: Sequence[str]) -> None:
    ax.set_yticks(at, rows)
    ax.set_ylim(_row_lines(rows).sum(), 0)


def _as_percent(probability: float) -> str:
    percentage = 100 * probability
    return f"{percentage:.2g}%" if percentage < 9.95 else f"{percentage:.3g}%"


def _mark_in_percent(ax: Axes) -> None:
    """Mark an axis of log odds by probabilities, as many as have room."""
    low, high = ax.get_xlim()
    even = np.asarray(MaxNLocator(TICKS).tick_values(float(expit(low)), float(expit(high))))
    known = np.unique(np.append(PROBABILITIES, even[(even > 0) & (even < 1)]))
    chosen: list[float] = []
    for place in logit(known):
        if low <= place <= high and (not chosen or place - chosen[-1] >= (high - low) / TICKS):
            chosen.append(float(place))
    ax.set_xticks(chosen, [_as_percent(expit(place)) for place in chosen])
