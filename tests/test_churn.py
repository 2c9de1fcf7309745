"""The churn model: blind to the future, monotone where it says so, whole after storage, honest in its bounds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from crm_ml import CustomerLog, build_features, predict_churn, simulate
from crm_ml.churn import ChurnModel, LogisticBaseline, PurchaseProcessBaseline
from crm_ml.churn.horizons import Horizons
from crm_ml.churn.training import rehearsal
from crm_ml.clv import ModifiedBetaGeoModel, rfm_summary
from crm_ml.errors import ModelError, NotFittedError, SchemaError
from crm_ml.evaluation import Predictor, TrainingDesign, backtest
from crm_ml.features import GROUPS, RFM, PersonalHorizon, build_panel
from crm_ml.features.feature_set import FeatureSet
from crm_ml.features.trees import SHALLOW, train_trees, tree_margins

AS_OF = pd.Timestamp("2024-11-01", tz="UTC")
SHOP = simulate(350, days=365, start="2024-01-01", seed=4)
SETTINGS: dict[str, Any] = {"horizon_days": 30, "n_cutoffs": 5, "step_days": 20, "lookback_days": 200}


@pytest.fixture(scope="module", autouse=True)
def few_rounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal, "MOST_ROUNDS", 50)
        yield


@pytest.fixture(scope="module")
def log() -> CustomerLog:
    return CustomerLog(SHOP.transactions, SHOP.interactions)


@pytest.fixture(scope="module")
def model(log: CustomerLog) -> ChurnModel:
    return ChurnModel(**SETTINGS).fit(log, as_of=AS_OF)


@pytest.fixture(scope="module")
def features(log: CustomerLog) -> pd.DataFrame:
    return build_features(log, as_of=AS_OF)


def test_predictions_are_probabilities_within_their_bounds(model: ChurnModel, features: pd.DataFrame) -> None:
    found = model.predict(features)
    assert found.index.equals(features.index)
    assert found.columns.tolist() == ["churn_probability", "churn_lower", "churn_upper", "horizon_days"]
    assert (
        (found["churn_lower"] <= found["churn_probability"]) & (found["churn_probability"] <= found["churn_upper"])
    ).all()
    assert found["churn_probability"].between(0, 1).all()
    assert found["churn_probability"].nunique() > 50
    assert (found["horizon_days"] == 30.0).all()


def test_the_model_tells_leavers_from_stayers(log: CustomerLog) -> None:
    done = backtest(log, {"model": ChurnModel(**SETTINGS)}, cutoffs=[AS_OF], horizon_days=30, target="churned")
    assert done.metrics["auc"].iloc[0] > 0.7


def test_nothing_at_or_after_as_of_reaches_the_model(model: ChurnModel) -> None:
    bought, acted = SHOP.transactions.copy(), SHOP.interactions.copy()
    later, then = bought["timestamp"] >= AS_OF, acted["timestamp"] >= AS_OF
    assert later.sum() > 30
    bought.loc[later, "amount"] = 1e6
    bought.loc[later, "customer_id"] = bought.loc[later, "customer_id"].to_numpy()[::-1]
    acted.loc[then, "event_type"] = "a type never seen"
    at_once = bought[~later].tail(40).assign(timestamp=AS_OF, order_id="new")
    changed = CustomerLog(pd.concat([bought, at_once]), acted, n_buckets=3)
    assert ChurnModel(**SETTINGS).fit(changed, as_of=AS_OF).to_files() == model.to_files()


def test_the_past_does_reach_the_model(model: ChurnModel) -> None:
    bought = SHOP.transactions
    shifted = bought.assign(
        amount=bought["amount"].mask(bought["timestamp"] < AS_OF, bought["amount"].to_numpy()[::-1])
    )
    other = ChurnModel(**SETTINGS).fit(CustomerLog(shifted, SHOP.interactions), as_of=AS_OF)
    assert other.to_files()["booster_1.ubj"] != model.to_files()["booster_1.ubj"]


def test_cutoffs_are_the_latest_whose_labels_are_known(model: ChurnModel) -> None:
    day = pd.Timedelta(days=1)
    cutoffs = [AS_OF - days * day for days in (110, 90, 70, 50, 30)]
    assert model.training_["cutoffs"] == [cutoff.isoformat() for cutoff in cutoffs]
    assert model.training_["labels_end"] == AS_OF.isoformat()


def test_training_rows_and_rates_are_those_of_the_panel(model: ChurnModel, log: CustomerLog) -> None:
    panel = build_panel(log, cutoffs=model.training_["cutoffs"], horizon_days=30, lookback_days=200, features=())
    assert model.training_["rows"] == len(panel)
    assert model.training_["churned"] == pytest.approx(panel["churned"].mean())


@pytest.mark.parametrize("column", ["recency_days", "interval_stretch"])
def test_a_longer_silence_never_lowers_the_risk(column: str, model: ChurnModel, features: pd.DataFrame) -> None:
    rows = features.sample(60, random_state=1)
    steps = [rows.assign(**{column: rows[column] + extra}) for extra in (0.0, 0.1, 0.5, 2.0, 10.0, 40.0, 200.0)]
    risks = np.array([model.predict(step)["churn_probability"] for step in steps])
    assert (np.diff(risks, axis=0) >= 0).all()
    assert (risks[-1] > risks[0]).any()


def test_trees_keep_their_directions_even_on_noise() -> None:
    draw = np.random.default_rng(8)
    table, noise = draw.random((2_000, 3)), (draw.random(2_000) < 0.5).astype(float)
    parameters = SHALLOW | {"objective": "binary:logistic", "monotone_constraints": "(1,-1,0)"}
    trees = train_trees(table, noise, parameters=parameters, rounds=40, seed=0)
    grid = np.linspace(0, 1, 50)
    for column, direction in enumerate((1, -1, 0)):
        moved = np.repeat(table[:100, None], len(grid), axis=1)
        moved[:, :, column] = grid
        risk = tree_margins(trees, moved.reshape(-1, 3)).reshape(100, -1)
        assert bool((np.diff(risk) < 0).any()) is (direction <= 0)
        assert bool((np.diff(risk) > 0).any()) is (direction >= 0)


def test_a_stored_model_is_the_same_model(model: ChurnModel, features: pd.DataFrame, log: CustomerLog) -> None:
    files = model.to_files()
    again = ChurnModel.from_files(files)
    pd.testing.assert_frame_equal(again.predict(features), model.predict(features), check_exact=True)
    assert again.to_files() == files
    assert again.feature_set == model.feature_set
    assert again.training_ == model.training_
    scored = again.forecast(log, as_of=AS_OF, horizon_days=30)
    assert scored.equals(model.predict(features)["churn_probability"])


def test_files_hold_no_customer(model: ChurnModel) -> None:
    content = b"".join(model.to_files().values())
    assert not [name for name in SHOP.customers.index.astype(str) if len(name) > 3 and name.encode() in content]
    assert json.loads(model.to_files()["model.json"])["features"]["columns"] == list(model.input_columns)


def test_a_damaged_booster_is_told(model: ChurnModel) -> None:
    with pytest.raises(ModelError, match=r"A booster must be an XGBoost model"):
        ChurnModel.from_files(model.to_files() | {"booster_1.ubj": b"not a booster"})


def test_predictions_do_not_depend_on_batch_row_or_column_order(model: ChurnModel, features: pd.DataFrame) -> None:
    whole = model.predict(features)
    shuffled = features.sample(frac=1, random_state=2)[features.columns[::-1]].assign(idle="text")
    pd.testing.assert_frame_equal(model.predict(shuffled).loc[features.index], whole, check_exact=True)
    parts = pd.concat([model.predict(features.iloc[begin : begin + 7]) for begin in range(0, len(features), 7)])
    pd.testing.assert_frame_equal(parts, whole, check_exact=True)


def test_the_same_seed_gives_the_same_model_and_another_another(log: CustomerLog, model: ChurnModel) -> None:
    assert ChurnModel(**SETTINGS).fit(log, as_of=AS_OF).to_files() == model.to_files()
    other = ChurnModel(**SETTINGS, seed=1).fit(log, as_of=AS_OF)
    assert other.to_files()["booster_1.ubj"] != model.to_files()["booster_1.ubj"]


def test_event_types_close_at_the_first_cutoff_and_stay_closed(model: ChurnModel, log: CustomerLog) -> None:
    late = SHOP.interactions.assign(
        event_type=SHOP.interactions["event_type"].mask(
            SHOP.interactions["timestamp"] >= AS_OF - pd.Timedelta("40D"), "late"
        )
    )
    fitted = ChurnModel(**SETTINGS).fit(CustomerLog(SHOP.transactions, late), as_of=AS_OF)
    assert fitted.input_columns == model.input_columns
    assert not [column for column in fitted.input_columns if "late" in column]
    assert len(fitted.forecast(CustomerLog(SHOP.transactions, late), as_of=AS_OF, horizon_days=30)) > 300


def test_input_columns_are_those_of_the_builders(model: ChurnModel, features: pd.DataFrame) -> None:
    assert list(model.input_columns) == features.columns.tolist()
    assert [f.name for f in model.feature_set.documented] == list(model.input_columns)


def test_an_unfitted_model_says_so() -> None:
    model = ChurnModel()
    calls = (
        lambda: model.predict(pd.DataFrame()),
        model.to_files,
        lambda: model.feature_set,
        lambda: model.forecast(CustomerLog(SHOP.transactions), as_of=AS_OF, horizon_days=30),
    )
    for call in calls:
        with pytest.raises(NotFittedError, match="ChurnModel must be fitted before it predicts"):
            call()


def test_input_that_does_not_fit_is_told(model: ChurnModel, features: pd.DataFrame, log: CustomerLog) -> None:
    with pytest.raises(SchemaError, match=r"features need a column `recency_days`.*nearest: 'recency'"):
        model.predict(features.rename(columns={"recency_days": "recency"}))
    with pytest.raises(SchemaError, match="features must be numeric"):
        model.predict(features.assign(recency_days="long"))
    with pytest.raises(SchemaError, match=r"`horizon_days` must be what was trained for, \['30'\]; got 60"):
        model.forecast(log, as_of=AS_OF, horizon_days=60)


def test_missing_values_are_known_whatever_their_kind(model: ChurnModel, features: pd.DataFrame) -> None:
    nullable = features.assign(returned_share=np.nan).convert_dtypes()
    plain = features.assign(returned_share=np.nan)
    assert model.predict(nullable).equals(model.predict(plain))


def test_a_customer_of_whom_nothing_is_known_has_a_probability_too(log: CustomerLog, features: pd.DataFrame) -> None:
    some = features.iloc[:3].copy()
    some.iloc[0] = np.nan
    blend = ChurnModel(**SETTINGS, calibration="blend").fit(log, as_of=AS_OF)
    assert blend.training_["windows"][0]["calibration"] == "blend"
    found = blend.predict(some)
    assert found.notna().all(axis=None)
    assert found.iloc[1:].equals(blend.predict(features).iloc[1:3])


@pytest.mark.parametrize("horizon", [(30, 60), PersonalHorizon(longest_days=40)])
def test_nobody_is_predicted_nothing(horizon: Any, log: CustomerLog) -> None:
    model = ChurnModel(**SETTINGS | {"horizon_days": horizon, "n_cutoffs": 4}).fit(log, as_of=AS_OF)
    features = build_features(log, as_of=AS_OF, features=model.feature_set)
    whole = model.predict(features)
    assert model.predict(features.iloc[:0]).dtypes.equals(whole.dtypes)
    assert len(model.explain(features.iloc[:0])) == 0
    single = model.predict(features.astype("float32"))
    assert single["churn_probability"].to_numpy() == pytest.approx(whole["churn_probability"].to_numpy(), abs=1e-5)
    new = features["frequency"] == 0
    assert whole[new].notna().all(axis=None)
    assert new.sum() > 3


def test_reasons_cannot_be_fewer_than_none(model: ChurnModel, log: CustomerLog) -> None:
    with pytest.raises(SchemaError, match="`reasons` must be at least 0; got -1"):
        predict_churn(log, model, as_of=AS_OF, reasons=-1)
    scores = predict_churn(log, model, as_of="2024-11-01T02:00+02:00")
    assert scores["as_of"].tolist() == [AS_OF] * len(scores)
    assert scores["as_of"].dtype == "datetime64[us, UTC]"
    assert predict_churn(log, model, as_of=AS_OF, reasons=0).columns.tolist()[-1] == "as_of"
    assert predict_churn(log, model, as_of=AS_OF, reasons=1).columns.tolist()[-1] == "reason_1"


def regular(days: int, customers: int = 30) -> CustomerLog:
    """Give customers who all buy every day."""
    times = pd.date_range("2024-01-01", periods=days, freq="D")
    names = [f"c{number}" for number in range(customers)]
    frame = pd.DataFrame([(name, time, 1.0) for name in names for time in times])
    return CustomerLog(frame.set_axis(["customer_id", "timestamp", "amount"], axis=1))


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        ("2024-02-10", "Training needs 30 days of history and a label window of 20 days before `as_of` 2024-02-10"),
        (
            "2024-06-28",
            "The window of 0 to 20 days must hold customers who left and .*; 0 of 90 bought nothing",
        ),
    ],
)
def test_a_log_that_cannot_teach_is_told(as_of: str, message: str) -> None:
    settings: dict[str, Any] = {"horizon_days": 20, "n_cutoffs": 3, "step_days": 20}
    with pytest.raises(SchemaError, match=message):
        ChurnModel(**settings, features=[RFM()]).fit(regular(180), as_of=as_of)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon_days": (30, 30)}, r"`horizon_days` must be one or more numbers that ascend; got \(30, 30\)"),
        ({"horizon_days": ()}, r"`horizon_days` must be one or more numbers that ascend; got \(\)"),
        ({"horizon_days": (0, 30)}, "`horizon_days` must be"),
        ({"calibration": "spline"}, "`calibration` must be None or one of .*'isotonic', 'blend'.*; got 'spline'"),
        ({"tuning_seconds": 0}, "`tuning_seconds` must be None or above 0; got 0"),
        ({"calibration": "blend", "features": ["spend"]}, "A blend needs the purchase process of every customer"),
        ({"features": ()}, r"Training needs a feature at least; of \(\) none is left, {}"),
        ({"horizon_days": (30, 200)}, "Training for 200 days needs a cutoff so long before `as_of` 2024-11-01"),
    ],
)
def test_a_setting_outside_its_domain_is_told(settings: dict[str, Any], message: str, log: CustomerLog) -> None:
    with pytest.raises(SchemaError, match=message):
        ChurnModel(**SETTINGS | settings).fit(log, as_of=AS_OF)


def test_features_of_which_the_log_has_none_are_told() -> None:
    with pytest.raises(SchemaError, match=r"of 'interactions' none is left, {'InteractionDecline': 'nothing"):
        ChurnModel(**SETTINGS, features="interactions").fit(CustomerLog(SHOP.transactions), as_of=AS_OF)


def test_one_customer_teaches_nothing() -> None:
    days = pd.to_datetime(["2024-01-01", "2024-01-10", "2024-02-20", "2024-06-10"])
    alone = CustomerLog(pd.DataFrame({"customer_id": "a", "timestamp": days, "amount": 1.0}))
    with pytest.raises(SchemaError, match=r"of 0 to 15 days must hold .*; \d of \d bought nothing, rows of 1 in all"):
        ChurnModel(horizon_days=15).fit(alone, as_of="2024-06-01")


def test_a_pause_of_the_shop_is_no_label() -> None:
    bought = SHOP.transactions
    begin, end = pd.Timestamp("2024-09-01", tz="UTC"), AS_OF - pd.Timedelta(days=5)
    paused = CustomerLog(bought[(bought["timestamp"] < begin) | (bought["timestamp"] >= end)])
    settings: dict[str, Any] = {"horizon_days": (10, 20), "n_cutoffs": 20, "step_days": 10, "lookback_days": 15}
    model = ChurnModel(**settings).fit(paused, as_of=AS_OF)
    assert pd.Timestamp(model.training_["cutoffs"][-1]) == AS_OF - pd.Timedelta(days=10)
    # 12 September is the last cutoff with customers, and it is followed by two windows
    assert model.training_["labels_end"] == "2024-10-02T00:00:00+00:00"


def test_a_moment_within_a_day_is_as_blind_to_the_future() -> None:
    at = AS_OF + pd.Timedelta(hours=7, minutes=30)
    bought = SHOP.transactions
    cut = bought[bought["timestamp"] < at]
    marker = bought.tail(1).assign(timestamp=at + pd.Timedelta(days=1))
    settings = SETTINGS | {"horizon_days": (7.5, 33), "lookback_days": None, "n_cutoffs": 3}
    found = [
        ChurnModel(**settings).fit(CustomerLog(frame, n_buckets=buckets), as_of=at)
        for frame, buckets in ((bought, 2), (pd.concat([cut, marker]).sample(frac=1, random_state=5), 5))
    ]
    assert found[0].to_files() == found[1].to_files()
    assert found[0].training_["cutoffs"][-1] == (at - pd.Timedelta(days=7.5)).isoformat()
    features = build_features(CustomerLog(cut), as_of=at)
    assert "churn_probability_33d" in found[0].predict(features)


@pytest.fixture(scope="module")
def far(log: CustomerLog) -> ChurnModel:
    return ChurnModel(**SETTINGS | {"horizon_days": (30, 60, 90)}).fit(log, as_of=AS_OF)


def test_the_trees_are_given_the_process_of_their_window(far: ChurnModel, log: CustomerLog) -> None:
    features, summary = build_features(log, as_of=AS_OF), rfm_summary(log, as_of=AS_OF)
    process = ModifiedBetaGeoModel().fit(summary)
    silent = [process.probability_no_purchase(summary, days).to_numpy() for days in (30, 60, 90)]
    windows = (silent[0], silent[1] / silent[0], silent[2] / silent[1])
    for number, (window, expected) in enumerate(zip(far.windows_, windows, strict=True)):
        matrix = far._matrix(features, number)
        assert np.array_equal(matrix[:, :-1], features[list(far.input_columns)].to_numpy(np.float32), equal_nan=True)
        assert expit(matrix[:, -1]) == pytest.approx(expected, rel=1e-4)
        steps = [np.column_stack([matrix[:, :-1], matrix[:, -1] + more]) for more in (-2, -1, 0, 1, 2)]
        risks = np.array([tree_margins(window.booster, step) for step in steps])
        assert (np.diff(risks, axis=0) >= 0).all()


def test_a_longer_horizon_never_raises_the_risk(far: ChurnModel, features: pd.DataFrame) -> None:
    found = far.predict(features)
    for bound in ("probability", "lower", "upper"):
        near, middle, last = (found[f"churn_{bound}{suffix}"] for suffix in ("", "_60d", "_90d"))
        assert (near >= middle).all()
        assert (middle >= last).all()
        assert (near > last).any()
    assert (found["churn_lower_90d"] <= found["churn_probability_90d"]).all()
    assert (found["churn_probability_90d"] <= found["churn_upper_90d"]).all()


def test_further_horizons_leave_the_first_as_it_is(far: ChurnModel, model: ChurnModel, features: pd.DataFrame) -> None:
    alone = model.predict(features)
    pd.testing.assert_frame_equal(far.predict(features)[alone.columns], alone, check_exact=True)


def test_each_window_learns_from_those_silent_until_it(far: ChurnModel, log: CustomerLog) -> None:
    bought = SHOP.transactions[SHOP.transactions["amount"] > 0]
    panel = build_panel(log, cutoffs=far.training_["cutoffs"], horizon_days=30, lookback_days=200, features=())
    rows = panel.index.to_frame(index=False)
    later = rows.merge(bought[["customer_id", "timestamp"]], on="customer_id").query("timestamp >= cutoff")
    wait = (later["timestamp"] - later["cutoff"]).groupby([later["customer_id"], later["cutoff"]]).min()
    days = wait.reindex(panel.index).dt.total_seconds().fillna(np.inf) / 86_400
    for begin, end, facts in zip((0, 30, 60), (30, 60, 90), far.training_["windows"], strict=True):
        known = panel.index.get_level_values("cutoff") <= AS_OF - pd.Timedelta(days=end)
        at_risk = days[known & (days >= begin)]
        assert facts["rows"] == len(at_risk) > 0
        assert facts["churned"] == pytest.approx((at_risk >= end).mean())


def test_every_horizon_stands_in_the_backtest_and_in_the_files(
    far: ChurnModel, log: CustomerLog, features: pd.DataFrame
) -> None:
    again = ChurnModel.from_files(far.to_files())
    assert again.horizon_days == (30, 60, 90)
    scored = again.forecast(log, as_of=AS_OF, horizon_days=60)
    assert scored.equals(far.predict(features)["churn_probability_60d"])


def test_a_personal_horizon_is_each_customers_own(log: CustomerLog) -> None:
    horizon = PersonalHorizon(multiple=3, shortest_days=10, longest_days=40)
    model = ChurnModel(**SETTINGS | {"horizon_days": horizon, "features": "rfm"}).fit(log, as_of=AS_OF)
    panel = build_panel(log, cutoffs=model.training_["cutoffs"], horizon_days=horizon, lookback_days=200)
    assert model.training_["churned"] == pytest.approx(panel["churned"].mean())
    assert model.training_["cutoffs"][-1] == (AS_OF - pd.Timedelta(days=40)).isoformat()
    features = build_features(log, as_of=AS_OF, features=model.feature_set)
    again = ChurnModel.from_files(model.to_files())
    found = again.predict(features)
    assert found["horizon_days"].equals(features["personal_horizon_days"].rename("horizon_days"))
    assert found["horizon_days"].nunique() > 20
    assert again.horizon_days == horizon
    assert again.fit(log, as_of=AS_OF).to_files() == model.to_files()
    summary = rfm_summary(log, as_of=AS_OF)
    process = ModifiedBetaGeoModel().fit(summary)
    known = model._matrix(features, 0)[:, -1]
    for own in (features["personal_horizon_days"].min(), features["personal_horizon_days"].max()):
        here = (features["personal_horizon_days"] == own).to_numpy()
        assert expit(known[here]) == pytest.approx(process.probability_no_purchase(summary[here], own), rel=1e-4)
    with pytest.raises(SchemaError, match="`horizon_days` must be what was trained for, PersonalHorizon"):
        model.forecast(log, as_of=AS_OF, horizon_days=30)


def test_a_personal_horizon_takes_the_place_of_another(log: CustomerLog) -> None:
    own = PersonalHorizon(multiple=3, shortest_days=10, longest_days=40)
    other = FeatureSet.settle(["rfm", PersonalHorizon()], log, first_cutoff=AS_OF)
    for features in (other, "rfm", ["rfm", own], FeatureSet.settle("rfm", log, first_cutoff=AS_OF)):
        settled = FeatureSet.settle(Horizons.of(own).with_feature(features), log, first_cutoff=AS_OF)
        assert settled.builders == (RFM(), own)
        assert settled.columns[-1] == "personal_horizon_days"
        assert len(settled.columns) == len(other.columns)


def test_every_setting_is_stored(log: CustomerLog) -> None:
    settings: dict[str, Any] = {
        "horizon_days": (25, 50),
        "lookback_days": 100,
        "n_cutoffs": 3,
        "step_days": 17,
        "history_days": 45,
        "calibration": "beta",
        "tuning_seconds": 1e-9,
        "seed": 7,
    }
    model = ChurnModel(**settings, features=["rfm"]).fit(log, as_of=AS_OF)
    again = ChurnModel.from_files(model.to_files())
    assert {name: value for name, value in vars(again).items() if name in settings} == settings
    assert set(settings) == set(inspect.signature(ChurnModel).parameters) - {"features"}
    assert again.fit(log, as_of=AS_OF).to_files() == model.to_files()


def test_without_recency_and_frequency_there_is_no_process(log: CustomerLog) -> None:
    model = ChurnModel(**SETTINGS | {"features": ["recency_days", "spend"]}).fit(log, as_of=AS_OF)
    assert ChurnModel.from_files(model.to_files()).forecast(log, as_of=AS_OF, horizon_days=30).between(0, 1).all()
    assert json.loads(model.to_files()["model.json"])["process"] is None


def test_a_young_log_holds_out_customers() -> None:
    young = CustomerLog(SHOP.transactions[SHOP.transactions["timestamp"] < "2024-03-25"])
    model = ChurnModel(horizon_days=30).fit(young, as_of="2024-03-20")
    assert model.training_["windows"][0]["held_out"] == "customers, in the same windows"


def test_time_to_tune_is_spent_on_the_trees(log: CustomerLog) -> None:
    tuned = ChurnModel(**SETTINGS, tuning_seconds=1e-9).fit(log, as_of=AS_OF)
    assert tuned.to_files()["booster_1.ubj"] == ChurnModel(**SETTINGS).fit(log, as_of=AS_OF).to_files()["booster_1.ubj"]
    longer = ChurnModel(**SETTINGS, tuning_seconds=0.5).fit(log, as_of=AS_OF)
    best, usual = (found.training_["windows"][0]["held_out_log_loss"]["none"] for found in (longer, tuned))
    assert best <= usual


def test_baselines_stand_in_the_same_backtest(log: CustomerLog) -> None:
    design = TrainingDesign(
        **{key: SETTINGS[key] for key in ("horizon_days", "n_cutoffs", "step_days", "lookback_days")}
    )
    predictors: dict[str, Predictor] = {
        "logistic": LogisticBaseline(design=design),
        "recency": LogisticBaseline(["recency_days"], design=design),
        "process": PurchaseProcessBaseline(),
    }
    done = backtest(log, predictors, cutoffs=[AS_OF], horizon_days=30, lookback_days=200, target="churned")
    assert done.metrics["predictor"].tolist() == list(predictors)
    assert done.predictions[list(predictors)].apply(lambda p: p.between(0, 1)).all(axis=None)
    assert (done.metrics["auc"] > 0.6).all()


def test_baselines_know_nothing_of_the_future() -> None:
    design = TrainingDesign(horizon_days=30, n_cutoffs=3, step_days=20)
    bought = SHOP.transactions
    cut = CustomerLog(bought[bought["timestamp"] < AS_OF + pd.Timedelta(days=1)])
    for predictor in (LogisticBaseline(design=design), PurchaseProcessBaseline()):
        found = [
            predictor.fit(shop, as_of=AS_OF).forecast(shop, as_of=AS_OF, horizon_days=30)
            for shop in (CustomerLog(bought), cut)
        ]
        assert found[0].equals(found[1])


def test_only_silence_has_a_stated_direction() -> None:
    directions = {feature.name: feature.churn for builder in GROUPS.values() for feature in builder.describe()}
    assert {name for name, direction in directions.items() if direction} == {"recency_days", "interval_stretch"}
