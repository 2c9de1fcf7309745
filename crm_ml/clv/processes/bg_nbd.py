"""The mathematics of BG/NBD and its kin: buying at random times, leaving with probability p after a purchase.

Symbols follow the papers: a customer bought x more times after the first purchase, the last time at t_x, and
was observed until T, all times since the first purchase. lambda ~ Gamma(r, alpha), p ~ Beta(a, b).

Two settings, ``k`` and ``modified``, make four models of one:

- ``k = 1, modified = False`` is BG/NBD. A customer without a repeat purchase cannot have left, because
  customers leave only after a *repeat* purchase: the probability of being alive is 1 by construction.
- ``modified = True`` (MBG/NBD) lets customers leave after the first purchase too, so that x + 1 chances to
  leave have been passed, and not x.
- ``k > 1`` (BG/CNBD-k, MBG/CNBD-k) makes a purchase every k-th event of the Poisson process of rate lambda:
  gaps are Erlang-k, more regular than chance. k x events are seen, and the silence is `stage_sum` likelier.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model, Marketing Science 24(2). Likelihood: equation 6; P(X(t) = x): 8; expectations: 9, 10.
Batislam, Denizel and Filiztekin (2007), Empirical validation and comparison of models for customer base
analysis, International Journal of Research in Marketing 24 (MBG/NBD); Platzer and Reutterer (2016), Ticking
Away the Moments, Marketing Science 35(5) (MBG/CNBD-k); Reutterer, Platzer and Schröder (2021), Leveraging
purchase regularity, International Journal of Research in Marketing 38(1) (BG/CNBD-k).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaincinv, gammaln

from crm_ml.clv.compiled import histories
from crm_ml.clv.compiled.compiler import compiled
from crm_ml.clv.compiled.futures import draw_geometric_dropout
from crm_ml.clv.likelihood.beta_geo_objective import objective
from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.likelihood.rising import gammaln_rise
from crm_ml.clv.likelihood.silence import log_stage_sum, stage_weights
from crm_ml.clv.processes import erlang_gaps, future_table
from crm_ml.clv.processes.erlang_gaps import discounted_purchases_over_stages
from crm_ml.clv.processes.geometric_dropout import dropout_grid, last_purchase, purchases_while_alive
from crm_ml.clv.processes.outlook.geometric import GeometricOutlook
from crm_ml.clv.processes.outlook.histories import geometric_histories as simulated_histories
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

NAMES = ("r", "alpha", "a", "b")
TIME_NAMES = ("alpha",)
COMPILED = True
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
    k: int = 1,
    modified: bool = False,
) -> Array:
    """Log-likelihood of each history.

    For k > 1 the density of the gaps has one factor more that no parameter changes, the (k - 1)-th power of
    each gap; its logarithm, k - 1 times the sum of the log gaps, must be added before values of different k
    are compared.

    Examples
    --------
    >>> log_likelihood([0, 200], [0, 38], 40, r=0.25, alpha=4, a=0.8, b=2.5).round(4).tolist()
    [-0.5995, 100.7957]
    >>> log_likelihood([0, 200], [0, 38], 40, r=0.25, alpha=4, a=0.8, b=2.5, modified=True).round(4).tolist()
    [-0.4179, 100.7869]
    """
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (x, t_x, T, r, alpha, a, b))
    )
    events, stayed = k * x, x + modified
    alive = (
        gammaln_rise(r, events)
        - r * np.log1p(T / alpha)
        - events * np.log(alpha + T)
        + gammaln_rise(b, stayed)
        - gammaln_rise(a + b, stayed)
        + log_stage_sum(r + events, (T - t_x) / (alpha + T), k=k)
        - x * gammaln(k)
    )
    left = np.logaddexp(0.0, _log_odds_left(x, t_x, T, r, alpha, a, b, k=k, modified=modified))
    return np.asarray(alive + left)


def _log_odds_left(
    x: Array, t_x: Array, T: Array, r: Array, alpha: Array, a: Array, b: Array, *, k: int, modified: bool
) -> Array:
    """Logarithm of P(left) / P(alive); minus infinity for a customer without an occasion to leave."""
    stayed, shape = x + modified, r + k * x
    odds = (
        np.log(a)
        - np.log(np.where(stayed > 0, b + stayed - 1.0, b))
        + shape * np.log1p((T - t_x) / (alpha + t_x))
        - log_stage_sum(shape, (T - t_x) / (alpha + T), k=k)
    )
    return np.where(stayed > 0, odds, -np.inf)


def starts(patterns: Patterns, *, k: int = 1, modified: bool = False) -> list[list[Array]]:
    """Log parameters to start from: the mean purchase rate is met, spread and dropout are tried.

    Where customers may leave at once, those who never came back may have left or buy seldom: either explanation
    is a mountain of its own.
    """
    pace = k * patterns.total_x / patterns.total_T
    *leaving, seldom = (
        np.log([r, r / (2.0 * pace), a, b])
        for r, a, b in ((0.5, 0.5, 2.0), (2.0, 0.5, 2.0), (3.0, 2.0, 2.0), (0.3, 0.2, 10.0))
    )
    return [leaving, [seldom]] if modified else [[*leaving, seldom]]


def probability_alive(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    k: int = 1,
    modified: bool = False,
) -> Array:
    """Probability that a customer with this history has not left by T; 1 for x = 0 unless modified.

    Parameters broadcast, so one call serves many draws of them.

    Examples
    --------
    >>> round(float(probability_alive(26, 30.857, 31, r=0.2426, alpha=4.4136, a=0.7929, b=2.4259)), 4)
    0.9689
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    params = [np.asarray(value, dtype=float) for value in (r, alpha, a, b)]
    if k == 1 and not any(value.ndim for value in params):
        return histories.probability_alive(x, t_x, T, (*map(float, params), float(modified)))
    x, t_x, T, r, alpha, a, b = np.broadcast_arrays(x, t_x, T, *params)
    return np.asarray(expit(-_log_odds_left(x, t_x, T, r, alpha, a, b, k=k, modified=modified)))


