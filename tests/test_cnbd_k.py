"""BG/CNBD-k and MBG/CNBD-k: published fits, arithmetic of 80 digits, simulated shops, and what k means."""

import json

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import cdnow_rfm
from numpy.testing import assert_allclose
from regular_shops import grocery_rfm, simulate_regular_shop
from sklearn.base import clone
from test_mbg_nbd import assert_drawn_mean, customer

from crm_ml.clv import BetaGeoCNBDModel, BetaGeoModel, ModifiedBetaGeoCNBDModel, ModifiedBetaGeoModel, rfm_summary
from crm_ml.clv.likelihood.patterns import compress
from crm_ml.clv.likelihood.silence import stage_weights
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.processes.erlang_gaps import purchases_while_alive
from crm_ml.clv.processes.geometric_dropout import dropout_grid
from crm_ml.errors import ConvergenceError, CrmError, ModelError, SchemaError
from crm_ml.events.log import CustomerLog

BOTH = [BetaGeoCNBDModel, ModifiedBetaGeoCNBDModel]


@pytest.fixture(scope="module")
def grocery():
    return ModifiedBetaGeoCNBDModel(k=2, time_unit="W").fit(grocery_rfm())


def one(*history):
    return tuple(np.array([float(value)]) for value in history)


def mp_history(x, t_x, T, k, m, r, alpha, a, b):
    """Log-likelihood without the gaps' powers, and P(alive): lambda and p integrated term by term."""
    x, t_x, T, r, alpha, a, b = map(mp.mpf, (x, t_x, T, r, alpha, a, b))
    n, stayed = r + k * x, x + m
    scale = alpha**r / mp.gamma(r) / mp.factorial(k - 1) ** x / mp.beta(a, b)
    silence = mp.fsum(mp.gamma(n + j) / mp.factorial(j) * (T - t_x) ** j / (alpha + T) ** (n + j) for j in range(k))
    alive = scale * mp.beta(a, b + stayed) * silence
    left = scale * mp.beta(a + 1, b + stayed - 1) * mp.gamma(n) / (alpha + t_x) ** n if stayed > 0 else mp.mpf(0)
    return mp.log(alive + left), alive / (alive + left), silence / mp.gamma(n)


def mp_while_alive(reach, k, stage, shape, a, b):
    """Sum over n of the chance to stay n - 1 times and of n k - stage events being in time."""
    reach, shape, a, b = map(mp.mpf, (reach, shape, a, b))
    z = reach / (1 + reach)
    pmf, fewer, stay, total, count = (1 - z) ** shape, mp.mpf(0), mp.mpf(1), mp.mpf(0), 0
    for n in range(1, 20_000):
        while count < n * k - stage:
            fewer, pmf, count = fewer + pmf, pmf * (shape + count) / (count + 1) * z, count + 1
        total += stay * (1 - fewer)
        if stay * (1 - fewer) < total * mp.mpf(10) ** -18:
            return total
        stay *= (b + n - 1) / (a + b + n - 1)
    raise AssertionError("the series has not ended")


@pytest.mark.parametrize(
    ("model", "params", "log_likelihood"),
    [
        (BetaGeoCNBDModel, [0.359, 1.129, 0.523, 2.785], -15054.173),
        (ModifiedBetaGeoCNBDModel, [1.329, 2.813, 0.425, 0.790], -14978.211),
    ],
)
def test_grocery_fit_and_its_k_are_the_published_ones(model, params, log_likelihood):
    fit = model(time_unit="W").fit(grocery_rfm())
    assert fit.k_ == 2
    assert_allclose([fit.params_[name] for name in bg_nbd.NAMES], params, atol=1e-3)
    assert_allclose(fit.log_likelihood_, log_likelihood, atol=1e-3)
    assert fit.diagnostics_["gradient_norm"] < 1e-8
    by_k = fit.diagnostics_["log_likelihood_by_k"]
    assert (len(by_k), max(by_k, key=by_k.get)) == (12, "2")


