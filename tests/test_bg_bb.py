"""BG/BB against published values, enumeration of every history, brute force, and lifetimes where it is right."""

import importlib.util
import itertools
import json
import warnings
from functools import cache
from pathlib import Path

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_series_equal

from crm_ml.clv import BetaGeoBetaBinomModel, interop
from crm_ml.clv.likelihood.patterns import compress
from crm_ml.clv.processes import bg_bb
from crm_ml.clv.uncertainty.interval import common_futures
from crm_ml.errors import ConvergenceError, CrmError, ModelError, SchemaError

DONORS = {"alpha": 1.203522, "beta": 0.749716, "gamma": 0.656718, "delta": 2.783443}


@cache
def donations():
    """Donation patterns in the lifetimes wheel, read without importing it; the last column counts donors."""
    spec = importlib.util.find_spec("lifetimes")
    patterns = pd.read_csv(Path(spec.origin).parent / "datasets" / "donations.csv")
    return patterns.rename(columns={"periods": "n_opportunities"})


@pytest.fixture(scope="module")
def donors():
    return BetaGeoBetaBinomModel().fit(donations(), donations()["weights"])


def histories(x, t_x, n):
    return pd.DataFrame({"frequency": np.atleast_1d(x), "recency": t_x, "n_opportunities": n})


def mp_history(x, t_x, n, alpha, beta, gamma, delta):
    """Log-likelihood and P(alive at n), summed as the paper has it."""
    alpha, beta, gamma, delta = map(mp.mpf, (alpha, beta, gamma, delta))
    scale = mp.beta(alpha, beta) * mp.beta(gamma, delta)
    alive = mp.beta(alpha + x, beta + n - x) * mp.beta(gamma, delta + n) / scale
    left = mp.fsum(
        mp.beta(alpha + x, beta + last - x) * mp.beta(gamma + 1, delta + last) / scale for last in range(t_x, n)
    )
    return mp.log(alive + left), alive / (alive + left)


def simulate_opportunities(rng, n_customers, n, *, alpha, beta, gamma, delta, horizon=0):
    """Live every customer opportunity by opportunity."""
    p, theta = rng.beta(alpha, beta, n_customers), rng.beta(gamma, delta, n_customers)
    x, t_x, later = np.zeros((3, n_customers))
    alive = np.ones(n_customers, dtype=bool)
    for i in range(1, n + horizon + 1):
        alive &= rng.random(n_customers) >= theta
        bought = alive & (rng.random(n_customers) < p)
        if i <= n:
            x, t_x = x + bought, np.where(bought, i, t_x)
        else:
            later += bought
        if i == n + 1:
            alive_next = alive.copy()
    frame = histories(x, t_x, n)
    return frame.assign(alive=alive_next, later_purchases=later) if horizon else frame


def test_donations_fit_is_the_published_one(donors):
    assert (len(donations()), donations()["weights"].sum()) == (22, 11_104)
    assert_allclose([donors.params_[name] for name in DONORS], list(DONORS.values()), atol=1e-5)
    assert_allclose(donors.log_likelihood_, -33225.58, atol=5e-3)
    assert donors.diagnostics_["converged"]
    assert donors.diagnostics_["gradient_norm"] < 1e-8
    assert donors.diagnostics_["notes"] == []
    assert donors.time_unit_ == "opportunity"


def test_donations_predictions_are_the_published_ones(donors):
    # published from an optimiser that stops short: differences up to 3e-5
    expected = donors.expected_purchases(histories([0, 4], [0, 5], 6), 10)
    assert_allclose(expected, [0.1302169, 3.627858], rtol=5e-5)
    alive = donors.probability_alive(histories([0, 2, 6], [0, 4, 6], 6))
    assert_allclose(alive, [0.11, 0.59, 0.93], atol=5e-3)
    assert_allclose(donors.expected_purchases_new_customer(10), 3.179805, rtol=5e-5)
    published = [0.4985, 0.9233, 1.2969, 1.6323, 1.9381, 2.2202, 2.4826, 2.7285, 2.9603, 3.1798, 3.3887]
    assert_allclose(donors.expected_purchases_new_customer(np.arange(1, 12)), published, atol=6e-5)


