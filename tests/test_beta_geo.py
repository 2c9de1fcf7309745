"""BG/NBD as an estimator: published fits, recovery, boundaries, contracts."""

import json

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, cdnow_log, cdnow_rfm, simulate_shop
from numpy.testing import assert_allclose
from pandas.testing import assert_series_equal

from crm_ml.clv import BetaGeoModel
from crm_ml.clv.likelihood.newton import maximise
from crm_ml.clv.likelihood.patterns import compress, thin
from crm_ml.errors import ConvergenceError, CrmError, ModelError, NotFittedError, SchemaError


@pytest.fixture(scope="module")
def cdnow():
    return BetaGeoModel(time_unit="W").fit(cdnow_rfm())


def customer(x, t_x, T):
    return pd.DataFrame({"frequency": [x], "recency": [t_x], "T": [T]}, dtype=float)


def test_cdnow_fit_is_the_published_one(cdnow):
    rfm = cdnow_rfm()
    assert (len(rfm), rfm["frequency"].sum()) == (2357, 2457)
    assert_allclose([cdnow.params_[name] for name in CDNOW], list(CDNOW.values()), atol=1e-4)
    assert_allclose(cdnow.log_likelihood_, -9582.429207, atol=1e-3)
    assert cdnow.diagnostics_["converged"]
    assert cdnow.diagnostics_["gradient_norm"] < 1e-8


def test_cdnow_predictions_are_the_published_ones(cdnow):
    # BTYD's optimiser stops short of the optimum: its predictions differ from the exact ones by up to 7e-5
    regular = customer(26, 30.857, 31)
    assert_allclose(cdnow.expected_purchases(regular, 52.0), 25.75659, rtol=1e-4)
    assert_allclose(cdnow.probability_alive(regular), 0.9688523, atol=1e-4)
    assert_allclose(cdnow.expected_purchases_new_customer(52.0), 1.444004, atol=1e-4)


def test_cdnow_holdout_by_frequency_is_the_published_one(cdnow):
    rfm = cdnow_rfm()
    log = cdnow_log()
    held_out = log[log["date"] > "1997-09-30"].groupby("customer_id").size().reindex(rfm.index, fill_value=0)
    group = rfm["frequency"].clip(upper=7)
    published = [0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789, 3.503957, 6.157036]
    assert_allclose(cdnow.expected_purchases(rfm, 39.0).groupby(group).mean(), published, rtol=1e-4)
    actual = [0.237, 0.697, 1.393, 1.560, 2.532, 2.947, 3.862, 6.359]
    assert_allclose(held_out.groupby(group).mean(), actual, atol=6e-4)


def test_standard_errors_match_the_spread_of_refits():
    true = {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 3.0}
    rng = np.random.default_rng(5)
    fits = [BetaGeoModel().fit(simulate_shop(rng, 3000, **true, T=rng.uniform(20, 100, 3000))) for _ in range(24)]
    for name, value in true.items():
        estimates = np.array([fit.params_[name] for fit in fits])
        error = np.mean([fit.standard_errors_[name] for fit in fits])
        # the mean of 24 refits lies within 3 of its own standard errors, their spread within its 99 % range
        assert abs(estimates.mean() - value) < 3 * error / np.sqrt(24) + 0.02 * value, name
        assert 0.63 < estimates.std(ddof=1) / error < 1.39, name


def test_an_interior_optimum_that_lifetimes_refuses():
    rng = np.random.default_rng(3)
    T = rng.uniform(50, 104, 5000)
    fit = BetaGeoModel(time_unit="W").fit(simulate_shop(rng, 5000, r=4.0, alpha=0.2, a=0.5, b=40.0, T=T))
    assert fit.diagnostics_["converged"]
    assert not fit.diagnostics_["flat_ridge"]
    for name, value in {"r": 4.0, "alpha": 0.2, "a": 0.5, "b": 40.0}.items():
        assert abs(fit.params_[name] - value) < 4 * fit.standard_errors_[name]


