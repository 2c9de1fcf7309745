"""What a budget buys: what the offers bring, how sure that is, other budgets, and simple rules beside the plan."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crm_ml.decisions import BudgetPlan
from crm_ml.plots.bars import paired_bars
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    PALE,
    PRIMARY,
    SECONDARY,
    SMALL_TEXT_SIZE,
    before_amount,
    dress,
    figure_of,
    key,
    new_axes,
    number_axis,
    require_columns,
    row_names,
    short_number,
)

__all__ = ["FrontierDisplay", "GainDisplay", "OffersDisplay", "PlanDisplay"]


class OffersDisplay(Display):
    r"""What each offer costs and is expected to gain, and how its effect is known.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by offer: `customers` (count), `spend`, `expected_gain` (money), `value_basis`, as
        `BudgetPlan.by_offer` gives it.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> offers = pd.DataFrame({"customers": [90], "spend": [450.0], "expected_gain": [800.0],
    ...                        "value_basis": ["assumed"]}, index=["coupon"])
    >>> [text.get_text() for text in OffersDisplay(offers).plot().ax_.get_yticklabels()]
    ['coupon\n90 customers, assumed']
    """

    def __init__(self, data: pd.DataFrame, *, currency: str = "") -> None:
        require_columns(data, ("customers", "spend", "expected_gain", "value_basis"), what="offers")
        self.data = data
        self.currency = currency

    @classmethod
    def from_plan(cls, plan: BudgetPlan, *, currency: str = "") -> Self:
        """Take the offers of a plan."""
        return cls(plan.by_offer(), currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw two bars per offer, in the order of the frame."""
        ax = new_axes(height_inches=0.6 + 0.62 * len(self.data)) if ax is None else ax
        names = [
            f"{name}\n{short_number(customers)} customers, {basis}"
            for name, customers, basis in zip(
                row_names(self.data.index), self.data["customers"], self.data["value_basis"], strict=True
            )
        ]
        paired_bars(
            ax,
            names,
            upper=("expected gain", self.data["expected_gain"].to_numpy()),
            lower=("spend", self.data["spend"].to_numpy()),
            write=lambda amount: short_number(amount, prefix=self.currency),
        )
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class GainDisplay(Display):
    """A plan's expected gain: what each source of doubt does to it, and the most that any plan could gain.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by source, and "together" last: `lower` and `upper`, 90 % intervals of the gain, money.
    expected_gain, upper_bound : float
        Money.
    currency : str
        Sign written before amounts.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> doubt = pd.DataFrame({"lower": [60.0, 55.0], "upper": [110.0, 112.0]}, index=["churn", "together"])
    >>> drawn = GainDisplay(doubt, expected_gain=90.0, upper_bound=91.0, currency="$").plot()
    >>> [text.get_text() for text in drawn.ax_.get_legend().get_texts()]
    ['expected gain $90', 'no plan gains more than $91']
    """

    def __init__(self, data: pd.DataFrame, *, expected_gain: float, upper_bound: float, currency: str = "") -> None:
        require_columns(data, ("lower", "upper"), what="intervals of the gain")
        self.data = data
        self.expected_gain = expected_gain
        self.upper_bound = upper_bound
        self.currency = currency

    @classmethod
    def from_plan(cls, plan: BudgetPlan, *, currency: str = "") -> Self:
        """Take the interval of a plan's gain."""
        ends = plan.expected_gain + plan.uncertainty
        ends.loc["together"] = [plan.expected_gain_lower, plan.expected_gain_upper]
        return cls(ends, expected_gain=plan.expected_gain, upper_bound=plan.upper_bound, currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw one bar per source, from the lower to the upper end."""
        ax = new_axes(height_inches=1.0 + 0.42 * len(self.data)) if ax is None else ax
        at = np.arange(len(self.data))
        lower, upper = self.data["lower"].to_numpy(), self.data["upper"].to_numpy()
        fill = [PALE] * (len(at) - 1) + [PRIMARY]
        ax.barh(at, upper - lower, left=lower, height=0.5, color=fill)
        for ends, side, shift in ((lower, "right", -4), (upper, "left", 4)):
            for row, end in zip(at, ends, strict=True):
                ax.annotate(
                    short_number(end, prefix=self.currency),
                    (end, row),
                    (shift, 0),
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    color=INK,
                    size=SMALL_TEXT_SIZE,
                )
        gain, bound = (short_number(x, prefix=self.currency) for x in (self.expected_gain, self.upper_bound))
        ax.axvline(self.expected_gain, color=SECONDARY, linewidth=1.6, label=f"expected gain {gain}")
        label = f"no plan gains more than {bound}"
        ax.axvline(self.upper_bound, color=MUTED, linewidth=1.2, linestyle=(0, (1, 2)), label=label)
        ax.set_yticks(at, [str(source) for source in self.data.index])
        ax.invert_yaxis()
        ax.use_sticky_edges = False
        ax.margins(x=0.25)
        ax.set_xlabel("expected gain, 90 % interval")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(number_axis(self.currency))
        key(ax, loc="lower left", bbox_to_anchor=(0, 1))
        dress(ax, grid="x")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class FrontierDisplay(Display):
    """Expected gain of the best plan at each budget, with the current budget and its next dollar marked.

    Parameters
    ----------
    data : pandas.DataFrame
        `budget` (ascending) and `expected_gain`, both money; with `shadow_price`, the gain per further dollar,
        the line that the next dollars would follow is drawn.
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

    @classmethod
    def from_plan(cls, plan: BudgetPlan, *, points: int = 21, currency: str = "") -> Self:
        """Take the frontier of a plan, see `BudgetPlan.frontier`."""
        return cls(plan.frontier(points=points), plan.budget, currency=currency)

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
        if "shadow_price" in self.data:
            price = float(self.data["shadow_price"].to_numpy()[np.abs(budgets - self.budget).argmin()])
            further = 0.12 * float(budgets.max(initial=0.0))
            label = f"the next {before_amount(self.currency)}1 brings {short_number(price, prefix=self.currency)}"
            ends = ([self.budget, self.budget + further], [gain, gain + price * further])
            ax.plot(*ends, color=SECONDARY, linewidth=2, label=label)
        ax.margins(y=0.12)
        ax.set(xlim=(0, None), ylim=(0, None), xlabel="budget", ylabel="expected gain")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6))
            axis.set_major_formatter(number_axis(self.currency))
        key(ax, loc="lower left", bbox_to_anchor=(0, 1), handletextpad=0.6)
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

    @classmethod
    def from_plan(cls, plan: BudgetPlan, *, currency: str = "") -> Self:
        """Take a plan and its simple rules."""
        return cls(plan.comparison(), currency=currency)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw two bars per rule, in the order of the frame."""
        ax = new_axes(height_inches=0.6 + 0.5 * len(self.data)) if ax is None else ax
        paired_bars(
            ax,
            row_names(self.data.index),
            upper=("expected gain", self.data["expected_gain"].to_numpy()),
            lower=("spend", self.data["spend"].to_numpy()),
            write=lambda amount: short_number(amount, prefix=self.currency),
        )
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
