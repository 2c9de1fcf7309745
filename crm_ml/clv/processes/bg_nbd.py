"""The mathematics of BG/NBD: buying at Poisson times, leaving with probability p after a purchase.

Symbols follow the paper: a customer bought x more times after the first purchase, the last time at t_x, and
was observed until T, all times since the first purchase. lambda ~ Gamma(r, alpha), p ~ Beta(a, b).

A customer without a repeat purchase cannot have left, because customers leave only after a *repeat*
purchase: the probability of being alive is 1 by construction, however long the silence.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model, Marketing Science 24(2). Likelihood: equation 6; P(X(t) = x): 8; expectations: 9, 10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, expit, gammaln, xlogy

from crm_ml.clv.interval import Futures
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.likelihood.rising import digamma_rise, gammaln_rise, trigamma_rise
from crm_ml.clv.processes.geometric_dropout import (
    discounted_purchases_while_alive,
    draw_purchases,
    dropout_grid,
    purchases_while_alive,
    through_cells,
)

__all__ = [
    "NAMES",
    "TIME_NAMES",
    "drawn_purchases",
    "expected_purchases",
    "expected_purchases_new_customer",
    "log_likelihood",
    "log_lower",
    "log_upper",
    "objective",
    "probability_alive",
    "probability_no_purchase",
    "probability_of_count",
    "starts",
]

Array = NDArray[np.float64]

NAMES = ("r", "alpha", "a", "b")
TIME_NAMES = ("alpha",)
log_lower = np.log([1e-6, 1e-9, 1e-6, 1e-6])
log_upper = np.log([1e5, 1e9, 1e5, 1e5])


def log_likelihood(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Log-likelihood of each history.

    Examples
    --------
    >>> log_likelihood([0, 200], [0, 38], 40, r=0.25, alpha=4, a=0.8, b=2.5).round(4).tolist()
    [-0.5995, 100.7957]
    """
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (x, t_x, T, r, alpha, a, b))
    )
    alive = (
        gammaln_rise(r, x)
        - r * np.log1p(T / alpha)
        - x * np.log(alpha + T)
        + gammaln_rise(b, x)
        - gammaln_rise(a + b, x)
    )
    left = np.where(x > 0, np.logaddexp(0.0, _log_odds_left(x, t_x, T, r, alpha, a, b)), 0.0)
    return np.asarray(alive + left)


def _log_odds_left(x: Array, t_x: Array, T: Array, r: Array, alpha: Array, a: Array, b: Array) -> Array:
    """Logarithm of P(left) / P(alive); only meaningful for x > 0."""
    return np.asarray(
        np.log(a) - np.log(np.where(x > 0, b + x - 1.0, b)) + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    )


def objective(patterns: Patterns) -> Objective:
    """Log-likelihood of all patterns with gradient and Hessian by the log parameters.

    Terms in x alone are evaluated once per distinct x.

    Parameters
    ----------
    patterns : Patterns

    Returns
    -------
    callable
        Takes log(r, alpha, a, b); returns value, gradient of shape (4,), Hessian of shape (4, 4).
    """
    counts, member = np.unique(patterns.x, return_inverse=True)
    count_weight = np.bincount(member, weights=patterns.weight).astype(float)
    total_T, weight = patterns.T, patterns.weight
    again = patterns.x > 0
    repeaters = Patterns(*(v[again] for v in (patterns.x, patterns.t_x, patterns.T, patterns.weight)))

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        r, alpha, a, b = np.exp(theta)
        parts = (
            _count_terms(counts, count_weight, r, a, b),
            _time_terms(patterns.x, total_T, weight, r, alpha),
            _dropout_terms(repeaters, r, alpha, a, b),
        )
        return (
            sum(part[0] for part in parts),
            np.sum([part[1] for part in parts], axis=0),
            np.sum([part[2] for part in parts], axis=0),
        )

    return evaluate


