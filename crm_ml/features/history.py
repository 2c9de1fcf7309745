"""All that happened to a bucket of customers, to be looked at from several cutoffs in one sweep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.events.bucket import Bucket
from crm_ml.features.decay import NEVER
from crm_ml.features.past import Past, PurchaseDays, purchase_days
from crm_ml.features.ragged import Float, Int

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """The events of a bucket's n customers and the c cutoffs at which they are looked at.

    Attributes
    ----------
    bucket : events before, at and after the cutoffs.
    cutoffs : (c,) int64, microseconds since 1970 UTC, ascending.
    population_gap_days : (c,) float64, median over customers of the latest gap between purchase days as
        known at each cutoff; NaN without any.
    """

    bucket: Bucket
    cutoffs: Int
    population_gap_days: Float

    def __len__(self) -> int:
        return len(self.bucket.customer_id)

    @property
    def shape(self) -> tuple[int, int]:
        """Cutoffs and customers: the shape of a feature."""
        return len(self.cutoffs), len(self)

    @cached_property
    def pasts(self) -> list[Past]:
        """What was known at each of the cutoffs."""
        known = zip(self.cutoffs.tolist(), self.population_gap_days.tolist(), strict=True)
        return [Past(self.bucket, cutoff, population_gap_days=gap) for cutoff, gap in known]

    @cached_property
    def purchase_days(self) -> PurchaseDays:
        """Purchases merged by day, at all times; those before a cutoff are those known at it."""
        return purchase_days(self.bucket.transactions)

    @cached_property
    def last_purchase(self) -> Int:
        """(c, n) moment of the last purchase before each cutoff; `NEVER` where there was none."""
        bought, last = self.bucket.transactions, np.empty(self.shape, dtype=np.int64)
        compiled(_last_purchase)(bought.offsets, bought.time, bought.is_purchase, self.cutoffs, last)
        return last


def _last_purchase(offsets: Any, time: Any, is_purchase: Any, cutoffs: Any, last: Any) -> None:
    for customer in range(len(offsets) - 1):
        row, found = offsets[customer], NEVER
        for at in range(len(cutoffs)):
            while row < offsets[customer + 1] and time[row] < cutoffs[at]:
                if is_purchase[row]:
                    found = time[row]
                row += 1
            last[at, customer] = found
