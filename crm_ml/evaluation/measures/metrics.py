"""How right predictions of churn and of value were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError
from crm_ml.evaluation.measures.calibration import brier_parts, calibration_error, recalibration
from crm_ml.evaluation.measures.tally import (
    Tally,
    area_under_curve,
    average_precision,
    brier_score,
    lift,
    logarithmic_loss,
)

__all__ = ["CHURN_MEASURES", "churn_metrics", "mean_over_ties", "value_metrics"]

Float = npt.NDArray[np.float64]

CHURN_MEASURES: Mapping[str, Callable[[Tally], Float]] = {
    "auc": area_under_curve,
    "average_precision": average_precision,
    "brier": brier_score,
    "log_loss": logarithmic_loss,
    "lift_1": partial(lift, share=0.01),
    "lift_5": partial(lift, share=0.05),
    "lift_10": partial(lift, share=0.10),
    "lift_20": partial(lift, share=0.20),
}
"""Measures of churn that many resamples can be given at once."""


def churn_metrics(
    churned: npt.ArrayLike, probability: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> dict[str, float]:
    """Return the measures of a churn prediction.

    Customers with equal predictions count at their mean, so row order never matters.

    Parameters
    ----------
    churned : (n,) 1 where the customer bought nothing in the horizon, else 0; both must occur.
    probability : (n,) predicted probability of churn.
    weights : (n,) how often each row counts, at least 0; a weight of 2 is the row given twice.

    Returns
    -------
    dict
        ``auc`` and ``average_precision``, of the order; ``lift_1``, ``lift_5``, ``lift_10`` and ``lift_20``, the
        churn rate among the riskiest 1, 5, 10 and 20 % over the base rate.

        ``brier`` and ``log_loss``, of the probabilities; the Brier score is ``brier_miscalibration`` −
        ``brier_discrimination`` + ``brier_uncertainty``, exactly and without bins: what recalibrating by isotonic
        regression would gain, what that is better by than the base rate, and the score of the base rate
        (Dimitriadis, Gneiting and Jordan 2021).

        ``calibration_error``, the mean absolute difference between predicted and observed share over ten bins of
        equal size; ``calibration_bias``, mean prediction − observed share; ``calibration_intercept`` and
        ``calibration_slope``, of the line on the log odds that would recalibrate (Cox 1958): 0 and 1 are best, a
        slope below 1 says too extreme. The slope is infinite where predictions tell all who left from all who
        stayed, and missing where all are equal; the intercept is missing in both cases.

    Raises
    ------
    SchemaError
        Lengths differ, a number is not finite, an outcome is not 0 or 1 or only one of them occurs, or a weight
        is negative.

    Examples
    --------
    >>> found = churn_metrics([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> found["auc"], round(found["brier"], 6)
    (0.75, 0.158125)
    """
    actual, predicted = _pair(churned, probability, name="probability")
    counts = np.ones_like(actual) if weights is None else _pair(actual, weights, name="weights")[1]
    if (counts < 0).any():
        raise SchemaError(
            f"`weights` must be at least 0; {int((counts < 0).sum()):,} of {len(counts):,} are not.\n"
            "Give how often each customer counts."
        )
    occurring = set(np.unique(actual[counts > 0]))
    if occurring != {0.0, 1.0}:
        raise SchemaError(
            f"Churn can be judged only where some left and some stayed; {int(actual.sum()):,} of "
            f"{len(actual):,} left.\nChoose a window in which both occur."
        )
    tally = Tally.of(actual, predicted, counts)
    parts, line = brier_parts(tally), recalibration(tally)
    return {name: float(measure(tally)) for name, measure in CHURN_MEASURES.items()} | {
        "brier_miscalibration": parts.miscalibration,
        "brier_discrimination": parts.discrimination,
        "brier_uncertainty": parts.uncertainty,
        "calibration_error": calibration_error(tally, bins=10),
        "calibration_bias": float(np.average(predicted - actual, weights=counts)),
        "calibration_intercept": line.intercept,
        "calibration_slope": line.slope,
    }


def value_metrics(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> dict[str, float]:
    """Return the measures of a prediction of spend or purchases.

    Parameters
    ----------
    actual, predicted : (n,) in the same unit.

    Returns
    -------
    dict
        ``mae`` and ``rmse`` in that unit; ``bias``, total predicted / total actual − 1;
        ``top_decile_capture``, the share of all actual value that came from the tenth of customers with
        the highest prediction; ``gini``, the Gini coefficient of the predicted order over that of the
        perfect order (1 is perfect, 0 random). Customers with equal predictions count at their mean.

    Examples
    --------
    >>> round(value_metrics([0.0, 10.0, 30.0], [10.0, 10.0, 28.0])["bias"], 6)
    0.2
    """
    truth, guess = _pair(actual, predicted, name="predicted")
    best = np.argsort(-guess, kind="stable")[: max(1, round(len(guess) / 10))]
    total = truth.sum()
    perfect = _gini(truth, truth)
    return {
        "mae": float(np.mean(np.abs(guess - truth))),
        "rmse": float(np.sqrt(np.mean((guess - truth) ** 2))),
        "bias": float(guess.sum() / total - 1) if total else float("nan"),
        "top_decile_capture": float(mean_over_ties(truth, guess)[best].sum() / total) if total else float("nan"),
        "gini": _gini(truth, guess) / perfect if perfect else float("nan"),
    }


def mean_over_ties(values: Float, order_by: Float) -> Float:
    """Return the values with each replaced by the mean over all that `order_by` does not tell apart.

    >>> mean_over_ties(np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.9])).tolist()
    [0.5, 0.5, 1.0]
    """
    _, group = np.unique(order_by, return_inverse=True)
    means: Float = (np.bincount(group, weights=values) / np.bincount(group))[group]
    return means


def _pair(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, name: str) -> tuple[Float, Float]:
    truth, guess = np.asarray(actual, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if truth.shape != guess.shape or truth.ndim != 1 or len(truth) == 0:
        raise SchemaError(
            f"`actual` and `{name}` must have one value per customer; got {truth.shape} and {guess.shape}.\n"
            "Align them by customer_id."
        )
    if not np.isfinite(truth).all() or not np.isfinite(guess).all():
        raise SchemaError(
            f"`{name}` and the truth must be finite; {int((~np.isfinite(guess)).sum()):,} and "
            f"{int((~np.isfinite(truth)).sum()):,} values are not.\nLeave those customers out."
        )
    return truth, guess


def _gini(truth: Float, order_by: Float) -> float:
    expected = mean_over_ties(truth, order_by)
    captured = np.cumsum(expected[np.argsort(-order_by, kind="stable")]) / truth.sum() if truth.sum() else truth
    return float(captured.mean() - (len(truth) + 1) / (2 * len(truth)))
