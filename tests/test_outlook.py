"""The outlook of customers against published values, peers, high-precision integrals and lives lived one by one."""

import itertools
import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW
from numpy.testing import assert_allclose
from regular_shops import simulate_regular_shop
from scipy.special import beta as beta_function
from test_cnbd_k import mp_history
from test_pareto_nbd import simulate_leaving

from crm_ml.clv import BetaGeoBetaBinomModel, BetaGeoCNBDModel, BetaGeoModel, ParetoNBDModel
from crm_ml.clv.interop import import_lifetimes
from crm_ml.clv.processes import bg_bb, bg_nbd, pareto_nbd
from crm_ml.clv.processes.outlook.histories import log_gaps
from crm_ml.clv.processes.outlook.root import increasing_root

SHEET = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
PARETO = {"r": 0.553277, "alpha": 10.577684, "s": 0.606240, "beta": 11.668730}
DONORS = {"alpha": 1.203522, "beta": 0.749716, "gamma": 0.656718, "delta": 2.783443}
REGULAR = {"r": 1.329, "alpha": 2.813, "a": 0.425, "b": 0.790}


def fitted(model, params):
    """A model of known parameters, as after a fit."""
    model.params_ = dict(params)
    return model


def histories(x, t_x, T):
    return pd.DataFrame({"frequency": np.atleast_1d(x), "recency": t_x, "T": T})


def assert_shares(happened, probability):
    """The share of customers something happened to is their mean probability, within its sampling error."""
    error = np.sqrt((probability * (1.0 - probability)).sum()) / len(probability)
    assert abs(np.mean(happened) - np.mean(probability)) < 4.0 * error + 1e-12


def test_counts_of_new_customers_are_the_published_ones():
    model = fitted(BetaGeoModel(), SHEET)
    # BTYD's tests; the first is Hardie's spreadsheet note, too
    assert_allclose(model.probability_of_purchases_new_customer([0, 10], [39, 2]), [0.5737864, 1.07869e-7], rtol=5e-6)


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("k", [1, 4])
def test_counts_ahead_are_what_happens_in_a_shop_lived_purchase_by_purchase(k, modified):
    rng, params = np.random.default_rng(40 + k), {"r": 0.9 * k, "alpha": 9.0, "a": 0.6, "b": 1.9}
    shop = simulate_regular_shop(
        rng, 15_000, **params, k=k, modified=modified, T=rng.uniform(5, 50, 15_000), horizon=20.0
    )
    columns = (shop[name].to_numpy()[:, None] for name in ("frequency", "recency", "T"))
    outlook = bg_nbd.outlook(*columns, **params, k=k, modified=modified)
    probability = outlook.probability_of_count([0, 1, 2, 5], 20.0)
    for count, own in zip([0, 1, 2, 5], probability.T, strict=True):
        for group in (shop["frequency"] == 0, shop["frequency"].between(1, 3), shop["frequency"] > 3):
            assert_shares(shop["later_purchases"][group] == count, own[group])


def test_pareto_counts_ahead_are_what_happens_and_what_lifetimes_says():
    rng = np.random.default_rng(3)
    shop = simulate_leaving(rng, 40_000, **PARETO, T=rng.uniform(5, 50, 40_000), horizon=30.0)
    model = fitted(ParetoNBDModel(), PARETO)
    probability = model.probability_of_purchases(shop, [0, 1, 4], 30.0)
    for count in probability:
        for group in (shop["frequency"] == 0, shop["frequency"].between(1, 3), shop["frequency"] > 3):
            assert_shares(shop["later_purchases"][group] == count, probability.loc[group, count])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes' own, on import and in its logarithms
        peer = import_lifetimes().ParetoNBDFitter()
        peer.params_ = pd.Series(PARETO)
        for n, x, t_x in itertools.product([1, 2, 5], [0, 2, 6], [20.0]):
            own = model.probability_of_purchases(histories(x, t_x * (x > 0), 39.0), n, 26.0)
            peers = peer.conditional_probability_of_n_purchases_up_to_time(n, 26.0, x, t_x * (x > 0), 39.0)
            assert_allclose(own, np.squeeze(peers), rtol=1e-7)


