"""Sums over many customers: what `beta_geo_objective` and `gamma_gamma` do in numpy, in one pass over the rows.

The loops hold no branch, so that the compiler turns them into vector code. Change this file when the arithmetic of
`elementary` changes: machine code that was kept is out of date when the file of its loop changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled.elementary import exp_minus, log, log1p

__all__ = ["choose", "leave_sums", "spend_sums", "tally", "time_sums"]

Array = NDArray[np.float64]


def tally(x: Array, weight: Array, size: int) -> Array:
    """Total weight per count below ``size``; what lies beyond is added up in the last place.

    Returns
    -------
    ndarray of shape (size + 1,)
    """
    lanes = np.zeros((4, size + 1))  # most counts are 0: taking turns, an addition need not wait for the last
    for i in range(len(x)):
        lanes[i & 3, int(min(x[i], size))] += weight[i]
    total: Array = lanes[0] + lanes[1] + lanes[2] + lanes[3]
    return total


def choose(column: Array, keep: NDArray[np.bool_], kept: Array) -> None:
    """Fill ``kept``, of one place more than needed, with the rows to keep; without a branch.

    Parameters
    ----------
    column, keep : ndarray of shape (n,)
    kept : ndarray of shape (n_kept + 1,)
    """
    filled = 0
    for i in range(len(column)):
        kept[filled] = column[i]
        filled += keep[i]


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
        stretch = log1p(z)
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
        stretch = log1p(gap)
        shape = r + x[i]
        shift = -gap * at_T
        slope = shape * shift
        share = 1.0 / (before + x[i])
        still = exp_minus(shape * stretch)
        odds = still + a * share
        pull = weight[i] * a * share / odds
        spread = pull * still / odds
        value += weight[i] * (shape * stretch + log(odds))
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


def spend_sums(x: Array, m: Array, weight: Array, gamma: float) -> Array:
    """Weighted sums of logarithms and shares of a customer's own spend x m beside gamma.

    Returns
    -------
    ndarray of shape (6,)
        Of log(1 + x m / gamma), the own share x m / (gamma + x m), and own share times common share, by weight;
        of log(1 + x m / gamma), the common share, and own share times common share, by weight times x.
    """
    w_log = w_own = w_both = x_log = x_common = x_both = 0.0
    for i in range(len(x)):
        z = x[i] * m[i] / gamma
        common = 1.0 / (1.0 + z)
        own = z * common
        w = weight[i]
        wx = w * x[i]
        stretch = log1p(z)
        w_log += w * stretch
        w_own += w * own
        w_both += w * own * common
        x_log += wx * stretch
        x_common += wx * common
        x_both += wx * own * common
    return np.array([w_log, w_own, w_both, x_log, x_common, x_both])
