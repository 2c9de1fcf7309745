"""Pareto/NBD against published values, 50-digit arithmetic, brute force, and lifetimes where it is right."""

import itertools
import json
import warnings
from pathlib import Path

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import cdnow_rfm
from numpy.testing import assert_allclose
from pandas.testing import assert_series_equal

from crm_ml.clv import ParetoNBDModel, interop
from crm_ml.clv.likelihood.exponential_dropout import discounted_lifetime
from crm_ml.clv.likelihood.patterns import compress
from crm_ml.clv.processes import pareto_nbd
from crm_ml.clv.uncertainty.interval import common_futures
from crm_ml.errors import ConvergenceError, CrmError, ModelError

CDNOW = {"r": 0.553277, "alpha": 10.577684, "s": 0.606240, "beta": 11.668730}
GROCERY = Path(__file__).parents[1].parent / "shared" / "data" / "grocery_elog.parquet"


def mp_history(x, t_x, T, r, alpha, s, beta):
    """Log-likelihood, P(alive) and P(left) by the two positive terms of the derivation's appendix."""
    x, t_x, T, r, alpha, s, beta = map(mp.mpf, (x, t_x, T, r, alpha, s, beta))
    c = r + s + x

    def term(by_s, y):
        gap, far, by = (alpha - beta, alpha + y, by_s) if alpha >= beta else (beta - alpha, beta + y, c + 1 - by_s)
        return mp.hyp2f1(c, by, c + 1, gap / far, maxterms=10**6) / far**c

    total = (r + x) / c * term(s, T) + s / c * term(s + 1, t_x)
    alive = 1 / ((alpha + T) ** (r + x) * (beta + T) ** s)
    scale = mp.loggamma(r + x) - mp.loggamma(r) + r * mp.log(alpha) + s * mp.log(beta)
    return scale + mp.log(total), alive / total, 1 - alive / total


def simulate_leaving(rng, n, *, r, alpha, s, beta, T, horizon=0.0):
    """Live customers who leave silently; return the histories, who is alive at T, and what follows."""
    pace, leave = rng.gamma(r, 1.0 / alpha, n), rng.gamma(s, 1.0 / beta, n)
    T = np.broadcast_to(np.asarray(T, dtype=float), n)
    lifetime = rng.exponential(1.0, n) / np.maximum(leave, 1e-300)
    x = rng.poisson(pace * np.minimum(lifetime, T)).astype(float)
    last = np.minimum(lifetime, T) * rng.random(n) ** (1.0 / np.maximum(x, 1.0))  # the largest of x uniform times
    later = rng.poisson(pace * np.clip(lifetime - T, 0.0, horizon))
    rfm = pd.DataFrame({"frequency": x, "recency": np.where(x > 0, last, 0.0), "T": T})
    return rfm.assign(alive=lifetime > T, later_purchases=later)


def grocery_rfm(end="2006-12-31"):
    if not GROCERY.exists():
        pytest.skip("the grocery log of BTYDplus is not part of the project, and is not beside it here")
    log = pd.read_parquet(GROCERY).drop_duplicates()
    by_customer = log[log["date"] <= end].groupby("customer_id")["date"]
    first = by_customer.min()
    later = log[log["date"] > end].groupby("customer_id").size().reindex(first.index, fill_value=0)
    rfm = pd.DataFrame({"frequency": by_customer.size() - 1.0})
    rfm["recency"] = (by_customer.max() - first).dt.days / 7
    rfm["T"] = (pd.Timestamp(end) - first).dt.days / 7
    return rfm.assign(later_purchases=later)


def customers(x, t_x, T):
    return pd.DataFrame({"frequency": np.atleast_1d(x), "recency": t_x, "T": T}, dtype=float)


@pytest.fixture(scope="module")
def cdnow():
    return ParetoNBDModel(time_unit="W").fit(cdnow_rfm())


