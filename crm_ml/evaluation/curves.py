"""Frames behind the pictures of a model's quality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import beta

from crm_ml.errors import SchemaError
from crm_ml.evaluation.metrics import mean_over_ties

__all__ = ["calibration_bins", "concentration_curve", "gains_curve"]


def gains_curve(churned: npt.ArrayLike, probability: npt.ArrayLike, *, points: int = 101) -> pd.DataFrame:
    """Return the share of churners reached when the riskiest share of customers is contacted.

    Customers with equal probabilities are reached in no order: the curve is straight among them.

    Parameters
    ----------
    churned : (n,) 1 or 0.
    probability : (n,) predicted probability of churn.
    points : rows of the result, evenly spaced from nobody to everybody.

    Returns
    -------
    DataFrame
        Columns contacted_share and captured_share, both from 0 to 1.

    Examples
    --------
    >>> gains_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], points=3)["captured_share"].tolist()
    [0.0, 0.5, 1.0]
    """
    share = np.linspace(0, 1, points)
    return pd.DataFrame({"contacted_share": share, "captured_share": _captured(churned, probability, share)})


def concentration_curve(value: npt.ArrayLike, *, points: int = 101) -> pd.DataFrame:
    """Return the share of value held by the most valuable share of customers.

    Parameters
    ----------
    value : (n,) at least 0.
    points : rows of the result, evenly spaced from nobody to everybody.

    Returns
    -------
    DataFrame
        Columns customer_share and value_share, both from 0 to 1.

    Examples
    --------
    >>> concentration_curve([6.0, 2.0, 1.0, 1.0], points=5)["value_share"].round(6).tolist()
    [0.0, 0.6, 0.8, 0.9, 1.0]
    """
    share = np.linspace(0, 1, points)
    return pd.DataFrame({"customer_share": share, "value_share": _captured(value, value, share)})


def calibration_bins(
    churned: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 10, level: float = 0.9
) -> pd.DataFrame:
    """Return predicted against observed churn in bins of equal size.

    Parameters
    ----------
    churned : (n,) 1 or 0.
    probability : (n,) predicted probability of churn.
    bins : number of bins.
    level : of the Clopper-Pearson interval for the observed share.

    Returns
    -------
    DataFrame
        Columns predicted, observed, lower, upper (shares) and customers, one row per bin.

    Examples
    --------
    >>> calibration_bins([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], bins=2)["observed"].tolist()
    [0.0, 1.0]
    """
    actual, predicted = np.asarray(churned, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(bins, len(predicted)))
    count = np.array([len(part) for part in parts])
    left = np.array([actual[part].sum() for part in parts])
    tail = (1 - level) / 2
    return pd.DataFrame(
        {
            "predicted": [predicted[part].mean() for part in parts],
            "observed": left / count,
            "lower": np.where(left > 0, beta.ppf(tail, np.maximum(left, 1), count - left + 1), 0.0),
            "upper": np.where(left < count, beta.isf(tail, left + 1, np.maximum(count - left, 1)), 1.0),
            "customers": count,
        }
    )


def _captured(value: npt.ArrayLike, order_by: npt.ArrayLike, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    amounts, rank = np.asarray(value, dtype=np.float64), np.asarray(order_by, dtype=np.float64)
    if not (amounts >= 0).all() or not amounts.sum() > 0:
        raise SchemaError(
            f"A curve of shares needs values of at least 0 that do not add up to 0; {int((amounts > 0).sum()):,} of "
            f"{len(amounts):,} are above 0.\nClip them, or choose customers with some."
        )
    order = np.argsort(-rank, kind="stable")
    held = np.concatenate([[0.0], np.cumsum(mean_over_ties(amounts, rank)[order])])
    reached: npt.NDArray[np.float64] = np.interp(share * len(amounts), np.arange(len(held)), held / held[-1])
    return reached
