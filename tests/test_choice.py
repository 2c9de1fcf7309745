"""The choice among purchase processes: by out-of-time backtest, of the true one, without a look ahead."""

import json

import numpy as np
import pandas as pd
import pytest
from choice_shops import START, simulate_log, simulated_shop
from clv_shops import cdnow_rfm
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from scipy.optimize import minimize_scalar

import crm_ml
from crm_ml.clv import BetaGeoCNBDModel, CLVModel, ParetoNBDModel, rfm_summary
from crm_ml.clv.choice.deviance import half_deviance, simplest_not_worse
from crm_ml.clv.choice.holdout import holdouts
from crm_ml.clv.choice.selection import PROCESSES, candidates, select
from crm_ml.errors import ConvergenceError, CrmError, ModelError

POISSON = {"r": 0.5, "alpha": 3.0, "a": 0.8, "b": 2.4}
REGULAR = {"r": 1.3, "alpha": 1.4, "a": 0.4, "b": 0.8, "k": 2, "modified": True}
AS_OF = START + pd.Timedelta(days=364)
MONEY = {"horizon_days": 91, "annual_discount_rate": 0.1, "margin": 0.3}


@pytest.fixture(scope="module")
def regular():
    return simulated_shop(1, 1200, days=364, births=120, **REGULAR)


@pytest.fixture(scope="module")
def model(regular):
    return CLVModel().fit(regular, as_of=AS_OF)


def test_a_shop_of_regular_buyers_is_known_as_one(model):
    assert type(model.process_).__name__ == "ModifiedBetaGeoCNBDModel"
    assert model.process_.k_ == 2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bg_nbd_shop_stays_with_bg_nbd(seed):
    log = simulated_shop(seed, 1200, days=364, births=120, **POISSON)
    windows = holdouts(log, rfm_summary(log, as_of=AS_OF), as_of=AS_OF, time_unit="D")
    assert select(candidates("choose", time_unit="D"), windows).name == "BetaGeo"


def test_the_table_tells_every_candidate_origin_and_reason(model, regular):
    table = model.selection_
    assert table.groupby("candidate", sort=False).size().to_dict() == dict.fromkeys(PROCESSES, 2)
    assert table.loc[table["chosen"], "candidate"].unique().tolist() == ["ModifiedBetaGeoCNBD"]
    ends = table["origin"] + pd.to_timedelta(table["horizon_days"], unit="D")
    assert ends.max() == pd.Timestamp(AS_OF, tz="UTC")
    assert sorted(ends.unique())[0] == table["origin"].max()
    assert table["why"].str.len().min() > 0
    note = model.diagnostics_["notes"][0]
    assert note.startswith("The process is ModifiedBetaGeoCNBD, by a backtest of the 121 days from 2022-05-03 and")
    assert all(name in note.split("runners-up")[1] for name in PROCESSES if name != "ModifiedBetaGeoCNBD")
    row = table[(table["candidate"] == "BetaGeo")].iloc[1]
    ahead = crm_ml.build_panel(regular, cutoffs=[row["origin"]], horizon_days=121, features=())["purchase_days_ahead"]
    plain = CLVModel(process="BetaGeo").fit(regular, as_of=row["origin"]).process_
    expected = plain.expected_purchases(rfm_summary(regular, as_of=row["origin"]), 121)
    assert_allclose(row["mae"], np.abs(expected.to_numpy() - ahead.to_numpy()).mean(), rtol=1e-12)
    assert_allclose(row["bias"], expected.sum() / ahead.sum() - 1, rtol=1e-9)


def test_what_comes_at_or_after_as_of_changes_nothing(model):
    events = simulate_log(np.random.default_rng(1), 1200, days=364, births=120, **REGULAR)
    later = events.assign(timestamp=events["timestamp"] + pd.Timedelta(days=364), amount=1e4)
    again = CLVModel().fit(crm_ml.CustomerLog(pd.concat([events, later]), threads=1, n_buckets=1), as_of=AS_OF)
    assert_frame_equal(again.selection_, model.selection_)
    assert again.to_dict() == model.to_dict()


def test_the_choice_is_stored_and_restored(model, regular):
    text = json.dumps(model.to_dict(), allow_nan=False)
    restored = CLVModel.from_dict(json.loads(text))
    rfm = rfm_summary(regular, as_of=AS_OF)
    assert_frame_equal(restored.predict(rfm, **MONEY), model.predict(rfm, **MONEY))
    assert_frame_equal(restored.selection_, model.selection_)
    assert restored.diagnostics_ == model.diagnostics_
    assert restored.process == "ModifiedBetaGeoCNBD"


