"""Rises of the log-gamma function and its derivatives, free of cancellation at large arguments.

A likelihood of counts holds ``gammaln(z + n) - gammaln(z)``. As a difference of two library calls it
loses all digits where a parameter runs to infinity, which is just where an optimiser must be able to
tell a boundary from an optimum. From 16 on, the difference of the two Stirling series is used instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, zeta

__all__ = ["CountSums", "digamma_rise", "gammaln_rise", "log_choice", "log_decline", "trigamma_rise"]

_STIRLING_FROM = 16.0
_STEPS = 4_096


class CountSums:
    """Sums over customers of log (z)_n, n the count of each, factor by factor.

    (z)_n is the product of z + j over j < n, so the sum is that of log(z + j) times the customers whose count
    exceeds j: a few logarithms, whatever the number of customers, and nothing cancels. From the 4,096th factor
    on, a customer's rest is one rise.

    Parameters
    ----------
    counts : ndarray of shape (n_distinct,)
        Distinct whole counts in ascending order.
    weight : ndarray of shape (n_distinct,)
        Customers of each.
    """

    def __init__(self, counts: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        largest = int(min(counts.max(initial=0.0), _STEPS))
        above = np.append(np.cumsum(weight[::-1])[::-1], 0.0)
        self._steps = np.arange(largest, dtype=float)
        self._above = above[np.searchsorted(counts, self._steps, side="right")]
        beyond = counts > _STEPS
        self._rest, self._rest_weight = counts[beyond] - _STEPS, weight[beyond]

    def rises(self, z: float) -> tuple[float, float, float]:
        """Sum log (z)_n; with it the first and second derivative by z.

        Examples
        --------
        >>> customers = CountSums(np.array([0.0, 2.0]), np.array([5.0, 10.0]))
        >>> [round(value, 6) for value in customers.rises(3.0)]  # 10 log(3 × 4), 10 (1/3 + 1/4), ...
        [24.849066, 5.833333, -1.736111]
        """
        factors = z + self._steps
        inverse = 1.0 / factors
        value, first = float(self._above @ np.log(factors)), float(self._above @ inverse)
        second = -float(self._above @ (inverse * inverse))
        if len(self._rest):
            far = self._far_rises(z)
            return value + far[0], first + far[1], second + far[2]
        return value, first, second

    def ratios(self, a: float, b: float) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Sum log((b)_n / (a + b)_n); with it gradient and Hessian by log(a) and log(b).

        Examples
        --------
        >>> value, gradient, hessian = CountSums(np.array([1.0]), np.array([10.0])).ratios(1.0, 3.0)
        >>> round(value, 6), gradient.tolist(), hessian.round(9).tolist()  # 10 log(b / (a + b))
        (-2.876821, [-2.5, 2.5], [[-1.875, 1.875], [1.875, -1.875]])
        """
        below, above = 1.0 / (b + self._steps), 1.0 / (a + b + self._steps)
        both = self._above * (below * above)
        value = -float(self._above @ np.log1p(a * below))
        by_a, by_b = -a * float(self._above @ above), a * b * float(both.sum())
        square = float(self._above @ (above * above))
        bend = b * b * a * float(both @ (below + above))
        aa, ab, bb = by_a + a * a * square, a * b * square, by_b - bend
        if len(self._rest):
            (value_b, first_b, second_b), (value_ab, first_ab, second_ab) = map(self._far_rises, (b, a + b))
            value += value_b - value_ab
            by_a -= a * first_ab
            by_b += b * (first_b - first_ab)
            aa -= a * first_ab + a * a * second_ab
            ab -= a * b * second_ab
            bb += b * (first_b - first_ab) + b * b * (second_b - second_ab)
        return value, np.array([by_a, by_b]), np.array([[aa, ab], [ab, bb]])

    def _far_rises(self, z: float) -> tuple[float, float, float]:
        """Sum what is left of the rises from the last single factor on."""
        far, weight = z + _STEPS, self._rest_weight
        rises = (gammaln_rise, digamma_rise, trigamma_rise)
        value, first, second = (float(weight @ rise(far, self._rest)) for rise in rises)
        return value, first, second


def gammaln_rise(z: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the rising factorial, ``gammaln(z + n) - gammaln(z)``.

    Parameters
    ----------
    z : array_like of float, > 0
    n : array_like of float, > -1
        Need not be whole.

    Examples
    --------
    >>> float(gammaln_rise(3.0, 2.0))  # log(3 * 4)
    2.4849066497880...
    """
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    large = np.maximum(z, _STIRLING_FROM)
    by_series = (
        (large - 0.5) * np.log1p(n / large) + n * (np.log(large + n) - 1.0) + (_stirling(large + n) - _stirling(large))
    )
    return np.asarray(np.where(z >= _STIRLING_FROM, by_series, gammaln(z + n) - gammaln(z)))


def log_choice(z: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the rising factorial over the factorial, (z)_n / n!: the coefficient of a negative binomial.

    The two halves of it grow like n log n and cancel, so the smaller of z and n + 1 is raised from the larger.

    Parameters
    ----------
    z : array_like of float, > 0
    n : array_like of float, >= 0

    Examples
    --------
    >>> float(np.exp(log_choice(3.0, 2.0)).round(9))  # 3 * 4 / 2
    6.0
    """
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    most, least = np.maximum(z, n + 1.0), np.minimum(z, n + 1.0)
    return np.asarray(gammaln_rise(most, least - 1.0) - gammaln(least))


def log_decline(z: ArrayLike, d: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of a ratio of rising factorials, (z)_n / (z + d)_n, at most 0.

    It is the same with ``d`` and ``n`` exchanged, and keeps most digits with the smaller as the number of factors.

    Parameters
    ----------
    z, d, n : array_like of float, z > 0, d and n >= 0

    Examples
    --------
    >>> float(np.exp(log_decline(3.0, 1.0, 2.0)).round(9))  # 3 * 4 / (4 * 5)
    0.6
    """
    z, d, n = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (z, d, n)))
    most, least = np.maximum(d, n), np.minimum(d, n)
    return np.asarray(gammaln_rise(z, least) - gammaln_rise(z + most, least))


def digamma_rise(z: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """First derivative of `gammaln_rise` by ``z``: ``digamma(z + n) - digamma(z)``.

    Examples
    --------
    >>> float(digamma_rise(3.0, 2.0))  # 1/3 + 1/4
    0.583333333333...
    """
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    large = np.maximum(z, _STIRLING_FROM)
    by_series = np.log1p(n / large) + (_digamma_tail(large + n) - _digamma_tail(large))
    return np.asarray(np.where(z >= _STIRLING_FROM, by_series, digamma(z + n) - digamma(z)))


def trigamma_rise(z: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Second derivative of `gammaln_rise` by ``z``; never positive.

    Examples
    --------
    >>> float(trigamma_rise(3.0, 2.0))  # -1/9 - 1/16
    -0.173611111111...
    """
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    return np.asarray(zeta(2.0, z + n) - zeta(2.0, z))


def _stirling(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the series of ``gammaln`` after its logarithms (Abramowitz & Stegun 6.1.41)."""
    s = 1.0 / (z * z)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / z


def _digamma_tail(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the series of ``digamma`` after its logarithm (Abramowitz & Stegun 6.3.18)."""
    s = 1.0 / (z * z)
    return -0.5 / z - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s / 132))))
