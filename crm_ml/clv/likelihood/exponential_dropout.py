"""A customer who buys at Poisson times and may leave at any moment: the time of leaving, averaged out.

The purchase rate is lambda ~ Gamma(r, alpha), the rate of leaving mu ~ Gamma(s, beta). Whether a customer
silent since t_x has left by T is decided by

    P(left) / P(alive) = s × integral over (t_x, T) of
        ((alpha + T) / (alpha + y))^(r + x) × ((beta + T) / (beta + y))^s / (beta + y) dy,

y the time of leaving. The textbook form is a difference of hypergeometric functions that cancels. Here the
integral is taken in z = log((m + y) / (m + t_x)) with m = min(alpha, beta), where the logarithm of what is
integrated is concave and analytic within |Im| < pi; alpha = beta is no special case.

Source: Fader and Hardie (2005), A Note on Deriving the Pareto/NBD Model, before hypergeometric functions come
in; discounted purchases: Fader, Hardie and Lee (2005), RFM and CLV, Journal of Marketing Research 42(4).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel

from crm_ml.clv.likelihood.leaving import possibility_of_leaving
from crm_ml.clv.likelihood.log_concave import EXACT_NODES, log_integral, quadrature
from crm_ml.clv.likelihood.patterns import Patterns

__all__ = ["discounted_lifetime", "left_derivatives", "left_terms", "log_left", "log_odds_left", "log_stayed"]

Array = NDArray[np.float64]

_FORGOTTEN = 100.0
"""Once the exponent of the discount has fallen by this much, nothing more is seen in double precision."""


def log_left(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
    nodes_per_panel: int = EXACT_NODES,
) -> Array:
    """Logarithm of the probability that who was there at t_x bought nothing more and left before T.

    The parameters are `log_odds_left`'s.

    Examples
    --------
    With x = 0, r = s = 1 and equal scales it is the integral of 1 / (1 + y)^3 over (0, 1):

    >>> round(float(np.exp(log_left(0, 0, 3.0, r=1.0, alpha=3.0, s=1.0, beta=3.0))), 12)
    0.375
    """
    columns = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x, t_x, T, r, alpha, s, beta)))
    _, t_x, _, _, alpha, s, beta = rows = tuple(column.ravel() for column in columns)
    high, peak, shape = _leaving(*rows)
    total = log_integral(
        _log_leaving, _leaving_slope, np.zeros_like(high), high, peak, shape, nodes_per_panel=nodes_per_panel
    )
    return np.asarray((_log_factor(t_x, alpha, s, beta) + total).reshape(columns[0].shape))


def log_odds_left(
    x: ArrayLike,
    t_x: ArrayLike,
    T: ArrayLike,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
    nodes_per_panel: int = EXACT_NODES,
) -> Array:
    """Logarithm of P(left) / P(alive); -inf where there was no silence.

    Parameters
    ----------
    x, t_x, T : array_like, broadcastable
        Repeat purchases, time of the last one, time observed.
    r, alpha, s, beta : array_like, broadcastable, > 0
    nodes_per_panel : int, default 24
        See `log_integral`; the default gives about 13 digits.

    Examples
    --------
    With x = 0, r = 1 and equal scales the integral is elementary: s / (1 + s) × (2^(1 + s) - 1) at T = alpha.

    >>> odds = np.exp(log_odds_left(0, 0, 3.0, r=1.0, alpha=3.0, s=1.0, beta=3.0))
    >>> round(float(odds), 12)
    1.5
    """
    x, t_x, T, r, alpha, s, beta = (np.asarray(value, dtype=float) for value in (x, t_x, T, r, alpha, s, beta))
    left = log_left(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta, nodes_per_panel=nodes_per_panel)
    return np.asarray(left - log_stayed(x, t_x, T, r, alpha, s, beta))


def _leaving(
    x: Array, t_x: Array, T: Array, r: Array, alpha: Array, s: Array, beta: Array
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Right end, peak and shape of the density of the time of leaving in z."""
    least, most = np.minimum(alpha, beta) + t_x, np.maximum(alpha, beta) + t_x
    k_least, k_most = np.where(alpha <= beta, (r + x, s + 1.0), (s + 1.0, r + x))
    high = np.log1p((T - t_x) / least)
    rising = np.maximum(1.0 - k_least, 0.0) * (most - least) / (least * (k_most + k_least - 1.0))
    peak = np.minimum(np.log(np.maximum(rising, 1.0)), high)
    return high, peak, (1.0 - k_least, k_most, least / most)


