"""The mathematics of Gamma-Gamma: how much a customer spends per purchase.

A customer's x repeat purchases average m. Each is Gamma(p, nu) around the customer's own mean, and
nu ~ Gamma(q, gamma) over customers, so the mean has finite expectation over customers only for q > 1.
Spend is taken to be independent of how often a customer buys.

Source: Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value, equations 1a, 5 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, gammaln, zeta

from crm_ml.clv.compiled import loops, sums
from crm_ml.clv.compiled.compiler import MANY_ROWS, compiled, plain
from crm_ml.clv.compiled.elementary import spend_per_purchase
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import count_weights
from crm_ml.clv.likelihood.rising import digamma_rise, gammaln_rise

__all__ = [
    "NAMES",
    "expected_spend",
    "log_likelihood",
    "log_lower",
    "log_upper",
    "objective",
    "population_mean",
    "probability_of_spend_up_to",
    "starts",
]

Array = NDArray[np.float64]

NAMES = ("p", "q", "gamma")
log_lower = np.log([1e-4, 1e-4, 1e-9])
log_upper = np.log([1e5, 1e5, 1e9])


def log_likelihood(x: ArrayLike, m: ArrayLike, *, p: float, q: float, gamma: float) -> Array:
    """Log-density of each mean spend ``m`` over ``x`` repeat purchases, both positive.

    Examples
    --------
    With p = q = 1 and one purchase the density is gamma / (gamma + m)^2:

    >>> log_likelihood(1, 3.0, p=1.0, q=1.0, gamma=1.0).round(6).item()  # log(1 / 16)
    -2.772589
    """
    x, m = np.asarray(x, dtype=float), np.asarray(m, dtype=float)
    total = m * x
    return np.asarray(
        gammaln_rise(p * x, q) - gammaln(q) - q * np.log1p(total / gamma) - p * x * np.log1p(gamma / total) - np.log(m)
    )


def objective(x: Array, m: Array, weight: Array, *, many: bool = False) -> Objective:
    """Log-likelihood of all customers with gradient and Hessian by log(p, q, gamma).

    Gamma functions are evaluated once per distinct x.

    Parameters
    ----------
    x, m, weight : ndarray of shape (n_customers,)
    many : bool, default False
        Whether to sum over the customers with compiled code.
    """
    counts, per_count = count_weights(x, weight, many=many)
    summed = (_compiled_sums if many else _numpy_sums)(x, m, weight)
    log_m = np.log(m)
    constant, purchases = float(weight @ log_m), per_count * counts
    x_total = float(purchases.sum())
    x_log_total = float((weight * x) @ log_m) + float(purchases @ np.log(counts))

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        p, q, gamma = np.exp(theta).tolist()
        log_common, own, both, x_log_common, x_common, x_both = summed(gamma).tolist()
        x_log_own = x_log_common + theta[2] * x_total - x_log_total
        n, k = p * counts, per_count
        far = zeta(2.0, n + q)
        value = float(k @ (gammaln_rise(q, n) - gammaln(n))) - q * log_common - p * x_log_own - constant
        gradient = np.array(
            [
                float((k * n) @ digamma_rise(n, q)) - p * x_log_own,
                q * float(k @ digamma_rise(q, n)) - q * log_common,
                q * own - p * x_common,
            ]
        )
        hessian = np.diag(gradient)
        hessian[0, 0] += float((k * n * n) @ (far - zeta(2.0, n)))
        hessian[1, 1] += q * q * float(k @ (far - zeta(2.0, q)))
        hessian[2, 2] = -q * both - p * x_both
        hessian[0, 1] = hessian[1, 0] = q * float((k * n) @ far)
        hessian[0, 2] = hessian[2, 0] = -p * x_common
        hessian[1, 2] = hessian[2, 1] = q * own
        return value, gradient, hessian

    return evaluate


def _numpy_sums(x: Array, m: Array, weight: Array) -> Callable[[float], Array]:
    """See `sums.spend_sums`."""
    total, weighted_x = x * m, weight * x

    def summed(gamma: float) -> Array:
        z = total / gamma
        common = 1.0 / (1.0 + z)
        stretch, own = np.log1p(z), z * common
        by_weight = np.stack([stretch, own, own * common]) @ weight
        by_purchase = np.stack([stretch, common, own * common]) @ weighted_x
        return np.concatenate([by_weight, by_purchase])

    return summed


def _compiled_sums(x: Array, m: Array, weight: Array) -> Callable[[float], Array]:
    return partial(compiled(sums.spend_sums, sums=True), *plain(x, m, weight))


def starts() -> list[Array]:
    """Log parameters to start from where the mean spend is 1."""
    return [np.log([p, q, (q - 1.0) / p]) for p, q in ((6.0, 4.0), (1.0, 2.0), (30.0, 10.0), (2.0, 1.3))]


def population_mean(*, p: float, q: float, gamma: float) -> float:
    """Mean spend per purchase of a customer about whom nothing is known; infinite for q <= 1.

    Examples
    --------
    >>> round(population_mean(p=6.25, q=3.74, gamma=15.44), 2)
    35.22
    """
    return p * gamma / (q - 1.0) if q > 1.0 else float("inf")


def probability_of_spend_up_to(m: ArrayLike, x: ArrayLike, *, p: float, q: float, gamma: float) -> Array:
    """Probability that a customer's mean over ``x`` repeat purchases is at most ``m``, which may be infinite.

    The total z = x m is Gamma(p x, nu) with nu ~ Gamma(q, gamma), so z / (gamma + z) ~ Beta(p x, q).

    Examples
    --------
    With p = q = 1 and one purchase it is m / (gamma + m):

    >>> probability_of_spend_up_to([0.0, 3.0, np.inf], 1, p=1.0, q=1.0, gamma=1.0).round(6).tolist()
    [0.0, 0.75, 1.0]
    """
    m, x = np.asarray(m, dtype=float), np.asarray(x, dtype=float)
    return np.asarray(betainc(p * x, q, -np.expm1(-np.log1p(x * m / gamma))))


def expected_spend(x: ArrayLike, m: ArrayLike, *, p: float, q: float, gamma: float) -> Array:
    """Return the expected spend per purchase: the customer's own mean drawn towards the population's.

    Customers without a repeat purchase of positive mean spend get the population mean.

    Examples
    --------
    >>> expected_spend([2, 0], [22.35, 0], p=6.25, q=3.74, gamma=15.44).round(2).tolist()
    [24.66, 35.22]
    """
    x, m = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(m, dtype=float))
    if q <= 1.0:
        known = (x > 0) & (m > 0)
        own = spend_per_purchase(np.where(known, x, 1.0), np.where(known, m, 1.0), p, q, gamma)
        return np.where(known, own, np.inf)
    if x.ndim != 1 or len(x) < MANY_ROWS:
        return np.asarray(spend_per_purchase(x, m, p, q, gamma))
    out = np.empty(len(x))
    compiled(loops.spend)(*plain(x, m), p, q, gamma, out)
    return out
