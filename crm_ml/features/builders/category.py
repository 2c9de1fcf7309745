"""Recency, frequency and money by category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError
from crm_ml.events.clock import days
from crm_ml.features.builders.order_lines import first_of_moment, line_column, offsets_where, ratio
from crm_ml.features.builders.words import counted, duration, percent, said, spent
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, Int, count_per, owner_of, sum_per

__all__ = ["CategoryRFM"]


@register_builder
@dataclass(frozen=True)
class CategoryRFM:
    """How recently, how often and for how much a customer bought in each category, and how broadly.

    A line of amount ≥ 0 buys its category; the distinct moments of such lines are the category's orders.
    Spend in a window is net of money back; shares are of money paid in lines that name a category, so
    that they lie in 0 … 1 whatever was returned. A line of a category that is not in `categories` counts
    in the features over all categories only; one that names no category counts in none. A category in
    which nobody in the log bought stands at nothing bought.

    Parameters
    ----------
    windows_days : recent windows in which orders, money and categories are counted.
    categories : the categories to build for; None means those that had occurred by the first cutoff.
    """

    windows_days: tuple[int, ...] = (90,)
    categories: tuple[str, ...] | None = None

    needs: ClassVar[tuple[str, ...]] = ("category",)
    interaction_days: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        for window in self.windows_days:
            days(window, name="windows_days")

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        bought = counted("category")
        return (
            Feature(
                "categories",
                "categories",
                "distinct categories bought",
                "≥ 0",
                theme="categories",
                words=said("bought in ", bought),
            ),
            *(
                Feature(
                    f"categories_{w}d",
                    "categories",
                    f"distinct categories bought in the last {w} days",
                    "≥ 0",
                    theme="categories",
                    words=said("bought in ", bought, f" in the last {w} days"),
                )
                for w in self.windows_days
            ),
            Feature(
                "favourite_category_share",
                "share",
                "largest money paid in one category / in all",
                "0 … 1",
                "nothing paid in any category",
                theme="categories",
                words=said(percent, " of the money paid went to one category"),
            ),
            *(feature for name in self.categories or () for feature in self._describe_one(name)),
        )

    def _describe_one(self, name: str) -> tuple[Feature, ...]:
        theme = f"category {name}"
        return (
            Feature(
                f"category_{name}_recency_days",
                "days",
                f"cutoff − last purchase in {name}",
                "> 0",
                f"never bought in {name}",
                theme=theme,
                words=said(f"last purchase in {name} ", duration, " ago"),
            ),
            Feature(
                f"category_{name}_share",
                "share",
                f"money paid in {name} / in all categories",
                "0 … 1",
                "nothing paid in any category",
                theme=theme,
                words=said(percent, f" of the money paid went to {name}"),
            ),
            *(
                feature
                for w in self.windows_days
                for feature in (
                    Feature(
                        f"category_{name}_orders_{w}d",
                        "orders",
                        f"orders with {name} in the last {w} days",
                        "≥ 0",
                        theme=theme,
                        words=said(counted("order"), f" with {name} in the last {w} days"),
                    ),
                    Feature(
                        f"category_{name}_spend_{w}d",
                        "currency",
                        f"net spend on {name} in the last {w} days",
                        "any",
                        theme=theme,
                        words=said(spent, f" on {name} in the last {w} days"),
                    ),
                )
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature.

        Raises
        ------
        SchemaError
            The log has no categories, or none of those the features were made for.
        """
        lines, category = past.lines, line_column(past, "category")
        if self.categories and not set(self.categories) & set(past.categories):
            raise SchemaError(
                f"The log must hold a category the features were made for, out of {list(self.categories)}; "
                f"present: {list(past.categories)}.\nName them alike, or train again."
            )
        bought = _bought(lines.offsets, lines.time, lines.amount, category, n_categories=len(past.categories))
        paid = sum_per(bought.paid, bought.offsets)
        columns = {"categories": np.diff(bought.offsets).astype(np.float64)}
        for w in self.windows_days:
            since = past.cutoff - days(w, name="windows_days")
            columns[f"categories_{w}d"] = count_per(bought.last >= since, bought.offsets)
        columns["favourite_category_share"] = ratio(_largest_per(bought.paid, bought.offsets), paid)
        for name in self.categories or ():
            code = past.categories.index(name) if name in past.categories else len(past.categories)
            last, own = bought.of(code)
            columns[f"category_{name}_recency_days"] = past.days_ago(last)
            columns[f"category_{name}_share"] = ratio(own, paid)
            columns |= self._build_windows(past, name, category == code)
        return columns

    def _build_windows(self, past: Past, name: str, own: npt.NDArray[np.bool_]) -> dict[str, Float]:
        offsets, time, amount = offsets_where(past.lines.offsets, own), past.lines.time[own], past.lines.amount[own]
        buys = amount >= 0
        order_offsets, order_time = offsets_where(offsets, buys), time[buys]
        opens = first_of_moment(order_time, order_offsets)
        columns: dict[str, Float] = {}
        for w in self.windows_days:
            since = past.cutoff - days(w, name="windows_days")
            columns[f"category_{name}_orders_{w}d"] = count_per(opens & (order_time >= since), order_offsets)
            columns[f"category_{name}_spend_{w}d"] = sum_per(np.where(time >= since, amount, 0.0), offsets)
        return columns


@dataclass(frozen=True)
class _Bought:
    """The categories each customer bought, each once.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns rows offsets[i]:offsets[i + 1].
    code : (m,) int64, position of the category.
    last : (m,) int64, moment of the last purchase in it.
    paid : (m,) float64, money paid in it, ≥ 0.
    """

    offsets: Int
    code: Int
    last: Int
    paid: Float

    def of(self, code: int) -> tuple[Float, Float]:
        """Return each customer's last moment in a category, NaN without one, and money paid in it."""
        rows = np.flatnonzero(self.code == code)
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        last, paid = np.full(len(self.offsets) - 1, np.nan), np.zeros(len(self.offsets) - 1)
        last[owner], paid[owner] = self.last[rows], self.paid[rows]
        return last, paid


def _bought(offsets: Int, time: Int, amount: Float, category: npt.NDArray[np.integer], *, n_categories: int) -> _Bought:
    rows = np.flatnonzero((category >= 0) & (amount >= 0))
    width = max(n_categories, 1)
    key = owner_of(offsets)[rows] * width + category[rows]
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    begins = np.flatnonzero(first)
    bounds = np.append(begins, len(key))
    return _Bought(
        offsets=np.searchsorted(key[begins], np.arange(len(offsets)) * width).astype(np.int64),
        code=key[begins] % width,
        last=time[rows[bounds[1:] - 1]],
        paid=sum_per(amount[rows], bounds),
    )


def _largest_per(values: Float, offsets: Int) -> Float:
    """Return the largest value of each stretch, none below 0; 0 for an empty one."""
    largest = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if filled.any():
        largest[filled] = np.maximum.reduceat(values, offsets[:-1][filled])
    return largest