CASES = [
    (0, 0, 0),
    (0, 0, 1),
    (1, 1, 1),
    (0, 0, 40),
    (1, 1, 40),
    (3, 17, 40),
    (17, 17, 40),
    (40, 40, 40),
    (2, 5, 700),
    (600, 600, 700),
]
PARAMETERS = [
    tuple(DONORS.values()),
    (0.01, 0.02, 0.05, 0.1),
    (300.0, 20.0, 1.0, 1.0),
    (0.5, 40.0, 1e-3, 50.0),
    (2.0, 1e-3, 80.0, 1e4),
]


@pytest.mark.parametrize("params", PARAMETERS)
def test_likelihood_and_probabilities_agree_with_50_digits(params):
    named = dict(zip(bg_bb.NAMES, params, strict=True))
    for x, t_x, n in CASES:
        with mp.workdps(50):
            truth, alive = mp_history(x, t_x, n, *params)
            stays = (params[3] + mp.mpf(n)) / (params[2] + mp.mpf(params[3]) + n)
            silent = mp.exp(mp_history(x, t_x, n + 13, *params)[0] - truth)
        assert_allclose(bg_bb.log_likelihood(x, t_x, n, **named), float(truth), rtol=1e-12, atol=1e-13)
        assert_allclose(bg_bb.probability_alive(x, t_x, n, **named), float(alive * stays), rtol=1e-11, atol=1e-300)
        got = bg_bb.probability_no_purchase(13, x, t_x, n, **named)
        assert_allclose(got, float(silent), rtol=1e-11)


def test_corners_of_the_parameter_space_are_finite():
    cases = np.array([*CASES, (10_000, 10_000, 10_000)], dtype=float).T
    with np.errstate(all="raise", under="ignore"):
        for params in itertools.product([1e-6, 1.0, 1e5], repeat=4):
            named = dict(zip(bg_bb.NAMES, params, strict=True))
            results = [
                bg_bb.probability_no_purchase(1000, *cases, **named),
                bg_bb.expected_purchases(1000, *cases, **named),
                bg_bb.expected_purchases(np.inf, *cases, discount_rate=0.1, **named),
                bg_bb.probability_of_count([0, 1, 10], 30, **named),
                *bg_bb.objective(compress(*cases, np.ones(len(cases[0]))))(np.log(params)),
            ]
            assert all(np.isfinite(result).all() for result in results), named


def test_the_probabilities_of_all_histories_sum_to_one():
    n = 7
    total, by_count = 0.0, np.zeros(n + 1)
    for taken in itertools.product((0, 1), repeat=n):
        last = max((i + 1 for i, one in enumerate(taken) if one), default=0)
        probability = float(np.exp(bg_bb.log_likelihood(sum(taken), last, n, **DONORS)))
        total += probability
        by_count[sum(taken)] += probability
    assert_allclose(total, 1.0, rtol=1e-12)
    assert_allclose(bg_bb.probability_of_count(np.arange(n + 1), n, **DONORS), by_count, rtol=1e-12)
    mean = bg_bb.expected_purchases_new_customer(n, **DONORS)
    assert_allclose(by_count @ np.arange(n + 1), mean, rtol=1e-12)
    assert bg_bb.probability_of_count([0, 1], 0, **DONORS).tolist() == [1.0, 0.0]


def mp_opportunities(horizon, rate, n, gamma, delta):
    survived, total = mp.mpf(1), mp.mpf(0)
    for j in range(1, horizon + 1):
        survived *= (mp.mpf(delta) + n + j - 1) / (mp.mpf(gamma) + delta + n + j - 1)
        total += survived * mp.exp(-mp.mpf(rate) * j)
    return total


@pytest.mark.parametrize("gamma", [1e-3, 0.6567, 1.0, 1 + 1e-9, 30.0])
@pytest.mark.parametrize("rate", [0.0, 0.002, 0.1, 3.0])
def test_expected_purchases_agree_with_the_sum(gamma, rate):
    params = {"alpha": 1.2, "beta": 0.7, "gamma": gamma, "delta": 2.8}
    for horizon, (x, t_x, n) in itertools.product((1, 10, 1500), [(0, 0, 0), (4, 5, 6), (30, 300, 300)]):
        with mp.workdps(30):
            ahead = mp_opportunities(horizon, rate, n, gamma, 2.8)
            alive = mp_history(x, t_x, n, *params.values())[1]
            truth = float(alive * (mp.mpf("1.2") + x) / (mp.mpf("1.9") + n) * ahead)
        got = bg_bb.expected_purchases(horizon, x, t_x, n, discount_rate=rate, **params)
        assert_allclose(got, truth, rtol=1e-11)


