"""Roots of increasing functions, one per customer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["increasing_root"]

Array = NDArray[np.float64]

_SETTLED = 1e-13
_MOST_STEPS = 200


def increasing_root(
    function: Callable[[Array, NDArray[np.intp]], tuple[Array, Array]], start: Array, low: Array, high: Array
) -> Array:
    """Newton's method between brackets that close; where it would leave them, they are halved.

    Parameters
    ----------
    function : callable
        Takes places and the rows they belong to; returns values and slopes.
    start, low, high : ndarray of shape (n,)
        Negative at ``low``, positive at ``high``, which are not evaluated.

    Examples
    --------
    >>> root = increasing_root(lambda u, rows: (u**3 - 8.0, 3.0 * u**2), np.array([9.0]), np.zeros(1), np.full(1, 10.0))
    >>> root.round(12).tolist()
    [2.0]
    """
    u, low, high = start.copy(), low.copy(), high.copy()
    rows = np.arange(len(u))
    for _ in range(_MOST_STEPS):
        if len(rows) == 0:
            break
        here = u[rows]
        value, slope = function(here, rows)
        low[rows] = np.where(value < 0.0, here, low[rows])
        high[rows] = np.where(value < 0.0, high[rows], here)
        there = here - np.divide(value, slope, out=np.full_like(value, np.inf), where=slope > 0.0)
        within = (there >= low[rows]) & (there <= high[rows])
        u[rows] = np.where(within, there, 0.5 * (low[rows] + high[rows]))
        rows = rows[np.abs(u[rows] - here) > _SETTLED * (1.0 + np.abs(here))]
    return u
