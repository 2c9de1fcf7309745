"""Features and labels against a twin in plain Python, written from their documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from plain_twin import merged, twin

import crm_ml
from crm_ml.errors import ModelError, SchemaError
from crm_ml.events import CustomerLog
from crm_ml.features import (
    DEFAULT_FEATURES,
    RFM,
    ActivityDecline,
    Feature,
    FeatureSet,
    InteractionDecline,
    IntervalStretch,
    Past,
    PurchaseSummary,
    build_features,
    build_panel,
    catalogue,
    register_builder,
)

NAN = float("nan")
CUTOFFS = ["2024-03-01", "2024-02-29", "2023-07-14 13:37:00", "1971-05-01", "2100-03-01"]
ZONED = [("2024-04-12", "Europe/Berlin"), ("2023-11-20", "America/New_York"), ("2024-10-07", "Australia/Lord_Howe")]
N_CUSTOMERS = 200


def in_utc(zone: str, events: pd.DataFrame) -> pd.DataFrame:
    times = events["timestamp"].dt.tz_localize(zone).dt.tz_convert("UTC")
    return events.assign(timestamp=times.dt.tz_localize(None))


def told_once_in(zone: str, events: pd.DataFrame) -> pd.DataFrame:
    """Leave out the local times that a change of the clocks skips or gives twice."""
    local = events["timestamp"].dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return events[local.notna()]


@pytest.mark.parametrize(("when", "zone"), [*((when, "UTC") for when in CUTOFFS), *ZONED])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_feature_and_label_agrees_with_its_documentation(seed: int, when: str, zone: str) -> None:
    cutoff = pd.Timestamp(when)
    bought, acted = (
        told_once_in(zone, events) for events in awkward_shop(seed, cutoff=cutoff, n_customers=N_CUSTOMERS)
    )
    log = CustomerLog(bought, acted, n_buckets=3, timezone=zone)
    bought, acted = (in_utc(zone, events) for events in (bought, acted))
    cutoff = cutoff.tz_localize(zone).tz_convert("UTC").tz_localize(None)
    expected = pd.DataFrame.from_dict(twin(bought, acted, cutoff), orient="index").sort_index()
    panel = build_panel(log, cutoffs=[cutoff], horizon_days=20, features=[*DEFAULT_FEATURES, ActivityDecline()])
    panel = panel.droplevel("cutoff")
    summaries = build_features(log, as_of=cutoff, features=[PurchaseSummary()])
    found = panel.join(summaries.drop(columns="frequency"))
    assert found.index.tolist() == expected.index.tolist()
    assert set(found.columns) - {"horizon_days", "label_end"} == set(expected.columns)
    np.testing.assert_allclose(
        found[expected.columns].to_numpy(), expected.to_numpy(), rtol=1e-9, atol=1e-9, equal_nan=True
    )
    assert summaries["frequency"].tolist() == expected["frequency"].tolist()
    assert (summaries["recency"] <= summaries["T"]).all()


def test_the_awkward_shop_is_awkward() -> None:
    cutoff = pd.Timestamp("2024-02-29")
    bought, acted = awkward_shop(1, cutoff=cutoff, n_customers=80)
    expected = twin(bought, acted, cutoff)
    assert (bought["timestamp"] == cutoff).any()
    assert (bought["timestamp"] == cutoff - pd.Timedelta(days=30)).any()
    assert (acted["timestamp"] == cutoff).any()
    assert (bought["amount"] == 0).any()
    assert bought.duplicated(["customer_id", "timestamp"]).any()
    assert len(expected) < bought["customer_id"].nunique()
    assert set(acted["customer_id"]) - set(bought["customer_id"])
    assert min(row["frequency"] for row in expected.values()) == 0
    assert any(lines["amount"].iloc[0] < 0 for _, lines in bought.sort_values("timestamp").groupby("customer_id"))


def test_only_those_who_bought_within_the_lookback_are_in_the_panel() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    bought, acted = awkward_shop(5, cutoff=cutoff, n_customers=80)
    whole = {str(name): merged(lines) for name, lines in bought.groupby("customer_id")}
    start = cutoff - pd.Timedelta(days=30)
    expected = sorted(n for n, rows in whole.items() if any(r.opens and start <= r.time < cutoff for r in rows))
    panel = build_panel(CustomerLog(bought, acted), cutoffs=[cutoff], horizon_days=20, lookback_days=30)
    assert panel.index.get_level_values("customer_id").tolist() == expected
    assert 0 < len(expected) < len(twin(bought, acted, cutoff))


def tiny() -> CustomerLog:
    times = ["2024-01-01", "2024-01-11", "2024-03-01"]
    return CustomerLog(pd.DataFrame({"customer_id": ["a", "a", "b"], "timestamp": times, "amount": 1.0}))


def test_a_panel_is_the_features_of_each_cutoff_and_labels_reach_exactly_to_the_end() -> None:
    cutoff = pd.Timestamp("2024-03-01", tz="UTC")
    bought, acted = awkward_shop(7, cutoff=cutoff.tz_localize(None), n_customers=60)
    log = CustomerLog(bought, acted)
    cutoffs = [cutoff - pd.Timedelta(days=40), cutoff]
    panel = build_panel(log, cutoffs=cutoffs[::-1], horizon_days=10)
    assert panel.index.unique("cutoff").tolist() == cutoffs
    for at in cutoffs:
        alone = build_features(log, as_of=at)
        part = panel[panel.index.get_level_values("cutoff") == at].droplevel("cutoff")
        pd.testing.assert_frame_equal(part[alone.columns], alone, check_exact=True)
        assert (part["label_end"] == at + pd.Timedelta(days=10)).all()
        assert (part["horizon_days"] == 10.0).all()


def test_the_last_label_window_ends_with_the_log() -> None:
    assert len(build_panel(tiny(), cutoffs=["2024-02-21"], horizon_days=10)) == 1
    with pytest.raises(SchemaError, match=r"Every label window must lie within the log, which ends 2024-03-02"):
        build_panel(tiny(), cutoffs=["2024-02-22"], horizon_days=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoffs": []}, "`cutoffs` must be one or more different moments"),
        ({"cutoffs": ["2024-02-01", "2024-02-01T00:00Z"]}, "`cutoffs` must be one or more different moments"),
        ({"cutoffs": ["soon"]}, "`cutoffs` must be a date or a date and time; got 'soon'"),
        ({"horizon_days": 0}, "`horizon_days` must be a positive number of days; got 0"),
        ({"horizon_days": float("inf")}, "`horizon_days` must be a positive number of days"),
        ({"lookback_days": -1}, "`lookback_days` must be a positive number of days; got -1"),
        ({"lookback_days": 3}, "A panel needs customers who bought before a cutoff"),
        ({"cutoffs": ["2024-01-01"]}, "A panel needs customers who bought before a cutoff"),
    ],
)
def test_a_panel_that_cannot_be_is_told(settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"cutoffs": ["2024-02-01"], "horizon_days": 10} | settings
    with pytest.raises(SchemaError, match=message):
        build_panel(tiny(), **given)


def test_features_need_a_purchase_strictly_before() -> None:
    with pytest.raises(SchemaError, match="Features need a purchase before `as_of` 2024-01-01"):
        build_features(tiny(), as_of="2024-01-01")
    assert len(build_features(tiny(), as_of="2024-01-01 00:00:00.000001")) == 1


@pytest.mark.parametrize(
    ("builder", "settings", "message"),
    [
        (RFM, {"windows_days": (30, 0)}, "`windows_days` must hold numbers of days above 0"),
        (RFM, {"half_lives_days": (0,)}, "`half_lives_days` must hold numbers of days above 0"),
        (IntervalStretch, {"last_gaps": 0}, "`last_gaps` must be at least 1; got 0"),
        (IntervalStretch, {"prior_gaps": 0.0}, "`prior_gaps` must be above 0"),
        (IntervalStretch, {"prior_gaps": NAN}, "`prior_gaps` must be above 0"),
        (InteractionDecline, {"window_days": 0}, "`window_days` must be above 0"),
        (InteractionDecline, {"earlier_windows": -1}, "`earlier_windows` must be above 0"),
        (InteractionDecline, {"half_life_days": NAN}, "`half_life_days` must be above 0"),
        (ActivityDecline, {"window_days": 0}, "`window_days` must be above 0; got 0"),
        (ActivityDecline, {"earlier_windows": 0}, "`earlier_windows` must be above 0; got 0"),
    ],
)
def test_settings_outside_their_domain_are_refused(builder: type, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        builder(**settings)


def test_settings_change_the_columns_they_name() -> None:
    found = build_features(
        tiny(),
        as_of="2024-01-21",
        features=[RFM(windows_days=(10,), half_lives_days=(10,)), IntervalStretch(last_gaps=1)],
    )
    assert found.loc["a", "orders_10d"] == 1
    assert found.loc["a", "orders_decayed_10d"] == pytest.approx(0.5 + 0.25)
    assert "orders_30d" not in found.columns


def test_every_column_is_documented_and_every_documented_column_is_built() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    log = CustomerLog(*awkward_shop(1, cutoff=cutoff, n_customers=40))
    for builders in (DEFAULT_FEATURES, [PurchaseSummary()], [InteractionDecline(window_days=7)], [ActivityDecline()]):
        documented = catalogue(builders, log, as_of=cutoff)
        found = build_features(log, as_of=cutoff, features=builders)
        assert found.columns.tolist() == documented.index.tolist()
        assert (documented.loc[found.isna().any(), "missing"] != "never").all()
        assert documented[["unit", "formula", "range", "missing"]].map(bool).all(axis=None)
        assert set(documented["churn"]) <= {-1, 0, 1}


@register_builder
@dataclass(frozen=True)
class Weekend:
    """Orders on weekends: a builder of somebody else."""

    scale: float = 1.0
    days: tuple[int, ...] = (5, 6)

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("weekend_orders", "orders", "orders on Saturday and Sunday", "≥ 0"),)

    def build(self, past: Past) -> Mapping[str, Any]:
        weekday = (past.purchases.time // 86_400_000_000 + 3) % 7
        hits = np.concatenate([[0], np.cumsum(np.isin(weekday, self.days))])
        return {"weekend_orders": self.scale * np.diff(hits[past.purchases.offsets])}


def test_a_builder_of_ones_own_works() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    bought, acted = awkward_shop(2, cutoff=cutoff, n_customers=40)
    found = build_features(CustomerLog(bought, acted), as_of=cutoff, features=[Weekend()])["weekend_orders"]
    for name, lines in bought.groupby("customer_id"):
        days = [row.time.weekday() for row in merged(lines) if row.opens and row.time < cutoff]
        assert found.get(name, 0.0) == sum(day >= 5 for day in days)


@dataclass(frozen=True)
class Odd:
    """A builder that keeps no promise."""

    described: tuple[str, ...]
    built: tuple[str, ...]
    surplus: int = 0

    def describe(self) -> list[Feature]:
        return [Feature(name, "one", "nothing", "0") for name in self.described]

    def build(self, past: Past) -> Mapping[str, Any]:
        return dict.fromkeys(self.built, np.zeros(len(past) + self.surplus))


@pytest.mark.parametrize(
    ("builders", "message"),
    [
        ([Odd(("x",), ("y",))], r"Odd must build an array of shape \(2,\) for each of \['x'\]; got \{'y'"),
        ([Odd(("x",), ("x", "y"))], r"Odd must build an array"),
        ([Odd(("x", "y"), ("x",))], r"Odd must build an array"),
        ([Odd(("x",), ("x",), surplus=1)], r"shape \(2,\) for each of \['x'\]; got \{'x': \(3,\)\}"),
        ([Odd(("x",), ("x",)), Odd(("x",), ("x",), surplus=1)], r"Feature names must be unique\. Built twice: \['x'\]"),
        ([RFM(windows_days=(30, 30))], r"Built twice: \['orders_30d', 'spend_30d'\]"),
        ([Odd(("churned",), ("churned",))], r"must leave a panel's own columns free\. Taken: \['churned'\]"),
        ([Odd(("cutoff",), ("cutoff",))], r"must leave a panel's own columns free\. Taken: \['cutoff'\]"),
    ],
)
def test_builders_that_break_the_protocol_are_told(builders: list[Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        build_features(tiny(), as_of="2024-02-01", features=builders)


def test_an_event_type_that_the_log_lacks_is_told() -> None:
    with pytest.raises(SchemaError, match=r"Absent: \['view'\]; present: \[\]"):
        build_features(tiny(), as_of="2024-02-01", features=[InteractionDecline(event_types=("view",))])


def with_acts(kinds: dict[str, list[str]]) -> CustomerLog:
    """The tiny shop, with customer a's events by type."""
    acted = [("a", time, kind) for kind, times in kinds.items() for time in times]
    bought = pd.DataFrame({"customer_id": ["a", "a", "b"], "timestamp": ["2024-01-01", "2024-01-11", "2024-03-01"]})
    return CustomerLog(
        bought.assign(amount=1.0), pd.DataFrame(acted, columns=["customer_id", "timestamp", "event_type"])
    )


