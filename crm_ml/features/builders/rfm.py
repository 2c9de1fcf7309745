"""Recency, frequency and money."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY
from crm_ml.features.builders.words import counted, duration, lately, number, percent, said, spent, together
from crm_ml.features.decay import NEVER, decayed_since, with_event
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.history import History
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, first_per, last_per, owner_of, sum_per

__all__ = ["FREQUENCY", "RFM", "PurchaseRegularity", "PurchaseSummary"]

FREQUENCY = Feature(
    "frequency",
    "purchase days",
    "distinct days with a purchase − 1",
    "≥ 0",
    theme="frequency",
    words=lambda repeats, _: f"bought on {counted('day')(repeats + 1)}",
)

ALL_TIME = (
    Feature(
        "recency_days",
        "days",
        "cutoff − last purchase",
        "> 0",
        churn=1,
        theme="waiting",
        words=said("last purchase ", duration, " ago"),
    ),
    Feature(
        "tenure_days",
        "days",
        "cutoff − first purchase",
        "> 0",
        theme="tenure",
        words=said("first purchase ", duration, " ago"),
    ),
    FREQUENCY,
    Feature(
        "monetary",
        "currency",
        "net spend / purchase days",
        "any",
        theme="money",
        words=said(spent, " per purchase day"),
    ),
    Feature(
        "spend",
        "currency",
        "purchases − returns, all time",
        "any",
        theme="money",
        words=said(spent, " in all"),
    ),
    Feature(
        "returned_share",
        "share",
        "money returned / money paid",
        "≥ 0",
        "nothing paid",
        theme="returns",
        words=said(percent, " of the money paid was returned"),
    ),
)


@register_builder
@dataclass(frozen=True)
class RFM:
    """How recently, how often and for how much a customer bought.

    Parameters
    ----------
    windows_days : recent windows in which orders and money are counted.
    half_lives_days : half-lives of the decayed order counts.
    """

    windows_days: tuple[int, ...] = (30, 90, 365)
    half_lives_days: tuple[int, ...] = (14, 60)

    interaction_days: ClassVar[float] = 0

    def __post_init__(self) -> None:
        for name in ("windows_days", "half_lives_days"):
            if not all(count > 0 for count in getattr(self, name)):
                raise SchemaError(out_of_range(name, getattr(self, name), "hold numbers of days above 0"))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        windows = (
            feature
            for w in self.windows_days
            for feature in (
                Feature(
                    f"orders_{w}d",
                    "orders",
                    f"orders in the last {w} days",
                    "≥ 0",
                    theme="recent purchases",
                    words=said(counted("order"), f" in the last {w} days"),
                ),
                Feature(
                    f"spend_{w}d",
                    "currency",
                    f"net spend in the last {w} days",
                    "any",
                    theme="recent purchases",
                    words=said(spent, f" in the last {w} days"),
                ),
            )
        )
        decayed = (
            Feature(
                f"orders_decayed_{h}d",
                "orders",
                f"Σ over orders of 2^(−days ago / {h})",
                "> 0",
                theme="recent purchases",
                words=lately("order", h),
            )
            for h in self.half_lives_days
        )
        return (*ALL_TIME, *windows, *decayed)

    def sweep(self, history: History) -> dict[str, Float]:
        """Return one array per feature, by cutoff and customer; missing where a customer has not bought."""
        names = [feature.name for feature in self.describe()]
        columns = np.full((len(names), *history.shape), np.nan)
        money = history.bucket.transactions
        compiled(_sweep, calls=(with_event, decayed_since))(
            money.offsets,
            money.time,
            money.amount,
            money.is_purchase,
            history.cutoffs,
            np.array(sorted(round(days * DAY) for days in self.windows_days), dtype=np.int64),
            np.argsort(np.array(self.windows_days), kind="stable"),
            np.array(self.half_lives_days, dtype=np.float64),
            columns,
        )
        return dict(zip(names, columns, strict=True))


def _sweep(
    offsets: Any,
    time: Any,
    amount: Any,
    is_purchase: Any,
    cutoffs: Any,
    windows: Any,
    window_places: Any,
    half_lives: Any,
    columns: Any,
) -> None:
    """Fold each customer's rows up to every cutoff; the windows are counted back from it."""
    decayed = np.empty(len(half_lives))
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        row, orders, n_days = begin, 0, 0
        first, last, spend, paid = NEVER, NEVER, 0.0, 0.0
        decayed[:] = 0.0
        for at in range(len(cutoffs)):
            cutoff = cutoffs[at]
            while row < end and time[row] < cutoff:
                spend += amount[row]
                paid += max(amount[row], 0.0)
                if is_purchase[row]:
                    if orders == 0:
                        first = time[row]
                    for h in range(len(half_lives)):
                        decayed[h] = with_event(decayed[h], last, time[row], half_lives[h])
                    n_days += orders == 0 or time[row] // DAY != last // DAY
                    last = time[row]
                    orders += 1
                row += 1
            if orders == 0:
                continue
            columns[0, at, customer] = (cutoff - last) / DAY
            columns[1, at, customer] = (cutoff - first) / DAY
            columns[2, at, customer] = n_days - 1
            columns[3, at, customer] = spend / n_days
            columns[4, at, customer] = spend
            if paid > 0:
                columns[5, at, customer] = (paid - spend) / paid
            back, recent_orders, recent_spend = row - 1, 0, 0.0
            for w in range(len(windows)):
                while back >= begin and time[back] >= cutoff - windows[w]:
                    recent_orders += is_purchase[back]
                    recent_spend += amount[back]
                    back -= 1
                columns[6 + 2 * window_places[w], at, customer] = recent_orders
                columns[7 + 2 * window_places[w], at, customer] = recent_spend
            for h in range(len(half_lives)):
                known = decayed_since(decayed[h], last, cutoff, half_lives[h])
                columns[6 + 2 * len(windows) + h, at, customer] = known