def test_grocery_predictions(grocery):
    some = pd.concat([customer(x, 12, 52) for x in range(1, 6)])
    published = [0.1564, 0.0292, 0.0039, 0.0004, 0.0]
    assert_allclose(grocery.probability_alive(some), published, atol=6e-5)
    # the published expectations .282 .075 .013 .002 .000 are BTYDplus' approximation; these are its distance
    approximation = [0.282, 0.075, 0.013, 0.002, 0.0]
    assert_allclose(grocery.expected_purchases(some, 52.0), approximation, rtol=0.06, atol=6e-4)
    rfm = grocery_rfm()
    expected = grocery.expected_purchases(rfm, 52.0)
    # published: 3,970 expected with a mean absolute error of 1.431; 3,389 were made
    assert rfm["later_purchases"].sum() == 3389
    assert abs(expected.sum() - 3389) < 3970 - 3389
    assert (expected - rfm["later_purchases"]).abs().mean() < 1.431


def test_the_expectation_of_one_customer_is_the_average_of_simulated_futures(grocery):
    """Customers of grocery's fit, conditioned on x = 2, t_x = 12, T = 52 by their own posterior."""
    rng, n, p = np.random.default_rng(1), 400_000, grocery.params_
    x, t_x, T, k = 2, 12.0, 52.0, 2
    shape = p["r"] + k * x
    pace = rng.gamma(shape, 1.0 / (p["alpha"] + t_x), n)
    leave = rng.beta(p["a"], p["b"] + x, n)
    stays = rng.random(n) > leave
    next_gap = rng.gamma(k, 1.0, n) / pace
    possible = ~stays | (t_x + next_gap > T)  # those who would have bought again before T are not this customer
    clock, alive, count = t_x + next_gap[possible], stays[possible], np.zeros(possible.sum())
    pace, leave = pace[possible], leave[possible]
    assert abs(alive.mean() - grocery.probability_alive(customer(x, t_x, T)).item()) < 4 * alive.std() / np.sqrt(
        len(alive)
    )
    while alive.any():
        alive &= clock <= T + 52
        count += alive
        alive &= rng.random(len(clock)) > leave
        clock = clock + rng.gamma(k, 1.0, len(clock)) / pace
    error = count.std() / np.sqrt(len(count))
    assert abs(count.mean() - grocery.expected_purchases(customer(x, t_x, T), 52.0).item()) < 4 * error


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize(
    "params",
    [(0.25, 4.0, 0.8, 2.5), (0.01, 4e-5, 0.05, 0.1), (5.0, 4e6, 1.0, 0.5), (0.5, 40.0, 1.0 + 1e-9, 1e-3)],
)
def test_likelihood_and_probabilities_agree_with_80_digits(params, k, modified):
    named = dict(zip(bg_nbd.NAMES, params, strict=True))
    settings = {"k": k, "modified": modified}
    for history in [(0, 0, 1e-6), (0, 0, 40), (0, 0, 4e6), (1, 1e-6, 40), (7, 3, 40), (200, 38, 40), (10_000, 40, 40)]:
        x, t_x, T = history
        with mp.workdps(80):
            truth, alive, silence = mp_history(*history, k, int(modified), *params)
            later = mp_history(x, t_x, mp.mpf(T) + 13, k, int(modified), *params)[2]
            no_purchase = 1 - alive + alive * later / silence
        got = bg_nbd.log_likelihood(*history, **named, **settings)
        assert_allclose(got, float(truth), rtol=2e-13, atol=1e-11)
        got = bg_nbd.probability_alive(*history, **named, **settings)
        assert_allclose(got, float(alive), rtol=1e-10, atol=1e-300)
        got = bg_nbd.probability_no_purchase(13.0, *one(*history), **named, **settings)
        assert_allclose(got, float(no_purchase), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("k", "stage"), [(2, 0), (2, 1), (3, 2), (12, 0), (12, 7)])