def _count_terms(x: Array, weight: Array, r: float, a: float, b: float) -> tuple[float, Array, Array]:
    """Gamma functions of the alive term: log (r)_x (b)_x / (a + b)_x."""
    value = weight @ (gammaln_rise(r, x) + gammaln_rise(b, x) - gammaln_rise(a + b, x))
    first_r, first_b, first_ab = (float(weight @ digamma_rise(z, x)) for z in (r, b, a + b))
    second_r, second_b, second_ab = (float(weight @ trigamma_rise(z, x)) for z in (r, b, a + b))
    gradient = np.array([r * first_r, 0.0, -a * first_ab, b * (first_b - first_ab)])
    hessian = np.diag(gradient)
    hessian[0, 0] += r * r * second_r
    hessian[2, 2] -= a * a * second_ab
    hessian[3, 3] += b * b * (second_b - second_ab)
    hessian[2, 3] = hessian[3, 2] = -a * b * second_ab
    return float(value), gradient, hessian


def _time_terms(x: Array, T: Array, weight: Array, r: float, alpha: float) -> tuple[float, Array, Array]:
    """Sum the times of the alive term: r log(alpha) - (r + x) log(alpha + T)."""
    stretch = float(weight @ np.log1p(T / alpha))
    share = alpha / (alpha + T)
    rest = T / (alpha + T)
    value = -r * stretch - float(weight @ (x * np.log(alpha + T)))
    gradient = np.array([-r * stretch, float(weight @ (r * rest - x * share)), 0.0, 0.0])
    hessian = np.zeros((4, 4))
    hessian[0, 0] = -r * stretch
    hessian[0, 1] = hessian[1, 0] = r * float(weight @ rest)
    hessian[1, 1] = -float(weight @ ((r + x) * share * rest))
    return value, gradient, hessian


def _dropout_terms(repeaters: Patterns, r: float, alpha: float, a: float, b: float) -> tuple[float, Array, Array]:
    """Possibility of having left: log(1 + exp(u)) with u the log-odds of it."""
    x, t_x, T, weight = repeaters.x, repeaters.t_x, repeaters.T, repeaters.weight
    u = np.log(a) - np.log(b + x - 1.0) + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    left = expit(u)
    at_T, at_last = alpha / (alpha + T), alpha / (alpha + t_x)
    silence = r * np.log1p((T - t_x) / (alpha + t_x))
    by_b = b / (b + x - 1.0)
    slopes = np.stack([silence, (r + x) * (at_T - at_last), np.ones_like(x), -by_b])
    pull, spread = weight * left, weight * left * expit(-u)
    hessian = (slopes * spread) @ slopes.T
    hessian[0, 0] += pull @ silence
    cross = float(pull @ (r * (at_T - at_last)))
    hessian[0, 1] += cross
    hessian[1, 0] += cross
    hessian[1, 1] += pull @ ((r + x) * (at_T * (1.0 - at_T) - at_last * (1.0 - at_last)))
    hessian[3, 3] -= pull @ (by_b * (1.0 - by_b))
    return float(weight @ np.logaddexp(0.0, u)), slopes @ pull, hessian


def starts(patterns: Patterns) -> list[Array]:
    """Log parameters to start from: the mean purchase rate is met, spread and dropout are tried."""
    pace = float(patterns.weight @ patterns.x) / float(patterns.weight @ patterns.T)
    return [
        np.log([r, r / (2.0 * pace), a, b])
        for r, a, b in ((0.5, 0.5, 2.0), (2.0, 0.5, 2.0), (0.3, 0.2, 10.0), (3.0, 2.0, 2.0))
    ]


def probability_alive(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
) -> Array:
    """Probability that a customer with this history has not left by T; 1 for x = 0 by construction.

    Parameters broadcast, so one call serves many draws of them.

    Examples
    --------
    >>> round(float(probability_alive(26, 30.857, 31, r=0.2426, alpha=4.4136, a=0.7929, b=2.4259)), 4)
    0.9689
    """
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (x, t_x, T, r, alpha, a, b))
    )
    return np.where(x > 0, expit(-_log_odds_left(x, t_x, T, r, alpha, a, b)), 1.0)


