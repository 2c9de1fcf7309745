"""Purchase histories as the likelihoods take them: few of them compressed to patterns, many as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled import sums
from crm_ml.clv.compiled.compiler import MANY_ROWS, compiled, plain

__all__ = [
    "Patterns",
    "chosen_rows",
    "compress",
    "count_weights",
    "distinct_histories",
    "patterns_of",
    "sample_sizes",
    "thin",
]

Array = NDArray[np.float64]

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
    many : bool, default False
        Whether likelihoods sum with compiled code. Part of a large shop is summed as the whole is.
    """

    x: Array
    t_x: Array
    T: Array
    weight: Array
    many: bool = False

    @cached_property
    def counts(self) -> tuple[Array, Array]:
        """Distinct x and the total weight of each."""
        return count_weights(self.x, self.weight, many=self.many)

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


def patterns_of(x: Array, t_x: Array, T: Array, weight: Array, *, as_rows: bool) -> Patterns:
    """Take many histories as they are where compiled code can sum over them, and compress them otherwise.

    A fit on rows as they are depends on their order, and on whether equal customers arrive as repeated rows or
    as weights, by rounding.
    """
    if as_rows and len(x) >= MANY_ROWS:
        return Patterns(x, t_x, T, weight, many=True)
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
    order, new = _sorted(x, t_x, T)
    starts = np.flatnonzero(new)
    first, weight = order[starts], weight[order]
    totals = np.add.reduceat(weight, starts) if len(starts) else weight
    return Patterns(x=x[first], t_x=t_x[first], T=T[first], weight=totals)


def distinct_histories(x: Array, t_x: Array, T: Array) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Return x, t_x and T of the distinct histories, sorted, and which of them each customer has.

    Examples
    --------
    >>> x, _, _, member = distinct_histories(np.array([2.0, 0.0, 2.0]), np.array([5.0, 0.0, 5.0]), np.full(3, 9.0))
    >>> x.tolist(), member.tolist()
    ([0.0, 2.0], [1, 0, 1])
    """
    order, new = _sorted(x, t_x, T)
    member = np.empty(len(x), dtype=np.intp)
    member[order] = np.cumsum(new) - 1
    first = order[new]
    return x[first], t_x[first], T[first], member


def _sorted(x: Array, t_x: Array, T: Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Order of the histories, and which of them, in that order, differ from the one before."""
    order = np.lexsort((T, t_x, x))
    new = np.zeros(len(x), dtype=bool)
    new[:1] = True
    for column in (x, t_x, T):
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return order, new


def count_weights(x: Array, weight: Array, *, many: bool) -> tuple[Array, Array]:
    """Distinct counts and the total weight of each.

    Parameters
    ----------
    x, weight : ndarray of shape (n,)
    many : bool
        Whether to count with compiled code.

    Examples
    --------
    >>> import numpy as np
    >>> counts, weight = count_weights(np.array([3.0, 0.0, 3.0]), np.array([0.5, 1.0, 2.0]), many=False)
    >>> counts.tolist(), weight.tolist()
    ([0.0, 3.0], [1.0, 2.5])
    """
    if many:
        tallied = compiled(sums.tally, sums=True)(*plain(x, weight), _TALLIED)
    else:
        tallied = np.bincount(np.minimum(x, _TALLIED).astype(np.intp), weights=weight)
    if not tallied[_TALLIED:].any():
        counts = np.flatnonzero(tallied)
        return counts.astype(float), tallied[counts]
    values, member = np.unique(x, return_inverse=True)
    return values, np.bincount(member, weights=weight).astype(float)


def chosen_rows(rows: NDArray[np.bool_], *columns: Array) -> tuple[Array, ...]:
    """Return the rows of every column that are marked; many of them with compiled code.

    Examples
    --------
    >>> import numpy as np
    >>> [column.tolist() for column in chosen_rows(np.array([True, False]), np.array([1.0, 2.0]), np.ones(2))]
    [[1.0], [1.0]]
    """
    if len(rows) < MANY_ROWS:
        return tuple(column[rows] for column in columns)
    n = np.count_nonzero(rows)
    kept = np.empty((len(columns), n + 1))
    for column, row in zip(plain(*columns), kept, strict=True):
        compiled(sums.choose, sums=True)(column, rows, row)
    return tuple(plain(*kept[:, :n]))


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
    x, t_x, T, weight = (
        np.ascontiguousarray(column[::stride]) for column in (patterns.x, patterns.t_x, patterns.T, patterns.weight)
    )
    return Patterns(x, t_x, T, weight, many=patterns.many)
