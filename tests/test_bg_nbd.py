"""BG/NBD's mathematics against published values, 50-digit arithmetic, brute force and lifetimes."""

import itertools
import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, cdnow_rfm, simulate_shop
from numpy.testing import assert_allclose

from crm_ml.clv.likelihood.patterns import compress
from crm_ml.clv.likelihood.rising import digamma_rise, gammaln_rise, trigamma_rise
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.processes.geometric_dropout import dropout_grid

SHEET = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}


def mp_log_likelihood(x, t_x, T, r, alpha, a, b):
    x, t_x, T, r, alpha, a, b = map(mp.mpf, (x, t_x, T, r, alpha, a, b))
    scale = mp.gamma(r + x) / mp.gamma(r) * alpha**r / mp.beta(a, b)
    alive = scale * mp.beta(a, b + x) / (alpha + T) ** (r + x)
    left = scale * mp.beta(a + 1, b + x - 1) / (alpha + t_x) ** (r + x) if x > 0 else mp.mpf(0)
    return mp.log(alive + left), alive / (alive + left)


def mp_while_alive(t, r, alpha, a, b):
    """Equation 9 of the paper in its Euler-transformed form, off its removable singularities."""
    t, r, alpha, a, b = map(mp.mpf, (t, r, alpha, a, b))
    tiny = mp.mpf(10) ** -30
    a = a + tiny if abs(a - 1) < tiny else a
    b = b + 3 * tiny if abs(a + b - 1) < 4 * tiny else b
    c = a + b - 1
    share = mp.hyp2f1(c - r, a - 1, c, t / (alpha + t), maxterms=10**6) * (alpha / (alpha + t)) ** (a - 1)
    return c / (a - 1) * (1 - share)


def one(x, t_x, T):
    return tuple(np.array([float(value)]) for value in (x, t_x, T))


HISTORIES = [
    (0, 0.0, 1e-6),
    (0, 0.0, 40.0),
    (1, 1e-6, 40.0),
    (1, 40.0, 40.0),
    (7, 3.0, 40.0),
    (200, 38.0, 40.0),
    (5000, 39.9, 40.0),
    (10_000, 1.0, 40.0),
]
PARAMETERS = [
    (0.25, 4.0, 0.8, 2.5),
    (0.01, 1e-5, 0.05, 0.1),
    (5.0, 1e6, 1.0, 0.5),
    (0.5, 40.0, 30.0, 0.4),
    (2.0, 1.0, 1e-3, 50.0),
]


