"""The future of an alive customer who buys at Poisson times and may leave after each purchase.

Given that the customer is alive now, the purchase rate is lambda ~ Gamma(shape, rate) and the chance to
leave after a purchase p ~ Beta(a, b); BG/NBD has shape = r + x, rate = alpha + T, b + x. Everything here is
an expectation over p of a positive function that is known in closed form after averaging over lambda:

    E[purchases in (0, t]] = E_p[ (1 - (1 + p t / rate)^-shape) / p ].

The textbook form is a hypergeometric function that overflows, cancels and is singular at a = 1; as an
expectation it is neither. The trapezoidal rule in log(p / (1 - p)) converges geometrically because the
integrand is analytic within |Im| < pi/2 there; agreement with 40-digit arithmetic is about 1e-13.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, equations 9 and 10, before
the hypergeometric function is introduced.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, exprel

from crm_ml.clv.uncertainty.interval import Futures

__all__ = [
    "discounted_purchases_while_alive",
    "draw_purchases",
    "dropout_grid",
    "purchases_while_alive",
    "through_cells",
]

Array = NDArray[np.float64]

_STEP = 0.25  # in log-odds of p; the error of the rule is about exp(-pi^2 / step)
_LOG_EPS = 40.0  # what is left out is below exp(-40) of the whole
_CELL_NODES = 16
_TIME_NODES = 16
_TINY = 1e-300


def dropout_grid(a: float, b: float, *, reach: float) -> tuple[Array, Array]:
    """Nodes of p and weights for expectations over Beta(a, b) of a function smooth in log(p).

    Parameters
    ----------
    a, b : float, > 0
    reach : float, >= 0
        The function may still change at p of about ``1 / (1 + reach)``, and is flat below.

    Returns
    -------
    tuple of ndarray of shape (n_nodes,)
        p, and weights that sum to one.

    Examples
    --------
    >>> p, weight = dropout_grid(0.8, 2.4, reach=0.0)
    >>> round(float(weight @ p), 12)  # a / (a + b)
    0.25
    """
    centre = np.log(a) - np.log(b)
    low = min(centre, -np.log1p(b), -np.log1p(reach)) - 3.0
    high = max(centre, np.log1p(a)) + 3.0
    step = min(_STEP, 0.5 * np.sqrt(1.0 / a + 1.0 / b))
    # Beyond [low, high] the density falls like exp(a s) and exp(-b s): exponential strides reach its end.
    start, end = low - np.log1p(_LOG_EPS / a), high + np.log1p(_LOG_EPS / b)
    n_nodes = int(np.ceil((end - start) / step)) + 1
    v = np.linspace(start, end, n_nodes)
    below, above = np.exp(low - v), np.exp(v - high)
    log_odds = v - below + above
    log_density = -a * np.logaddexp(0.0, -log_odds) - b * np.logaddexp(0.0, log_odds)
    density = np.exp(log_density - log_density.max()) * (1.0 + below + above)
    kept = density > 0.0
    p = np.exp(-np.logaddexp(0.0, -log_odds[kept]))
    return np.maximum(p, _TINY), density[kept] / density[kept].sum()


def purchases_while_alive(t: Array, *, shape: float, rate: Array, p: Array, weight: Array) -> Array:
    """Return expected purchases of an alive customer within the next ``t``.

    Parameters
    ----------
    t : ndarray, broadcastable with ``rate``
        Time ahead, >= 0.
    shape : float, > 0
    rate : ndarray, > 0
    p, weight : ndarray of shape (n_nodes,)
        From `dropout_grid`.
    """
    scaled = np.asarray(t / rate)[..., None] * p
    logs = np.log1p(scaled)
    ratio = np.divide(logs, scaled, out=np.ones_like(logs), where=scaled > 0)
    mean = (exprel(-shape * logs) * ratio * weight).sum(axis=-1)
    return np.asarray(shape * (t / rate) * mean)


def discounted_purchases_while_alive(
    t: Array, *, discount_rate: float, shape: float, rate: Array, p: Array, weight: Array
) -> Array:
    """Return expected purchases within ``t``, each worth exp(-discount_rate × its time).

    By parts this is D(t) G(t) + delta × integral of D(s) G(s) over (0, t), with G from
    `purchases_while_alive`; the integral is a Gauss-Legendre rule in log(1 + s / rate), on which G is
    smooth however long the horizon. Without discounting it is G(t) to the last bit.
    """
    discounted = np.exp(-discount_rate * t) * purchases_while_alive(t, shape=shape, rate=rate, p=p, weight=weight)
    if discount_rate == 0.0:
        return discounted
    nodes, node_weights = np.polynomial.legendre.leggauss(_TIME_NODES)
    stretch = np.log1p(t / rate)
    for node, node_weight in zip(0.5 * (nodes + 1.0), 0.5 * node_weights, strict=True):
        s = rate * np.expm1(stretch * node)
        inner = purchases_while_alive(s, shape=shape, rate=rate, p=p, weight=weight)
        discounted = discounted + node_weight * stretch * (rate + s) * (
            discount_rate * np.exp(-discount_rate * s) * inner
        )
    return discounted


def through_cells(function: Callable[[Array], Array], rate: Array, *, per_octave: int = 1) -> Array:
    """Evaluate a smooth function of log(rate) by interpolation within fixed cells of width log(2) / per_octave.

    A cell's Chebyshev nodes do not depend on which customers fall into it, so neither does a customer's
    value. The function is called once, on the nodes of the cells in use.

    Parameters
    ----------
    function : callable
        Takes and returns an array of shape (n,).
    rate : ndarray of shape (n_customers,), > 0
    per_octave : int, default 1
        More where the function changes within a factor of two.

    Examples
    --------
    >>> import numpy as np
    >>> through_cells(np.sqrt, np.array([4.0, 9.0])).round(12).tolist()
    [2.0, 3.0]
    """
    position = np.log2(rate) * per_octave
    cell, member = np.unique(np.floor(position), return_inverse=True)
    angles = (np.arange(_CELL_NODES) + 0.5) * np.pi / _CELL_NODES
    nodes = 0.5 * (1.0 + np.cos(angles))
    barycentric = np.sin(angles) * (-1.0) ** np.arange(_CELL_NODES)
    values = function(np.exp2((cell[:, None] + nodes) / per_octave).ravel()).reshape(len(cell), _CELL_NODES)
    gap = (position - cell[member])[:, None] - nodes
    on_node = gap == 0.0
    pull = barycentric / np.where(on_node, 1.0, gap)
    pull = np.where(on_node.any(axis=1, keepdims=True), on_node, pull)
    return np.asarray((pull * values[member]).sum(axis=1) / pull.sum(axis=1))


def draw_purchases(
    futures: Futures, *, alive: Array, if_never_left: Array, member: NDArray[np.intp], a: Array, distinct_b: Array
) -> Array:
    """Purchases within the horizon in each common future.

    Parameters
    ----------
    futures : Futures
    alive : ndarray of shape (n_customers, n_futures)
        Probability of being alive under each future's parameters.
    if_never_left : ndarray of shape (n_customers, n_futures)
        Purchases of a customer who is alive and never leaves.
    member : ndarray of shape (n_customers,)
        Which of the distinct rows a customer belongs to.
    a : ndarray of shape (n_futures,)
    distinct_b : ndarray of shape (n_distinct, n_futures)
        Second Beta parameter of p, per distinct count of purchases.
    """
    p = np.clip(betaincinv(a, distinct_b, futures.dropout), _TINY, 1.0 - 1e-16)
    last = 1.0 + np.floor(np.log(futures.stop) / np.log1p(-p))
    return np.where(futures.alive < alive, np.minimum(if_never_left, last[member]), 0.0)
