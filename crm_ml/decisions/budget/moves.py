"""From priced choices to a plan within every limit: mend what passes a limit, then spend what is left.

Both change one customer's offer at a time, always the change that costs least for what it brings: mending
takes the smallest loss per share of the excess it removes, spending the largest gain per price of what it
uses. Within one budget the second takes the steps of all customers' upper convex hulls in order of gain per
dollar and passes over what no longer fits, which is the greedy algorithm for the multiple-choice knapsack
(Kellerer, Pferschy and Pisinger 2004, *Knapsack Problems*, chapter 11).
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from crm_ml.compiled import callable_within_loops, compiled
from crm_ml.decisions.budget.options import BLOCK, Choice, Floats, Limits, Options, for_each, tally

__all__ = ["fill", "mend"]

AT_ONCE = 65_536  # customers sorted for their next change; the others have worse ones


def mend(options: Options, limits: Limits, prices: Floats, choice: Choice) -> bool:
    """Change choices, in place, until they are within every limit; return whether they are.

    Parameters
    ----------
    options, limits : what there is to give, and within which limits
    prices : ndarray of shape (n_limits,)
        What is lost by a change is its gain less these prices.
    choice : ndarray of shape (n_customers,)
        Positions of offers, -1 for none.
    """
    scale = np.maximum(limits.magnitude(tally(options, choice)), np.finfo(float).tiny)
    while (room := limits.room(tally(options, choice))).min(initial=0.0) < 0:
        if not _change(options, limits, prices, choice, room, scale, mending=True):
            return False
    return True


def fill(options: Options, limits: Limits, prices: Floats, choice: Choice) -> None:
    """Make every change, in place, that gains and stays within every limit, the largest gain per price first.

    Parameters are those of `mend`.

    Examples
    --------
    >>> options = Options(np.array([[2.0], [10.0]]), np.array([[3.0, 4.0], [9.0, 5.0]]), np.zeros(2, np.int32), 1)
    >>> budget = Limits(np.full((1, 3, 2, 1), [[[0.0]], [[1.0]], [[0.0]]]), np.array([12.0]))
    >>> choice = np.array([-1, -1], dtype=np.int16)
    >>> fill(options, budget, np.array([0.75]), choice)
    >>> choice.tolist()
    [1, 0]
    """
    scale = np.ones(len(limits.amounts))
    while _change(options, limits, prices, choice, limits.room(tally(options, choice)), scale, mending=False):
        pass


def _change(
    options: Options, limits: Limits, prices: Floats, choice: Choice, room: Floats, scale: Floats, *, mending: bool
) -> int:
    """Make the best changes, one at a time, among the customers who have the best; return how many."""
    problem = (options.costs, options.gains, options.groups, choice, limits.weights, limits.priced(prices))
    scan = _compiled(_scan)
    keys = np.empty(options.n_customers)

    def work(number: int) -> None:
        scan(problem, room, scale, mending, number * BLOCK, min((number + 1) * BLOCK, len(keys)), keys)

    for_each(work, -(-len(keys) // BLOCK))
    rows = np.flatnonzero(keys < np.inf)
    furthest = np.inf
    if rows.size > AT_ONCE:
        furthest = float(np.partition(keys[rows], AT_ONCE)[AT_ONCE])
        rows = rows[keys[rows] <= furthest]
    ties = -rows if mending else rows  # of equals the first is given an offer first, and is the last to lose it
    rows = rows[np.lexsort((ties, keys[rows]))]
    return int(_compiled(_make)(problem, room, scale, mending, rows, keys[rows], furthest))


def _compiled(loop: Any) -> Any:
    for function in (_weighed, _relief, _fits, _best_change):
        callable_within_loops(function, inlined=function is not _best_change)
    return compiled(loop)


def _weighed(weights: Any, costs: Any, gains: Any, offer: Any, group: Any, i: Any) -> Any:
    """Return what a customer's offer uses of a limit, or pays; nothing for no offer."""
    if offer < 0:
        return 0.0
    cost = costs[offer, i if costs.shape[1] > 1 else 0]
    return weights[0, offer, group] + weights[1, offer, group] * cost + weights[2, offer, group] * gains[offer, i]


