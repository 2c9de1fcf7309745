"""The possibility of having left, in the likelihood of every process whose leaving is averaged out numerically."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["possibility_of_leaving"]

Array = NDArray[np.float64]


def possibility_of_leaving(
    chunks: Iterable[tuple[NDArray[np.intp], Array, Array, Array]], weight: Array
) -> tuple[float, Array, Array]:
    """Sum log(1 + exp(u)) over customers, u the log-odds of having left, with gradient and Hessian.

    Parameters
    ----------
    chunks : iterable of (rows, u, slopes, bends)
        Customers with a silence, their u of shape (n_chunk,), and its derivatives by four log parameters, of shapes
        (4, n_chunk) and (4, 4, n_chunk).
    weight : ndarray of shape (n,)
        Of all customers; those of no chunk have u = -inf.

    Examples
    --------
    >>> chunk = np.array([1]), np.zeros(1), np.ones((4, 1)), np.zeros((4, 4, 1))
    >>> value, gradient, hessian = possibility_of_leaving([chunk], np.array([5.0, 2.0]))
    >>> round(value, 6), gradient.tolist(), float(hessian[0, 0])  # 2 log(2)
    (1.386294, [1.0, 1.0, 1.0, 1.0], 0.5)
    """
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    for rows, u, slopes, bends in chunks:
        customers = weight[rows]
        pull, spread = customers * expit(u), customers * expit(u) * expit(-u)
        value += float(customers @ np.logaddexp(0.0, u))
        gradient += slopes @ pull
        hessian += (slopes * spread) @ slopes.T + bends @ pull
    return value, gradient, hessian
