"""What was known of a bucket of customers at a cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.events.bucket import Bucket, Interactions, Lines, Transactions
from crm_ml.events.clock import DAY
from crm_ml.features.ragged import Float, Int, owner_of

__all__ = ["Gaps", "Past", "PurchaseDays", "purchase_days"]


@dataclass(frozen=True)
class PurchaseDays:
    """Days (UTC) on which a customer bought, each once.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, moment of the day's first purchase in microseconds.
    day : (m,) int64, days since 1970.
    spend : (m,) float64, net money from that moment until the next purchase day: a return lowers the
        purchase day before it, or of the same moment.
    """

    offsets: Int
    time: Int
    day: Int
    spend: Float


@dataclass(frozen=True)
class Gaps:
    """Days between consecutive purchase days.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    days : (m,) float64, at least 1.
    """

    offsets: Int
    days: Float


class Past:
    """A bucket as it was at a cutoff: only events with ``time < cutoff``.

    Attributes
    ----------
    cutoff : microseconds since 1970 UTC.
    population_gap_days : median over customers of the latest gap between purchase days; NaN without any.
    event_types : names that `interactions.event_type` points to.
    categories : names that `lines.category` points to.
    columns : the optional columns that the log was given.
    """

    def __init__(self, bucket: Bucket, cutoff: int, *, population_gap_days: float = np.nan) -> None:
        self._bucket = bucket
        self.cutoff = cutoff
        self.population_gap_days = population_gap_days
        self.customer_id: npt.NDArray[np.object_] = bucket.customer_id
        self.event_types = bucket.event_types
        self.categories = bucket.categories
        self.columns = bucket.columns

    def __len__(self) -> int:
        return len(self.customer_id)

    def days_ago(self, time: npt.NDArray[np.generic]) -> Float:
        """Return how many days before the cutoff a moment lies."""
        return (self.cutoff - time.astype(np.float64)) / DAY

    @cached_property
    def lines(self) -> Lines:
        """The transactions as they were given, line by line."""
        return self._bucket.lines.before(self.cutoff)

    @cached_property
    def transactions(self) -> Transactions:
        """Purchases and money corrections."""
        return self._bucket.transactions.before(self.cutoff)

    @cached_property
    def interactions(self) -> Interactions:
        """Events other than purchases."""
        return self._bucket.interactions.before(self.cutoff)

    @cached_property
    def purchases(self) -> Transactions:
        """The transactions that open an order."""
        return self.transactions.where(self.transactions.is_purchase)

    @cached_property
    def purchase_days(self) -> PurchaseDays:
        """Purchases merged by day."""
        return purchase_days(self.transactions)

    @cached_property
    def gaps(self) -> Gaps:
        """Gaps between purchase days."""
        days = self.purchase_days
        inner = np.diff(owner_of(days.offsets)) == 0
        per_customer = np.maximum(np.diff(days.offsets) - 1, 0)
        return Gaps(
            offsets=np.concatenate([[0], np.cumsum(per_customer)]),
            days=np.diff(days.day)[inner].astype(np.float64),
        )


def purchase_days(transactions: Transactions) -> PurchaseDays:
    """Merge purchases by customer and day, each with the net money until the next one."""
    time, size = transactions.time, len(transactions.time)
    offsets = np.zeros(len(transactions.offsets), dtype=np.int64)
    begins, spend = np.empty(size, dtype=np.int64), np.empty(size)
    compiled(_merge_days)(
        transactions.offsets, time, transactions.amount, transactions.is_purchase, offsets, begins, spend
    )
    begins = begins[: offsets[-1]]
    return PurchaseDays(offsets=offsets, time=begins, day=begins // DAY, spend=spend[: offsets[-1]])


def _merge_days(
    offsets: Any, time: Any, amount: Any, is_purchase: Any, day_offsets: Any, begins: Any, spend: Any
) -> None:
    at = -1
    for customer in range(len(offsets) - 1):
        first = at + 1
        row, end = offsets[customer], offsets[customer + 1]
        while row < end:
            moment, money, bought = time[row], 0.0, False
            while row < end and time[row] == moment:
                money += amount[row]
                bought = bought or is_purchase[row]
                row += 1
            if bought and (at < first or begins[at] // DAY != moment // DAY):
                at += 1
                begins[at], spend[at] = moment, 0.0
            if at >= first:
                spend[at] += money
        day_offsets[customer + 1] = at + 1
