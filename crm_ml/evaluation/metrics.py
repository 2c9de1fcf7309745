"""How right predictions of churn and of value were."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError

__all__ = ["churn_metrics", "mean_over_ties", "value_metrics"]

Float = npt.NDArray[np.float64]


def churn_metrics(churned: npt.ArrayLike, probability: npt.ArrayLike) -> dict[str, float]:
    """Return the measures of a churn prediction.

    Parameters
    ----------
    churned : (n,) 1 where the customer bought nothing in the horizon, else 0; both must occur.
    probability : (n,) predicted probability of churn.

    Returns
    -------
    dict
        ``auc``, ``average_precision``, ``brier``, ``log_loss``; ``calibration_error``, the mean absolute
        difference between predicted and observed share over ten bins of equal size; ``calibration_bias``,
        mean prediction − observed share; ``lift_10``, the churn rate among the riskiest 10 % over the
        base rate. Customers with equal predictions count at their mean, so row order never matters.

    Examples
    --------
    >>> found = churn_metrics([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> found["auc"], round(found["brier"], 6)
    (0.75, 0.158125)
    """
    from sklearn import metrics

    actual, predicted = _pair(churned, probability, name="probability")
    if set(np.unique(actual)) != {0.0, 1.0}:
        raise SchemaError(
            f"Churn can be judged only where some left and some stayed; {int(actual.sum()):,} of "
            f"{len(actual):,} left.\nChoose a window in which both occur."
        )
    safe = np.clip(predicted, 1e-15, 1 - 1e-15)
    expected = mean_over_ties(actual, predicted)
    riskiest = np.argsort(-predicted, kind="stable")[: max(1, round(len(predicted) / 10))]
    return {
        "auc": float(metrics.roc_auc_score(actual, predicted)),
        "average_precision": float(metrics.average_precision_score(actual, predicted)),
        "brier": float(np.mean((predicted - actual) ** 2)),
        "log_loss": float(metrics.log_loss(actual, safe)),
        "calibration_error": _calibration_error(expected, predicted, bins=10),
        "calibration_bias": float(predicted.mean() - actual.mean()),
        "lift_10": float(expected[riskiest].mean() / actual.mean()),
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


def _calibration_error(actual: Float, predicted: Float, *, bins: int) -> float:
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(bins, len(predicted)))
    return float(sum(abs(predicted[p].mean() - actual[p].mean()) * len(p) for p in parts) / len(actual))


def _gini(truth: Float, order_by: Float) -> float:
    expected = mean_over_ties(truth, order_by)
    captured = np.cumsum(expected[np.argsort(-order_by, kind="stable")]) / truth.sum() if truth.sum() else truth
    return float(captured.mean() - (len(truth) + 1) / (2 * len(truth)))
