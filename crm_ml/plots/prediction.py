"""How right the predicted probabilities were: gains, calibration, the backtest."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MARKS,
    MUTED,
    PALE,
    PRIMARY,
    RULE,
    dress,
    figure_of,
    key,
    marks,
    new_axes,
    new_panels,
    number_axis,
    require_columns,
)

__all__ = ["BacktestDisplay", "CalibrationDisplay", "GainsDisplay"]


class GainsDisplay(Display):
    """Share of churners reached when contacting the riskiest share of customers.

    Parameters
    ----------
    curves : pandas.DataFrame
        One row per predictor and point: `predictor` (name), `contacted_share` and `captured_share`, both in
        [0, 1], each predictor's points in ascending order of `contacted_share`.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> curves = pd.DataFrame({"predictor": "recency", "contacted_share": [0, 0.5, 1],
    ...                        "captured_share": [0, 0.8, 1]})
    >>> GainsDisplay(curves).plot().ax_.get_ylabel()
    'churners reached'
    """

    def __init__(self, curves: pd.DataFrame) -> None:
        require_columns(curves, ("predictor", "contacted_share", "captured_share"), what="gains curves")
        self.curves = curves

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one line per predictor and the diagonal of contacting at random."""
        ax = new_axes() if ax is None else ax
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="at random")
        for name, mark in marks(self.curves["predictor"]).items():
            curve = self.curves[self.curves["predictor"] == name]
            ax.plot(
                curve["contacted_share"].to_numpy(),
                curve["captured_share"].to_numpy(),
                color=mark.colour,
                linestyle=mark.linestyle,
                linewidth=mark.linewidth,
                marker=mark.marker,
                markersize=4,
                markevery=0.12,
                label=str(name),
            )
        ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="customers contacted, riskiest first")
        ax.set_ylabel("churners reached")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        key(ax, loc="lower right")
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class CalibrationDisplay(Display):
    """Predicted churn probability against the share that really churned, bin by bin.

    Parameters
    ----------
    bins : pandas.DataFrame
        One row per bin: `predicted` (mean predicted probability), `observed` (share that churned), `lower`
        and `upper` (interval of the observed share), all in [0, 1], and `customers` (count).

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
    """

    counts_ax_: Axes | None

    def __init__(self, bins: pd.DataFrame) -> None:
        columns = ("predicted", "observed", "lower", "upper", "customers")
        require_columns(bins, columns, what="calibration bins")
        self.bins = bins

    def plot(self, ax: Axes | None = None, *, counts_ax: Axes | None = None) -> Self:
        """Draw the bins with their intervals and, below or on `counts_ax`, how many customers each holds.

        Without `ax` both panels are made; with `ax` alone only the bins are drawn.
        """
        if ax is None:
            ax, counts_ax = new_panels(heights=(4, 1), height_inches=3.7)
        low, high = self._limits()
        ax.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        at, observed = self.bins["predicted"].to_numpy(), self.bins["observed"].to_numpy()
        spread = np.abs(np.vstack([self.bins["lower"], self.bins["upper"]]) - observed)
        ax.errorbar(at, observed, yerr=spread, fmt="o-", color=PRIMARY, markersize=5, linewidth=1.2, capsize=2.5)
        ax.set(xlim=(low, high), ylim=(low, high), ylabel="observed churn")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        dress(ax, grid="both")
        if counts_ax is not None:
            counts_ax.vlines(at, 0, self.bins["customers"].to_numpy(), color=PALE, linewidth=7)
            counts_ax.set(ylim=(0, None), ylabel="customers")
            counts_ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            counts_ax.yaxis.set_major_formatter(number_axis())
            dress(counts_ax)
        lowest = ax if counts_ax is None else counts_ax
        lowest.set_xlabel("predicted churn probability")
        lowest.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        self.ax_, self.counts_ax_, self.figure_ = ax, counts_ax, figure_of(ax)
        return self

    def _limits(self) -> tuple[float, float]:
        shown = self.bins[["predicted", "observed", "lower", "upper"]].to_numpy(dtype=float)
        low = max(np.floor(np.nanmin(shown) * 10) / 10, 0.0)
        return low, min(np.ceil(np.nanmax(shown) * 10) / 10, 1.0) + 0.01


class BacktestDisplay(Display):
    """One metric of every predictor at every cutoff of the backtest.

    Parameters
    ----------
    results : pandas.DataFrame
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

    def __init__(self, results: pd.DataFrame, metric: str) -> None:
        require_columns(results, ("predictor", "cutoff", metric), what="backtest results")
        self.results = results
        self.metric = metric

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a row per predictor with a dot per cutoff, the latest filled."""
        names = list(dict.fromkeys(self.results["predictor"]))
        ax = new_axes(height_inches=1.1 + 0.4 * len(names)) if ax is None else ax
        cutoffs = sorted(self.results["cutoff"].unique())
        for row, name in enumerate(names):
            values = self.results.loc[self.results["predictor"] == name, self.metric]
            ax.hlines(row, values.min(), values.max(), color=RULE, linewidth=3, zorder=1)
        for i, cutoff in enumerate(cutoffs):
            rows = self.results[self.results["cutoff"] == cutoff]
            latest = i == len(cutoffs) - 1
            ax.plot(
                rows[self.metric].to_numpy(),
                [names.index(name) for name in rows["predictor"]],
                linestyle="none",
                marker=MARKS[(len(cutoffs) - 1 - i) % len(MARKS)].marker,
                markersize=6,
                markerfacecolor=PRIMARY if latest else "white",
                markeredgecolor=PRIMARY if latest else INK,
                label=f"{pd.Timestamp(cutoff):%Y-%m-%d}",
            )
        ax.set_yticks(range(len(names)), [str(name) for name in names])
        ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=self.metric.replace("_", " "))
        ax.margins(x=0.08)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=0.8, handletextpad=0.1)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
