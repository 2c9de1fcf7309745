"""When customers buy next: single customers' dates, how often the interval held, and the cadence of categories."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from crm_ml.decisions.timing.coverage import coverage_curve
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    PALE,
    PRIMARY,
    SECONDARY,
    SMALL_TEXT_SIZE,
    dress,
    figure_of,
    key,
    key_above,
    new_axes,
    require_columns,
    short_number,
    shortened,
)

__all__ = ["CadenceDisplay", "CoverageDisplay", "NextPurchaseDisplay"]

NAME_CHARACTERS = 28
PARTS = ("next_purchase_lower", "next_purchase_median", "next_purchase_upper")


class NextPurchaseDisplay(Display):
    """Purchases, silence and expected next purchase of some customers, a row each.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by customer, as `NextPurchaseModel.predict` gives it: `next_purchase_lower`, `next_purchase_median`,
        `next_purchase_upper` (timestamps, UTC; NaT where there is none), `overdue` (bool). Some rows, in the order
        wanted.
    purchases : pandas.DataFrame
        Past purchases: `customer_id`, `timestamp`; of other customers too.
    as_of : date-like
        Where past and future meet.
    past_days : float
        How far back purchases are shown.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> day = pd.Timestamp("2024-03-01", tz="UTC")
    >>> dates = {part: [day + pd.Timedelta(days=n)] for part, n in zip(PARTS, (1, 4, 9))}
    >>> expected = pd.DataFrame({**dates, "overdue": [False]}, index=["ann"])
    >>> bought = pd.DataFrame({"customer_id": ["ann"], "timestamp": [day - pd.Timedelta(days=6)]})
    >>> drawn = NextPurchaseDisplay(expected, bought, as_of="2024-03-01").plot()
    >>> [text.get_text() for text in drawn.ax_.get_yticklabels()]
    ['ann']
    """

    def __init__(self, data: pd.DataFrame, purchases: pd.DataFrame, *, as_of: Moment, past_days: float = 120.0) -> None:
        require_columns(data, (*PARTS, "overdue"), what="expected purchases")
        require_columns(purchases, ("customer_id", "timestamp"), what="purchases")
        self.data = data
        self.purchases = purchases
        self.as_of = as_of
        self.past_days = past_days

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw ticks for purchases, a line for the silence, a bar from lower to upper and the median on it."""
        ax = new_axes(height_inches=1.1 + 0.34 * len(self.data)) if ax is None else ax
        now = stamp(moment(self.as_of))
        begin, end = now - pd.Timedelta(days=self.past_days), self._end(now)
        times = pd.to_datetime(self.purchases["timestamp"], utc=True)
        owner = self.purchases["customer_id"].astype(str).to_numpy()
        for row, (name, lower, median, upper, overdue) in enumerate(self.data[[*PARTS, "overdue"]].itertuples()):
            own = times[owner == str(name)]
            own = own[own < now]
            seen = own[own >= begin]
            if len(own):
                silence = [_at(max(own.max(), begin)), _at(now)]
                ax.plot(
                    silence, [row, row], color=SECONDARY if overdue else MUTED, linewidth=1.2, linestyle=(0, (1, 1.5))
                )
            ax.plot(seen.map(_at), [row] * len(seen), color=INK, marker="|", markersize=9, linestyle="none")
            self._ahead(ax, row, lower, median, upper, end=end)
        ax.axvline(_at(now), color=MUTED, linewidth=1)
        self._finish(ax, begin, end)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _end(self, now: pd.Timestamp) -> pd.Timestamp:
        """Return where the axis ends: no further ahead than it goes back."""
        latest = self.data[list(PARTS)].max().max()
        ahead = (latest - now) / pd.Timedelta(days=1) if pd.notna(latest) else 0.0
        return now + pd.Timedelta(days=float(np.clip(1.08 * ahead, 0.25 * self.past_days, self.past_days)))

    def _ahead(self, ax: Axes, row: int, lower: Any, median: Any, upper: Any, *, end: pd.Timestamp) -> None:
        if pd.isna(lower):
            note = ax.annotate(
                "none expected", (_at(stamp(moment(self.as_of))), row), (5, 0), textcoords="offset points"
            )
            note.set(va="center", size=SMALL_TEXT_SIZE, color=MUTED)
            return
        beyond = pd.isna(upper) or upper >= end
        last = end if beyond else upper + pd.Timedelta(days=1)
        ax.plot([_at(min(lower, last)), _at(last)], [row, row], color=PALE, linewidth=9, solid_capstyle="butt")
        if beyond:
            ax.plot([_at(last)], [row], color=PRIMARY, marker=">", markersize=5, linestyle="none", clip_on=False)
        if pd.notna(median) and median <= end:
            ax.plot([_at(median)], [row], color=PRIMARY, marker="D", markersize=5, linestyle="none")

    def _finish(self, ax: Axes, begin: pd.Timestamp, end: pd.Timestamp) -> None:
        entries: tuple[tuple[str, dict[str, Any]], ...] = (
            ("purchase", {"color": INK, "marker": "|", "markersize": 9, "linestyle": "none"}),
            ("silence", {"color": MUTED, "linestyle": (0, (1, 1.5)), "linewidth": 1.2}),
            ("overdue", {"color": SECONDARY, "linestyle": (0, (1, 1.5)), "linewidth": 1.2}),
            ("expected", {"color": PALE, "linewidth": 7}),
            ("median", {"color": PRIMARY, "marker": "D", "markersize": 5, "linestyle": "none"}),
            ("later or never", {"color": PRIMARY, "marker": ">", "markersize": 5, "linestyle": "none"}),
        )
        for label, drawn in entries:
            ax.plot([], [], label=label, **drawn)
        ax.set_yticks(range(len(self.data)), [shortened(name, NAME_CHARACTERS) for name in self.data.index])
        ax.set(xlim=(_at(begin), _at(end)), ylim=(len(self.data) - 0.4, -0.6))
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        key_above(ax)
        dress(ax, grid="x")


