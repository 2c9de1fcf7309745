"""Customers and churners counted by distinct prediction: what every measure of churn is a function of.

Equal predictions are one entry, so no measure depends on the order of rows, and a customer's weight enters here
and nowhere else. Counts may have leading axes, one entry per resample; measures are then arrays of that shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import xlog1py, xlogy

__all__ = ["Tally", "area_under_curve", "average_precision", "brier_score", "lift", "logarithmic_loss"]

Float = npt.NDArray[np.float64]

NEAREST_TO_CERTAIN = 1e-15
"""Predictions are kept so far from 0 and 1 where a logarithm is taken."""


@dataclass(frozen=True)
class Tally:
    """Counts by distinct prediction.

    Attributes
    ----------
    prediction : (m,) float64, strictly ascending.
    churned, stayed : (..., m) float64, weight of those who left and who did not.
    """

    prediction: Float
    churned: Float
    stayed: Float

    @classmethod
    def of(cls, churned: Float, prediction: Float, weights: Float) -> Self:
        """Count n rows; those that weigh nothing leave no entry."""
        counted = weights > 0
        distinct, entry = np.unique(prediction[counted], return_inverse=True)
        left, stayed = np.zeros(len(distinct)), np.zeros(len(distinct))
        np.add.at(left, entry, (weights * churned)[counted])
        np.add.at(stayed, entry, (weights * (1 - churned))[counted])
        return cls(distinct, left, stayed)

    @property
    def customers(self) -> Float:
        """(..., m) weight of all."""
        return self.churned + self.stayed

    @property
    def safe(self) -> Float:
        """(m,) prediction, strictly between 0 and 1."""
        return np.clip(self.prediction, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)


def area_under_curve(tally: Tally) -> Float:
    """Return the share of pairs of one who left and one who stayed in which the first was predicted higher.

    >>> float(area_under_curve(Tally(np.array([0.1, 0.5]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))))
    0.75
    """
    below = np.cumsum(tally.stayed, axis=-1) - tally.stayed / 2
    return _total(tally.churned * below) / (_total(tally.churned) * _total(tally.stayed))


def average_precision(tally: Tally) -> Float:
    """Return the mean over those who left of the churn rate among all predicted as high as they were.

    >>> float(average_precision(Tally(np.array([0.1, 0.5]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))))
    0.5
    """
    reached, found = _from_top(tally.customers), _from_top(tally.churned)
    precision = np.divide(found, reached, out=np.zeros_like(found), where=reached > 0)
    return _total(tally.churned[..., ::-1] * precision) / _total(tally.churned)


def brier_score(tally: Tally) -> Float:
    """Return the mean squared error.

    >>> float(brier_score(Tally(np.array([0.5]), np.array([2.0]), np.array([1.0]))))
    0.25
    """
    p = tally.prediction
    return (tally.churned @ (1 - p) ** 2 + tally.stayed @ p**2) / _total(tally.customers)


def logarithmic_loss(tally: Tally) -> Float:
    """Return the mean negative log likelihood, in nats.

    >>> round(float(logarithmic_loss(Tally(np.array([0.5]), np.array([2.0]), np.array([1.0])))), 6)
    0.693147
    """
    likelihood: Float = np.asarray(xlogy(tally.churned, tally.safe) + xlog1py(tally.stayed, -tally.safe))
    return -_total(likelihood) / _total(tally.customers)


def lift(tally: Tally, *, share: float) -> Float:
    """Return the churn rate among the riskiest share of customers, at least one, over that of all.

    >>> float(lift(Tally(np.array([0.1, 0.5]), np.array([0.0, 1.0]), np.array([1.0, 1.0])), share=0.34))
    1.5
    """
    reached, found = _from_top(tally.customers), _from_top(tally.churned)
    contacted = np.minimum(np.maximum(1.0, np.rint(reached[..., -1:] * share)), reached[..., -1:])
    last = (reached < contacted).sum(axis=-1, keepdims=True)
    size, left = (np.take_along_axis(count[..., ::-1], last, -1) for count in (tally.customers, tally.churned))
    to_spare, found_by = np.take_along_axis(reached, last, -1) - contacted, np.take_along_axis(found, last, -1)
    captured = (found_by - to_spare * left / size) / contacted
    risen: Float = np.asarray(captured[..., 0] / (found[..., -1] / reached[..., -1]))
    return risen


def _from_top(counts: Float) -> Float:
    summed: Float = np.cumsum(counts[..., ::-1], axis=-1)
    return summed


def _total(counts: Float) -> Float:
    summed: Float = counts.sum(axis=-1)
    return summed
