"""The log-likelihood of BG/NBD and its kin over many customers, with its derivatives by the log parameters.

The mathematics, its symbols and its source are those of `crm_ml.clv.processes.bg_nbd`. The log-likelihood is
split as terms in x alone + terms in the times + log(1 + exp(u)), u the log-odds of having left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln

from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.likelihood.rising import digamma_rise, gammaln_rise, trigamma_rise
from crm_ml.clv.likelihood.silence import StageSum, stage_sum

__all__ = ["objective"]

Array = NDArray[np.float64]


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
    counts, member = np.unique(patterns.x, return_inverse=True)
    count_weight = np.bincount(member, weights=patterns.weight).astype(float)
    x, t_x, total_T, weight = patterns.x, patterns.t_x, patterns.T, patterns.weight
    may_leave = x + modified > 0
    leavers = Patterns(*(v[may_leave] for v in (x, t_x, total_T, weight)))
    constant = -gammaln(k) * float(weight @ x)

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        r, alpha, a, b = np.exp(theta)
        parts = [
            _count_terms(k * counts, counts + modified, count_weight, r, a, b),
            _time_terms(k * x, total_T, weight, r, alpha),
        ]
        if k == 1:
            parts.append(_dropout_terms(leavers, r, alpha, a, b, k=k, modified=modified))
        else:
            stages = stage_sum(x, t_x, total_T, k=k, r=r, alpha=alpha)
            leaving = stages.where(may_leave)
            parts.append(_stage_terms(stages, weight))
            parts.append(_dropout_terms(leavers, r, alpha, a, b, k=k, modified=modified, stages=leaving))
        return (
            sum(part[0] for part in parts) + constant,
            np.sum([part[1] for part in parts], axis=0),
            np.sum([part[2] for part in parts], axis=0),
        )

    return evaluate


def _count_terms(
    events: Array, stayed: Array, weight: Array, r: float, a: float, b: float
) -> tuple[float, Array, Array]:
    """Gamma functions of the alive term: log (r)_events (b)_stayed / (a + b)_stayed."""
    value = weight @ (gammaln_rise(r, events) + gammaln_rise(b, stayed) - gammaln_rise(a + b, stayed))
    pairs = ((r, events), (b, stayed), (a + b, stayed))
    first_r, first_b, first_ab = (float(weight @ digamma_rise(z, n)) for z, n in pairs)
    second_r, second_b, second_ab = (float(weight @ trigamma_rise(z, n)) for z, n in pairs)
    gradient = np.array([r * first_r, 0.0, -a * first_ab, b * (first_b - first_ab)])
    hessian = np.diag(gradient)
    hessian[0, 0] += r * r * second_r
    hessian[2, 2] -= a * a * second_ab
    hessian[3, 3] += b * b * (second_b - second_ab)
    hessian[2, 3] = hessian[3, 2] = -a * b * second_ab
    return float(value), gradient, hessian


def _time_terms(events: Array, T: Array, weight: Array, r: float, alpha: float) -> tuple[float, Array, Array]:
    """Sum the times of the alive term: r log(alpha) - (r + events) log(alpha + T)."""
    stretch = float(weight @ np.log1p(T / alpha))
    share = alpha / (alpha + T)
    rest = T / (alpha + T)
    value = -r * stretch - float(weight @ (events * np.log(alpha + T)))
    gradient = np.array([-r * stretch, float(weight @ (r * rest - events * share)), 0.0, 0.0])
    hessian = np.zeros((4, 4))
    hessian[0, 0] = -r * stretch
    hessian[0, 1] = hessian[1, 0] = r * float(weight @ rest)
    hessian[1, 1] = -float(weight @ ((r + events) * share * rest))
    return value, gradient, hessian


def _stage_terms(stages: StageSum, weight: Array) -> tuple[float, Array, Array]:
    """Silence of up to k - 1 events."""
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    gradient[:2] = stages.slopes @ weight
    hessian[:2, :2] = stages.curvatures @ weight
    return float(weight @ stages.value), gradient, hessian


def _dropout_terms(
    leavers: Patterns,
    r: float,
    alpha: float,
    a: float,
    b: float,
    *,
    k: int,
    modified: bool,
    stages: StageSum | None = None,
) -> tuple[float, Array, Array]:
    """Possibility of having left: log(1 + exp(u)) with u the log-odds of it."""
    x, t_x, T, weight = leavers.x, leavers.t_x, leavers.T, leavers.weight
    shape, denominator = r + k * x, b + (x + modified) - 1.0
    stretch = np.log1p((T - t_x) / (alpha + t_x))
    u = np.log(a) - np.log(denominator) + shape * stretch
    at_T, at_last = alpha / (alpha + T), alpha / (alpha + t_x)
    silence, shift = r * stretch, at_T - at_last
    by_b = b / denominator
    slopes = np.stack([silence, shape * shift, np.ones_like(x), -by_b])
    if stages is not None:
        u = u - stages.value
        slopes[:2] -= stages.slopes
    left = expit(u)
    pull, spread = weight * left, weight * left * expit(-u)
    hessian = (slopes * spread) @ slopes.T
    hessian[0, 0] += pull @ silence
    cross = float(pull @ (r * shift))
    hessian[0, 1] += cross
    hessian[1, 0] += cross
    hessian[1, 1] += pull @ (shape * (at_T * (1.0 - at_T) - at_last * (1.0 - at_last)))
    hessian[3, 3] -= pull @ (by_b * (1.0 - by_b))
    if stages is not None:
        hessian[:2, :2] -= stages.curvatures @ pull
    return float(weight @ np.logaddexp(0.0, u)), slopes @ pull, hessian
