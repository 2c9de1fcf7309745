"""Expected purchases of customers with parameters of their own, by way of functions made for common ones.

Two things make this exact or nearly so. What BG/NBD and its kin expect of a customer depends on alpha only
through alpha + T and alpha + t_x, so one with a larger alpha is one whose clock has a head start. And it is
an analytic function of the logarithm of the first Beta parameter of leaving, so it is interpolated in it at
Chebyshev nodes of fixed cells: a customer's value does not depend on who else is scored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial.chebyshev import chebinterpolate, chebval
from numpy.typing import NDArray

__all__ = ["after_head_start", "in_cells"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_DEGREE = 11


def in_cells(evaluate: Callable[[Rows, float], Array], parameter: Array, rows: Rows) -> Array:
    """Evaluate for each row a function smooth in the logarithm of its parameter; a common one is used as it is.

    Parameters
    ----------
    evaluate : callable
        Takes rows and one value of the parameter for all of them.
    parameter : ndarray of shape () or (n,), > 0
    rows : ndarray of int of shape (n_rows,)

    Returns
    -------
    ndarray of shape (n_rows,)
        Relative error of the interpolation about 1e-13 where the nearest singularity is at distance pi.

    Examples
    --------
    >>> rate = np.array([0.3, 2.0, 5.0])
    >>> in_cells(lambda rows, b: 1.0 / (1.0 + b * np.ones(len(rows))), rate, np.arange(3)).round(12).tolist()
    [0.769230769231, 0.333333333333, 0.166666666667]
    """
    if parameter.ndim == 0:
        return evaluate(rows, float(parameter))
    position = np.log2(parameter[rows])
    cells = np.floor(position)
    values = np.empty(len(rows))
    for cell in np.unique(cells):
        members = cells == cell
        series = chebinterpolate(
            lambda nodes, cell=cell, own=rows[members]: np.stack(
                [evaluate(own, float(np.exp2(cell + 0.5 * (node + 1.0)))) for node in nodes]
            ),
            _DEGREE,
        )
        values[members] = chebval(2.0 * (position[members] - cell) - 1.0, series, tensor=False)
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
    common = alpha if alpha.ndim == 0 else np.exp2(np.floor(np.log2(alpha)))
    start = alpha - common
    common = np.broadcast_to(common, T.shape)
    values = np.empty(T.shape)
    for least in np.unique(common):
        rows = np.flatnonzero(common == least)
        values[rows] = evaluate(rows, t_x + start, T + start, float(least))
    return values
