"""Log-likelihood of single customers with its derivatives, each customer with parameters of its own.

Derivatives are by the logarithms of the four parameters, in the order of the process's ``NAMES``. With
LL = alive + log(1 + exp(u)), u the log-odds of having left and P their probability,

    LL' = alive' + P u',  LL'' = alive'' + P u'' + P (1 - P) u' u'ᵀ.

The mathematics, its symbols and sources are those of `bg_nbd`, `pareto_nbd` and `bg_bb`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from crm_ml.clv.likelihood import counted_dropout, exponential_dropout
from crm_ml.clv.likelihood.rising import digamma_rise, trigamma_rise
from crm_ml.clv.likelihood.silence import stage_sum
from crm_ml.clv.processes import bg_bb, bg_nbd, pareto_nbd

__all__ = ["RowDerivatives", "beta_geo", "beta_geo_beta_binom", "pareto"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RowDerivatives:
    """Log-likelihood of each customer with its derivatives by the four log parameters.

    Attributes
    ----------
    value : ndarray of shape (n,)
    slopes : ndarray of shape (4, n)
    bends : ndarray of shape (4, 4, n)
    """

    value: Array
    slopes: Array
    bends: Array

    @classmethod
    def joined(
        cls, value: Array, alive: tuple[Array, Array], left: tuple[Array, Array], p_left: Array
    ) -> RowDerivatives:
        """Join the derivatives of the alive term and of the log-odds of having left."""
        slopes, bends = left
        spread = p_left * (1.0 - p_left)
        return cls(
            value,
            alive[0] + p_left * slopes,
            alive[1] + p_left * bends + spread * slopes[:, None] * slopes[None, :],
        )


def beta_geo(
    x: Array, t_x: Array, T: Array, *, r: Array, alpha: Array, a: Array, b: Array, k: int, modified: bool
) -> RowDerivatives:
    """BG/NBD, MBG/NBD, BG/CNBD-k and MBG/CNBD-k.

    Parameters
    ----------
    x, t_x, T, r, alpha, a, b : ndarray of shape (n,)

    Examples
    --------
    Without a repeat purchase LL = -r log(1 + T / alpha), whatever a and b are:

    >>> one = {name: np.array([value]) for name, value in dict(r=0.25, alpha=4, a=0.8, b=2.5).items()}
    >>> rows = beta_geo(np.zeros(1), np.zeros(1), np.array([40.0]), **one, k=1, modified=False)
    >>> rows.value.round(4).tolist(), rows.slopes[:, 0].round(4).tolist()  # -log(11) / 4 and 40 / 44 / 4
    ([-0.5995], [-0.5995, 0.2273, 0.0, 0.0])
    """
    settings: dict[str, Any] = {"r": r, "alpha": alpha, "a": a, "b": b, "k": k, "modified": modified}
    events, stayed = k * x, x + modified
    stages = stage_sum(x, t_x, T, k=k, r=r, alpha=alpha)
    at_T, at_last = alpha / (alpha + T), alpha / (alpha + t_x)
    stretch = np.log1p(T / alpha)
    alive, alive_bends = _beta_terms(np.zeros_like(x), stayed, a, b, first=2)
    alive[0] = r * (_rise(digamma_rise, r, events) - stretch)
    alive[1] = r * (1.0 - at_T) - events * at_T
    alive_bends[0, 0] = alive[0] + r * r * _rise(trigamma_rise, r, events)
    alive_bends[0, 1] = alive_bends[1, 0] = r * (1.0 - at_T)
    alive_bends[1, 1] = -(r + events) * at_T * (1.0 - at_T)
    silence, shift = r * np.log1p((T - t_x) / (alpha + t_x)), at_T - at_last
    by_b = b / np.where(stayed > 0, b + stayed - 1.0, b)
    left = np.stack([silence, (r + events) * shift, np.ones_like(x), -by_b])
    left_bends = np.zeros((4, 4, len(x)))
    left_bends[0, 0] = silence
    left_bends[0, 1] = left_bends[1, 0] = r * shift
    left_bends[1, 1] = (r + events) * (at_T * (1.0 - at_T) - at_last * (1.0 - at_last))
    left_bends[3, 3] = -by_b * (1.0 - by_b)
    for slopes, bends, sign in ((alive, alive_bends, 1.0), (left, left_bends, -1.0)):
        slopes[:2] += sign * stages.slopes
        bends[:2, :2] += sign * stages.curvatures
    p_left = 1.0 - bg_nbd.probability_alive(x, t_x, T, **settings)
    value = bg_nbd.log_likelihood(x, t_x, T, **settings)
    return RowDerivatives.joined(value, (alive, alive_bends), (left, left_bends), p_left)


def pareto(x: Array, t_x: Array, T: Array, *, r: Array, alpha: Array, s: Array, beta: Array) -> RowDerivatives:
    """Pareto/NBD.

    Parameters
    ----------
    x, t_x, T, r, alpha, s, beta : ndarray of shape (n,)

    Examples
    --------
    >>> one = {name: np.array([value]) for name, value in dict(r=0.55, alpha=10.58, s=0.61, beta=11.67).items()}
    >>> rows = pareto(np.array([1.0]), np.array([1.5]), np.array([12.0]), **one)
    >>> rows.value.round(8).tolist()
    [-4.00694866]
    """
    alive, alive_bends = np.zeros((4, len(x))), np.zeros((4, 4, len(x)))
    for first, shape, rate, events in ((0, r, alpha, x), (2, s, beta, np.zeros_like(x))):
        share, stretch = rate / (rate + T), np.log1p(T / rate)
        alive[first] = shape * (_rise(digamma_rise, shape, events) - stretch)
        alive[first + 1] = shape * (1.0 - share) - events * share
        alive_bends[first, first] = alive[first] + shape * shape * _rise(trigamma_rise, shape, events)
        alive_bends[first, first + 1] = alive_bends[first + 1, first] = shape * (1.0 - share)
        alive_bends[first + 1, first + 1] = -(shape + events) * share * (1.0 - share)
    left, left_bends, p_left = np.zeros((4, len(x))), np.zeros((4, 4, len(x))), np.zeros(len(x))
    for rows, u, slopes, bends in exponential_dropout.left_derivatives(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta):
        left[:, rows], left_bends[:, :, rows], p_left[rows] = slopes, bends, expit(u)
    value = pareto_nbd.log_likelihood(x, t_x, T, r=r, alpha=alpha, s=s, beta=beta)
    return RowDerivatives.joined(value, (alive, alive_bends), (left, left_bends), p_left)


def beta_geo_beta_binom(
    x: Array, t_x: Array, n: Array, *, alpha: Array, beta: Array, gamma: Array, delta: Array
) -> RowDerivatives:
    """BG/BB.

    Parameters
    ----------
    x, t_x, n, alpha, beta, gamma, delta : ndarray of shape (n_customers,)

    Examples
    --------
    With uniform p and theta one taken opportunity has probability E[1 - theta] × E[p] = 1 / 4:

    >>> one = {name: np.ones(1) for name in ("alpha", "beta", "gamma", "delta")}
    >>> rows = beta_geo_beta_binom(np.ones(1), np.ones(1), np.ones(1), **one)
    >>> np.exp(rows.value).round(12).tolist(), rows.slopes[:, 0].round(12).tolist()
    ([0.25], [0.5, -0.5, -0.5, 0.5])
    """
    params = {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
    buying, staying = (
        _beta_terms(x, n - x, alpha, beta, first=0),
        _beta_terms(np.zeros_like(x), n, gamma, delta, first=2),
    )
    left, left_bends, p_left = np.zeros((4, len(x))), np.zeros((4, 4, len(x))), np.zeros(len(x))
    for rows, u, slopes, bends in counted_dropout.left_derivatives(x, t_x, n, **params):
        left[:, rows], left_bends[:, :, rows], p_left[rows] = slopes, bends, expit(u)
    value = bg_bb.log_likelihood(x, t_x, n, **params)
    alive = (buying[0] + staying[0], buying[1] + staying[1])
    return RowDerivatives.joined(value, alive, (left, left_bends), p_left)


def _rise(function: Callable[..., Array], z: Array, n: Array) -> Array:
    """Evaluate a derivative of the log-gamma rise, once per distinct count where all share one parameter."""
    if z.size == 0 or z.min() < z.max():
        return function(z, n)
    counts, member = np.unique(n, return_inverse=True)
    return function(z[0], counts)[member]


def _beta_terms(yes: Array, no: Array, a: Array, b: Array, *, first: int) -> tuple[Array, Array]:
    """Differentiate log B(a + yes, b + no) / B(a, b); the derivatives stand at parameter ``first`` and the next."""
    slopes, bends = np.zeros((4, len(yes))), np.zeros((4, 4, len(yes)))
    both, second = _rise(digamma_rise, a + b, yes + no), _rise(trigamma_rise, a + b, yes + no)
    for at, z, count in ((first, a, yes), (first + 1, b, no)):
        slopes[at] = z * (_rise(digamma_rise, z, count) - both)
        bends[at, at] = slopes[at] + z * z * (_rise(trigamma_rise, z, count) - second)
    bends[first, first + 1] = bends[first + 1, first] = -a * b * second
    return slopes, bends