def probability_no_purchase(
    horizon: float, x: Array, t_x: Array, T: Array, *, r: float, alpha: float, a: float, b: float
) -> Array:
    """Probability of no purchase within the next ``horizon``: gone, or alive and silent.

    While alive lambda ~ Gamma(r + x, alpha + T), so silence has probability
    ((alpha + T) / (alpha + T + horizon))^(r + x) whatever p is.

    Examples
    --------
    >>> import numpy as np
    >>> new = probability_no_purchase(39.0, *np.zeros((3, 1)), r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> round(float(new[0]), 7)  # Hardie's spreadsheet note: P(X(39) = 0)
    0.5737864
    """
    x, t_x, T = (np.asarray(value, dtype=float) for value in (x, t_x, T))
    alive = probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b)
    gone = np.where(x > 0, expit(_log_odds_left(x, t_x, T, *(np.asarray(v) for v in (r, alpha, a, b)))), 0.0)
    return np.asarray(gone + alive * np.exp(-(r + x) * np.log1p(horizon / (alpha + T))))


def probability_of_count(n: ArrayLike, t: ArrayLike, *, r: float, alpha: float, a: float, b: float) -> Array:
    """Probability that a new customer makes exactly ``n`` repeat purchases within ``t``.

    Examples
    --------
    >>> round(float(probability_of_count(0, 39, r=0.243, alpha=4.414, a=0.793, b=2.426)), 7)
    0.5737864
    """
    n, t = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(t, dtype=float))
    log_stay = gammaln_rise(b, n) - gammaln_rise(a + b, n)
    log_share = -np.log1p(alpha / np.where(t > 0, t, 1.0))
    log_paced = gammaln_rise(r, n) - gammaln(n + 1.0) - r * np.log1p(t / alpha) + xlogy(n, t > 0) + n * log_share
    some = np.maximum(n, 1.0)
    leave = np.exp(log_stay + np.log(a) - np.log(np.where(n > 0, b + n - 1.0, b)))
    return np.asarray(np.exp(log_stay + log_paced) + np.where(n > 0, leave * betainc(some, r, t / (alpha + t)), 0.0))


def expected_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    discount_rate: float = 0.0,
    r: float,
    alpha: float,
    a: float,
    b: float,
) -> Array:
    """Return expected purchases within the next ``horizon``, optionally discounted continuously.

    Parameters
    ----------
    horizon : float, > 0
    x, t_x, T : ndarray of shape (n_customers,)
    discount_rate : float, >= 0
        Continuous rate per unit of time: a purchase after s counts exp(-discount_rate × s).

    Returns
    -------
    ndarray of shape (n_customers,)
        Relative error about 1e-12, and 1e-9 when discounted.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([26.0]), np.array([30.857]), np.array([31.0])
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(float(expected_purchases(52.0, *one, **cdnow)[0]), 3)
    25.757
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    while_alive = np.empty(x.shape)
    distinct, member = np.unique(x, return_inverse=True)
    order = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=len(distinct)))
    for count, rows in zip(distinct, np.split(order, ends)[:-1], strict=True):
        p, weight = dropout_grid(a, b + count, reach=horizon * (r + count) / alpha)

        def future(rate: Array, shape: float = r + count, p: Array = p, weight: Array = weight) -> Array:
            return discounted_purchases_while_alive(
                np.full_like(rate, horizon),
                discount_rate=discount_rate,
                shape=shape,
                rate=rate,
                p=p,
                weight=weight,
            )

        while_alive[rows] = through_cells(future, alpha + T[rows])
    return probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b) * while_alive


def expected_purchases_new_customer(t: ArrayLike, *, r: float, alpha: float, a: float, b: float) -> Array:
    """Return expected repeat purchases within ``t`` after the first purchase, E[X(t)].

    Examples
    --------
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(float(expected_purchases_new_customer(52.0, **cdnow)), 4)
    1.444
    """
    t = np.asarray(t, dtype=float)
    p, weight = dropout_grid(a, b, reach=float(t.max(initial=0.0)) * r / alpha)
    return purchases_while_alive(t, shape=r, rate=np.asarray(alpha), p=p, weight=weight)


def drawn_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    futures: Futures,
    r: Array,
    alpha: Array,
    a: Array,
    b: Array,
) -> Array:
    """Purchases of each customer in each common future, (n_customers, n_futures).

    The parameters hold one draw per future.
    """
    distinct, member = np.unique(x, return_inverse=True)
    x, t_x, T, distinct = x[:, None], t_x[:, None], T[:, None], distinct[:, None]
    return draw_purchases(
        horizon,
        futures,
        alive=probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b),
        distinct_shape=r + distinct,
        member=member,
        rate=alpha + T,
        a=a,
        distinct_b=b + distinct,
    )
