"""Rises of the log-gamma function and its derivatives, free of cancellation at large arguments.

A likelihood of counts holds ``gammaln(z + n) - gammaln(z)``. As a difference of two library calls it
loses all digits where a parameter runs to infinity, which is just where an optimiser must be able to
tell a boundary from an optimum. From 16 on, the difference of the two Stirling series is used instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, zeta

__all__ = ["digamma_rise", "gammaln_rise", "log_choice", "trigamma_rise"]

_STIRLING_FROM = 16.0


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