def test_discounted_residual_purchases_agree_with_the_closed_form(donors):
    frame = histories([0, 4, 6], [0, 5, 6], 6)
    got = donors.discounted_residual_purchases(frame, discount_rate=float(np.log(1.1)))
    alpha, beta, gamma, delta = donors.params_.values()
    for value, (x, t_x, n) in zip(got, frame.to_numpy().tolist(), strict=True):
        with mp.workdps(30):
            stays = (delta + n) / (mp.mpf(gamma) + delta + n)
            rest = mp.hyp2f1(1, mp.mpf(delta) + n + 1, mp.mpf(gamma) + delta + n + 1, 1 / mp.mpf("1.1"))
            alive = mp_history(x, t_x, n, alpha, beta, gamma, delta)[1]
            truth = alive * (alpha + mp.mpf(x)) / (mp.mpf(alpha) + beta + n) * stays * rest / mp.mpf("1.1")
        assert_allclose(value, float(truth), rtol=1e-11)
    with pytest.raises(CrmError, match="`discount_rate` must be positive"):
        donors.discounted_residual_purchases(frame, discount_rate=0.0)


@pytest.mark.parametrize("theta", [(0.2, -0.3, -0.4, 1.0), (2.0, -2.0, 1.5, 3.0), (-3.0, 4.0, -2.0, -1.0)])
def test_gradient_and_hessian_agree_with_finite_differences(theta):
    rng = np.random.default_rng(3)
    shop = pd.concat([simulate_opportunities(rng, 60, n, **DONORS) for n in (1, 6, 33)])
    history = [shop[name].to_numpy(dtype=float) for name in ("frequency", "recency", "n_opportunities")]
    weight = rng.uniform(0.5, 2.0, len(shop))
    evaluate = bg_bb.objective(compress(*history, weight))
    theta, step = np.array(theta), 1e-5
    value, gradient, hessian = evaluate(theta)
    named = dict(zip(bg_bb.NAMES, np.exp(theta), strict=True))
    assert_allclose(value, weight @ bg_bb.log_likelihood(*history, **named), rtol=1e-12)
    up, down = ([evaluate(theta + sign * step * unit) for unit in np.eye(4)] for sign in (1, -1))
    by_value = [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)]
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(gradient, by_value, atol=1e-8 * abs(value))
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


def test_predictions_are_what_happens_in_a_simulated_shop():
    rng = np.random.default_rng(8)
    shop = simulate_opportunities(rng, 60_000, 12, **DONORS, horizon=5)
    model = BetaGeoBetaBinomModel.from_dict(stored(DONORS))
    gaps = pd.DataFrame(
        {
            "alive": model.probability_alive(shop) - shop["alive"],
            "silent": model.probability_no_purchase(shop, 5) - (shop["later_purchases"] == 0),
            "later": model.expected_purchases(shop, 5) - shop["later_purchases"],
        }
    )
    groups = gaps.groupby([shop["frequency"], shop["recency"]])
    large = groups.size() > 400
    assert large.sum() > 15
    error = groups.std() / np.sqrt(groups.size().to_numpy()[:, None])
    assert (groups.mean().abs()[large] < 4 * error[large]).all(axis=None)
    seen = shop["frequency"].value_counts(normalize=True).sort_index()
    probability = bg_bb.probability_of_count(np.arange(13), 12, **DONORS)
    assert (np.abs(seen - probability) < 4 * np.sqrt(probability / len(shop))).all()


def stored(params):
    diagnostics = {"at_boundary": [], "notes": []}
    errors = dict.fromkeys(params, 0.1)
    return {
        "model": "BetaGeoBetaBinomModel",
        "time_unit": "opportunity",
        "params": params,
        "standard_errors": errors,
        "log_likelihood": -1.0,
        "log_covariance": (0.01 * np.eye(4)).tolist(),
        "diagnostics": diagnostics,
    }