def test_interactions_of_all_types_or_of_those_named_fall_together() -> None:
    log = with_acts(
        {"view": ["2024-01-02"] * 20 + ["2024-03-20"] * 3, "cart": ["2024-01-30"] * 10 + ["2024-03-20"] * 2}
    )
    both = build_features(log, as_of="2024-04-01", features=[ActivityDecline()])
    assert both.loc["a"].tolist() == [5.0, 5 / (30 / 3) - 1]
    assert both.loc["b", "interactions_30d"] == 0
    assert np.isnan(both.loc["b", "interaction_decline"])
    named = build_features(log, as_of="2024-04-01", features=[ActivityDecline(event_types=("view",))])
    assert named.loc["a"].tolist() == [3.0, pytest.approx(3 / (20 / 3) - 1)]
    with pytest.raises(
        SchemaError, match=r"Absent: \['zoom'\]; present: \['cart', 'view'\]\.\nAdd them, or do not name"
    ):
        build_features(log, as_of="2024-04-01", features=[ActivityDecline(event_types=("zoom", "view"))])


def test_where_nothing_was_done_in_the_earlier_windows_no_fall_can_be_seen() -> None:
    gone, fresh = with_acts({"view": ["2023-10-01"]}), with_acts({"view": ["2024-03-20"]})
    for log, recent in ((gone, 0.0), (fresh, 1.0)):
        found = build_features(log, as_of="2024-04-01", features=[ActivityDecline()])
        assert found.loc["a", "interactions_30d"] == recent
        assert found["interaction_decline"].isna().all()
    before = build_features(fresh, as_of="2024-03-20", features=[ActivityDecline()])
    assert before["interaction_decline"].isna().all()


