"""Who is in which segment over time, and who moves where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from crm_ml.decisions.segments.migration import ARRIVED, flows, head_counts, migration, migration_shares
from crm_ml.events.clock import Moment
from crm_ml.plots.bars import name_stack
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    PRIMARY,
    RULE,
    SECONDARY,
    SHADES,
    SMALL_TEXT_SIZE,
    dress,
    figure_of,
    key,
    new_axes,
    number_axis,
    require_columns,
    shaded_cells,
    short_number,
    shortened,
)

__all__ = ["FlowsDisplay", "MigrationDisplay", "SegmentSharesDisplay"]

MOST_DATES = 7
MOST_ACROSS = 4
NAME_CHARACTERS = 18
NODE_WIDTH = 0.16
BANDS = {"stayed": (RULE, 0.55), "rose": (PRIMARY, 0.6), "fell": (SECONDARY, 0.6), "arrived": (MUTED, 0.35)}
"""Colour and opacity of a band by what its customers did."""


class MigrationDisplay(Display):
    r"""Where the customers of each segment went: shares of each row as shades, with the number of customers.

    Parameters
    ----------
    data : pandas.DataFrame
        Customers from each segment (rows) to each (columns), as `crm_ml.decisions.segments.migration` counts them.

    Examples
    --------
    >>> counts = pd.DataFrame([[80, 20], [5, 95]], index=["gold", "basic"], columns=["gold", "basic"])
    >>> [text.get_text() for text in MigrationDisplay(counts).plot().ax_.texts]
    ['80%\n80', '20%\n20', '5%\n5', '95%\n95']
    """

    def __init__(self, data: pd.DataFrame) -> None:
        self.data = data

    @classmethod
    def from_history(cls, history: pd.DataFrame, *, start: Moment | None = None, end: Moment | None = None) -> Self:
        """Take a history of segments, and two of its cutoffs, see `crm_ml.decisions.segments.migration`."""
        return cls(migration(history, start=start, end=end))

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the shares, the segments before downwards and those after across."""
        counts = self.data[self.data.sum(axis=1) > 0]
        shares = migration_shares(counts).to_numpy(dtype=np.float64)
        rows, columns = shares.shape
        across = max(len(shortened(name, NAME_CHARACTERS)) for name in counts.columns) if columns > MOST_ACROSS else 2
        ax = new_axes(height_inches=0.6 + 0.075 * across + 0.33 * max(rows, 2)) if ax is None else ax
        shaded_cells(ax, shares, highest=1.0)
        narrow = columns > MOST_DATES
        for row, column in zip(*np.nonzero(counts.to_numpy()), strict=True):
            share, customers = shares[row, column], float(counts.iloc[row, column])
            colour = "white" if share > 0.5 else INK
            text = f"{100 * share:.0f}" if narrow else f"{_percent(share)}\n{short_number(customers)}"
            ax.text(column, row, text, ha="center", va="center", size=SMALL_TEXT_SIZE, color=colour, linespacing=1.1)
        ax.set_xticks(range(columns), [shortened(name, NAME_CHARACTERS) for name in counts.columns])
        totals = counts.sum(axis=1)
        ax.set_yticks(
            range(rows), [f"{shortened(name, NAME_CHARACTERS)} ({short_number(totals[name])})" for name in counts.index]
        )
        if columns > MOST_ACROSS:
            ax.tick_params(axis="x", rotation=90)
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.set_xlabel("after, % of the row" if narrow else "after", labelpad=7)
        ax.set_ylabel("before")
        dress(ax, grid=None)
        ax.set_xticks(np.arange(0.5, columns - 1), minor=True)
        ax.set_yticks(np.arange(0.5, rows - 1), minor=True)
        ax.grid(True, which="minor", color="white", linewidth=1.2)
        ax.tick_params(which="both", length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class FlowsDisplay(Display):
    """How customers move among segments from cutoff to cutoff: bars of customers, joined by bands of those who moved.

    Parameters
    ----------
    data : pandas.DataFrame
        `start`, `end` (Timestamps of neighbouring cutoffs), `from` and `to` (ordered categoricals, best first) and
        `customers`, as `crm_ml.decisions.segments.flows` gives it.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> names = pd.CategoricalDtype(["gold", "basic"], ordered=True)
    >>> moved = pd.DataFrame({"start": pd.Timestamp("2024-01-01"), "end": pd.Timestamp("2024-02-01"),
    ...                       "from": ["gold", "gold", "basic"], "to": ["gold", "basic", "basic"],
    ...                       "customers": [8, 2, 90]}).astype({"from": names, "to": names})
    >>> [text.get_text() for text in FlowsDisplay(moved).plot().ax_.texts]
    ['basic 92%', 'gold 8%']
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("start", "end", "from", "to", "customers"), what="flows")
        self.data = data

    @classmethod
    def from_history(cls, history: pd.DataFrame) -> Self:
        """Take a history of segments, see `crm_ml.decisions.segments.flows`."""
        return cls(flows(history))

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the bars from the best segment down, and the bands: who stayed pale, who rose and who fell in colour."""
        names = [name for name in self.data["from"].cat.categories if name != ARRIVED]
        ax = new_axes(height_inches=3.4 + 0.12 * max(0, len(names) - 6)) if ax is None else ax
        colours, order = _shades(names) | {ARRIVED: RULE}, [*names, ARRIVED]
        steps = list(self.data.groupby(["start", "end"], sort=True))
        leaves = [step.groupby("from", observed=True)["customers"].sum() for _, step in steps]
        enters = steps[-1][1].groupby("to", observed=True)["customers"].sum()
        columns = [*leaves, enters]
        tops = [_stack(column, order) for column in columns]
        for at, (column, top) in enumerate(zip(columns, tops, strict=True)):
            heights = np.array([float(column[name]) for name in top])
            ends = np.array(list(top.values()))
            ax.bar(
                np.full(len(top), float(at)),
                heights,
                NODE_WIDTH,
                bottom=ends - heights,
                color=[colours[name] for name in top],
                edgecolor="white",
                linewidth=0.5,
                zorder=3,
            )
        for at, (_, step) in enumerate(steps):
            _draw_bands(ax, step, at, dict(tops[at]), dict(tops[at + 1]), order)
        ax.set(xlim=(-NODE_WIDTH, len(steps) + NODE_WIDTH / 2), ylim=(0, None), ylabel="customers")
        last = {name: tops[-1][name] - float(enters[name]) / 2 for name in reversed(tops[-1])}
        shares = enters / enters.sum()
        name_stack(
            ax, last, {name: f"{shortened(name, NAME_CHARACTERS)} {_percent(shares[name])}" for name in last}, colours
        )
        _date_ticks(ax, [steps[0][0][0], *(end for (_, end), _ in steps)])
        ax.yaxis.set_major_formatter(number_axis())
        drawn = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        shown = [kind for kind in BANDS if kind in drawn]
        handles = [drawn[kind] for kind in shown]
        key(ax, handles=handles, labels=shown, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1.2)
        dress(ax, grid=None)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class SegmentSharesDisplay(Display):
    """The share of customers in each segment over time, stacked, the best segment on top.

    Parameters
    ----------
    data : pandas.DataFrame
        Number of customers indexed by cutoff (Timestamps, ascending), a column for each segment, best first, as
        `crm_ml.decisions.segments.head_counts` gives it.

    Examples
    --------
    >>> counts = pd.DataFrame({"gold": [10, 30], "basic": [90, 90]}, index=pd.to_datetime(["2024-01-01", "2024-02-01"]))
    >>> [text.get_text() for text in SegmentSharesDisplay(counts).plot().ax_.texts]
    ['basic 75%', 'gold 25%']
    """

    def __init__(self, data: pd.DataFrame) -> None:
        self.data = data

    @classmethod
    def from_history(cls, history: pd.DataFrame) -> Self:
        """Take a history of segments, see `crm_ml.decisions.segments.head_counts`."""
        return cls(head_counts(history))

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a stacked bar for each cutoff, with the last one's shares at the right."""
        ax = new_axes(height_inches=3.2 + 0.12 * max(0, self.data.shape[1] - 6)) if ax is None else ax
        totals = self.data.sum(axis=1).to_numpy(dtype=np.float64)
        shares = self.data.to_numpy(dtype=np.float64) / np.where(totals > 0, totals, 1)[:, None]
        tops = 1 - np.cumsum(shares, axis=1) + shares
        colours = _shades(list(self.data.columns))
        for at, name in enumerate(self.data.columns):
            heights = shares[:, at]
            bottoms = tops[:, at] - heights
            edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}
            ax.bar(np.arange(len(totals)), heights, 0.8, bottom=bottoms, color=colours[name], **edge)
        ax.set(xlim=(-0.5, len(totals) - 0.5), ylim=(0, 1), ylabel="share of customers")
        held = [(name, at) for at, name in enumerate(self.data.columns) if shares[-1, at]][::-1]
        middles = {name: tops[-1, at] - shares[-1, at] / 2 for name, at in held}
        name_stack(
            ax,
            middles,
            {name: f"{shortened(name, NAME_CHARACTERS)} {_percent(shares[-1, at])}" for name, at in held},
            colours,
        )
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        _date_ticks(ax, list(self.data.index))
        dress(ax, grid=None)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


