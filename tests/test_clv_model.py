"""The CLV model: value, interval, money and time settings, storage."""

import json

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, cdnow_log, cdnow_rfm, simulate_shop
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from crm_ml.clv import BetaGeoModel, CLVModel, rfm_summary
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.uncertainty.interval import common_futures, parameter_draws
from crm_ml.errors import CrmError, ModelError, NotFittedError, SchemaError
from crm_ml.events import CustomerLog

MONEY = {"horizon_days": 273, "annual_discount_rate": 0.1, "margin": 0.3}


@pytest.fixture(scope="module")
def rfm():
    return cdnow_rfm()


@pytest.fixture(scope="module")
def model(rfm):
    return CLVModel(time_unit="W").fit_rfm(rfm)


@pytest.fixture(scope="module")
def values(model, rfm):
    return model.predict(rfm, **MONEY)


def test_predictions_have_the_promised_columns_and_order(values, rfm):
    assert values.columns.tolist() == [
        "probability_alive",
        "expected_purchases",
        "expected_spend_per_purchase",
        "clv",
        "clv_lower",
        "clv_upper",
    ]
    assert values.index.equals(rfm.index)
    assert np.isfinite(values.to_numpy()).all()
    assert (values >= 0).all(axis=None)
    assert (values["clv_lower"] <= values["clv"]).all()
    assert (values["clv"] <= values["clv_upper"]).all()


def test_without_discounting_value_is_exactly_the_product(model, rfm):
    plain = model.predict(rfm, horizon_days=273, annual_discount_rate=0.0, margin=0.3)
    product = 0.3 * plain["expected_spend_per_purchase"] * plain["expected_purchases"]
    assert (plain["clv"] == product).all()


def test_discounting_is_the_limit_of_daily_steps(model, rfm):
    few = rfm.iloc[[0, 2, 5, 100]]
    value = model.predict(few, horizon_days=90, annual_discount_rate=0.5, margin=0.3)
    days = np.arange(0, 90.01, 0.25)
    cumulative = np.stack(
        [model.process_.expected_purchases(few, day / 7).to_numpy() if day else np.zeros(4) for day in days]
    )
    middle = (days[1:] + days[:-1]) / 2
    discounted = (np.diff(cumulative, axis=0) * (1.5 ** (-middle / 365.25))[:, None]).sum(axis=0)
    # midpoint sums over quarter days err by (0.25 × rate)^2 / 24 ≈ 3e-9 of the value
    assert_allclose(value["clv"], 0.3 * value["expected_spend_per_purchase"] * discounted, rtol=2e-8)


def test_daily_and_weekly_fits_value_customers_alike(rfm, values):
    daily_rfm = cdnow_rfm(days_per_unit=1.0)
    daily = CLVModel().fit_rfm(daily_rfm).predict(daily_rfm, **MONEY)
    columns = ["probability_alive", "expected_purchases", "expected_spend_per_purchase", "clv"]
    assert_frame_equal(daily[columns], values[columns], rtol=1e-6)


def test_a_customers_row_does_not_depend_on_the_others(model, rfm, values):
    some = rfm.iloc[5:1500:97]
    assert_frame_equal(model.predict(some.iloc[::-1], **MONEY), values.loc[some.index[::-1]], check_exact=True)
    assert_frame_equal(model.predict(rfm.iloc[[7]], **MONEY), values.iloc[[7]], check_exact=True)


def test_cdnow_holdout_spend_lies_within_the_interval(values):
    log = cdnow_log()
    held_out = log[log["date"] > "1997-09-30"].groupby("customer_id")["amount"].sum()
    earned = 0.3 * held_out.reindex(values.index, fill_value=0.0)
    inside = (earned >= values["clv_lower"]) & (earned <= values["clv_upper"])
    assert 0.88 < inside.mean() < 0.97


SHOPS = [
    {"r": 1.2, "alpha": 1.5, "a": 0.5, "b": 6.0},  # frequent buyers, wide intervals
    {"r": 0.3, "alpha": 4.4, "a": 0.8, "b": 2.4},  # mostly silent
]