def test_models_stored_before_there_was_a_choice_still_load():
    old = CLVModel(time_unit="W").fit_rfm(cdnow_rfm()).to_dict()
    del old["selection"]
    restored = CLVModel.from_dict(old)
    assert restored.params_["r"] == old["process"]["params"]["r"]
    assert restored.selection_.empty
    with pytest.raises(ModelError, match=r"must be one of \['BetaGeo', .*this one is 'Sorcery'"):
        CLVModel.from_dict({**old, "process": {**old["process"], "model": "Sorcery"}})


def test_told_process_and_level_the_model_asks_no_backtest(regular):
    named = CLVModel(process="ParetoNBD", level=None, time_unit="W").fit(regular, as_of=AS_OF)
    given = CLVModel(process=ParetoNBDModel(time_unit="W"), level=None, time_unit="W").fit(regular, as_of=AS_OF)
    assert named.params_ == given.params_
    assert named.selection_.empty
    assert "The process is ParetoNBD, as told." in named.diagnostics_["notes"]
    fixed = CLVModel(process=BetaGeoCNBDModel(k=3, time_unit="W"), time_unit="W").fit_rfm(cdnow_rfm())
    assert fixed.process_.k_ == 3


def test_nothing_to_choose_by_is_said_and_means_bg_nbd(regular):
    framed = CLVModel(time_unit="W").fit_rfm(cdnow_rfm())
    short = CLVModel().fit(regular, as_of=START + pd.Timedelta(days=80))
    for fitted in (framed, short):
        assert type(fitted.process_).__name__ == "BetaGeoModel"
        assert "the default: to choose takes a log that goes back 84 days" in fitted.diagnostics_["notes"][0]


def test_the_shortest_history_that_is_backtested_is_the_one_named(regular):
    days = {
        last: len(holdouts(regular, rfm_summary(regular, as_of=at), as_of=at, time_unit="D"))
        for last in (84, 85)
        for at in [START + pd.Timedelta(days=last)]
    }
    assert days == {84: 0, 85: 2}  # T counts from the first day to the last one before as_of


def test_a_candidate_that_cannot_be_fitted_is_out_and_said(regular, monkeypatch):
    def refuse(*_):
        raise ConvergenceError("The likelihood must have a maximum.\nFit on more.")

    windows = holdouts(regular, rfm_summary(regular, as_of=AS_OF), as_of=AS_OF, time_unit="D")
    monkeypatch.setattr(ParetoNBDModel, "fit", refuse)
    among = {name: PROCESSES[name]() for name in ("BetaGeo", "ParetoNBD")}
    found = select(among, windows)
    assert found.name == "BetaGeo"
    assert found.table["why"].iloc[-1] == "could not be fitted: The likelihood must have a maximum."
    assert "ParetoNBD, which could not be fitted" in found.note
    assert select({"ParetoNBD": ParetoNBDModel(), "Other": ParetoNBDModel()}, windows).note.endswith("be backtested.")


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ("BG/NBD", r'`process` must be "choose", one of \[.*\], or a process; got \'BG/NBD\''),
        (ParetoNBDModel(time_unit="W"), "`process.time_unit` must be the model's, 'D'"),
    ],
)
def test_an_impossible_process_is_refused(process, message):
    with pytest.raises(CrmError, match=message):
        CLVModel(process=process).fit_rfm(cdnow_rfm())


@pytest.mark.parametrize("draw", [lambda g: g.poisson(0.7, 200_000), lambda g: g.negative_binomial(0.3, 0.1, 200_000)])
def test_the_deviance_is_least_for_the_mean(draw):
    outcome = draw(np.random.default_rng(0))
    best = minimize_scalar(lambda m: half_deviance(outcome, m).mean(), bounds=(0.01, 10), method="bounded").x
    assert_allclose(best, outcome.mean(), rtol=1e-4)
    assert_allclose(half_deviance([4e8], [4.0004e8]), [40_000.0**2 / 2e4], rtol=1e-4)  # (y − m)² / √y nearby


def test_the_simplest_within_a_standard_error_is_chosen_and_customers_count_once():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=400)
    gap = noise - noise.mean()
    error = gap.std(ddof=1) / 20
    for excess, chosen in ((0.99 * error, "simple"), (1.01 * error, "rich")):
        rows = pd.DataFrame({"simple": gap + excess, "rich": 0.0}, index=np.arange(400))
        assert simplest_not_worse(rows).chosen == chosen
        twice = pd.concat([rows, rows])  # the same customers once more tell nothing new
        assert simplest_not_worse(twice).chosen == chosen
        assert_allclose(simplest_not_worse(twice).error, simplest_not_worse(rows).error)
