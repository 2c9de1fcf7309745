"""Repeat purchases week by week: what was expected and what came."""

from __future__ import annotations

from typing import Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    SECONDARY,
    SMALL_TEXT_SIZE,
    dress,
    figure_of,
    key,
    new_panels,
    number_axis,
    require_columns,
)

__all__ = ["TrackingDisplay"]


class TrackingDisplay(Display):
    """Actual and expected repeat purchases per week, before and after the end of training.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by the week's first day (Timestamp, ascending), columns `actual` and `expected`: repeat
        purchases within that week.
    train_end : pandas.Timestamp
        From here on the model had seen nothing.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn, after `plot`.
    cumulative_ax_ : matplotlib Axes or None
        The panel of running totals, where one was drawn.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> weeks = pd.DataFrame({"actual": [12, 9, 11], "expected": [11.2, 10.4, 9.9]},
    ...                      index=pd.date_range("2017-08-28", periods=3, freq="W-MON"))
    >>> TrackingDisplay(weeks, pd.Timestamp("2017-09-04")).plot().cumulative_ax_.lines[0].get_ydata().tolist()
    [12, 21, 32]
    """

    cumulative_ax_: Axes | None

    def __init__(self, data: pd.DataFrame, train_end: pd.Timestamp) -> None:
        require_columns(data, ("actual", "expected"), what="weeks")
        self.data = data
        self.train_end = pd.Timestamp(train_end)

    def plot(self, ax: Axes | None = None, *, cumulative_ax: Axes | None = None) -> Self:
        """Draw the weeks and, below or on `cumulative_ax`, their running totals.

        Without `ax` both panels are made; with `ax` alone only the weeks are drawn.
        """
        if ax is None:
            ax, cumulative_ax = new_panels(heights=(1, 1), height_inches=4.1)
        self._draw(ax, self.data, label="purchases per week")
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        end = self.train_end.to_datetime64()
        ax.annotate(
            "training ends",
            (end, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 4),
            ha="right",
            textcoords="offset points",
            size=SMALL_TEXT_SIZE,
            color=MUTED,
        )
        dress(ax)
        if cumulative_ax is not None:
            self._draw(cumulative_ax, self.data.cumsum(), label="running total")
            dress(cumulative_ax)
        self.ax_, self.cumulative_ax_, self.figure_ = ax, cumulative_ax, figure_of(ax)
        return self

    def _draw(self, ax: Axes, weeks: pd.DataFrame, *, label: str) -> None:
        at = weeks.index.to_numpy()
        ax.plot(at, weeks["actual"].to_numpy(), color=INK, linewidth=1.3, label="actual")
        expected = weeks["expected"].to_numpy()
        ax.plot(at, expected, color=SECONDARY, linewidth=1.8, linestyle=(0, (5, 1.6)), label="expected")
        ax.axvline(self.train_end.to_datetime64(), color=MUTED, linewidth=1, linestyle=(0, (1, 2)))  # type: ignore[arg-type]
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        ax.yaxis.set_major_formatter(number_axis())
        ax.set(ylim=(0, None), ylabel=label)
        ax.margins(x=0.01)