def _stack(column: pd.Series[Any], order: Sequence[str]) -> dict[str, float]:
    """Return the upper end of each bar that is there, the first on top and the last at zero."""
    top, found = float(column.sum()), {}
    for name in order:
        if name in column.index:
            found[name] = top
            top -= float(column[name])
    return found


def _draw_bands(
    ax: Axes, step: pd.DataFrame, at: int, left: dict[str, float], right: dict[str, float], order: Sequence[str]
) -> None:
    """Draw the bands of one step; `left` and `right` are upper ends, taken up from the top as bands are drawn."""
    shown = ax.get_legend_handles_labels()[1]
    for source, target, customers in zip(step["from"], step["to"], step["customers"], strict=True):
        above = order.index(target) - order.index(source)
        kind = "arrived" if source == ARRIVED else "stayed" if above == 0 else "rose" if above < 0 else "fell"
        colour, alpha = BANDS[kind]
        start, end = left[source], right[target]
        left[source], right[target] = start - customers, end - customers
        near, far = at + NODE_WIDTH / 2, at + 1 - NODE_WIDTH / 2
        label = kind if kind not in shown else None
        shown.append(kind)
        ax.add_patch(
            PathPatch(
                _band(near, far, start, end, float(customers)),
                facecolor=colour,
                alpha=alpha,
                linewidth=0,
                label=label,
                zorder=1 if kind == "stayed" else 2,
            )
        )


def _band(near: float, far: float, start: float, end: float, height: float) -> Path:
    middle = (near + far) / 2
    upper = [(near, start), (middle, start), (middle, end), (far, end)]
    lower = [(far, end - height), (middle, end - height), (middle, start - height), (near, start - height)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return Path([*upper, *lower, (near, start)], codes)


def _shades(names: Sequence[str]) -> dict[str, str]:
    """Give the segments shades of one colour, the first the darkest."""
    return {name: to_hex(SHADES(1 - 0.85 * (at / max(1, len(names) - 1)) ** 0.7)) for at, name in enumerate(names)}


def _date_ticks(ax: Axes, dates: Sequence[Any]) -> None:
    """Write the dates below their bars, at most so many, the last one always."""
    every = -(-len(dates) // MOST_DATES)
    shown = list(range(len(dates) - 1, -1, -every))[::-1]
    form = "%b\n%Y" if all(date.day == 1 for date in dates) else "%d %b\n%Y"
    ax.set_xticks(shown, [dates[at].strftime(form) for at in shown])


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
