"""Compression of customers to unique (x, t_x, T) patterns with weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Patterns", "compress", "thin"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Patterns:
    """Unique purchase histories and how many customers share each.

    Attributes
    ----------
    x, t_x, T : ndarray of shape (n_patterns,)
        Repeat purchases, time of the last one, length of observation (both since the first purchase).
    weight : ndarray of shape (n_patterns,)
        Customers, or their total weight, per pattern.
    """

    x: Array
    t_x: Array
    T: Array
    weight: Array

    @property
    def total_weight(self) -> float:
        """Customers behind the patterns."""
        return float(self.weight.sum())

    def in_units_of(self, scale: float) -> Patterns:
        """Measure the same histories in another unit of time."""
        return Patterns(x=self.x, t_x=self.t_x / scale, T=self.T / scale, weight=self.weight)


def compress(x: Array, t_x: Array, T: Array, weight: Array) -> Patterns:
    """Merge equal histories and drop those of weight zero.

    The patterns come sorted, so a fit on them depends neither on the order of the rows nor on whether
    equal customers arrive as repeated rows or as weights.

    Examples
    --------
    >>> import numpy as np
    >>> merged = compress(np.array([2.0, 0.0, 2.0]), np.array([5.0, 0.0, 5.0]), np.full(3, 9.0), np.ones(3))
    >>> merged.x.tolist(), merged.weight.tolist()
    ([0.0, 2.0], [1.0, 2.0])
    """
    kept = weight > 0
    x, t_x, T, weight = x[kept], t_x[kept], T[kept], weight[kept]
    order = np.lexsort((T, t_x, x))
    x, t_x, T, weight = x[order], t_x[order], T[order], weight[order]
    new = np.ones(len(x), dtype=bool)
    new[1:] = (np.diff(x) != 0) | (np.diff(t_x) != 0) | (np.diff(T) != 0)
    starts = np.flatnonzero(new)
    totals = np.add.reduceat(weight, starts) if len(starts) else weight
    return Patterns(x=x[starts], t_x=t_x[starts], T=T[starts], weight=totals)


def thin(patterns: Patterns, *, at_most: int) -> Patterns:
    """Keep every k-th pattern, so that at most about ``at_most`` remain; the same ones every time."""
    stride = max(1, len(patterns.x) // at_most)
    return Patterns(*(column[::stride] for column in (patterns.x, patterns.t_x, patterns.T, patterns.weight)))
