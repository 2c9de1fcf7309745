"""Planted knowledge of the future is found and named, and honest shops give no alarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_ml import CustomerLog, build_panel, load_sample, simulate
from crm_ml.errors import SchemaError
from crm_ml.evaluation import audit_leakage, audit_panel
from crm_ml.events.clock import DAY
from crm_ml.features import EventCount, Feature, History, Past
from crm_ml.features.ragged import count_per, sum_per

SAMPLE = load_sample()
CUTOFFS = ["2017-09-01", "2017-10-01", "2017-11-01", "2017-12-01"]
WINDOW: dict[str, Any] = {"cutoffs": CUTOFFS, "horizon_days": 30}


@dataclass(frozen=True)
class OrdersUntil:
    """Orders before a moment some days from the cutoff."""

    days: float

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("orders_so_far", "orders", "orders", "≥ 0"),)

    def sweep(self, history: History) -> Mapping[str, Any]:
        bought = history.bucket.transactions
        until = [bought.time < cutoff + self.days * DAY for cutoff in history.cutoffs]
        return {"orders_so_far": np.array([count_per(rows & bought.is_purchase, bought.offsets) for rows in until])}


@dataclass(frozen=True)
class ShareOfAllSpend:
    """What was spent before the cutoff as a share of all that ever was, and something honest."""

    def describe(self) -> tuple[Feature, ...]:
        return (
            Feature("share_of_all", "share", "spend / spend ever", "any"),
            Feature("spent", "money", "spend", "any"),
        )

    def sweep(self, history: History) -> Mapping[str, Any]:
        bought = history.bucket.transactions
        ever = sum_per(bought.amount, bought.offsets)
        spent = np.array([sum_per(past.transactions.amount, past.transactions.offsets) for past in history.pasts])
        return {"share_of_all": spent / np.where(ever == 0, 1, ever), "spent": spent}


@dataclass(frozen=True)
class MeanOverCutoffs:
    """The orders of a customer at each cutoff beside the mean over all of them, later ones too."""

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("orders_beside_mean", "orders", "orders", "any"),)

    def sweep(self, history: History) -> Mapping[str, Any]:
        orders = OrdersUntil(0).sweep(history)["orders_so_far"]
        return {"orders_beside_mean": orders - orders.mean(axis=0)}


def found(report: pd.DataFrame) -> dict[str, set[str]]:
    return report.groupby("feature")["finding"].agg(set).to_dict()


@pytest.mark.parametrize("days", [1, 1e-11])
def test_a_builder_that_looks_a_day_or_a_microsecond_ahead_is_named(days: float) -> None:
    cutoffs = CUTOFFS
    log = SAMPLE
    if days < 1:  # someone buys at the very cutoff
        bought = pd.DataFrame({"customer_id": [*"aab", *(f"c{n}" for n in range(40))], "amount": 1.0})
        times = pd.to_datetime(["2024-01-01", "2024-03-01", "2024-01-15", *["2024-02-01"] * 20, *["2024-05-01"] * 20])
        more = bought.iloc[3:23].assign(timestamp=pd.Timestamp("2024-03-20"))
        log, cutoffs = CustomerLog(pd.concat([bought.assign(timestamp=times), more])), ["2024-03-01"]
    features = ["rfm", OrdersUntil(days)]
    report = audit_leakage(log, cutoffs=cutoffs, horizon_days=30, features=features)
    ahead = report[report["finding"] == "looks ahead"]
    assert ahead["feature"].tolist() == ["orders_so_far"]
    assert "OrdersUntil builds another value for " in ahead["evidence"].iloc[0]
    clean = audit_leakage(log, cutoffs=cutoffs, horizon_days=30, features=["rfm", OrdersUntil(0)])
    assert found(clean) == {}


def test_the_share_of_rows_that_differ_is_the_one_that_differs() -> None:
    report = audit_leakage(SAMPLE, **WINDOW, features=[OrdersUntil(1)]).set_index("finding")
    one, other = (build_panel(SAMPLE, **WINDOW, features=[OrdersUntil(days)])["orders_so_far"] for days in (0, 1))
    assert report.loc["looks ahead", "number"] == pytest.approx((one != other).mean(), abs=1e-12)
    assert f"by up to {(other - one).max():.3g}" in report.loc["looks ahead", "evidence"]


def test_a_builder_of_whole_log_totals_is_named_and_its_honest_column_is_not() -> None:
    report = audit_leakage(SAMPLE, **WINDOW, features=["interval", ShareOfAllSpend()])
    assert set(found(report)) == {"share_of_all"}
    assert "looks ahead" in found(report)["share_of_all"]


def test_a_builder_that_looks_from_one_cutoff_to_the_next_is_named() -> None:
    report = audit_leakage(SAMPLE, **WINDOW, features=[MeanOverCutoffs()])
    assert "looks ahead" in found(report)["orders_beside_mean"]
    alone = audit_leakage(SAMPLE, cutoffs=CUTOFFS[-1:], horizon_days=30, features=[MeanOverCutoffs()])
    assert "looks ahead" not in found(alone).get("orders_beside_mean", set())


@dataclass(frozen=True)
class Table:
    """A number per customer that somebody made from the whole log."""

    numbers: Mapping[str, float]

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("lifetime_orders", "orders", "orders", "≥ 0"),)

    def build(self, past: Past) -> Mapping[str, Any]:
        return {"lifetime_orders": np.array([self.numbers.get(name, 0.0) for name in past.customer_id])}


@cache
def panel() -> pd.DataFrame:
    return build_panel(SAMPLE, **WINDOW)


@cache
def lifetime() -> pd.DataFrame:
    """Give what each customer bought in the whole log, from its last day."""
    whole = build_panel(SAMPLE, cutoffs=[SAMPLE.end - pd.Timedelta(days=1)], horizon_days=1).droplevel("cutoff")
    return whole[["tenure_days", "recency_days", "frequency", "spend"]]


def test_a_table_made_from_the_whole_log_passes_the_first_test_and_not_the_second() -> None:
    table = Table(lifetime()["frequency"].to_dict())
    report = audit_leakage(SAMPLE, **WINDOW, features=["rfm", table])
    assert found(report) == {"lifetime_orders": {"separates"}}
    assert report["evidence"].iloc[0].startswith("lifetime_orders, less frequency puts 9")


@pytest.mark.parametrize("column", ["frequency", "spend"])
def test_a_column_of_the_whole_log_in_a_ready_panel_is_named(column: str) -> None:
    planted = lifetime()[column].reindex(panel().index.get_level_values("customer_id")).to_numpy()
    report = audit_panel(panel().assign(planted=planted))
    assert found(report) == {"planted": {"separates"}}
    assert f"planted, less {column}" in report["evidence"].iloc[0]


def test_a_label_under_another_name_is_named() -> None:
    for planted in (panel()["spend_ahead"], -panel()["purchase_days_ahead"], 1 - panel()["churned"]):
        assert "separates" in found(audit_panel(panel().assign(planted=planted)))["planted"]
    silent = panel()["purchase_days_ahead"].where(panel()["churned"] == 0)
    assert found(audit_panel(panel().assign(planted=silent)))["planted"] == {"separates", "decides"}


def closing(share: float, seed: int) -> CustomerLog:
    """Close accounts of some who never bought again, under a date just after their last purchase."""
    shop = simulate(2500, seed=seed, days=420)
    bought = shop.transactions.query("amount >= 0")
    last = bought.groupby("customer_id")["timestamp"].max()
    gone = last[last < last.max() - pd.Timedelta(days=40)].sample(frac=share, random_state=seed)
    closed = (gone + pd.Timedelta(days=2)).reset_index().assign(event_type="account_closed")
    acted = pd.concat([shop.interactions, closed])
    return CustomerLog(shop.transactions, acted)


SHOP_CUTOFFS = ["2024-08-01", "2024-10-01", "2024-12-01"]


def test_an_event_written_into_the_past_afterwards_is_named() -> None:
    report = audit_leakage(closing(0.3, 1), cutoffs=SHOP_CUTOFFS, horizon_days=30, lookback_days=60)
    assert set(report["finding"]) == {"decides"}
    assert set(report["feature"]) <= {
        f"{kind}account_closed{s}" for kind in ("", "days_since_") for s in ("", "_30d", "_decline", "_decayed")
    }
    assert "account_closed_30d" in set(report["feature"])
    row = report.set_index("feature").loc["account_closed_30d"]
    assert row["number"] == 1.0
    assert "where account_closed_30d is > 0, 100.0% of " in row["evidence"]


CLEAN: list[tuple[str, dict[str, Any]]] = [
    ("plain", {}),
    ("frequent", {"purchase_scale_days": 8.0}),
    ("short-lived", {"leaving_scale_days": 100.0}),
    ("talkative", {"purchase_scale_days": 15.0, "interactions_per_purchase": 10.0, "leaving_scale_days": 150.0}),
    ("without warning", {"warning_days": 5.0}),
    ("regular", {"regularity": 4.0}),
    ("new", {"acquisition_share": 0.9}),
    ("returning goods", {"return_share": 0.3}),
    ("contacted", {"n_campaigns": 6, "treated_share": 0.9}),
    ("small", {"n_customers": 200}),
]


@pytest.mark.parametrize(("name", "settings"), CLEAN, ids=[name for name, _ in CLEAN])
def test_an_honest_shop_gives_no_alarm(name: str, settings: dict[str, Any]) -> None:
    shop = simulate(**({"n_customers": 1500, "days": 450, "seed": len(name)} | settings))
    log = CustomerLog(shop.transactions, shop.interactions)
    features = ["all", EventCount("warmth", {"view": 1, "complaint": -5}, 45, half_life_days=20)]
    for lookback_days in (90, None):
        how: dict[str, Any] = {"horizon_days": 30, "lookback_days": lookback_days, "features": features}
        report = audit_leakage(log, cutoffs=SHOP_CUTOFFS, **how)
        assert found(report) == {}, report["evidence"].tolist()


def test_the_sample_gives_no_alarm() -> None:
    report = audit_leakage(SAMPLE, **WINDOW, features="all")
    assert report.empty
    assert report.columns.tolist() == ["feature", "finding", "evidence", "number"]
    assert audit_panel(panel()).empty


@pytest.mark.parametrize(
    ("given", "trusted", "message"),
    [
        (lambda: panel()[["churned"]], None, "panels to audit need a column `recency_days`"),
        (lambda: panel().drop(columns="churned"), None, "panels to audit need a column `churned`"),
        (lambda: panel(), ["recency"], "panels to audit need a column `recency`.*nearest: 'frequency'"),
        (lambda: panel()[panel()["churned"] == 0], None, r"customers who left and customers who stayed; 0 of \d"),
        (lambda: panel().assign(region="north"), None, "features must be numeric"),
    ],
)
def test_a_panel_that_cannot_be_audited_is_told(given: Any, trusted: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        audit_panel(given(), trusted=trusted)
