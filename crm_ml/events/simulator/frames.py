"""Dress simulated arrays as frames: identifiers, timestamps, order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crm_ml.events.simulator.behaviour import Contacts, FloatArray, IntArray, Purchases, Traits

MICROSECONDS_PER_DAY = 86_400_000_000


class Period(NamedTuple):
    """The first microsecond since 1970, UTC, and the length in days."""

    origin: int
    days: float

    def stamps(self, day: FloatArray) -> pa.Array:
        """Turn days since the start into UTC timestamps, all of them before the end.

        >>> Period(0, 1.0).stamps(np.array([0.5])).to_numpy(zero_copy_only=False)
        array(['1970-01-01T12:00:00.000000'], dtype='datetime64[us]')
        """
        last = int(self.days * MICROSECONDS_PER_DAY) - 1
        since = np.minimum((day * MICROSECONDS_PER_DAY).astype(np.int64), last)
        return pa.array(self.origin + since, type=pa.timestamp("us", tz="UTC"))


def identifiers(prefix: str, n: int) -> pa.Array:
    """Name `n` things so that their names sort as their numbers do.

    >>> identifiers("C", 11).to_pylist()[-2:]
    ['C09', 'C10']
    """
    digits = pc.cast(pa.array(np.arange(n)), pa.large_string())
    padded = pc.utf8_lpad(digits, width=len(str(n - 1)), padding="0")
    prefixes, nothing = (pa.scalar(text, pa.large_string()) for text in (prefix, ""))
    return pc.binary_join_element_wise(prefixes, padded, nothing)


def transactions_frame(names: pa.Array, purchases: Purchases, period: Period) -> pd.DataFrame:
    """Put purchases and returns in one frame, sorted by customer, then time."""
    order = np.concatenate([np.arange(purchases.day.size), purchases.returned])
    customer = purchases.customer[order]
    day = np.concatenate([purchases.day, purchases.return_day])
    amount = np.concatenate([purchases.amount, purchases.return_amount])
    by_time = np.lexsort((day, customer))
    frame: pd.DataFrame = pa.table(
        {
            "customer_id": names.take(customer[by_time]),
            "timestamp": period.stamps(day[by_time]),
            "amount": amount[by_time],
            "order_id": identifiers("O", max(purchases.day.size, 1)).take(order[by_time]),
        }
    ).to_pandas()
    return frame


def interactions_frame(
    names: pa.Array,
    events: dict[str, tuple[IntArray, FloatArray, FloatArray]],
    period: Period,
) -> pd.DataFrame:
    """Put each event type's customers, days and values in one frame, sorted by customer, then time."""
    customer, day, value = (np.concatenate(parts) for parts in zip(*events.values(), strict=True))
    kind = np.repeat(np.arange(len(events)), [who.size for who, _, _ in events.values()])
    by_time = np.lexsort((day, customer))
    frame: pd.DataFrame = pa.table(
        {
            "customer_id": names.take(customer[by_time]),
            "timestamp": period.stamps(day[by_time]),
            "event_type": pa.array(list(events), pa.large_string()).take(kind[by_time]),
            "value": value[by_time],
        }
    ).to_pandas()
    return frame


def customers_frame(
    names: pa.Array, traits: Traits, leaving_day: FloatArray, period: Period, *, regularity: float
) -> pd.DataFrame:
    """Put the truth about each customer in a frame indexed by `customer_id`."""
    left_at = period.stamps(np.minimum(leaving_day, period.days)).to_pandas()
    return pd.DataFrame(
        {
            "acquired_at": period.stamps(traits.acquired_day).to_pandas(),
            "left_at": left_at.where(leaving_day < period.days),
            "lifetime_days": leaving_day - traits.acquired_day,
            "lifetime_days_without_contact": traits.lifetime_days,
            "purchase_rate_per_day": traits.purchase_rate_per_day,
            "regularity": regularity,
            "mean_spend": traits.mean_spend,
            "persuadability": traits.persuadability,
        }
    ).set_index(pd.Index(names.to_pandas(), name="customer_id"))


def campaigns_frame(names: pa.Array, contacts: Contacts, campaign_days: FloatArray, period: Period) -> pd.DataFrame:
    """Put both arms of each campaign in one frame, sorted by campaign, then customer."""
    labels = pa.array([f"campaign_{n + 1}" for n in range(campaign_days.size)], pa.large_string())
    arms = pa.array(["control", "treated"], pa.large_string())
    frame: pd.DataFrame = pa.table(
        {
            "campaign_id": labels.take(contacts.campaign),
            "customer_id": names.take(contacts.customer),
            "timestamp": period.stamps(campaign_days[contacts.campaign]),
            "arm": arms.take(contacts.treated.astype(np.int64)),
            "persuadable": contacts.persuadable,
            "days_left_without": contacts.days_left_without,
            "effect_days": contacts.effect_days,
            "responded": contacts.treated & (contacts.effect_days > 0.0),
        }
    ).to_pandas()
    return frame