@pytest.mark.parametrize("true", SHOPS)
@pytest.mark.parametrize("n", [300, 3000])
def test_the_interval_covers_what_simulated_customers_are_worth(true, n):
    rng = np.random.default_rng(21)
    spend = {"p": 5.0, "q": 4.0, "gamma": 20.0}
    shop = simulate_shop(rng, n, **true, T=rng.uniform(10, 60, n), horizon=26.0, spend=spend)
    fitted = CLVModel(time_unit="W").fit_rfm(shop)
    predicted = fitted.predict(shop, horizon_days=182, annual_discount_rate=0.0, margin=1.0)
    worth = shop["later_value"]
    below, above = worth < predicted["clv_lower"], worth > predicted["clv_upper"]
    # 90 % at least (a point mass at 0 is covered whole), less 3 binomial deviations and the draws' own 1 %
    assert (below | above).mean() < 0.10 + 3 * np.sqrt(0.09 / n) + 0.01
    assert above.mean() > 0.02
    busy = predicted["expected_purchases"] > 5
    if busy.sum() > 400:  # no point mass here: the interval must not be too wide either
        assert 0.85 < 1 - (below | above)[busy].mean() < 0.95


def test_common_futures_draw_the_models_own_distribution():
    futures = common_futures()
    fixed = parameter_draws(CDNOW, np.zeros((4, 4)), futures.normals[:4])
    frame = pd.DataFrame({"frequency": [26.0, 3.0, 0.0], "recency": [30.0, 20.0, 0.0], "T": [31.0, 38.0, 38.0]})
    history = [frame[name].to_numpy() for name in ("frequency", "recency", "T")]
    drawn = bg_nbd.drawn_purchases(52.0, *history, futures=futures, **fixed)
    expected = bg_nbd.expected_purchases(52.0, *history, **CDNOW)
    silent = bg_nbd.probability_no_purchase(52.0, *history, **CDNOW)
    error = drawn.std(axis=1) / np.sqrt(drawn.shape[1])
    assert (np.abs(drawn.mean(axis=1) - expected) < 3 * error).all()
    assert_allclose((drawn == 0).mean(axis=1), silent, atol=0.04)


def test_counts_beyond_the_table_keep_mean_and_spread():
    futures = common_futures()
    counts = futures.purchases_by(np.full((1, 512), 5000.0))
    assert_allclose(counts.mean(), 5000, rtol=0.003)
    assert_allclose(counts.std(), np.sqrt(5000), rtol=0.1)
    below = futures.purchases_by(np.full((1, 512), 20.0))
    assert_allclose([below.mean(), below.var()], 20.0, rtol=0.15)


def test_parameter_draws_have_the_fits_covariance(model):
    process = model.process_
    normals = common_futures().normals[:4]
    draws = parameter_draws(process.params_, process.log_covariance_, normals)
    logs = np.log(np.stack([draws[name] for name in bg_nbd.NAMES]))
    assert_allclose(np.cov(logs), process.log_covariance_, atol=0.05 * process.log_covariance_.max())


def test_parameter_uncertainty_widens_the_interval(rfm):
    rare = rfm.sample(120, random_state=2)
    unsure = CLVModel(time_unit="W").fit_rfm(rare)
    same = CLVModel(time_unit="W").fit_rfm(rare, np.full(120, 1e4))
    assert_allclose(list(same.params_.values()), list(unsure.params_.values()), rtol=1e-5)
    wide, narrow = (m.predict(rfm, **MONEY)["clv_upper"].sum() for m in (unsure, same))
    assert wide > 1.02 * narrow


def test_tracking_matches_brute_force_and_cdnow(model):
    births = np.array([30.0, 30.0, 10.0, -5.0])
    days = np.array([-40.0, -20.0, 0.0, 20.0])
    got = model.expected_repeat_purchases(births, days)
    for value, day in zip(got, days, strict=True):
        ages = np.maximum(births + day, 0.0) / 7
        assert_allclose(
            value, sum(float(bg_nbd.expected_purchases_new_customer(age, **CDNOW)) for age in ages), rtol=1e-5
        )
    assert got[0] == 0.0
    log = cdnow_log()
    first = log.groupby("customer_id")["date"].min()
    end = pd.Timestamp("1998-06-30")
    tracked = model.expected_repeat_purchases((end - first).dt.days.to_numpy(), [0.0])[0]
    actual = len(log) - len(first)
    assert abs(tracked / actual - 1) < 0.05  # the paper: cumulative sales are tracked within a few percent


def test_a_model_survives_json_and_holds_no_customer(model, rfm, values):
    text = json.dumps(model.to_dict(), allow_nan=False)
    assert len(text) < 5000
    restored = CLVModel.from_dict(json.loads(text))
    assert restored.time_unit == "W"
    assert restored.fitted_as_of_ is None
    assert restored.diagnostics_ == model.diagnostics_
    assert_frame_equal(restored.predict(rfm, **MONEY), values)
    dated = {**model.to_dict(), "fitted_as_of": "2017-10-01T00:00:00+00:00"}
    assert CLVModel.from_dict(dated).fitted_as_of_ == pd.Timestamp("2017-10-01", tz="UTC")
    assert CLVModel.from_dict(dated).to_dict() == dated