def test_purchases_while_alive_agree_with_80_digits(k, stage):
    with mp.workdps(80):
        for shape, reach, a, b in [
            (0.02, 0.1, 0.5, 0.01),
            (0.02, 50.0, 0.01, 0.5),
            (0.8, 50.0, 0.5, 1e-3),
            (0.8, 1e-4, 0.4, 1.7),
            (5.0, 3.0, 1.0, 30.0),
            (5.0, 50.0, 1 + 1e-9, 1e-3),
            (300.0, 3.0, 20.0, 3.0),
            (3e4, 0.01, 0.3, 900.0),
        ]:
            p, weight = dropout_grid(a, b, reach=reach * (shape + k))
            got = purchases_while_alive(np.array([reach]), k=k, stage=stage, shape=shape, p=p, weight=weight)
            assert_allclose(got, float(mp_while_alive(reach, k, stage, shape, a, b)), rtol=1e-11)


def test_extreme_customers_give_finite_numbers_without_a_warning():
    x = np.array([0.0, 0, 0, 1, 10_000, 10_000, 50])
    T = np.array([1e-6, 40, 4e6, 40, 40, 4e6, 1e-4])
    t_x = np.where(x > 0, T * np.array([0, 0, 0, 1e-6, 1, 0.5, 1]), 0.0)
    for params in [(0.01, 4.0, 0.05, 0.1), (50.0, 40.0, 1.0, 1e-3), (0.3, 1e-3, 1e-4, 60.0)]:
        named = dict(zip(bg_nbd.NAMES, params, strict=True))
        for k, modified, rate in [(2, False, 0.0), (2, True, 0.01), (12, True, 0.0)]:
            for horizon in (1e-6, 30.0, 1e5):
                got = bg_nbd.expected_purchases(horizon, x, t_x, T, discount_rate=rate, **named, k=k, modified=modified)
                assert np.isfinite(got).all()
                assert (got >= 0).all()