@register_builder
@dataclass(frozen=True)
class PurchaseSummary:
    """The sufficient statistics of the purchase-process and spend models, in days."""

    interaction_days: ClassVar[float] = 0

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return (
            FREQUENCY,
            Feature(
                "recency",
                "days",
                "last − first purchase day",
                "0 … T",
                theme="waiting",
                words=said("first and last purchase ", duration, " apart"),
            ),
            Feature(
                "T",
                "days",
                "last day before the cutoff − first purchase day",
                "≥ 0",
                theme="tenure",
                words=said("first purchase ", duration, " ago"),
            ),
            Feature(
                "monetary_value",
                "currency",
                "mean net spend of repeat purchase days",
                "0 without a repeat",
                theme="money",
                words=said(spent, " per repeat purchase day"),
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature; missing where a customer has not bought."""
        days = past.purchase_days
        first, last = first_per(days.day, days.offsets), last_per(days.day, days.offsets)
        frequency = np.diff(days.offsets) - 1.0
        repeat = np.arange(len(days.day)) != days.offsets[:-1][owner_of(days.offsets)]
        repeat_spend = sum_per(np.where(repeat, days.spend, 0.0), days.offsets)
        return {
            "frequency": frequency,
            "recency": last - first,
            "T": (past.cutoff - 1) // DAY - first,
            "monetary_value": np.divide(repeat_spend, frequency, out=np.zeros(len(past)), where=frequency > 0),
        }


@register_builder
@dataclass(frozen=True)
class PurchaseRegularity:
    """How regular purchases are: what models with Erlang gaps need beyond `PurchaseSummary`."""

    interaction_days: ClassVar[float] = 0

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return (
            Feature(
                "sum_log_gaps",
                "log days",
                "Σ log(days between purchase days)",
                "≥ 0, 0 without a repeat",
                theme="rhythm",
                words=_say_log_gaps,
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature."""
        return {"sum_log_gaps": sum_per(np.log(past.gaps.days), past.gaps.offsets)}


def _say_log_gaps(logs: float, row: Mapping[str, float]) -> str:
    known = together(row, "frequency")
    if logs == 0:
        return "no gap of more than a day between purchases"
    if known is None or known[0] == 0:
        return f"logarithms of the days between purchases sum to {number(logs)}"
    return f"typical gap of {duration(math.exp(logs / known[0]))} between purchases"
