"""Expected purchases of alive BG/NBD customers, tabulated once and looked up by everybody.

While alive, a customer's future depends on x and on rate = alpha + T alone. For each x it is tabulated as
polynomials in the place of the rate within its octave (`elementary.octave`). The coefficients of an octave do
not depend on which customers fall into it, and a lookup is the same arithmetic for few on arrays as for many in
compiled loops: to the last bit, a customer's value depends neither on who else is scored nor on how many are.

Within t, in units of rate, a customer who leaves with probability p after each purchase makes

    D_s = (1 - q^s) / p purchases,   q = 1 / (1 + p t / rate),   s = r + x,

so that D_(s+1) = q (D_s + t / rate): a sum of positive terms that never cancels takes one count of purchases to
the next, and the exponential is needed only once per block of counts. The expectation over p ~ Beta(a, b + x)
is `dropout_grid`'s.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, equation 10, before the
hypergeometric function is introduced.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.compiled import loops
from crm_ml.clv.compiled.compiler import MANY_ROWS, compiled, plain
from crm_ml.clv.compiled.elementary import COEFFICIENTS, alive_probability, octave, polynomial
from crm_ml.clv.processes.geometric_dropout import shared_grid

__all__ = ["expected_purchases", "future_table"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_BLOCK = 32  # counts of purchases that share their nodes of p
_TIME_NODES = 32
_FORGOTTEN = 45.0  # what is discounted by exp(-45) is below rounding
_LARGEST_INDEX = 1 << 20


def expected_purchases(
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    discount_rate: float,
    r: float,
    alpha: float,
    a: float,
    b: float,
    modified: bool,
) -> Array:
    """Return expected purchases within the next ``horizon``; see `bg_nbd.expected_purchases`.

    Examples
    --------
    >>> one = np.array([26.0]), np.array([30.857]), np.array([31.0])
    >>> cdnow = dict(r=0.24259451, alpha=4.41360171, a=0.79292216, b=2.42590736)
    >>> round(expected_purchases(52.0, *one, discount_rate=0.0, modified=False, **cdnow).item(), 3)
    25.757
    """
    params = (float(r), float(alpha), float(a), float(b), float(modified))
    settings = {"discount_rate": discount_rate, "r": r, "alpha": alpha, "a": a, "b": b + modified}
    if len(x) < MANY_ROWS or x.max() >= _LARGEST_INDEX:
        exponent, place = octave(alpha + T)
        counts, row = np.unique(x.astype(np.intp), return_inverse=True)
        octaves, column = np.unique(exponent, return_inverse=True)
        table = future_table(horizon, counts, octaves, fast=False, **settings)
        return np.asarray(alive_probability(x, t_x, T, *params) * polynomial(table[row, column].T, place))
    x, t_x, T = plain(x, t_x, T)
    lowest, highest = (int(octave(alpha + extreme)[0]) for extreme in (T.min(), T.max()))
    seen, passed = np.zeros(int(x.max()) + 1, dtype=bool), np.zeros(highest - lowest + 1, dtype=bool)
    compiled(loops.mark)(x, T, params[1], lowest, seen, passed)
    counts, octaves = np.flatnonzero(seen), np.flatnonzero(passed)
    table = future_table(horizon, counts, octaves + lowest, fast=True, **settings)
    row, column, out = np.cumsum(seen) - 1, np.cumsum(passed) - 1, np.empty(len(x))
    compiled(loops.evaluate)(x, t_x, T, *params, lowest, row, column, table, out)
    return out


def future_table(
    horizon: float,
    counts: Index,
    octaves: Index,
    *,
    discount_rate: float,
    r: float,
    alpha: float,
    a: float,
    b: float,
    fast: bool,
) -> Array:
    """Tabulate the expected, discounted purchases of alive customers by x and octave of alpha + T.

    By parts they are D(t) G(t) + delta × integral of D(s) G(s) over (0, t), with D(s) = exp(-delta s) and G the
    purchases within s; the integral is a Gauss-Legendre rule in log(1 + s / rate), on which G is smooth
    however long the horizon. G depends on s / rate alone, so that one more table serves all the nodes.

    Parameters
    ----------
    horizon : float, > 0
    counts : ndarray of shape (n_counts,)
        Distinct x, ascending.
    octaves : ndarray of shape (n_octaves,)
        Binary exponents of alpha + T.
    b : float
        Second Beta parameter at x = 0.
    fast : bool
        Whether the loops are worth compiling; the values are the same.

    Returns
    -------
    ndarray of shape (n_counts, n_octaves, 16)
    """
    rate = _nodes(octaves)
    farthest = horizon / alpha

    def purchases(reach: Array) -> Array:
        return _purchases(reach, counts, farthest=farthest, r=r, a=a, b=b, fast=fast)

    if discount_rate == 0.0:
        return _coefficients(purchases(horizon / rate))
    nodes, node_weights = _time_rule()
    stretch = np.log1p(min(horizon, _FORGOTTEN / discount_rate) / rate)
    s = rate * np.expm1(stretch * nodes[:, None])
    weight = node_weights[:, None] * stretch * (rate + s) * (discount_rate * np.exp(-discount_rate * s))
    end = np.full_like(rate, horizon)
    exponent, place = octave(np.vstack([s, end]) / rate)
    weight = np.vstack([weight, np.exp(-discount_rate * end)])
    reached, cell = np.unique(exponent, return_inverse=True)
    table = _coefficients(purchases(_nodes(reached)))
    cell = cell.reshape(exponent.shape)
    values = np.zeros((len(counts), len(rate)))
    if fast:
        compiled(loops.tabulated)(table, cell, place, weight, values)
    else:
        for k in range(len(cell)):
            values += weight[k] * polynomial(np.moveaxis(table[:, cell[k]], -1, 0), place[k])
    return _coefficients(values)


def _purchases(reach: Array, counts: Index, *, farthest: float, r: float, a: float, b: float, fast: bool) -> Array:
    """Return expected purchases of alive customers within ``reach`` units of rate, (n_counts, n)."""
    values = np.empty((len(counts), len(reach)))
    for first in np.unique(counts // _BLOCK) * _BLOCK:
        here = slice(*np.searchsorted(counts, [first, first + _BLOCK]))
        offsets = counts[here] - first
        span = np.arange(offsets[-1] + 1)
        grid = (b + first, b + first + (_BLOCK - 1))
        p, weight = shared_grid(a, b + first + span, span=grid, reach=farthest * (r + first + _BLOCK))
        scaled = p[:, None] * reach
        purchases = -np.expm1(-(r + first) * np.log1p(scaled)) / p[:, None]
        keeps = 1.0 / (1.0 + scaled)
        if fast:
            wanted = np.zeros(len(span), dtype=bool)
            wanted[offsets] = True
            sums = np.zeros((len(span), len(reach)))
            compiled(loops.accumulate)(purchases, keeps, reach, weight, wanted, sums)
            values[here] = sums[offsets]
            continue
        for i in span:
            if i in offsets:
                values[here][np.searchsorted(offsets, i)] = (weight[i][:, None] * purchases).sum(axis=0)
            purchases = keeps * (purchases + reach)
    return values


def _nodes(octaves: Index) -> Array:
    """Return the Chebyshev nodes of each octave's places, as numbers; one octave after the other."""
    v = np.cos((np.arange(COEFFICIENTS) + 0.5) * np.pi / COEFFICIENTS) * (3.0 - 2.0 * np.sqrt(2.0))
    return np.asarray(np.ldexp(np.sqrt(2.0) * (1.0 + v) / (1.0 - v), octaves[:, None]).ravel())