def test_cdnow_fit_is_the_published_one(cdnow):
    assert_allclose([cdnow.params_[name] for name in CDNOW], list(CDNOW.values()), atol=1e-3)
    assert_allclose(cdnow.log_likelihood_, -9594.976179, atol=1e-3)
    published = [0.0476264, 0.8427222, 0.1872594, 6.2105448]
    assert_allclose(list(cdnow.standard_errors_.values()), published, atol=1e-3)
    assert cdnow.diagnostics_["converged"]
    assert cdnow.diagnostics_["gradient_norm"] < 1e-8


def test_the_ridge_of_cdnow_is_said(cdnow):
    (note,) = [note for note in cdnow.diagnostics_["notes"] if note.startswith("Ridge")]
    assert "correlation of their logarithms 0.97" in note
    # the published standard errors of s and beta, 31 % and 53 % of the estimates
    assert "31% and 53%" in note
    # half the 95 % quantile of chi-squared: the data do not exclude a value of s half as large again
    assert 0.0 < cdnow.log_likelihood_ - maximum_along_the_ridge(cdnow, np.log(1.5)) < 1.92


def maximum_along_the_ridge(model, step):
    """Highest likelihood found with log(s) away from the optimum by a step, beta following."""
    rfm = cdnow_rfm()
    patterns = compress(*(rfm[c].to_numpy(dtype=float) for c in ("frequency", "recency", "T")), np.ones(len(rfm)))
    evaluate, theta = pareto_nbd.objective(patterns), np.log(list(model.params_.values()))
    theta[2] += step
    free = [0, 1, 3]
    for _ in range(20):
        _, gradient, hessian = evaluate(theta)
        theta[free] -= np.clip(np.linalg.solve(hessian[np.ix_(free, free)], gradient[free]), -0.5, 0.5)
    return evaluate(theta)[0]


def test_cdnow_predictions_are_the_published_ones(cdnow):
    # BTYD's optimiser stops short of the optimum: its predictions differ from the exact ones by up to 8e-4
    regular = customers(26, 30.857, 31)
    assert_allclose(cdnow.expected_purchases(regular, 52.0), 25.45647, rtol=1e-3)
    assert_allclose(cdnow.probability_alive(regular), 0.997874, atol=1e-3)
    assert_allclose(cdnow.expected_purchases_new_customer(52.0), 1.473434, atol=1e-4)
    more_but_less = cdnow.expected_purchases(customers([10, 15, 20, 25], 20, 39), 52.0)
    assert_allclose(more_but_less, [0.7062289, 0.1442396, 0.02250658, 0.00309267], rtol=1e-3)


def test_grocery_fit_and_forecast_are_the_published_ones():
    rfm = grocery_rfm()
    model = ParetoNBDModel(time_unit="W").fit(rfm)
    assert_allclose(list(model.params_.values()), [0.786, 5.679, 0.386, 5.717], atol=1e-3)
    assert_allclose(model.log_likelihood_, -15782.39, atol=5e-3)
    silent = customers([1, 2, 3, 4, 5], 12, 52)
    assert_allclose(model.expected_purchases(silent, 52.0), [0.448, 0.363, 0.217, 0.109, 0.049], atol=6e-4)
    assert_allclose(model.probability_alive(silent), [0.3186, 0.1652, 0.0728, 0.0288, 0.0107], atol=6e-5)
    expected = model.expected_purchases(rfm, 52.0)
    assert rfm["later_purchases"].sum() == 3389
    assert round(expected.sum()) == 3991
    assert round((expected - rfm["later_purchases"]).abs().mean(), 3) == 1.508


def test_where_implementations_break():
    broken = {"r": 0.55, "alpha": 10.58, "s": 0.61, "beta": 11.67}
    assert_allclose(pareto_nbd.log_likelihood(1, 1.5, 12, **broken), -4.00694866, atol=5e-9)
    many = np.array([132.0, 133.0]), np.full(2, 200.0), np.full(2, 200.0)
    assert_allclose(pareto_nbd.expected_purchases(10.0, *many, **broken), [6.2060517890, 6.2528722476], atol=6e-11)
    grown = {"r": 0.5143, "alpha": 2.8845, "s": 0.2856, "beta": 14.1087}
    assert_allclose(pareto_nbd.probability_alive(221, 103.42857, 103.57143, **grown), 0.9995961, atol=5e-8)


