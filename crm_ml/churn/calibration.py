"""Sigmoid calibration with the uncertainty of its own two parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri

__all__ = ["Calibrated", "Sigmoid", "fit_sigmoid"]

Float = npt.NDArray[np.float64]

LEVEL = 0.9
"""Level of the interval around a calibrated probability."""


class Calibrated(NamedTuple):
    """A probability and the bounds of its interval, each (n,) in (0, 1)."""

    probability: Float
    lower: Float
    upper: Float


@dataclass(frozen=True)
class Sigmoid:
    """``P = 1 / (1 + exp(−(intercept + slope × logit p)))`` (Platt 1999; on the log odds, Cox 1958).

    Attributes
    ----------
    intercept, slope : parameters; 0 and 1 leave a probability as it is.
    covariance : (2, 2) as nested tuples, of intercept and slope.
    """

    intercept: float
    slope: float
    covariance: tuple[tuple[float, float], tuple[float, float]]

    def __call__(self, probability: Float) -> Calibrated:
        """Return the calibrated probability of each raw one, with a 90 % interval.

        The interval holds the uncertainty of the calibration (delta method on the log odds), not that
        of the model beneath it nor of a change in customers' behaviour.
        """
        odds = _log_odds(probability)
        design = np.column_stack([np.ones_like(odds), odds])
        spread = np.sqrt(np.einsum("ni,ij,nj->n", design, np.array(self.covariance), design))
        centre = self.intercept + self.slope * odds
        reach = ndtri((1 + LEVEL) / 2) * spread
        return Calibrated(expit(centre), expit(centre - reach), expit(centre + reach))


def fit_sigmoid(probability: Float, churned: Float) -> Sigmoid:
    """Fit the calibration on customers the model was not trained on.

    Parameters
    ----------
    probability : (n,) raw probability.
    churned : (n,) 1 or 0, both present.

    Examples
    --------
    >>> raw = np.repeat([0.2, 0.8], 100)
    >>> left = np.tile(np.arange(100), 2) < np.repeat([40, 60], 100)
    >>> fit_sigmoid(raw, left.astype(float))(np.array([0.2, 0.8])).probability.round(4).tolist()
    [0.4, 0.6]
    """
    from sklearn.linear_model import LogisticRegression

    odds = _log_odds(probability)
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(odds[:, None], churned)
    intercept, slope = float(fitted.intercept_[0]), float(fitted.coef_[0, 0])
    design = np.column_stack([np.ones_like(odds), odds])
    p = expit(intercept + slope * odds)
    covariance = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    return Sigmoid(intercept, slope, tuple(map(tuple, covariance.tolist())))  # type: ignore[arg-type]  # 2 × 2


def _log_odds(probability: Float) -> Float:
    odds: Float = logit(np.clip(probability, 1e-9, 1 - 1e-9))
    return odds
