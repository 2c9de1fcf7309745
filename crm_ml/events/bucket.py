"""One bucket of customers as arrays sorted by customer and time: what every kernel is a function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.events.partition.coding import stored_customers

__all__ = ["Bucket", "Folded", "Interactions", "Lines", "Transactions", "make_bucket", "merge_lines"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Events:
    """Rows sorted by customer and time: customer i owns rows offsets[i]:offsets[i + 1]."""

    offsets: Int
    time: Int

    def where(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Return the rows kept, for the same customers."""
        kept: dict[str, Any] = {"offsets": np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)[self.offsets]}
        for column in fields(self)[1:]:
            values = getattr(self, column.name)
            kept[column.name] = None if values is None else values[keep]
        return replace(self, **kept)

    def before(self, moment: int) -> Self:
        """Return the rows earlier than a moment in microseconds, for the same customers."""
        return self.where(self.time < moment)

    def of_customers(self, begin: int, end: int) -> Self:
        """Return the rows of customers in ``begin:end``, without copying them."""
        first, last = self.offsets[begin], self.offsets[end]
        part: dict[str, Any] = {"offsets": self.offsets[begin : end + 1] - first}
        for column in fields(self)[1:]:
            values = getattr(self, column.name)
            part[column.name] = None if values is None else values[first:last]
        return replace(self, **part)


@dataclass(frozen=True)
class Transactions(_Events):
    """Purchases and money corrections, sorted by customer and time.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC.
    amount : (m,) float64, net amount in the log's currency; negative where money went back.
    is_purchase : (m,) bool, the row opens an order. Returns and later lines of an order are not purchases.
    """

    amount: Float
    is_purchase: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lines(_Events):
    """The rows of the transactions as they were given: each line of each order, sorted by customer and time.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC.
    amount : (m,) float64, net money paid for the line; negative where money went back.
    category : (m,) int32, position in the bucket's `categories`, −1 where none was given; None without the column.
    quantity : (m,) float64, items, NaN where not given; None without the column.
    discount : (m,) float64, money taken off the list price, NaN where not given; None without the column.
    """

    amount: Float
    category: npt.NDArray[np.int32] | None
    quantity: Float | None
    discount: Float | None


@dataclass(frozen=True)
class Interactions(_Events):
    """Events other than purchases, sorted by customer and time.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC.
    event_type : (m,) int16, position in the bucket's `event_types`.
    value : (m,) float64, NaN where none was given.
    """

    event_type: npt.NDArray[np.int16]
    value: Float


@dataclass(frozen=True)
class Folded(_Events):
    """What is left of interactions that are no longer kept one by one: per customer and event type the last.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds since 1970 UTC of the type's last event that was folded.
    event_type : (m,) int16, position in the bucket's `event_types`.
    decayed : (m, h) float64, Σ 2^(−days before that moment / half-life), for each of the `half_lives_days`.
    """

    event_type: npt.NDArray[np.int16]
    decayed: Float


@dataclass(frozen=True)
class Bucket:
    """All events of some customers.

    Attributes
    ----------
    customer_id : (n,) str objects, sorted.
    event_types : names that `interactions.event_type` points to; the same in every bucket of a log.
    categories : names that `lines.category` points to; the same in every bucket of a log.
    columns : the optional columns that the log was given.
    folded : interactions before those held; none of them unless the log is that of a `FeatureState`.
    half_lives_days : of the folded interactions.
    """

    customer_id: npt.NDArray[np.object_]
    event_types: tuple[str, ...]
    categories: tuple[str, ...]
    columns: frozenset[str]
    lines: Lines
    transactions: Transactions
    interactions: Interactions
    folded: Folded
    half_lives_days: tuple[float, ...]

    def before(self, moment: int) -> Bucket:
        """Return the bucket with the events earlier than a moment in microseconds, for the same customers."""
        return replace(
            self,
            lines=self.lines.before(moment),
            transactions=self.transactions.before(moment),
            interactions=self.interactions.before(moment),
        )

    def of_customers(self, begin: int, end: int) -> Bucket:
        """Return the bucket of the customers in ``begin:end``, without copying events."""
        return replace(
            self,
            customer_id=self.customer_id[begin:end],
            lines=self.lines.of_customers(begin, end),
            transactions=self.transactions.of_customers(begin, end),
            interactions=self.interactions.of_customers(begin, end),
            folded=self.folded.of_customers(begin, end),
        )