def random_cases(seed, n):
    rng = np.random.default_rng(seed)
    for i in range(n):
        r, s = np.exp(rng.uniform(np.log(0.01), np.log(20.0), 2))
        T = float(np.exp(rng.uniform(-3, 6)))
        alpha, beta = T * 10.0 ** rng.uniform(-6, 6, 2)
        x = float(rng.choice([0, 0, 1, 2, 7, 50, 500, 10_000]))
        t_x = T * float(rng.choice([1e-3, 0.1, 0.5, 0.9, 0.999, 1.0])) if x else 0.0
        yield x, t_x, T, r, alpha, (1.0 if i % 7 == 0 else s), (alpha if i % 5 == 0 else beta)


def test_likelihood_and_probabilities_agree_with_60_digits():
    signs = set()
    for x, t_x, T, *params in random_cases(0, 70):
        named = dict(zip(pareto_nbd.NAMES, params, strict=True))
        r, alpha, _, beta = params
        signs.add(np.sign(alpha - beta))
        with mp.workdps(60):
            truth, alive, left = mp_history(x, t_x, T, *params)
            silence = float((r + x) * mp.log((alpha + T) / (alpha + mp.mpf(t_x))))
            size = max(1.0, abs(float(truth)), x * abs(np.log(alpha + T)), abs(float(mp.loggamma(r + x))))
        # sums of terms of this size are themselves good to 1e-16 of it
        assert abs(pareto_nbd.log_likelihood(x, t_x, T, **named) - float(truth)) < 2e-13 * size
        got = pareto_nbd.probability_alive(x, t_x, T, **named)
        assert_allclose(got, float(alive), rtol=3e-13 * max(1.0, silence), atol=1e-290)
        assert_allclose(1.0 - got, float(left), atol=1e-12)
    assert signs == {-1.0, 0.0, 1.0}


def test_corners_of_the_parameter_space_are_finite():
    histories = np.array([(0, 0, 0), (0, 0, 1), (1, 1e-9, 1), (1, 1, 1), (10_000, 1e-6, 1), (10_000, 0.99, 1)]).T
    with np.errstate(all="raise", under="ignore"):
        for params in itertools.product([1e-6, 1.0, 1e5], [1e-9, 1.0, 1e9], [1e-6, 1.0, 1e5], [1e-9, 1.0, 1e9]):
            named = dict(zip(pareto_nbd.NAMES, params, strict=True))
            results = [
                pareto_nbd.log_likelihood(*histories, **named),
                pareto_nbd.probability_no_purchase(1e6, *histories, **named),
                pareto_nbd.expected_purchases(1e6, *histories, **named),
                pareto_nbd.expected_purchases(1e6, *histories, discount_rate=0.1, **named),
                pareto_nbd.probability_of_count([0, 1, 100], 1e6, **named),
                *pareto_nbd.objective(compress(*histories, np.ones(6)))(np.log(params)),
            ]
            assert all(np.isfinite(result).all() for result in results), named


@pytest.mark.parametrize("gap", [-1e-3, -1e-9, -1e-15, 0.0, 1e-15, 1e-9, 1e-3])
@pytest.mark.parametrize("x", [0.0, 3.0, 400.0])
def test_alpha_near_beta_is_no_singularity(gap, x):
    params = (0.7, 5.0, 0.4, 5.0 * (1.0 + gap))
    with mp.workdps(60):
        truth, alive, _ = mp_history(x, 20.0 if x else 0.0, 30.0, *params)
    named = dict(zip(pareto_nbd.NAMES, params, strict=True))
    history = (x, 20.0 if x else 0.0, 30.0)
    assert_allclose(pareto_nbd.log_likelihood(*history, **named), float(truth), rtol=1e-13)
    assert_allclose(pareto_nbd.probability_alive(*history, **named), float(alive), rtol=1e-11)


