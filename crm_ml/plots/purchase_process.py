"""A purchase process beside what happened, over all histories, and along one of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crm_ml.plots.bars import paired_bars
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    PALE,
    PRIMARY,
    RULE,
    SECONDARY,
    SHADES,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    dress,
    figure_of,
    key,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["AliveHistoryDisplay", "CustomersDisplay", "DistributionDisplay", "HoldoutDisplay", "MatrixDisplay"]

DASHES = (0, (5, 1.6))


class CustomersDisplay(Display):
    """How many customers made how many repeat purchases, actual and expected.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per group, indexed by its name (such as ``"7+"``): `actual` and `expected` number of customers.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> groups = pd.DataFrame({"actual": [1411, 439], "expected": [1390.4, 459.6]}, index=["0", "1+"])
    >>> [round(float(bar.get_width()), 1) for bar in CustomersDisplay(groups).plot().ax_.patches]
    [1411.0, 439.0, 1390.4, 459.6]
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("actual", "expected"), what="groups of customers")
        self.data = data

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw two bars per group, in the order of the frame."""
        ax = new_axes(height_inches=0.8 + 0.36 * len(self.data)) if ax is None else ax
        ax.set_ylabel("repeat purchases")
        paired_bars(
            ax,
            [str(name) for name in self.data.index],
            upper=("actual customers", self.data["actual"].to_numpy()),
            lower=("expected", self.data["expected"].to_numpy()),
            write="{:,.0f}".format,
        )
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class HoldoutDisplay(Display):
    """Mean purchases after calibration, actual and expected, by repeat purchases within it.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per group, indexed by its name (such as ``"7+"``): `customers` (count), and the means `actual`
        and `expected`.
    period : str
        What the holdout is called on the axis, such as ``"39 weeks"``.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> groups = pd.DataFrame({"customers": [1411, 439], "actual": [0.237, 0.697], "expected": [0.225, 0.523]},
    ...                       index=["0", "1+"])
    >>> [line.get_ydata().tolist() for line in HoldoutDisplay(groups, period="39 weeks").plot().ax_.lines]
    [[0.237, 0.697], [0.225, 0.523]]
    """

    def __init__(self, data: pd.DataFrame, *, period: str) -> None:
        require_columns(data, ("customers", "actual", "expected"), what="holdout groups")
        self.data = data
        self.period = period

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw both means over the groups, with the number of customers under each."""
        ax = new_axes() if ax is None else ax
        at = np.arange(len(self.data))
        ax.plot(at, self.data["actual"].to_numpy(), "o-", color=INK, linewidth=1.3, markersize=4, label="actual")
        expected = self.data["expected"].to_numpy()
        ax.plot(at, expected, "s", color=SECONDARY, linewidth=1.8, linestyle=DASHES, markersize=4.5, label="expected")
        names = [f"{name}\n{n:,.0f}" for name, n in zip(self.data.index, self.data["customers"], strict=True)]
        ax.set_xticks(at, names)
        ax.set(xlabel="repeat purchases in calibration, and number of customers", ylim=(0, None))
        ax.set_ylabel(f"mean purchases in the next {self.period}")
        ax.yaxis.set_major_formatter(number_axis())
        key(ax, loc="upper left")
        dress(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class MatrixDisplay(Display):
    """A quantity over all histories: frequency across, recency upwards.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by recency, columns by frequency, both ascending in even steps; NaN is left blank.
    quantity : str
        What the colours stand for, such as ``"P(alive)"``.
    time_unit : str
        Unit of the recency, such as ``"weeks"``.
    share : bool, default False
        Whether the quantity is a share between 0 and 1.

    Examples
    --------
    >>> matrix = pd.DataFrame([[0.2, 0.1], [0.6, 0.9]], index=[1, 2], columns=[1, 2])
    >>> display = MatrixDisplay(matrix, quantity="P(alive)", time_unit="weeks", share=True).plot()
    >>> display.ax_.images[0].get_array().tolist()
    [[0.2, 0.1], [0.6, 0.9]]
    """

    def __init__(self, data: pd.DataFrame, *, quantity: str, time_unit: str, share: bool = False) -> None:
        self.data = data
        self.quantity = quantity
        self.time_unit = time_unit
        self.share = share

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the matrix as shades, with their key at the right within the same Axes."""
        ax = new_axes(height_inches=3.7) if ax is None else ax
        rows, columns = self.data.index.to_numpy(float), self.data.columns.to_numpy(float)
        image = ax.imshow(
            self.data.to_numpy(float),
            cmap=SHADES,
            vmin=0,
            vmax=1 if self.share else None,
            origin="lower",
            aspect="auto",
            interpolation="none",
            extent=(columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5),
        )
        bar = figure_of(ax).colorbar(
            image, cax=ax.inset_axes((1.03, 0, 0.035, 1)), format=PercentFormatter(1) if self.share else number_axis()
        )
        bar.outline.set_edgecolor(RULE)
        bar.ax.tick_params(labelsize=TEXT_SIZE, labelcolor=INK, color=RULE, length=3)
        bar.set_label(self.quantity, size=TEXT_SIZE, color=MUTED)
        ax.set(xlabel="repeat purchases", ylabel=f"{self.time_unit} from first to last purchase")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(8, integer=True))
        dress(ax, grid=None)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class AliveHistoryDisplay(Display):
    """One customer's purchases, and the probability of being alive day by day.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by day (Timestamp, ascending): `purchased` (bool) and `probability_alive`.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> history = pd.DataFrame({"purchased": [True, False, True], "probability_alive": [1.0, 0.9, 0.95]},
    ...                        index=pd.date_range("2024-01-01", periods=3))
    >>> display = AliveHistoryDisplay(history).plot()
    >>> len(display.ax_.collections[0].get_segments())
    2
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("purchased", "probability_alive"), what="customer history")
        self.data = data

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the probability as a line and each purchase as an upright one."""
        ax = new_axes(height_inches=2.6) if ax is None else ax
        days = self.data.index.to_numpy()
        bought = days[self.data["purchased"].to_numpy()]
        ax.plot(days, self.data["probability_alive"].to_numpy(), color=PRIMARY, linewidth=1.8, label="P(alive)")
        ax.vlines(bought, 0, 1, color=SECONDARY, linewidth=1.1, linestyle=(0, (2, 2)), zorder=1, label="purchase")
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set(ylim=(0, 1.02), ylabel="probability of being alive")
        ax.margins(x=0.01)
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        dress(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class DistributionDisplay(Display):
    """How many were seen in each bin, as bars, and how many were expected, as a line.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per bin: `above` and `up_to` (its ends, ascending; the last one may be infinite), `actual` and
        `expected` (numbers within it).
    quantity : str
        What is binned, such as ``"days between purchases"``.
    counted : str
        What is counted, such as ``"gaps"``.
    currency : str, default ""
        Sign before the ends of the bins, where they are money.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> bins = pd.DataFrame({"above": [0.0, 7.0, 14.0], "up_to": [7.0, 14.0, float("inf")],
    ...                      "actual": [12, 5, 2], "expected": [11.0, 6.5, 2.8]})
    >>> display = DistributionDisplay(bins, quantity="days between purchases", counted="gaps").plot()
    >>> [int(bar.get_height()) for bar in display.ax_.patches], display.ax_.texts[0].get_text()
    ([12, 5], 'beyond 14: actual 2, expected 3')
    """

    def __init__(
        self,
        data: pd.DataFrame,
        *,
        quantity: str,
        counted: str,
        currency: str = "",
    ) -> None:
        require_columns(data, ("above", "up_to", "actual", "expected"), what="bins")
        self.data = data
        self.quantity = quantity
        self.counted = counted
        self.currency = currency

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the bins that end, and write the numbers of the one that does not."""
        ax = new_axes() if ax is None else ax
        closed = self.data[np.isfinite(self.data["up_to"])]
        above, up_to = closed["above"].to_numpy(), closed["up_to"].to_numpy()
        fill: dict[str, Any] = {"facecolor": PALE, "edgecolor": "white", "linewidth": 0.6}
        ax.bar(above, closed["actual"].to_numpy(), width=up_to - above, align="edge", label="actual", **fill)
        middle, expected = (above + up_to) / 2, closed["expected"].to_numpy()
        ax.plot(middle, expected, "o-", color=SECONDARY, linewidth=1.6, markersize=2.8, label="expected")
        ax.set(xlim=(0, up_to[-1]), xlabel=self.quantity, ylabel=self.counted)
        ax.xaxis.set_major_formatter(number_axis(self.currency))
        ax.yaxis.set_major_formatter(number_axis())
        for row in self.data[~np.isfinite(self.data["up_to"])].itertuples():
            end = short_number(row.above, prefix=self.currency)
            text = f"beyond {end}: actual {row.actual:,.0f}, expected {row.expected:,.0f}"
            ax.text(0.99, 0.98, text, transform=ax.transAxes, ha="right", va="top", size=SMALL_TEXT_SIZE, color=MUTED)
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, reverse=True)
        dress(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
