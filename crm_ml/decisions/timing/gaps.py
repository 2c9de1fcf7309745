"""What a customer's own gaps between purchase days say about the next one: the mathematics.

The logarithms of customer i's gaps are Normal(mu_i, v_i), where 1 / v_i ~ Gamma(shape, rate) and
mu_i ~ Normal(mean, v_i / weight) over the shop's customers; after each purchase the customer leaves with the same
p_i ~ Beta(a, b). All is conjugate. With n gaps, their mean and squares about it known, the logarithm of the next gap
is Student's t with 2 shape' degrees of freedom about mean', and the customer has left with probability
a / (a + b + n) before any silence is seen:

    weight' = weight + n,  mean' = (weight mean + Σ log gap) / weight',  shape' = shape + n / 2,
    rate' = rate + squares / 2 + weight n (mean of logs − mean)² / (2 weight').

The open silence enters where it belongs, by conditioning on it: so the prediction is exact for this model. A gap of
whole days d holds the logarithms up to log(d + 1/2).

Source: Gelman et al. (2013), Bayesian Data Analysis, section 3.3, for the gaps; Batislam, Denizel and Filiztekin
(2007), IJRM 24, for leaving after any purchase, the first among them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, stdtr

from crm_ml.errors import ConvergenceError

__all__ = ["GapStatistics", "OwnGaps", "fit_own_gaps"]

Array = NDArray[np.float64]

_BOUNDS = ((-2.0, 10.0), (-6.0, 6.0), (-1.5, 5.0), (-7.0, 7.0), (-7.0, 7.0), (-5.0, 9.0))


@dataclass(frozen=True)
class GapStatistics:
    """What is kept of each customer's gaps, arrays of shape (n,).

    Attributes
    ----------
    gaps : number of gaps between purchase days.
    log_mean : mean of their logarithms (days); anything where there is none.
    log_squares : sum of squares about it.
    silence : whole days without a purchase since the last purchase day.
    """

    gaps: Array
    log_mean: Array
    log_squares: Array
    silence: Array


@dataclass(frozen=True)
class OwnGaps:
    """The shop's distribution of gaps and of leaving.

    Attributes
    ----------
    mean, weight, shape, rate : of the customers' log gaps.
    a, b : of the probability to leave after a purchase.

    Examples
    --------
    Nobody leaves, and gaps are 7 days but for a factor e^±0.1: by then three quarters of the next have come.

    >>> sure = OwnGaps(mean=np.log(7.0), weight=1e6, shape=1e6, rate=1e4, a=1e-9, b=1.0)
    >>> one = GapStatistics(*np.zeros((4, 1)))
    >>> sure.survival(one, np.array([[7.0 * np.exp(0.0674) - 0.5]])).round(2).tolist()
    [[0.25]]
    """

    mean: float
    weight: float
    shape: float
    rate: float
    a: float
    b: float

    def survival(self, known: GapStatistics, days: Array) -> Array:
        """Return the probability of a silence of more than these days, as it was at the last purchase.

        Parameters
        ----------
        known : of n customers; their silence is not looked at.
        days : ndarray of shape (n, g) or (1, g), >= 0
        """
        left = self.a / (self.a + self.b + known.gaps)[:, None]
        return np.asarray(left + (1.0 - left) * self._longer(known, days))

    def _longer(self, known: GapStatistics, days: Array) -> Array:
        weight, shape, centre, rate = self._learnt(known)
        scale = np.sqrt(rate * (weight + 1.0) / (shape * weight))
        return np.asarray(stdtr(2.0 * shape[:, None], (centre[:, None] - np.log(days + 0.5)) / scale[:, None]))

    def _learnt(self, known: GapStatistics) -> tuple[Array, Array, Array, Array]:
        n = known.gaps
        away = np.where(n > 0, known.log_mean - self.mean, 0.0)
        weight = self.weight + n
        rate = self.rate + 0.5 * known.log_squares + 0.5 * self.weight * n * away**2 / weight
        return weight, self.shape + 0.5 * n, self.mean + n * away / weight, rate

    def log_likelihood(self, known: GapStatistics) -> Array:
        """Return the logarithm of the density of each customer's log gaps and of the silence after them."""
        n = known.gaps
        weight, shape, _, rate = self._learnt(known)
        gaps = (
            gammaln(shape)
            - gammaln(self.shape)
            + self.shape * np.log(self.rate)
            - shape * np.log(rate)
            + 0.5 * np.log(self.weight / weight)
            - 0.5 * n * np.log(2.0 * np.pi)
        )
        stayed = betaln(self.a, self.b + n) - betaln(self.a, self.b)
        return np.asarray(gaps + stayed + np.log(self.survival(known, known.silence[:, None])[:, 0]))

    def to_dict(self) -> dict[str, float]:
        """Return the parameters."""
        return asdict(self)


def fit_own_gaps(known: GapStatistics) -> OwnGaps:
    """Return the shop's distribution that makes its customers' gaps and silences likeliest.

    Parameters
    ----------
    known : of the customers to learn from.

    Raises
    ------
    ConvergenceError
        If nobody has a gap, or the likelihood has no finite maximum.
    """
    some = known.gaps > 0
    if not some.any():
        raise ConvergenceError(
            f"Somebody must have bought on two days; none of {len(some):,} customers did.\nTake a longer history."
        )

    def loss(theta: Array) -> float:
        return -float(np.mean(_at(theta).log_likelihood(known)))

    centre = float(np.average(known.log_mean[some], weights=known.gaps[some]))
    start = np.array([centre, 0.0, 0.7, 0.0, -1.0, 1.0])
    found = minimize(loss, start, method="L-BFGS-B", bounds=_BOUNDS)
    if not np.isfinite(found.fun):
        raise ConvergenceError(f"The likelihood of the gaps must be finite; it is {found.fun}.\nCheck the history.")
    return _at(found.x)


def _at(theta: Array) -> OwnGaps:
    mean, (weight, shape, rate, a, b) = theta[0], np.exp(theta[1:])
    return OwnGaps(*map(float, (mean, weight, shape, rate, a, b)))