class CoverageDisplay(Display):
    r"""How much of the outcomes lay in the central part of their distributions, by the size of the part.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by `level` (ascending): `coverage`, `below`, `above` (shares), as
        `crm_ml.decisions.timing.coverage.coverage_curve` gives it.
    level : float
        Interval size of which the coverage is marked and told.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> curve = pd.DataFrame({"coverage": [0.5, 0.9], "below": [0.3, 0.04], "above": [0.2, 0.06]}, index=[0.5, 0.9])
    >>> CoverageDisplay(curve, level=0.9).plot().ax_.get_legend().get_texts()[-1].get_text()
    '90% of the distribution: 90% of outcomes,\n4% before, 6% after'
    """

    def __init__(self, data: pd.DataFrame, *, level: float = 0.8) -> None:
        require_columns(data, ("coverage", "below", "above"), what="coverage")
        self.data = data
        self.level = level

    @classmethod
    def from_outcomes(cls, outcomes: pd.DataFrame, *, level: float = 0.8) -> Self:
        """Take what came from `crm_ml.decisions.timing.coverage.purchase_outcomes`."""
        return cls(coverage_curve(outcomes), level=level)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the coverage over the diagonal."""
        ax = new_axes() if ax is None else ax
        level = self.data.index.to_numpy(dtype=float)
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="as predicted")
        ax.plot(
            level,
            self.data["coverage"].to_numpy(),
            color=PRIMARY,
            linewidth=2,
            marker="o",
            markersize=3.5,
            label="found",
        )
        found, below, above = (
            float(np.interp(self.level, level, self.data[name].to_numpy())) for name in ("coverage", "below", "above")
        )
        told = f"{self.level:.0%} of the distribution: {found:.0%} of outcomes,\n{below:.0%} before, {above:.0%} after"
        ax.plot([self.level], [found], color=SECONDARY, marker="D", markersize=7, linestyle="none", label=told)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="central part of the distribution", ylabel="share of outcomes in it")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda share, _: f"{share:.0%}")
        key(ax, loc="lower left", bbox_to_anchor=(0, 1))
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class CadenceDisplay(Display):
    r"""How soon categories are bought again: median days and the middle half, a row each.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by category, as `crm_ml.decisions.timing.replenishment` gives it: `gap_lower`, `gap_median`, `gap_upper`
        (days; missing where fewer come back), `repeat_share`, `customers`. Drawn in the order of the frame.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> cadence = pd.DataFrame({"gap_lower": [7.0], "gap_median": [12.0], "gap_upper": [np.nan],
    ...                         "repeat_share": [0.6], "customers": [1200]}, index=["coffee"])
    >>> [text.get_text() for text in CadenceDisplay(cadence).plot().ax_.get_yticklabels()]
    ['coffee\n1.2k customers, 60% repeat']
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("gap_lower", "gap_median", "gap_upper", "repeat_share", "customers"), what="cadence")
        self.data = data

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a bar from the lower to the upper quartile, with the median; an arrow where that is not reached."""
        ax = new_axes(height_inches=1.0 + 0.5 * len(self.data)) if ax is None else ax
        ends = self.data[["gap_lower", "gap_median", "gap_upper"]].to_numpy(dtype=float)
        reach = 1.15 * (np.nanmax(ends) if np.isfinite(ends).any() else 1.0)
        for row, (lower, median, upper) in enumerate(ends):
            if np.isnan(lower):
                note = ax.annotate("fewer than a quarter come back", (0, row), (5, 0), textcoords="offset points")
                note.set(va="center", size=SMALL_TEXT_SIZE, color=MUTED)
                continue
            last = reach if np.isnan(upper) else upper
            ax.plot([lower, last], [row, row], color=PALE, linewidth=9, solid_capstyle="butt")
            if np.isnan(upper):
                ax.plot([last], [row], color=PRIMARY, marker=">", markersize=5, linestyle="none", clip_on=False)
            if np.isfinite(median):
                ax.plot([median], [row], color=PRIMARY, marker="D", markersize=6, linestyle="none")
                note = ax.annotate(f"{median:.0f}", (median, row), (0, 7), textcoords="offset points")
                note.set(ha="center", size=SMALL_TEXT_SIZE, color=INK)
        ax.plot([], [], color=PALE, linewidth=7, label="middle half")
        ax.plot([], [], color=PRIMARY, marker="D", markersize=6, linestyle="none", label="median")
        ax.plot([], [], color=PRIMARY, marker=">", markersize=5, linestyle="none", label="the rest come later or never")
        names = [
            f"{shortened(name, NAME_CHARACTERS)}\n{short_number(customers)} customers, {share:.0%} repeat"
            for name, customers, share in self.data[["customers", "repeat_share"]].itertuples()
        ]
        ax.set_yticks(range(len(names)), names)
        ax.set(xlim=(0, reach), ylim=(len(names) - 0.4, -0.7), xlabel="days until bought again")
        key_above(ax)
        dress(ax, grid="x")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


def _at(when: Any) -> Any:
    """Return a moment as matplotlib takes it."""
    return pd.Timestamp(when).tz_convert(None).to_datetime64()
