"""A past made by hand: rows of customers as lists, and the same as the arrays that builders are given."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from crm_ml.events.clock import DAY

CATEGORIES = ("bags", "hats", "shoes", "toys")
KINDS = ("cart", "complaint", "view")
CUTOFF = 19_800 * DAY + 12_345_678_901
NAN = float("nan")


class Line(NamedTuple):
    time: int
    amount: float
    category: str | None
    quantity: float
    discount: float


class Order(NamedTuple):
    time: int
    amount: float
    is_purchase: bool


class Event(NamedTuple):
    time: int
    kind: str
    value: float


class Customer(NamedTuple):
    lines: list[Line]
    orders: list[Order]
    events: list[Event]


@dataclass
class KnownPast:
    """The members of a past that the builders read, without a log behind them."""

    customers: list[Customer]
    columns: frozenset[str] = frozenset({"category", "quantity", "discount", "value"})
    categories: tuple[str, ...] = CATEGORIES
    event_types: tuple[str, ...] = KINDS
    cutoff: int = CUTOFF

    def __len__(self) -> int:
        return len(self.customers)

    def days_ago(self, time: Any) -> Any:
        return (self.cutoff - time.astype(np.float64)) / DAY

    def column(self, rows: list[Line], name: str) -> Any:
        if name not in self.columns:
            return None
        if name == "category":
            codes = [-1 if row.category is None else self.categories.index(row.category) for row in rows]
            return np.array(codes, dtype=np.int32)
        return np.array([getattr(row, name) for row in rows], dtype=np.float64)

    @property
    def lines(self) -> SimpleNamespace:
        rows = [line for customer in self.customers for line in customer.lines]
        return SimpleNamespace(
            offsets=offsets([len(customer.lines) for customer in self.customers]),
            time=np.array([row.time for row in rows], dtype=np.int64),
            amount=np.array([row.amount for row in rows], dtype=np.float64),
            category=self.column(rows, "category"),
            quantity=self.column(rows, "quantity"),
            discount=self.column(rows, "discount"),
        )

    def money(self, *, purchases_only: bool) -> SimpleNamespace:
        kept = [[row for row in c.orders if row.is_purchase or not purchases_only] for c in self.customers]
        return SimpleNamespace(
            offsets=offsets([len(rows) for rows in kept]),
            time=np.array([row.time for rows in kept for row in rows], dtype=np.int64),
            amount=np.array([row.amount for rows in kept for row in rows], dtype=np.float64),
        )

    @property
    def transactions(self) -> SimpleNamespace:
        return self.money(purchases_only=False)

    @property
    def purchases(self) -> SimpleNamespace:
        return self.money(purchases_only=True)

    @property
    def interactions(self) -> SimpleNamespace:
        rows = [event for customer in self.customers for event in customer.events]
        return SimpleNamespace(
            offsets=offsets([len(customer.events) for customer in self.customers]),
            time=np.array([row.time for row in rows], dtype=np.int64),
            event_type=np.array([self.event_types.index(row.kind) for row in rows], dtype=np.int16),
            value=np.array([row.value for row in rows], dtype=np.float64),
        )


def offsets(counts: list[int]) -> Any:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def edge(days_ago: float, microseconds: int = 0) -> int:
    """Give a moment so many days before the cutoff."""
    return CUTOFF - round(days_ago * DAY) + microseconds


EDGES = [
    edge(days, shift)
    for days in (30, 90, 364, 364 - 30, 364 + 30, 364 + 7, 364 - 37, 364 + 7 + 44, 728, 728 - 30, 728 + 30)
    for shift in (-1, 0, 1)
] + [CUTOFF - 1]


def some_customers(seed: int, n_customers: int) -> list[Customer]:
    """Make customers whose rows tie, return, miss values and sit on the edges of windows."""
    rng = np.random.default_rng(seed)

    def moments(most: int) -> list[int]:
        drawn = [
            int(rng.choice(EDGES)) if rng.random() < 0.5 else CUTOFF - 1 - int(rng.integers(0, 900 * DAY))
            for _ in range(int(rng.integers(0, most + 1)))
        ]
        return sorted(drawn + [time for time in drawn if rng.random() < 0.4])

    def amount(returns: float) -> float:
        size = float(rng.choice([0.0, 5.0, float(rng.gamma(2.0, 20.0))]))
        return -size if rng.random() < returns else size

    def customer() -> Customer:
        returns = float(rng.choice([0.0, 0.3, 1.0], p=[0.4, 0.5, 0.1]))
        lines = [
            Line(
                time,
                amount(returns),
                None if rng.random() < 0.2 else str(rng.choice(CATEGORIES)),
                NAN if rng.random() < 0.2 else float(rng.integers(0, 4)),
                NAN if rng.random() < 0.2 else float(rng.choice([0.0, 0.0, 3.0, 12.5])),
            )
            for time in moments(8)
        ]
        orders = [
            Order(time, value, value >= 0 and bool(rng.random() < 0.8))
            for time in moments(10)
            for value in [amount(returns)]
        ]
        events = [
            Event(time, str(rng.choice(KINDS)), NAN if rng.random() < 0.3 else float(rng.normal(0, 5)))
            for time in moments(12)
        ]
        return Customer(lines, orders, events)

    return [customer() for _ in range(n_customers)]
