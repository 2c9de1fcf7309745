"""The mathematics of gaps between purchases: how many of each length a customer is expected to show.

A customer observed until T since the first purchase shows a gap of length g where a purchase at s <= T - g
is followed by the next at s + g. Given the rates, purchases up to T - g that leave the customer alive begin
one each, so the density of gaps of length g is

    f(g) × (1 + E[X(T - g)]) × (chance to stay or survive),

with f the density of the time between purchases and X the repeat purchases of a new customer. Taking the
expectation over the rates, f and the chance only move the parameters of their distributions:

- dropout after a purchase (BG/NBD and its kin): lambda^k exp(-lambda g) turns Gamma(r, alpha) into
  Gamma(r + k, alpha + g), and 1 - p turns Beta(a, b) into Beta(a, b + 1). The first purchase is no occasion
  to leave unless ``modified``; otherwise its gap has no factor 1 - p.
- dropout at any moment (Pareto/NBD): likewise with Gamma(r + 1, alpha + g), and exp(-mu g), surviving the
  gap, turns Gamma(s, beta) into Gamma(s, beta + g).

So right-censoring is in the formula: a long gap is seldom seen because the observation must hold it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

from crm_ml.clv.likelihood.exponential_dropout import discounted_lifetime
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.processes.geometric_dropout import through_cells

__all__ = ["gaps_with_exponential_dropout", "gaps_with_geometric_dropout"]

Array = NDArray[np.float64]

_CELLS_PER_OCTAVE = 4


def gaps_with_geometric_dropout(
    g: Array, T: Array, *, r: float, alpha: float, a: float, b: float, k: int = 1, modified: bool = False
) -> Array:
    """Return the expected number of gaps per unit of length ``g`` of a new customer observed until ``T``.

    Parameters
    ----------
    g : ndarray, in (0, T]
    T : ndarray, of the same shape

    Examples
    --------
    A customer sure to buy only twice (p = 1) at rates Gamma(1, 1): the density is 1 / (1 + g)^2.

    >>> sure = dict(r=1.0, alpha=1.0, a=1e9, b=1e-3)
    >>> gaps_with_geometric_dropout(np.array([1.0]), np.array([9.0]), **sure).round(6).tolist()
    [0.25]
    """
    log_density = xlogy(k - 1.0, g / (alpha + g)) - (r + 1.0) * np.log1p(g / alpha) - np.log(alpha) - betaln(r, k)

    def repeats(stretch: Array) -> Array:
        ahead = stretch - 1.0
        return bg_nbd.expected_purchases_new_customer(ahead, r=r + k, alpha=1.0, a=a, b=b + 1.0, k=k, modified=modified)

    later = through_cells(repeats, (alpha + T) / (alpha + g), per_octave=_CELLS_PER_OCTAVE)
    stays = b / (a + b)
    return np.asarray(np.exp(log_density) * ((stays if modified else 1.0) + stays * later))


def gaps_with_exponential_dropout(g: Array, T: Array, *, r: float, alpha: float, s: float, beta: float) -> Array:
    """Return the expected number of gaps per unit of length ``g`` of a new customer observed until ``T``.

    Examples
    --------
    A customer who stays (s near 0) and is observed just for the gap: the density is r alpha^r / (alpha + g)^(r + 1).

    >>> stays = dict(r=1.0, alpha=1.0, s=1e-12, beta=1.0)
    >>> gaps_with_exponential_dropout(np.array([1.0]), np.array([1.0]), **stays).round(6).tolist()
    [0.25]
    """
    log_density = np.log(r / alpha) - (r + 1.0) * np.log1p(g / alpha) - s * np.log1p(g / beta)
    alive = discounted_lifetime(T - g, discount_rate=0.0, s=s, beta=beta + g)
    return np.asarray(np.exp(log_density) * (1.0 + (r + 1.0) / (alpha + g) * alive))
