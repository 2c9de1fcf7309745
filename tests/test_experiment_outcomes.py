"""Outcomes of an experiment: what the log says, nothing of what came after in what was known before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.decisions.experiments import experiment_outcomes
from crm_ml.errors import SchemaError

START, DAYS, PRE_DAYS = pd.Timestamp("2024-03-01"), 30, 60


def orders(*, seed: int = 0) -> pd.DataFrame:
    rng, n = np.random.default_rng(seed), 4_000
    times = pd.Timestamp("2023-11-01") + pd.to_timedelta(rng.integers(0, 200 * 24, n), unit="h")
    amounts = np.where(rng.random(n) < 0.1, -5.0, rng.gamma(2.0, 20.0, n).round(2))
    return pd.DataFrame({"customer_id": rng.integers(0, 300, n), "timestamp": times, "amount": amounts})


def arms(count: int = 310) -> pd.Series:
    return pd.Series(np.resize(["control", "coupon"], count), index=pd.RangeIndex(count), name="arm")


def read(transactions: pd.DataFrame, *, n_buckets: int = 4, **settings) -> pd.DataFrame:
    log = crm_ml.CustomerLog(transactions, n_buckets=n_buckets)
    return experiment_outcomes(log, arms(), **{"start": START, "horizon_days": DAYS, "pre_days": PRE_DAYS, **settings})


def by_hand(transactions: pd.DataFrame, begin: pd.Timestamp, days: int) -> pd.DataFrame:
    inside = transactions[transactions["timestamp"].between(begin, begin + pd.Timedelta(days=days), inclusive="left")]
    bought = inside[inside["amount"] >= 0]
    purchases = bought.assign(day=bought["timestamp"].dt.floor("D")).groupby("customer_id")["day"].nunique()
    spend = inside.groupby("customer_id")["amount"].sum()
    found = pd.DataFrame({"purchases": purchases, "spend": spend}, dtype=float)
    return found.reindex(range(310)).fillna(0.0)


def test_outcomes_are_those_counted_by_hand():
    found = read(orders())
    after, before = by_hand(orders(), START, DAYS), by_hand(orders(), START - pd.Timedelta(days=PRE_DAYS), PRE_DAYS)
    np.testing.assert_allclose(found[["purchases", "spend"]], after, atol=1e-9)
    np.testing.assert_allclose(found[["pre_purchases", "pre_spend"]], before, atol=1e-9)
    np.testing.assert_array_equal(found["retained"], after["purchases"] > 0)
    assert found["arm"].tolist() == arms().tolist()
    assert found.index.tolist() == [str(i) for i in range(310)]
    assert (found.loc["300":, "purchases"] == 0).all()


def test_nothing_at_or_after_the_start_changes_what_was_known():
    before = read(orders())
    later = orders()
    moved = later["timestamp"] >= START
    changed = later.assign(
        amount=later["amount"].where(~moved, later["amount"] * 3),
        customer_id=later["customer_id"].where(~moved, (later["customer_id"] * 7) % 300),
    )
    extra = pd.DataFrame({"customer_id": range(300), "timestamp": START, "amount": 99.0})
    found = read(pd.concat([changed, extra]))
    pd.testing.assert_frame_equal(found.filter(like="pre_"), before.filter(like="pre_"), check_exact=True)
    assert (found.loc[:"299", "retained"] == 1).all()


def test_neither_order_nor_buckets_change_outcomes():
    expected = read(orders())
    pd.testing.assert_frame_equal(read(orders(), n_buckets=1), expected)
    shuffled = arms().sample(frac=1, random_state=0)
    found = experiment_outcomes(
        crm_ml.CustomerLog(orders()), shuffled, start=START, horizon_days=DAYS, pre_days=PRE_DAYS
    )
    pd.testing.assert_frame_equal(found, expected.loc[found.index])


def test_the_window_before_is_as_long_by_default():
    pd.testing.assert_frame_equal(read(orders(), pre_days=None), read(orders(), pre_days=DAYS))


def test_what_has_not_happened_yet_is_no_outcome():
    log = crm_ml.CustomerLog(orders())
    whole = (log.end - START.tz_localize("UTC")).days
    assert len(read(orders(), horizon_days=whole)) == 310
    with pytest.raises(SchemaError, match="must lie within the log, which ends"):
        read(orders(), horizon_days=whole + 1)


def test_arms_that_cannot_be_joined_are_refused():
    log = crm_ml.CustomerLog(orders())
    for given, match in (
        (pd.Series(["control"], index=["nobody"]), "it knows none of 1"),
        (pd.Series(["control", None], index=[1, 2]), "must name an arm for every customer; 1 have none"),
        (pd.Series(["control", "coupon"], index=[1, 1]), "every customer once"),
        (pd.Series(["control", "coupon"], index=pd.Index([1, "1"], dtype=object)), "every customer once"),
    ):
        with pytest.raises(SchemaError, match=match):
            experiment_outcomes(log, given, start=START, horizon_days=DAYS)
