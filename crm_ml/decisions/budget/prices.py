"""The price of every limit: the Lagrangian dual of the allocation, minimised by cutting planes.

At any prices of at least 0, the customers' largest gains less prices, plus the limits at these prices, bound
the gain of every plan within the limits (Geoffrion 1974, *Mathematical Programming Study* 2:82-114; Sinha
and Zoltners 1979, *Operations Research* 27:503-515, for the multiple-choice knapsack). The bound is convex
and piecewise linear in the prices, and what the customers would then use is its slope; so each look at the
customers gives a plane beneath it, and the lowest point of the planes so far is where to look next, within
a trust region (Marsten, Hogan and Blankenship 1975, *Operations Research* 23:389-405).

Many customers are first looked at in samples: their prices are close, and the look costs little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from crm_ml.decisions.budget.options import Limits, Options, respond
from crm_ml.errors import ConvergenceError

__all__ = ["Prices", "find_prices"]

Floats = NDArray[np.float64]
Bound = Callable[[Floats], tuple[float, Floats]]

SAMPLES = (65_536, 1_048_576)  # customers; all of them come last
EXACT, CLOSE = 1e-10, 1e-6  # of the bound: few customers, whose steps are large; and many
LOOKS = 500
FIRST_STEP, NEXT_STEP, FURTHEST = 1.0, 0.03, 1e9  # of a price's own size, where nothing and where much is known
SOLVER: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Prices:
    """A price for every limit.

    Attributes
    ----------
    prices : ndarray of shape (n_limits,)
        Gain per further unit of each limit, at least 0.
    bound : float
        No plan within the limits gains more.
    """

    prices: Floats
    bound: float


def find_prices(options: Options, limits: Limits, reach: Floats) -> Prices:
    """Return prices at which the bound is close to its lowest.

    Parameters
    ----------
    options, limits : what there is to give, and within which limits
    reach : ndarray of shape (n_offers, n_groups)
        Offers that cost more are left out, see `Limits.reach`.

    Returns
    -------
    Prices
        Where several prices are equally low, those with the least for the first limit: the gain from more of it.

    Examples
    --------
    >>> options = Options(np.array([[2.0], [10.0]]), np.array([[3.0, 4.0], [9.0, 5.0]]), np.zeros(2, np.int32), 1)
    >>> budget = Limits(np.full((1, 3, 2, 1), [[[0.0]], [[1.0]], [[0.0]]]), np.array([12.0]))
    >>> found = find_prices(options, budget, budget.reach())
    >>> found.prices.round(6).tolist(), round(found.bound, 6)
    ([0.125], 13.0)
    """
    units = _units(options, limits, reach)
    at, step = np.zeros(len(limits.amounts)), FIRST_STEP
    for size in SAMPLES:
        if options.n_customers > size:
            some = options.every(options.n_customers // size)
            bound = _bound(some, limits.scaled(some.n_customers / options.n_customers), reach, units)
            at, _ = _descend(bound, at, step=step, tolerance=CLOSE)
            step = NEXT_STEP
    tolerance = EXACT if options.n_customers <= SAMPLES[0] else CLOSE
    at, lowest = _descend(_bound(options, limits, reach, units), at, step=step, tolerance=tolerance)
    return Prices(at * units, lowest)


def _bound(options: Options, limits: Limits, reach: Floats, units: Floats) -> Bound:
    """Return the function from prices, in their units, to the bound and its slope."""

    def bound(at: Floats) -> tuple[float, Floats]:
        prices = at * units
        response = respond(options, limits.priced(prices), reach)
        unused = limits.amounts - limits.usage(response.totals)
        return response.surplus + float(prices @ limits.amounts), unused * units

    return bound


def _units(options: Options, limits: Limits, reach: Floats) -> Floats:
    """Return each price's natural size: the gain per unit used where everyone is given the best offer."""
    some = options.every(max(options.n_customers // SAMPLES[0], 1))
    given = respond(some, limits.priced(np.zeros(len(limits.amounts))), reach)
    used = np.tensordot(np.abs(limits.weights), given.totals, axes=3)
    bites = (used > 0) & (given.surplus > 0)
    return np.asarray(np.divide(given.surplus, used, out=np.ones(used.size), where=bites))


def _descend(bound: Bound, at: Floats, *, step: float, tolerance: float) -> tuple[Floats, float]:
    """Return the lowest point of a convex bound over prices of at least 0, and its height there."""
    height, slope = bound(at)
    size = height if height > 0 else 1.0
    planes = [_plane(at, height, slope)]
    floor = min(step, 1.0) * 0.1 + (step >= FIRST_STEP)
    for _ in range(LOOKS):
        box = step * np.maximum(at, floor)
        lower, upper = np.maximum(at - box, 0.0), at + box
        point, promised = _lowest(planes, lower, upper, size)
        held_back = bool(((point >= upper) | ((point <= lower) & (lower > 0))).any())
        if height - promised <= tolerance * size:
            if not held_back or step > FURTHEST:
                return _least_first(bound, planes, at, height, size) if tolerance == EXACT else (at, height)
            step *= 4.0
            continue
        found, slope = bound(point)
        planes.append(_plane(point, found, slope))
        gained = (height - found) / (height - promised)
        if found < height:
            at, height = point, found
        step *= 2.0 if gained > 0.5 and held_back else 0.5 if gained < 0.1 else 1.0
    return at, height


def _least_first(bound: Bound, planes: list[Floats], at: Floats, height: float, size: float) -> tuple[Floats, float]:
    """Lower the first price as far as the bound stays where it is: a kink is taken from its cheap side."""
    first = np.eye(at.size)[0]
    while True:
        table = np.array(planes) / size
        point = _linear_program(first, table[:, :-1], height / size - table[:, -1], [(0, None)] * at.size)
        if point is None or point[0] >= at[0] * (1 - 1e-6):
            return at, height
        found, slope = bound(point)
        planes.append(_plane(point, found, slope))
        if found <= height + EXACT * size:
            at, height = point, min(found, height)


def _plane(at: Floats, height: float, slope: Floats) -> Floats:
    return np.append(slope, height - slope @ at)


def _lowest(planes: list[Floats], lower: Floats, upper: Floats, size: float) -> tuple[Floats, float]:
    """Return the lowest point of the highest plane within a box, and its height."""
    table = np.array(planes) / size
    beneath = np.column_stack([table[:, :-1], -np.ones(len(table))])
    box = [*zip(lower.tolist(), upper.tolist(), strict=True), (None, None)]
    point = _linear_program(np.append(np.zeros(lower.size), 1.0), beneath, -table[:, -1], box)
    if point is None:
        raise ConvergenceError("The limits' prices were not found.\nReport the offers and constraints as a bug.")
    return np.clip(point[:-1], lower, upper), float(point[-1]) * size


def _linear_program(
    objective: Floats, rows: Floats, amounts: Floats, bounds: list[tuple[float | None, float | None]]
) -> Floats | None:
    """Minimise the objective where rows @ x is at most the amounts; return None where HiGHS fails."""
    found = linprog(objective, A_ub=rows, b_ub=amounts, bounds=bounds, options=SOLVER)
    return np.asarray(found.x) if found.success else None
