"""The mathematics of Pareto/NBD: buying at Poisson times, leaving at an exponential time of one's own.

Symbols follow the paper: a customer bought x more times after the first purchase, the last time at t_x, and
was observed until T, all times since the first purchase. lambda ~ Gamma(r, alpha) is the purchase rate,
mu ~ Gamma(s, beta) the rate of leaving.

Every quantity is the term of a customer still alive, in closed form, times or plus a positive integral over
the time of leaving; nothing is subtracted, and alpha = beta and s = 1 are no special cases.

Source: Schmittlein, Morrison and Colombo (1987), Counting Your Customers, Management Science 33(1); Fader and
Hardie (2005), A Note on Deriving the Pareto/NBD Model and Related Expressions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaincinv

from crm_ml.clv.compiled.compiler import compiled
from crm_ml.clv.compiled.futures import draw_exponential_dropout
from crm_ml.clv.likelihood.exponential_dropout import (
    discounted_lifetime,
    left_terms,
    log_left,
    log_odds_left,
    log_stayed,
)
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns, distinct_histories
from crm_ml.clv.likelihood.rising import CountSums, gammaln_rise
from crm_ml.clv.processes.outlook.exponential import ExponentialOutlook
from crm_ml.clv.processes.outlook.histories import exponential_histories as simulated_histories
from crm_ml.clv.uncertainty.departure import strike_left
from crm_ml.clv.uncertainty.interval import MANY_CUSTOMERS, Futures

__all__ = [
    "COMPILED",
    "NAMES",
    "TIME_NAMES",
    "drawn_purchases",
    "expected_purchases",
    "expected_purchases_new_customer",
    "log_likelihood",
    "log_lower",
    "log_upper",
    "objective",
    "outlook",
    "probability_alive",
    "probability_no_purchase",
    "probability_of_count",
    "simulated_histories",
    "starts",
]

Array = NDArray[np.float64]

NAMES = ("r", "alpha", "s", "beta")
TIME_NAMES = ("alpha", "beta")
COMPILED = False
log_lower = np.log([1e-6, 1e-9, 1e-6, 1e-9])
log_upper = np.log([1e5, 1e9, 1e5, 1e9])

_TINY = 1e-300


def log_likelihood(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Log-likelihood of each history.

    Examples
    --------
    >>> log_likelihood(1, 1.5, 12, r=0.55, alpha=10.58, s=0.61, beta=11.67).round(8).item()
    -4.00694866
    """
    x, T, r, alpha, s, beta = (np.asarray(value, dtype=float) for value in (x, T, r, alpha, s, beta))
    alive = gammaln_rise(r, x) - r * np.log1p(T / alpha) - x * np.log(alpha + T) - s * np.log1p(T / beta)
    left = log_odds_left(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)
    return np.asarray(alive + np.logaddexp(0.0, left))


def objective(patterns: Patterns) -> Objective:
    """Log-likelihood of all patterns with gradient and Hessian by the log parameters.

    Parameters
    ----------
    patterns : Patterns

    Returns
    -------
    callable
        Takes log(r, alpha, s, beta); returns value, gradient of shape (4,), Hessian of shape (4, 4).
    """
    events = CountSums(*patterns.counts)

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        r, alpha, s, beta = np.exp(theta)
        value, gradient, hessian = _alive_terms(patterns, r, alpha, s, beta)
        rise, first, second = events.rises(r)
        gradient[0] += r * first
        hessian[0, 0] += r * first + r * r * second
        left = left_terms(patterns, r, alpha, s, beta)
        return value + rise + left[0], gradient + left[1], hessian + left[2]

    return evaluate


def _alive_terms(patterns: Patterns, r: float, alpha: float, s: float, beta: float) -> tuple[float, Array, Array]:
    """Sum the times of the alive term: -r log(1 + T/alpha) - x log(alpha + T) - s log(1 + T/beta)."""
    x, T, weight = patterns.x, patterns.T, patterns.weight
    buying, leaving = float(weight @ np.log1p(T / alpha)), float(weight @ np.log1p(T / beta))
    share, share_beta = alpha / (alpha + T), beta / (beta + T)
    rest, rest_beta = T / (alpha + T), T / (beta + T)
    value = -r * buying - s * leaving - float(weight @ (x * np.log(alpha + T)))
    by_alpha, by_beta = float(weight @ (r * rest - x * share)), s * float(weight @ rest_beta)
    gradient = np.array([-r * buying, by_alpha, -s * leaving, by_beta])
    hessian = np.diag([-r * buying, 0.0, -s * leaving, 0.0])
    hessian[0, 1] = hessian[1, 0] = r * float(weight @ rest)
    hessian[2, 3] = hessian[3, 2] = by_beta
    hessian[1, 1] = -float(weight @ ((r + x) * share * rest))
    hessian[3, 3] = -s * float(weight @ (share_beta * rest_beta))
    return value, gradient, hessian


def starts(patterns: Patterns) -> list[list[Array]]:
    """Log parameters to start from: the mean purchase rate is met, spread and dropout are tried."""
    pace, observed = patterns.total_x / patterns.total_T, patterns.total_T / patterns.total_weight
    tried = ((0.5, 0.5, 0.5), (2.0, 0.5, 0.2), (0.5, 2.0, 5.0), (3.0, 0.2, 1.0))
    return [[np.log([r, r / (2.0 * pace), s, beta * observed]) for r, s, beta in tried]]


