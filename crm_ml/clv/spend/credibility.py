"""How far a customer's own mean spend can be believed beside what a regression expects.

With y = m / mu the mean of x purchases relative to the expectation, customers differ by a factor of variance
``between``, and single purchases scatter around a customer's own level with variance ``within``:

    E[(y - 1)^2] = between + within / x,

and the best linear forecast of the factor is Z y + (1 - Z), Z = between / (between + within / x).

Source: Bühlmann and Straub (1970), Glaubwürdigkeit für Schadensätze, Mitteilungen der Vereinigung
schweizerischer Versicherungsmathematiker 70; with a regression: Ohlsson (2008), Combining Generalized Linear
Models and Credibility Models in Practice, Scandinavian Actuarial Journal 2008(4). Their estimators need the single
purchases; from means alone the two variances are told apart by how the squares fall with x, by the weighted
regression of Davidian and Carroll (1987), Variance Function Estimation, JASA 82. Under Gamma-Gamma, between is
1 / (q - 2) and within (q - 1) / ((q - 2) p), and Z is its own weight, p x / (p x + q - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

__all__ = ["VarianceComponents", "credibility", "variance_components"]

Array = NDArray[np.float64]

_ROUNDS = 20


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of relative spend.

    Attributes
    ----------
    between : float, >= 0
        Of customers around the regression.
    within : float, >= 0
        Of a customer's single purchases.
    notes : tuple of str
        What is doubtful about them, in words.
    """

    between: float
    within: float
    notes: tuple[str, ...]


def variance_components(x: Array, y: Array, weight: Array) -> VarianceComponents:
    """Estimate both variances by non-negative least squares of (y - 1)^2 on 1 and 1 / x.

    Squares of variance v scatter in proportion to v, so they are weighted by 1 / v^2, v from the round before.

    Parameters
    ----------
    x, y, weight : ndarray of shape (n,)
        Purchases, their mean relative to the expectation, customers.

    Returns
    -------
    VarianceComponents
        With ``between`` 0 where all have the same x: nothing then tells the two apart.

    Examples
    --------
    >>> x = np.array([1.0, 1.0, 4.0, 4.0])
    >>> found = variance_components(x, 1 + np.array([1, -1, 0.8, -0.8]) * np.sqrt(0.5), np.ones(4))
    >>> round(found.between, 6), round(found.within, 6)  # 0.5 = b + w and 0.32 = b + w / 4
    (0.26, 0.24)
    """
    squares = (y - 1.0) ** 2
    if np.ptp(x) == 0:
        note = (
            f"Everyone has {x[0]:.0f} repeat purchases: differences between customers cannot be told from those "
            "between purchases, and a customer's own spend is not used in its forecast."
        )
        return VarianceComponents(0.0, float(weight @ squares / weight.sum() * x[0]), (note,))
    terms = np.stack([np.ones_like(x), 1.0 / x], axis=1)
    variance = np.ones_like(x)
    for _ in range(_ROUNDS):
        root = np.sqrt(weight) / variance
        (between, within), _ = nnls(terms * root[:, None], squares * root)
        variance = np.maximum(terms @ (between, within), 1e-12)
    notes = () if between > 0 else ("Customers differ no more than their purchases do: own spend is not used.",)
    return VarianceComponents(float(between), float(within), notes)


def credibility(x: ArrayLike, *, between: float, within: float) -> Array:
    """Weight of the mean of x purchases beside the regression; 0 without any.

    Parameters
    ----------
    x : array_like, >= 0
    between, within : float, >= 0

    Examples
    --------
    >>> credibility([0, 1, 4], between=0.25, within=0.25).tolist()
    [0.0, 0.5, 0.8]
    """
    believed = np.asarray(x, dtype=float) * between
    return np.divide(believed, believed + within, out=np.zeros_like(believed), where=believed > 0)
