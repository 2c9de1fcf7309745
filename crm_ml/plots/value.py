"""Where the value sits: segments and concentration."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from crm_ml.plots.bars import paired_bars
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    MUTED,
    PALE,
    PRIMARY,
    SECONDARY,
    dress,
    figure_of,
    key,
    new_axes,
    require_columns,
    row_names,
)

__all__ = ["ConcentrationDisplay", "SegmentsDisplay"]


class SegmentsDisplay(Display):
    """Each segment's share of the customers beside its share of the value.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by segment name, columns `customers` (count) and `value` (money).
    value : str
        The column that holds the money, such as ``"spend"`` or ``"clv"``.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> segments = pd.DataFrame({"customers": [10, 30], "spend": [750.0, 250.0]}, index=["loyal", "new"])
    >>> bars = SegmentsDisplay(segments).plot().ax_.patches
    >>> [round(float(bar.get_width()), 3) for bar in bars]
    [0.75, 0.25, 0.25, 0.75]
    """

    def __init__(self, data: pd.DataFrame, *, value: str = "spend") -> None:
        require_columns(data, ("customers", value), what="segments")
        self.data = data
        self.value = value

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw two bars per segment, in the order of the frame."""
        ax = new_axes(height_inches=0.6 + 0.42 * len(self.data)) if ax is None else ax
        shares = self.data[["customers", self.value]]
        shares = shares / shares.sum()
        paired_bars(
            ax,
            row_names(shares.index),
            upper=(f"share of {self.value}", shares[self.value].to_numpy()),
            lower=("share of customers", shares["customers"].to_numpy()),
            write="{:.0%}".format,
        )
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class ConcentrationDisplay(Display):
    """Share of all value held by the most valuable customers.

    Parameters
    ----------
    data : pandas.DataFrame
        `customer_share` and `value_share`, in [0, 1] and ascending, the most valuable customers first.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> curve = pd.DataFrame({"customer_share": [0.0, 0.2, 1.0], "value_share": [0.0, 0.6, 1.0]})
    >>> ConcentrationDisplay(curve).plot().ax_.get_legend().get_texts()[0].get_text()
    'top 10% of customers: 30% of the value'
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, ("customer_share", "value_share"), what="concentration curve")
        self.data = data

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the curve, equality as a diagonal, and mark the top 10 %."""
        ax = new_axes() if ax is None else ax
        customers, value = self.data["customer_share"].to_numpy(), self.data["value_share"].to_numpy()
        top = float(np.interp(0.1, customers, value))
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        ax.plot(customers, value, color=PRIMARY, linewidth=2.2)
        ax.fill_between(customers, value, customers, color=PALE, alpha=0.35, linewidth=0)
        ax.plot([0.1, 0.1, 0], [0, top, top], color=SECONDARY, linewidth=1, linestyle=(0, (4, 2)))
        label = f"top 10% of customers: {top:.0%} of the value"
        ax.plot([0.1], [top], color=SECONDARY, marker="D", markersize=6, linestyle="none", label=label)
        ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="customers, most valuable first", ylabel="share of value")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), handletextpad=0.1)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
