"""What happened after a cutoff: the label of churn and of value."""

from __future__ import annotations

from typing import Any

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.events.clock import DAY
from crm_ml.features.history import History
from crm_ml.features.ragged import Float, Int

__all__ = ["LABEL_COLUMNS", "label_ends", "labels_after"]

LABEL_COLUMNS = ("horizon_days", "label_end", "purchase_days_ahead", "spend_ahead", "churned")
"""Columns of a panel that are not features."""


def labels_after(history: History, *, horizon_days: float | Float) -> dict[str, Float]:
    """Return what each customer did in ``cutoff <= time < cutoff + horizon``.

    Parameters
    ----------
    history : c cutoffs and n customers.
    horizon_days : length of the window, one for all or a (c, n) array.

    Returns
    -------
    dict of (c, n) float64
        ``horizon_days`` as given; ``purchase_days_ahead`` distinct days with a purchase; ``spend_ahead`` net
        money; ``churned`` 1 where nothing was bought, else 0.
    """
    days, spend, horizon = np.empty(history.shape), np.empty(history.shape), np.empty(history.shape)
    horizon[:] = horizon_days
    ends, money = label_ends(history.cutoffs[:, None], horizon), history.bucket.transactions
    compiled(_look_ahead)(
        money.offsets, money.time, money.amount, money.is_purchase, history.cutoffs, ends, days, spend
    )
    return {
        "horizon_days": horizon,
        "purchase_days_ahead": days,
        "spend_ahead": spend,
        "churned": (days == 0).astype(np.float64),
    }


def label_ends(cutoffs: Int, horizon_days: Float) -> Int:
    """Return the moments at which windows end, in microseconds.

    >>> label_ends(np.array([0, DAY]), np.array([30.0, 0.5])) / DAY
    array([30. ,  1.5])
    """
    ends: Int = cutoffs + np.rint(horizon_days * DAY).astype(np.int64)
    return ends


def _look_ahead(
    offsets: Any, time: Any, amount: Any, is_purchase: Any, cutoffs: Any, ends: Any, days: Any, spend: Any
) -> None:
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        for at in range(len(cutoffs)):
            while begin < end and time[begin] < cutoffs[at]:
                begin += 1
            row, n_days, money, last_day = begin, 0, 0.0, np.int64(-1)
            while row < end and time[row] < ends[at, customer]:
                money += amount[row]
                if is_purchase[row]:
                    day = time[row] // DAY
                    n_days += n_days == 0 or day != last_day
                    last_day = day
                row += 1
            days[at, customer] = n_days
            spend[at, customer] = money
