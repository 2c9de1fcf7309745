"""What is known of each customer's purchase days at a moment, and when the next one came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.compiled import compiled
from crm_ml.decisions.timing.gaps import GapStatistics
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import PurchaseRegularity, PurchaseSummary
from crm_ml.features.builders.stretch import IntervalStretch
from crm_ml.features.feature import Builder
from crm_ml.features.panels.panel import build_features, iter_features
from crm_ml.features.past import purchase_days

__all__ = ["gap_statistics", "histories", "iter_histories", "last_day", "next_purchase_days"]

Int = NDArray[np.int64]


def last_day(as_of: Moment) -> int:
    """Return the last day (UTC, since 1970) of which something may be known at a moment.

    A day that the moment lies within counts as over.

    >>> last_day("1970-01-03"), last_day("1970-01-03T12:00")
    (1, 2)
    """
    return (moment(as_of) - 1) // DAY


def histories(log: CustomerLog, *, as_of: Moment) -> pd.DataFrame:
    """Return what is known of everyone who bought before `as_of`.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order: the columns of `crm_ml.clv.rfm_summary` in days with ``sum_log_gaps``, and
        ``usual_gap_days`` and ``gap_spread`` of `crm_ml.features.IntervalStretch`.
    """
    return build_features(log, as_of=as_of, features=_columns())


def iter_histories(log: CustomerLog, *, as_of: Moment) -> Iterator[pd.DataFrame]:
    """Yield the frame of `histories` in parts of bounded size."""
    yield from iter_features(log, as_of=as_of, features=_columns())


def gap_statistics(known: pd.DataFrame) -> GapStatistics:
    """Return what `OwnGaps` looks at in a frame of `histories`."""
    x = known["frequency"].to_numpy(dtype=float)
    return GapStatistics(
        gaps=x,
        log_mean=known["sum_log_gaps"].to_numpy() / np.maximum(x, 1.0),
        log_squares=np.where(x > 0, known["gap_spread"].to_numpy() ** 2 * (x + 1.0), 0.0),
        silence=(known["T"] - known["recency"]).to_numpy(),
    )


def next_purchase_days(log: CustomerLog, *, as_of: Moment, until: Moment) -> pd.Series:
    """Return how many days after the last one known at `as_of` each customer next bought.

    Parameters
    ----------
    log : CustomerLog
    as_of, until : date-like
        Purchase days after the last day before `as_of` and before `until`.

    Returns
    -------
    Series
        Indexed by customer_id in order, of those who bought before `as_of`: whole days, at least 1; missing
        where there was no purchase before `until`.

    Examples
    --------
    >>> import crm_ml
    >>> next_purchase_days(crm_ml.load_sample(), as_of="2017-10-01", until="2017-11-01").median().item()
    4.0
    """
    begin, end, known_day = moment(as_of), moment(until, name="until"), last_day(as_of)

    def wait(bucket: Bucket) -> pd.Series:
        days = purchase_days(bucket.transactions)
        found = np.empty(len(bucket.customer_id))
        compiled(_wait)(days.offsets, days.time, days.day, begin, end, known_day, found)
        known = found >= 0
        index = pd.Index(bucket.customer_id[known], name="customer_id", dtype="str")
        return pd.Series(np.where(found > 0, found, np.nan)[known], index=index, name="waited_days")

    waits: pd.Series = pd.concat(list(log.map(wait, interactions=False))).sort_index()
    return waits


def _wait(offsets: Any, time: Any, day: Any, begin: Any, end: Any, known_day: Any, found: Any) -> None:
    """Give -1 to a customer not yet known, 0 to one who did not buy again."""
    for customer in range(len(offsets) - 1):
        row, last = offsets[customer], offsets[customer + 1]
        found[customer] = 0.0 if row < last and time[row] < begin else -1.0
        while found[customer] == 0.0 and row < last and time[row] < end:
            if day[row] > known_day:
                found[customer] = float(day[row] - known_day)
            row += 1


def _columns() -> list[Builder]:
    return [PurchaseSummary(), PurchaseRegularity(), IntervalStretch()]
