"""Retention by cohort: who of those that first bought in a month buys in each one after."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment, moment, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.ragged import Int

__all__ = ["cohort_retention"]

FREQUENCIES = {"month": "MS", "quarter": "QS"}


def cohort_retention(log: CustomerLog, *, as_of: Moment, by: Literal["month", "quarter"] = "month") -> pd.DataFrame:
    """Return what share of the customers who first bought in a calendar month bought in each month after it.

    Only months that had ended by `as_of` are told of. Customers of the time before the log are in the cohort of
    their first purchase within it, which makes the first cohorts look loyal.

    Parameters
    ----------
    log : CustomerLog
        Read bucket by bucket, once.
    as_of : moment
        Only events before it are looked at.
    by : {"month", "quarter"}
        What a cohort is, and what time after it is cut into; of the calendar in UTC.

    Returns
    -------
    DataFrame
        Columns ``cohort`` (its first moment, UTC), ``age`` (months or quarters since, from 0), ``customers`` (of the
        cohort), ``buyers`` (those of them who bought at that age) and ``share`` (buyers / customers; 1 at age 0),
        in order of cohort and age. A cohort without customers is left out.

    Raises
    ------
    SchemaError
        `by` is something else, or nobody had first bought in a month that had ended.

    Examples
    --------
    >>> import crm_ml
    >>> found = cohort_retention(crm_ml.load_sample(), as_of="2017-12-15", by="quarter")
    >>> found.pivot_table(index="cohort", columns="age", values="share").round(2).to_numpy().tolist()
    [[1.0, 0.96, 0.96], [1.0, 0.75, nan], [1.0, nan, nan]]
    """
    if by not in FREQUENCIES:
        raise SchemaError(out_of_range("by", by, 'be "month" or "quarter"'))
    edges = _edges(log, moment(as_of), by)

    def count(bucket: Bucket) -> Int:
        bought, counts = bucket.transactions, np.zeros((len(edges) - 1, len(edges) - 1), dtype=np.int64)
        compiled(_count)(bought.offsets, bought.time, bought.is_purchase, edges, counts)
        return counts

    empty = np.zeros((len(edges) - 1, len(edges) - 1), dtype=np.int64)
    counts = log.total(count, interactions=False) if len(edges) > 1 else empty
    if not counts.any():
        raise SchemaError(
            f"Cohorts need a purchase in a {by} that had ended by `as_of` {stamp(moment(as_of))}; the log begins "
            f"{log.first}.\nChoose a later moment."
        )
    cohort, age = np.nonzero(np.arange(len(counts)) < np.arange(len(counts), 0, -1)[:, None])
    seen = counts[cohort, 0] > 0
    cohort, age = cohort[seen], age[seen]
    customers, buyers = counts[cohort, 0], counts[cohort, age]
    return pd.DataFrame(
        {
            "cohort": stamps(edges[:-1])[cohort],
            "age": age,
            "customers": customers,
            "buyers": buyers,
            "share": buyers / customers,
        }
    )


def _edges(log: CustomerLog, end: int, by: str) -> Int:
    """Return the starts of the periods from the log's first to the first that had not ended."""
    first = log.first.tz_localize(None).to_period(by[0].upper()).start_time.tz_localize("UTC")
    starts = pd.date_range(first, stamp(max(end, moment(first))), freq=FREQUENCIES[by])
    return np.array([moment(start) for start in starts], dtype=np.int64)


def _count(offsets: Any, time: Any, is_purchase: Any, edges: Any, counts: Any) -> None:
    """Count the buyers of each cohort at each age, a customer once."""
    for customer in range(len(offsets) - 1):
        period, cohort, counted = 0, -1, -1
        for row in range(offsets[customer], offsets[customer + 1]):
            while period < len(edges) - 1 and time[row] >= edges[period + 1]:
                period += 1
            if period == len(edges) - 1:
                break
            if is_purchase[row] and period != counted:
                cohort = period if cohort < 0 else cohort
                counts[cohort, period - cohort] += 1
                counted = period
