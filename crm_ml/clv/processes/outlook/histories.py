"""Histories of new customers, drawn from a purchase process.

Nobody is lived purchase by purchase. Given their number, the events of a Poisson process fall uniformly, so that
the time of the m-th of M is a beta variable, whether or not the customer has left after it; given the time of
the last purchase, the gaps before it are shares of a Dirichlet variable. Of opportunities, those not taken are
spread over the gaps between those taken with all arrangements equally likely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["counted_histories", "exponential_histories", "geometric_histories", "log_gaps"]

Array = NDArray[np.float64]

_TINY = 1e-300


def geometric_histories(
    T: Array,
    horizon: float,
    *,
    rng: np.random.Generator,
    r: float,
    alpha: float,
    a: float,
    b: float,
    k: int = 1,
    modified: bool = False,
) -> tuple[Array, Array, Array]:
    """Draw x, t_x and the purchases of (T, T + horizon] under BG/NBD or its kin.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> x, t_x, ahead = geometric_histories(np.full(1_000_000, 78.0), 39.0, rng=rng, **cdnow)
    >>> round(float(x.mean()), 2)  # Hardie: 1.8576
    1.86
    """
    pace = rng.standard_gamma(r, len(T)) / alpha
    stays = _survived(rng, rng.beta(a, b, len(T))) + (not modified)
    events, later = rng.poisson(pace * T), rng.poisson(pace * horizon)
    x = np.minimum(np.floor(events / k), stays)
    t_x = np.where(x > 0, T * rng.beta(np.maximum(k * x, 1.0), 1.0 + events - k * x), 0.0)
    return x, t_x, np.asarray(np.minimum(np.floor((events + later) / k), stays) - x)


def log_gaps(x: Array, t_x: Array, *, k: int, rng: np.random.Generator) -> Array:
    """Draw the sum of the logarithms of the x Erlang-k gaps that end at t_x; 0 for x = 0.

    Examples
    --------
    >>> log_gaps(np.array([0.0, 1.0]), np.array([0.0, np.e]), k=2, rng=np.random.default_rng(1)).tolist()
    [0.0, 1.0]
    """
    customer = np.repeat(np.arange(len(x)), x.astype(np.intp))
    gaps = rng.standard_gamma(k, len(customer))
    whole = np.bincount(customer, weights=gaps, minlength=len(x))
    log_gap = np.log(gaps * (t_x / np.where(x > 0, whole, 1.0))[customer])
    return np.bincount(customer, weights=log_gap, minlength=len(x)).astype(float)


def exponential_histories(
    T: Array, horizon: float, *, rng: np.random.Generator, r: float, alpha: float, s: float, beta: float
) -> tuple[Array, Array, Array]:
    """Draw x, t_x and the purchases of (T, T + horizon] under Pareto/NBD.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> cdnow = dict(r=0.553277, alpha=10.577684, s=0.606240, beta=11.668730)
    >>> x, t_x, ahead = exponential_histories(np.full(1_000_000, 52.0), 9.0, rng=rng, **cdnow)
    >>> round(float(x.mean()), 2)  # Fader and Hardie: 1.473434
    1.47
    """
    pace = rng.standard_gamma(r, len(T)) / alpha
    stay = rng.standard_exponential(len(T)) / np.maximum(rng.standard_gamma(s, len(T)) / beta, _TINY)
    seen = np.minimum(stay, T)
    x = rng.poisson(pace * seen).astype(float)
    t_x = np.where(x > 0, seen * rng.beta(np.maximum(x, 1.0), 1.0), 0.0)
    return x, t_x, rng.poisson(pace * (np.minimum(stay, T + horizon) - seen)).astype(float)


def counted_histories(
    T: Array, horizon: float, *, rng: np.random.Generator, alpha: float, beta: float, gamma: float, delta: float
) -> tuple[Array, Array, Array]:
    """Draw x, t_x and the opportunities taken of (T, T + horizon] under BG/BB; T counts opportunities.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> donors = dict(alpha=1.203522, beta=0.749716, gamma=0.656718, delta=2.783443)
    >>> x, t_x, ahead = counted_histories(np.full(100_000, 10.0), 1, rng=rng, **donors)
    >>> round(float(x.mean()), 1)  # Fader, Hardie and Shang: 3.1798
    3.2
    """
    p = rng.beta(alpha, beta, len(T))
    last = _survived(rng, rng.beta(gamma, delta, len(T)))
    seen = np.minimum(last, T)
    x = rng.binomial(seen.astype(np.int64), p)
    trailing = rng.binomial(seen.astype(np.int64) - x, rng.beta(1.0, np.maximum(x, 1.0)))
    later = rng.binomial((np.minimum(last, T + horizon) - seen).astype(np.int64), p)
    return x.astype(float), np.where(x > 0, seen - trailing, 0.0), later.astype(float)


def _survived(rng: np.random.Generator, leave: Array) -> Array:
    """Occasions to leave with probability ``leave`` that each customer survives."""
    hazard = -np.log1p(-np.minimum(np.maximum(leave, _TINY), 1.0 - 1e-16))
    return np.asarray(np.floor(rng.standard_exponential(len(leave)) / hazard))