def _fits(problem: Any, room: Any, now: Any, offer: Any, group: Any, i: Any) -> Any:
    """Return whether a change stays within what is left of every limit."""
    costs, gains, _, _, weights, _ = problem
    for limit in range(len(room)):
        use = _weighed(weights[limit], costs, gains, offer, group, i)
        use -= _weighed(weights[limit], costs, gains, now, group, i)
        if use > max(room[limit], 0.0):
            return False
    return True


def _relief(problem: Any, room: Any, scale: Any, now: Any, offer: Any, group: Any, i: Any) -> Any:
    """Return how much less is used of limits that are passed, less what that passes elsewhere; 0 if no nearer."""
    costs, gains, _, _, weights, _ = problem
    relief, nearer = 0.0, 0.0
    for limit in range(len(room)):
        use = _weighed(weights[limit], costs, gains, offer, group, i)
        use -= _weighed(weights[limit], costs, gains, now, group, i)
        if room[limit] < 0.0:
            relief -= use / scale[limit]
            nearer -= max(use, room[limit]) / scale[limit]
        elif use > room[limit]:
            relief -= (use - room[limit]) / scale[limit]
            nearer -= (use - room[limit]) / scale[limit]
    return relief if nearer > 1e-12 else 0.0


def _best_change(problem: Any, room: Any, scale: Any, mending: Any, i: Any) -> Any:
    """Return how good a customer's best change is, the lower the better, inf for none, and the offer it is to."""
    costs, gains, groups, choice, _, toll = problem
    now, group = choice[i], groups[i]
    at_gain = gains[now, i] if now >= 0 else 0.0
    at_toll = _weighed(toll, costs, gains, now, group, i)
    best, pick = np.inf, now
    for offer in range(-1 if mending else 0, gains.shape[0]):
        gain = gains[offer, i] if offer >= 0 else 0.0
        if offer == now or (offer >= 0 and gain <= 0.0) or (not mending and gain <= at_gain):
            continue
        pays = _weighed(toll, costs, gains, offer, group, i) - at_toll
        if mending:
            relief = _relief(problem, room, scale, now, offer, group, i)
            key = (at_gain - gain + pays) / relief if relief > 0.0 else np.inf
        else:
            key = max(pays, 0.0) / (gain - at_gain) if _fits(problem, room, now, offer, group, i) else np.inf
        if key < best:
            best, pick = key, offer
    return best, pick


def _scan(problem: Any, room: Any, scale: Any, mending: Any, begin: Any, end: Any, keys: Any) -> None:
    for i in range(begin, end):
        keys[i] = _best_change(problem, room, scale, mending, i)[0]


def _make(problem: Any, room: Any, scale: Any, mending: Any, rows: Any, keys: Any, furthest: Any) -> Any:
    """Change customers from the best change on; a change that has become worse waits for its turn."""
    costs, gains, groups, choice, weights, _ = problem
    waiting = [(np.inf, 0)]
    place, made, later = 0, 0, -1 if mending else 1
    while not (mending and room.min() >= 0.0):
        if place < len(rows) and (keys[place], later * rows[place]) <= waiting[0]:
            key, i = keys[place], rows[place]
            place += 1
        else:
            key, tie = heapq.heappop(waiting)
            i = later * tie
        if key > furthest or key == np.inf:
            break
        again, offer = _best_change(problem, room, scale, mending, i)
        if again <= key:
            for limit in range(len(room)):
                room[limit] += _weighed(weights[limit], costs, gains, choice[i], groups[i], i)
                room[limit] -= _weighed(weights[limit], costs, gains, offer, groups[i], i)
            choice[i] = offer
            made += 1
            again, offer = _best_change(problem, room, scale, mending, i)
        if again < np.inf:
            heapq.heappush(waiting, (again, later * i))
    return made
