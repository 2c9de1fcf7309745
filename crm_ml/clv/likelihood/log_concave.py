"""Integrals of positive functions whose logarithm is concave, one per customer.

Expectations over an unknown time of leaving are such integrals. What is left out beyond a fall of exp(-37)
from the peak cannot be seen in double precision, and within it a Gauss-Legendre rule converges geometrically
if the function is analytic near the real line, as it is here once time is measured on a logarithmic scale.
Everything summed is positive, so nothing cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT_NODES", "log_integral", "quadrature"]

Array = NDArray[np.float64]

EXACT_NODES = 24
"""Nodes per panel for about 13 digits of a function that falls to one side of its peak."""
_PANEL = 4.0
_DROP, _SLACK = 37.0, 4.0
_CHUNK_VALUES = 14_000  # arrays of it stay below 128 KiB, from where glibc maps pages anew each time
_MOST_TRIMS = 60


def log_integral(
    log_f: Callable[..., Array],
    slope: Callable[..., Array],
    low: Array,
    high: Array,
    peak: Array,
    parameters: tuple[Array, ...],
    *,
    nodes_per_panel: int = EXACT_NODES,
) -> Array:
    """Logarithm of the integral of exp(log_f) from ``low`` to ``high``; -inf where they meet.

    Parameters
    ----------
    log_f, slope : callable
        A concave function and its derivative, of (z, *parameters), in which z is smooth.
    low, high, peak : ndarray of shape (n,)
        Ends of the interval and where in it the function is largest.
    parameters : tuple of ndarray of shape (n,)
    nodes_per_panel : int, default 24
        For each 4 units of z.

    Examples
    --------
    >>> rate = np.array([1e-3, 2.0, 1e6])
    >>> zero = np.zeros(3)
    >>> log_integral(lambda z, k: -k * z, lambda z, k: -k + 0 * z, zero, zero + 9.0, zero, (rate,)).round(9).tolist()
    [2.192727952, -0.693147196, -13.815510558]
    >>> np.log(-np.expm1(-9 * rate) / rate).round(9).tolist()
    [2.192727952, -0.693147196, -13.815510558]
    """
    total = np.full(low.shape, -np.inf)
    for rows, _, _, log_total in quadrature(log_f, slope, low, high, peak, parameters, nodes_per_panel=nodes_per_panel):
        total[rows] = log_total
    return total


def quadrature(
    log_f: Callable[..., Array],
    slope: Callable[..., Array],
    low: Array,
    high: Array,
    peak: Array,
    parameters: tuple[Array, ...],
    *,
    nodes_per_panel: int = EXACT_NODES,
) -> Iterator[tuple[NDArray[np.intp], Array, Array, Array]]:
    """Nodes and weights for expectations under the density proportional to exp(log_f), chunk by chunk.

    A row's nodes depend on that row alone.

    Yields
    ------
    rows : ndarray of shape (n_chunk,)
        Rows with ``low < high``, each once.
    z, weight : ndarray of shape (n_chunk, n_nodes)
        Weights of a row sum to one.
    log_total : ndarray of shape (n_chunk,)
        Logarithm of the integral.
    """
    filled = np.flatnonzero(high > low)
    own = tuple(values[filled] for values in parameters)
    floor = log_f(peak[filled], *own) - _DROP
    low = _trimmed(log_f, slope, low[filled], floor, own)
    high = _trimmed(log_f, slope, high[filled], floor, own)
    panels = np.ceil((high - low) / _PANEL).astype(int)
    for n_panels in np.unique(panels):
        nodes, node_weights = _rule(int(n_panels) * nodes_per_panel)
        members = np.flatnonzero(panels == n_panels)
        stride = max(1, _CHUNK_VALUES // len(nodes))
        for first in range(0, len(members), stride):
            rows = members[first : first + stride]
            width = (high - low)[rows]
            z = low[rows, None] + width[:, None] * nodes
            level = log_f(z, *(values[rows, None] for values in own))
            top = level.max(axis=1)
            weight = np.exp(level - top[:, None]) * node_weights
            total = weight.sum(axis=1)
            yield filled[rows], z, weight / total[:, None], top + np.log(total * width)


@cache
def _rule(n_nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _trimmed(
    log_f: Callable[..., Array], slope: Callable[..., Array], end: Array, floor: Array, parameters: tuple[Array, ...]
) -> Array:
    """Move an end towards the peak to where the function has just fallen to the floor.

    Newton steps from outside on a concave function never pass the root.
    """
    end = end.copy()
    rows = np.arange(len(end))
    for _ in range(_MOST_TRIMS):
        own = tuple(values[rows] for values in parameters)
        excess = floor[rows] - log_f(end[rows], *own)
        far = excess > _SLACK
        rows, excess = rows[far], excess[far]
        if len(rows) == 0:
            break
        end[rows] += excess / slope(end[rows], *(values[far] for values in own))
    return end