def probability_alive(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
) -> Array:
    """Probability that a customer with this history has not left by T.

    Examples
    --------
    >>> grown = dict(r=0.5143, alpha=2.8845, s=0.2856, beta=14.1087)
    >>> probability_alive(221, 103.42857, 103.57143, **grown).round(7).item()
    0.9995961
    """
    return np.asarray(expit(-log_odds_left(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)))


def probability_no_purchase(
    horizon: float, x: Array, t_x: Array, T: Array, *, r: float, alpha: float, s: float, beta: float
) -> Array:
    """Probability of no purchase within the next ``horizon``: gone, or alive and silent or leaving.

    An alive customer is a new one with lambda ~ Gamma(r + x, alpha + T) and mu ~ Gamma(s, beta + T).

    Examples
    --------
    >>> cdnow = dict(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    >>> probability_no_purchase(39.0, 2.0, 30.43, 38.86, **cdnow).round(6).item()
    0.408063
    """
    x, T, now = np.asarray(x, dtype=float), np.asarray(T, dtype=float), np.zeros(())
    u = log_odds_left(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)
    left = log_left(now, now, horizon, r=r + x, alpha=alpha + T, s=s, beta=beta + T)
    stayed = log_stayed(now, now, now + horizon, r + x, alpha + T, now + s, beta + T)
    return np.asarray(expit(u) + expit(-u) * (np.exp(stayed) + np.exp(left)))


def outlook(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, *, r: float, alpha: float, s: float, beta: float
) -> ExponentialOutlook:
    """Return what lies ahead of customers with this history; of new ones, if x, t_x and T are 0.

    Examples
    --------
    >>> cdnow = dict(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    >>> outlook(2.0, 30.43, 38.86, **cdnow).probability_of_count(0, 39.0).round(6).item()
    0.408063
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    alive = probability_alive(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)
    return ExponentialOutlook(alive=alive, r=r + x, alpha=alpha + T, s=np.asarray(s), beta=beta + T)


def probability_of_count(n: ArrayLike, t: ArrayLike, *, r: float, alpha: float, s: float, beta: float) -> Array:
    """Probability that a new customer makes exactly ``n`` repeat purchases within ``t``.

    Examples
    --------
    >>> cdnow = dict(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    >>> probability_of_count([0, 1, 2], 39, **cdnow).round(6).tolist()
    [0.593625, 0.165563, 0.082487]
    """
    return outlook(0.0, 0.0, 0.0, r=r, alpha=alpha, s=s, beta=beta).probability_of_count(n, t)


def expected_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    discount_rate: float = 0.0,
    r: float,
    alpha: float,
    s: float,
    beta: float,
) -> Array:
    """Return expected purchases within the next ``horizon``, optionally discounted continuously.

    Parameters
    ----------
    horizon : float, > 0
        May be infinite if discounted: the discounted expected residual transactions, in the paper's closed
        form (r + x) (beta + T)^s delta^(s-1) Psi(s, s; delta (beta + T)) / (alpha + T) × P(alive).
    x, t_x, T : ndarray of shape (n_customers,)
    discount_rate : float, >= 0
        Continuous rate per unit of time: a purchase after y counts exp(-discount_rate × y).

    Returns
    -------
    ndarray of shape (n_customers,)

    Examples
    --------
    >>> import numpy as np
    >>> many = np.array([132.0, 133.0]), np.array([200.0, 200.0]), np.array([200.0, 200.0])
    >>> expected_purchases(10.0, *many, r=0.55, alpha=10.58, s=0.61, beta=11.67).round(4).tolist()
    [6.2061, 6.2529]
    """
    x, T = np.asarray(x, dtype=float), np.asarray(T, dtype=float)
    alive = probability_alive(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)
    return alive * (r + x) / (alpha + T) * discounted_lifetime(horizon, discount_rate=discount_rate, s=s, beta=beta + T)


def expected_purchases_new_customer(t: ArrayLike, *, r: float, alpha: float, s: float, beta: float) -> Array:
    """Return expected repeat purchases within ``t`` after the first purchase, E[X(t)].

    Examples
    --------
    >>> cdnow = dict(r=0.553277, alpha=10.577684, s=0.606240, beta=11.668730)
    >>> expected_purchases_new_customer(52.0, **cdnow).round(4).item()
    1.4734
    """
    return r / alpha * discounted_lifetime(t, discount_rate=0.0, s=s, beta=beta)


def drawn_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    futures: Futures,
    r: Array,
    alpha: Array,
    s: Array,
    beta: Array,
) -> Array:
    """Purchases of each customer in each common future, (n_customers, n_futures).

    The parameters hold one draw per future; customers of equal history share theirs.
    """
    many = len(x) >= MANY_CUSTOMERS
    x, t_x, T, member = distinct_histories(x, t_x, T)
    distinct, row = np.unique(x, return_inverse=True)
    rate = gammaincinv(np.asarray(r + distinct[:, None]), futures.rate)
    leaving, wait = np.maximum(gammaincinv(s, futures.dropout), _TINY), -np.log(futures.stop)
    if many:
        counts = np.empty((len(x), len(r)))
        settled = (futures.arrivals.T, futures.many)
        compiled(draw_exponential_dropout)(T, horizon, alpha, beta, row, rate, leaving, wait, *settled, counts)
    else:
        age = T[:, None]
        stays = np.minimum(wait / (leaving / (beta + age)), horizon)
        counts = futures.purchases_by(rate[row] / (alpha + age) * stays)
    strike_left(counts, x, t_x, T, uniform=futures.alive, many=many, r=r, alpha=alpha, s=s, beta=beta)
    return np.asarray(counts[member])
