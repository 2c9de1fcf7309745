"""Probabilities as they turned out: Kaplan and Meier's curve of where in its distribution each outcome fell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recalibration", "outcome_curve"]

Array = NDArray[np.float64]

KNOTS = np.linspace(0.0, 1.0, 101)

PRIOR_CUSTOMERS = 100.0
"""Customers for whom the distributions are taken to be right, in each group."""


def outcome_curve(before: Array, at: Array, bought: NDArray[np.bool_]) -> Callable[[Array], Array]:
    """Return the distribution of outcomes within their own predicted distributions; right ones give the diagonal.

    A purchase day is a step of the customer's distribution, and its outcome is placed at random within the step,
    by a generator that always starts alike. Whoever has not bought is censored where the distribution has got to,
    and counts by Kaplan and Meier's estimate; the end of the data comes to all alike, so it tells nothing of them.
    Past the last outcome the curve goes on straight to 1.

    Parameters
    ----------
    before, at : ndarray of shape (n,)
        Predicted probability of buying before the purchase day, and up to it; where there was no purchase, `at` is
        that of buying by the end of the data.
    bought : ndarray of shape (n,)

    Returns
    -------
    callable
        From probability to share, for ndarrays.

    References
    ----------
    Kaplan and Meier (1958), JASA 53; Smith (1985), J. of Forecasting 4, for the place within a step.

    Examples
    --------
    >>> curve = outcome_curve(np.zeros(4), np.array([0.2, 0.4, 0.3, 0.8]), np.array([False, False, False, False]))
    >>> curve(np.array([0.5]))
    array([0.5])
    """
    if not bought.any():
        return lambda probability: probability
    from scipy.stats import CensoredData, ecdf

    place = np.where(bought, before + np.random.default_rng(0).random(len(at)) * (at - before), at)
    found = ecdf(CensoredData.right_censored(place, ~bought)).cdf
    last = float(place[bought].max())
    reached = float(found.evaluate(last))

    def curve(probability: Array) -> Array:
        beyond = reached + (1.0 - reached) * (probability - last) / max(1.0 - last, 1e-12)
        return np.where(probability > last, beyond, found.evaluate(np.minimum(probability, last)))

    return curve


@dataclass(frozen=True)
class Recalibration:
    """Probabilities corrected by how earlier ones turned out, in groups of customers.

    Attributes
    ----------
    shares : ndarray of shape (n_groups, len(KNOTS))
        Outcomes found at or below each knot, from 0 to 1, rising; straight between knots.

    Examples
    --------
    >>> kept = Recalibration.none(groups=1)
    >>> kept.apply(np.array([0.25]), np.array([0])).tolist(), kept.undo(np.array([0.9]), np.array([0])).tolist()
    ([0.25], [0.9])
    """

    shares: Array

    @classmethod
    def none(cls, *, groups: int) -> Recalibration:
        """Leave all probabilities as they are."""
        return cls(np.tile(KNOTS, (groups, 1)))

    @classmethod
    def learn(
        cls, before: Array, at: Array, bought: NDArray[np.bool_], group: NDArray[np.intp], *, groups: int
    ) -> Recalibration:
        """Take the curve of each group's outcomes, drawn towards the diagonal by `PRIOR_CUSTOMERS`."""
        shares = np.tile(KNOTS, (groups, 1))
        for own in range(groups):
            rows = group == own
            curve = outcome_curve(before[rows], at[rows], bought[rows])(KNOTS)
            count = int(np.count_nonzero(bought[rows]))
            shares[own] = (count * curve + PRIOR_CUSTOMERS * KNOTS) / (count + PRIOR_CUSTOMERS)
        shares[:, 0], shares[:, -1] = 0.0, 1.0
        return cls(shares)

    def apply(self, probability: Array, group: NDArray[np.intp]) -> Array:
        """Return the corrected probability of each customer."""
        return self._read(probability, group, corrected=True)

    def undo(self, probability: Array, group: NDArray[np.intp]) -> Array:
        """Return the probability of which `apply` makes this one."""
        return self._read(probability, group, corrected=False)

    def _read(self, probability: Array, group: NDArray[np.intp], *, corrected: bool) -> Array:
        result = np.empty(len(probability))
        for own, shares in enumerate(self.shares):
            rows = group == own
            ends = (KNOTS, shares) if corrected else (shares, KNOTS)
            result[rows] = np.interp(probability[rows], *ends)
        return result
