"""Sums, firsts and lasts over each customer's stretch of a flat array.

Customer i owns ``values[offsets[i]:offsets[i + 1]]``. A result never depends on the customers beside it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["count_per", "first_per", "last_per", "owner_of", "sum_per"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


def owner_of(offsets: Int) -> Int:
    """Return each row's customer position.

    >>> owner_of(np.array([0, 2, 2, 3])).tolist()
    [0, 0, 2]
    """
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def sum_per(values: npt.NDArray[np.generic], offsets: Int) -> Float:
    """Return the sum of each stretch; 0 for an empty one.

    >>> sum_per(np.array([1.0, 2.0, 5.0]), np.array([0, 2, 2, 3])).tolist()
    [3.0, 0.0, 5.0]
    """
    total = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if filled.any():
        total[filled] = np.add.reduceat(values.astype(np.float64, copy=False), offsets[:-1][filled])
    return total


def count_per(chosen: npt.NDArray[np.bool_], offsets: Int) -> Float:
    """Return how many rows of each stretch are chosen.

    >>> count_per(np.array([True, False, True]), np.array([0, 2, 2, 3])).tolist()
    [1.0, 0.0, 1.0]
    """
    return np.diff(np.concatenate([[0], np.cumsum(chosen)])[offsets]).astype(np.float64)


def first_per(values: npt.NDArray[np.generic], offsets: Int) -> Float:
    """Return the first value of each stretch; NaN for an empty one.

    >>> first_per(np.array([4, 2, 5]), np.array([0, 2, 2, 3])).tolist()
    [4.0, nan, 5.0]
    """
    return _pick(values, offsets, offsets[:-1])


def last_per(values: npt.NDArray[np.generic], offsets: Int) -> Float:
    """Return the last value of each stretch; NaN for an empty one.

    >>> last_per(np.array([4, 2, 5]), np.array([0, 2, 2, 3])).tolist()
    [2.0, nan, 5.0]
    """
    return _pick(values, offsets, offsets[1:] - 1)


def _pick(values: npt.NDArray[np.generic], offsets: Int, position: Int) -> Float:
    picked = np.full(len(offsets) - 1, np.nan)
    filled = np.diff(offsets) > 0
    picked[filled] = values[position[filled]]
    return picked
