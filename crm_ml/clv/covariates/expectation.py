"""Expected purchases of customers with parameters of their own, by way of functions made for common ones.

What BG/NBD and its kin expect of a customer depends on alpha only through alpha + T and alpha + t_x, so one
with a larger alpha is one whose clock has a head start; this is exact. What is expected of an alive customer is
an analytic function of the logarithm of the first Beta parameter of leaving, so it is interpolated in it at
Chebyshev nodes of fixed cells: a customer's value does not depend on who else is scored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebval, chebvander
from numpy.typing import NDArray

__all__ = ["after_head_start", "in_cells"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_NODES = 14
_OCTAVES_PER_CELL = 2
_OCTAVES_PER_START = 8


def in_cells(evaluate: Callable[[Rows, float], Array], parameter: Array) -> Array:
    """Evaluate for each row a function smooth in the logarithm of the row's parameter.

    Parameters
    ----------
    evaluate : callable
        Takes rows and one value of the parameter for all of them.
    parameter : ndarray of shape (n,), > 0

    Returns
    -------
    ndarray of shape (n,)
        Relative error about 1e-13 for a function without singularities within pi of the real axis.

    Examples
    --------
    >>> rate = np.array([0.3, 2.0, 5.0])
    >>> in_cells(lambda rows, b: 1.0 / (1.0 + b * np.ones(len(rows))), rate).round(12).tolist()
    [0.769230769231, 0.333333333333, 0.166666666667]
    """
    position = np.log2(parameter) / _OCTAVES_PER_CELL
    cells = np.floor(position)
    nodes = chebpts1(_NODES)
    to_series = chebvander(nodes, _NODES - 1) * 2.0 / _NODES
    to_series[:, 0] /= 2.0
    values = np.empty(len(parameter))
    for cell in np.unique(cells):
        rows = np.flatnonzero(cells == cell)
        series = np.zeros((_NODES, len(rows)))
        for node, share in zip(nodes, to_series, strict=True):
            at_node = float(np.exp2(_OCTAVES_PER_CELL * (cell + 0.5 * (node + 1.0))))
            series += share[:, None] * evaluate(rows, at_node)
        values[rows] = chebval(2.0 * (position[rows] - cell) - 1.0, series, tensor=False)
    return values


def after_head_start(
    evaluate: Callable[[Rows, Array, Array, float], Array], t_x: Array, T: Array, alpha: Array
) -> Array:
    """Evaluate customers of differing alpha as customers of common ones whose clocks have a head start.

    Parameters
    ----------
    evaluate : callable
        Takes rows, all t_x, all T and one alpha for these rows.
    t_x, T : ndarray of shape (n,)
    alpha : ndarray of shape () or (n,), > 0

    Examples
    --------
    >>> after_head_start(lambda rows, t_x, T, alpha: alpha + T[rows], np.zeros(2), np.full(2, 10.0),
    ...                  np.array([3.0, 8.5])).tolist()
    [13.0, 18.5]
    """
    octaves = _OCTAVES_PER_START * np.floor(np.log2(alpha) / _OCTAVES_PER_START)
    common = alpha if alpha.ndim == 0 else np.exp2(octaves)
    start = alpha - common
    common = np.broadcast_to(common, T.shape)
    values = np.empty(T.shape)
    for least in np.unique(common):
        rows = np.flatnonzero(common == least)
        values[rows] = evaluate(rows, t_x + start, T + start, float(least))
    return values