def _log_leaving(z: Array, power: Array, k: Array, ratio: Array) -> Array:
    result = np.expm1(z)
    result *= ratio
    np.log1p(result, out=result)
    result *= -k
    result += power * z
    return result


def _leaving_slope(z: Array, power: Array, k: Array, ratio: Array) -> Array:
    return np.asarray(power - k * ratio * np.exp(z) / (1.0 + ratio * np.expm1(z)))


def log_stayed(x: Array, t_x: Array, T: Array, r: Array, alpha: Array, s: Array, beta: Array) -> Array:
    """Logarithm of the probability that who was there at t_x still is at T, and silent since.

    Examples
    --------
    >>> one = np.ones(1)
    >>> np.exp(log_stayed(0 * one, 0 * one, 3 * one, one, 3 * one, one, 3 * one)).round(12).tolist()
    [0.25]
    """
    silence = T - t_x
    return np.asarray(-(r + x) * np.log1p(silence / (alpha + t_x)) - s * np.log1p(silence / (beta + t_x)))


def _log_factor(t_x: Array, alpha: Array, s: Array, beta: Array) -> Array:
    """Logarithm of what stands before the integral over z."""
    return np.asarray(np.log(s) + np.log((np.minimum(alpha, beta) + t_x) / (beta + t_x)))


def left_terms(patterns: Patterns, r: float, alpha: float, s: float, beta: float) -> tuple[float, Array, Array]:
    """Sum log(1 + exp(u)) over all patterns, u the log-odds of having left, with gradient and Hessian.

    Derivatives are by log(r, alpha, s, beta).
    """
    derivatives = left_derivatives(patterns.x, patterns.t_x, patterns.T, r=r, alpha=alpha, s=s, beta=beta)
    return possibility_of_leaving(derivatives, patterns.weight)


def left_derivatives(
    x: Array,
    t_x: Array,
    T: Array,
    *,
    r: ArrayLike,
    alpha: ArrayLike,
    s: ArrayLike,
    beta: ArrayLike,
    nodes_per_panel: int = EXACT_NODES,
) -> Iterator[tuple[NDArray[np.intp], Array, Array, Array]]:
    """Log-odds of having left with their derivatives by log(r, alpha, s, beta), chunk by chunk.

    They are moments over the time of leaving: means of the slopes of the integrand's logarithm, and their
    covariance.

    Parameters
    ----------
    x, t_x, T : ndarray of shape (n,)
    r, alpha, s, beta : array_like, broadcastable
    nodes_per_panel : int, default 24

    Yields
    ------
    rows : ndarray of shape (n_chunk,)
        Customers with a silence, each once.
    u : ndarray of shape (n_chunk,)
    slopes : ndarray of shape (4, n_chunk)
    bends : ndarray of shape (4, 4, n_chunk)
    """
    columns = np.broadcast_arrays(x, t_x, T, *(np.asarray(value, dtype=float) for value in (r, alpha, s, beta)))
    high, peak, shape = _leaving(*columns)
    factor = _log_factor(columns[1], *columns[4:]) - log_stayed(*columns)
    low = np.zeros_like(high)
    integrals = quadrature(_log_leaving, _leaving_slope, low, high, peak, shape, nodes_per_panel=nodes_per_panel)
    for rows, z, weight, total in integrals:
        own = tuple(column[rows, None] for column in columns)
        grown = np.expm1(z)
        far = shape[2][rows, None] * grown
        slow = own[4] <= own[6]
        since, growth = _by_rate(slow, z, np.log1p(far)), _by_rate(slow, grown, far)
        yield rows, factor[rows] + total, *_leaving_derivatives(weight, since, growth, *own)


def _by_rate(slow: NDArray[np.bool_], near: Array, far: Array) -> tuple[Array, Array]:
    """Return first what belongs to alpha, which is the nearer of the scales where ``slow``."""
    return (near, far) if slow.all() else (np.where(slow, near, far), np.where(slow, far, near))