def test_draws_have_the_predicted_means():
    futures = common_futures()
    params = {name: np.full(len(futures.alive), value) for name, value in DONORS.items()}
    history = tuple(np.array(column, dtype=float) for column in ([0, 1, 4, 6, 4], [0, 3, 5, 6, 5], [6, 6, 6, 6, 6]))
    drawn = bg_bb.drawn_purchases(10.0, *history, futures=futures, **params)
    assert drawn.shape == (5, len(futures.alive))
    assert np.array_equal(drawn[2], drawn[4])
    assert ((drawn >= 0) & (drawn <= 10) & (drawn == np.floor(drawn))).all()
    error = drawn.std(axis=1) / np.sqrt(drawn.shape[1])
    assert (np.abs(drawn.mean(axis=1) - bg_bb.expected_purchases(10, *history, **DONORS)) < 4 * error).all()
    silent = bg_bb.probability_no_purchase(10, *history, **DONORS)
    spread = np.sqrt(silent * (1 - silent) / drawn.shape[1])
    assert (np.abs((drawn == 0).mean(axis=1) - silent) < 4 * spread).all()


def test_draws_of_a_fit_carry_the_parameters_uncertainty(donors):
    frame = histories([0, 4], [0, 5], 6)
    futures = common_futures()
    drawn = donors.count_draw(frame, 10)(futures, np.array([1]))
    assert drawn.shape == (1, len(futures.alive))
    error = drawn.std() / np.sqrt(drawn.size)
    assert abs(drawn.mean() - donors.expected_purchases(frame, 10)[1]) < 4 * error


def test_recovery_with_unequal_numbers_of_opportunities():
    true = {"alpha": 1.5, "beta": 2.0, "gamma": 0.8, "delta": 6.0}
    rng = np.random.default_rng(4)
    shop = pd.concat([simulate_opportunities(rng, 3000, n, **true) for n in (3, 8, 15, 24)])
    model = BetaGeoBetaBinomModel().fit(shop)
    for name, value in true.items():
        assert abs(model.params_[name] - value) < 4 * model.standard_errors_[name], name
        assert model.standard_errors_[name] < 0.25 * value


def test_standard_errors_match_the_spread_of_refits():
    rng = np.random.default_rng(5)
    fits = [BetaGeoBetaBinomModel().fit(simulate_opportunities(rng, 3000, 8, **DONORS)) for _ in range(24)]
    for name in DONORS:
        error = np.mean([fit.standard_errors_[name] for fit in fits])
        # the 99 % range of the spread of 24 normal refits
        assert 0.63 < np.std([fit.params_[name] for fit in fits], ddof=1) / error < 1.39, name


def test_weights_equal_repetition_and_row_order_is_nothing(donors):
    frame = donations()
    rows = frame.loc[frame.index.repeat(frame["weights"])].sample(frac=1, random_state=1)
    assert BetaGeoBetaBinomModel().fit(rows).params_ == donors.params_
    thrice = BetaGeoBetaBinomModel().fit(frame, 3 * frame["weights"])
    assert_allclose(list(thrice.params_.values()), list(donors.params_.values()), rtol=1e-7)
    for name, error in thrice.standard_errors_.items():
        assert_allclose(error * np.sqrt(3), donors.standard_errors_[name], rtol=1e-6)


def test_a_customers_value_does_not_depend_on_the_others(donors):
    rng = np.random.default_rng(6)
    shop = pd.concat([simulate_opportunities(rng, 40, n, **DONORS) for n in (2, 6, 90)], ignore_index=True)
    for some in (shop.iloc[7:8], shop.iloc[100:60:-3]):
        for alone, together in (
            (donors.probability_alive(some), donors.probability_alive(shop)),
            (donors.probability_no_purchase(some, 4), donors.probability_no_purchase(shop, 4)),
            (donors.expected_purchases(some, 4), donors.expected_purchases(shop, 4)),
        ):
            assert_series_equal(alone, together[some.index], check_exact=True)


def test_silence_is_only_more_opportunities(donors):
    later = donors.probability_alive(histories(3, 5, 6), further_silence=4)
    assert later.tolist() == donors.probability_alive(histories(3, 5, 10)).tolist()
    assert later[0] < donors.probability_alive(histories(3, 5, 6))[0]


