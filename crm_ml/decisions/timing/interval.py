"""From distributions to dates: the interval of the next purchase, and the day to make contact."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.timing.expectation import Expectation
from crm_ml.events.clock import DAY, stamps

__all__ = ["dates", "day_interval"]

Array = NDArray[np.float64]

NEVER = np.iinfo(np.int64).min
"""What pandas reads as NaT."""


def day_interval(expected: Expectation, *, level: float) -> tuple[Array, Array]:
    """Return the first and last whole day of each customer's interval.

    The first is the day by which (1 - level) / 2 is reached; the last is the first day by which the interval holds
    `level`. Where never has too much probability for that, the interval runs from the day by which 1 - level is
    passed and has no last day; where never alone has `level`, it has no first one either.

    Returns
    -------
    lower, upper : ndarray of shape (n,)
        Days from 1; infinite where there is none.
    """
    ever = expected.ever
    lower = expected.day(0.5 * (1.0 - level))
    target = level + expected.probability(np.where(np.isfinite(lower), lower, 1.0) - 1.0)
    closed = ever >= target
    upper = np.where(closed, expected.day(np.where(closed, target, 0.0)), np.inf)
    return np.where(closed, lower, expected.day(1.0 - level)), upper


def dates(expected: Expectation, known: pd.DataFrame, *, last: int, level: float, horizon_days: int) -> pd.DataFrame:
    """Return the frame of `NextPurchaseModel.predict`.

    Parameters
    ----------
    expected : of the customers in `known`, a frame of `histories`.
    last : the last day known (since 1970).
    """
    lower, upper = day_interval(expected, level=level)
    ever = expected.ever
    overdue = expected.passed_share > 0.5 * (1.0 + level)
    contact = np.where(overdue, 1.0, np.maximum(expected.day(0.5 * ever) - 1.0, 1.0))
    contact = np.where(np.isfinite(lower), contact, np.inf)
    return pd.DataFrame(
        {
            "next_purchase_lower": _dated(lower, last),
            "next_purchase_median": _dated(expected.day(0.5), last),
            "next_purchase_upper": _dated(upper, last),
            "purchase_probability": expected.probability(horizon_days),
            "return_probability": ever,
            "usual_gap_days": known["usual_gap_days"].to_numpy(),
            "silence_days": (known["T"] - known["recency"]).to_numpy().astype(np.int64),
            "overdue": overdue,
            "contact_on": _dated(contact, last),
        },
        index=known.index,
    )


def _dated(days: Array, last: int) -> pd.DatetimeIndex:
    some = np.isfinite(days)
    return stamps(np.where(some, (last + np.where(some, days, 0.0).astype(np.int64)) * DAY, NEVER))