@pytest.mark.parametrize("s", [1e-3, 0.5, 1 - 1e-4, 1 - 1e-9, 1.0, 1 + 1e-9, 1 + 1e-4, 3.0, 50.0])
@pytest.mark.parametrize("h", [1e-6, 10.0, 1e6])
def test_expected_purchases_are_continuous_through_s_of_one(s, h):
    x, t_x, T, r, alpha, beta = 3, 20.0, 30.0, 0.6, 8.0, 6.0
    with mp.workdps(50):
        scale, gap = mp.mpf(beta) + T, mp.mpf(s) - 1
        life = scale * (mp.log1p(h / scale) if gap == 0 else -mp.expm1(-gap * mp.log1p(h / scale)) / gap)
        new = mp.mpf(beta) * (mp.log1p(h / mp.mpf(beta)) if gap == 0 else -mp.expm1(-gap * mp.log1p(h / beta)) / gap)
        truth = mp_history(x, t_x, T, r, alpha, s, beta)[1] * (r + x) / (alpha + T) * life
    params = {"r": r, "alpha": alpha, "s": s, "beta": beta}
    assert_allclose(pareto_nbd.expected_purchases(h, x, t_x, T, **params), float(truth), rtol=2e-13)
    got = pareto_nbd.expected_purchases_new_customer(h, **params)
    assert_allclose(got, float(mp.mpf(r) / alpha * new), rtol=2e-13)


def test_no_purchase_is_the_ratio_of_the_likelihoods():
    for x, t_x, T, *params in random_cases(3, 25):
        named = dict(zip(pareto_nbd.NAMES, params, strict=True))
        with mp.workdps(60):
            now, later = (mp_history(x, t_x, mp.mpf(T) * longer, *params)[0] for longer in (1, 1.5))
            truth = float(mp.exp(later - now))
        got = pareto_nbd.probability_no_purchase(T / 2, x, t_x, T, **named)
        assert_allclose(got, truth, rtol=1e-11 * max(1.0, x / 100))


def mp_probability_of_count(n, t, r, alpha, s, beta):
    r, alpha, s, beta = map(mp.mpf, (r, alpha, s, beta))

    def relative(y):  # to the probability of a customer who stays; keeps the integrand near 1
        return ((alpha + t) / (alpha + y)) ** (r + n) * (y / t) ** n

    whole = mp.rf(r, n) / mp.factorial(n) * (alpha / (alpha + t)) ** r * (t / (alpha + t)) ** n
    ends = [0, *(t * mp.mpf(2) ** -k for k in range(15, -1, -3))]
    return whole * (
        (beta / (beta + t)) ** s + mp.quad(lambda y: relative(y) * s * beta**s / (beta + y) ** (s + 1), ends)
    )


@pytest.mark.parametrize("n", [0, 5, 700])
def test_count_probabilities_agree_with_direct_integration(n):
    for params in [
        (0.553, 10.578, 0.606, 11.669),
        (0.05, 1e-3, 4.0, 900.0),
        (6.0, 800.0, 0.2, 0.02),
        (2.0, 9.0, 1.0, 9.0),
    ]:
        with mp.workdps(20):
            truth = mp_probability_of_count(n, mp.mpf(39), *params)
        got = pareto_nbd.probability_of_count(n, 39.0, **dict(zip(pareto_nbd.NAMES, params, strict=True)))
        assert_allclose(got, float(truth), rtol=2e-11)


