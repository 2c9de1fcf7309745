"""The level's correction: planted seasons and cohorts are found and help, where none are planted it stays off."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from choice_shops import START, simulate_log, simulated_shop
from numpy.testing import assert_allclose

import crm_ml
from crm_ml.clv import BetaGeoModel, CLVModel, rfm_summary
from crm_ml.clv.choice.holdout import holdouts
from crm_ml.clv.choice.level import Level, choose_level
from crm_ml.errors import CrmError

PACE = {"r": 0.8, "alpha": 6.0, "a": 0.4, "b": 4.0}
AS_OF = START + pd.Timedelta(days=1034)  # 2024-10-31
MONEY = {"horizon_days": 61, "annual_discount_rate": 0.0, "margin": 1.0}


def december(day):
    """Buy at 2.0 of the base rate in December and at 0.8 otherwise, over days since 2022-01-01."""
    return np.where((START + pd.to_timedelta(np.minimum(day, 1500), "D")).month == 12, 2.0, 0.8)


@pytest.fixture(scope="module")
def peak():
    events = simulate_log(np.random.default_rng(0), 1200, days=1096, births=500, season=december, **PACE)
    log = crm_ml.CustomerLog(events, threads=1, n_buckets=1)
    return events, log, CLVModel(process="BetaGeo").fit(log, as_of=AS_OF)


def test_a_december_peak_is_found_and_corrects_december(peak):
    _, log, model = peak
    factors = pd.Series(model.level_.months)
    assert factors.index.tolist() == sorted(map(str, range(1, 13)))
    others = factors.drop("12")
    assert 1.8 < factors["12"] / others.mean() < 2.5  # 2.0 / 0.8, shrunk towards 1
    assert others.between(0.8, 1.05).all()
    assert "corrected by month of the year" in " ".join(model.diagnostics_["notes"])
    december_on = AS_OF + pd.Timedelta(days=31)
    rfm = rfm_summary(log, as_of=december_on).assign(as_of=pd.Timestamp(december_on, tz="UTC"))
    actual = crm_ml.build_panel(log, cutoffs=[december_on], horizon_days=31, features=())["purchase_days_ahead"].sum()
    plain = model.process_.expected_purchases(rfm, 31).sum()
    corrected = model.predict(rfm, **{**MONEY, "horizon_days": 31})["expected_purchases"].sum()
    assert abs(corrected / actual - 1) < 0.5 * abs(plain / actual - 1)


def test_value_its_bounds_and_the_forecast_carry_the_factor(peak):
    _, log, model = peak
    rfm = rfm_summary(log, as_of=AS_OF)
    bare = CLVModel.from_dict({**model.to_dict(), "level": Level().to_dict()})
    factor = model.level_.factors(rfm["T"], as_of=pd.Timestamp(AS_OF, tz="UTC"), horizon_days=61)
    november, christmas = model.level_.months["11"], model.level_.months["12"]
    oct31 = model.level_.months["10"]
    assert_allclose(factor, (oct31 + 30 * november + 30 * christmas) / 61, rtol=1e-12)
    with_level, without = model.predict(rfm, **MONEY), bare.predict(rfm, **MONEY)
    for column in ("expected_purchases", "clv", "clv_lower", "clv_upper"):
        assert_allclose(with_level[column], factor * without[column], rtol=1e-9)
    for column in ("probability_alive", "expected_spend_per_purchase"):
        assert_allclose(with_level[column], without[column], rtol=0)
    spend = model.forecast(log, as_of=AS_OF, horizon_days=61)
    assert_allclose(spend, with_level["clv"], rtol=1e-9)


def test_the_factors_survive_json(peak):
    _, log, model = peak
    restored = CLVModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert restored.level_ == model.level_
    rfm = rfm_summary(log, as_of=AS_OF)
    pd.testing.assert_frame_equal(restored.predict(rfm, **MONEY), model.predict(rfm, **MONEY))


def test_what_comes_at_or_after_as_of_changes_no_factor(peak):
    events, _, model = peak
    past = events[events["timestamp"] < AS_OF]
    assert CLVModel(process="BetaGeo").fit(crm_ml.CustomerLog(past), as_of=AS_OF).to_dict() == model.to_dict()


@pytest.mark.parametrize("seed", [0, 1])
def test_without_a_season_or_a_bias_the_level_stays(seed):
    log = simulated_shop(seed, 1200, days=1096, births=500, **PACE)
    level = CLVModel(process="BetaGeo").fit(log, as_of=AS_OF).level_
    assert (level.months, level.cohorts) == ({}, {})
    assert "keep their level" in level.note


def test_a_peak_seen_only_once_is_not_a_season():
    def once(day):
        return np.where((day >= 700) & (day < 731), 2.0, 0.8)

    log = simulated_shop(3, 1200, days=1096, births=300, season=once, **PACE)
    assert CLVModel(process="BetaGeo").fit(log, as_of=AS_OF).level_.months == {}


@pytest.fixture(scope="module")
def young():
    log = simulated_shop(5, 3000, days=364, births=180, **PACE)
    as_of = pd.Timestamp(START + pd.Timedelta(days=364), tz="UTC")
    rfm = rfm_summary(log, as_of=as_of)
    windows = holdouts(log, rfm, as_of=as_of, time_unit="D")
    return log, as_of, windows, [BetaGeoModel().fit(window.rfm) for window in windows], BetaGeoModel().fit(rfm)


def level_of(young, factors, *, later=None):
    """Choose the level where purchases come at each cohort's factor times the expectation."""
    log, as_of, windows, fitted, process = young
    rng, lived = np.random.default_rng(1), []
    for window, known, planted in zip(windows, fitted, (factors, later or factors), strict=True):
        born = window.origin - pd.to_timedelta(window.rfm["T"] + 1, unit="D")
        factor = born.dt.quarter.map(planted).to_numpy()
        expected = known.expected_purchases(window.rfm, window.horizon).to_numpy()
        lived.append(dataclasses.replace(window, purchases=rng.poisson(factor * expected).astype(float)))
    return choose_level(log, lived, fitted, process, as_of=as_of)


def test_planted_cohorts_are_found(young):
    level = level_of(young, {1: 1.5, 2: 0.7})
    assert_allclose([level.cohorts["2022Q1"], level.cohorts["2022Q2"]], [1.5, 0.7], rtol=0.1)
    assert "corrected by quarter of the first purchase" in level.note
    as_of = young[1]
    born = [pd.Timestamp("2022-03-31", tz="UTC"), pd.Timestamp("2022-04-01", tz="UTC"), as_of - pd.Timedelta(days=1)]
    ages = [(as_of - pd.Timedelta(days=1) - day).days for day in born]
    found = level.factors(ages, as_of=as_of, horizon_days=30)
    assert_allclose(found, [level.cohorts["2022Q1"], level.cohorts["2022Q2"], 1.0])


def test_cohorts_that_do_not_persist_or_do_not_exist_are_left(young):
    assert level_of(young, {1: 1.5, 2: 0.7}, later={1: 0.7, 2: 1.5}).cohorts == {}
    assert level_of(young, {1: 1.0, 2: 1.0}).cohorts == {}


def test_the_setting_is_checked_and_can_be_off(peak):
    _, log, _ = peak
    off = CLVModel(process="BetaGeo", level=None).fit(log, as_of=AS_OF)
    assert off.level_ == Level()
    assert off.selection_.empty
    with pytest.raises(CrmError, match='`level` must be "choose" or None'):
        CLVModel(level="season").fit(log, as_of=AS_OF)
