"""MBG/NBD: published fits and likelihoods, 60-digit arithmetic, and shops simulated customer by customer."""

import json

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import cdnow_rfm
from numpy.testing import assert_allclose
from regular_shops import grocery_rfm, simulate_regular_shop

from crm_ml.clv import BetaGeoModel, ModifiedBetaGeoModel
from crm_ml.clv.processes import bg_nbd
from crm_ml.errors import ModelError


@pytest.fixture(scope="module")
def cdnow():
    return ModifiedBetaGeoModel(time_unit="W").fit(cdnow_rfm())


def customer(x, t_x, T):
    return pd.DataFrame({"frequency": [x], "recency": [t_x], "T": [T]}, dtype=float)


def mp_history(x, t_x, T, r, alpha, a, b):
    """Log-likelihood and probability of being alive, as integrals over p written with beta functions."""
    x, t_x, T, r, alpha, a, b = map(mp.mpf, (x, t_x, T, r, alpha, a, b))
    scale = mp.gamma(r + x) / mp.gamma(r) * alpha**r / mp.beta(a, b)
    alive = scale * mp.beta(a, b + x + 1) / (alpha + T) ** (r + x)
    left = scale * mp.beta(a + 1, b + x) / (alpha + t_x) ** (r + x)
    return mp.log(alive + left), alive / (alive + left)


def mp_while_alive(h, r, alpha, a, b):
    """Expected purchases of an alive customer: the series over n of the n-th purchase being made in time."""
    z = mp.mpf(h) / (mp.mpf(alpha) + h)
    pmf, reached, stay, total, n = (1 - z) ** mp.mpf(r), mp.mpf(1), mp.mpf(1), mp.mpf(0), 0
    while n < 3000:
        reached, pmf = reached - pmf, pmf * (mp.mpf(r) + n) / (n + 1) * z
        total, n = total + stay * reached, n + 1
        if stay * reached < total * mp.mpf(10) ** -20:
            return total
        stay *= (mp.mpf(b) + n - 1) / (mp.mpf(a) + b + n - 1)
    raise AssertionError("the series has not ended")


def test_cdnow_fit_is_the_published_one(cdnow):
    assert_allclose([cdnow.params_[n] for n in ("r", "alpha", "a", "b")], [0.525, 6.183, 0.891, 1.614], atol=1e-3)
    assert_allclose(cdnow.log_likelihood_, -9582.135716, atol=1e-3)
    assert cdnow.diagnostics_["converged"]
    assert cdnow.diagnostics_["gradient_norm"] < 1e-8
    assert cdnow.diagnostics_["notes"] == []


def test_grocery_fit_is_the_published_one():
    model = ModifiedBetaGeoModel(time_unit="W").fit(grocery_rfm())
    # the published parameters come from an optimiser that stops where the last digit is still moving
    assert_allclose([model.params_[n] for n in ("r", "alpha", "a", "b")], [1.257, 6.038, 0.368, 0.716], atol=1.5e-3)
    assert_allclose(model.log_likelihood_, -15781.939, atol=1e-3)
    plain = BetaGeoModel(time_unit="W").fit(grocery_rfm())
    assert_allclose([plain.params_[n] for n in ("r", "alpha", "a", "b")], [0.349, 2.581, 0.504, 3.644], atol=1e-3)
    assert_allclose(plain.log_likelihood_, -15836.566, atol=1e-3)


def test_published_likelihoods():
    got = bg_nbd.log_likelihood([0, 200], [0, 38], 40, r=0.25, alpha=4, a=0.8, b=2.5, modified=True)
    assert got.round(8)[0] == -0.41792826
    assert got.round(4)[1] == 100.7869


HISTORIES = [(0, 0.0, 1e-6), (0, 0.0, 40.0), (0, 0.0, 4e6), (1, 1e-6, 40.0), (7, 3.0, 40.0), (200, 38.0, 40.0)]
HISTORIES += [(10_000, 1.0, 40.0), (10_000, 40.0, 40.0)]
PARAMETERS = [
    (0.25, 4.0, 0.8, 2.5),
    (0.01, 4e-5, 0.05, 0.1),
    (5.0, 4e6, 1.0, 0.5),
    (0.5, 40.0, 30.0, 0.4),
    (2.0, 1.0, 1.0 + 1e-9, 1e-3),
]