def test_count_probabilities_sum_to_one_and_have_the_expected_mean():
    n = np.arange(3000)
    params = {"r": 1.3, "alpha": 2.0, "s": 0.7, "beta": 3.0}
    probability = pareto_nbd.probability_of_count(n, 20.0, **params)
    assert_allclose(probability.sum(), 1.0, rtol=1e-12)
    assert_allclose(probability @ n, pareto_nbd.expected_purchases_new_customer(20.0, **params), rtol=1e-11)
    assert pareto_nbd.probability_of_count([0, 3], 0.0, **params).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("s", [0.05, 0.606, 1.0, 1 + 1e-9, 12.0])
@pytest.mark.parametrize("decay", [1e-5, 0.02, 1.0, 300.0])
def test_discounted_purchases_agree_with_the_closed_form(s, decay):
    # over all time: delta^(s-1) beta^s Psi(s, s; delta beta); the part beyond a horizon is the same at beta + h
    beta, h = 20.0, 35.0
    delta = decay / beta
    with mp.workdps(50):
        b, d, power = mp.mpf(beta), mp.mpf(delta), mp.mpf(s)
        forever = d ** (power - 1) * b**power * mp.hyperu(power, power, d * b)
        beyond = mp.exp(-d * h) * d ** (power - 1) * b**power * mp.hyperu(power, power, d * (b + h))
        whole, part = float(forever), float(forever - beyond)
    settings = {"discount_rate": delta, "s": s, "beta": beta}
    assert_allclose(discounted_lifetime(np.inf, **settings), whole, rtol=1e-12)
    assert_allclose(discounted_lifetime(h, **settings), part, rtol=1e-12)


def test_discounted_residual_purchases_are_the_limit_of_a_long_horizon(cdnow):
    few = customers([0, 3, 26], [0, 20, 30.857], [39, 39, 31])
    forever = cdnow.discounted_residual_purchases(few, discount_rate=0.0027)
    assert_allclose(cdnow.expected_purchases(few, 20_000.0, discount_rate=0.0027), forever, rtol=1e-12)
    assert (cdnow.expected_purchases(few, 100.0, discount_rate=0.0027) < forever).all()
    tiny = cdnow.expected_purchases(few, 52.0, discount_rate=1e-12)
    assert_allclose(tiny, cdnow.expected_purchases(few, 52.0), rtol=1e-9)
    with pytest.raises(CrmError, match="`discount_rate` must be positive"):
        cdnow.discounted_residual_purchases(few, discount_rate=0.0)


@pytest.mark.parametrize(
    "theta", [(-0.6, 2.3, -0.5, 2.4), (1.5, -2.0, 2.0, -1.0), (0.3, 1.0, -3.0, 5.0), (5, 6, -4, 7)]
)
def test_gradient_and_hessian_agree_with_finite_differences(theta):
    rng = np.random.default_rng(11)
    shop = simulate_leaving(rng, 200, r=0.8, alpha=4.0, s=0.6, beta=10.0, T=rng.uniform(5, 50, 200))
    weight = rng.uniform(0.5, 2.0, 200)
    history = [shop[name].to_numpy() for name in ("frequency", "recency", "T")]
    evaluate = pareto_nbd.objective(compress(*history, weight))
    theta, step = np.array(theta, dtype=float), 1e-5
    value, gradient, hessian = evaluate(theta)
    named = dict(zip(pareto_nbd.NAMES, np.exp(theta), strict=True))
    assert_allclose(value, weight @ pareto_nbd.log_likelihood(*history, **named), rtol=1e-12)
    up, down = ([evaluate(theta + sign * step * unit) for unit in np.eye(4)] for sign in (1, -1))
    by_value = [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)]
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(gradient, by_value, atol=1e-8 * abs(value))
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