def test_scaling_time_scales_alpha_only(cdnow):
    daily = BetaGeoModel(time_unit="D").fit(cdnow_rfm(days_per_unit=1.0))
    for name in ("r", "a", "b"):
        assert_allclose(daily.params_[name], cdnow.params_[name], rtol=1e-7)
    assert_allclose(daily.params_["alpha"], 7 * cdnow.params_["alpha"], rtol=1e-7)
    assert_allclose(daily.log_likelihood_, cdnow.log_likelihood_ - 2457 * np.log(7), rtol=1e-12)


def test_weights_equal_repetition_and_row_order_is_nothing(cdnow):
    rfm = cdnow_rfm()
    counted = rfm.groupby(["frequency", "recency", "T"], as_index=False).size().sample(frac=1, random_state=1)
    weighted = BetaGeoModel(time_unit="W").fit(counted, counted["size"])
    assert weighted.params_ == cdnow.params_
    repeated = BetaGeoModel(time_unit="W").fit(pd.concat([rfm, rfm, rfm]))
    assert_allclose(list(repeated.params_.values()), list(cdnow.params_.values()), rtol=1e-7)
    for name, error in repeated.standard_errors_.items():
        assert_allclose(error * np.sqrt(3), cdnow.standard_errors_[name], rtol=1e-6)
    assert_allclose(repeated.log_likelihood_, 3 * cdnow.log_likelihood_, rtol=1e-12)


def test_no_repeat_purchase_means_alive_by_construction_and_is_said(cdnow):
    assert cdnow.probability_alive(customer(0, 0, 500)).tolist() == [1.0]
    assert any("1,411 of 2,357" in note and "by construction" in note for note in cdnow.diagnostics_["notes"])


def test_silence_is_only_longer_observation(cdnow):
    later = cdnow.probability_alive(customer(3, 30, 38), further_silence=10.0)
    assert later.tolist() == cdnow.probability_alive(customer(3, 30, 48)).tolist()
    assert later[0] < cdnow.probability_alive(customer(3, 30, 38))[0]


def test_no_purchase_is_the_frequency_of_churn_in_a_simulated_shop():
    true = {"r": 0.6, "alpha": 8.0, "a": 0.8, "b": 3.0}
    shop = simulate_shop(np.random.default_rng(8), 40_000, **true, T=40.0, horizon=15.0)
    model = BetaGeoModel().fit(shop)
    predicted, churned = model.probability_no_purchase(shop, 15.0), shop["later_purchases"] == 0
    expected = model.expected_purchases(shop, 15.0)
    for _, group in shop.groupby(pd.qcut(predicted, 8, duplicates="drop"), observed=True):
        rows = group.index
        n = len(rows)
        assert abs(predicted[rows].mean() - churned[rows].mean()) < 4 * 0.5 / np.sqrt(n)
        spread = shop.loc[rows, "later_purchases"].std() / np.sqrt(n)
        assert abs(expected[rows].mean() - shop.loc[rows, "later_purchases"].mean()) < 4 * spread


def shop_at_a_boundary(kind):
    rng = np.random.default_rng(2)
    T = rng.uniform(20, 60, 2000)
    usual = {"r": 0.8, "alpha": 4.0, "a": 1.0, "b": 1.0, "T": T}
    if kind == "nobody leaves":  # all have just bought
        shop = simulate_shop(rng, 2000, **usual, dropout=0.0)
        return shop.assign(recency=shop["T"].where(shop["frequency"] > 0, 0.0)), {"a"}
    if kind == "all leave at once":
        return simulate_shop(rng, 2000, **usual, dropout=1.0), {"a", "b"}
    if kind == "one rate for all":  # more regular than chance
        count = np.floor(T / 5)
        return pd.DataFrame({"frequency": count, "recency": 5 * count, "T": T}), {"r"}
    shop = simulate_shop(rng, 2000, **usual)
    return shop[shop["frequency"] > 0].assign(frequency=1.0), {"r"}


