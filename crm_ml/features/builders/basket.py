"""What orders hold and what was taken off their price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crm_ml.events.clock import days
from crm_ml.features.builders.order_lines import orders_with, ratio
from crm_ml.features.builders.words import counted, money, percent, said, times
from crm_ml.features.feature import Feature, Words, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, count_per, last_per, owner_of, sum_per

__all__ = ["Basket", "Discounts"]


@register_builder
@dataclass(frozen=True)
class Basket:
    """How much a customer puts into an order.

    An order here is a distinct moment with a line of amount ≥ 0 whose quantity is given; lines of money
    back and lines without a quantity count in no feature. Items are the sum of the quantities.

    Parameters
    ----------
    window_days : recent window that is set beside all time.
    """

    window_days: int = 90

    needs: ClassVar[tuple[str, ...]] = ("quantity",)
    interaction_days: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        days(self.window_days, name="window_days")

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        w, never, lately = self.window_days, "no order with a quantity", f"in the last {self.window_days} days"

        def feature(name: str, unit: str, formula: str, where: str, missing: str, words: Words) -> Feature:
            return Feature(name, unit, formula, where, missing, theme="basket", words=words)

        return (
            feature("items_per_order", "items", "items / orders", "≥ 0", never, said(counted("item"), " per order")),
            feature("lines_per_order", "lines", "lines / orders", "≥ 1", never, said(counted("line"), " per order")),
            feature("value_per_item", "currency", "Σ amount / items", "≥ 0", "no items", said(money, " per item")),
            feature(
                f"items_per_order_{w}d",
                "items",
                f"items / orders, last {w} days",
                "≥ 0",
                f"{never} {lately}",
                said(counted("item"), f" per order {lately}"),
            ),
            feature(
                f"value_per_item_{w}d",
                "currency",
                f"Σ amount / items, last {w} days",
                "≥ 0",
                f"no items {lately}",
                said(money, f" per item {lately}"),
            ),
            feature(
                "last_order_items_ratio",
                "ratio",
                "items of the last order / mean items of the orders before it",
                "≥ 0",
                "no items before the last order",
                said("the last order held ", times, " the items of those before"),
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature.

        Raises
        ------
        SchemaError
            The log has no quantities.
        """
        orders = orders_with(past, "quantity")
        w, offsets, items = self.window_days, orders.offsets, orders.total
        recent = orders.time >= past.cutoff - days(w, name="window_days")
        n, all_items = np.diff(offsets).astype(np.float64), sum_per(items, offsets)
        recent_items = sum_per(np.where(recent, items, 0.0), offsets)
        is_last = np.arange(len(items)) == offsets[1:][owner_of(offsets)] - 1
        earlier_items = sum_per(np.where(is_last, 0.0, items), offsets)
        return {
            "items_per_order": ratio(all_items, n),
            "lines_per_order": ratio(sum_per(orders.lines, offsets), n),
            "value_per_item": ratio(sum_per(orders.amount, offsets), all_items),
            f"items_per_order_{w}d": ratio(recent_items, count_per(recent, offsets)),
            f"value_per_item_{w}d": ratio(sum_per(np.where(recent, orders.amount, 0.0), offsets), recent_items),
            "last_order_items_ratio": ratio(last_per(items, offsets) * (n - 1), earlier_items),
        }


@register_builder
@dataclass(frozen=True)
class Discounts:
    """How much a customer buys at reduced prices.

    The list price of a line is amount + discount. An order here is a distinct moment with a line of
    amount ≥ 0 whose discount is given, 0 included; lines of money back and lines without a discount
    count in no feature, so a log that leaves the discount out where there was none must say 0 instead.

    Parameters
    ----------
    window_days : recent window that is set beside all time.
    """

    window_days: int = 90

    needs: ClassVar[tuple[str, ...]] = ("discount",)
    interaction_days: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        days(self.window_days, name="window_days")

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        w, share, never = self.window_days, "Σ discount / Σ list price", "no order with a discount given"
        orders, unpriced = "orders with a discount above 0 / orders", "nothing bought at a list price above 0"
        lately = f"in the last {w} days"

        def feature(name: str, unit: str, formula: str, where: str, missing: str, words: Words) -> Feature:
            return Feature(name, unit, formula, where, missing, theme="discounts", words=words)

        return (
            feature("discount_share", "share", share, "0 … 1", unpriced, said(percent, " off list prices")),
            feature(
                f"discount_share_{w}d",
                "share",
                f"{share}, last {w} days",
                "0 … 1",
                f"{unpriced} {lately}",
                said(percent, f" off list prices {lately}"),
            ),
            feature(
                "discounted_orders_share",
                "share",
                orders,
                "0 … 1",
                never,
                said(percent, " of the orders with a discount"),
            ),
            feature(
                f"discounted_orders_share_{w}d",
                "share",
                f"{orders}, last {w} days",
                "0 … 1",
                f"{never} {lately}",
                said(percent, f" of the orders {lately} with a discount"),
            ),
            feature(
                "last_order_discounted",
                "1 or 0",
                "last order had a discount above 0",
                "0 or 1",
                never,
                lambda reduced, _: f"last order {'with' if reduced else 'without'} a discount",
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature.

        Raises
        ------
        SchemaError
            The log has no discounts.
        """
        orders = orders_with(past, "discount")
        w, offsets, discount = self.window_days, orders.offsets, orders.total
        recent = orders.time >= past.cutoff - days(w, name="window_days")
        reduced, list_price = discount > 0, orders.amount + discount
        recent_discount = sum_per(np.where(recent, discount, 0.0), offsets)
        recent_price = sum_per(np.where(recent, list_price, 0.0), offsets)
        return {
            "discount_share": ratio(sum_per(discount, offsets), sum_per(list_price, offsets)),
            f"discount_share_{w}d": ratio(recent_discount, recent_price),
            "discounted_orders_share": ratio(count_per(reduced, offsets), np.diff(offsets).astype(np.float64)),
            f"discounted_orders_share_{w}d": ratio(count_per(reduced & recent, offsets), count_per(recent, offsets)),
            "last_order_discounted": last_per(reduced, offsets),
        }