def test_predictions_are_what_happens_in_a_simulated_shop():
    true = {"r": 0.6, "alpha": 8.0, "s": 0.7, "beta": 20.0}
    shop = simulate_leaving(np.random.default_rng(8), 60_000, **true, T=40.0, horizon=15.0)
    x, t_x, T = (shop[name].to_numpy() for name in ("frequency", "recency", "T"))
    predicted = pd.DataFrame(
        {
            "alive": pareto_nbd.probability_alive(x, t_x, T, **true),
            "silent": pareto_nbd.probability_no_purchase(15.0, x, t_x, T, **true),
            "later": pareto_nbd.expected_purchases(15.0, x, t_x, T, **true),
        }
    )
    happened = pd.DataFrame(
        {"alive": shop["alive"], "silent": shop["later_purchases"] == 0, "later": shop["later_purchases"]}
    ).astype(float)
    for name in predicted:
        groups = pd.qcut(predicted[name], 10, duplicates="drop")
        gap = (predicted[name] - happened[name]).groupby(groups, observed=True)
        assert gap.ngroups >= 4
        assert (gap.mean().abs() < 4 * gap.std() / np.sqrt(gap.size())).all(), name
    counts = np.arange(6)
    probability = pareto_nbd.probability_of_count(counts, 40.0, **true)
    seen = (x[:, None] == counts).mean(axis=0)
    assert (np.abs(seen - probability) < 4 * np.sqrt(probability / len(x))).all()


def test_draws_have_the_predicted_means():
    futures = common_futures()
    params = {name: np.full(len(futures.alive), value) for name, value in CDNOW.items()}
    history = tuple(np.array(column) for column in ([0.0, 1, 3, 26], [0.0, 4, 30, 30.857], [20.0, 39, 38, 31]))
    drawn = pareto_nbd.drawn_purchases(52.0, *history, futures=futures, **params)
    assert drawn.shape == (4, len(futures.alive))
    error = drawn.std(axis=1) / np.sqrt(drawn.shape[1])
    expected = pareto_nbd.expected_purchases(52.0, *history, **CDNOW)
    assert (np.abs(drawn.mean(axis=1) - expected) < 4 * error).all()
    silent = pareto_nbd.probability_no_purchase(52.0, *history, **CDNOW)
    spread = np.sqrt(silent * (1 - silent) / drawn.shape[1])
    assert (np.abs((drawn == 0).mean(axis=1) - silent) < 4 * spread + 1e-3).all()


def test_recovery():
    true = {"r": 0.9, "alpha": 6.0, "s": 0.8, "beta": 15.0}
    rng = np.random.default_rng(4)
    model = ParetoNBDModel().fit(simulate_leaving(rng, 12_000, **true, T=rng.uniform(10, 100, 12_000)))
    assert model.diagnostics_["converged"]
    for name, value in true.items():
        assert abs(model.params_[name] - value) < 4 * model.standard_errors_[name], name
        assert model.standard_errors_[name] < 0.25 * value


def test_scaling_time_scales_alpha_and_beta_only(cdnow):
    daily = ParetoNBDModel(time_unit="D").fit(cdnow_rfm(days_per_unit=1.0))
    for name, factor in {"r": 1, "alpha": 7, "s": 1, "beta": 7}.items():
        assert_allclose(daily.params_[name], factor * cdnow.params_[name], rtol=1e-7)
    assert_allclose(daily.log_likelihood_, cdnow.log_likelihood_ - 2457 * np.log(7), rtol=1e-12)


def test_weights_equal_repetition_and_row_order_is_nothing(cdnow):
    rfm = cdnow_rfm()
    counted = rfm.groupby(["frequency", "recency", "T"], as_index=False).size().sample(frac=1, random_state=1)
    assert ParetoNBDModel(time_unit="W").fit(counted, counted["size"]).params_ == cdnow.params_
    repeated = ParetoNBDModel(time_unit="W").fit(pd.concat([rfm, rfm, rfm]))
    assert_allclose(list(repeated.params_.values()), list(cdnow.params_.values()), rtol=1e-7)
    for name, error in repeated.standard_errors_.items():
        assert_allclose(error * np.sqrt(3), cdnow.standard_errors_[name], rtol=1e-6)


