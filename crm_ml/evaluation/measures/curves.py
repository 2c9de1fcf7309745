"""Frames behind the pictures of a model's quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import beta

from crm_ml.errors import SchemaError
from crm_ml.evaluation.measures.tally import Tally

__all__ = [
    "Predictions",
    "by_predictor",
    "calibration_bins",
    "concentration_curve",
    "gains_curve",
    "lift_curve",
    "ranked",
    "running_total",
    "tally_bins",
]

Predictions = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""One predictor's (n,) probabilities, or those of several by name, all of the same customers."""

Float = npt.NDArray[np.float64]
Integer = npt.NDArray[np.intp]


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


def lift_curve(churned: npt.ArrayLike, probability: npt.ArrayLike, *, points: int = 100) -> pd.DataFrame:
    """Return how many times more churners are reached than at random when the riskiest share is contacted.

    Parameters
    ----------
    churned : (n,) 1 or 0.
    probability : (n,) predicted probability of churn; customers with equal ones are reached in no order.
    points : rows of the result, evenly spaced up to everybody.

    Returns
    -------
    DataFrame
        Columns contacted_share, from 1 / `points` to 1, and lift, the churn rate among the contacted over that
        of all, at least 0 and 1 where everybody is contacted.

    Examples
    --------
    >>> lift_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], points=4)["lift"].round(6).tolist()
    [2.0, 1.0, 1.333333, 1.0]
    """
    share = np.arange(1, points + 1) / points
    return pd.DataFrame({"contacted_share": share, "lift": _captured(churned, probability, share) / share})


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
    """Return predicted against observed churn in bins as equal in size as ties allow.

    Customers with equal probabilities share a bin, so row order never matters and each count is one of whole
    customers; where many are equal there are fewer bins.

    Parameters
    ----------
    churned : (n,) 1 or 0.
    probability : (n,) predicted probability of churn.
    bins : number of bins, at most.
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
    return tally_bins(Tally.of(actual, predicted, np.ones_like(actual)), bins=bins, level=level)


def tally_bins(tally: Tally, *, bins: int = 10, level: float = 0.9) -> pd.DataFrame:
    """Return `calibration_bins` of customers counted by prediction, each a whole number of times."""
    reached = np.concatenate([[0.0], np.cumsum(tally.customers)])
    even = np.ceil(np.arange(bins + 1) * reached[-1] / bins)
    places = np.unique(np.searchsorted(reached, even))
    count = np.diff(reached[places])
    left = np.diff(running_total(tally.churned, places))
    tail = (1 - level) / 2
    return pd.DataFrame(
        {
            "predicted": np.diff(running_total(tally.prediction * tally.customers, places)) / count,
            "observed": left / count,
            "lower": np.where(left > 0, beta.ppf(tail, np.maximum(left, 1), count - left + 1), 0.0),
            "upper": np.where(left < count, beta.isf(tail, left + 1, np.maximum(count - left, 1)), 1.0),
            "customers": count.astype(np.int64),
        }
    )


def by_predictor(frame: Callable[[npt.ArrayLike], pd.DataFrame], predictions: Predictions) -> pd.DataFrame:
    """Return the frames of several predictors, one below the other, with a first column that says whose.

    Parameters
    ----------
    frame : makes the frame of one predictor's (n,) probabilities, such as a curve.
    predictions : probabilities by name of the predictor, or those of a single one, which is called "model".

    Examples
    --------
    >>> risk = {"model": [0.9, 0.1], "recency": [0.2, 0.3]}
    >>> found = by_predictor(lambda p: lift_curve([1, 0], p, points=2), risk)
    >>> found["predictor"].tolist(), found["lift"].tolist()
    (['model', 'model', 'recency', 'recency'], [2.0, 1.0, 0.0, 1.0])
    """
    named = predictions if isinstance(predictions, Mapping) else {"model": predictions}
    frames = {name: frame(probability) for name, probability in named.items()}
    return pd.concat(frames, names=["predictor"]).reset_index("predictor").reset_index(drop=True)


def ranked(score: Float) -> tuple[Integer, Integer]:
    """Return the order from the highest score to the lowest, and the places in it where no tie is cut.

    Parameters
    ----------
    score : (n,) finite.

    Returns
    -------
    order : (n,) positions.
    ends : (m + 1,) how many customers come before the first, the second, ... of the m distinct scores, and n.

    Examples
    --------
    >>> order, ends = ranked(np.array([0.5, 0.9, 0.5]))
    >>> order.tolist(), ends.tolist()
    ([1, 0, 2], [0, 1, 3])
    """
    order = np.argsort(-score, kind="stable")
    falls = np.flatnonzero(np.diff(score[order])) + 1
    return order, np.concatenate([[0], falls, [len(score)]])


def running_total(values: Float, places: Integer) -> Float:
    """Return the sum of the first so many values for each of the places.

    >>> running_total(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 3])).tolist()
    [0.0, 1.0, 7.0]
    """
    totals: Float = np.concatenate([[0.0], np.cumsum(values)])[places]
    return totals


def _captured(value: npt.ArrayLike, order_by: npt.ArrayLike, share: Float) -> Float:
    amounts, score = np.asarray(value, dtype=np.float64), np.asarray(order_by, dtype=np.float64)
    if not (amounts >= 0).all() or not amounts.sum() > 0:
        raise SchemaError(
            f"A curve of shares needs values of at least 0 that do not add up to 0; {int((amounts > 0).sum()):,} of "
            f"{len(amounts):,} are above 0.\nClip them, or choose customers with some."
        )
    order, ends = ranked(score)
    held = running_total(amounts[order], ends)
    reached: Float = np.interp(share * len(amounts), ends, held / held[-1])
    return reached