def _leaving_derivatives(
    weight: Array,
    since: tuple[Array, Array],
    growth: tuple[Array, Array],
    x: Array,
    t_x: Array,
    T: Array,
    r: Array,
    alpha: Array,
    s: Array,
    beta: Array,
) -> tuple[Array, Array]:
    """First and second derivatives of the log-odds by the log parameters, (4, n) and (4, 4, n).

    ``since`` holds log((alpha + y) / (alpha + t_x)) and the same of beta at the nodes y, ``growth`` the ratios less 1.
    """
    p_T, q_T = alpha / (alpha + T), beta / (beta + T)
    at_nodes = np.empty((4, *weight.shape))
    np.multiply(r, np.log1p((T - t_x) / (alpha + t_x)) - since[0], out=at_nodes[0])
    np.multiply(r + x, p_T - alpha / (alpha + t_x) / (1.0 + growth[0]), out=at_nodes[1])
    np.multiply(s, np.log1p((T - t_x) / (beta + t_x)) - since[1], out=at_nodes[2])
    np.subtract(s * q_T, (s + 1.0) * beta / (beta + t_x) / (1.0 + growth[1]), out=at_nodes[3])
    slopes = np.einsum("inz,nz->in", at_nodes, weight)
    at_nodes -= slopes[:, :, None]
    bends = np.einsum("inz,jnz->ijn", at_nodes * weight, at_nodes)
    for i, rate_shape, at_end, at_node, end in ((0, r, r + x, r + x, p_T), (2, s, s, s + 1.0, q_T)):
        shape, here, k, last = (column[:, 0] for column in (rate_shape, at_end, at_node, end))
        mean = (here * last - slopes[i + 1]) / k  # of p, and then of q
        bends[i, i] += slopes[i]
        bends[i, i + 1] += shape * (last - mean)
        bends[i + 1, i] += shape * (last - mean)
        bends[i + 1, i + 1] += here * last * (1.0 - last) - k * (mean - mean * mean) + bends[i + 1, i + 1] / k
    slopes[2] += 1.0
    return slopes, bends


def discounted_lifetime(horizon: ArrayLike, *, discount_rate: float, s: float, beta: ArrayLike) -> Array:
    """Return the expected discounted time until an alive customer leaves or the horizon ends.

    The integral over (0, horizon) of exp(-discount_rate × y) (beta / (beta + y))^s dy; without a discount
    beta × (1 - (1 + horizon / beta)^(1 - s)) / (s - 1), in a form that holds at s = 1.

    Parameters
    ----------
    horizon : array_like, >= 0
        May be infinite if discounted.
    discount_rate : float, >= 0
    s : float, > 0
    beta : array_like, > 0
        Gamma rate of the rate of leaving of a customer alive now, broadcastable with ``horizon``.

    Examples
    --------
    >>> discounted_lifetime([1.0, 9.0], discount_rate=0.0, s=1.0, beta=1.0).round(6).tolist()  # log(1 + h)
    [0.693147, 2.302585]
    """
    ahead, scale = np.broadcast_arrays(np.asarray(horizon, dtype=float), np.asarray(beta, dtype=float))
    if discount_rate == 0.0:
        stretch = np.log1p(ahead / scale)
        return np.asarray(scale * stretch * exprel((1.0 - s) * stretch))
    decay = (discount_rate * scale).ravel()
    power = np.full_like(decay, 1.0 - s)
    high = np.minimum(np.log1p(ahead / scale).ravel(), np.log1p(_FORGOTTEN / decay))
    peak = np.clip(np.log(np.maximum(power / decay, 1.0)), 0.0, high)
    total = log_integral(_log_discounted, _discounted_slope, np.zeros_like(high), high, peak, (power, decay))
    return np.asarray(scale * np.exp(total).reshape(scale.shape))


def _log_discounted(z: Array, power: Array, decay: Array) -> Array:
    return np.asarray(power * z - decay * np.expm1(z))


def _discounted_slope(z: Array, power: Array, decay: Array) -> Array:
    return np.asarray(power - decay * np.exp(z))
