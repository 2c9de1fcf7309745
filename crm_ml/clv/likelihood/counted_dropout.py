"""A customer who may leave before each opportunity to buy: the last one alive at, summed out.

At each opportunity an alive customer buys with probability p ~ Beta(alpha, beta); before each one the customer
leaves with probability theta ~ Beta(gamma, delta). Whether a customer who took x opportunities, the last one the
t_x-th of n, was still there at the n-th is decided by

    P(left) / P(alive) = sum over last = t_x, ..., n - 1 of
        B(alpha + x, beta + last - x) B(gamma + 1, delta + last) / (B(alpha + x, beta + n - x) B(gamma, delta + n)).

Each term is the one after it times a ratio of sums, so no beta function is ever evaluated.

Source: Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting,
Marketing Science 29(6).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from crm_ml.clv.likelihood.leaving import possibility_of_leaving
from crm_ml.clv.likelihood.patterns import Patterns

__all__ = ["departures", "left_derivatives", "left_terms", "log_odds_left"]

Array = NDArray[np.float64]

_CHUNK_VALUES = 200_000
_BLOCK = 128


def log_odds_left(
    x: ArrayLike,
    t_x: ArrayLike,
    n: ArrayLike,
    *,
    alpha: ArrayLike,
    beta: ArrayLike,
    gamma: ArrayLike,
    delta: ArrayLike,
) -> Array:
    """Logarithm of P(left) / P(alive) at the n-th opportunity; -inf if it was taken or n is 0.

    Parameters
    ----------
    x, t_x, n : array_like, broadcastable
        Opportunities taken, number of the last one taken, opportunities so far; whole numbers.
    alpha, beta, gamma, delta : array_like, broadcastable, > 0

    Examples
    --------
    With uniform p and theta, left before the first has probability 1/2, alive and not buying 1/4:

    >>> float(np.exp(log_odds_left(0, 0, 1, alpha=1.0, beta=1.0, gamma=1.0, delta=1.0)))
    2.0
    """
    values = (x, t_x, n, alpha, beta, gamma, delta)
    columns = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values))
    x, t_x, n, *params = (column.ravel() for column in columns)
    u = np.full(x.size, -np.inf)
    for rows, last, inside in departures(t_x, n):
        own = tuple(column[rows, None] for column in (x, *params))
        u[rows] = logsumexp(_log_departure(last, inside, *own), axis=1)
    return u.reshape(columns[0].shape)


def departures(t_x: Array, n: Array) -> Iterator[tuple[NDArray[np.intp], Array, NDArray[np.bool_]]]:
    """Last opportunities a customer may have been alive at, from n - 1 down to t_x, chunk by chunk.

    Rows are grouped by the power of two that holds their silence, so a row's arithmetic is its own.

    Parameters
    ----------
    t_x, n : ndarray of shape (n_customers,)

    Yields
    ------
    rows : ndarray of shape (n_chunk,)
    last : ndarray of shape (n_chunk, width)
    inside : ndarray of bool of shape (n_chunk, width)
        Whether the silence reaches that far back; where not, ``last`` repeats t_x.

    Examples
    --------
    >>> rows, last, inside = next(departures(np.array([6.0, 3.0]), np.array([6.0, 6.0])))
    >>> rows.tolist(), last[inside].tolist()
    ([1], [5.0, 4.0, 3.0])
    """
    silence = n - t_x
    widths = np.exp2(np.ceil(np.log2(np.maximum(silence, 1.0)))).astype(int)
    for width in np.unique(widths[silence > 0]):
        members = np.flatnonzero((widths == width) & (silence > 0))
        back = np.arange(width)
        stride = max(1, _CHUNK_VALUES // int(width))
        for first in range(0, len(members), stride):
            rows = members[first : first + stride]
            inside = back < silence[rows, None]
            yield rows, np.maximum(n[rows, None] - 1.0 - back, t_x[rows, None]), inside


def _log_departure(
    last: Array,
    inside: NDArray[np.bool_],
    x: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
    delta: Array,
) -> Array:
    """Log-odds of having been alive at ``last`` and then left, each the one before times a ratio."""
    ahead = gamma + delta + last + 1.0
    ahead[:, 0] = gamma[:, 0]
    ratio = (alpha + beta + last) / (beta + (last - x)) * (ahead / (delta + last))
    return np.where(inside, _running_sum(np.log(ratio)), -np.inf)


def _running_sum(values: Array) -> Array:
    """Cumulated sum along rows of 2^k values, in blocks: rounding grows with the square root of their number."""
    blocks = values.reshape(len(values), -1, min(_BLOCK, values.shape[1]))
    within = np.cumsum(blocks, axis=2)
    before = np.cumsum(within[:, :, -1], axis=1) - within[:, :, -1]
    return (within + before[:, :, None]).reshape(values.shape)


def left_terms(patterns: Patterns, alpha: float, beta: float, gamma: float, delta: float) -> tuple[float, Array, Array]:
    """Sum log(1 + exp(u)) over all patterns, u the log-odds of having left, with gradient and Hessian.

    Derivatives are by log(alpha, beta, gamma, delta).
    """
    params = {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
    return possibility_of_leaving(left_derivatives(patterns.x, patterns.t_x, patterns.T, **params), patterns.weight)


def left_derivatives(
    x: Array, t_x: Array, n: Array, *, alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike, delta: ArrayLike
) -> Iterator[tuple[NDArray[np.intp], Array, Array, Array]]:
    """Log-odds of having left with their derivatives by log(alpha, beta, gamma, delta), chunk by chunk.

    They are moments over the last opportunity alive: means of the slopes of a term's logarithm, and their
    covariance.

    Parameters
    ----------
    x, t_x, n : ndarray of shape (n_customers,)
    alpha, beta, gamma, delta : array_like, broadcastable

    Yields
    ------
    rows : ndarray of shape (n_chunk,)
        Customers with a silence, each once.
    u : ndarray of shape (n_chunk,)
    slopes : ndarray of shape (4, n_chunk)
    bends : ndarray of shape (4, 4, n_chunk)
    """
    values = (np.asarray(value, dtype=float) for value in (alpha, beta, gamma, delta))
    x, t_x, n, *params = np.broadcast_arrays(x, t_x, n, *values)
    for rows, last, inside in departures(t_x, n):
        own = tuple(column[rows, None] for column in (x, *params))
        log_terms = _log_departure(last, inside, *own)
        u = logsumexp(log_terms, axis=1)
        yield rows, u, *_departure_derivatives(last, np.exp(log_terms - u[:, None]), *own)


def _departure_derivatives(
    last: Array, weight: Array, x: Array, alpha: Array, beta: Array, gamma: Array, delta: Array
) -> tuple[Array, Array]:
    """First and second derivatives of the log-odds by the log parameters, (4, n) and (4, 4, n)."""
    parts = np.stack([alpha + beta + last, beta + (last - x), gamma + delta + last + 1.0, delta + last])
    inverse = 1.0 / parts
    inverse[2, :, 0] = 0.0
    any_choice, no_choice, any_end, no_end = np.cumsum(inverse, axis=2)
    at_last = np.stack(
        [alpha * any_choice, beta * (any_choice - no_choice), 1.0 + gamma * any_end, delta * (any_end - no_end)]
    )
    slopes = (at_last * weight).sum(axis=2)
    off = at_last - slopes[:, :, None]
    bends = np.einsum("inz,jnz->ijn", off * weight, off)
    squares = (np.cumsum(inverse * inverse, axis=2) * weight).sum(axis=2)
    alpha, beta, gamma, delta = (value[:, 0] for value in (alpha, beta, gamma, delta))
    bends[0, 0] += slopes[0] - alpha * alpha * squares[0]
    bends[1, 1] += slopes[1] - beta * beta * (squares[0] - squares[1])
    bends[2, 2] += slopes[2] - 1.0 - gamma * gamma * squares[2]
    bends[3, 3] += slopes[3] - delta * delta * (squares[2] - squares[3])
    for i, j, cross in ((0, 1, alpha * beta * squares[0]), (2, 3, gamma * delta * squares[2])):
        bends[i, j] -= cross
        bends[j, i] -= cross
    return slopes, bends