def test_a_customers_value_does_not_depend_on_the_others(cdnow):
    rfm = cdnow_rfm().iloc[::7]
    together = [
        cdnow.expected_purchases(rfm, 39.0, discount_rate=0.002),
        cdnow.probability_no_purchase(rfm, 39.0),
        cdnow.probability_alive(rfm),
    ]
    for some in (rfm.iloc[40:41], rfm.iloc[100:133].iloc[::-1]):
        alone = [
            cdnow.expected_purchases(some, 39.0, discount_rate=0.002),
            cdnow.probability_no_purchase(some, 39.0),
            cdnow.probability_alive(some),
        ]
        for one, all_ in zip(alone, together, strict=True):
            assert_series_equal(one, all_[some.index], check_exact=True)


def test_silence_tells_of_customers_without_a_repeat_purchase_too(cdnow):
    new = customers(0, 0, 10)
    alive = [cdnow.probability_alive(new, further_silence=weeks)[0] for weeks in (0.0, 10.0, 100.0)]
    assert 1.0 > alive[0] > alive[1] > alive[2] > 0.0
    assert alive[1] == cdnow.probability_alive(customers(0, 0, 20))[0]
    assert cdnow.probability_alive(customers(4, 9, 9))[0] == 1.0  # has just bought
    assert cdnow.probability_alive(customers(0, 0, 0))[0] == 1.0


@pytest.mark.parametrize("kind", ["nobody leaves", "one rate of leaving for all"])
def test_limits_of_the_model_are_said(kind):
    rng = np.random.default_rng(2)
    T = rng.uniform(20, 60, 700)
    if kind == "nobody leaves":
        shop = simulate_leaving(rng, 700, r=0.8, alpha=4.0, s=1e-9, beta=1e9, T=T)
    else:
        shop = simulate_leaving(rng, 700, r=0.8, alpha=4.0, s=4e4, beta=1e6, T=T)
    model = ParetoNBDModel().fit(shop)
    notes = model.diagnostics_["notes"]
    assert any(note.startswith(("Flat ridge", "Boundary", "Ridge")) for note in notes)
    assert not any(np.isnan(error) for error in model.standard_errors_.values())
    expected = model.expected_purchases(shop, 10.0)
    assert (np.isfinite(expected) & (expected >= 0)).all()
    gone = 1.0 - model.probability_alive(shop).mean()
    assert_allclose(gone, 1.0 - shop["alive"].mean(), atol=0.05)


def test_nobody_repeating_is_refused():
    with pytest.raises(ConvergenceError, match="needs a repeat purchase; none of 2 has"):
        ParetoNBDModel().fit(customers([0, 0], 0, 9))


def test_a_fit_survives_json(cdnow):
    restored = ParetoNBDModel.from_dict(json.loads(json.dumps(cdnow.to_dict(), allow_nan=False)))
    assert restored.params_ == cdnow.params_
    assert restored.time_unit_ == "W"
    assert restored.diagnostics_ == cdnow.diagnostics_
    rfm = cdnow_rfm()
    assert_series_equal(restored.expected_purchases(rfm, 9.0), cdnow.expected_purchases(rfm, 9.0))
    with pytest.raises(ModelError, match="A stored ParetoNBDModel must say so"):
        ParetoNBDModel.from_dict({**cdnow.to_dict(), "model": "BetaGeoModel"})


def test_lifetimes_agrees_where_it_is_right():
    rfm = cdnow_rfm()
    x, t_x, T = (rfm[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes' own, on import
        fitter = interop.import_lifetimes().ParetoNBDFitter()
    fitter.params_ = pd.Series(CDNOW)
    alive = fitter.conditional_probability_alive(x, t_x, T)
    expected = fitter.conditional_expected_number_of_purchases_up_to_time(39.0, x, t_x, T)
    assert_allclose(pareto_nbd.probability_alive(x, t_x, T, **CDNOW), alive, rtol=1e-8)
    assert_allclose(pareto_nbd.expected_purchases(39.0, x, t_x, T, **CDNOW), expected, rtol=1e-8)