@pytest.mark.parametrize("history", [(0, 0, 6), (2, 4, 6), (6, 6, 6), (1, 1, 3)])
def test_bg_bb_counts_ahead_are_the_sum_over_every_future(history):
    x, t_x, n = history
    exact = np.zeros(6)
    for future in itertools.product([0, 1], repeat=5):
        taken = [n + 1 + place for place, took in enumerate(future) if took]
        whole = bg_bb.log_likelihood(x + len(taken), max([t_x, *taken]), n + 5, **DONORS)
        exact[len(taken)] += np.exp(whole - bg_bb.log_likelihood(x, t_x, n, **DONORS))
    frame = histories(x, t_x, n).rename(columns={"T": "n_opportunities"})
    got = fitted(BetaGeoBetaBinomModel(), DONORS).probability_of_purchases(frame, range(6), 5)
    assert_allclose(got.to_numpy()[0], exact, rtol=1e-12)


def test_counts_hold_at_the_ends_of_time_and_of_counting():
    outlook = bg_nbd.outlook(*np.array([[3.0], [20.0], [30.0]])[:, :, None], **REGULAR, k=3, modified=True)
    counts = np.array([0, 1, 10_000])
    soon, late = (outlook.probability_of_count(counts, h) for h in (1e-9, 1e12))
    assert_allclose(soon[0], [1.0, 0.0, 0.0], atol=1e-9)
    assert ((late >= 0.0) & np.isfinite(late)).all()
    # Forever, an alive customer buys until leaving: P(n) = E[p (1 - p)^(n - 1)]; here for n = 1
    assert_allclose(late[0, 1], outlook.alive * REGULAR["a"] / (REGULAR["a"] + REGULAR["b"] + 4.0), rtol=1e-9)


def silence_ahead(history, k, params):
    """P(an alive customer is silent for t more), from the likelihood's silences and not from stages."""
    x, t_x, T = history
    now = mp_history(x, t_x, T, k, 0, *params.values())[2]
    return lambda t: mp_history(x, t_x, T + t, k, 0, *params.values())[2] / now


@pytest.mark.parametrize(
    ("k", "history"), [(1, (2, 30.43, 38.86)), (2, (1, 5, 40)), (4, (3, 12, 60)), (12, (1, 9, 10))]
)
def test_waits_are_those_of_the_silence(k, history):
    outlook = bg_nbd.outlook(*np.array(history, dtype=float)[:, None], **REGULAR, k=k)
    silent = silence_ahead(history, k, REGULAR)
    for share in (1e-4, 0.3, 0.999):
        wait = outlook.wait(share * outlook.alive[0])[0]
        assert_allclose(float(silent(mp.mpf(wait))), 1.0 - share, rtol=1e-9)
    mean = mp.quad(lambda u: silent(mp.exp(u)) * mp.exp(u), [-40, -5, 0, 2, 4, 6, 10, 30, 120, 400])
    assert_allclose(outlook.mean_wait()[0], float(mean), rtol=1e-10)


def test_pareto_waits_are_averages_over_both_rates():
    history = np.array([[3.0], [20.0], [30.0]])
    outlook = pareto_nbd.outlook(*history, **PARETO)
    r, alpha, s, beta = (float(np.squeeze(v)) for v in (outlook.r, outlook.alpha, outlook.s, outlook.beta))
    u, v = np.arange(-14.0, 5.0, 0.1)[:, None], np.arange(-70.0, 5.0, 0.1)
    buying, both = np.exp(u) / alpha, np.exp(u) / alpha + np.exp(v) / beta
    weight = np.exp(r * u - np.exp(u) + s * v - np.exp(v))
    weight /= weight.sum()
    ever = (weight * buying / both).sum()
    mean = (weight * buying / both**2).sum() / ever
    wait = outlook.wait(0.4 * outlook.alive[0])[0]
    by_then = (weight * buying / both * -np.expm1(-both * wait)).sum()
    assert_allclose(outlook.mean_wait()[0], mean, rtol=1e-9)
    assert_allclose(by_then, 0.4, rtol=1e-9)
    assert np.isfinite(outlook.wait(float(outlook.alive[0] * ever) * (1 - 1e-6)))
    assert np.isinf(outlook.wait(float(outlook.alive[0] * ever) * (1 + 1e-6)))


