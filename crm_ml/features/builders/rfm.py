"""Recency, frequency and money."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, count_per, first_per, last_per, owner_of, sum_per

__all__ = ["RFM", "PurchaseRegularity", "PurchaseSummary"]


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

    def __post_init__(self) -> None:
        for name in ("windows_days", "half_lives_days"):
            if not all(count > 0 for count in getattr(self, name)):
                raise SchemaError(out_of_range(name, getattr(self, name), "hold numbers of days above 0"))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        fixed = (
            Feature("recency_days", "days", "cutoff − last purchase", "> 0", churn=1),
            Feature("tenure_days", "days", "cutoff − first purchase", "> 0"),
            Feature("frequency", "purchase days", "distinct days with a purchase − 1", "≥ 0"),
            Feature("monetary", "currency", "net spend / purchase days", "any"),
            Feature("spend", "currency", "purchases − returns, all time", "any"),
            Feature("returned_share", "share", "money returned / money paid", "≥ 0", "nothing paid"),
        )
        windows = (
            feature
            for w in self.windows_days
            for feature in (
                Feature(f"orders_{w}d", "orders", f"orders in the last {w} days", "≥ 0"),
                Feature(f"spend_{w}d", "currency", f"net spend in the last {w} days", "any"),
            )
        )
        decayed = (
            Feature(f"orders_decayed_{h}d", "orders", f"Σ over orders of 2^(−days ago / {h})", "> 0")
            for h in self.half_lives_days
        )
        return (*fixed, *windows, *decayed)

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature; missing where a customer has not bought."""
        money, bought, days = past.transactions, past.purchases, past.purchase_days
        n_days = np.diff(days.offsets).astype(np.float64)
        spend = sum_per(money.amount, money.offsets)
        paid = sum_per(np.maximum(money.amount, 0.0), money.offsets)
        ago, money_ago = past.days_ago(bought.time), past.days_ago(money.time)
        columns = {
            "recency_days": past.days_ago(last_per(bought.time, bought.offsets)),
            "tenure_days": past.days_ago(first_per(bought.time, bought.offsets)),
            "frequency": n_days - 1,
            "monetary": np.divide(spend, n_days, out=np.full(len(past), np.nan), where=n_days > 0),
            "spend": spend,
            "returned_share": np.divide(paid - spend, paid, out=np.full(len(past), np.nan), where=paid > 0),
        }
        for w in self.windows_days:
            columns[f"orders_{w}d"] = count_per(ago <= w, bought.offsets)
            columns[f"spend_{w}d"] = sum_per(np.where(money_ago <= w, money.amount, 0.0), money.offsets)
        for h in self.half_lives_days:
            columns[f"orders_decayed_{h}d"] = sum_per(np.exp2(-ago / h), bought.offsets)
        return columns


@register_builder
@dataclass(frozen=True)
class PurchaseSummary:
    """The sufficient statistics of the purchase-process and spend models, in days."""

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return (
            Feature("frequency", "purchase days", "distinct days with a purchase − 1", "≥ 0"),
            Feature("recency", "days", "last − first purchase day", "0 … T"),
            Feature("T", "days", "last day before the cutoff − first purchase day", "≥ 0"),
            Feature("monetary_value", "currency", "mean net spend of repeat purchase days", "0 without a repeat"),
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

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return (Feature("sum_log_gaps", "log days", "Σ log(days between purchase days)", "≥ 0, 0 without a repeat"),)

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature."""
        return {"sum_log_gaps": sum_per(np.log(past.gaps.days), past.gaps.offsets)}