@pytest.mark.parametrize("kind", ["nobody leaves", "all leave at once", "one rate for all", "everyone x = 1"])
def test_a_boundary_is_said_and_predictions_use_the_limit(kind):
    shop, at_boundary = shop_at_a_boundary(kind)
    model = BetaGeoModel().fit(shop)
    assert not model.diagnostics_["converged"]
    assert at_boundary <= set(model.diagnostics_["at_boundary"])
    assert any(note.startswith("Boundary") for note in model.diagnostics_["notes"])
    assert all(np.isinf(model.standard_errors_[name]) for name in at_boundary)
    assert not any(np.isnan(error) for error in model.standard_errors_.values())
    repeaters = shop[shop["frequency"] > 0]
    alive, expected = model.probability_alive(repeaters), model.expected_purchases(shop, 10.0)
    assert np.isfinite(expected).all()
    assert (expected >= 0).all()
    if kind == "nobody leaves":
        assert (alive > 1 - 1e-3).all()
    if kind in {"all leave at once", "everyone x = 1"}:
        assert (alive < 1e-3).all()


def test_the_same_dropout_for_all_is_no_plain_success():
    rng = np.random.default_rng(2)
    shop = simulate_shop(rng, 1500, r=0.5, alpha=4.0, a=1.0, b=1.0, T=rng.uniform(20, 60, 1500), dropout=0.2)
    model = BetaGeoModel().fit(shop)
    assert model.diagnostics_["flat_ridge"]
    assert any(note.startswith(("Flat ridge", "Boundary")) for note in model.diagnostics_["notes"])
    # what is determined is the mean probability to leave
    assert_allclose(model.params_["a"] / (model.params_["a"] + model.params_["b"]), 0.2, atol=0.03)


def test_nobody_repeating_is_refused():
    with pytest.raises(ConvergenceError, match="needs a repeat purchase; none of 2 has"):
        BetaGeoModel().fit(pd.concat([customer(0, 0, 9), customer(0, 0, 5)]))


def test_a_climb_that_ends_on_a_slope_is_refused():
    def kinked(theta):  # concave, but its slope never vanishes
        return -abs(theta[0]), -np.sign(theta + 1e-300), np.array([[-1.0]])

    with pytest.raises(ConvergenceError, match="gradient of the log-likelihood must vanish"):
        maximise(
            kinked,
            [[np.array([0.7])]],
            names=["rate"],
            lower=np.full(1, -9.0),
            upper=np.full(1, 9.0),
            total_weight=1.0,
        )


def test_a_large_shop_starts_on_a_subsample_and_ends_at_the_same_point():
    rng = np.random.default_rng(4)
    shop = simulate_shop(rng, 12_000, **CDNOW, T=rng.uniform(1, 104, 12_000))
    patterns = compress(*(shop[c].to_numpy() for c in ("frequency", "recency", "T")), np.ones(12_000))
    assert len(patterns.x) > 8_000
    assert len(thin(patterns, at_most=2_000).x) <= 2_400
    model = BetaGeoModel(time_unit="W").fit(shop)
    assert model.diagnostics_["gradient_norm"] < 1e-8
    for name, value in CDNOW.items():
        assert abs(model.params_[name] - value) < 4 * model.standard_errors_[name]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"frequency": -1.0}, r"`frequency` must be a whole number .* 1 of 2 customers break this, first rows: \[1\]"),
        ({"frequency": 1.5}, "`frequency` must be a whole number"),
        ({"recency": 9.1}, "`recency` must not exceed `T`"),
        ({"recency": -1.0}, "`recency` must not be negative"),
        ({"frequency": 0.0}, "`recency` must be 0 where `frequency` is 0"),
        ({"recency": 0.0}, "`recency` must be positive where `frequency` is"),
        ({"T": -1.0}, "`T` must not be negative"),
        ({"T": np.nan}, "`T` must be finite"),
        ({"T": np.inf}, "`T` must be finite"),
    ],
)
def test_impossible_histories_are_refused(cdnow, broken, message):
    frame = pd.concat([customer(2, 5, 9), customer(2, 5, 9).assign(**broken)])
    with pytest.raises(SchemaError, match=message):
        BetaGeoModel().fit(frame)
    with pytest.raises(SchemaError, match=message):
        cdnow.probability_alive(frame)


