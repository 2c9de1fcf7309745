"""How far predicted probabilities of churn are from what came, apart from how well they order customers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from crm_ml.evaluation.measures.tally import Tally, brier_score

__all__ = ["BrierParts", "Recalibration", "brier_parts", "calibration_error", "recalibration"]

Float = npt.NDArray[np.float64]


class BrierParts(NamedTuple):
    """Brier score = miscalibration − discrimination + uncertainty, exactly."""

    miscalibration: float
    discrimination: float
    uncertainty: float


def brier_parts(tally: Tally) -> BrierParts:
    """Return what the Brier score is made of, without bins (Dimitriadis, Gneiting and Jordan 2021, CORP).

    The observed churn rate, made to rise with the prediction by isotonic regression, is the best calibrated
    prediction of the same order. Miscalibration is what the score would gain by it, discrimination what it is
    better by than the base rate for all; both are at least 0.

    Examples
    --------
    >>> parts = brier_parts(Tally.of(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.3, 0.3, 0.8]), np.ones(4)))
    >>> tuple(round(part, 6) for part in parts)
    (0.0325, 0.125, 0.25)
    """
    customers = tally.customers
    rate = isotonic_regression(tally.churned / customers, weights=customers).x
    base = tally.churned.sum() / customers.sum()
    score, calibrated, uncertainty = (
        float(brier_score(Tally(prediction, tally.churned, tally.stayed)))
        for prediction in (tally.prediction, rate, np.full_like(rate, base))
    )
    return BrierParts(score - calibrated, uncertainty - calibrated, uncertainty)


class Recalibration(NamedTuple):
    """``logit P(churn) = intercept + slope × logit prediction``; 0 and 1 for calibrated predictions."""

    intercept: float
    slope: float


def recalibration(tally: Tally) -> Recalibration:
    """Return the line on the log odds that would recalibrate the predictions, by maximum likelihood (Cox 1958).

    A slope below 1 says that predictions are too extreme, above 1 that they are too timid. Where predictions tell
    all who left from all who stayed, the slope is infinite (negative if the wrong way round) and the intercept
    missing; where all are equal, both are missing.

    Examples
    --------
    >>> halved = Tally(expit(np.array([-2.0, 2.0])), 100 * expit(np.array([-1.0, 1.0])), 100 * expit([1.0, -1.0]))
    >>> tuple(round(found, 6) + 0.0 for found in recalibration(halved))
    (0.0, 0.5)
    """
    odds = logit(tally.safe)
    left, stayed = odds[tally.churned > 0], odds[tally.stayed > 0]
    if odds[0] == odds[-1]:
        return Recalibration(np.nan, np.nan)
    if left.min() >= stayed.max() or left.max() <= stayed.min():
        return Recalibration(np.nan, np.inf if left.min() >= stayed.max() else -np.inf)
    customers = tally.customers
    centre = np.average(odds, weights=customers)
    spread = np.sqrt(np.average((odds - centre) ** 2, weights=customers))
    level, slope = _logistic_line((odds - centre) / spread, tally.churned, customers)
    return Recalibration(float(level - slope * centre / spread), float(slope / spread))


def calibration_error(tally: Tally, *, bins: int) -> float:
    """Return the mean distance of predicted from observed churn over bins of equal size.

    A prediction that straddles two bins gives to each in proportion.

    Examples
    --------
    >>> tally = Tally(np.array([0.1, 0.6]), np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    >>> round(calibration_error(tally, bins=2), 6)
    0.25
    """
    customers = tally.customers
    reached = np.concatenate([[0.0], np.cumsum(customers)])
    bins = max(1, min(bins, round(reached[-1])))
    size = reached[-1] // bins
    first = np.arange(bins + 1)
    edges = size * first + np.minimum(first, reached[-1] - size * bins)  # the first bins take what is over
    surplus = np.concatenate([[0.0], np.cumsum(customers * tally.prediction - tally.churned)])
    return float(np.abs(np.diff(np.interp(edges, reached, surplus))).sum() / reached[-1])


def _logistic_line(x: Float, churned: Float, customers: Float) -> tuple[float, float]:
    """Maximise the likelihood of ``logit P = level + slope × x`` by Newton's steps, halved where they lead down.

    The likelihood is concave and, as neither outcome is told apart by `x`, has one maximum.
    """

    def likelihood(line: Float) -> float:
        drawn = line[0] + line[1] * x
        return float(churned @ drawn - customers @ np.logaddexp(0.0, drawn))

    line, reached = np.zeros(2), likelihood(np.zeros(2))
    for _ in range(100):
        p = expit(line[0] + line[1] * x)
        missed, weight = churned - customers * p, customers * p * (1 - p)
        slant = weight @ x
        step = np.linalg.solve([[weight.sum(), slant], [slant, weight @ x**2]], [missed.sum(), missed @ x])
        while (further := likelihood(line + step)) < reached and np.abs(step).max() > 1e-12:
            step = step / 2
        line, reached = line + step, further
        if np.abs(step).max() <= 1e-9 * (1 + np.abs(line).max()):
            break
    return float(line[0]), float(line[1])
