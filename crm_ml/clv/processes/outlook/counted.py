"""The outlook of customers who may leave before each opportunity to buy: BG/BB.

A customer alive at the last opportunity has p ~ Beta(alpha, beta) and theta ~ Beta(gamma, delta), and first buys
at the j-th opportunity from now with probability

    f_j = E[(1 - theta)^j] E[p (1 - p)^(j - 1)].

From f_(j+1) / f_j, multiplied out and summed over j, follows the mean of j given that there is one, in terms of
F = sum of f_j, the probability to buy again:

    (alpha + gamma - 1) E[j] = alpha delta (1 / F - 1) - (gamma - 1) (alpha + beta - 1),

infinite where alpha + gamma is 1 or less. F = E[p (1 - theta) / (theta + p (1 - theta))] is smooth in the
log-odds of p and of theta.

Source: Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting,
Marketing Science 29(6): counts, equations 8 and 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.likelihood.rising import log_choice, log_decline
from crm_ml.clv.processes.geometric_dropout import dropout_grid

__all__ = ["CountedOutlook", "log_buying", "opportunities_alive"]

Array = NDArray[np.float64]

LONGEST_WAIT = 10_000
"""Opportunities ahead among which the next one taken is looked for."""
_BLOCK = 128
_CHUNK_VALUES = 200_000
_REACH = 1e17
"""Beyond its inverse, p and theta together have less weight than double precision where the mean is finite."""
_LARGEST_SHARE = 1.0 - 1e-16


@dataclass(frozen=True)
class CountedOutlook:
    """Customers alive with probability ``alive``; see `Outlook` for the methods. Time is in opportunities.

    Attributes
    ----------
    alive, alpha, beta, gamma, delta : ndarray, broadcastable
        Beta parameters of the probabilities to buy and to leave of those alive.

    Examples
    --------
    With uniform p and theta: nothing at one opportunity is 1 - 1/4.

    >>> one = np.ones(1)
    >>> outlook = CountedOutlook(alive=one, alpha=one, beta=one, gamma=one, delta=one)
    >>> outlook.probability_of_count([0, 1], 1).round(6).tolist()
    [0.75, 0.25]
    >>> outlook.wait(0.3).tolist()  # f_1 + f_2 = 1/4 + 1/3 × 1/6
    [2.0]
    """

    alive: Array
    alpha: Array
    beta: Array
    gamma: Array
    delta: Array

    def probability_of_count(self, n: ArrayLike, horizon: ArrayLike) -> Array:
        """Probability that exactly ``n`` of the next ``horizon`` opportunities are taken."""
        columns = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(horizon, dtype=float), *self._columns)
        count, alive = columns[0], columns[2]
        rows = tuple(column.ravel() for column in columns[:2] + columns[3:])
        stride = max(1, _CHUNK_VALUES // int(rows[1].max(initial=0.0) + 1.0))
        ahead = np.empty(count.size)
        for first in range(0, count.size, stride):
            some = slice(first, first + stride)
            ahead[some] = _probability_of_count(*(row[some, None] for row in rows))
        return np.asarray(alive * ahead.reshape(count.shape) + (1.0 - alive) * (count == 0.0))

    def wait(self, probability: float) -> Array:
        """Return the first opportunity by which one is taken with this probability; infinite beyond `LONGEST_WAIT`."""
        alive, alpha, beta, gamma, delta = np.broadcast_arrays(*self._columns)
        result = np.full(alive.shape, np.inf)
        rows = np.flatnonzero(alive > probability)
        log_next = (np.log(alpha / (alpha + beta)) + np.log(delta / (gamma + delta)))[rows]
        missing = probability / alive[rows]
        for past in range(0, LONGEST_WAIT, _BLOCK):
            j = past + np.arange(1.0, min(_BLOCK, LONGEST_WAIT - past) + 1.0)
            a, b, c, d = (column[rows, None] for column in (alpha, beta, gamma, delta))
            log_ratio = np.log((d + j) / (c + d + j)) + np.log((b + j - 1.0) / (a + b + j))
            log_f = log_next[:, None] + np.cumsum(np.column_stack([np.zeros(len(rows)), log_ratio]), axis=1)
            bought = np.cumsum(np.exp(log_f[:, :-1]), axis=1)
            done = bought[:, -1] >= missing
            result[rows[done]] = past + 1.0 + (bought[done] >= missing[done, None]).argmax(axis=1)
            rows, log_next, missing = rows[~done], log_f[~done, -1], (missing - bought[:, -1])[~done]
        return result

    def mean_wait(self) -> Array:
        """Return the expected opportunities to the next one taken of those alive who take one."""
        alive, *columns = np.broadcast_arrays(*self._columns)
        result = np.full(alive.shape, np.inf)
        for row in np.flatnonzero(columns[0] + columns[2] > 1.0):
            result[row] = _mean_wait(*(float(column[row]) for column in columns))
        return result

    def discounted_purchases(self, discount_rate: float) -> Array:
        """Return expected opportunities taken ever, the j-th from now worth exp(-discount_rate × j)."""
        alive, alpha, beta, gamma, delta = np.broadcast_arrays(*self._columns)
        ahead = [opportunities_alive(np.inf, discount_rate, c, d) for c, d in zip(gamma, delta, strict=True)]
        return np.asarray(alive * (alpha / (alpha + beta)) * ahead)

    @property
    def _columns(self) -> tuple[Array, ...]:
        return self.alive, self.alpha, self.beta, self.gamma, self.delta


def _probability_of_count(count: Array, horizon: Array, alpha: Array, beta: Array, gamma: Array, delta: Array) -> Array:
    """Sum over the last of the opportunities alive at; everything of shape (n, 1)."""
    last = np.arange(horizon.max(initial=0.0) + 1.0)
    inside = (last >= count) & (last <= horizon)
    possible = np.where(inside, last, count)
    missed, above, below = possible - count, np.maximum(alpha + beta - 1.0, 0.0), np.maximum(1.0 - alpha - beta, 0.0)
    ways = log_decline(missed + 1.0, above, count) - log_decline(missed + (1.0 - below), below, count)
    taken = log_choice(alpha, count) + log_decline(beta, alpha, missed) + ways
    until = log_decline(delta, gamma, possible)
    leaving = np.where(last < horizon, np.log(gamma) - np.log(gamma + delta + possible), 0.0)
    log_terms = np.where(inside, taken + until + leaving, -np.inf)
    return np.asarray(np.exp(log_terms).sum(axis=-1))


def log_buying(x: ArrayLike, n: ArrayLike, alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Logarithm of B(alpha + x, beta + n - x) / B(alpha, beta): x given opportunities of n are taken.

    Examples
    --------
    >>> round(float(np.exp(log_buying(1, 2, 1.0, 1.0))), 6)  # uniform p: E[p (1 - p)]
    0.166667
    """
    values = (np.asarray(value, dtype=float) for value in (x, n, alpha, beta))
    x, n, alpha, beta = np.broadcast_arrays(*values)
    return np.asarray(log_choice(alpha, x) - log_choice(alpha + beta + (n - x), x) + log_decline(beta, alpha, n - x))


