"""Segments, stages of life and health of a shop, month by month, as of one moment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.decisions import lifecycle_stages
from crm_ml.errors import NotFittedError, SchemaError
from crm_ml.features import Threshold

AS_OF = pd.Timestamp("2024-10-15", tz="UTC")


@pytest.fixture(scope="module")
def shop():
    return crm_ml.simulate(400, days=330, seed=3, acquisition_share=1.0)


@pytest.fixture(scope="module")
def log(shop):
    return crm_ml.CustomerLog(shop.transactions, shop.interactions, n_buckets=3)


@pytest.fixture(scope="module")
def base(log):
    return crm_ml.customer_base(log, as_of=AS_OF, months=5)


def test_all_parts_stand_at_the_same_moments(base):
    assert base.months.tolist() == list(pd.date_range("2024-06-01", periods=5, freq="MS", tz="UTC"))
    for history in (base.segments.segments, base.lifecycle):
        assert history.columns.tolist() == [*base.months, AS_OF]
    assert base.health["month"].max() == pd.Timestamp("2024-09-01", tz="UTC")
    assert base.cohorts["cohort"].max() == pd.Timestamp("2024-09-01", tz="UTC")


def test_now_is_what_each_part_says_of_it(base, log):
    stages = lifecycle_stages(log, as_of=AS_OF)["stage"]
    pd.testing.assert_series_equal(base.lifecycle[AS_OF], stages, check_names=False)
    policy = base.segments.policy
    features = policy.build_features(log, as_of=AS_OF)
    fitted = crm_ml.SegmentPolicy.preset("shop").fit(features)
    assert policy == fitted
    assert base.segments.latest["segment"].tolist() == fitted.transform(features)["segment"].tolist()


def test_customers_of_all_segments_add_up(base):
    counts = base.health[base.health["metric"] == "customers"].set_index(["month", "segment"])["value"]
    for month, column in zip(base.months[:-1], base.segments.segments, strict=False):
        held = base.segments.segments[column].value_counts()
        assert counts[month]["all"] == counts[month].drop("all").sum()
        for segment, customers in held.items():
            assert counts[month][segment] == customers


def test_events_from_the_moment_on_change_nothing(base, shop):
    later = shop.transactions.assign(timestamp=shop.transactions["timestamp"] + pd.Timedelta(days=330))
    early = shop.interactions[shop.interactions["timestamp"] < AS_OF]
    other = crm_ml.CustomerLog(pd.concat([shop.transactions, later]), early, n_buckets=2)
    found = crm_ml.customer_base(other, as_of=AS_OF, months=5)
    pd.testing.assert_frame_equal(found.segments.segments, base.segments.segments)
    pd.testing.assert_frame_equal(found.lifecycle, base.lifecycle)
    pd.testing.assert_frame_equal(found.health, base.health)
    pd.testing.assert_frame_equal(found.cohorts, base.cohorts)


def test_a_fitted_policy_is_kept_as_it_is(log):
    policy = crm_ml.SegmentPolicy([crm_ml.Segment("late", Threshold("recency_days", ">", quantile=0.5))])
    policy = policy.fit(policy.build_features(log, as_of="2024-05-01"))
    found = crm_ml.customer_base(log, as_of=AS_OF, policy=policy, months=2)
    assert found.segments.policy.version_ == policy.version_


def test_a_policy_that_is_not_fitted_is_fitted_at_the_moment_and_left_as_it_was(log):
    policy = crm_ml.SegmentPolicy([crm_ml.Segment("late", Threshold("recency_days", ">", quantile=0.5))])
    found = crm_ml.customer_base(log, as_of=AS_OF, policy=policy, months=2)
    waits = crm_ml.build_features(log, as_of=AS_OF, features=["recency_days"])["recency_days"]
    assert found.segments.policy.thresholds_["bound"].tolist() == [np.quantile(waits, 0.5, method="inverted_cdf")]
    with pytest.raises(NotFittedError, match="not yet numbers"):
        policy.thresholds_  # noqa: B018  # raises


def test_a_log_without_two_months_is_refused(log):
    with pytest.raises(SchemaError, match=r"A month's change needs two months' ends .* there are 1\."):
        crm_ml.customer_base(log, as_of="2024-02-28")
    with pytest.raises(SchemaError, match="`months` must be at least 2; got 1"):
        crm_ml.customer_base(log, as_of=AS_OF, months=1)