def _coefficients(values: Array) -> Array:
    """Return the coefficients in powers of v of the polynomials through (n, n_octaves × n_nodes) values at the nodes.

    First those in Chebyshev polynomials, which fall off geometrically: converted in one step the high powers
    would drown in rounding. Sums are taken term by term, for a matrix product's order depends on its size.
    """
    to_chebyshev, to_powers = _conversions()
    values = values.reshape(len(values), values.shape[1] // COEFFICIENTS, COEFFICIENTS)
    for matrix in (to_chebyshev, to_powers):
        total = values[..., :1] * matrix[0]
        for k in range(1, COEFFICIENTS):
            total += values[..., k : k + 1] * matrix[k]
        values = total
    return values


@cache
def _conversions() -> tuple[Array, Array]:
    """Matrices from values at the nodes to Chebyshev coefficients, and on to powers; row by row for each input."""
    degree, n = np.arange(COEFFICIENTS), COEFFICIENTS
    to_chebyshev = np.cos(degree * (degree[:, None] + 0.5) * np.pi / n) * np.where(degree, 2.0, 1.0) / n
    to_powers = np.zeros((n, n))
    for k, unit in enumerate(np.eye(n)):
        powers = np.polynomial.chebyshev.cheb2poly(unit)
        to_powers[k, : len(powers)] = powers
    return to_chebyshev, to_powers


@cache
def _time_rule() -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(_TIME_NODES)
    return 0.5 * (nodes + 1.0), 0.5 * weights