def test_bounds_of_a_history_are_allowed(cdnow):
    frame = pd.concat([customer(2, 9, 9), customer(0, 0, 0)])
    assert (cdnow.expected_purchases(frame, 1.0) > 0).all()


def test_wrong_frames_and_settings_are_refused(cdnow):
    frame = customer(2, 5, 9)
    with pytest.raises(SchemaError, match=r"need a column `recency`.*nearest: 'recensy'"):
        cdnow.probability_alive(frame.rename(columns={"recency": "recensy"}))
    with pytest.raises(SchemaError, match="must be a pandas DataFrame; got list"):
        cdnow.probability_alive([1, 2, 3])
    with pytest.raises(SchemaError, match="`T` must be numeric"):
        cdnow.probability_alive(frame.assign(T="long"))
    with pytest.raises(SchemaError, match="must hold one number per customer"):
        BetaGeoModel().fit(frame, [1.0, 2.0])
    with pytest.raises(SchemaError, match="`weights` must be finite and not negative"):
        BetaGeoModel().fit(frame, [-1.0])
    with pytest.raises(SchemaError, match="A fit needs customers"):
        BetaGeoModel().fit(frame, [0.0])
    with pytest.raises(CrmError, match="`time_unit` must be one of"):
        BetaGeoModel(time_unit="M").fit(frame)
    for horizon in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(CrmError, match="`horizon` must be positive and finite"):
            cdnow.expected_purchases(frame, horizon)
    with pytest.raises(NotFittedError, match="BetaGeoModel must be fitted before it predicts"):
        BetaGeoModel().probability_alive(frame)


def test_results_carry_the_index_and_the_fit_its_unit(cdnow):
    frame = pd.concat([customer(2, 5, 9), customer(0, 0, 9)]).set_axis(["b", "a"]).assign(other="ignored")
    for result in (
        cdnow.probability_alive(frame),
        cdnow.expected_purchases(frame, 4.0),
        cdnow.probability_no_purchase(frame, 4.0),
    ):
        assert result.index.tolist() == ["b", "a"]
    assert cdnow.time_unit_ == "W"
    assert cdnow.probability_alive(frame.iloc[:0]).empty


def test_a_fit_survives_json(cdnow):
    restored = BetaGeoModel.from_dict(json.loads(json.dumps(cdnow.to_dict())))
    assert restored.params_ == cdnow.params_
    assert restored.time_unit_ == "W"
    assert_series_equal(restored.expected_purchases(cdnow_rfm(), 9.0), cdnow.expected_purchases(cdnow_rfm(), 9.0))
    shop, _ = shop_at_a_boundary("nobody leaves")
    limit = BetaGeoModel().fit(shop)
    text = json.dumps(limit.to_dict(), allow_nan=False)
    assert BetaGeoModel.from_dict(json.loads(text)).standard_errors_ == limit.standard_errors_


def test_damaged_fits_are_refused(cdnow):
    stored = cdnow.to_dict()
    with pytest.raises(ModelError, match="A stored BetaGeoModel must say so; this one says 'GammaGammaModel'"):
        BetaGeoModel.from_dict({**stored, "model": "GammaGammaModel"})
    with pytest.raises(ModelError, match="must hold its estimates"):
        BetaGeoModel.from_dict({**stored, "params": {"r": 1.0}})
    with pytest.raises(ModelError, match="must hold positive parameters"):
        BetaGeoModel.from_dict({**stored, "params": {**stored["params"], "a": -1.0}})
