"""The multiple-choice knapsack: at most one offer per customer, one budget, the largest total gain.

From a customer's present choice the steps worth taking are the edges of the upper convex hull of the
points (cost, gain). Taking the steps of all customers in order of gain per dollar, until one no longer
fits, solves the linear relaxation, and the density of the step that did not fit is its multiplier
(Sinha and Zoltners 1979, *Operations Research* 27:503-515). It is found by bisecting at medians, in
linear time (Zemel 1984, *Information Processing Letters* 18:123-128). What is left of the purse is filled
in the same way: offers that no longer fit are dropped, hulls are drawn afresh from where each customer
stands, and so on until nothing fits.

Such a plan's gain never falls as the budget grows. Follow two purses through the one list of all steps in
order of density: at the first step that only the larger can afford, the smaller has less left than the
step costs and only steps of lower density to spend it on, so it gains less than that one step brings.
The same holds of the best single step, so also of the better of the two plans, which never brings less
than half of the optimum (Kellerer, Pferschy and Pisinger 2004, *Knapsack Problems*, chapter 11).

Arrays are offers by customers; -1 stands for no offer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Allocation", "affordable_prefix", "dual_bound", "purse_of", "solve_knapsack"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDING = 1e-12  # three times 0.1 is more than 0.3 in floating point, and yet within a budget of 0.3
CUSTOMERS_AT_ONCE = 65_536  # hulls are drawn for so many at a time, to stay within the processor's cache
SORTED_AT_ONCE = 65_536


@dataclass(frozen=True)
class Allocation:
    """An assignment of offers and the evidence of how good it is.

    Attributes
    ----------
    choice : ndarray of shape (n_customers,)
        Position of the customer's offer, -1 for none.
    spend, gain : float
        Total cost and total gain of the choice.
    upper_bound : float
        No assignment within the budget gains more.
    shadow_price : float
        Gain per further dollar of budget in the linear relaxation; 0 once everything worth having is paid.
    """

    choice: Integers
    spend: float
    gain: float
    upper_bound: float
    shadow_price: float


@dataclass(frozen=True)
class _Steps:
    """Hull steps of many customers, customer by customer, each customer's densest first."""

    row: Integers
    offer: Integers
    cost: Floats
    density: Floats


def solve_knapsack(costs: Floats, gains: Floats, *, budget: float) -> Allocation:
    """Choose at most one offer per customer for a large total gain within the budget.

    Parameters
    ----------
    costs : ndarray of shape (n_offers, n_customers)
        What each offer takes from the budget, at least 0.
    gains : ndarray of shape (n_offers, n_customers)
        Net gain of each offer; one that is not positive is never chosen.
    budget : float
        At least 0 and finite, in the unit of the costs.

    Returns
    -------
    Allocation
        Ties between customers go to the one that comes first, ties between offers likewise.

    Examples
    --------
    Two customers, two offers; 12 dollars buy the dear offer for one and the cheap one for the other.

    >>> costs = np.array([[2.0, 2.0], [10.0, 10.0]])
    >>> gains = np.array([[3.0, 4.0], [9.0, 5.0]])
    >>> solve_knapsack(costs, gains, budget=12.0)
    Allocation(choice=array([1, 0]), spend=12.0, gain=13.0, upper_bound=13.0, shadow_price=0.125)
    """
    purse = purse_of(budget)
    start = _best_free(costs, gains)
    choice, multiplier = _fill(costs, gains, start, purse)
    gain = float(_chosen(gains, choice).sum())
    single = _best_single(costs, gains, start, purse)
    single_gain = float(_chosen(gains, single).sum())
    if single_gain > gain:
        choice, gain = single, single_gain
    bound = dual_bound(costs, gains, budget=budget, multiplier=multiplier)
    shadow_price = multiplier
    if costs.max(initial=0.0) > purse:  # a further dollar may count towards an offer still out of reach
        steps = _hull_steps(costs, gains, start, np.arange(start.size), np.inf)
        shadow_price = _densest_within(steps.density, steps.cost, purse)[1]
    spend = min(float(_chosen(costs, choice).sum()), budget)
    return Allocation(choice, spend, gain, max(bound, gain), shadow_price)


def purse_of(budget: float) -> float:
    """Return the budget with room for the rounding of sums of decimal costs.

    >>> 0.1 + 0.1 + 0.1 <= 0.3, 0.1 + 0.1 + 0.1 <= purse_of(0.3)
    (False, True)
    """
    return budget * (1.0 + ROUNDING)


def dual_bound(costs: Floats, gains: Floats, *, budget: float, multiplier: float) -> float:
    """Return the Lagrangian bound on the gain of any assignment within the budget.

    It holds for every ``multiplier`` of at least 0; offers dearer than the whole budget are left out.

    >>> dual_bound(np.array([[5.0, 5.0]]), np.array([[4.0, 3.0]]), budget=5.0, multiplier=0.6)
    4.0
    """
    surplus, purse = np.zeros(gains.shape[1]), purse_of(budget)
    for cost, gain in zip(costs, gains, strict=True):
        np.maximum(surplus, gain - multiplier * cost, out=surplus, where=cost <= purse)
    return float(surplus.sum()) + multiplier * budget


def affordable_prefix(costs: Floats, purse: float) -> int:
    """Return how many of the costs, from the first on without a gap, the purse can pay.

    >>> affordable_prefix(np.array([4.0, 3.0, 5.0, 1.0]), 8.0)
    2
    """
    count = int(np.searchsorted(np.cumsum(costs), purse, side="right"))
    while costs[:count].sum() > purse:  # a running sum over millions drifts further than a pairwise one
        count -= 1
    return count


