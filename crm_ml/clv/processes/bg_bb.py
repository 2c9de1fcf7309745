"""The mathematics of BG/BB: at each opportunity an alive customer buys with probability p or does not.

Symbols follow the paper: of n opportunities a customer took x, the last one the t_x-th. Before each opportunity
the customer leaves with probability theta. p ~ Beta(alpha, beta), theta ~ Beta(gamma, delta).

Source: Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting,
Marketing Science 29(6). P(X(n) = x): equation 7; conditional expectation: 13, here before the sum is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, expit, logsumexp, ndtr
from scipy.stats import binom

from crm_ml.clv.likelihood.counted_dropout import departures, left_terms, log_odds_left
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns, distinct_histories
from crm_ml.clv.likelihood.rising import digamma_rise, gammaln_rise, log_decline, trigamma_rise
from crm_ml.clv.processes.outlook.counted import CountedOutlook, log_buying, opportunities_alive
from crm_ml.clv.processes.outlook.histories import counted_histories as simulated_histories
from crm_ml.clv.uncertainty.interval import Futures

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

NAMES = ("alpha", "beta", "gamma", "delta")
TIME_NAMES: tuple[str, ...] = ()
COMPILED = False
log_lower = np.full(4, np.log(1e-6))
log_upper = np.full(4, np.log(1e5))

_LARGEST_SHARE = 1.0 - 1e-16


def log_likelihood(
    x: ArrayLike,
    t_x: ArrayLike,
    n: ArrayLike,
    *,
    alpha: ArrayLike,
    beta: ArrayLike,
    gamma: ArrayLike,
    delta: ArrayLike,
) -> Array:
    """Log-likelihood of each history.

    Examples
    --------
    With uniform p and theta one taken opportunity has probability E[1 - theta] × E[p]:

    >>> log_likelihood(1, 1, 1, alpha=1.0, beta=1.0, gamma=1.0, delta=1.0).round(6).item()  # log(1 / 4)
    -1.386294
    """
    columns = _floats(x, t_x, n, alpha, beta, gamma, delta)
    x, t_x, n, *params = (column.ravel() for column in columns)
    total = _log_alive_at(x, n, *params)
    for rows, last, inside in departures(t_x, n):
        own = tuple(column[rows, None] for column in params)
        leaving = np.log(own[2]) - np.log(own[2] + own[3] + last)
        left = np.where(inside, _log_alive_at(x[rows, None], last, *own) + leaving, -np.inf)
        total[rows] = np.logaddexp(total[rows], logsumexp(left, axis=1))
    return np.asarray(total.reshape(columns[0].shape))


def _log_alive_at(x: Array, n: Array, alpha: Array, beta: Array, gamma: Array, delta: Array) -> Array:
    """Logarithm of the probability to take x given opportunities of n and still be there at the last."""
    return np.asarray(log_buying(x, n, alpha, beta) + log_decline(delta, gamma, n))


def _floats(*values: ArrayLike) -> tuple[Array, ...]:
    return np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values))


def objective(patterns: Patterns) -> Objective:
    """Log-likelihood of all patterns with gradient and Hessian by the log parameters.

    Parameters
    ----------
    patterns : Patterns
        ``T`` holds the numbers of opportunities.

    Returns
    -------
    callable
        Takes log(alpha, beta, gamma, delta); returns value, gradient of shape (4,), Hessian of shape (4, 4).
    """
    x, n, weight = patterns.x, patterns.T, patterns.weight

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        alpha, beta, gamma, delta = np.exp(theta)
        buying = _beta_terms(x, n - x, weight, alpha, beta)
        staying = _beta_terms(np.zeros_like(n), n, weight, gamma, delta)
        value, gradient, hessian = left_terms(patterns, *np.exp(theta))
        gradient[:2] += buying[1]
        gradient[2:] += staying[1]
        hessian[:2, :2] += buying[2]
        hessian[2:, 2:] += staying[2]
        return value + buying[0] + staying[0], gradient, hessian

    return evaluate


def _beta_terms(yes: Array, no: Array, weight: Array, a: float, b: float) -> tuple[float, Array, Array]:
    """Sum log B(a + yes, b + no) / B(a, b) with its derivatives by log(a, b)."""
    both = yes + no
    value = float(weight @ (gammaln_rise(a, yes) + gammaln_rise(b, no) - gammaln_rise(a + b, both)))
    first_a, first_b, first = (float(weight @ digamma_rise(*z)) for z in ((a, yes), (b, no), (a + b, both)))
    second_a, second_b, second = (float(weight @ trigamma_rise(*z)) for z in ((a, yes), (b, no), (a + b, both)))
    gradient = np.array([a * (first_a - first), b * (first_b - first)])
    hessian = np.diag(gradient) - second * np.outer((a, b), (a, b))
    hessian[0, 0] += a * a * second_a
    hessian[1, 1] += b * b * second_b
    return value, gradient, hessian


def starts(patterns: Patterns) -> list[list[Array]]:
    """Log parameters to start from: somewhat more is bought while alive than on average."""
    mean = min(0.9, 1.5 * patterns.total_x / patterns.total_T)
    tried = ((2.0, 0.5, 3.0), (1.0, 1.0, 10.0), (10.0, 2.0, 20.0), (2.0, 0.2, 5.0))
    return [[np.log([size * mean, size * (1.0 - mean), gamma, delta]) for size, gamma, delta in tried]]


def probability_alive(
    x: ArrayLike,
    t_x: ArrayLike,
    n: ArrayLike,
    *,
    alpha: ArrayLike,
    beta: ArrayLike,
    gamma: ArrayLike,
    delta: ArrayLike,
) -> Array:
    """Probability that a customer with this history will be alive at the next opportunity, n + 1.

    Examples
    --------
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> probability_alive([0, 2, 6], [0, 4, 6], 6, **donors).round(2).tolist()
    [0.11, 0.59, 0.93]
    """
    alive = expit(-log_odds_left(x, t_x, n, alpha=alpha, beta=beta, gamma=gamma, delta=delta))
    n, gamma, delta = _floats(n, gamma, delta)
    return np.asarray(alive * ((delta + n) / (gamma + delta + n)))


def probability_no_purchase(
    horizon: float, x: Array, t_x: Array, n: Array, *, alpha: float, beta: float, gamma: float, delta: float
) -> Array:
    """Probability that none of the next ``horizon`` opportunities is taken.

    A customer alive at n is a new one with p ~ Beta(alpha + x, beta + n - x), theta ~ Beta(gamma, delta + n).

    Examples
    --------
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> probability_no_purchase(5, 4, 5, 6, **donors).round(4).item()
    0.3384
    """
    return outlook(x, t_x, n, alpha=alpha, beta=beta, gamma=gamma, delta=delta).probability_of_count(0, horizon)


def outlook(
    x: ArrayLike, t_x: ArrayLike, n: ArrayLike, *, alpha: float, beta: float, gamma: float, delta: float
) -> CountedOutlook:
    """Return what lies ahead of customers with this history; of new ones, if x, t_x and n are 0.

    Examples
    --------
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> outlook(4, 5, 6, **donors).probability_of_count(0, 5).round(4).item()
    0.3384
    """
    x, t_x, n = _floats(x, t_x, n)
    alive = expit(-log_odds_left(x, t_x, n, alpha=alpha, beta=beta, gamma=gamma, delta=delta))
    return CountedOutlook(
        alive=np.asarray(alive), alpha=alpha + x, beta=beta + (n - x), gamma=np.asarray(gamma), delta=delta + n
    )


def probability_of_count(
    count: ArrayLike, n: ArrayLike, *, alpha: float, beta: float, gamma: float, delta: float
) -> Array:
    """Probability that a new customer takes exactly ``count`` of the next ``n`` opportunities.

    Examples
    --------
    With uniform p and theta: nothing at one opportunity is 1 - 1/4.

    >>> probability_of_count([0, 1], 1, alpha=1.0, beta=1.0, gamma=1.0, delta=1.0).round(6).tolist()
    [0.75, 0.25]
    """
    new = outlook(0.0, 0.0, 0.0, alpha=alpha, beta=beta, gamma=gamma, delta=delta)
    return new.probability_of_count(count, n)


def expected_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    n: Array,
    *,
    discount_rate: float = 0.0,
    alpha: float,
    beta: float,
    gamma: float,
    delta: float,
) -> Array:
    """Return how many of the next ``horizon`` opportunities are expected to be taken.

    Parameters
    ----------
    horizon : float, >= 1
        A whole number; may be infinite if discounted.
    x, t_x, n : ndarray of shape (n_customers,)
    discount_rate : float, >= 0
        Per opportunity: the j-th from now counts exp(-discount_rate × j).

    Returns
    -------
    ndarray of shape (n_customers,)
        Relative error about 1e-12.

    Examples
    --------
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> expected_purchases(10, [0, 4], [0, 5], [6, 6], **donors).round(4).tolist()
    [0.1302, 3.628]
    """
    x, t_x, n = _floats(x, t_x, n)
    distinct, member = np.unique(n, return_inverse=True)
    ahead = np.array([opportunities_alive(horizon, discount_rate, gamma, delta + seen) for seen in distinct])
    alive = expit(-log_odds_left(x, t_x, n, alpha=alpha, beta=beta, gamma=gamma, delta=delta))
    return np.asarray(alive * ((alpha + x) / (alpha + beta + n)) * ahead[member].reshape(n.shape))


def expected_purchases_new_customer(n: ArrayLike, *, alpha: float, beta: float, gamma: float, delta: float) -> Array:
    """Return how many of the first ``n`` opportunities a new customer is expected to take, E[X(n)].

    Examples
    --------
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> expected_purchases_new_customer([0, 1, 10], **donors).round(4).tolist()
    [0.0, 0.4985, 3.1798]
    """
    distinct, member = np.unique(np.asarray(n, dtype=float), return_inverse=True)
    ahead = np.array([opportunities_alive(horizon, 0.0, gamma, delta) for horizon in distinct])
    return np.asarray(alpha / (alpha + beta) * ahead[member].reshape(np.shape(n)))


def drawn_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    n: Array,
    *,
    futures: Futures,
    alpha: Array,
    beta: Array,
    gamma: Array,
    delta: Array,
) -> Array:
    """Purchases of each customer in each common future, (n_customers, n_futures).

    The parameters hold one draw per future; customers of equal history share theirs.
    """
    *histories, member = distinct_histories(x, t_x, n)
    x, t_x, n = (column[:, None] for column in histories)
    alive = expit(-log_odds_left(x, t_x, n, alpha=alpha, beta=beta, gamma=gamma, delta=delta))
    p = betaincinv(alpha + x, beta + (n - x), futures.rate)
    theta = np.clip(betaincinv(gamma, delta + n, futures.dropout), 1e-300, _LARGEST_SHARE)
    seen = np.minimum(np.floor(np.log(futures.stop) / np.log1p(-theta)), horizon)
    counts = binom.ppf(ndtr(futures.many), seen, p)
    return np.where(futures.alive < alive, counts, 0.0)[member]
