"""Sums over many customers, compiled: what `beta_geo_objective` and `gamma_gamma` do in numpy, in one pass.

Importing this module loads numba, so it is imported inside functions and only for large shops. The loops hold no
branch and no call: logarithm and exponential are written out, and the compiler turns them into vector code. Only
the sums may be reordered; the elementary functions are evaluated as written, to about 2 units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["chosen", "leave_sums", "read_only", "spend_sums", "tally", "time_sums"]

Array = NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

_EXACT = frozenset({"contract"})
_SUMMED = frozenset({"contract", "reassoc", "nsz", "arcp"})
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_MANTISSA, _ONE, _ROOT_HALF = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000, 0x3FE6A09E667F3BCD
_SHIFTER = 6755399441055744.0  # 1.5 × 2^52: adding it rounds to a whole number and leaves that in the last bits
_EXPONENT_BITS, _EXPONENT_BASE = 0x4330000000000000, 4503599627370496.0 + 1023.0
_FAINTEST = 708.0


def _compiled(fastmath: frozenset[str]) -> Callable[[Function], Function]:
    """Compile on first use, kept on disk where there is a place to."""

    def decorate(function: Function) -> Function:
        options = {"fastmath": set(fastmath), "error_model": "numpy"}
        try:
            return cast(Function, njit(cache=True, **options)(function))
        except RuntimeError:  # neither the package nor the user's cache folder can be written
            return cast(Function, njit(**options)(function))

    return decorate


def read_only(*columns: Array) -> tuple[Array, ...]:
    """Contiguous views nobody can write to: the one layout the loops are compiled for."""
    return tuple(map(_read_only, columns))


def _read_only(column: Array) -> Array:
    if column.flags.c_contiguous and not column.flags.writeable:
        return column
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


@intrinsic
def _bits(_context: Any, _number: Any) -> Any:  # numba's own types
    """Return the 64 bits of a float64."""
    return types.int64(types.float64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def _number(_context: Any, _bits: Any) -> Any:  # numba's own types
    """Return the float64 with these 64 bits."""
    return types.float64(types.int64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.DoubleType())


@_compiled(_EXACT)
def _log(u: float, rest: float) -> float:
    """Return log(u) + rest for a normal u > 0: 2 artanh of the mantissa around 1, plus the exponent."""
    shifted = _bits(u) + (_ONE - _ROOT_HALF)
    k = _number(((shifted & 0x7FFFFFFFFFFFFFFF) >> 52) | _EXPONENT_BITS) - _EXPONENT_BASE
    f = _number((shifted & _MANTISSA) + _ROOT_HALF) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = 2 / 21
    for divisor in (19, 17, 15, 13, 11, 9, 7, 5, 3):
        series = series * z + 2 / divisor
    return k * _LN2_HIGH + (2.0 * s + (s * z * series + (k * _LN2_LOW + rest)))


@_compiled(_EXACT)
def _log1p(z: float, inverse: float) -> float:
    """Return log(1 + z) for z >= 0, given 1 / (1 + z): what 1 + z lost by rounding is put back."""
    u = 1.0 + z
    return _log(u, (z - (u - 1.0)) * inverse)


@_compiled(_EXACT)
def _exp_minus(v: float) -> float:
    """Return exp(-v) for v >= 0: a power of two times the Taylor series within log(2) / 2."""
    v = min(v, _FAINTEST)
    shifted = v * -1.4426950408889634 + _SHIFTER
    k = shifted - _SHIFTER
    rest = (-v - k * _LN2_HIGH) - k * _LN2_LOW
    series = 1.0
    for divisor in (13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1):
        series = 1.0 + series * rest * (1.0 / divisor)
    return _number(_bits(series) + (_bits(shifted) << 52))


@_compiled(_SUMMED)
def tally(x: Array, weight: Array, size: int) -> Array:
    """Total weight per count below ``size``; what lies beyond is added up in the last place.

    Returns
    -------
    ndarray of shape (size + 1,)
    """
    lanes = np.zeros((4, size + 1))  # most counts are 0: taking turns, an addition need not wait for the last
    for i in range(len(x)):
        lanes[i & 3, int(min(x[i], size))] += weight[i]
    return lanes[0] + lanes[1] + lanes[2] + lanes[3]


@_compiled(_SUMMED)
def _choose(column: Array, keep: NDArray[np.bool_], kept: Array) -> None:
    filled = 0
    for i in range(len(column)):
        kept[filled] = column[i]
        filled += keep[i]


def chosen(columns: Sequence[Array], keep: NDArray[np.bool_]) -> tuple[Array, ...]:
    """Return the rows to keep of read-only columns, chosen without a branch."""
    n = np.count_nonzero(keep)
    kept = np.empty((len(columns), n + 1))
    (mask,) = read_only(keep)
    for column, row in zip(columns, kept, strict=True):
        _choose(column, mask, row)
    return read_only(*kept[:, :n])


@_compiled(_SUMMED)
def time_sums(x: Array, T: Array, weight: Array, scale: float) -> Array:
    """Weighted sums of log(1 + z), z / (1 + z), 1 / (1 + z) and z / (1 + z)^2, z = T / scale.

    Returns
    -------
    ndarray of shape (2, 4)
        By weight, and by weight times x.
    """
    w_log = w_rest = w_share = w_both = x_log = x_rest = x_share = x_both = 0.0
    for i in range(len(T)):
        z = T[i] / scale
        share = 1.0 / (1.0 + z)
        rest = z * share
        both = rest * share
        stretch = _log1p(z, share)
        w = weight[i]
        wx = w * x[i]
        w_log += w * stretch
        w_rest += w * rest
        w_share += w * share
        w_both += w * both
        x_log += wx * stretch
        x_rest += wx * rest
        x_share += wx * share
        x_both += wx * both
    return np.array([[w_log, w_rest, w_share, w_both], [x_log, x_rest, x_share, x_both]])


@_compiled(_SUMMED)
def leave_sums(
    x: Array, t_x: Array, T: Array, weight: Array, r: float, alpha: float, a: float, before: float
) -> tuple[float, float, float, float, Array, Array]:
    """Sum what `beta_geo_objective` needs of log(1 + P(left) / P(alive)), for customers who may have left.

    ``before`` is b plus the chances to leave that precede a customer's repeat purchases, less one.

    Returns
    -------
    value, cross, bend, square : float
    gradient : ndarray of shape (4,)
    outer : ndarray of shape (4, 4)
    """
    value = by_r = by_alpha = by_a = by_b = cross = bend = square = 0.0
    rr = ra = r1 = rb = aa = a1 = ab = oo = ob = bb = 0.0
    for i in range(len(x)):
        at_T = 1.0 / (1.0 + T[i] / alpha)
        since = 1.0 + t_x[i] / alpha
        at_last = 1.0 / since
        gap = (T[i] - t_x[i]) / alpha * at_last
        stretch = _log1p(gap, since * at_T)
        shape = r + x[i]
        shift = -gap * at_T
        slope = shape * shift
        share = 1.0 / (before + x[i])
        still = _exp_minus(shape * stretch)
        odds = still + a * share
        pull = weight[i] * a * share / odds
        spread = pull * still / odds
        value += weight[i] * (shape * stretch + _log(odds, 0.0))
        by_r += pull * stretch
        by_alpha += pull * slope
        by_a += pull
        by_b += pull * share
        cross += pull * shift
        bend += pull * slope * (1.0 - at_T - at_last)
        square += pull * share * share
        rr += spread * stretch * stretch
        ra += spread * stretch * slope
        r1 += spread * stretch
        rb += spread * stretch * share
        aa += spread * slope * slope
        a1 += spread * slope
        ab += spread * slope * share
        oo += spread
        ob += spread * share
        bb += spread * share * share
    outer = np.array([[rr, ra, r1, rb], [ra, aa, a1, ab], [r1, a1, oo, ob], [rb, ab, ob, bb]])
    return value, cross, bend, square, np.array([by_r, by_alpha, by_a, by_b]), outer


@_compiled(_SUMMED)
def spend_sums(x: Array, m: Array, weight: Array, gamma: float) -> Array:
    """Weighted sums of logarithms and shares of a customer's own spend x m beside gamma.

    Returns
    -------
    ndarray of shape (6,)
        By weight: log(1 + x m / gamma), the own share x m / (gamma + x m), own share times common share; by
        weight times x: log(1 + gamma / (x m)), the common share, own share times common share.
    """
    w_log = w_own = w_both = x_log = x_common = x_both = 0.0
    for i in range(len(x)):
        z = x[i] * m[i] / gamma
        common = 1.0 / (1.0 + z)
        own = z * common
        w = weight[i]
        wx = w * x[i]
        w_log += w * _log1p(z, common)
        w_own += w * own
        w_both += w * own * common
        x_log += wx * _log1p(1.0 / z, own)
        x_common += wx * common
        x_both += wx * own * common
    return np.array([w_log, w_own, w_both, x_log, x_common, x_both])
