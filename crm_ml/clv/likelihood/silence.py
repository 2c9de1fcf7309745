"""Silence of a customer whose purchases are every k-th event of a Poisson process.

Gaps between purchases are then Erlang-k, more regular than chance. With lambda ~ Gamma(shape, rate) as of the
last purchase, and y the time since then, the number of events since is negative binomial:

    P(j events within y) = (1 - q)^shape × (shape)_j / j! × q^j,  q = y / (rate + y).

A silent customer has had fewer than k events. `stage_sum` is the factor by which this exceeds k = 1, and
`stage_weights` says how far an alive customer has come towards the next purchase.

Source: Platzer and Reutterer (2016), Ticking Away the Moments, Marketing Science 35(5), appendix; the sums
are written out here over the number of events, which keeps every term positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["StageSum", "log_stage_sum", "stage_sum", "stage_weights"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StageSum:
    """Logarithm of the sum over stages with its derivatives by log(r) and log(alpha).

    Attributes
    ----------
    value : ndarray of shape (n,)
    slopes : ndarray of shape (2, n)
    curvatures : ndarray of shape (2, 2, n)
    """

    value: Array
    slopes: Array
    curvatures: Array

    def where(self, chosen: slice | NDArray[np.intp]) -> StageSum:
        """Keep some of the histories."""
        return StageSum(self.value[chosen], self.slopes[:, chosen], self.curvatures[:, :, chosen])


def log_stage_sum(shape: Array, q: Array, *, k: int) -> Array:
    """Logarithm of the sum over j < k of (shape)_j / j! × q^j; 0 for k = 1.

    Parameters
    ----------
    shape, q : ndarray, broadcastable
        Of the purchase rate as of the last purchase; share of the time since then, in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(log_stage_sum(np.array(2.0), np.array(0.5), k=3)).round(12).item()  # 1 + 2 q + 3 q^2
    2.75
    """
    beyond, term = np.zeros(np.broadcast(shape, q).shape), np.asarray(1.0)
    for j in range(1, k):
        term = term * ((shape + (j - 1)) * q / j)
        beyond = beyond + term
    return np.log1p(beyond)


def stage_weights(shape: Array, q: Array, *, k: int) -> Array:
    """Probability that an alive, silent customer has come j of k events towards the next purchase.

    Returns
    -------
    ndarray of shape (k, ...)

    Examples
    --------
    >>> import numpy as np
    >>> (stage_weights(np.array([2.0]), np.array([0.5]), k=3)[:, 0] * 2.75).round(12).tolist()
    [1.0, 1.0, 0.75]
    """
    terms = [np.ones(np.broadcast(shape, q).shape)]
    for j in range(1, k):
        terms.append(terms[-1] * ((shape + (j - 1)) * q / j))
    weights = np.stack(terms)
    return np.asarray(weights / weights.sum(axis=0))


def stage_sum(x: Array, t_x: Array, T: Array, *, k: int, r: float | Array, alpha: float | Array) -> StageSum:
    """Return `log_stage_sum` of histories with its derivatives.

    Parameters
    ----------
    x, t_x, T : ndarray of shape (n,)
    r, alpha : float or ndarray of shape (n,)
    """
    shape, q, share = r + k * x, (T - t_x) / (alpha + T), alpha / (alpha + T)
    term, rise, rise_slope = np.ones_like(q), np.zeros_like(q), np.zeros_like(q)
    total, of_j, of_jj, of_d, of_dd, of_jd = np.ones_like(q), *np.zeros((5, *q.shape))
    for j in range(1, k):
        past = shape + (j - 1)
        term, rise, rise_slope = term * (past * q / j), rise + 1.0 / past, rise_slope - past**-2.0
        total, of_j, of_jj = total + term, of_j + j * term, of_jj + j * j * term
        of_d, of_dd, of_jd = of_d + term * rise, of_dd + term * (rise * rise + rise_slope), of_jd + j * term * rise
    of_j, of_jj, of_d, of_dd, of_jd = (moment / total for moment in (of_j, of_jj, of_d, of_dd, of_jd))
    cross = -r * share * (of_jd - of_j * of_d)
    by_r = r * of_d + r * r * (of_dd - of_d * of_d)
    by_alpha = share * share * (of_jj - of_j * of_j) - share * (1.0 - share) * of_j
    return StageSum(
        value=log_stage_sum(shape, q, k=k),
        slopes=np.stack([r * of_d, -share * of_j]),
        curvatures=np.array([[by_r, cross], [cross, by_alpha]]),
    )