def probability_no_purchase(
    horizon: float | Array,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
    k: int = 1,
    modified: bool = False,
) -> Array:
    """Probability of no purchase within the next ``horizon``, one for all or each customer's own: gone, or silent.

    For k = 1 lambda ~ Gamma(r + x, alpha + T) while alive, so silence has probability
    ((alpha + T) / (alpha + T + horizon))^(r + x) whatever p is.

    Examples
    --------
    >>> import numpy as np
    >>> new = probability_no_purchase(39.0, *np.zeros((3, 1)), r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> round(float(new[0]), 7)  # Hardie's spreadsheet note: P(X(39) = 0)
    0.5737864
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    if k == 1 and isinstance(horizon, int | float):
        return histories.probability_no_purchase(horizon, x, t_x, T, (r, alpha, a, b, float(modified)))
    params = (np.asarray(value) for value in (r, alpha, a, b))
    odds, shape = _log_odds_left(x, t_x, T, *params, k=k, modified=modified), r + k * x
    now = log_stage_sum(shape, (T - t_x) / (alpha + T), k=k)
    later = log_stage_sum(shape, (T - t_x + horizon) / (alpha + T + horizon), k=k)
    silent = np.exp(later - now - shape * np.log1p(horizon / (alpha + T)))
    return np.asarray(expit(odds) + expit(-odds) * silent)


def outlook(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
    k: int = 1,
    modified: bool = False,
) -> GeometricOutlook:
    """Return what lies ahead of customers with this history; of new ones, if x, t_x and T are 0.

    Examples
    --------
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(float(outlook(26, 30.857, 31, **cdnow).mean_wait()), 4)  # (alpha + T) / (r + x - 1)
    1.4029
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    rate, shape = alpha + T, r + k * x
    return GeometricOutlook(
        alive=probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b, k=k, modified=modified),
        stages=stage_weights(shape, (T - t_x) / rate, k=k),
        shape=shape,
        rate=rate,
        a=np.asarray(a),
        b=b + (x + modified),
    )


