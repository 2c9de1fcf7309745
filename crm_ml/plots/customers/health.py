"""The health of a customer base: its metrics over the months, and retention by cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from crm_ml.decisions.health import METRICS, Metric, base_health, cohort_retention
from crm_ml.errors import SchemaError
from crm_ml.events import CustomerLog
from crm_ml.events.clock import Moment
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    PRIMARY,
    RULE,
    SECONDARY,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    dress,
    figure_of,
    new_axes,
    require_columns,
    shaded_cells,
    short_number,
)

__all__ = ["CohortDisplay", "HealthDisplay"]

MAIN = (
    "active",
    "new_customers",
    "revenue",
    "average_order_value",
    "repurchase_rate",
    "repurchase_cycle_days",
    "sleepers_woken",
    "top_decile_revenue_share",
    "return_rate",
    "complaint_rate",
    "clv_per_acquisition_cost",
)
ACROSS = 2
PANEL_INCHES = 1.32
LEAST_SPAN, LEAST_DAYS = 0.06, 2.0
"""Height of a panel relative to the size of its values, and in days, at least, so that noise stays small."""
MOST_WRITTEN = 12
"""Columns of cohorts, at most, in whose cells there is room for a number."""


class HealthDisplay(Display):
    r"""The main metrics of a customer base over the months, a small panel each.

    Parameters
    ----------
    data : pandas.DataFrame
        As `crm_ml.decisions.base_health` returns it: `month`, `segment`, `metric`, `value`, `change`,
        `change_share`.
    segment : str
        The one that is drawn.
    metrics : sequence of str, optional
        Names of metrics, a panel each; by default the main ones that the frame has values of.
    currency : str
        Sign written before amounts.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels, after `plot`, which lie within `ax_`.

    Raises
    ------
    SchemaError
        If a column is missing, or the frame has no value to draw.

    Examples
    --------
    >>> months = pd.date_range("2024-01-01", periods=2, freq="MS", tz="UTC")
    >>> frame = pd.DataFrame({"month": months, "segment": "all", "metric": "revenue", "value": [100.0, 110.0],
    ...                       "change": [np.nan, 10.0], "change_share": [np.nan, 0.1]})
    >>> HealthDisplay(frame, currency="$").plot().axes_[0].get_title(loc="left")
    'Revenue\n$110, +10.0%'
    """

    axes_: list[Axes]

    def __init__(
        self,
        data: pd.DataFrame,
        *,
        segment: str = "all",
        metrics: Sequence[str] | None = None,
        currency: str = "",
    ) -> None:
        require_columns(data, ("month", "segment", "metric", "value", "change", "change_share"), what="health frames")
        self.data = data
        self.segment = segment
        self.metrics = metrics
        self.currency = currency

    @classmethod
    def from_log(
        cls, log: CustomerLog, *, cutoffs: Sequence[Moment] | pd.DatetimeIndex, currency: str = "", **settings: Any
    ) -> Self:
        """Take the months of a log that end at the cutoffs; further settings are those of `base_health`."""
        return cls(base_health(log, cutoffs=cutoffs, **settings), currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the panels, two to a row."""
        own = self.data[self.data["segment"] == self.segment].sort_values("month")
        wanted = MAIN if self.metrics is None else self.metrics
        known = {metric.name: metric for metric in METRICS}
        shown = [known[name] for name in wanted if own.loc[own["metric"] == name, "value"].notna().any()]
        if not shown:
            raise SchemaError(
                f"Health must have a value of {list(wanted)} in segment {self.segment!r}; it has none. Segments "
                f"present: {list(map(str, self.data['segment'].unique()))}.\nName another."
            )
        down = -(-len(shown) // ACROSS)
        ax = new_axes(height_inches=0.3 + PANEL_INCHES * down) if ax is None else ax
        ax.set_axis_off()
        self.axes_ = []
        months = own["month"].drop_duplicates().dt.tz_localize(None)
        for at, metric in enumerate(shown):
            row, column = divmod(at, ACROSS)
            panel = ax.inset_axes((column * 0.58, 1 - (row + 1) / down + 0.02, 0.42, 0.56 / down))
            self._panel(panel, metric, own[own["metric"] == metric.name], months)
            panel.tick_params(labelbottom=at + ACROSS >= len(shown))
            self.axes_.append(panel)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _panel(self, ax: Axes, metric: Metric, rows: pd.DataFrame, months: pd.Series) -> None:
        at, value = rows["month"].dt.tz_localize(None).to_numpy(), rows["value"].to_numpy()
        ax.plot(at, value, color=PRIMARY, linewidth=1.8, marker="o", markersize=2.5)
        ax.plot(at[-1:], value[-1:], color=SECONDARY, marker="D", markersize=5, linestyle="none")
        said = f"{metric.title}\n{self._write(value[-1], metric)}{' days' if metric.unit == 'days' else ''}"
        change = self._write_change(metric, *rows[["change", "change_share"]].to_numpy()[-1])
        ax.set_title(f"{said}, {change}" if change else said, loc="left", size=SMALL_TEXT_SIZE, color=INK, pad=5)
        lowest, highest = np.nanmin(value), np.nanmax(value)
        least = LEAST_DAYS if metric.unit == "days" else LEAST_SPAN * np.nanmax(np.abs(value))
        half = 0.62 * (max(highest - lowest, least) or 1.0)
        middle = (lowest + highest) / 2
        ax.set_ylim(middle - half, middle + half)
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: self._write(number, metric)))
        first, last = months.iloc[0], months.iloc[-1]
        margin = max((last - first) * 0.05, pd.Timedelta(days=3))
        ax.set_xlim(first - margin, last + margin)
        ends = [first, last] if first < last else [last]
        ax.set_xticks(ends, [f"{end:%b %Y}" for end in ends])
        dress(ax)
        ax.tick_params(labelsize=SMALL_TEXT_SIZE, labelcolor=MUTED)
        if first < last:
            ax.get_xticklabels()[0].set_horizontalalignment("left")
            ax.get_xticklabels()[-1].set_horizontalalignment("right")

    def _write(self, value: float, metric: Metric) -> str:
        if np.isnan(value):
            return "–"
        if metric.unit == "share":
            return f"{value:.1%}"
        return short_number(value, prefix=self.currency if metric.unit == "money" else "")

    def _write_change(self, metric: Metric, change: float, share: float) -> str:
        points = metric.unit == "share"
        moved = 100 * (change if points else share)
        if not np.isfinite(moved):
            return ""
        sign = "−" if moved < 0 else "+" if moved > 0 else "±"
        return f"{sign}{abs(moved):.1f}{' points' if points else '%'}"