def make_bucket(
    stored: Mapping[str, npt.NDArray[Any]],
    *,
    event_types: tuple[str, ...],
    categories: tuple[str, ...],
    columns: frozenset[str],
    half_lives_days: tuple[float, ...],
    keep_returns: bool,
    interactions: bool,
) -> Bucket:
    """Build a bucket from its stored arrays.

    Parameters
    ----------
    stored : ``customer_begins`` and ``customer_bytes``; the columns of `crm_ml.events.partition.arrange`, those of
        transactions as ``t_offsets``, ``t_timestamp``, ``t_amount`` and so on, those of interactions as ``i_...``.
    keep_returns : whether money given back is netted; otherwise rows below zero are left out.
    interactions : whether interactions are wanted; without them none is read.
    """
    customers = stored_customers(stored).to_numpy(zero_copy_only=False)
    offsets, time, amount = (stored[f"t_{name}"] for name in ("offsets", "timestamp", "amount"))
    details = (stored.get(f"t_{name}") for name in ("category", "quantity", "discount"))
    lines = Lines(offsets, time, amount, *details)
    if "t_order_id" in stored:
        orders = merge_lines(offsets, time, amount, stored["t_order_id"])
    else:
        orders = Transactions(offsets, time, amount, amount >= 0)
    nobody = {"i_offsets": np.zeros(len(customers) + 1, dtype=np.int64)}
    acts: Mapping[str, npt.NDArray[Any]] = stored if interactions else nobody
    times = acts.get("i_timestamp", np.zeros(0, dtype=np.int64))
    types: npt.NDArray[Any] = acts.get("i_event_type", np.zeros(0, dtype=np.int16))
    return Bucket(
        customer_id=customers,
        event_types=event_types,
        categories=categories,
        columns=columns,
        lines=lines if keep_returns else lines.where(amount >= 0),
        transactions=orders if keep_returns else orders.where(orders.amount >= 0),
        interactions=Interactions(
            acts["i_offsets"], times, types, acts.get("i_value", np.broadcast_to(np.nan, times.shape))
        ),
        folded=Folded(
            acts.get("f_offsets", nobody["i_offsets"]),
            acts.get("f_timestamp", np.zeros(0, dtype=np.int64)),
            acts.get("f_event_type", types[:0]),
            acts.get("f_decayed", np.zeros((0, len(half_lives_days)))),
        ),
        half_lives_days=half_lives_days,
    )


def merge_lines(offsets: Int, time: Int, amount: Float, order: npt.NDArray[np.uint64]) -> Transactions:
    """Merge the lines of an order that share a moment, and mark the ones that open a purchase.

    Lines of one order at one moment are summed. The order's first moment with a sum of zero or more is
    the purchase; whatever the order books later changes its money and not the number of purchases, so
    that no later line alters what was known before it.

    Parameters
    ----------
    offsets : (n + 1,) where each customer's lines begin.
    time, amount, order : (m,) microseconds, money and order of each line, sorted by customer, time and
        order; 0 is a line that is an order of its own.
    """
    kept, total = np.zeros(len(offsets), dtype=np.int64), np.empty(len(time))
    moments = np.empty(len(time), dtype=np.int64)
    is_purchase = np.zeros(len(time), dtype=bool)
    compiled(_merge)(offsets, time, amount, order, kept, moments, total, is_purchase)
    rows = slice(0, kept[-1])
    return Transactions(kept, moments[rows].copy(), total[rows].copy(), is_purchase[rows].copy())


def _merge(
    offsets: Any, time: Any, amount: Any, order: Any, kept: Any, moments: Any, total: Any, is_purchase: Any
) -> None:
    orders = np.empty(len(time), dtype=np.uint64)
    at = -1
    for customer in range(len(offsets) - 1):
        begin = at + 1
        for row in range(offsets[customer], offsets[customer + 1]):
            is_own = order[row] == 0 or at < begin
            if is_own or order[row] != orders[at] or time[row] != moments[at]:
                at += 1
                moments[at], total[at], orders[at] = time[row], 0.0, order[row]
            total[at] += amount[row]
        kept[customer + 1] = at + 1
        last, opened = np.uint64(0), False
        for row in begin + np.argsort(orders[begin : at + 1], kind="mergesort"):
            opened = opened and orders[row] == last and last != 0
            last = orders[row]
            is_purchase[row] = total[row] >= 0 and not opened
            opened = opened or is_purchase[row]
