"""How right the predicted probabilities were: calibration, and the backtest."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crm_ml.evaluation.measures.curves import Predictions, by_predictor, calibration_bins
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    HEIGHT_INCHES,
    INK,
    MARKS,
    MUTED,
    PALE,
    PRIMARY,
    RULE,
    Mark,
    dress,
    figure_of,
    key,
    key_above,
    key_height_inches,
    marks,
    new_axes,
    new_panels,
    number_axis,
    require_columns,
    row_names,
)

__all__ = ["BacktestDisplay", "CalibrationDisplay", "predict_panel"]


def predict_panel(model: Any, panel: pd.DataFrame) -> dict[str, pd.Series]:
    """Return a model's churn probability of each row of a panel, under the name of the model's class.

    Raises
    ------
    SchemaError
        If the panel does not say who churned.
    """
    require_columns(panel, ("churned",), what="panel")
    return {type(model).__name__: model.predict(panel)["churn_probability"]}


class CalibrationDisplay(Display):
    """Predicted churn probability against the share that really churned, bin by bin.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per bin: `predicted` (mean predicted probability), `observed` (share that churned), `lower`
        and `upper` (interval of the observed share), all in [0, 1], and `customers` (count); with several
        predictors also `predictor` (name). Bins that nobody is in may hold NaN.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn, after `plot`.
    counts_ax_ : matplotlib Axes or None
        The panel of customer counts, where one was drawn.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> bins = pd.DataFrame({"predicted": [0.2, 0.7], "observed": [0.25, 0.66], "lower": [0.2, 0.6],
    ...                      "upper": [0.3, 0.72], "customers": [400, 300]})
    >>> CalibrationDisplay(bins).plot().ax_.get_ylabel()
    'observed churn'
    >>> display = CalibrationDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], bins=2)
    >>> display.data["observed"].tolist()
    [0.0, 1.0]
    """

    counts_ax_: Axes | None

    def __init__(self, data: pd.DataFrame) -> None:
        columns = ("predicted", "observed", "lower", "upper", "customers")
        require_columns(data, columns, what="calibration bins")
        self.data = data

    @classmethod
    def from_predictions(cls, churned: Any, probability: Predictions, *, bins: int = 10, level: float = 0.9) -> Self:
        """Return the display of one predictor or of several by name; see `crm_ml.evaluation.calibration_bins`."""
        return cls(by_predictor(lambda p: calibration_bins(churned, p, bins=bins, level=level), probability))

    @classmethod
    def from_estimator(cls, model: Any, panel: pd.DataFrame, *, bins: int = 10, level: float = 0.9) -> Self:
        """Return the display of a model, such as `crm_ml.ChurnModel`, on a panel with its features and `churned`."""
        predictions = predict_panel(model, panel)
        return cls.from_predictions(panel["churned"], predictions, bins=bins, level=level)

    def plot(self, ax: Axes | None = None, *, counts_ax: Axes | None = None) -> Self:
        """Draw the bins with their intervals and, below or on `counts_ax`, how many customers each holds.

        Without `ax` both panels are made; with `ax` alone only the bins are drawn.
        """
        predictors = self._predictors()
        named = list(predictors) if len(predictors) > 1 else []
        if ax is None:
            ax, counts_ax = new_panels(heights=(4, 1), height_inches=HEIGHT_INCHES + 0.4 + key_height_inches(named))
        low, high = self._limits()
        ax.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        for (name, bins), mark in zip(predictors.items(), marks(predictors).values(), strict=True):
            _bins(ax, bins, mark, label=name)
            if counts_ax is not None:
                _counts(counts_ax, bins, mark, alone=not named)
        ax.set(xlim=(low, high), ylim=(low, high), ylabel="observed churn")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        if named:
            key_above(ax)
        dress(ax, grid="both")
        if counts_ax is not None:
            counts_ax.set(ylim=(0, 1.2 * self.data["customers"].max()), ylabel="customers")
            counts_ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            counts_ax.yaxis.set_major_formatter(number_axis())
            dress(counts_ax)
        lowest = ax if counts_ax is None else counts_ax
        lowest.set_xlabel("predicted churn probability")
        lowest.xaxis.set_major_formatter(PercentFormatter(1))
        self.ax_, self.counts_ax_, self.figure_ = ax, counts_ax, figure_of(ax)
        return self

    def _predictors(self) -> dict[str, pd.DataFrame]:
        if "predictor" not in self.data:
            return {"model": self.data}
        return {str(name): rows for name, rows in self.data.groupby("predictor", sort=False)}

    def _limits(self) -> tuple[float, float]:
        shown = self.data[["predicted", "observed", "lower", "upper"]].to_numpy(dtype=float)
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        margin = 0.03 * (high - low)
        return low - margin, high + margin


def _bins(ax: Axes, bins: pd.DataFrame, mark: Mark, *, label: str) -> None:
    observed = bins["observed"].to_numpy()
    ax.errorbar(
        bins["predicted"].to_numpy(),
        observed,
        yerr=np.abs(np.vstack([bins["lower"], bins["upper"]]) - observed),
        color=mark.colour,
        linestyle=mark.linestyle,
        marker=mark.marker,
        markersize=5,
        linewidth=1.2,
        capsize=2.5,
        label=label,
    )


def _counts(ax: Axes, bins: pd.DataFrame, mark: Mark, *, alone: bool) -> None:
    at, customers = bins["predicted"].to_numpy(), bins["customers"].to_numpy()
    if alone:
        ax.vlines(at, 0, customers, color=PALE, linewidth=7)
    else:
        line = {"color": mark.colour, "linestyle": mark.linestyle, "marker": mark.marker}
        ax.plot(at, customers, markersize=4, linewidth=1, **line)


class BacktestDisplay(Display):
    """One metric of every predictor at every cutoff of the backtest.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per predictor and cutoff: `predictor`, `cutoff` (Timestamp) and a column per metric.
    metric : str
        The column to show.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> results = pd.DataFrame({"predictor": ["model", "recency"], "cutoff": pd.Timestamp("2017-09-01"),
    ...                         "auc": [0.81, 0.74]})
    >>> [label.get_text() for label in BacktestDisplay(results, "auc").plot().ax_.get_yticklabels()]
    ['model', 'recency']
    """

    def __init__(self, data: pd.DataFrame, metric: str) -> None:
        require_columns(data, ("predictor", "cutoff", metric), what="backtest results")
        self.data = data
        self.metric = metric

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a row per predictor with a dot per cutoff, the latest filled; more than seven share a mark."""
        names = list(dict.fromkeys(self.data["predictor"]))
        ax = new_axes(height_inches=1.1 + 0.4 * len(names)) if ax is None else ax
        cutoffs = sorted(self.data["cutoff"].unique())
        for row, name in enumerate(names):
            values = self.data.loc[self.data["predictor"] == name, self.metric]
            ax.hlines(row, values.min(), values.max(), color=RULE, linewidth=3, zorder=1)
        few = len(cutoffs) <= len(MARKS)
        groups = [[cutoff] for cutoff in cutoffs] if few else [cutoffs[:-1], cutoffs[-1:]]
        for i, group in enumerate(groups):
            rows = self.data[self.data["cutoff"].isin(group)]
            latest = i == len(groups) - 1
            ax.plot(
                rows[self.metric].to_numpy(),
                [names.index(name) for name in rows["predictor"]],
                linestyle="none",
                marker=MARKS[len(groups) - 1 - i].marker,
                markersize=6,
                markerfacecolor=PRIMARY if latest else "white",
                markeredgecolor=PRIMARY if latest else INK,
                label=" to ".join(f"{pd.Timestamp(end):%Y-%m-%d}" for end in dict.fromkeys((group[0], group[-1]))),
            )
        ax.set_yticks(range(len(names)), row_names(names))
        ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=self.metric.replace("_", " "))
        ax.margins(x=0.08)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        key(ax, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, columnspacing=0.6, handletextpad=0.1)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