@pytest.mark.parametrize(("k", "rate", "error"), [(2, 0.05, 2e-7), (4, 0.01, 2e-8), (12, 0.05, 5e-7)])
def test_discounted_purchases_agree_with_a_fine_sum_over_time(k, rate, error):
    params = {"r": 1.3, "alpha": 1.4 * k, "a": 0.4, "b": 0.8}
    t = 60.0 * np.linspace(0, 1, 3_001) ** 2
    for x, t_x, T in [(0, 0, 0.5), (4, 20, 22), (60, 50, 50.5)]:
        shape, scale = params["r"] + k * x, params["alpha"] + T
        p, weight = dropout_grid(params["a"], params["b"] + x + 1, reach=60 * (shape + k) / scale)
        stages = stage_weights(np.array([shape]), np.array([(T - t_x) / scale]), k=k)[:, 0]
        by_then = sum(
            chance * purchases_while_alive(t / scale, k=k, stage=j, shape=shape + j, p=p, weight=weight)
            for j, chance in enumerate(stages)
        )
        # the purchases of each short stretch, discounted as if made in its middle
        truth = np.diff(by_then) @ np.exp(-rate * 0.5 * (t[1:] + t[:-1]))
        truth *= bg_nbd.probability_alive(x, t_x, T, **params, k=k, modified=True)
        got = bg_nbd.expected_purchases(60.0, *one(x, t_x, T), discount_rate=rate, **params, k=k, modified=True)
        assert_allclose(got, truth, rtol=error)


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("theta", [(-1.4, 0.3, -0.2, 0.9), (1.5, -2.0, 2.0, -1.0), (5.0, 6.0, -4.0, 7.0)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_gradient_and_hessian_agree_with_finite_differences(theta, k, modified):
    rng = np.random.default_rng(11)
    shop = simulate_regular_shop(
        rng, 300, r=0.8, alpha=4.0, a=0.6, b=2.0, k=k, modified=modified, T=rng.uniform(0, 50, 300)
    )
    x, t_x, T = (shop[name].to_numpy() for name in ("frequency", "recency", "T"))
    weight = rng.uniform(0.5, 2.0, 300)
    evaluate = bg_nbd.objective(compress(x, t_x, T, weight), k=k, modified=modified)
    theta, step = np.array(theta), 1e-5
    value, gradient, hessian = evaluate(theta)
    named = dict(zip(bg_nbd.NAMES, np.exp(theta), strict=True))
    assert_allclose(value, weight @ bg_nbd.log_likelihood(x, t_x, T, **named, k=k, modified=modified), rtol=1e-12)
    up, down = ([evaluate(theta + sign * step * unit) for unit in np.eye(4)] for sign in (1, -1))
    by_value = [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)]
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(gradient, by_value, atol=1e-6 * abs(value))
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


@pytest.mark.parametrize(("k", "modified"), [(2, False), (3, True)])
def test_predictions_are_the_averages_of_a_simulated_shop(k, modified):
    true = {"r": 1.2, "alpha": 4.0 * k, "a": 0.6, "b": 2.5}
    rng = np.random.default_rng(20 + k)
    shop = simulate_regular_shop(rng, 40_000, **true, k=k, modified=modified, T=40.0, horizon=12.0)
    assert BOTH[modified]().fit(shop.head(5_000)).k_ == k
    settings = {**true, "k": k, "modified": modified}
    x, t_x, T = (shop[name].to_numpy() for name in ("frequency", "recency", "T"))
    at_truth = bg_nbd.log_likelihood(x, t_x, T, **settings).sum()
    fitted = BOTH[modified](k=k).fit(shop.drop(columns="sum_log_gaps")).log_likelihood_
    # a likelihood ratio of four parameters: the chance of more than 23.5 is 1e-4
    assert 0 < 2 * (fitted - at_truth) < 23.5
    alive = bg_nbd.probability_alive(x, t_x, T, **settings)
    silent = bg_nbd.probability_no_purchase(12.0, x, t_x, T, **settings)
    expected = bg_nbd.expected_purchases(12.0, x, t_x, T, **settings)
    quiet = T - t_x
    for rows in (x == 0, x == 1, (x == 2) & (quiet < 5), (x > 2) & (quiet > 10), (x > 4) & (quiet < 3)):
        for predicted, seen in (
            (alive, shop["alive"]),
            (silent, shop["later_purchases"] == 0),
            (expected, shop["later_purchases"]),
        ):
            off = seen.to_numpy(dtype=float)[rows] - predicted[rows]
            assert abs(off.mean()) <= 4 * off.std() / np.sqrt(rows.sum())


@pytest.mark.parametrize(("cnbd", "plain"), [(BOTH[0], BetaGeoModel), (BOTH[1], ModifiedBetaGeoModel)])
def test_k_of_one_is_the_plain_model_exactly(cnbd, plain):
    rfm = cdnow_rfm()
    regular, poisson = cnbd(k=1, time_unit="W").fit(rfm), plain(time_unit="W").fit(rfm)
    assert regular.params_ == poisson.params_
    assert_allclose(regular.log_likelihood_, poisson.log_likelihood_, rtol=1e-13)
    assert regular.expected_purchases(rfm, 39.0).equals(poisson.expected_purchases(rfm, 39.0))
    assert regular.probability_no_purchase(rfm, 39.0).equals(poisson.probability_no_purchase(rfm, 39.0))
    # and the mathematics of Erlang gaps agrees with the closed form where k = 1
    p, weight = dropout_grid(0.8, 3.4, reach=100.0)
    reach = np.array([1e-5, 0.3, 4.0, 900.0])
    got = purchases_while_alive(reach, k=1, stage=0, shape=1.7, p=p, weight=weight)
    closed = bg_nbd.expected_purchases_new_customer(reach, r=1.7, alpha=1.0, a=0.8, b=3.4)
    assert_allclose(got, closed, rtol=1e-11)


@pytest.mark.parametrize("model", BOTH)
def test_regular_customers_fall_silent_sooner(model):
    true = {"r": 1.2, "alpha": 8.0, "a": 0.6, "b": 2.5}
    shop = simulate_regular_shop(np.random.default_rng(5), 4000, **true, k=2, modified=True, T=40.0)
    fit = model(k=2).fit(shop)
    silence = [fit.probability_alive(customer(8, 30, 30), further_silence=s).item() for s in (0, 5, 10, 20, 40)]
    assert (np.diff(silence) < 0).all()
    assert_allclose(fit.probability_alive(customer(8, 30, 50)).item(), silence[3], rtol=1e-13)


def test_drawn_futures_have_the_expected_mean(grocery):
    rfm = pd.concat([customer(0, 0, 10), customer(3, 38, 40), customer(6, 30, 40), customer(12, 39, 40)])
    assert_drawn_mean(grocery, rfm.reset_index(drop=True), 20.0)
    assert_drawn_mean(grocery, rfm.reset_index(drop=True), 1.0)


def test_time_weights_and_batches(grocery):
    rfm = grocery_rfm()
    daily = ModifiedBetaGeoCNBDModel(k=2).fit(grocery_rfm(days_per_unit=1.0))
    assert_allclose(daily.params_["alpha"], 7 * grocery.params_["alpha"], rtol=1e-7)
    assert_allclose(daily.params_["b"], grocery.params_["b"], rtol=1e-7)
    assert_allclose(daily.log_likelihood_, grocery.log_likelihood_ - rfm["frequency"].sum() * np.log(7), rtol=1e-12)
    thrice = ModifiedBetaGeoCNBDModel(k=2, time_unit="W").fit(rfm, np.full(len(rfm), 3.0))
    repeated = ModifiedBetaGeoCNBDModel(k=2, time_unit="W").fit(pd.concat([rfm] * 3))
    assert repeated.params_ == thrice.params_
    assert_allclose(repeated.log_likelihood_, 3 * grocery.log_likelihood_, rtol=1e-12)
    for rate in (0.0, 0.002):
        together = grocery.expected_purchases(rfm, 52.0, discount_rate=rate)
        for i in range(0, len(rfm), 190):
            alone = grocery.expected_purchases(rfm.iloc[[i]], 52.0, discount_rate=rate)
            assert alone.iloc[0] == together.iloc[i]


def test_estimating_k_needs_the_gaps_and_a_given_k_says_they_lack():
    rfm = pd.concat([customer(0, 0, 30), customer(2, 20, 30), customer(5, 26, 30)] * 20)
    for model in BOTH:
        with pytest.raises(
            SchemaError, match=r"need a column `sum_log_gaps`(?s:.*)sum_log_gaps=True\) makes it; or give k"
        ):
            model().fit(rfm)
        note = "lacks the term of the gaps"
        assert any(note in text for text in model(k=3).fit(rfm).diagnostics_["notes"])
        assert not any(note in text for text in model(k=1).fit(rfm).diagnostics_["notes"])
        gaps = np.tile([0.0, 2 * np.log(10.0), 5 * np.log(5.2)], 20)
        complete = model(k=3).fit(rfm.assign(sum_log_gaps=gaps))
        assert not any(note in text for text in complete.diagnostics_["notes"])
        assert_allclose(complete.log_likelihood_ - model(k=3).fit(rfm).log_likelihood_, 2 * gaps.sum(), rtol=1e-9)


def test_perfect_regularity_runs_to_the_largest_k_and_says_so():
    rng = np.random.default_rng(1)
    gap = rng.gamma(5.0, 1.0, 500)
    x = np.floor(60.0 / gap)
    rfm = pd.DataFrame({"frequency": x, "recency": x * gap, "T": 60.0, "sum_log_gaps": x * np.log(gap)})
    model = ModifiedBetaGeoCNBDModel().fit(rfm)
    assert model.k_ == 12
    assert any("more regular still" in note for note in model.diagnostics_["notes"])


@pytest.mark.parametrize("k", [0, 13, 2.0, True, "two", None])
def test_k_outside_its_range_is_refused(k):
    with pytest.raises(CrmError, match='`k` must be "estimate" or a whole number from 1 to 12'):
        BetaGeoCNBDModel(k=k).fit(customer(2, 5, 9))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"sum_log_gaps": 2 * np.log(2.5) + 1e-6}, "`sum_log_gaps` must not exceed"),
        ({"sum_log_gaps": np.nan}, "`sum_log_gaps` must be finite"),
        ({"frequency": 0.0, "recency": 0.0, "sum_log_gaps": 0.1}, "`sum_log_gaps` must be 0 where `frequency` is 0"),
    ],
)
def test_impossible_gaps_are_refused(broken, message):
    frame = customer(2, 5, 9).assign(sum_log_gaps=2 * np.log(2.5))
    BetaGeoCNBDModel(k=2).fit(frame)  # equal gaps are the bound, and allowed
    with pytest.raises(SchemaError, match=message):
        BetaGeoCNBDModel(k=2).fit(frame.assign(**broken))