@pytest.mark.parametrize("kind", ["nobody leaves", "one probability for all"])
def test_limits_of_the_model_are_said(kind):
    rng = np.random.default_rng(2)
    limit = {"gamma": 1e-6, "delta": 1e5} if kind == "nobody leaves" else {"alpha": 3e4, "beta": 7e4}
    shop = simulate_opportunities(rng, 1500, 10, **{**DONORS, **limit}, horizon=1)
    model = BetaGeoBetaBinomModel().fit(shop)
    assert model.diagnostics_["flat_ridge"] or model.diagnostics_["at_boundary"]
    assert any(note.startswith(("Flat ridge", "Boundary")) for note in model.diagnostics_["notes"])
    assert not any(np.isnan(error) for error in model.standard_errors_.values())
    assert_allclose(model.probability_alive(shop).mean(), shop["alive"].mean(), atol=0.05)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"frequency": -1}, r"`frequency` must be a whole number.* 1 of 2 customers break this, first rows: \[1\]"),
        ({"frequency": 1.5}, "`frequency` must be a whole number"),
        ({"frequency": 6}, "`frequency` must not exceed `recency`"),
        ({"recency": 4.5}, "`recency` must be a whole number"),
        ({"recency": 7}, "`recency` must not exceed `n_opportunities`"),
        ({"frequency": 0}, "`recency` must be 0 where `frequency` is 0"),
        ({"n_opportunities": -1}, "`n_opportunities` must be a whole number"),
        ({"n_opportunities": np.nan}, "`n_opportunities` must be finite"),
    ],
)
def test_impossible_histories_are_refused(donors, broken, message):
    frame = pd.concat([histories(2, 5, 6), histories(2, 5, 6).assign(**broken)])
    with pytest.raises(SchemaError, match=message):
        BetaGeoBetaBinomModel().fit(frame)
    with pytest.raises(SchemaError, match=message):
        donors.probability_alive(frame)


def test_bounds_of_a_history_are_allowed(donors):
    frame = pd.concat([histories(5, 5, 6), histories(6, 6, 6), histories(0, 0, 0)])
    assert (donors.expected_purchases(frame, 1) > 0).all()


def test_wrong_frames_and_settings_are_refused(donors):
    frame = histories(2, 5, 6)
    with pytest.raises(SchemaError, match=r"(?s)need a column `n_opportunities`.*Number each customer's opportunities"):
        donors.probability_alive(frame.rename(columns={"n_opportunities": "T"}))
    for horizon in (0, 1.5, np.inf, np.nan):
        with pytest.raises(CrmError, match="`horizon` must be a whole number of opportunities, 1 or more"):
            donors.expected_purchases(frame, horizon)
        with pytest.raises(CrmError, match="`horizon` must be a whole number of opportunities, 1 or more"):
            donors.probability_no_purchase(frame, horizon)
    for silence in (-1, 0.5):
        with pytest.raises(CrmError, match="`further_silence` must be a whole number of opportunities, 0 or more"):
            donors.probability_alive(frame, further_silence=silence)
    with pytest.raises(CrmError, match="`t` must be a whole number"):
        donors.expected_purchases_new_customer([1, 2.5])
    with pytest.raises(ConvergenceError, match="needs a repeat purchase; none of 1 has"):
        BetaGeoBetaBinomModel().fit(histories(0, 0, 6))


def test_a_fit_survives_json(donors):
    restored = BetaGeoBetaBinomModel.from_dict(json.loads(json.dumps(donors.to_dict(), allow_nan=False)))
    assert restored.params_ == donors.params_
    assert restored.time_unit_ == "opportunity"
    assert_series_equal(restored.expected_purchases(donations(), 9), donors.expected_purchases(donations(), 9))
    with pytest.raises(ModelError, match="A stored BetaGeoBetaBinomModel must say so"):
        BetaGeoBetaBinomModel.from_dict({**donors.to_dict(), "model": "BetaGeoModel"})


def test_lifetimes_agrees_where_it_is_right():
    frame = donations()
    history = [frame[name].to_numpy() for name in ("frequency", "recency", "n_opportunities")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes' own, on import
        fitter = interop.import_lifetimes().BetaGeoBetaBinomFitter()
    fitter.params_ = pd.Series(DONORS)
    expected = fitter.conditional_expected_number_of_purchases_up_to_time(10, *history)
    # lifetimes adds 1e-15 inside a logarithm
    assert_allclose(bg_bb.expected_purchases(10, *history, **DONORS), expected, rtol=1e-9)
    alive = fitter.conditional_probability_alive(1, *history)  # one opportunity ahead
    assert_allclose(bg_bb.probability_alive(*history, **DONORS), alive, rtol=1e-9)