class CohortDisplay(Display):
    r"""Share of each cohort who buy again, month by month after the first purchase.

    Parameters
    ----------
    data : pandas.DataFrame
        As `crm_ml.decisions.health.cohort_retention` returns it: `cohort`, `age`, `customers`, `share`. Age 0, where
        the share is 1, is not drawn.
    by : {"month", "quarter"}
        What a cohort is.

    Raises
    ------
    SchemaError
        If a column is missing, or no cohort has been seen after its first month.

    Examples
    --------
    >>> frame = pd.DataFrame({"cohort": pd.to_datetime(["2024-01-01", "2024-01-01"], utc=True), "age": [0, 1],
    ...                       "customers": [40, 40], "share": [1.0, 0.25]})
    >>> drawn = CohortDisplay(frame).plot().ax_
    >>> drawn.get_yticklabels()[0].get_text(), drawn.texts[0].get_text()
    ('Jan 2024 (40)', '25')
    """

    def __init__(self, data: pd.DataFrame, *, by: str = "month") -> None:
        require_columns(data, ("cohort", "age", "customers", "share"), what="cohorts")
        self.data = data
        self.by = by

    @classmethod
    def from_log(cls, log: CustomerLog, *, as_of: Moment, by: Any = "month") -> Self:
        """Take the cohorts of a log; see `cohort_retention`."""
        return cls(cohort_retention(log, as_of=as_of, by=by), by=by)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a row of shades per cohort, the oldest on top, with percentages where there is room."""
        later = self.data[self.data["age"] > 0]
        if later.empty:
            raise SchemaError(
                f"Cohorts must have been seen in a {self.by} after their own; none has.\nUse a longer log."
            )
        shares = later.pivot_table(index="cohort", columns="age", values="share")
        ax = new_axes(height_inches=1.0 + 0.22 * max(len(shares), 4)) if ax is None else ax
        highest = max(float(np.nanmax(shares.to_numpy())), 0.01)
        cells = shaded_cells(ax, shares.to_numpy(), highest=highest)
        bar = figure_of(ax).colorbar(cells, cax=ax.inset_axes((1.03, 0, 0.03, 1)), format=PercentFormatter(1))
        for solid in bar.ax.collections:
            solid.set(rasterized=False, edgecolor="face")
        bar.outline.set_edgecolor(RULE)
        bar.ax.tick_params(labelsize=TEXT_SIZE, labelcolor=INK, color=RULE, length=3)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5))
        if shares.shape[1] <= MOST_WRITTEN:
            self._write(ax, shares, highest)
        sizes = later.groupby("cohort")["customers"].first()
        ax.set_yticks(range(len(shares)), [self._name(cohort, sizes[cohort]) for cohort in shares.index])
        step = 1 if shares.shape[1] <= MOST_WRITTEN else 3
        ax.set_xticks(range(0, shares.shape[1], step), [str(age) for age in shares.columns[::step]])
        ax.set_xlabel(f"{self.by}s since the first purchase; % of the cohort who bought")
        dress(ax, grid=None)
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _name(self, cohort: pd.Timestamp, customers: int) -> str:
        when = f"Q{cohort.quarter} {cohort:%Y}" if self.by == "quarter" else f"{cohort:%b %Y}"
        return f"{when} ({short_number(customers)})"

    def _write(self, ax: Axes, shares: pd.DataFrame, highest: float) -> None:
        for (row, column), share in np.ndenumerate(shares.to_numpy()):
            if np.isfinite(share):
                dark = share > 0.53 * highest
                ax.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    size=SMALL_TEXT_SIZE,
                    color="white" if dark else INK,
                )
