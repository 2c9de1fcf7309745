"""Loops over customers and their common futures; see `crm_ml.clv.uncertainty.interval`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled.elementary import alive_probability
from crm_ml.clv.compiled.searching import purchases_by, select

__all__ = ["count_arrivals", "draw_exponential_dropout", "draw_geometric_dropout", "spend_quantiles", "strike"]

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
    early, later = arrivals[:, :_EARLY].T.copy(), np.empty(len(many), np.intp)
    for i in range(len(time)):
        purchases_by(time[i], arrivals, many, early, later, out[i])


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
    n_futures = len(many)
    early, later = arrivals[:, :_EARLY].T.copy(), np.empty(n_futures, np.intp)
    mean, chance, count = np.empty(n_futures), np.ones(n_futures), np.empty(n_futures)
    for i in range(len(x)):
        d = member[i]
        for f in range(n_futures):
            mean[f] = rate[d, f] / (alpha[f] + T[i]) * horizon
        purchases_by(mean, arrivals, many, early, later, count)
        if x[i] + modified > 0.0:
            for f in range(n_futures):
                chance[f] = alive_probability(x[i], t_x[i], T[i], r[f], alpha[f], a[f], b[f], modified)
        else:
            chance[:] = 1.0
        for f in range(n_futures):
            out[i, f] = min(count[f], last[d, f]) if alive[f] < chance[f] else 0.0


def draw_exponential_dropout(
    T: Array,
    horizon: float,
    alpha: Array,
    beta: Array,
    member: Index,
    rate: Array,
    leaving: Array,
    wait: Array,
    arrivals: Array,
    many: Array,
    out: Array,
) -> None:
    """Fill ``out`` with the purchases of Pareto/NBD customers who are there now, in each future.

    Parameters
    ----------
    alpha, beta, leaving, wait, many : ndarray of shape (n_futures,)
        ``leaving`` is the rate of leaving in units of 1 / (beta + T), and ``wait`` the time to it at rate 1.
    member : ndarray of shape (n_customers,)
        Row of ``rate``.
    rate : ndarray of shape (n_distinct, n_futures)
        Purchase rate in units of 1 / (alpha + T).
    arrivals : ndarray of shape (n_futures, n_arrivals)
    out : ndarray of shape (n_customers, n_futures)
    """
    n_futures = len(many)
    early, later, time = arrivals[:, :_EARLY].T.copy(), np.empty(n_futures, np.intp), np.empty(n_futures)
    for i in range(len(T)):
        d = member[i]
        for f in range(n_futures):
            stays = min(wait[f] / (leaving[f] / (beta[f] + T[i])), horizon)
            time[f] = rate[d, f] / (alpha[f] + T[i]) * stays
        purchases_by(time, arrivals, many, early, later, out[i])


def strike(
    terms: Array,
    powers: Array,
    limit: Array,
    error: Array,
    rows: Index,
    group: Index,
    counts: Array,
    at: Index,
    future: Index,
) -> int:
    """Set purchases to 0 where a polynomial is over a limit, and note where it is too close to tell.

    Parameters
    ----------
    terms : ndarray of shape (n_rows, n_terms)
    powers : ndarray of shape (n_terms, n_group)
    limit : ndarray of shape (n_group,)
    error : ndarray of shape (n_group,)
        In units of 1 plus the sizes of a row's terms but the first.
    rows, group : ndarray of shape (n_rows,) and (n_group,)
        Their places in ``counts``.
    counts : ndarray of shape (n_customers, n_futures)
    at, future : ndarray of shape (n_rows × n_group,)
        Filled with the places in ``counts`` that are too close and hold purchases.

    Returns
    -------
    int
        How many of these there are.
    """
    n_close, room = 0, np.empty(len(group))
    for i in range(len(rows)):
        size = 1.0
        for f in range(len(group)):
            room[f] = limit[f] - terms[i, 0]
        for k in range(1, len(powers)):
            term = terms[i, k]
            size += abs(term)
            for f in range(len(group)):
                room[f] -= term * powers[k, f]
        own = counts[rows[i]]
        for f in range(len(group)):
            place = group[f]
            certain = abs(room[f]) > size * error[f]
            at[n_close], future[n_close] = rows[i], place
            n_close += (not certain) and own[place] > 0.0
            own[place] *= (not certain) or room[f] > 0.0
    return n_close


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
