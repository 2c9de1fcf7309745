"""Drift: the index is the published one, chance and growth raise no alarm, planted shifts do."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import crm_ml
from crm_ml.churn import ChurnModel
from crm_ml.errors import SchemaError
from crm_ml.evaluation import Profile, drift
from crm_ml.evaluation.stability.drift import stability_index
from crm_ml.evaluation.stability.profile import make_profile

SHOP = crm_ml.simulate(2_500, days=600, seed=3, acquisition_share=1.0, n_campaigns=0)
NIGHT = "2025-05-01"
COLUMNS = tuple(f"x{number}" for number in range(20))


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    log = crm_ml.CustomerLog(SHOP.transactions, SHOP.interactions)
    return ChurnModel(n_cutoffs=4).fit(log, as_of="2025-03-01")


def scored(model: ChurnModel, orders: pd.DataFrame, acts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    log = crm_ml.CustomerLog(orders, acts)
    features = crm_ml.build_features(log, as_of=NIGHT, features=model.feature_set)
    return features, model.predict(features)


@pytest.fixture(scope="module")
def tonight(model: ChurnModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    return scored(model, SHOP.transactions, SHOP.interactions)


def found_drift(model: ChurnModel, features: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    assert model.profile_ is not None
    return drift(model.profile_, model.profile_.count(features, scores))


def drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw columns as a shop has them: long tails, counts, many zeros, missing values."""
    table = rng.lognormal(3, 1, (n, len(COLUMNS)))
    table[:, ::4] = rng.poisson(1.5, (n, 5))
    table[:, 1::4] *= rng.random((n, 5)) < 0.4
    table[:, 2::4][rng.random((n, 5)) < 0.3] = np.nan
    return table.astype(np.float32)


def profile_of(table: np.ndarray, cutoff: np.ndarray) -> Profile:
    return make_profile(COLUMNS, table, cutoff, scores={}, lookback_days=None)


def plain_index(then: np.ndarray, now: np.ndarray) -> float:
    """Compute the index as textbooks do, bin by bin, half a row added to each."""
    total = 0.0
    ends = sorted({sorted(then)[int(np.ceil(len(then) * tenth / 10)) - 1] for tenth in range(1, 10)})
    for low, high in itertools.pairwise([-np.inf, *ends, np.inf]):
        share = [(sum(low < x <= high for x in xs) + 0.5) / (len(xs) + 0.5 * (len(ends) + 1)) for xs in (then, now)]
        total += (share[1] - share[0]) * np.log(share[1] / share[0])
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_index_is_that_of_a_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    then, now = drawn(400, rng), drawn(300, rng) * np.float32(1.3)
    profile = profile_of(then, np.zeros(400, dtype=np.int64))
    found = drift(profile, profile.count(pd.DataFrame(now, columns=COLUMNS), pd.DataFrame()))
    for at, name in enumerate(COLUMNS):
        known = [table[~np.isnan(table[:, at]), at].tolist() for table in (then, now)]
        assert found["psi"][name] == pytest.approx(plain_index(*known), rel=1e-10)
        assert found["missing_now"][name] == np.isnan(now[:, at]).mean()


def test_chance_is_distributed_as_published() -> None:
    rng = np.random.default_rng(5)
    n, m, bins = 3_000, 1_500, 10
    index = [stability_index(rng.multinomial(n, [0.1] * bins), rng.multinomial(m, [0.1] * bins)) for _ in range(20_000)]
    for tail in (0.5, 0.1, 0.01):
        expected = (1 / n + 1 / m) * chi2.isf(tail, bins - 1)
        assert np.quantile(index, 1 - tail) == pytest.approx(expected, rel=0.03)  # error of 20,000 draws


@pytest.mark.parametrize(("then", "now", "runs"), [(200, 200, 60), (2_000, 20_000, 5)])
def test_chance_raises_less_than_one_alarm_in_a_hundred_runs(then: int, now: int, runs: int) -> None:
    rng, alarms = np.random.default_rng(then), 0
    for _ in range(runs):
        profile = profile_of(drawn(then, rng), np.zeros(then, dtype=np.int64))
        found = drift(profile, profile.count(pd.DataFrame(drawn(now, rng), columns=COLUMNS), pd.DataFrame()))
        alarms += bool(found["shifted"].any())
    assert alarms <= 0.01 * runs


