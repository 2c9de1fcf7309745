"""Probabilities of BG/NBD histories, on arrays for few and compiled for many, to the last bit the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled import loops
from crm_ml.clv.compiled.compiler import MANY_ROWS, compiled, plain
from crm_ml.clv.compiled.elementary import alive_probability, silence_probability

__all__ = ["probability_alive", "probability_no_purchase"]

Array = NDArray[np.float64]


def probability_alive(x: Array, t_x: Array, T: Array, params: tuple[float, ...]) -> Array:
    """Probability that each customer has not left; see `bg_nbd.probability_alive`.

    Parameters
    ----------
    x, t_x, T : ndarray of one shape
    params : tuple of float
        r, alpha, a, b, and 1 for MBG/NBD or 0 for BG/NBD.

    Examples
    --------
    >>> one = (np.array([value]) for value in (26.0, 30.857, 31.0))
    >>> round(probability_alive(*one, (0.2426, 4.4136, 0.7929, 2.4259, 0.0)).item(), 4)
    0.9689
    """
    if x.ndim != 1 or len(x) < MANY_ROWS:
        return np.asarray(alive_probability(x, t_x, T, *params))
    out = np.empty(len(x))
    compiled(loops.alive)(*plain(x, t_x, T), *params, out)
    return out


def probability_no_purchase(horizon: float, x: Array, t_x: Array, T: Array, params: tuple[float, ...]) -> Array:
    """Probability that each customer buys nothing within ``horizon``; the parameters are `probability_alive`'s.

    Examples
    --------
    >>> round(probability_no_purchase(39.0, *np.zeros((3, 1)), (0.243, 4.414, 0.793, 2.426, 0.0)).item(), 7)
    0.5737864
    """
    if x.ndim != 1 or len(x) < MANY_ROWS:
        return np.asarray(silence_probability(x, t_x, T, horizon, *params))
    out = np.empty(len(x))
    compiled(loops.silence)(*plain(x, t_x, T), float(horizon), *params, out)
    return out
