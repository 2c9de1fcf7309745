"""The outlook of customers who buy at random times and may leave after each purchase: BG/NBD and its kin.

An alive customer with j events since the last purchase, k to a purchase, has lambda ~ Gamma(shape + j, rate) and
leaves after each further purchase with p ~ Beta(a, b), independent of lambda. With M the negative binomial number
of events within t and N = floor((M + j) / k),

    P(n purchases) = P(N = n) E[(1 - p)^n] + P(N >= n) E[p (1 - p)^(n - 1)],  the latter for n > 0.

Those alive buy again for certain, and wait Gamma(k - j) / lambda. Of lambda and p, discounted purchases are a
geometric series in phi = (lambda / (lambda + delta))^k, the discount of a whole gap at the rate delta:

    (lambda / (lambda + delta))^(k - j) / (1 - (1 - p) phi),

of which the expectation over p is tabulated in log(lambda), and that over lambda taken by the trapezoidal rule
there, which converges geometrically. The relative error against 40-digit arithmetic is about 1e-12.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, equation 8, for new customers of
BG/NBD; renewals with Erlang gaps: Cox (1962), Renewal Theory, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc, betaln, log_expit, logit, xlogy

from crm_ml.clv.likelihood.rising import log_choice, log_decline
from crm_ml.clv.processes.geometric_dropout import dropout_grid, through_cells
from crm_ml.clv.processes.outlook.root import increasing_root

__all__ = ["GeometricOutlook"]

Array = NDArray[np.float64]

_LONGEST = 690.0
"""Logarithm of the longest wait in units of the rate, short of overflow."""
_TINY = 1e-300
_FASTEST = 1e12
"""Purchases per unit of discounted time up to which the grid of p is at its finest."""
_LOG_EPS = 40.0
_STEP = 0.25


@dataclass(frozen=True)
class GeometricOutlook:
    """Customers alive with probability ``alive``; see `Outlook` for the methods.

    Attributes
    ----------
    alive, shape, rate, a, b : ndarray, broadcastable
        Of the purchase rate in stage 0, and of the probability to leave.
    stages : ndarray of shape (k, ...)
        Probability of each stage of those alive.

    Examples
    --------
    A new customer who buys at rates Gamma(2, 4) and leaves with p ~ Beta(1, 2), within 4 units of time:

    >>> one = np.array(1.0)
    >>> outlook = GeometricOutlook(alive=one, stages=np.ones((1, 1)), shape=2 * one, rate=4 * one, a=one, b=2 * one)
    >>> outlook.probability_of_count([0, 1], 4.0).round(6).tolist()  # 1/4, and 1/4 × 2/3 + 3/4 × 1/3
    [0.25, 0.416667]
    >>> outlook.mean_wait().item()  # rate / (shape - 1)
    4.0
    """

    alive: Array
    stages: Array
    shape: Array
    rate: Array
    a: Array
    b: Array

    def probability_of_count(self, n: ArrayLike, horizon: ArrayLike) -> Array:
        """Probability of exactly ``n`` purchases within ``horizon``."""
        n, reach = np.asarray(n, dtype=float), np.asarray(horizon, dtype=float) / self.rate
        k, some = len(self.stages), n > 0
        exactly, at_least = np.zeros((2, *np.broadcast(n, reach, self.stages[0]).shape))
        for j, probability in enumerate(self.stages):
            shape, first = self.shape + j, n * k - j
            at_least += probability * _at_least(first, shape, reach)
            for events in (first + i for i in range(k)):
                exactly += probability * _exactly(events, shape, reach)
        stays = np.exp(log_decline(self.b, self.a, n))
        leaves = np.where(some, stays * (self.a / np.where(some, self.b + n - 1.0, 1.0)), 0.0)
        return np.asarray(self.alive * (stays * exactly + leaves * at_least) + (1.0 - self.alive) * ~some)

    def wait(self, probability: float) -> Array:
        """Return the time by which a purchase has been made with this probability; infinite if it never is."""
        alive, shape, rate = np.broadcast_arrays(self.alive, self.shape, self.rate)
        reached = np.flatnonzero(alive > probability)
        target = probability / alive[reached]
        result = np.full(alive.shape, np.inf)
        if len(self.stages) == 1:
            log_stretch = -np.log1p(-target) / shape[reached]
            seen = np.where(log_stretch < _LONGEST, np.expm1(np.minimum(log_stretch, _LONGEST)), np.inf)
        else:
            log_reach = _log_reach(
                target, np.broadcast_to(self.stages, (len(self.stages), len(alive)))[:, reached], shape[reached]
            )
            seen = np.where(log_reach < _LONGEST, np.exp(np.minimum(log_reach, _LONGEST)), np.inf)
        result[reached] = rate[reached] * seen
        return result

    def mean_wait(self) -> Array:
        """Return the expected time to the next purchase of those alive; infinite where the shape is 1 or less."""
        k, finite = len(self.stages), self.shape > 1.0
        beyond = np.where(finite, self.shape - 1.0, 1.0)
        gaps = sum(probability * (k - j) / (beyond + j) for j, probability in enumerate(self.stages))
        return np.where(finite, self.rate * gaps, np.inf)

    def discounted_purchases(self, discount_rate: float) -> Array:
        """Return expected purchases ever, each worth exp(-discount_rate × its time)."""
        alive, shape, rate, a, b = np.broadcast_arrays(self.alive, self.shape, self.rate, self.a, self.b)
        stages = np.broadcast_to(self.stages, (len(self.stages), *alive.shape))
        order = np.lexsort((b, a, shape))
        sorts = np.stack([shape, a, b])[:, order]
        result = np.empty(alive.shape)
        for rows in np.split(order, 1 + np.flatnonzero((sorts[:, 1:] != sorts[:, :-1]).any(axis=0))):
            if len(rows):
                own = (float(column[rows[0]]) for column in (shape, a, b))
                result[rows] = _discounted(discount_rate, stages[:, rows], rate[rows], *own)
        return alive * result


def _exactly(events: Array, shape: Array, reach: Array) -> Array:
    """Negative binomial probability of so many events; 0 for fewer than none."""
    count, some_time = np.maximum(events, 0.0), reach > 0
    log_share = -np.log1p(1.0 / np.where(some_time, reach, 1.0))
    log_single = log_choice(shape, count) - shape * np.log1p(reach) + count * log_share
    return np.where(events >= 0, np.exp(log_single + xlogy(count, some_time)), 0.0)


def _at_least(events: Array, shape: Array, reach: Array) -> Array:
    some = np.maximum(events, 1.0)
    near, far = betainc(some, shape, reach / (1.0 + reach)), betaincc(shape, some, 1.0 / (1.0 + reach))
    return np.where(events > 0, np.where(reach < 1.0, near, far), 1.0)


def _log_reach(target: Array, stages: Array, shape: Array) -> Array:
    """Logarithm of the time, in units of the rate, by which an alive customer has bought with this probability."""
    k, goal = len(stages), logit(target)

    def excess(u: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        done, open_, flow = np.zeros((3, len(rows)))
        for j, probability in enumerate(stages[:, rows]):
            left, missing = shape[rows] + j, float(k - j)
            done += probability * _at_least(np.full_like(u, missing), left, np.exp(u))
            open_ += probability * betainc(left, missing, 1.0 / (1.0 + np.exp(u)))
            flow += probability * np.exp(missing * log_expit(u) + left * log_expit(-u) - betaln(missing, left))
        done, open_ = np.maximum(done, _TINY), np.maximum(open_, _TINY)
        return np.log(done) - np.log(open_) - goal[rows], flow * (1.0 / done + 1.0 / open_)

    ends = np.full_like(target, _LONGEST)
    return increasing_root(excess, np.zeros_like(target), -ends, ends)


def _discounted(discount_rate: float, stages: Array, rate: Array, shape: float, a: float, b: float) -> Array:
    """Discounted purchases of alive customers who differ in stage and rate only."""
    k = len(stages)
    p, weight = dropout_grid(a, b, reach=_FASTEST)

    def series(pace: Array) -> Array:
        log_phi = -k * np.log1p(1.0 / pace)[:, None]
        return np.asarray((weight / (p * np.exp(log_phi) - np.expm1(log_phi))).sum(axis=1))

    result = np.zeros(rate.shape)
    for j, probability in enumerate(stages):
        node, node_weight = _gamma_grid(shape + j + 1.0)

        def ahead(rate: Array, j: int = j, node: Array = node, node_weight: Array = node_weight) -> Array:
            pace = node / (rate[:, None] * discount_rate)
            first = np.exp(-(k - j - 1) * np.log1p(1.0 / pace)) / (1.0 + pace)
            summed = through_cells(series, pace.ravel()).reshape(pace.shape)
            return np.asarray((node_weight * first * summed).sum(axis=1))

        result += probability * (shape + j) * through_cells(ahead, rate)
    return result / (rate * discount_rate)


def _gamma_grid(shape: float) -> tuple[Array, Array]:
    """Nodes and weights for expectations over Gamma(shape, 1), shape > 1, of a function smooth in the logarithm."""
    fall = _LOG_EPS / shape
    low, high = 0.5 * (fall + np.sqrt(fall * (fall + 8.0))), np.sqrt(2.0 * fall)
    step = min(_STEP, 0.5 / np.sqrt(shape))
    v = np.arange(-np.ceil(low / step), np.ceil(high / step) + 1.0) * step
    density = np.exp(shape * (v - np.expm1(v)))
    return shape * np.exp(v), density / density.sum()