def probability_of_count(
    n: ArrayLike, t: ArrayLike, *, r: float, alpha: float, a: float, b: float, k: int = 1, modified: bool = False
) -> Array:
    """Probability that a new customer makes exactly ``n`` repeat purchases within ``t``.

    Examples
    --------
    >>> round(float(probability_of_count(0, 39, r=0.243, alpha=4.414, a=0.793, b=2.426)), 7)
    0.5737864
    """
    new = outlook(0.0, 0.0, 0.0, r=r, alpha=alpha, a=a, b=b, k=k, modified=modified)
    return new.probability_of_count(n, t)


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
    k: int = 1,
    modified: bool = False,
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
        Relative error about 1e-12, and 1e-9 when discounted; see `erlang_gaps` for k > 1.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([26.0]), np.array([30.857]), np.array([31.0])
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(float(expected_purchases(52.0, *one, **cdnow)[0]), 3)
    25.757
    """
    x, t_x, T = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T)))
    if k == 1:
        return future_table.expected_purchases(
            horizon, x, t_x, T, discount_rate=discount_rate, r=r, alpha=alpha, a=a, b=b, modified=modified
        )
    while_alive = np.empty(x.shape)
    for count in np.unique(x):
        rows = np.flatnonzero(x == count)
        shape, rate = r + k * count, alpha + T[rows]
        p, weight = dropout_grid(a, b + (count + modified), reach=horizon * (shape + (k - 1)) / alpha)
        stages = stage_weights(np.asarray(shape), (T[rows] - t_x[rows]) / rate, k=k)
        while_alive[rows] = discounted_purchases_over_stages(
            horizon, discount_rate=discount_rate, k=k, stages=stages, shape=shape, rate=rate, p=p, weight=weight
        )
    return probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b, k=k, modified=modified) * while_alive


def expected_purchases_new_customer(
    t: ArrayLike, *, r: float, alpha: float, a: float, b: float, k: int = 1, modified: bool = False
) -> Array:
    """Return expected repeat purchases within ``t`` after the first purchase, E[X(t)].

    Examples
    --------
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(float(expected_purchases_new_customer(52.0, **cdnow)), 4)
    1.444
    """
    t = np.asarray(t, dtype=float)
    p, weight = dropout_grid(a, b + modified, reach=float(t.max(initial=0.0)) * (r + (k - 1)) / alpha)
    stays = b / (a + b) if modified else 1.0
    if k == 1:
        return stays * purchases_while_alive(t, shape=r, rate=np.asarray(alpha), p=p, weight=weight)
    ahead = erlang_gaps.purchases_while_alive(t.ravel() / alpha, k=k, stage=0, shape=r, p=p, weight=weight)
    return stays * ahead.reshape(t.shape)


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
    k: int = 1,
    modified: bool = False,
) -> Array:
    """Purchases of each customer in each common future, (n_customers, n_futures).

    The parameters hold one draw per future. The number that decides whether a customer is alive, as a share
    of the probability of it, is uniform over those who are, and decides their stage.
    """
    distinct, member = np.unique(x, return_inverse=True)
    distinct = distinct[:, None]
    shape, last = r + k * distinct, last_purchase(futures, a, b + (distinct + modified))
    rate = gammaincinv(shape, futures.rate)
    if k == 1 and len(x) >= MANY_CUSTOMERS:
        drawn = np.empty((len(x), len(r)))
        settled = (futures.alive, futures.arrivals.T, futures.many)
        compiled(draw_geometric_dropout)(
            x, t_x, T, horizon, r, alpha, a, b, float(modified), member, rate, last, *settled, drawn
        )
        return drawn
    x, t_x, T = x[:, None], t_x[:, None], T[:, None]
    alive = probability_alive(x, t_x, T, r=r, alpha=alpha, a=a, b=b, k=k, modified=modified)
    pace = rate[member] / (alpha + T)
    if k > 1:
        bounds = np.cumsum(stage_weights(r + k * x, (T - t_x) / (alpha + T), k=k), axis=0)[:-1] * alive
        stage = (futures.alive > bounds).sum(axis=0)
        for j in range(1, k):
            pace = np.where(stage == j, gammaincinv(shape + j, futures.rate)[member] / (alpha + T), pace)
    purchases = futures.purchases_by(pace * horizon)
    if k > 1:
        purchases = np.floor((purchases + stage) / k)
    return np.where(futures.alive < alive, np.minimum(purchases, last[member]), 0.0)
