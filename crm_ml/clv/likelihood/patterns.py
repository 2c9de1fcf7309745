"""Purchase histories as the likelihoods take them: few of them compressed to patterns, many as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMPILED_FROM", "Patterns", "chosen_rows", "compress", "count_weights", "patterns_of", "sample_sizes", "thin"]

Array = NDArray[np.float64]

COMPILED_FROM = 50_000
"""Rows from which loading compiled code pays, and sorting them does not."""
_SAMPLED_FROM, _SMALLEST_SAMPLE, _THINNING = 8_000, 2_000, 16
_TALLIED = 4_096


@dataclass(frozen=True)
class Patterns:
    """Purchase histories and how many customers share each.

    Attributes
    ----------
    x, t_x, T : ndarray of shape (n_patterns,)
        Repeat purchases, time of the last one, length of observation (both since the first purchase).
    weight : ndarray of shape (n_patterns,)
        Customers, or their total weight, per pattern.
    compiled : bool, default False
        Whether likelihoods sum with compiled code. Part of a large shop is summed as the whole is.
    """

    x: Array
    t_x: Array
    T: Array
    weight: Array
    compiled: bool = False

    @cached_property
    def counts(self) -> tuple[Array, Array]:
        """Distinct x and the total weight of each."""
        return count_weights(self.x, self.weight, compiled=self.compiled)

    @cached_property
    def total_weight(self) -> float:
        """Customers behind the patterns."""
        return float(self.counts[1].sum())

    @cached_property
    def total_x(self) -> float:
        """Repeat purchases of all customers."""
        return float(self.counts[0] @ self.counts[1])

    @cached_property
    def total_T(self) -> float:  # noqa: N802  # the field's name for the length of observation
        """Time observed of all customers."""
        return float(self.weight @ self.T)

    def weight_of_count(self, count: int) -> float:
        """Return the customers with so many repeat purchases."""
        counts, weight = self.counts
        return float(weight[counts == count].sum())

    def in_units_of(self, scale: float) -> Patterns:
        """Measure the same histories in another unit of time."""
        return replace(self, t_x=self.t_x / scale, T=self.T / scale)


def patterns_of(x: Array, t_x: Array, T: Array, weight: Array, *, compiled: bool) -> Patterns:
    """Take many histories as they are where compiled code sums over them, and compress them otherwise.

    A fit on rows as they are depends on their order, and on whether equal customers arrive as repeated rows or
    as weights, by rounding.
    """
    if compiled and len(x) >= COMPILED_FROM:
        return Patterns(x, t_x, T, weight, compiled=True)
    return compress(x, t_x, T, weight)


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
    if not kept.all():
        x, t_x, T, weight = x[kept], t_x[kept], T[kept], weight[kept]
    order = np.lexsort((T, t_x, x))
    x, t_x, T, weight = x[order], t_x[order], T[order], weight[order]
    new = np.ones(len(x), dtype=bool)
    new[1:] = (x[1:] != x[:-1]) | (t_x[1:] != t_x[:-1]) | (T[1:] != T[:-1])
    starts = np.flatnonzero(new)
    totals = np.add.reduceat(weight, starts) if len(starts) else weight
    return Patterns(x=x[starts], t_x=t_x[starts], T=T[starts], weight=totals)


def count_weights(x: Array, weight: Array, *, compiled: bool) -> tuple[Array, Array]:
    """Distinct counts and the total weight of each.

    Examples
    --------
    >>> import numpy as np
    >>> counts, weight = count_weights(np.array([3.0, 0.0, 3.0]), np.array([0.5, 1.0, 2.0]), compiled=False)
    >>> counts.tolist(), weight.tolist()
    ([0.0, 3.0], [1.0, 2.5])
    """
    if compiled:
        from crm_ml.clv.likelihood.compiled import read_only, tally

        sums = tally(*read_only(x, weight), _TALLIED)
        per_count, rare = sums[:-1], sums[-1] > 0
    else:
        rare = x.max(initial=0.0) >= _TALLIED
        per_count = np.zeros(0) if rare else np.bincount(x.astype(np.intp), weights=weight)
    if rare:
        counts, member = np.unique(x, return_inverse=True)
        return counts, np.bincount(member, weights=weight)
    counts = np.flatnonzero(per_count)
    return counts.astype(float), per_count[counts]


def chosen_rows(rows: NDArray[np.bool_], *columns: Array) -> tuple[Array, ...]:
    """Return the rows of every column that are marked; many of them with compiled code.

    Examples
    --------
    >>> import numpy as np
    >>> [column.tolist() for column in chosen_rows(np.array([True, False]), np.array([1.0, 2.0]), np.ones(2))]
    [[1.0], [1.0]]
    """
    if len(rows) < COMPILED_FROM:
        return tuple(column[rows] for column in columns)
    from crm_ml.clv.likelihood.compiled import chosen, read_only

    return chosen(read_only(*columns), rows)


def sample_sizes(n: int) -> list[int]:
    """Sizes of samples worth climbing before ``n`` rows are, from small to large; none for few rows.

    Examples
    --------
    >>> sample_sizes(8_000), sample_sizes(20_000), sample_sizes(10_000_000)
    ([], [2000], [2441, 39062, 625000])
    """
    sizes: list[int] = []
    while n > _SAMPLED_FROM:
        n = max(_SMALLEST_SAMPLE, n // _THINNING)
        sizes.insert(0, n)
    return sizes


def thin(patterns: Patterns, *, at_most: int) -> Patterns:
    """Keep every k-th pattern, so that at most about ``at_most`` remain; the same ones every time."""
    stride = max(1, len(patterns.x) // at_most)
    columns = (patterns.x, patterns.t_x, patterns.T, patterns.weight)
    return Patterns(*(np.ascontiguousarray(column[::stride]) for column in columns), compiled=patterns.compiled)
