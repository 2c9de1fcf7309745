"""The outlook of customers who buy at Poisson times and may leave at any moment: Pareto/NBD.

An alive customer has lambda ~ Gamma(r, alpha) and mu ~ Gamma(s, beta). Counts are negative binomial up to the
time of leaving, over which they are averaged. The next purchase comes at y, before leaving, with the density

    f(y) = (r / alpha) (1 + y / alpha)^-(r + 1) (1 + y / beta)^-s,

which is not a whole probability: its integral is that of buying again, E[lambda / (lambda + mu)]. Integrals are
taken in u = log(y / alpha), where the logarithm of what is integrated is concave; far out it is a power of y.

Source: Fader and Hardie (2005), A Note on Deriving the Pareto/NBD Model; discounted purchases: Fader, Hardie
and Lee (2005), RFM and CLV, Journal of Marketing Research 42(4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from crm_ml.clv.likelihood.exponential_dropout import discounted_lifetime
from crm_ml.clv.likelihood.log_concave import log_integral
from crm_ml.clv.likelihood.rising import log_choice
from crm_ml.clv.processes.outlook.root import increasing_root

__all__ = ["ExponentialOutlook"]

Array = NDArray[np.float64]

_PEAKED_NODES = 48
"""For functions that fall to both sides of a narrow peak."""
_LONGEST = 690.0
"""Logarithm of the longest wait in units of alpha, short of overflow."""
_RUN_UP = 90.0
_POWER_FROM = 37.0
_TINY = 1e-300


@dataclass(frozen=True)
class ExponentialOutlook:
    """Customers alive with probability ``alive``; see `Outlook` for the methods.

    Attributes
    ----------
    alive, r, alpha, s, beta : ndarray, broadcastable
        Gamma parameters of the rates of buying and of leaving of those alive.

    Examples
    --------
    With alpha = beta the next purchase comes before leaving with probability r / (r + s), after Pareto times:

    >>> one = np.ones(1)
    >>> outlook = ExponentialOutlook(alive=one, r=3 * one, alpha=5 * one, s=one, beta=5 * one)
    >>> float(outlook.wait(0.5)[0].round(12)), float(outlook.wait(0.8)[0])  # 5 (3^(1/4) - 1)
    (1.580370064763, inf)
    >>> float(outlook.mean_wait()[0].round(12))  # alpha / (r + s - 1)
    1.666666666667
    """

    alive: Array
    r: Array
    alpha: Array
    s: Array
    beta: Array

    def probability_of_count(self, n: ArrayLike, horizon: ArrayLike) -> Array:
        """Probability of exactly ``n`` purchases within ``horizon``."""
        columns = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(horizon, dtype=float), *self._columns)
        ahead = _probability_of_count(*(column.ravel() for column in columns[:2] + columns[3:]))
        alive = columns[2]
        return np.asarray(alive * ahead.reshape(alive.shape) + (1.0 - alive) * (columns[0] == 0.0))

    def wait(self, probability: float) -> Array:
        """Return the time by which a purchase has been made with this probability; infinite if it never is."""
        alive, r, alpha, s, beta = np.broadcast_arrays(*self._columns)
        result = np.full(alive.shape, np.inf)
        ever = r * np.exp(_NextPurchase.of(r, alpha, s, beta, moment=1).log_total())
        rows = np.flatnonzero(alive * ever > probability)
        density = _NextPurchase.of(r[rows], alpha[rows], s[rows], beta[rows], moment=1)
        log_wait = density.quantile(probability / (alive * r)[rows])
        longest = np.exp(np.minimum(log_wait, _LONGEST))
        result[rows] = alpha[rows] * np.where(log_wait < _LONGEST, longest, np.inf)
        return result

    def mean_wait(self) -> Array:
        """Return the expected time to the next purchase of those alive who make one; infinite for r + s <= 1."""
        alive, r, alpha, s, beta = np.broadcast_arrays(*self._columns)
        result = np.full(alive.shape, np.inf)
        rows = np.flatnonzero(r + s > 1.0)
        own = r[rows], alpha[rows], s[rows], beta[rows]
        first, zeroth = (_NextPurchase.of(*own, moment=moment).log_total() for moment in (2, 1))
        result[rows] = alpha[rows] * np.exp(first - zeroth)
        return result

    def discounted_purchases(self, discount_rate: float) -> Array:
        """Return expected purchases ever, each worth exp(-discount_rate × its time)."""
        lifetime = discounted_lifetime(np.inf, discount_rate=discount_rate, s=float(self.s), beta=self.beta)
        return np.asarray(self.alive * self.r / self.alpha * lifetime)

    @property
    def _columns(self) -> tuple[Array, ...]:
        return self.alive, self.r, self.alpha, self.s, self.beta


@dataclass(frozen=True)
class _NextPurchase:
    """exp(moment × u) (1 + e^u)^-(r + 1) (1 + ratio e^u)^-s: density of the next purchase, or times the time."""

    moment: Array
    r1: Array
    ratio: Array
    s: Array
    low: Array
    peak: Array
    high: Array

    @classmethod
    def of(cls, r: Array, alpha: Array, s: Array, beta: Array, *, moment: int) -> _NextPurchase:
        """Find where the function lies: it rises like its moment, and from ``high`` on falls like a power."""
        r1, ratio, c = r + 1.0, alpha / beta, float(moment)
        linear, square = r1 + s * ratio - c * (1.0 + ratio), ratio * (r1 + s - c)
        size = np.abs(linear) + np.sqrt(linear * linear + 4.0 * square * c)
        peak = np.log(np.where(linear > 0.0, 2.0 * c / size, size / (2.0 * square)))
        low = np.minimum(peak, -np.log1p(r1 + s * ratio)) - _RUN_UP
        high = np.maximum(peak, np.maximum(0.0, -np.log(ratio)) + np.log(r1 + s)) + _POWER_FROM
        return cls(np.full_like(r, c), r1, ratio, s, low, peak, high)

    def log_total(self) -> Array:
        """Logarithm of the whole integral."""
        return np.logaddexp(self._log_until(self.high, np.arange(len(self.high))), self._log_tail())

    def quantile(self, target: Array) -> Array:
        """Place up to which the integral is ``target``, which the whole exceeds."""
        total = np.exp(self.log_total())
        beyond, tail = total - target, np.maximum(np.exp(self._log_tail()), _TINY)
        goal = np.log(target) - np.log(beyond)

        def excess(u: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
            done = np.maximum(np.exp(self._log_until(u, rows)), _TINY)
            open_ = np.maximum(total[rows] - done, _TINY)
            flow = np.exp(_log_next(u, *(column[rows] for column in self._parameters)))
            return np.log(done) - np.log(open_) - goal[rows], flow * (1.0 / done + 1.0 / open_)

        found = increasing_root(excess, self.peak, self.low - _LONGEST, self.high)
        return np.where(beyond < tail, self.high + np.log(tail / beyond) / (self.r1 + self.s - self.moment), found)

    @property
    def _parameters(self) -> tuple[Array, ...]:
        return self.moment, self.r1, self.ratio, self.s

    def _log_until(self, u: Array, rows: NDArray[np.intp]) -> Array:
        low, peak = np.minimum(self.low[rows], u - _RUN_UP), np.minimum(self.peak[rows], u)
        own = tuple(column[rows] for column in self._parameters)
        return log_integral(_log_next, _next_slope, low, u, peak, own, nodes_per_panel=_PEAKED_NODES)

    def _log_tail(self) -> Array:
        return _log_next(self.high, *self._parameters) - np.log(self.r1 + self.s - self.moment)


def _log_next(u: Array, moment: Array, r1: Array, ratio: Array, s: Array) -> Array:
    return np.asarray(moment * u - r1 * np.logaddexp(0.0, u) - s * np.logaddexp(0.0, u + np.log(ratio)))


def _next_slope(u: Array, moment: Array, r1: Array, ratio: Array, s: Array) -> Array:
    return np.asarray(moment - r1 * expit(u) - s * expit(u + np.log(ratio)))


def _probability_of_count(n: Array, t: Array, r: Array, alpha: Array, s: Array, beta: Array) -> Array:
    """Probability of an alive customer's count within ``t``, averaged over u = log(time of leaving / t)."""
    seen = np.where(t > 0, t, 1.0)
    paced, left = seen / alpha, seen / beta
    ways = log_choice(r, n)
    staying = ways - n * np.log1p(1.0 / paced) - r * np.log1p(paced) - s * np.log1p(left)
    linear, square = paced * (1.0 - r) + left * (n - s), paced * left * (r + s)
    size = np.abs(linear) + np.sqrt(linear * linear + 4.0 * square * (1.0 + n))
    peak = np.log(np.where(linear > 0.0, size / (2.0 * square), 2.0 * (1.0 + n) / size))
    peak = np.clip(peak, -_LONGEST, 0.0)
    low = np.minimum(peak, -np.log1p(4.0 * (paced * r + left * (s + 1.0)))) - _RUN_UP
    own = (n, paced, left, r, s + 1.0)
    total = log_integral(_log_count, _count_slope, low, np.zeros_like(n), peak, own, nodes_per_panel=_PEAKED_NODES)
    within = np.exp(np.logaddexp(staying, ways + np.log(s * left) + total))
    return np.where(t > 0, within, n == 0.0)


def _log_count(u: Array, n: Array, paced: Array, left: Array, r: Array, k: Array) -> Array:
    grown = np.exp(u)
    return np.asarray(u - n * np.log1p(np.exp(-u) / paced) - r * np.log1p(paced * grown) - k * np.log1p(left * grown))


def _count_slope(u: Array, n: Array, paced: Array, left: Array, r: Array, k: Array) -> Array:
    grown, gone = paced * np.exp(u), left * np.exp(u)
    return np.asarray(1.0 + (n - r * grown) / (1.0 + grown) - k * gone / (1.0 + gone))
