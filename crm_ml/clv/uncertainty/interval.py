"""Prediction intervals of a customer's value, from the process and the parameters' uncertainty together.

Every customer is carried through the same few hundred futures. A future is one draw of the parameters from
their asymptotic distribution, and one set of uniform numbers that decide whether the customer is alive, the
purchase rate, the chance to leave, the number of purchases and what they cost. Because the points are common
to all customers and fixed, an interval depends neither on the other customers scored nor on chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri
from scipy.stats import qmc

from crm_ml.clv.compiled import futures as loops
from crm_ml.clv.compiled.compiler import compiled

__all__ = [
    "MANY_CUSTOMERS",
    "CountDraw",
    "Futures",
    "common_futures",
    "count_bounds",
    "parameter_draws",
    "value_bounds",
]

Array = NDArray[np.float64]
CountDraw = Callable[["Futures", NDArray[np.intp]], Array]

N_FUTURES = 512
MANY_CUSTOMERS = 4_000
"""Customers from which the loops over their futures are compiled."""
_FEW_CUSTOMERS = 1_000
_LONGEST_COUNT = 512
_PARAMETERS = 8
_SEED = 20050501


@dataclass(frozen=True)
class Futures:
    """Random numbers of the common futures.

    Attributes
    ----------
    normals : ndarray of shape (8, n_futures)
        For the parameters.
    alive, rate, dropout, stop, spend : ndarray of shape (n_futures,)
        Uniform numbers, one per future and decision.
    arrivals : ndarray of shape (n_arrivals, n_futures)
        Times of the purchases of a customer who buys at rate 1.
    many, much : ndarray of shape (n_futures,)
        Normal numbers for counts and sums beyond ``n_arrivals``.
    """

    normals: Array
    alive: Array
    rate: Array
    dropout: Array
    stop: Array
    spend: Array
    arrivals: Array
    many: Array
    much: Array

    def purchases_by(self, time: Array) -> Array:
        """Purchases of a rate-1 customer by each time, exact to ``n_arrivals`` and then normal.

        Parameters
        ----------
        time : ndarray of shape (n_customers, n_futures)
        """
        if len(time) >= MANY_CUSTOMERS:
            counted = np.empty(time.shape)
            compiled(loops.count_arrivals)(time, self.arrivals.T, self.many, counted)
            return counted
        columns = np.ascontiguousarray(time.T)
        counts = np.empty_like(columns)
        for future, (column, arrivals) in enumerate(zip(columns, self.arrivals.T, strict=True)):
            counts[future] = np.searchsorted(arrivals, column, side="right")
        beyond = np.nonzero(counts >= len(self.arrivals))
        mean = columns[beyond]
        normal = np.rint(mean + np.sqrt(mean) * self.many[beyond[0]])
        counts[beyond] = np.maximum(normal, len(self.arrivals))
        return np.ascontiguousarray(counts.T)


def common_futures() -> Futures:
    """Return the futures every customer is carried through; the same ones on every call."""
    points = qmc.Sobol(_PARAMETERS + 7, scramble=True, rng=np.random.default_rng(_SEED)).random(N_FUTURES).T
    generator = np.random.default_rng(_SEED + 1)
    waits = generator.standard_exponential((_LONGEST_COUNT, N_FUTURES))
    normals = ndtri(points[: _PARAMETERS + 2])
    alive, rate, dropout, stop, spend = points[_PARAMETERS + 2 :]
    return Futures(
        normals=normals[:_PARAMETERS],
        alive=alive,
        rate=rate,
        dropout=dropout,
        stop=stop,
        spend=spend,
        arrivals=np.asfortranarray(np.cumsum(waits, axis=0)),
        many=normals[_PARAMETERS],
        much=normals[_PARAMETERS + 1],
    )


def parameter_draws(params: dict[str, float], log_covariance: Array, normals: Array) -> dict[str, Array]:
    """Draw parameters from the asymptotic normal distribution of their logarithms.

    Parameters
    ----------
    params : dict of str to float
    log_covariance : ndarray of shape (n_params, n_params)
    normals : ndarray of shape (n_params, n_futures)

    Returns
    -------
    dict of str to ndarray of shape (n_futures,)
    """
    variances, axes = np.linalg.eigh(log_covariance)
    scatter = (axes * np.sqrt(np.maximum(variances, 0.0))) @ normals
    return {name: value * np.exp(shift) for (name, value), shift in zip(params.items(), scatter, strict=True)}


def count_bounds(draw_counts: CountDraw, x: Array, *, level: float) -> NDArray[np.int64]:
    """Whole numbers between which each customer's purchases lie with at least probability ``level``.

    Parameters
    ----------
    draw_counts : callable
        Takes the futures and positions of customers; returns purchases, (n_positions, n_futures).
    x : ndarray of shape (n_customers,)
        Repeat purchases.
    level : float in (0, 1)

    Returns
    -------
    ndarray of shape (2, n_customers)
    """
    futures, tails = common_futures(), [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    bounds = np.empty((2, len(x)), dtype=np.int64)
    for rows in _parts(x):
        bounds[:, rows] = np.quantile(draw_counts(futures, rows), tails, axis=1, method="inverted_cdf")
    return bounds


def value_bounds(
    draw_counts: CountDraw,
    x: Array,
    mean_spend: Array,
    *,
    value_per_spend: Array,
    spend_params: dict[str, Array],
    futures: Futures,
    level: float,
) -> tuple[Array, Array]:
    """Bounds between which the value of each customer lies with probability ``level``.

    Parameters
    ----------
    draw_counts : callable
        Takes the futures and positions of customers; returns purchases, (n_positions, n_futures).
    x, mean_spend : ndarray of shape (n_customers,)
        Repeat purchases and their mean spend.
    value_per_spend : ndarray of shape (n_customers,)
        Margin times the customer's mean discount factor over the horizon. The timing of single purchases is
        thereby averaged; at 10 % a year over one year this moves a future's value by at most 5 %.
    spend_params : dict of str to ndarray of shape (n_futures,)
        Draws of p, q, gamma.
    level : float in (0, 1)

    Returns
    -------
    tuple of two ndarray of shape (n_customers,)
    """
    p, q, gamma = (spend_params[name] for name in ("p", "q", "gamma"))
    sums = np.cumsum(np.random.default_rng(_SEED + 2).standard_gamma(p, size=(_LONGEST_COUNT, len(p))), axis=0)
    sums = np.concatenate([np.zeros((1, len(p))), sums])
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    bounds = np.empty((2, len(x)))
    many, by_future = len(x) >= MANY_CUSTOMERS, np.ascontiguousarray(sums.T)
    for rows in _parts(x):
        counts = draw_counts(futures, rows)
        known = np.where(mean_spend[rows] > 0, x[rows], 0.0)
        distinct, member = np.unique(known, return_inverse=True)
        scale, spent = gammaincinv(q + p * distinct[:, None], futures.spend), known * mean_spend[rows]
        if many:
            within = np.empty((2, len(rows)))
            compiled(loops.spend_quantiles)(
                counts, member, scale, spent, by_future, p, gamma, futures.much, tails, within
            )
        else:
            spend_rate = scale[member] / (gamma + spent[:, None])
            within = np.quantile(_sum_of_spends(counts, sums, p, futures.much) / spend_rate, tails, axis=1)
        bounds[:, rows] = within * value_per_spend[rows]
    return bounds[0], bounds[1]


def _parts(x: Array) -> list[NDArray[np.intp]]:
    """Positions of the customers in parts that fit the cache, equal x together: they share their gamma quantiles."""
    n_parts = len(x) // MANY_CUSTOMERS if len(x) >= MANY_CUSTOMERS else -(-len(x) // _FEW_CUSTOMERS)
    return np.array_split(np.argsort(x, kind="stable"), max(1, n_parts))


def _sum_of_spends(counts: Array, sums: Array, p: Array, normal: Array) -> Array:
    """Gamma(p × count) draws: exact within the table, by Wilson and Hilferty (1931) beyond."""
    longest = len(sums) - 1
    within = np.minimum(counts, longest).astype(np.intp)
    drawn = sums[within, np.arange(len(p))]
    beyond = counts > longest
    if not beyond.any():
        return np.asarray(drawn)
    shape = np.where(beyond, counts, longest) * p
    cube = 1.0 - 1.0 / (9.0 * shape) + normal / (3.0 * np.sqrt(shape))
    cube = np.maximum(cube, 0.0)
    return np.where(beyond, shape * (cube * cube * cube), drawn)
