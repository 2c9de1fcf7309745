"""What happened after a cutoff: the label of churn and of value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crm_ml.events.bucket import Bucket
from crm_ml.features.past import Past, purchase_days
from crm_ml.features.ragged import Float, last_per, sum_per

__all__ = ["LABEL_COLUMNS", "active_since", "labels_after"]

LABEL_COLUMNS = ("horizon_days", "label_end", "purchase_days_ahead", "spend_ahead", "churned")
"""Columns of a panel that are not features."""


def labels_after(bucket: Bucket, cutoff: int, *, horizon: int) -> dict[str, Float]:
    """Return what each customer did in ``cutoff <= time < cutoff + horizon``.

    Parameters
    ----------
    bucket : n customers.
    cutoff, horizon : microseconds.

    Returns
    -------
    dict of (n,) float64
        ``purchase_days_ahead`` distinct days with a purchase; ``spend_ahead`` net money; ``churned`` 1 where
        nothing was bought, else 0.
    """
    ahead = bucket.between(cutoff, cutoff + horizon).transactions
    days = np.diff(purchase_days(ahead).offsets).astype(np.float64)
    return {
        "purchase_days_ahead": days,
        "spend_ahead": sum_per(ahead.amount, ahead.offsets),
        "churned": (days == 0).astype(np.float64),
    }


def active_since(past: Past, start: int | None) -> npt.NDArray[np.bool_]:
    """Return who bought before the cutoff, and at or after `start` if given."""
    last = last_per(past.purchases.time, past.purchases.offsets)
    return ~np.isnan(last) if start is None else last >= start
