"""Loops over customers and their common futures; see `crm_ml.clv.uncertainty.interval`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled.elementary import alive_probability
from crm_ml.clv.compiled.searching import arrivals_by, select

__all__ = ["count_arrivals", "draw_geometric_dropout", "spend_quantiles"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_EARLY = 6


def count_arrivals(time: Array, arrivals: Array, many: Array, out: Array) -> None:
    """Fill ``out`` with the arrivals by each time, beyond the known ones by a normal number.

    Parameters
    ----------
    time, out : ndarray of shape (n_customers, n_futures)
    arrivals : ndarray of shape (n_futures, n_arrivals)
    many : ndarray of shape (n_futures,)
    """
    n_arrivals = arrivals.shape[1]
    for i in range(len(time)):
        for f in range(len(many)):
            mean = time[i, f]
            count = float(arrivals_by(mean, arrivals[f]))
            if count >= n_arrivals:
                count = max(np.rint(mean + np.sqrt(mean) * many[f]), float(n_arrivals))
            out[i, f] = count


def draw_geometric_dropout(
    x: Array,
    t_x: Array,
    T: Array,
    horizon: float,
    r: Array,
    alpha: Array,
    a: Array,
    b: Array,
    modified: float,
    member: Index,
    rate: Array,
    last: Array,
    alive: Array,
    arrivals: Array,
    many: Array,
    out: Array,
) -> None:
    """Fill ``out`` with the purchases of BG/NBD customers in each future.

    Parameters
    ----------
    r, alpha, a, b, alive, many : ndarray of shape (n_futures,)
    member : ndarray of shape (n_customers,)
        Row of ``rate`` and ``last``.
    rate, last : ndarray of shape (n_distinct, n_futures)
        Purchase rate in units of 1 / (alpha + T), and the purchase after which a customer leaves.
    arrivals : ndarray of shape (n_futures, n_arrivals)
    out : ndarray of shape (n_customers, n_futures)
    """
    n_futures, n_arrivals = arrivals.shape
    early = arrivals[:, :_EARLY].T.copy()
    mean, chance, count, later = (
        np.empty(n_futures),
        np.ones(n_futures),
        np.empty(n_futures),
        np.empty(n_futures, np.intp),
    )
    for i in range(len(x)):
        d = member[i]
        for f in range(n_futures):
            mean[f] = rate[d, f] / (alpha[f] + T[i]) * horizon
            count[f] = 0.0
        for k in range(_EARLY):  # most futures end here, without a branch to mispredict
            for f in range(n_futures):
                count[f] += early[k, f] <= mean[f]
        n_later = 0
        for f in range(n_futures):
            later[n_later] = f
            n_later += count[f] == _EARLY
        for f in later[:n_later]:
            count[f] = arrivals_by(mean[f], arrivals[f])
            if count[f] >= n_arrivals:
                count[f] = max(np.rint(mean[f] + np.sqrt(mean[f]) * many[f]), float(n_arrivals))
        if x[i] + modified > 0.0:
            for f in range(n_futures):
                chance[f] = alive_probability(x[i], t_x[i], T[i], r[f], alpha[f], a[f], b[f], modified)
        else:
            chance[:] = 1.0
        for f in range(n_futures):
            out[i, f] = min(count[f], last[d, f]) if alive[f] < chance[f] else 0.0


def spend_quantiles(
    counts: Array,
    member: Index,
    scale: Array,
    spent: Array,
    sums: Array,
    p: Array,
    gamma: Array,
    much: Array,
    tails: Array,
    out: Array,
) -> None:
    """Fill ``out`` with quantiles of each customer's spend over the futures, interpolated linearly.

    Parameters
    ----------
    counts : ndarray of shape (n_customers, n_futures)
    member : ndarray of shape (n_customers,)
        Row of ``scale``.
    scale : ndarray of shape (n_distinct, n_futures)
    spent : ndarray of shape (n_customers,)
    sums : ndarray of shape (n_futures, longest + 1)
    p, gamma, much : ndarray of shape (n_futures,)
    tails : ndarray of shape (n_tails,)
        Ascending.
    out : ndarray of shape (n_tails, n_customers)
    """
    n_futures, longest = len(p), sums.shape[1] - 1
    spend = np.empty(n_futures)
    for i in range(len(counts)):
        some = 0
        for f in range(n_futures):
            count = counts[i, f]
            if count == 0.0:
                continue
            if count <= longest:
                drawn = sums[f, int(count)]
            else:
                shape = count * p[f]
                cube = max(1.0 - 1.0 / (9.0 * shape) + much[f] / (3.0 * np.sqrt(shape)), 0.0)
                drawn = shape * (cube * cube * cube)
            spend[some] = drawn / (scale[member[i], f] / (gamma[f] + spent[i]))
            some += 1
        zeros, first = n_futures - some, 0
        for j in range(len(tails)):
            position = tails[j] * (n_futures - 1)
            at = int(position)
            share = position - at
            below, above = 0.0, 0.0
            if at - zeros >= 0:
                below = select(spend, at - zeros, first, some - 1)
                first = at - zeros
            if at + 1 - zeros >= 0:
                above = select(spend, at + 1 - zeros, first, some - 1) if at + 1 < n_futures else below
            step = above - below
            out[j, i] = below + step * share if share < 0.5 else above - step * (1.0 - share)
