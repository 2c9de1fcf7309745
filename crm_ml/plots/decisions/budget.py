"""What a budget buys: the frontier, and the plan beside simple rules."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crm_ml.plots.bars import paired_bars
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    PRIMARY,
    SECONDARY,
    dress,
    figure_of,
    key,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["FrontierDisplay", "PlanDisplay"]


class FrontierDisplay(Display):
    """Expected gain of the best plan at each budget, with the current budget marked.

    Parameters
    ----------
    data : pandas.DataFrame
        `budget` (ascending) and `expected_gain`, both money.
    budget : float
        The current budget, money; its gain is read off the line.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> frontier = pd.DataFrame({"budget": [0, 10_000], "expected_gain": [0.0, 9_000.0]})
    >>> drawn = FrontierDisplay(frontier, budget=5_000, currency="$").plot()
    >>> drawn.ax_.get_legend().get_texts()[0].get_text()
    '$5k spent: $4.5k expected gain'
    """

    def __init__(self, data: pd.DataFrame, budget: float, *, currency: str = "") -> None:
        require_columns(data, ("budget", "expected_gain"), what="frontier")
        self.data = data
        self.budget = budget
        self.currency = currency

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the line and the current budget on it."""
        ax = new_axes() if ax is None else ax
        budgets, gains = self.data["budget"].to_numpy(), self.data["expected_gain"].to_numpy()
        gain = float(np.interp(self.budget, budgets, gains))
        ax.plot(budgets, gains, color=PRIMARY, linewidth=2.2, marker="o", markersize=3.5)
        ax.vlines(self.budget, 0, gain, color=SECONDARY, linewidth=1, linestyle=(0, (4, 2)))
        spent, gained = (short_number(x, prefix=self.currency) for x in (self.budget, gain))
        label = f"{spent} spent: {gained} expected gain"
        ax.plot([self.budget], [gain], color=SECONDARY, marker="D", markersize=7, linestyle="none", label=label)
        ax.margins(y=0.12)
        ax.set(xlim=(0, None), ylim=(0, None), xlabel="budget", ylabel="expected gain")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6))
            axis.set_major_formatter(number_axis(self.currency))
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), handletextpad=0.1)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class PlanDisplay(Display):
    """Expected gain and spend of the plan and of the rules it is measured against.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by rule (such as ``"everyone alike"``), columns `expected_gain` and `spend`, money.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> comparison = pd.DataFrame({"expected_gain": [900.0, 400.0], "spend": [500.0, 500.0]},
    ...                           index=["plan", "top value"])
    >>> [float(bar.get_width()) for bar in PlanDisplay(comparison).plot().ax_.patches]
    [900.0, 400.0, 500.0, 500.0]
    """

    def __init__(self, data: pd.DataFrame, *, currency: str = "") -> None:
        require_columns(data, ("expected_gain", "spend"), what="plan comparison")
        self.data = data
        self.currency = currency

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw two bars per rule, in the order of the frame."""
        ax = new_axes(height_inches=0.6 + 0.5 * len(self.data)) if ax is None else ax
        paired_bars(
            ax,
            [str(rule) for rule in self.data.index],
            upper=("expected gain", self.data["expected_gain"].to_numpy()),
            lower=("spend", self.data["spend"].to_numpy()),
            write=lambda amount: short_number(amount, prefix=self.currency),
        )
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