@pytest.mark.parametrize("history", [(6.0, 6.0, 6.0), (4.0, 9.0, 20.0)])
def test_bg_bb_waits_are_sums_over_the_first_opportunity_taken(history):
    params = {"alpha": 3.0, "beta": 4.0, "gamma": 2.5, "delta": 6.0}
    outlook = bg_bb.outlook(*np.array(history)[:, None], **params)
    alpha, beta, gamma, delta = (
        float(np.squeeze(v)) for v in (outlook.alpha, outlook.beta, outlook.gamma, outlook.delta)
    )
    j = np.arange(1.0, 100_001.0)
    staying = np.cumprod((delta + j - 1) / (gamma + delta + j - 1))
    missing = np.concatenate([[1.0], np.cumprod((beta + j - 1) / (alpha + 1 + beta + j - 1))[:-1]])
    first = staying * missing * beta_function(alpha + 1, beta) / beta_function(alpha, beta)
    assert_allclose(outlook.mean_wait()[0], (j * first).sum() / first.sum(), rtol=1e-10)
    for share in (0.1, 0.4, 0.6):
        wanted = 1 + np.searchsorted(np.cumsum(first), share)
        assert outlook.wait(share * outlook.alive[0])[0] == wanted


def test_waits_are_infinite_exactly_where_the_model_says():
    few = np.array([[0.0, 1.0, 2.0], [0.0, 5.0, 9.0], [30.0, 30.0, 30.0]])
    assert np.isinf(bg_nbd.outlook(*few, **SHEET).mean_wait()).tolist() == [True, False, False]  # r + x > 1
    border = bg_nbd.outlook(0.0, 0.0, 4.0, r=1.0, alpha=4.0, a=1.0, b=2.0)
    beside = bg_nbd.outlook(0.0, 0.0, 4.0, r=1.0 + 1e-6, alpha=4.0, a=1.0, b=2.0)
    assert np.isinf(border.mean_wait())
    assert_allclose(beside.mean_wait(), 8e6, rtol=1e-9)
    on_ridge = pareto_nbd.outlook(*np.zeros((3, 1)), r=0.4, alpha=7.0, s=0.6, beta=9.0)
    assert np.isinf(on_ridge.mean_wait()).all()
    assert np.isfinite(pareto_nbd.outlook(*np.zeros((3, 1)), r=0.4, alpha=7.0, s=0.61, beta=9.0).mean_wait()).all()
    slow = bg_bb.outlook(*np.zeros((3, 1)), alpha=0.4, beta=1.0, gamma=0.6, delta=2.0)
    assert np.isinf(slow.mean_wait()).all()
    # r of 0.001: even the shortest quantile is longer than a double can say, and is no warning
    assert np.isinf(bg_nbd.outlook(*np.zeros((3, 1)), r=1e-3, alpha=4.0, a=1.0, b=2.0).wait(0.9)).all()


def mp_discounted(outlook, k, discount_rate):
    """Over lambda by quadrature, over p in closed form, for each stage."""
    delta, rate = mp.mpf(discount_rate), mp.mpf(float(outlook.rate[0]))
    a, b, total = mp.mpf(float(outlook.a)), mp.mpf(float(outlook.b[0])), mp.mpf(0)
    for j, probability in enumerate(outlook.stages[:, 0]):
        shape = mp.mpf(float(outlook.shape[0])) + j

        def value(u, shape=shape, j=j):
            pace = mp.exp(u) / rate
            factor = pace / (pace + delta)
            return mp.exp(shape * u - mp.exp(u)) * factor ** (k - j) * mp.hyp2f1(1, b, a + b, factor**k)

        centre = mp.log(shape)
        ends = [centre + step for step in (-40, -10, -3, -1, 0, 1, 2, 4)]
        total += mp.mpf(float(probability)) * mp.quad(value, ends, maxdegree=5) / mp.gamma(shape)
    return float(total)


