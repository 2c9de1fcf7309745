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
    "dropout_grid",
    "last_purchase",
    "purchases_while_alive",
    "shared_grid",
    "through_cells",
]

Array = NDArray[np.float64]

_STEP = 0.25  # in log-odds of p; the error of the rule is about exp(-pi^2 / step)
_LOG_EPS = 40.0  # what is left out is below exp(-40) of the whole
_CELL_NODES = 16
_TINY = 1e-200  # its product with any time is a normal number


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
    p, weights = shared_grid(a, np.array([b]), span=(b, b), reach=reach)
    kept = weights[0] > 0.0
    return p[kept], weights[0, kept]


def shared_grid(a: float, b: Array, *, span: tuple[float, float], reach: float) -> tuple[Array, Array]:
    """As `dropout_grid` for several second parameters, of which the least and the greatest set the nodes.

    Parameters
    ----------
    a : float, > 0
    b : ndarray of shape (n,)
    span : tuple of float
        Ends between which every ``b`` lies.
    reach : float, >= 0

    Returns
    -------
    tuple of ndarray of shape (n_nodes,) and (n, n_nodes)
        p, and for each ``b`` weights that sum to one.
    """
    least, greatest = span
    low = min(np.log(a) - np.log(greatest), -np.log1p(greatest), -np.log1p(reach)) - 3.0
    high = max(np.log(a) - np.log(least), np.log1p(a)) + 3.0
    step = min(_STEP, 0.5 * np.sqrt(1.0 / a + 1.0 / greatest))
    # Beyond [low, high] the density falls like exp(a s) and exp(-b s): exponential strides reach its end.
    start, end = low - np.log1p(_LOG_EPS / a), high + np.log1p(_LOG_EPS / least)
    n_nodes = int(np.ceil((end - start) / step)) + 1
    v = np.linspace(start, end, n_nodes)
    below, above = np.exp(low - v), np.exp(v - high)
    log_odds = v - below + above
    log_density = -a * np.logaddexp(0.0, -log_odds) - b[:, None] * np.logaddexp(0.0, log_odds)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True)) * (1.0 + below + above)
    p = np.exp(-np.logaddexp(0.0, -log_odds))
    return np.maximum(p, _TINY), density / density.sum(axis=1, keepdims=True)


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


def last_purchase(futures: Futures, a: Array, b: Array) -> Array:
    """Return the purchase after which an alive customer leaves, counted from now, in each common future.

    Parameters
    ----------
    futures : Futures
    a : ndarray of shape (n_futures,)
    b : ndarray of shape (n_distinct, n_futures)
        Second Beta parameter of p, per distinct count of purchases.

    Returns
    -------
    ndarray of shape (n_distinct, n_futures)
    """
    p = np.clip(betaincinv(a, b, futures.dropout), _TINY, 1.0 - 1e-16)
    return np.asarray(1.0 + np.floor(np.log(futures.stop) / np.log1p(-p)))