def test_builders_survive_being_stored() -> None:
    given = (RFM(windows_days=(7,)), IntervalStretch(2, 1.5), InteractionDecline(event_types=("view",)), Weekend(2.0))
    given += (ActivityDecline(14, 2, ("view", "cart")),)
    stored = FeatureSet(given, ("recency_days",))
    assert FeatureSet.from_dict(json.loads(json.dumps(stored.to_dict()))) == stored


def test_a_builder_nobody_registered_is_told() -> None:
    with pytest.raises(ModelError, match=r"need the builder 'Odd', which is not registered here\. Registered: \["):
        FeatureSet.from_dict(FeatureSet((Odd(("x",), ("x",)),), ("x",)).to_dict())
    with pytest.raises(ModelError, match="must be stored as builders and columns"):
        FeatureSet.from_dict([{"builder": "RFM", "settings": {}}])  # type: ignore[arg-type]


def test_features_stream_bucket_by_bucket() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    log = CustomerLog(*awkward_shop(3, cutoff=cutoff, n_customers=60), n_buckets=4)
    parts = list(crm_ml.features.iter_features(log, as_of=cutoff))
    assert len(parts) == 4
    pd.testing.assert_frame_equal(pd.concat(parts).sort_index(), build_features(log, as_of=cutoff), check_exact=True)