def _mean_wait(alpha: float, beta: float, gamma: float, delta: float) -> float:
    p, p_weight = dropout_grid(alpha, beta, reach=_REACH)
    theta, theta_weight = dropout_grid(gamma, delta, reach=_REACH)
    buys = p[:, None] * (1.0 - np.minimum(theta, _LARGEST_SHARE))
    weight = p_weight[:, None] * theta_weight / (theta + buys)
    again, never = float((weight * buys).sum()), float((weight * theta).sum())
    return (alpha * delta * (never / again) - (gamma - 1.0) * (alpha + beta - 1.0)) / (alpha + gamma - 1.0)


def opportunities_alive(horizon: float, discount_rate: float, gamma: float, delta: float) -> float:
    """Discounted opportunities a customer alive now lives to see: E of the sum of (1 - theta)^j exp(-rate j).

    Examples
    --------
    >>> round(opportunities_alive(2.0, 0.0, 1.0, 1.0), 12)  # uniform theta: 1/2 + 1/3
    0.833333333333
    """
    reach = min(horizon, 1.0 / discount_rate) if discount_rate > 0.0 else horizon
    theta, weight = dropout_grid(gamma, delta, reach=reach)
    log_q = np.log1p(-np.minimum(theta, _LARGEST_SHARE)) - discount_rate
    return float((weight * np.exp(log_q) * (np.expm1(horizon * log_q) / np.expm1(log_q))).sum())