def test_a_campaign_that_training_never_saw_is_a_shift() -> None:
    rng = np.random.default_rng(4)
    then = drawn(2_000, rng)
    then[:, 3] = 0
    profile = profile_of(then, np.zeros(2_000, dtype=np.int64))
    now = pd.DataFrame(then, columns=COLUMNS).assign(x3=rng.integers(0, 2, 2_000))
    assert drift(profile, profile.count(now, pd.DataFrame()))["shifted"]["x3"]


def test_a_healthy_shop_that_grows_raises_no_alarm(model: ChurnModel) -> None:
    log = crm_ml.CustomerLog(SHOP.transactions, SHOP.interactions)
    for night in pd.date_range("2025-03-01", "2025-08-01", freq="MS"):
        features = crm_ml.build_features(log, as_of=night, features=model.feature_set)
        found = found_drift(model, features, model.predict(features))
        assert found.index[found["shifted"]].tolist() == [], night


def test_money_in_cents_is_found(model: ChurnModel) -> None:
    orders = SHOP.transactions.assign(amount=100 * SHOP.transactions["amount"])
    found = found_drift(model, *scored(model, orders, SHOP.interactions))
    assert found["shifted"][["spend", "monetary", "spend_30d"]].all()
    assert not found["shifted"][["recency_days", "orders_30d", "tenure_days"]].any()
    assert found["why"]["spend"].startswith("above ")


@pytest.mark.parametrize("table", ["orders", "acts"])
def test_a_feed_that_broke_off_a_month_ago_is_found(model: ChurnModel, table: str) -> None:
    until = pd.Timestamp(NIGHT, tz="UTC") - pd.Timedelta(days=30)
    orders, acts = SHOP.transactions, SHOP.interactions
    if table == "orders":
        orders = orders[orders["timestamp"] < until]
    else:
        acts = acts[acts["timestamp"] < until]
    found = found_drift(model, *scored(model, orders, acts))
    assert found["shifted"]["recency_days" if table == "orders" else "view_30d"]


@pytest.mark.parametrize("most_recent", [True, False])
def test_a_third_of_customers_gone_by_recency_is_found(
    model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame], most_recent: bool
) -> None:
    features, scores = (frame[tonight[0]["recency_days"] <= 180] for frame in tonight)
    rank = features["recency_days"].rank(pct=True)
    kept = rank > 1 / 3 if most_recent else rank < 2 / 3
    assert found_drift(model, features[kept], scores[kept])["shifted"]["recency_days"]


@pytest.mark.parametrize("by", [-1.5, 1.5])
def test_scores_that_moved_are_found(model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame], by: float) -> None:
    features, scores = tonight
    odds = scores["churn_probability"] / (1 - scores["churn_probability"]) * np.exp(by)
    found = found_drift(model, features, scores.assign(churn_probability=odds / (1 + odds)))
    assert found.index[found["shifted"]].tolist() == ["churn_probability"]


def test_missing_values_that_rise_are_found_and_those_that_fall_are_not() -> None:
    rng = np.random.default_rng(1)
    then = drawn(2_000, rng)
    profile = profile_of(then, np.zeros(2_000, dtype=np.int64))
    now = pd.DataFrame(drawn(2_000, rng), columns=COLUMNS)
    now.loc[:299, "x3"] = np.nan
    now["x2"] = now["x2"].fillna(now["x2"].mean())
    now["x7"] = np.nan
    found = drift(profile, profile.count(now, pd.DataFrame()))
    assert found["why"]["x3"] == "missing for 15.0%, in training for 0.0%"
    assert found["shifted"]["x7"]
    assert np.isnan(found["psi"]["x7"])
    assert not found["why"]["x2"].startswith("missing")
    assert found["missing_limit"].min() >= 0.1


