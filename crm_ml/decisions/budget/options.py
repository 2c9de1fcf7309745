"""What each customer could be given, what every limit says about it, and how choices add up."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_ml.compiled import compiled

__all__ = ["PER_CONTACT", "PER_COST", "PER_GAIN", "Limits", "Options", "Response", "respond", "tally"]

Floats = NDArray[np.float64]
Choice = NDArray[np.int16]

PER_CONTACT, PER_COST, PER_GAIN = range(3)
ROUNDING = 1e-12  # three times 0.1 is more than 0.3 in floating point, and yet within a budget of 0.3
BLOCK = 65_536  # summed by itself, so that no sum depends on the number of threads


@dataclass(frozen=True)
class Options:
    """The offers' costs and gains for every customer.

    Attributes
    ----------
    costs : ndarray of shape (n_offers, n_customers) or (n_offers, 1)
        At least 0; one column where no offer's cost depends on the customer.
    gains : ndarray of shape (n_offers, n_customers)
        Expected net gain; an offer that is not expected to gain is never given.
    groups : ndarray of shape (n_customers,)
        Each customer's segment, as a number from 0.
    n_groups : int
    """

    costs: Floats
    gains: Floats
    groups: NDArray[np.int32]
    n_groups: int

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return int(self.gains.shape[1])

    def every(self, stride: int) -> Self:
        """Return each `stride`-th customer's options."""
        return self.take(slice(None, None, stride))

    def take(self, rows: Any) -> Self:
        """Return some customers' options."""
        costs = self.costs if self.costs.shape[1] == 1 else np.ascontiguousarray(self.costs[:, rows])
        gains, groups = np.ascontiguousarray(self.gains[:, rows]), np.ascontiguousarray(self.groups[rows])
        return type(self)(costs, gains, groups, self.n_groups)


@dataclass(frozen=True)
class Limits:
    """Linear limits: the uses of all choices together may not pass an amount.

    Attributes
    ----------
    weights : ndarray of shape (n_limits, 3, n_offers, n_groups)
        What a choice uses of each limit: so much per contact, per unit of cost and per unit of gain.
    amounts : ndarray of shape (n_limits,)
        At least 0, so that giving nothing to anyone is always within every limit.
    """

    weights: Floats
    amounts: Floats

    def scaled(self, share: float) -> Limits:
        """Return the same limits for a share of the customers."""
        return Limits(self.weights, self.amounts * share)

    def usage(self, totals: Floats) -> Floats:
        """Return what choices that add up to `totals` (see `tally`) use of each limit."""
        return np.asarray(np.tensordot(self.weights, totals, axes=3))

    def magnitude(self, totals: Floats) -> Floats:
        """Return each limit's size: its amount, or what choices use and free of it where that is more."""
        return np.asarray(np.maximum(self.amounts, np.tensordot(np.abs(self.weights), totals, axes=3)))

    def room(self, totals: Floats) -> Floats:
        """Return what is left of each limit, with room for the rounding of sums of decimal costs."""
        return self.amounts + ROUNDING * self.magnitude(totals) - self.usage(totals)

    def priced(self, prices: Floats) -> Floats:
        """Return what a choice pays at these prices: (3, n_offers, n_groups), per contact, cost and gain."""
        return np.asarray(np.tensordot(prices, self.weights, axes=1))

    def purses(self) -> Limits:
        """Return the limits that every choice draws on and none adds to: budgets and caps."""
        drawn_on = (self.weights >= 0).all(axis=(1, 2, 3)) & (self.weights[:, PER_GAIN] == 0).all(axis=(1, 2))
        return Limits(self.weights[drawn_on], self.amounts[drawn_on])

    def reach(self) -> Floats:
        """Return the largest cost at which an offer is within every limit by itself: (n_offers, n_groups)."""
        purses = self.purses()
        weights = purses.weights
        left = purses.amounts[:, None, None] * (1 + ROUNDING) - weights[:, PER_CONTACT]
        per_cost = weights[:, PER_COST]
        dearest = np.full(left.shape, np.inf)
        np.divide(left, per_cost, out=dearest, where=per_cost > 0)
        dearest[left < 0] = -np.inf
        return np.ascontiguousarray(dearest.min(axis=0, initial=np.inf))


