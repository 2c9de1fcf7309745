"""One bucket of customers as arrays sorted by customer and time: what every kernel is a function of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Bucket", "Interactions", "Transactions", "make_bucket"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transactions:
    """Purchases and money corrections, sorted by customer and time.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC.
    amount : (m,) float64, net amount in the log's currency; negative where money went back.
    is_purchase : (m,) bool, the row opens an order. Returns and later lines of an order are not purchases.
    """

    offsets: Int
    time: Int
    amount: Float
    is_purchase: npt.NDArray[np.bool_]

    def where(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Return the rows kept, for the same customers."""
        return replace(
            self,
            offsets=_kept_offsets(self.offsets, keep),
            time=self.time[keep],
            amount=self.amount[keep],
            is_purchase=self.is_purchase[keep],
        )


@dataclass(frozen=True)
class Interactions:
    """Events other than purchases, sorted by customer and time.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC.
    event_type : (m,) int16, position in the bucket's `event_types`.
    value : (m,) float64, NaN where none was given.
    """

    offsets: Int
    time: Int
    event_type: npt.NDArray[np.int16]
    value: Float

    def where(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Return the rows kept, for the same customers."""
        return replace(
            self,
            offsets=_kept_offsets(self.offsets, keep),
            time=self.time[keep],
            event_type=self.event_type[keep],
            value=self.value[keep],
        )


@dataclass(frozen=True)
class Bucket:
    """All events of some customers.

    Attributes
    ----------
    customer_id : (n,) str objects, sorted.
    event_types : names that `interactions.event_type` points to; the same in every bucket of a log.
    """

    customer_id: npt.NDArray[np.object_]
    event_types: tuple[str, ...]
    transactions: Transactions
    interactions: Interactions

    def between(self, start: int | None, end: int) -> Bucket:
        """Return the bucket with only the events in ``start <= time < end``, for the same customers."""

        def within(time: Int) -> npt.NDArray[np.bool_]:
            return time < end if start is None else (start <= time) & (time < end)

        return replace(
            self,
            transactions=self.transactions.where(within(self.transactions.time)),
            interactions=self.interactions.where(within(self.interactions.time)),
        )


def make_bucket(
    transactions: pa.Table, interactions: pa.Table, *, event_types: tuple[str, ...], keep_returns: bool
) -> Bucket:
    """Build a bucket from its two tables.

    Parameters
    ----------
    transactions : columns customer_id, timestamp, amount, order_id, sorted by the first two, then
        order_id and amount.
    interactions : columns customer_id, timestamp, event_type (int16 code), value, sorted by the first three.
    keep_returns : whether money given back is netted; otherwise rows below zero are left out.
    """
    buyers, purchases_of = _owners(transactions["customer_id"])
    actors, actions_of = _owners(interactions["customer_id"])
    customers = pa.array(np.union1d(buyers, actors), type=pa.string())
    owner = _positions(buyers, customers)[purchases_of]
    lines = (transactions["timestamp"].to_numpy(), transactions["amount"].to_numpy())
    orders = merge_lines(owner, *lines, _order_codes(transactions["order_id"]), n_customers=len(customers))
    actor = _positions(actors, customers)[actions_of]
    return Bucket(
        customer_id=customers.to_numpy(zero_copy_only=False),
        event_types=event_types,
        transactions=orders if keep_returns else orders.where(orders.amount >= 0),
        interactions=Interactions(
            offsets=_offsets(actor, len(customers)),
            time=interactions["timestamp"].to_numpy(),
            event_type=interactions["event_type"].to_numpy(),
            value=interactions["value"].to_numpy(),
        ),
    )


def merge_lines(owner: Int, time: Int, amount: Float, order: Int, *, n_customers: int) -> Transactions:
    """Merge the lines of an order that share a moment, and mark the ones that open a purchase.

    Lines of one order at one moment are summed. The order's first moment with a sum of zero or more is
    the purchase; whatever the order books later changes its money and not the number of purchases, so
    that no later line alters what was known before it.

    Parameters
    ----------
    owner, time, amount, order : (m,) customer position, microseconds, money and order code of each
        line, sorted by owner, time and order. Rows of different orders have different codes.
    """
    if len(owner) == 0:
        return Transactions(_offsets(owner, n_customers), time, amount, np.zeros(0, dtype=bool))
    first = np.ones(len(owner), dtype=bool)
    first[1:] = (owner[1:] != owner[:-1]) | (time[1:] != time[:-1]) | (order[1:] != order[:-1])
    begins = np.flatnonzero(first)
    owner, time, order = owner[begins], time[begins], order[begins]
    total = np.add.reduceat(amount, begins)
    paid = np.flatnonzero(total >= 0)
    _, opens = np.unique(owner[paid] * (order.max() + 1) + order[paid], return_index=True)
    is_purchase = np.zeros(len(total), dtype=bool)
    is_purchase[paid[opens]] = True
    return Transactions(_offsets(owner, n_customers), time, total, is_purchase)


def _order_codes(order_id: pa.ChunkedArray) -> Int:
    """Return an integer per line, equal for lines of one order; a line without one is its own order."""
    encoded = order_id.combine_chunks().dictionary_encode()
    codes: Int = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    alone = np.flatnonzero(codes < 0)
    codes[alone] = len(encoded.dictionary) + np.arange(len(alone))
    return codes


def _owners(customer_id: pa.ChunkedArray) -> tuple[npt.NDArray[np.object_], Int]:
    """Return the distinct identifiers of a sorted column and each row's position among them."""
    ids = customer_id.combine_chunks()
    if len(ids) == 0:
        return np.array([], dtype=object), np.zeros(0, dtype=np.int64)
    changes = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    begins = np.concatenate([[0], np.flatnonzero(changes) + 1])
    position = np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)
    return ids.take(pa.array(begins)).to_numpy(zero_copy_only=False), position


def _positions(ids: npt.NDArray[np.object_], customers: pa.Array) -> Int:
    found = pc.index_in(pa.array(ids, type=pa.string()), value_set=customers)
    positions: Int = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def _offsets(owner: Int, n_customers: int) -> Int:
    return np.searchsorted(owner, np.arange(n_customers + 1)).astype(np.int64)


def _kept_offsets(offsets: Int, keep: npt.NDArray[np.bool_]) -> Int:
    return np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)[offsets]
