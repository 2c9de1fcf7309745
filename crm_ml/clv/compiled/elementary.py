"""Elementary functions in plain IEEE arithmetic, the same to the last bit on arrays and compiled for one number.

Libraries differ in the last digits of exp and log, and one library may differ from itself between its vector
and its scalar code. Sums, products, quotients and the bits of a double do not: what is made of these alone
gives a customer the same value whether a thousand are scored by numpy or a million by compiled loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = [
    "COEFFICIENTS",
    "alive_probability",
    "exp_minus",
    "log",
    "log1p",
    "octave",
    "polynomial",
    "silence_probability",
    "spend_per_purchase",
    "stay_or_leave",
]

_LOG2_E = 1.0 / math.log(2.0)
_LOG2_HIGH = float.fromhex("0x1.62e42fefa0000p-1")  # the leading bits of log(2): times any exponent without rounding
_LOG2_LOW = float.fromhex("0x1.cf79abc9e3b3ap-40")
_ROUND = 1.5 * 2.0**52  # added to a number and taken away, leaves the nearest whole one
_ROUND_BITS = int(np.float64(_ROUND).view(np.int64))
_ONE_BITS = int(np.float64(1.0).view(np.int64))
_FRACTION = (1 << 52) - 1
_ROOT_HALF = int(np.float64(0.5**0.5).view(np.int64))
_TO_ROOT_HALF = _ONE_BITS - _ROOT_HALF
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (1.0 / math.factorial(k) for k in range(2, 14))
_ROOT_TWO = math.sqrt(2.0)
_HALF_WIDTH = 3.0 - 2.0 * math.sqrt(2.0)
_DEEPEST = 1400.0

COEFFICIENTS = 16
"""Of the polynomials that `polynomial` evaluates."""


def exp_minus(z: Any) -> Any:
    """exp(-z) to one unit in the last place; 0 from about 745 on.

    Parameters
    ----------
    z : float or ndarray of shape (n,), >= 0

    Examples
    --------
    >>> [exp_minus(np.array([z])).item() for z in (0.0, 1.0, 800.0)]
    [1.0, 0.36787944117144233, 0.0]
    """
    z = np.minimum(z, _DEEPEST)
    rounded = _ROUND - z * _LOG2_E
    k = rounded - _ROUND
    f = (-z - k * _LOG2_HIGH) - k * _LOG2_LOW
    high = _E7 + f * (_E8 + f * (_E9 + f * (_E10 + f * (_E11 + f * (_E12 + f * _E13)))))
    series = 1.0 + f * (1.0 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * (_E6 + f * high))))))
    n = np.float64(rounded).view(np.int64) - _ROUND_BITS
    half = n >> 1  # two factors, as 2^n alone may lie below the normal numbers
    return series * np.int64((half + 1023) << 52).view(np.float64) * np.int64((n - half + 1023) << 52).view(np.float64)


def log(u: Any, lost: Any = 0.0) -> Any:
    """log(u + lost) to two units in the last place, as 2 artanh of a fraction below 0.172.

    Parameters
    ----------
    u : float or ndarray of shape (n,), > 0 and a normal number
    lost : float or ndarray of shape (n,)
        What a sum lost when it was rounded to u.

    Examples
    --------
    >>> log(np.array([1.0, 10.0])).tolist()
    [0.0, 2.302585092994046]
    """
    bits = np.float64(u).view(np.int64) + _TO_ROOT_HALF
    n = (bits >> 52) - 1023
    mantissa = np.int64((bits & _FRACTION) + _ROOT_HALF).view(np.float64)
    f = (mantissa - 1.0) + lost * np.int64((1023 - n) << 52).view(np.float64)
    s = f / (2.0 + f)
    w = s * s
    high = 1 / 11 + w * (1 / 13 + w * (1 / 15 + w * (1 / 17 + w * (1 / 19 + w * (1 / 21)))))
    series = w * (1 / 3 + w * (1 / 5 + w * (1 / 7 + w * (1 / 9 + w * high))))
    k = n * 1.0
    return k * _LOG2_HIGH + (2.0 * s + (2.0 * s * series + k * _LOG2_LOW))


def log1p(y: Any) -> Any:
    """log(1 + y) to two units in the last place.

    Parameters
    ----------
    y : float or ndarray of shape (n,), >= 0

    Examples
    --------
    >>> [log1p(np.array([y])).item() for y in (0.0, 1e-12, 1.0)]
    [0.0, 9.999999999995e-13, 0.6931471805599453]
    """
    u = 1.0 + y
    return log(u, y - (u - 1.0))


def octave(rate: Any) -> tuple[Any, Any]:
    """Binary exponent of a number, and its place v in [-1, 1] between that power of two and the next.

    v is a Möbius map that takes the right half plane to a disc of radius 5.83: a function analytic and bounded
    there is a polynomial of degree n in v up to about 11.7^-n.

    Parameters
    ----------
    rate : float or ndarray of shape (n,), > 0

    Examples
    --------
    >>> exponent, place = octave(np.array([1.0, 3.0, 4.0]))
    >>> exponent.tolist(), place.round(6).tolist()
    ([0, 1, 2], [-1.0, 0.171573, -1.0])
    """
    bits = np.float64(rate).view(np.int64)
    mantissa = np.int64((bits & _FRACTION) | _ONE_BITS).view(np.float64)
    return (bits >> 52) - 1023, (mantissa - _ROOT_TWO) / ((mantissa + _ROOT_TWO) * _HALF_WIDTH)


def polynomial(coefficients: Any, v: Any) -> Any:
    """Value of a polynomial, its even and its odd part apart, which a processor computes side by side.

    Parameters
    ----------
    coefficients : ndarray of shape (16, ...)
        In rising powers.
    v : float or ndarray

    Examples
    --------
    >>> float(polynomial(np.arange(16.0), 1.0))
    120.0
    """
    square = v * v
    even, odd = coefficients[COEFFICIENTS - 2], coefficients[COEFFICIENTS - 1]
    for j in range(4, COEFFICIENTS + 1, 2):
        even = even * square + coefficients[COEFFICIENTS - j]
        odd = odd * square + coefficients[COEFFICIENTS - j + 1]
    return even + odd * v


def stay_or_leave(x: Any, t_x: Any, T: Any, r: float, alpha: float, a: float, b: float, modified: float) -> Any:
    """Return two numbers that are as P(alive) to P(left) under BG/NBD, or MBG/NBD if ``modified`` is 1.

    The first is ((alpha + t_x) / (alpha + T))^(r + x), and the second a / (b + x - 1); see `bg_nbd`.

    Examples
    --------
    >>> one = (np.array([value]) for value in (2.0, 3.0, 7.0))
    >>> [round(number.item(), 12) for number in stay_or_leave(*one, 1.0, 1.0, 0.5, 3.0, 0.0)]
    [0.125, 0.125]
    """
    stayed = x + modified
    some = np.minimum(stayed, 1.0)  # 0 for who had no occasion to leave
    left = some * a / (b + (np.maximum(stayed, 1.0) - 1.0))
    return exp_minus(some * (r + x) * log1p((T - t_x) / (alpha + t_x))), left


def alive_probability(x: Any, t_x: Any, T: Any, r: float, alpha: float, a: float, b: float, modified: float) -> Any:
    """Probability of being alive; the parameters are `stay_or_leave`'s.

    Examples
    --------
    >>> one = (np.array([value]) for value in (26.0, 30.857, 31.0))
    >>> round(alive_probability(*one, 0.2426, 4.4136, 0.7929, 2.4259, 0.0).item(), 4)
    0.9689
    """
    stay, leave = stay_or_leave(x, t_x, T, r, alpha, a, b, modified)
    return stay / (stay + leave)


def silence_probability(
    x: Any, t_x: Any, T: Any, horizon: float, r: float, alpha: float, a: float, b: float, modified: float
) -> Any:
    """Probability of no purchase within ``horizon``: gone, or alive and silent.

    Examples
    --------
    >>> round(silence_probability(*np.zeros((3, 1)), 39.0, 0.243, 4.414, 0.793, 2.426, 0.0).item(), 7)
    0.5737864
    """
    stay, leave = stay_or_leave(x, t_x, T, r, alpha, a, b, modified)
    return (leave + stay * exp_minus((r + x) * log1p(horizon / (alpha + T)))) / (stay + leave)


def spend_per_purchase(x: Any, m: Any, p: float, q: float, gamma: float) -> Any:
    """Return the expected spend per purchase under Gamma-Gamma, q > 1; without positive spend, the population's.

    Examples
    --------
    >>> spend_per_purchase(np.array([2.0, 0.0]), np.array([22.35, 0.0]), 6.25, 3.74, 15.44).round(2).tolist()
    [24.66, 35.22]
    """
    known = x * (m > 0.0)
    return p * (gamma + known * m) / (p * known + (q - 1.0))
