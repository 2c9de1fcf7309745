"""The log-likelihood of BG/NBD and its kin over many customers, with its derivatives by the log parameters.

The mathematics, its symbols and its source are those of `crm_ml.clv.processes.bg_nbd`. The log-likelihood is
split as terms in x alone + terms in the times + log(1 + exp(u)), u the log-odds of having left. Over a large shop
the last two are summed by `crm_ml.clv.compiled.sums`, whose loops stand for `_time_sums` and `_leave_sums` here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from crm_ml.clv.compiled import sums
from crm_ml.clv.compiled.compiler import compiled, plain
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns, chosen_rows
from crm_ml.clv.likelihood.rising import CountSums
from crm_ml.clv.likelihood.silence import StageSum, stage_sum

__all__ = ["objective"]

Array = NDArray[np.float64]
Terms = tuple[float, Array, Array]
LeaveSums = tuple[float, float, float, float, Array, Array]
RowSums = Callable[[float, float, float, float], tuple[Array, LeaveSums, Terms | None]]


def objective(patterns: Patterns, *, k: int = 1, modified: bool = False) -> Objective:
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
    counts, count_weight = patterns.counts
    events, stays = CountSums(k * counts, count_weight), CountSums(counts + modified, count_weight)
    n_events, constant = k * patterns.total_x, -float(gammaln(k)) * patterns.total_x
    make = _compiled_sums if patterns.many and k == 1 else _numpy_sums
    row_sums = make(patterns, k=k, modified=modified)

    def evaluate(theta: Array) -> Terms:
        r, alpha, a, b = np.exp(theta).tolist()
        times, leaving, stages = row_sums(r, alpha, a, b + modified - 1.0)
        value, gradient, hessian = _leave_terms(leaving, r, b)
        if stages is not None:
            value += stages[0]
            gradient[:2] += stages[1]
            hessian[:2, :2] += stages[2]
        alive, by_rate, twice_by_rate = _rate_terms(times, events.rises(r), n_events, r, alpha)
        stay, by_leaving, twice_by_leaving = stays.ratios(a, b)
        gradient[:2] += by_rate
        gradient[2:] += by_leaving
        hessian[:2, :2] += twice_by_rate
        hessian[2:, 2:] += twice_by_leaving
        return value + alive + stay + constant, gradient, hessian

    return evaluate


def _rate_terms(times: Array, rises: tuple[float, float, float], n_events: float, r: float, alpha: float) -> Terms:
    """Alive term but for dropout, by log(r, alpha): log (r)_events + r log(alpha) - (r + events) log(alpha + T)."""
    (stretch, rest, _, both), (stretch_x, _, share_x, both_x) = times.tolist()
    rise, first, second = rises
    by_r = r * (first - stretch)
    value = rise - r * stretch - stretch_x - n_events * math.log(alpha)
    hessian = np.array([[by_r + r * r * second, r * rest], [r * rest, -r * both - both_x]])
    return value, np.array([by_r, r * rest - share_x]), hessian


def _leave_terms(sums: LeaveSums, r: float, b: float) -> Terms:
    """Possibility of having left, log(1 + exp(u)): the chain rule from what the sums hold to the log parameters."""
    value, cross, bend, square, gradient, outer = sums
    scale = np.array([r, 1.0, 1.0, -b])
    gradient, hessian = gradient * scale, outer * (scale[:, None] * scale)
    hessian[0, 0] += gradient[0]
    hessian[0, 1] += r * cross
    hessian[1, 0] += r * cross
    hessian[1, 1] += bend
    hessian[3, 3] += gradient[3] + b * b * square
    return value, gradient, hessian


def _compiled_sums(patterns: Patterns, *, k: int, modified: bool) -> RowSums:  # noqa: ARG001  # k is 1
    """Prepare the sums over the rows of a large shop of Poisson buyers."""
    time_sums, leave_sums = compiled(sums.time_sums, sums=True), compiled(sums.leave_sums, sums=True)
    rows = x, _, T, weight = plain(patterns.x, patterns.t_x, patterns.T, patterns.weight)
    leavers = rows if modified else chosen_rows(x > 0, *rows)
    return lambda r, alpha, a, before: (time_sums(x, T, weight, alpha), leave_sums(*leavers, r, alpha, a, before), None)


def _numpy_sums(patterns: Patterns, *, k: int, modified: bool) -> RowSums:
    """Prepare the sums over patterns."""
    x, t_x, T, weight = patterns.x, patterns.t_x, patterns.T, patterns.weight
    weights = np.stack([weight, k * weight * x])
    keep: slice | NDArray[np.intp] = slice(None) if modified else np.flatnonzero(x > 0)
    leavers = x[keep], t_x[keep], T[keep], weight[keep]

    def summed(r: float, alpha: float, a: float, before: float) -> tuple[Array, LeaveSums, Terms | None]:
        times = _time_sums(weights, T, alpha)
        if k == 1:
            return times, _leave_sums(*leavers, r, alpha, a, before)[0], None
        stages = stage_sum(x, t_x, T, k=k, r=r, alpha=alpha)
        leaving = stages.where(keep)
        leave, pull = _leave_sums(*leavers, r, alpha, a, before, k=k, stages=leaving)
        value, gradient, hessian = weight @ stages.value, stages.slopes @ weight, stages.curvatures @ weight
        hessian -= leaving.curvatures @ pull
        hessian[0, 0] += leaving.slopes[0] @ pull
        return times, leave, (float(value), gradient, hessian)

    return summed


def _time_sums(weights: Array, T: Array, alpha: float) -> Array:
    """See `sums.time_sums`; events in place of purchases."""
    z = T / alpha
    parts = np.empty((4, len(z)))
    np.log1p(z, out=parts[0])
    np.divide(1.0, 1.0 + z, out=parts[2])
    np.multiply(z, parts[2], out=parts[1])
    np.multiply(parts[1], parts[2], out=parts[3])
    return weights @ parts.T


def _leave_sums(
    x: Array,
    t_x: Array,
    T: Array,
    weight: Array,
    r: float,
    alpha: float,
    a: float,
    before: float,
    *,
    k: int = 1,
    stages: StageSum | None = None,
) -> tuple[LeaveSums, Array]:
    """See `sums.leave_sums`; last, the weight of each customer times the probability of having left.

    For k > 1 the log-odds and their slopes are less by those of the stages.
    """
    since = alpha + t_x
    at_T, at_last, gap = alpha / (alpha + T), alpha / since, (T - t_x) / since
    shape, share, shift = r + k * x, 1.0 / (before + x), -gap * at_T
    slopes = np.ones((4, len(x)))
    np.log1p(gap, out=slopes[0])
    np.multiply(shape, shift, out=slopes[1])
    slopes[3] = share
    v, bends = shape * slopes[0], slopes[1] * (1.0 - at_T - at_last)
    if stages is not None:
        v -= stages.value
        slopes[0] -= stages.slopes[0] / r
        slopes[1] -= stages.slopes[1]
    still = np.exp(-v)
    odds = still + a * share
    pull = weight * (a * share / odds)
    outer = (slopes * (pull * still / odds)) @ slopes.T
    value = float(weight @ (v + np.log(odds)))
    sums_of_pull = (float(pull @ terms) for terms in (shift, bends, share * share))
    return (value, *sums_of_pull, slopes @ pull, outer), pull
