"""Searches that compiled loops make one at a time, where arrays have numpy's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrivals_by", "purchases_by", "select"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def arrivals_by(time: float, arrivals: Array) -> int:
    """Count the arrivals up to and including a time, where about one arrives per unit of time.

    Parameters
    ----------
    time : float, >= 0
    arrivals : ndarray of shape (n,)
        Ascending.

    Examples
    --------
    >>> [arrivals_by(time, np.array([0.5, 0.7, 4.0])) for time in (0.4, 0.7, 3.9, 50.0)]
    [0, 2, 2, 3]
    """
    k = int(min(time, len(arrivals)))
    while k < len(arrivals) and arrivals[k] <= time:
        k += 1
    while k > 0 and arrivals[k - 1] > time:
        k -= 1
    return k


def purchases_by(time: Array, arrivals: Array, many: Array, early: Array, later: Index, count: Array) -> None:
    """Count the arrivals in each future by its time, beyond the known ones by a normal number.

    Parameters
    ----------
    time, many, count : ndarray of shape (n_futures,)
        ``count`` is filled.
    arrivals : ndarray of shape (n_futures, n_arrivals)
    early : ndarray of shape (6, n_futures)
        The first of them.
    later : ndarray of shape (n_futures,)
        Room to work in.
    """
    n_arrivals = arrivals.shape[1]
    for f in range(len(time)):
        count[f] = 0.0
    for k in range(len(early)):  # most futures end here, without a branch to mispredict
        for f in range(len(time)):
            count[f] += early[k, f] <= time[f]
    n_later = 0
    for f in range(len(time)):
        later[n_later] = f
        n_later += count[f] == len(early)
    for f in later[:n_later]:
        count[f] = arrivals_by(time[f], arrivals[f])
        if count[f] >= n_arrivals:
            count[f] = max(np.rint(time[f] + np.sqrt(time[f]) * many[f]), float(n_arrivals))


def select(values: Array, k: int, first: int, last: int) -> float:
    """Return the value that sorting ``values[first : last + 1]`` would put at ``k``, and put it there.

    None before it is greater then, and none after it less (Hoare 1961).

    Examples
    --------
    >>> select(np.array([5.0, 1.0, 4.0, 2.0]), 2, 0, 3)
    4.0
    """
    while first < last:
        pivot, low, high = values[(first + last) // 2], first, last
        while low <= high:
            while values[low] < pivot:
                low += 1
            while values[high] > pivot:
                high -= 1
            if low <= high:
                values[low], values[high] = values[high], values[low]
                low, high = low + 1, high - 1
        if k <= high:
            last = high
        elif k >= low:
            first = low
        else:
            break
    return float(values[k])