@pytest.mark.parametrize("params", PARAMETERS)
@pytest.mark.parametrize("history", HISTORIES)
def test_likelihood_and_probabilities_agree_with_60_digits(history, params):
    named = dict(zip(bg_nbd.NAMES, params, strict=True))
    x, _, T = history
    with mp.workdps(60):
        truth, alive = mp_history(*history, *params)
        silent = (mp.mpf(params[1] + T) / mp.mpf(params[1] + T + 13)) ** (params[0] + x)
        no_purchase = (1 - alive) + alive * silent
    one = tuple(np.array([float(value)]) for value in history)
    got = bg_nbd.log_likelihood(*history, **named, modified=True)
    assert_allclose(got, float(truth), rtol=2e-13, atol=2e-13)
    got = bg_nbd.probability_alive(*history, **named, modified=True)
    assert_allclose(got, float(alive), rtol=1e-11, atol=1e-300)
    got = bg_nbd.probability_no_purchase(13.0, *one, **named, modified=True)
    assert_allclose(got, float(no_purchase), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("h", [1e-6, 1.0, 60.0])
@pytest.mark.parametrize("a", [0.05, 1.0, 1 + 1e-9, 40.0])
def test_expected_purchases_agree_with_60_digits(h, a):
    with mp.workdps(80):
        for (r, alpha, b), (x, t_x, T) in [
            ((0.5, 6.0, 1.6), (0, 0.0, 30.0)),
            ((0.02, 0.5, 1e-3), (1, 2.0, 2.0)),
            ((3.0, 50.0, 0.2), (30, 700.0, 700.0)),
        ]:
            truth = float(mp_while_alive(h, r + x, alpha + T, a, b + x + 1) * mp_history(x, t_x, T, r, alpha, a, b)[1])
            one = tuple(np.array([float(value)]) for value in (x, t_x, T))
            got = bg_nbd.expected_purchases(h, *one, r=r, alpha=alpha, a=a, b=b, modified=True)
            assert_allclose(got, truth, rtol=1e-11)


def test_a_customer_without_a_repeat_may_have_left(cdnow):
    silent = customer(0, 0, 100)
    alive = cdnow.probability_alive(silent)[0]
    assert 0 < alive < cdnow.probability_alive(customer(0, 0, 10))[0] < 1
    just_now = cdnow.probability_alive(customer(0, 0, 0))[0]
    assert_allclose(just_now, cdnow.params_["b"] / (cdnow.params_["a"] + cdnow.params_["b"]), rtol=1e-12)
    assert_allclose(cdnow.probability_alive(customer(0, 0, 60), further_silence=40.0), alive, rtol=1e-13)


def test_a_new_customer_is_one_just_seen(cdnow):
    for t in (0.1, 5.0, 300.0):
        new = cdnow.expected_purchases_new_customer(t)
        assert_allclose(cdnow.expected_purchases(customer(0, 0, 0), t), new, rtol=1e-11)
    assert cdnow.expected_purchases_new_customer([0.0]).tolist() == [0.0]


def test_predictions_are_the_averages_of_a_simulated_shop():
    true = {"r": 0.8, "alpha": 8.0, "a": 0.7, "b": 2.0}
    shop = simulate_regular_shop(np.random.default_rng(7), 60_000, **true, k=1, modified=True, T=40.0, horizon=15.0)
    model = ModifiedBetaGeoModel().fit(shop)
    for name, value in true.items():
        assert abs(model.params_[name] - value) < 4 * model.standard_errors_[name]
    x, t_x, T = (shop[name].to_numpy() for name in ("frequency", "recency", "T"))
    alive = bg_nbd.probability_alive(x, t_x, T, **true, modified=True)
    silent = bg_nbd.probability_no_purchase(15.0, x, t_x, T, **true, modified=True)
    expected = bg_nbd.expected_purchases(15.0, x, t_x, T, **true, modified=True)
    for rows in (x == 0, x == 1, (x == 2) & (t_x < 20), (x > 2) & (t_x > 30), x > 5):
        for predicted, seen in (
            (alive, shop["alive"]),
            (silent, shop["later_purchases"] == 0),
            (expected, shop["later_purchases"]),
        ):
            off = seen.to_numpy(dtype=float)[rows] - predicted[rows]
            assert abs(off.mean()) < 4 * off.std() / np.sqrt(rows.sum())


def test_drawn_futures_have_the_expected_mean():
    model = ModifiedBetaGeoModel().fit(
        simulate_regular_shop(
            np.random.default_rng(3), 60_000, r=0.8, alpha=8.0, a=0.7, b=2.0, k=1, modified=True, T=40
        )
    )
    rfm = pd.concat([customer(0, 0, 10), customer(3, 38, 40), customer(6, 20, 40)], ignore_index=True)
    assert_drawn_mean(model, rfm, 20.0)


def assert_drawn_mean(model, rfm, horizon):
    from crm_ml.clv.uncertainty.interval import common_futures

    drawn = model.count_draw(rfm, horizon)(common_futures(), np.arange(len(rfm)))
    expected = model.expected_purchases(rfm, horizon).to_numpy()
    # the futures are 512 Sobol points, whose mean is closer than that of as many random ones
    assert (np.abs(drawn.mean(axis=1) - expected) < 4 * drawn.std(axis=1) / np.sqrt(512)).all()


def test_time_weights_and_batches(cdnow):
    daily = ModifiedBetaGeoModel().fit(cdnow_rfm(days_per_unit=1.0))
    assert_allclose(daily.params_["alpha"], 7 * cdnow.params_["alpha"], rtol=1e-7)
    assert_allclose(daily.params_["a"], cdnow.params_["a"], rtol=1e-7)
    assert_allclose(daily.log_likelihood_, cdnow.log_likelihood_ - 2457 * np.log(7), rtol=1e-12)
    rfm = cdnow_rfm()
    counted = rfm.groupby(["frequency", "recency", "T"], as_index=False).size().sample(frac=1, random_state=1)
    assert ModifiedBetaGeoModel(time_unit="W").fit(counted, counted["size"]).params_ == cdnow.params_
    together = cdnow.expected_purchases(rfm, 39.0)
    for i in range(0, len(rfm), 300):
        assert cdnow.expected_purchases(rfm.iloc[[i]], 39.0).iloc[0] == together.iloc[i]


def test_a_fit_survives_json_and_is_no_other_models(cdnow):
    stored = json.loads(json.dumps(cdnow.to_dict(), allow_nan=False))
    assert ModifiedBetaGeoModel.from_dict(stored).params_ == cdnow.params_
    with pytest.raises(ModelError, match="A stored BetaGeoModel must say so; this one says 'ModifiedBetaGeoModel'"):
        BetaGeoModel.from_dict(stored)
