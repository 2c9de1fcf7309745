"""The multiple-choice knapsack: at most one offer per customer, within limits, for the largest total gain.

The limits get prices (`crm_ml.decisions.budget.prices`), every customer takes what gains most at these prices,
and what that leaves over or passes is spent or mended (`crm_ml.decisions.budget.moves`). The prices also bound
what any plan can gain.

Within a single budget such a plan's gain never falls as the budget grows. Follow two purses through the one
list of all steps in order of density: at the first step that only the larger can afford, the smaller has less
left than the step costs and only steps of lower density to spend it on, so it gains less than that one step
brings. The same holds of the best single step, so also of the better of the two plans, which never brings less
than half of the optimum (Kellerer, Pferschy and Pisinger 2004, *Knapsack Problems*, chapter 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_ml.decisions.budget.moves import fill, mend
from crm_ml.decisions.budget.options import PER_GAIN, Choice, Floats, Limits, Options, respond, tally
from crm_ml.decisions.budget.prices import find_prices

__all__ = ["Allocation", "allocate", "solve_knapsack"]


@dataclass(frozen=True)
class Allocation:
    """A choice of offers and the evidence of how good it is.

    Attributes
    ----------
    choice : ndarray of shape (n_customers,)
        Position of the customer's offer, -1 for none.
    totals : ndarray of shape (3, n_offers, n_groups)
        Its contacts, costs and gains.
    prices : ndarray of shape (n_limits,)
        Gain per further unit of each limit in the linear relaxation; 0 for a limit that does not bind.
    upper_bound : float
        No choice within the limits gains more.
    """

    choice: Choice
    totals: Floats
    prices: Floats
    upper_bound: float


def solve_knapsack(options: Options, limits: Limits) -> Allocation:
    """Choose at most one offer per customer for a large total gain within the limits.

    Parameters
    ----------
    options, limits : what there is to give, and within which limits

    Returns
    -------
    Allocation
        Ties between customers go to the one that comes first, ties between offers likewise.

    Examples
    --------
    Two customers, two offers; 12 dollars buy the dear offer for one and the cheap one for the other.

    >>> options = Options(np.array([[2.0], [10.0]]), np.array([[3.0, 4.0], [9.0, 5.0]]), np.zeros(2, np.int32), 1)
    >>> budget = Limits(np.full((1, 3, 2, 1), [[[0.0]], [[1.0]], [[0.0]]]), np.array([12.0]))
    >>> found = solve_knapsack(options, budget)
    >>> found.choice.tolist(), found.prices.round(12).tolist(), found.upper_bound
    ([1, 0], [0.125], 13.0)
    """
    reach = limits.reach()
    found = find_prices(options, limits, reach)
    choice = allocate(options, limits, found.prices)
    totals = tally(options, choice)
    prices = found.prices
    if (options.costs > reach.max(axis=1)[:, None]).any():  # more of a limit may count towards an offer out of reach
        prices = find_prices(options, limits, np.full(reach.shape, np.inf)).prices
    gain = float(totals[PER_GAIN].sum())
    return Allocation(choice, totals, prices, max(found.bound, gain))


def allocate(options: Options, limits: Limits, prices: Floats) -> Choice:
    """Choose within the limits, by the limits' prices.

    Parameters and choice are those of `solve_knapsack`.
    """
    choice = respond(options, limits.priced(prices), limits.reach()).choice
    if not mend(options, limits, prices, choice):
        choice = _nothing(options)
    fill(options, limits, prices, choice)
    single = _best_single(options, limits, beyond=_gain(options, choice))
    return choice if single is None else single


def _best_single(options: Options, limits: Limits, *, beyond: float) -> Choice | None:
    """Give what costs nothing, and make the one change to it that gains most; None where that gains no more."""
    reach = limits.reach()
    no_toll = np.zeros((3, *reach.shape))
    free = respond(options, no_toll, np.minimum(reach, 0.0))
    if float(free.totals[PER_GAIN].sum()) + options.gains.max(initial=0.0) <= beyond:
        return None
    choice, best = free.choice, respond(options, no_toll, reach).choice
    rise = _chosen(options.gains, best) - _chosen(options.gains, choice)
    choice[rise.argmax()] = best[rise.argmax()]
    within = limits.room(tally(options, choice)).min() >= 0
    return choice if within and _gain(options, choice) > beyond else None


def _nothing(options: Options) -> Choice:
    return np.full(options.n_customers, -1, dtype=np.int16)


def _gain(options: Options, choice: Choice) -> float:
    return float(tally(options, choice)[PER_GAIN].sum())


def _chosen(values: Floats, choice: Choice) -> Floats:
    """Return each customer's value at its choice, 0 where it has none."""
    return np.where(choice >= 0, np.take_along_axis(values, choice[None].astype(np.intp), axis=0)[0], 0.0)