@pytest.mark.parametrize("params", PARAMETERS)
@pytest.mark.parametrize("history", HISTORIES)
def test_likelihood_and_probabilities_agree_with_50_digits(history, params):
    named = dict(zip(bg_nbd.NAMES, params, strict=True))
    with mp.workdps(50):
        truth, alive = mp_log_likelihood(*history, *params)
        x, _, T = history
        silent = (mp.mpf(params[1] + T) / mp.mpf(params[1] + T + 13)) ** (params[0] + x)
        no_purchase = (1 - alive) + alive * silent
    # a log-likelihood of 1e5 has itself an error of 1e-16 × the largest of its terms
    assert_allclose(bg_nbd.log_likelihood(*history, **named), float(truth), rtol=2e-13, atol=2e-13)
    assert_allclose(bg_nbd.probability_alive(*history, **named), float(alive), rtol=1e-11, atol=1e-300)
    got = bg_nbd.probability_no_purchase(13.0, *one(*history), **named)
    assert_allclose(got, float(no_purchase), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("t", [1e-6, 0.1, 10.0, 1e5])
@pytest.mark.parametrize("a", [0.05, 0.793, 1.0, 1 + 1e-9, 2.7, 40.0])
def test_expected_purchases_agree_with_60_digits(t, a):
    with mp.workdps(60):
        for (r, alpha, b), (x, t_x, T) in itertools.product(
            [(0.243, 4.414, 2.426), (0.02, 0.5, 1e-3), (3.0, 50.0, 0.2)],
            [(0, 0.0, 30.0), (1, 2.0, 2.0), (30, 700.0, 700.0)],
        ):
            future = mp_while_alive(t, r + x, alpha + T, a, b + x)
            truth = float(future * mp_log_likelihood(x, t_x, T, r, alpha, a, b)[1])
            got = bg_nbd.expected_purchases(t, *one(x, t_x, T), r=r, alpha=alpha, a=a, b=b)
            assert_allclose(got, truth, rtol=1e-11)


def test_a_plus_b_of_one_is_no_singularity():
    with mp.workdps(60):
        truth = float(mp_while_alive(30, 0.25, 5.4, mp.mpf(1) / 2, mp.mpf(1) / 2))
    got = bg_nbd.expected_purchases(30.0, *one(0, 0, 1), r=0.25, alpha=4.4, a=0.5, b=0.5)
    assert_allclose(got, truth, rtol=1e-11)


@pytest.mark.parametrize(
    ("params", "history", "t", "truth", "digits"),
    [  # mpmath's values; lifetimes gives NaN, NaN, -inf and 502.9
        ((0.25, 4.4, 0.3, 0.4), (0, 0, 1), 30.0, 0.802216, 6),
        ((0.25, 4.4, 0.5, 0.5), (0, 0, 30), 1.0, 0.007202, 6),
        ((0.25, 4.4, 1.0, 2.4), (0, 0, 1), 30.0, 0.820645, 6),
        ((0.25, 4.4, 1.0 + 1e-9, 2.4), (2000, 0.97, 1), 1e5, 553.7, 1),
    ],
)
def test_where_lifetimes_is_wrong(params, history, t, truth, digits):
    named = dict(zip(bg_nbd.NAMES, params, strict=True))
    got = bg_nbd.expected_purchases(t, *one(*history), **named)[0]
    assert round(float(got), digits) == truth


def test_the_far_tail_of_the_count_distribution():
    assert_allclose(bg_nbd.probability_of_count(171, 39.0, **CDNOW), 1.167e-12, rtol=5e-4)


def test_counts_of_hardies_spreadsheet():
    assert_allclose(bg_nbd.probability_of_count(0, 39.0, **SHEET), 0.5737864, atol=5e-8)
    assert_allclose(bg_nbd.probability_of_count(10, 2.0, **SHEET), 1.07869e-7, rtol=5e-6)
    expected = bg_nbd.expected_purchases_new_customer([0.1429, 1, 3, 31.8571, 32], **CDNOW)
    assert_allclose(expected, [0.0078, 0.0532, 0.1506, 1.0405, 1.0437], atol=5e-5)
    likelihood = bg_nbd.log_likelihood([2, 1, 0, 7], [30.43, 1.71, 0, 29.43], 38.86, **SHEET)
    # the sheet's recency and parameters are rounded to 3 digits, which moves its third decimal
    assert_allclose(likelihood, [-9.459, -4.471, -0.554, -21.864], atol=2e-3)


def test_the_spreadsheets_last_value_is_a_series_cut_after_150_terms():
    r, alpha, a, b = CDNOW.values()
    c, z = a + b - 1, 78 / (alpha + 78)
    k = np.arange(150)
    terms = np.cumprod((r + k) * (b + k) / ((c + k) * (k + 1)) * z)
    cut = c / (a - 1) * (1 - (alpha / (alpha + 78)) ** r * (1 + terms.sum()))
    assert round(cut, 4) == 1.8576  # as published
    with mp.workdps(40):
        whole = mp_while_alive(78, r, alpha, a, b)
    assert_allclose(bg_nbd.expected_purchases_new_customer(78.0, **CDNOW), float(whole), rtol=1e-12)


def test_count_probabilities_sum_to_one_and_have_the_expected_mean():
    n = np.arange(4000)
    params = {"r": 1.3, "alpha": 2.0, "a": 0.7, "b": 3.0}
    probability = bg_nbd.probability_of_count(n, 20.0, **params)
    assert_allclose(probability.sum(), 1.0, rtol=1e-12)
    assert_allclose(probability @ n, bg_nbd.expected_purchases_new_customer(20.0, **params), rtol=1e-11)
    assert bg_nbd.probability_of_count([0, 3], 0.0, **params).tolist() == [1.0, 0.0]


def test_published_likelihoods():
    got = bg_nbd.log_likelihood([0, 200], [0, 38], 40, r=0.25, alpha=4, a=0.8, b=2.5)
    assert got.round(8)[0] == -0.59947382
    assert got.round(4)[1] == 100.7957


@pytest.mark.parametrize(("x", "truth"), [(10, 0.3474606), (15, 0.04283391), (20, 0.004158973), (25, 0.0003583685)])
def test_more_purchases_can_mean_less_to_come(x, truth):
    got = bg_nbd.expected_purchases(52.0, *one(x, 20, 39), **CDNOW)
    assert_allclose(got, truth, rtol=1e-4)


@pytest.mark.parametrize("annual", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(("x", "t_x", "T", "h"), [(0, 0, 0.01, 520.0), (3, 30.0, 38.0, 52.0), (400, 38, 38, 5.0)])
def test_discounted_purchases_agree_with_direct_integration(x, t_x, T, h, annual):
    rate = np.log1p(annual) * 7 / 365.25
    shape, scale = CDNOW["r"] + x, CDNOW["alpha"] + T
    a, b = CDNOW["a"], CDNOW["b"] + x

    def pace(v):  # the purchase rate is (r / alpha) 2F1(r + 1, a; a + b; -s / alpha) at s = alpha (e^v - 1)
        s = scale * mp.expm1(v)
        flow = shape / scale * mp.hyp2f1(shape + 1, a, a + b, -s / scale)
        return flow * mp.exp(-rate * s) * scale * mp.exp(v)

    with mp.workdps(20):
        truth = mp.quad(pace, mp.linspace(0, mp.log1p(h / scale), 4))
        truth *= mp_log_likelihood(x, t_x, T, *CDNOW.values())[1]
    got = bg_nbd.expected_purchases(h, *one(x, t_x, T), discount_rate=rate, **CDNOW)
    assert_allclose(got, float(truth), rtol=1e-9)


def test_no_discount_is_no_change_to_the_last_bit():
    history = one(3, 30, 38)
    plain = bg_nbd.expected_purchases(52.0, *history, **CDNOW)
    assert np.array_equal(bg_nbd.expected_purchases(52.0, *history, discount_rate=0.0, **CDNOW), plain)


def test_a_customers_value_does_not_depend_on_the_others():
    rfm = cdnow_rfm().iloc[::7]
    x, t_x, T = (rfm[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T"))
    together = bg_nbd.expected_purchases(39.0, x, t_x, T, discount_rate=0.002, **CDNOW)
    for i in range(0, len(x), 40):
        alone = bg_nbd.expected_purchases(39.0, *one(x[i], t_x[i], T[i]), discount_rate=0.002, **CDNOW)
        assert alone[0] == together[i]


@pytest.mark.parametrize("theta", [(-1.4, 0.3, -0.2, 0.9), (1.5, -2.0, 2.0, -1.0), (5.0, 6.0, -4.0, 7.0)])
def test_gradient_and_hessian_agree_with_finite_differences(theta):
    rng = np.random.default_rng(11)
    shop = simulate_shop(rng, 300, r=0.8, alpha=4.0, a=0.6, b=2.0, T=rng.uniform(5, 50, 300))
    x, t_x, T = (shop[name].to_numpy() for name in ("frequency", "recency", "T"))
    weight = rng.uniform(0.5, 2.0, 300)
    evaluate = bg_nbd.objective(compress(x, t_x, T, weight))
    theta, step = np.array(theta), 1e-5
    value, gradient, hessian = evaluate(theta)
    named = dict(zip(bg_nbd.NAMES, np.exp(theta), strict=True))
    assert_allclose(value, weight @ bg_nbd.log_likelihood(x, t_x, T, **named), rtol=1e-12)
    up, down = ([evaluate(theta + sign * step * unit) for unit in np.eye(4)] for sign in (1, -1))
    by_value = [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)]
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(gradient, by_value, atol=1e-6 * abs(value))
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


@pytest.mark.parametrize("z", [1e-6, 0.5, 15.999, 16.0, 300.0, 1e6])
@pytest.mark.parametrize("n", [0.0, 1.0, 7.5, 1e4])
def test_rises_agree_with_50_digits(z, n):
    with mp.workdps(50):
        truths = (
            mp.loggamma(mp.mpf(z) + n) - mp.loggamma(z),
            mp.digamma(mp.mpf(z) + n) - mp.digamma(z),
            mp.psi(1, mp.mpf(z) + n) - mp.psi(1, z),
        )
    assert_allclose(gammaln_rise(z, n), float(truths[0]), rtol=1e-13, atol=1e-14)
    assert_allclose(digamma_rise(z, n), float(truths[1]), rtol=1e-12, atol=1e-15)
    assert_allclose(trigamma_rise(z, n), float(truths[2]), rtol=1e-12, atol=2e-16)


@pytest.mark.parametrize(("a", "b"), [(1e-6, 1e5), (1e5, 1e-6), (0.01, 0.02), (0.8, 5000.0), (300.0, 400.0)])
def test_the_grid_over_dropout_has_the_moments_of_beta(a, b):
    p, weight = dropout_grid(a, b, reach=1e4)
    mean = a / (a + b)
    assert_allclose(weight @ p, mean, rtol=1e-11)
    assert_allclose(weight @ p**2, mean * (a + 1) / (a + b + 1), rtol=1e-11)


def test_lifetimes_agrees_where_it_is_right():
    rfm = cdnow_rfm()
    x, t_x, T = (rfm[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T"))
    fitter = lifetimes_fitter(CDNOW)
    alive = fitter.conditional_probability_alive(x, t_x, T)
    expected = fitter.conditional_expected_number_of_purchases_up_to_time(39.0, x, t_x, T)
    assert_allclose(bg_nbd.probability_alive(x, t_x, T, **CDNOW), alive, rtol=1e-9)
    assert_allclose(bg_nbd.expected_purchases(39.0, x, t_x, T, **CDNOW), expected, rtol=1e-8)


def lifetimes_fitter(params):
    with warnings.catch_warnings():
        # lifetimes silences pandas' chained assignment for everybody, through an option pandas deprecated
        warnings.simplefilter("ignore")
        before = pd.get_option("mode.chained_assignment")
        from lifetimes import BetaGeoFitter

        pd.set_option("mode.chained_assignment", before)
    fitter = BetaGeoFitter()
    fitter.params_ = pd.Series(params)
    return fitter