def test_what_trainings_own_cutoffs_differ_by_is_given_room() -> None:
    rng = np.random.default_rng(2)
    cutoff = np.repeat(np.arange(4), 1_000)
    then = drawn(4_000, rng)
    then[:, 3] = cutoff * 30 + rng.normal(0, 100, 4_000)
    profile = profile_of(then, cutoff)
    now = pd.DataFrame(drawn(1_000, rng), columns=COLUMNS)
    now["x3"] = 110 + rng.normal(0, 100, 1_000)
    found = drift(profile, profile.count(now, pd.DataFrame()))
    assert found["psi_limit"]["x3"] > found["psi"]["x3"] > 0.25
    now["x3"] = 900 + rng.normal(0, 100, 1_000)
    assert drift(profile, profile.count(now, pd.DataFrame()))["shifted"]["x3"]


def test_one_shared_value_that_steps_over_an_edge_is_no_shift() -> None:
    rng = np.random.default_rng(3)
    values, shared = rng.lognormal(3, 1, 3_000), rng.random(3_000) < 0.4
    then = drawn(3_000, rng)
    then[:, 3] = np.where(shared, 17.0, values)
    profile = profile_of(then, np.zeros(3_000, dtype=np.int64))
    now = pd.DataFrame(then, columns=COLUMNS)
    now["x3"] = np.where(shared, 18.0, values)
    found = drift(profile, profile.count(now, pd.DataFrame())).loc["x3"]
    assert found["psi"] > found["psi_limit"]
    assert not found["shifted"]
    now["x3"] = np.where(shared, 60.0, values)
    assert drift(profile, profile.count(now, pd.DataFrame()))["shifted"]["x3"]


def test_counts_add_up_in_any_order_and_leave_out_who_is_beyond_the_lookback(
    model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    profile, (features, scores) = model.profile_, tonight
    assert profile is not None
    whole = profile.count(features, scores)
    assert whole.rows == (features["recency_days"] <= 180).sum() < len(features)
    parts = [profile.count(features[at::3], scores[at::3]) for at in range(3)]
    for first, second, third in itertools.permutations(parts):
        np.testing.assert_array_equal((first + second + third).table, whole.table)


def test_nobody_within_the_lookback_is_a_shift(model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    features, scores = tonight
    found = found_drift(model, features.assign(recency_days=181.0), scores)
    assert found["shifted"].all()
    assert set(found["why"]) == {"nobody to compare with training"}


def test_the_profile_is_of_the_training_rows_and_of_scores_held_out(model: ChurnModel) -> None:
    profile = model.profile_
    assert profile is not None
    assert profile.columns == (*model.input_columns, "churn_probability")
    assert {int(counts.sum()) for counts in profile.counts[:-1]} == {model.training_["rows"]}
    assert {len(counts) for counts in profile.counts[:-1]} == {len(model.training_["cutoffs"])}
    assert profile.counts[-1].sum() == model.training_["windows"][0]["held_out_rows"]


def test_a_profile_is_stored_with_the_model_and_a_model_without_one_loads(
    model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    files = model.to_files()
    again = ChurnModel.from_files(files)
    pd.testing.assert_frame_equal(found_drift(again, *tonight), found_drift(model, *tonight))
    assert Profile.from_dict(json.loads(files["profile.json"])).columns == again.profile_.columns
    old = ChurnModel.from_files({name: content for name, content in files.items() if name != "profile.json"})
    assert old.profile_ is None
    assert "profile.json" not in old.to_files()


def test_a_column_that_is_not_there_is_told(model: ChurnModel, tonight: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    features, scores = tonight
    with pytest.raises(SchemaError, match=r"need a column `churn_probability`"):
        found_drift(model, features, scores[["horizon_days"]])
    with pytest.raises(SchemaError, match=r"need a column `recency_days`"):
        found_drift(model, features.drop(columns="recency_days"), scores)


def test_without_recency_the_lookback_cannot_be_told_and_there_is_no_profile() -> None:
    log = crm_ml.CustomerLog(SHOP.transactions[SHOP.transactions["timestamp"] < "2024-08-01"])
    settings = {"features": ["orders_90d", "spend_90d"], "n_cutoffs": 2}
    assert ChurnModel(**settings).fit(log, as_of="2024-08-01").profile_ is None
    assert ChurnModel(**settings, lookback_days=None).fit(log, as_of="2024-08-01").profile_ is not None