@dataclass(frozen=True)
class Response:
    """What customers would be given if every limit had its price.

    Attributes
    ----------
    choice : ndarray of shape (n_customers,)
        The offer with the largest gain less prices, -1 where none is above 0; ties go to the first offer.
    totals : ndarray of shape (3, n_offers, n_groups)
        Contacts, costs and gains of the choices.
    surplus : float
        Sum over customers of gain less prices.
    """

    choice: Choice
    totals: Floats
    surplus: float


def respond(options: Options, toll: Floats, reach: Floats) -> Response:
    """Give every customer what gains most after prices.

    Parameters
    ----------
    options : Options
    toll : ndarray of shape (3, n_offers, n_groups)
        What a choice pays, as `Limits.priced` gives it.
    reach : ndarray of shape (n_offers, n_groups)
        Offers that cost more are left out.

    Examples
    --------
    >>> options = Options(np.array([[2.0], [10.0]]), np.array([[3.0, 4.0], [9.0, 5.0]]), np.zeros(2, np.int32), 1)
    >>> respond(options, np.full((3, 2, 1), [[[0.0]], [[0.5]], [[0.0]]]), np.full((2, 1), np.inf)).choice.tolist()
    [1, 0]
    """
    n, blocks = options.n_customers, _blocks(options.n_customers)
    choice = np.empty(n, dtype=np.int16)
    totals, surplus = np.zeros((len(blocks), *toll.shape)), np.zeros(len(blocks))
    loop = compiled(_respond)

    def work(number: int) -> None:
        begin, end = blocks[number]
        surplus[number] = loop(
            options.costs, options.gains, options.groups, toll, reach, begin, end, choice, totals[number]
        )

    for_each(work, len(blocks))
    return Response(choice, totals.sum(axis=0), float(surplus.sum()))


def tally(options: Options, choice: Choice) -> Floats:
    """Return the contacts, costs and gains of choices by offer and group: (3, n_offers, n_groups).

    >>> options = Options(np.array([[2.0], [10.0]]), np.array([[3.0, 4.0], [9.0, 5.0]]), np.zeros(2, np.int32), 1)
    >>> tally(options, np.array([1, 0], dtype=np.int16))[:, :, 0].tolist()
    [[1.0, 1.0], [2.0, 10.0], [4.0, 9.0]]
    """
    blocks = _blocks(options.n_customers)
    totals = np.zeros((len(blocks), 3, len(options.gains), options.n_groups))
    loop = compiled(_tally)

    def work(number: int) -> None:
        loop(options.costs, options.gains, options.groups, choice, *blocks[number], totals[number])

    for_each(work, len(blocks))
    return np.asarray(totals.sum(axis=0))


def for_each(work: Any, count: int) -> None:
    """Call `work` with every number below `count`, on all cores where there is enough to do."""
    if count < 4:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, range(count)))


def _blocks(n_customers: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + BLOCK, n_customers)) for begin in range(0, n_customers, BLOCK)]


def _respond(
    costs: Any, gains: Any, groups: Any, toll: Any, reach: Any, begin: Any, end: Any, choice: Any, totals: Any
) -> Any:
    wide = costs.shape[1] > 1
    surplus = 0.0
    for i in range(begin, end):
        group, best, pick = groups[i], 0.0, -1
        for offer in range(gains.shape[0]):
            gain = gains[offer, i]
            cost = costs[offer, i if wide else 0]
            if gain > 0.0 and cost <= reach[offer, group]:
                left = gain - (toll[0, offer, group] + toll[1, offer, group] * cost + toll[2, offer, group] * gain)
                if left > best:
                    best, pick = left, offer
        choice[i] = pick
        if pick >= 0:
            surplus += best
            totals[0, pick, group] += 1.0
            totals[1, pick, group] += costs[pick, i if wide else 0]
            totals[2, pick, group] += gains[pick, i]
    return surplus


def _tally(costs: Any, gains: Any, groups: Any, choice: Any, begin: Any, end: Any, totals: Any) -> None:
    wide = costs.shape[1] > 1
    for i in range(begin, end):
        offer = choice[i]
        if offer >= 0:
            totals[0, offer, groups[i]] += 1.0
            totals[1, offer, groups[i]] += costs[offer, i if wide else 0]
            totals[2, offer, groups[i]] += gains[offer, i]