@pytest.mark.parametrize(
    ("k", "discount_rate", "history"),
    [(1, 0.002, (0, 0, 38.86)), (1, 0.5, (7, 29.43, 38.86)), (3, 0.002, (2, 20, 38.86))],
)
def test_discounted_residual_purchases_agree_with_an_integral_over_both(k, discount_rate, history):
    outlook = bg_nbd.outlook(*np.array(history, dtype=float)[:, None], **REGULAR, k=k)
    with mp.workdps(18):
        truth = mp_discounted(outlook, k, discount_rate)
    assert_allclose(outlook.discounted_purchases(discount_rate)[0] / outlook.alive[0], truth, rtol=1e-12)


def test_discounted_residual_purchases_of_bg_nbd_are_the_limit_of_the_time_integral():
    def flow(t):  # purchases at t of a CDNOW customer (2, 30.43, 38.86): r' / rate × 2F1(r' + 1, a; a + b'; -t / rate)
        shape, rate, b = CDNOW["r"] + 2, CDNOW["alpha"] + 38.86, CDNOW["b"] + 2
        return mp.exp(-0.01 * t) * shape / rate * mp.hyp2f1(shape + 1, CDNOW["a"], CDNOW["a"] + b, -t / rate)

    outlook = bg_nbd.outlook(*np.array([[2.0], [30.43], [38.86]]), **CDNOW)
    with mp.workdps(18):
        truth = mp.quad(flow, [0, 10, 50, 200, 1000, 4500])
    assert_allclose(outlook.discounted_purchases(0.01)[0] / outlook.alive[0], float(truth), rtol=1e-12)


def test_drawn_gaps_have_the_mean_of_their_distribution():
    x, t_x = np.full(50_000, 5.0), np.full(50_000, 20.0)
    drawn = log_gaps(x, t_x, k=2, rng=np.random.default_rng(4))
    # A share of a Dirichlet variable of five 2's: E[log] = digamma(2) - digamma(10)
    mean = 5.0 * (np.log(20.0) + float(mp.digamma(2) - mp.digamma(10)))
    assert abs(drawn.mean() - mean) < 4.0 * drawn.std() / np.sqrt(len(drawn))


def test_a_simulated_shop_of_regular_buyers_tells_its_k():
    model = fitted(BetaGeoCNBDModel(k=3), REGULAR)
    model.k_ = 3
    shop = model.simulate(np.random.default_rng(1).uniform(20, 80, 2_000), rng=np.random.default_rng(2))
    assert BetaGeoCNBDModel().fit(shop).k_ == 3


def test_a_parameter_the_data_do_not_determine_has_no_bounds():
    alike = histories(np.full(30, 1.0), 5.0, 20.0).assign(frequency=np.repeat([1.0, 2.0], 15))
    model = BetaGeoModel().fit(alike)
    undetermined = [name for name, error in model.standard_errors_.items() if np.isinf(error)]
    assert undetermined
    bounds = model.parameter_intervals()
    assert (bounds.loc[undetermined, "lower"] == 0.0).all()
    assert np.isinf(bounds.loc[undetermined, "upper"]).all()


def test_roots_are_found_where_newton_alone_would_leave_the_brackets():
    def steep(u, rows):
        return np.arctan(50.0 * (u - goal[rows])), 50.0 / (1.0 + (50.0 * (u - goal[rows])) ** 2)

    goal = np.array([-7.0, 0.0, 3.25])
    found = increasing_root(steep, np.full(3, 9.0), np.full(3, -10.0), np.full(3, 10.0))
    assert_allclose(found, goal, atol=1e-12)