def _fill(costs: Floats, gains: Floats, start: Integers, purse: float) -> tuple[Integers, float]:
    """Take the densest steps, round by round; also return the density the first round broke at."""
    choice, rows, multiplier = start.copy(), np.arange(start.size), None
    while rows.size:
        steps = _hull_steps(costs, gains, choice, rows, purse)
        taken, broke_at = _densest_within(steps.density, steps.cost, purse)
        multiplier = broke_at if multiplier is None else multiplier
        row, offer = steps.row[taken], steps.offer[taken]
        furthest = np.append(row[1:] != row[:-1], np.ones(min(row.size, 1), dtype=bool))
        choice[row[furthest]] = offer[furthest]
        purse -= float(steps.cost[taken].sum())
        rows = np.unique(steps.row[~taken])
    return choice, multiplier or 0.0


def _hull_steps(costs: Floats, gains: Floats, choice: Integers, rows: Integers, reach: float) -> _Steps:
    """Draw the hulls of the given customers over offers that cost at most ``reach`` more than theirs."""
    parts = []
    for begin in range(0, max(rows.size, 1), CUSTOMERS_AT_ONCE):
        some = rows[begin : begin + CUSTOMERS_AT_ONCE]
        offer, cost, density = _hulls(costs.take(some, axis=1), gains.take(some, axis=1), choice[some], reach)
        row, level = np.nonzero(offer.T >= 0)
        parts.append((some[row], offer[level, row], cost[level, row], density[level, row]))
    row, offer, cost, density = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Steps(row, offer, cost, density)


def _hulls(costs: Floats, gains: Floats, choice: Integers, reach: float) -> tuple[Integers, Floats, Floats]:
    """Walk each upper hull from the present choice; all three arrays are steps by customers."""
    at_cost, at_gain = _chosen(costs, choice), _chosen(gains, choice)
    within = costs - at_cost <= reach
    offers = np.full(costs.shape, -1, dtype=np.int64)
    step_costs, densities = np.zeros(costs.shape), np.zeros(costs.shape)
    ceiling = np.full(choice.size, np.inf)
    for level in range(costs.shape[0]):
        best, pick = np.zeros(choice.size), offers[level]
        for offer, (cost, gain) in enumerate(zip(costs, gains, strict=True)):
            run, rise = cost - at_cost, gain - at_gain
            slope = np.zeros(choice.size)
            np.divide(rise, run, out=slope, where=within[offer] & (run > 0) & (rise > 0))
            better = slope > best
            pick[better], best[better] = offer, slope[better]
        moved = pick >= 0
        if not moved.any():
            break
        ceiling = np.minimum(ceiling, best)  # slopes fall along a hull; rounding must not say otherwise
        next_cost, next_gain = _chosen(costs, pick), _chosen(gains, pick)
        step_costs[level], densities[level] = next_cost - at_cost, ceiling
        at_cost, at_gain = np.where(moved, next_cost, at_cost), np.where(moved, next_gain, at_gain)
    return offers, step_costs, densities


def _densest_within(density: Floats, cost: Floats, purse: float) -> tuple[NDArray[np.bool_], float]:
    """Mark the densest steps up to the first the purse cannot pay; return its density, 0 if there is none.

    Bisects at the median density until few enough are left to sort; equal densities keep their order.
    """
    taken = np.zeros(density.size, dtype=bool)
    undecided = np.arange(density.size)
    if cost.sum() <= purse:
        return ~taken, 0.0
    while undecided.size > SORTED_AT_ONCE:
        among = density[undecided]
        pivot = np.partition(among, among.size // 2)[among.size // 2]
        above, level = undecided[among > pivot], undecided[among == pivot]
        if cost[above].sum() > purse:
            undecided = above
            continue
        taken[above] = True
        purse -= float(cost[above].sum())
        if cost[level].sum() > purse:
            undecided = level
            break
        taken[level] = True
        purse -= float(cost[level].sum())
        undecided = undecided[among < pivot]
    ordered = undecided[np.argsort(-density[undecided], kind="stable")]
    count = affordable_prefix(cost[ordered], purse)
    taken[ordered[:count]] = True
    return taken, float(density[ordered[count]]) if count < ordered.size else 0.0


def _chosen(values: Floats, choice: Integers) -> Floats:
    """Return each customer's value at its choice, 0 where it has none."""
    return np.where(choice >= 0, values[choice, np.arange(choice.size)], 0.0)


def _best_free(costs: Floats, gains: Floats) -> Integers:
    """Give every customer the best offer that costs nothing, where one gains anything."""
    best, choice = np.zeros(gains.shape[1]), np.full(gains.shape[1], -1, dtype=np.int64)
    for offer, (cost, gain) in enumerate(zip(costs, gains, strict=True)):
        better = (cost == 0) & (gain > best)
        choice[better], best[better] = offer, gain[better]
    return choice


def _best_single(costs: Floats, gains: Floats, start: Integers, purse: float) -> Integers:
    """Change the one choice that adds most, whatever it costs within the purse."""
    best, choice, at_gain = 0.0, start.copy(), _chosen(gains, start)
    found = None
    for offer, (cost, gain) in enumerate(zip(costs, gains, strict=True)):
        rise = np.where(cost <= purse, gain - at_gain, 0.0)
        if rise.max(initial=0.0) > best:
            row = int(rise.argmax())
            best, found = float(rise[row]), (row, offer)
    if found is not None:
        choice[found[0]] = found[1]
    return choice
