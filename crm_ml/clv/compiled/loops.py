"""The loops that are compiled; each does to the last bit what its caller does on arrays for few customers.

They live beside `elementary` in files that numba watches: a kept machine code is out of date when the file of its
loop changes, so change this one's too when you change the arithmetic it calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled.elementary import (
    COEFFICIENTS,
    alive_probability,
    octave,
    polynomial,
    silence_probability,
    spend_per_purchase,
)

__all__ = ["accumulate", "alive", "evaluate", "mark", "silence", "spend", "tabulated"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Seen = NDArray[np.bool_]

_STRIP = 512


def alive(
    x: Array, t_x: Array, T: Array, r: float, alpha: float, a: float, b: float, modified: float, out: Array
) -> None:
    """Fill ``out`` with the probability of being alive."""
    for i in range(len(x)):
        out[i] = alive_probability(x[i], t_x[i], T[i], r, alpha, a, b, modified)


def silence(
    x: Array,
    t_x: Array,
    T: Array,
    horizon: float,
    r: float,
    alpha: float,
    a: float,
    b: float,
    modified: float,
    out: Array,
) -> None:
    """Fill ``out`` with the probability of no purchase within the horizon."""
    for i in range(len(x)):
        out[i] = silence_probability(x[i], t_x[i], T[i], horizon, r, alpha, a, b, modified)


def spend(x: Array, m: Array, p: float, q: float, gamma: float, out: Array) -> None:
    """Fill ``out`` with each customer's expected spend per purchase."""
    for i in range(len(x)):
        out[i] = spend_per_purchase(x[i], m[i], p, q, gamma)


def mark(x: Array, T: Array, alpha: float, lowest: int, counts: Seen, octaves: Seen) -> None:
    """Note which counts of purchases there are, and which octaves of alpha + T from ``lowest`` on."""
    for i in range(len(x)):
        exponent, _ = octave(alpha + T[i])
        counts[int(x[i])] = True
        octaves[exponent - lowest] = True


def accumulate(first: Array, keeps: Array, reach: Array, weight: Array, wanted: Seen, out: Array) -> None:
    """Average D over the nodes of p, D = ``first`` in row 0 and keeps × (D + reach) of the row before in others.

    Parameters
    ----------
    first, keeps : ndarray of shape (n_p, n)
    reach : ndarray of shape (n,)
    weight : ndarray of shape (n_rows, n_p)
    wanted : ndarray of shape (n_rows,)
        Rows of ``out`` to fill.
    out : ndarray of shape (n_rows, n)
        Zeros.
    """
    n = len(reach)
    current = np.empty(n)
    for j in range(len(first)):
        for m in range(n):
            current[m] = first[j, m]
        for i in range(len(weight)):
            share = weight[i, j]
            if wanted[i]:
                for m in range(n):
                    out[i, m] += share * current[m]
            for m in range(n):
                current[m] = keeps[j, m] * (current[m] + reach[m])


def tabulated(table: Array, cell: Index, place: Array, weight: Array, out: Array) -> None:
    """Add to ``out`` the weighted sum of a table's function at some points.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_cells, 16)
    cell, place, weight : ndarray of shape (n_terms, n)
    out : ndarray of shape (n_rows, n)
    """
    n_rows, n_cells, _ = table.shape
    flat = table.ravel()
    for i in range(n_rows):
        for k in range(len(cell)):
            for m in range(cell.shape[1]):
                at = (i * n_cells + cell[k, m]) * COEFFICIENTS
                out[i, m] += weight[k, m] * polynomial(flat[at : at + COEFFICIENTS], place[k, m])


def evaluate(
    x: Array,
    t_x: Array,
    T: Array,
    r: float,
    alpha: float,
    a: float,
    b: float,
    modified: float,
    lowest: int,
    row: Index,
    column: Index,
    table: Array,
    out: Array,
) -> None:
    """Fill ``out`` with the probability of being alive times the tabulated function of x and alpha + T.

    Parameters
    ----------
    row : ndarray of shape (largest x + 1,)
        The table's row of each count.
    column : ndarray of shape (n_octaves,)
        The table's column of each octave from ``lowest`` on.
    table : ndarray of shape (n_rows, n_columns, 16)
    """
    flat = table.ravel()
    row_start, column_start = row * (table.shape[1] * COEFFICIENTS), column * COEFFICIENTS
    place, start = np.empty(_STRIP), np.empty(_STRIP, np.intp)
    for first in range(0, len(x), _STRIP):
        strip = slice(first, first + _STRIP)
        x_, t_x_, T_, out_ = x[strip], t_x[strip], T[strip], out[strip]
        for i in range(len(x_)):
            out_[i] = alive_probability(x_[i], t_x_[i], T_[i], r, alpha, a, b, modified)
        for i in range(len(x_)):
            start[i], place[i] = octave(alpha + T_[i])
        for i in range(len(x_)):
            start[i] = row_start[int(x_[i])] + column_start[start[i] - lowest]
        for i in range(len(x_)):
            out_[i] *= polynomial(flat[start[i] : start[i] + COEFFICIENTS], place[i])