def test_fitting_a_log_is_fitting_its_summary_up_to_a_moment(values, rfm):
    log = CustomerLog(cdnow_log().rename(columns={"date": "timestamp"}))
    fitted = CLVModel(process="BetaGeo", level=None, time_unit="W").fit(log, as_of="1997-10-01")
    assert fitted.fitted_as_of_ == pd.Timestamp("1997-10-01", tz="UTC")
    assert_allclose([fitted.params_[name] for name in CDNOW], list(CDNOW.values()), atol=1e-4)
    summary = rfm_summary(log, as_of="1997-10-01", time_unit="W")
    again = fitted.predict(summary, **MONEY).set_axis(summary.index.astype(int)).sort_index()
    assert_allclose(again["clv"], values["clv"], rtol=1e-6)


def test_damaged_models_are_refused(model):
    with pytest.raises(ModelError, match="must be of kind 'clv'; this one is 'churn'"):
        CLVModel.from_dict({"kind": "churn"})
    stored = model.to_dict()
    del stored["spend"]
    with pytest.raises(ModelError, match="must hold 'spend'"):
        CLVModel.from_dict(stored)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("horizon_days", 0, "`horizon_days` must be positive"),
        ("horizon_days", np.inf, "`horizon_days` must be positive and finite"),
        ("annual_discount_rate", -0.01, "`annual_discount_rate` must be 0 or more"),
        ("annual_discount_rate", np.nan, "`annual_discount_rate` must be 0 or more"),
        ("margin", 0.0, r"`margin` must be a share of the spend in \(0, 1\]"),
        ("margin", 30, "`margin` must be a share of the spend"),
    ],
)
def test_impossible_settings_are_refused(model, rfm, setting, value, message):
    with pytest.raises(CrmError, match=message):
        model.predict(rfm, **{**MONEY, setting: value})


def test_the_whole_margin_is_allowed_and_scales_value(model, rfm, values):
    whole = model.predict(rfm, **{**MONEY, "margin": 1.0})
    for column in ("clv", "clv_lower", "clv_upper"):
        assert_allclose(0.3 * whole[column], values[column], rtol=1e-12)


def test_money_settings_have_no_default(model, rfm):
    with pytest.raises(TypeError, match="missing 3 required keyword-only arguments"):
        model.predict(rfm)


def test_unfitted_and_incomplete_inputs_are_refused(model, rfm):
    with pytest.raises(NotFittedError, match="CLVModel must be fitted"):
        CLVModel().predict(rfm, **MONEY)
    with pytest.raises(NotFittedError, match="CLVModel must be fitted"):
        CLVModel().to_dict()
    with pytest.raises(SchemaError, match="need a column `monetary_value`"):
        model.predict(rfm.drop(columns="monetary_value"), **MONEY)
    assert model.predict(rfm.iloc[:0], **MONEY).empty


def test_extreme_customers_get_finite_values(model):
    odd = pd.DataFrame(
        {
            "frequency": [10_000, 5000, 1, 0, 0, 300],
            "recency": [1.0, 5000.0, 1e-6, 0, 0, 1e5],
            "T": [40.0, 5000.0, 1e6, 0, 1e6, 1e5],
            "monetary_value": [1e6, 0.01, 1e-6, 0, 0, -3],
        }
    )
    value = model.predict(odd, **{**MONEY, "horizon_days": 36_500})
    assert np.isfinite(value.to_numpy()).all()
    assert (value >= 0).all(axis=None)


def test_a_limit_of_the_process_still_gives_values():
    rng = np.random.default_rng(2)
    shop = simulate_shop(
        rng, 1500, r=0.8, alpha=4.0, a=1, b=1, T=30.0, dropout=1.0, spend={"p": 5.0, "q": 4.0, "gamma": 20.0}
    )
    limit = CLVModel(time_unit="W").fit_rfm(shop)
    assert any(note.startswith("Boundary") for note in limit.diagnostics_["notes"])
    assert np.isfinite(limit.predict(shop, **MONEY).to_numpy()).all()


def test_notes_reach_the_model(model):
    assert any("by construction" in note for note in model.diagnostics_["notes"])
    assert model.kind == "clv"
    assert set(model.params_) == {"r", "alpha", "a", "b", "p", "q", "gamma"}
    assert isinstance(model.process_, BetaGeoModel)
