"""What all customers together did in each month, added up over the buckets of a log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.decisions.health import loops
from crm_ml.decisions.health.groups import Codes, Groups, Worth
from crm_ml.decisions.health.months import Months
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.stretch import LONGEST_GAP_DAYS
from crm_ml.features.ragged import Float, Int

__all__ = ["Tally"]

Spend = tuple[Float, Codes]
"""What each buyer of a month spent, and the group of each."""


@dataclass(frozen=True)
class Tally:
    """The sums of m months by group, for all groups together first.

    Attributes
    ----------
    counts : (m, 1 + groups, `loops.COUNTS`).
    gaps : (m, 1 + groups, 2, days) how many purchase days came so many days after the one before, and how many
        customers spent a day of the month at so many days after their last.
    money : (m, 1 + groups, `loops.MONEY`).
    spend : of each month.
    """

    counts: Int
    gaps: Int
    money: Float
    spend: list[Spend]

    @classmethod
    def of(
        cls,
        log: CustomerLog,
        months: Months,
        *,
        groups: Groups,
        worth: Worth | None,
        dormant: int,
        events: Sequence[Sequence[str]],
    ) -> Tally:
        """Go through a log once.

        The spend of every buyer in every month is kept, 10 bytes each, as a share of the largest needs them all.

        Parameters
        ----------
        dormant : microseconds.
        events : types of interactions to be counted as complaints, and as returns.
        """
        span = (months.edges[-1] - moment(log.first)) // DAY
        kernel = _Kernel(months, groups, worth, dormant, events, days=min(max(int(span), 0), LONGEST_GAP_DAYS) + 2)
        counts, gaps = kernel.zeros()
        money: list[Float] = []
        spend: list[list[Spend]] = [[] for _ in range(len(months))]
        for part in log.map(kernel, interactions=any(events)):
            counts += part.counts
            gaps += part.gaps
            money.append(part.money)
            for collected, found in zip(spend, part.spend, strict=True):
                collected.append(found)
        return cls(
            counts=_with_all(counts),
            gaps=_with_all(np.stack([gaps[..., 0, :], np.cumsum(gaps[..., 1, :], axis=-1)], axis=-2)),
            money=_exact(np.stack(money, axis=-2)),
            spend=[_joined(spend.pop(0)) for _ in range(len(months))],
        )


@dataclass(frozen=True)
class _Part:
    counts: Int
    gaps: Int
    money: Float
    spend: list[Spend]


@dataclass(frozen=True)
class _Kernel:
    """Sums of a bucket: as in a `Tally`, but with changes in place of the customers at each number of days."""

    months: Months
    groups: Groups
    worth: Worth | None
    dormant: int
    events: Sequence[Sequence[str]]
    days: int

    def zeros(self) -> tuple[Int, Int]:
        """Return empty counts and gaps."""
        shape = (len(self.months), len(self.groups.names))
        return np.zeros((*shape, loops.COUNTS), np.int64), np.zeros((*shape, 2, self.days), np.int64)

    def __call__(self, bucket: Bucket) -> _Part:
        group, bought = self.groups.of_customers(bucket.customer_id), bucket.transactions
        counts, gaps = self.zeros()
        money = np.zeros((*counts.shape[:2], loops.MONEY, 2))
        spend, is_buyer, last = np.empty(group.shape), np.empty(group.shape, bool), np.empty(group.shape, np.int64)
        compiled(loops.count_months, calls=(loops.add,))(
            bought.offsets,
            bought.time,
            bought.amount,
            bought.is_purchase,
            self.months.edges,
            group,
            self.dormant,
            counts,
            gaps,
            money,
            spend,
            is_buyer,
            last,
        )
        if any(self.events):
            self._count_events(bucket, group, counts)
        if self.worth is not None:
            worth = self.worth.of_customers(bucket.customer_id)
            compiled(loops.sum_worth, calls=(loops.add,))(last, worth, group, money)
        found = [(paid[who], held[who]) for paid, held, who in zip(spend, group, is_buyer, strict=True)]
        return _Part(counts, gaps, money, found)

    def _count_events(self, bucket: Bucket, group: Codes, counts: Int) -> None:
        places = np.full(len(bucket.event_types), -1)
        for number, names in enumerate(self.events):
            places[np.isin(bucket.event_types, names)] = loops.EVENTS + number
        acts = bucket.interactions
        compiled(loops.count_events)(acts.offsets, acts.time, acts.event_type, places, self.months.edges, group, counts)


def _joined(parts: list[Spend]) -> Spend:
    return np.concatenate([spend for spend, _ in parts]), np.concatenate([group for _, group in parts])


def _with_all(sums: Int) -> Int:
    return np.concatenate([sums.sum(axis=1, keepdims=True), sums], axis=1)


def _exact(parts: Float) -> Float:
    """Sum (m, groups, kinds, buckets, 2) parts without rounding in between, also over all groups together."""
    months, groups, kinds = parts.shape[:3]
    by_group = parts.reshape(months, groups, kinds, -1)
    together = by_group.swapaxes(1, 2).reshape(months, 1, kinds, -1)
    return np.concatenate([np.apply_along_axis(math.fsum, -1, sums) for sums in (together, by_group)], axis=1)