def test_nobody_repeating_is_refused():
    with pytest.raises(ConvergenceError, match="needs a repeat purchase"):
        ModifiedBetaGeoCNBDModel().fit(customer(0, 0, 9).assign(sum_log_gaps=0.0))


def test_only_the_modified_model_lets_a_silent_new_customer_leave():
    shop = simulate_regular_shop(
        np.random.default_rng(4), 3000, r=1.0, alpha=6.0, a=0.6, b=2.0, k=2, modified=True, T=30.0
    )
    plain, modified = (model(k=2).fit(shop) for model in BOTH)
    assert plain.probability_alive(customer(0, 0, 300)).tolist() == [1.0]
    assert any("BG/CNBD-2 gives them" in note for note in plain.diagnostics_["notes"])
    assert modified.probability_alive(customer(0, 0, 300)).item() < 0.2
    assert modified.diagnostics_["notes"] == []


@pytest.mark.parametrize("model", BOTH)
def test_a_fit_survives_json_with_its_k(model):
    shop = simulate_regular_shop(
        np.random.default_rng(4), 2000, r=1.0, alpha=9.0, a=0.6, b=2.0, k=3, modified=True, T=30.0
    )
    fit = model(time_unit="W").fit(shop)
    stored = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    restored = model.from_dict(stored)
    assert (restored.k_, restored.k, restored.time_unit_) == (3, 3, "W")
    assert restored.expected_purchases(shop, 9.0).equals(fit.expected_purchases(shop, 9.0))
    assert clone(fit).get_params() == {"k": "estimate", "time_unit": "W"}
    for broken in ({n: v for n, v in stored.items() if n != "k"}, {**stored, "k": 0}):
        with pytest.raises(ModelError, match=f"A stored {model.__name__} must hold its k"):
            model.from_dict(broken)


def test_the_summary_of_a_log_holds_the_gaps():
    orders = pd.DataFrame(
        {
            "customer_id": list("aaaabbc"),
            "timestamp": pd.Timestamp("2020-01-01") + pd.to_timedelta([8, 20, 168, 744, 48, 730, 192], "h"),
            "amount": 10.0,
        }
    )
    for unit, days in (("D", 1.0), ("W", 7.0)):
        summary = rfm_summary(CustomerLog(orders), as_of="2020-02-01", time_unit=unit, sum_log_gaps=True)
        assert summary.columns[-1] == "sum_log_gaps"
        # "a" bought twice on the first day, and again at as_of
        truth = [np.log(7 / days), np.log(28 / days), 0.0]
        assert_allclose(summary["sum_log_gaps"], truth, atol=1e-14)
        plain = rfm_summary(CustomerLog(orders), as_of="2020-02-01", time_unit=unit)
        assert summary.drop(columns="sum_log_gaps").equals(plain)
