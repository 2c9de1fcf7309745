"""Features are chosen by builder, group or name, switch off where columns lack, and stay with a model."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop, with_details

import crm_ml
from crm_ml import ChurnModel, CustomerLog
from crm_ml.errors import SchemaError
from crm_ml.features import (
    GROUPS,
    RFM,
    Basket,
    CategoryRFM,
    Discounts,
    EventCount,
    FeatureSet,
    InteractionDecline,
    build_features,
    build_panel,
    catalogue,
)
from crm_ml.features.document import document

CUTOFF = pd.Timestamp("2024-03-01")
BOUGHT, ACTED = awkward_shop(31, cutoff=CUTOFF, n_customers=60)
FULL = CustomerLog(with_details(BOUGHT, 32), ACTED)
BARE = CustomerLog(BOUGHT)


def names(features: Any, log: CustomerLog = FULL) -> list[str]:
    return build_features(log, as_of=CUTOFF, features=features).columns.tolist()


def test_groups_names_and_builders_say_the_same() -> None:
    assert names("rfm") == names(["rfm"]) == names([RFM()])
    assert names("all") == names([*GROUPS.values()]) == catalogue("all", FULL, as_of=CUTOFF).index.tolist()
    assert names(["cart_decline", "recency_days", "spend_90d"]) == ["cart_decline", "recency_days", "spend_90d"]
    assert names(["recency_days", "rfm"]) == names("rfm")
    assert names(["rfm", RFM()]) == names("rfm")
    whole = build_features(FULL, as_of=CUTOFF, features="all")
    for name in ("interval_stretch", "items_per_order", "category_hats_share"):
        pd.testing.assert_series_equal(
            build_features(FULL, as_of=CUTOFF, features=[name])[name], whole[name], check_exact=True
        )


def test_a_name_that_nobody_knows_is_told_with_the_nearest() -> None:
    with pytest.raises(SchemaError, match=r"need a column `recency_day`.*nearest: 'recency_days'"):
        names(["recency_day"])


def test_features_whose_columns_lack_are_left_out_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        settled = FeatureSet.settle("all", BARE, first_cutoff=CUTOFF)
    assert settled.left_out == {
        "CategoryRFM": "the log has no category",
        "Basket": "the log has no quantity",
        "Discounts": "the log has no discount",
        "InteractionDecline": "nothing it looks at had occurred by the first cutoff",
    }
    said = {record.getMessage(): record.levelname for record in caplog.records}
    assert said["Basket is left out: the log has no quantity."] == "WARNING"
    assert said["InteractionDecline is left out: nothing it looks at had occurred by the first cutoff."] == "INFO"
    assert names("all", BARE) == names(["rfm", "interval", "season"], BARE) == list(settled.columns)
    only = CustomerLog(with_details(BOUGHT, 32).drop(columns=["category", "discount"]))
    assert names([CategoryRFM(), Basket(), Discounts()], only) == names([Basket()])


def test_a_settled_set_asks_for_what_it_was_settled_on() -> None:
    settled = FeatureSet.settle("all", FULL, first_cutoff=CUTOFF)
    with pytest.raises(SchemaError, match=r"CategoryRFM needs category, which the log lacks; it has \['order_id'\]"):
        build_features(BARE, as_of=CUTOFF, features=settled)
    assert settled.left_out == {}


def test_a_feature_of_a_group_is_settled_by_the_first_cutoff_of_a_panel() -> None:
    late = ACTED.assign(
        event_type=ACTED["event_type"].mask(ACTED["timestamp"] >= CUTOFF - pd.Timedelta(days=20), "new")
    )
    log = CustomerLog(BOUGHT, late)
    with pytest.raises(SchemaError, match="need a column `new_30d`"):
        build_panel(log, cutoffs=[CUTOFF - pd.Timedelta(days=30), CUTOFF], horizon_days=5, features=["new_30d"])
    assert names(["new_30d"], log) == ["new_30d"]


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    features = [
        "recency_days",
        "interval",
        InteractionDecline(window_days=60, event_types=("campaign_contact", "coupon_redemption"), absent="zero"),
        EventCount("touches", {"campaign_contact": 1, "coupon_redemption": 3}, 60, absent="zero"),
    ]
    return ChurnModel(features=features).fit(crm_ml.load_sample(), as_of="2017-10-01")


def test_a_model_builds_what_it_was_trained_on(model: ChurnModel, tmp_path: Path) -> None:
    again = ChurnModel.from_files(model.to_files())
    assert again.feature_set == model.feature_set
    assert model.input_columns == model.feature_set.columns
    assert model.input_columns[0] == "recency_days"
    assert "frequency" not in model.input_columns
    log = crm_ml.load_sample()
    pd.testing.assert_frame_equal(
        crm_ml.predict_churn(log, again, as_of="2017-12-01"), crm_ml.predict_churn(log, model, as_of="2017-12-01")
    )


def test_an_event_type_absent_at_scoring_is_zero_or_an_error_as_chosen(model: ChurnModel) -> None:
    sample = Path(crm_ml.__file__).parents[1] / "data" / "sample"
    acted = pd.read_parquet(sample / "interactions.parquet")
    log = CustomerLog(sample / "transactions.parquet", acted[acted["event_type"] != "coupon_redemption"])
    found = build_features(log, as_of="2017-12-01", features=model.feature_set)
    assert found["coupon_redemption_60d"].eq(0).all()
    assert found["coupon_redemption_decline"].eq(-1).all()
    assert found["days_since_coupon_redemption"].isna().all()
    assert len(crm_ml.predict_churn(log, model, as_of="2017-12-01")) == len(found)
    strict = InteractionDecline(event_types=("campaign_contact", "coupon_redemption"))
    with pytest.raises(SchemaError, match=r"Absent: \['coupon_redemption'\]; present: \['campaign_contact'\]"):
        build_features(log, as_of="2017-12-01", features=[strict])
    with pytest.raises(SchemaError, match='`absent` must be "error" or "zero"; got'):
        InteractionDecline(absent="ignore")  # type: ignore[arg-type]


def test_the_table_of_features_is_the_one_that_the_code_makes() -> None:
    kept = Path(crm_ml.__file__).parent / "features" / "FEATURES.md"
    assert kept.read_text(encoding="utf-8") == document()


def test_no_feature_asks_the_clock() -> None:
    package = Path(crm_ml.__file__).parent
    asked = {"now", "today", "utcnow", "time_ns", "localtime"}
    for path in [*(package / "events").rglob("*.py"), *(package / "features").rglob("*.py")]:
        called = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert not called & asked, path


def test_details_of_lines_reach_the_features() -> None:
    lines = with_details(BOUGHT, 32)
    past = lines[lines["timestamp"] < CUTOFF]
    found = build_features(FULL, as_of=CUTOFF, features=["category", "basket", "discount"])
    paid = past[past["amount"] >= 0]
    counted = paid[paid["quantity"].notna()]
    orders = counted.drop_duplicates(["customer_id", "timestamp"]).groupby("customer_id").size()
    reduced = paid[paid["discount"].notna()].groupby("customer_id")[["amount", "discount"]].sum()
    expected = pd.DataFrame(
        {
            "items_per_order": counted.groupby("customer_id")["quantity"].sum() / orders,
            "discount_share": reduced["discount"] / reduced.sum(axis=1).where(lambda total: total > 0),
            "categories": paid.groupby("customer_id")["category"].nunique(),
            "category_hats_spend_90d": past[
                (past["category"] == "hats") & (past["timestamp"] >= CUTOFF - pd.Timedelta(days=90))
            ]
            .groupby("customer_id")["amount"]
            .sum(),
        }
    ).reindex(found.index)
    expected = expected.fillna({"categories": 0, "category_hats_spend_90d": 0}).astype(np.float64)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_names=False, rtol=1e-12)
