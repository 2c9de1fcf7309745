"""Gamma-Gamma: published fit, finite differences, recovery, refusals."""

import json

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW_SPEND, cdnow_rfm
from numpy.testing import assert_allclose

from crm_ml.clv import GammaGammaModel
from crm_ml.clv.spend import gamma_gamma
from crm_ml.errors import ConvergenceError, ModelError, NotFittedError, SchemaError

PAPER = {"p": 6.25, "q": 3.74, "gamma": 15.44}


@pytest.fixture(scope="module")
def cdnow():
    return GammaGammaModel().fit(cdnow_rfm())


def spenders(rng, n, *, p, q, gamma):
    x = rng.integers(1, 8, n).astype(float)
    mean = rng.gamma(p * x) / rng.gamma(q, 1 / gamma, n) / x
    return pd.DataFrame({"frequency": x, "monetary_value": mean})


def test_cdnow_fit_is_the_published_one(cdnow):
    assert_allclose([cdnow.params_[n] for n in CDNOW_SPEND], list(CDNOW_SPEND.values()), atol=1e-3)
    assert_allclose(cdnow.log_likelihood_, -4055.9177, atol=1e-4)
    assert cdnow.diagnostics_["customers"] == 946
    assert cdnow.diagnostics_["customers_without_repeat_spend"] == 1411
    assert cdnow.diagnostics_["gradient_norm"] < 1e-8
    used = cdnow_rfm().query("frequency > 0")
    correlation = used["frequency"].corr(used["monetary_value"])
    assert_allclose(cdnow.diagnostics_["frequency_spend_correlation"], correlation, rtol=1e-10)


def test_cdnow_expected_spend_of_the_first_ten_customers():
    first = cdnow_rfm().loc[1:10]
    expected = gamma_gamma.expected_spend(first["frequency"], first["monetary_value"], **PAPER)
    published = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    assert_allclose(expected, published, atol=0.1)


@pytest.mark.parametrize("params", [(6.25, 3.74, 15.44), (0.05, 1.01, 1e3), (1e4, 40.0, 0.2), (2.0, 1e5, 1e6)])
@pytest.mark.parametrize(("x", "m"), [(1, 0.01), (3, 35.0), (5000, 1e6)])
def test_likelihood_agrees_with_50_digits(params, x, m):
    with mp.workdps(50):
        p, q, gamma = map(mp.mpf, params)
        truth = (
            mp.loggamma(p * x + q)
            - mp.loggamma(p * x)
            - mp.loggamma(q)
            + q * mp.log(gamma)
            + (p * x - 1) * mp.log(m)
            + p * x * mp.log(x)
            - (p * x + q) * mp.log(gamma + mp.mpf(m) * x)
        )
        largest = max(abs(mp.loggamma(p * x)), abs(mp.loggamma(q)), 1)
    named = dict(zip(gamma_gamma.NAMES, params, strict=True))
    got = gamma_gamma.log_likelihood(x, m, **named)
    assert_allclose(got, float(truth), rtol=1e-12, atol=1e-15 * float(largest))


def test_the_density_integrates_to_one_and_has_the_stated_mean():
    with mp.workdps(20):

        def density(v):
            return mp.exp(float(gamma_gamma.log_likelihood(2, float(mp.exp(v)), **PAPER)) + v)

        grid = mp.linspace(-12, 16, 20)
        total, mean = mp.quad(density, grid), mp.quad(lambda v: density(v) * mp.exp(v), grid)
    assert_allclose(float(total), 1.0, rtol=1e-7)
    assert_allclose(float(mean), gamma_gamma.population_mean(**PAPER), rtol=1e-6)


@pytest.mark.parametrize("theta", [(1.8, 1.3, 0.5), (-2.0, 0.1, 4.0), (6.0, 5.0, -1.0)])
def test_gradient_and_hessian_agree_with_finite_differences(theta):
    rng = np.random.default_rng(1)
    frame = spenders(rng, 200, **PAPER)
    x, m = frame["frequency"].to_numpy(), frame["monetary_value"].to_numpy()
    weight = rng.uniform(0.5, 2.0, 200)
    evaluate = gamma_gamma.objective(x, m, weight)
    theta, step = np.array(theta), 1e-5
    value, gradient, hessian = evaluate(theta)
    named = dict(zip(gamma_gamma.NAMES, np.exp(theta), strict=True))
    assert_allclose(value, weight @ gamma_gamma.log_likelihood(x, m, **named), rtol=1e-11)
    up, down = ([evaluate(theta + sign * step * unit) for unit in np.eye(3)] for sign in (1, -1))
    assert_allclose(
        gradient, [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)], atol=1e-6 * abs(value)
    )
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


def test_recovers_the_parameters_of_a_simulated_shop():
    model = GammaGammaModel().fit(spenders(np.random.default_rng(6), 20_000, **PAPER))
    for name, value in PAPER.items():
        assert abs(model.params_[name] - value) < 3.5 * model.standard_errors_[name]
        assert model.standard_errors_[name] < 0.2 * value
    assert abs(model.diagnostics_["frequency_spend_correlation"]) < 0.05


def test_another_currency_scales_gamma_only(cdnow):
    rfm = cdnow_rfm()
    cents = GammaGammaModel().fit(rfm.assign(monetary_value=rfm["monetary_value"] * 100))
    assert_allclose([cents.params_[n] for n in "pq"], [cdnow.params_[n] for n in "pq"], rtol=1e-9)
    assert_allclose(cents.params_["gamma"], 100 * cdnow.params_["gamma"], rtol=1e-9)
    assert_allclose(cents.log_likelihood_, cdnow.log_likelihood_ - 946 * np.log(100), rtol=1e-12)


def test_weights_equal_repetition(cdnow):
    rfm = cdnow_rfm()
    twice = GammaGammaModel().fit(rfm, np.full(len(rfm), 2.0))
    repeated = GammaGammaModel().fit(pd.concat([rfm, rfm]))
    assert_allclose(list(twice.params_.values()), list(repeated.params_.values()), rtol=1e-9)
    assert_allclose(list(twice.params_.values()), list(cdnow.params_.values()), rtol=1e-7)
    assert_allclose(twice.standard_errors_["q"], cdnow.standard_errors_["q"] / np.sqrt(2), rtol=1e-6)


def test_customers_without_positive_repeat_spend_get_the_population_mean(cdnow):
    odd = pd.DataFrame({"frequency": [0, 2, 3], "monetary_value": [0.0, -5.0, 0.0]}, index=list("xyz"))
    spend = cdnow.expected_spend(odd)
    assert spend.index.tolist() == list("xyz")
    assert spend.tolist() == [cdnow.population_mean_] * 3
    model = GammaGammaModel().fit(pd.concat([cdnow_rfm(), odd]))
    assert model.params_ == pytest.approx(cdnow.params_, rel=1e-9)
    assert model.diagnostics_["customers_with_nonpositive_spend"] == 2
    assert model.diagnostics_["customers_without_repeat_spend"] == 1412


def test_spend_without_a_finite_mean_is_refused():
    wild = spenders(np.random.default_rng(1), 2000, p=3.0, q=0.7, gamma=6.0)
    with pytest.raises(ConvergenceError, match=r"finite only for q > 1; the fit has q = 0\.6"):
        GammaGammaModel().fit(wild)
    assert gamma_gamma.population_mean(p=3.0, q=1.0, gamma=6.0) == np.inf
    barely = gamma_gamma.expected_spend([0, 1], [0, 9.0], p=3.0, q=1.0 + 1e-9, gamma=6.0)
    assert (barely > 0).all()


def test_equal_spend_is_a_boundary_that_is_said():
    frame = pd.DataFrame({"frequency": np.arange(1, 60) % 6 + 1, "monetary_value": 25.0})
    model = GammaGammaModel().fit(frame)
    assert not model.diagnostics_["converged"]
    assert model.diagnostics_["notes"][0].startswith("Boundary")
    assert model.diagnostics_["frequency_spend_correlation"] is None
    assert_allclose(model.expected_spend(frame), 25.0, rtol=1e-3)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ConvergenceError, match="repeat purchase of positive mean spend; none of 2 has"):
        GammaGammaModel().fit(pd.DataFrame({"frequency": [0, 1], "monetary_value": [0.0, -1.0]}))


def test_wrong_frames_are_refused(cdnow):
    with pytest.raises(SchemaError, match="need a column `monetary_value`"):
        cdnow.expected_spend(pd.DataFrame({"frequency": [1]}))
    with pytest.raises(SchemaError, match="`monetary_value` must be finite"):
        cdnow.expected_spend(pd.DataFrame({"frequency": [1], "monetary_value": [np.nan]}))
    with pytest.raises(NotFittedError, match="GammaGammaModel must be fitted"):
        GammaGammaModel().expected_spend(cdnow_rfm())


def test_a_fit_survives_json(cdnow):
    restored = GammaGammaModel.from_dict(json.loads(json.dumps(cdnow.to_dict())))
    assert restored.params_ == cdnow.params_
    assert restored.population_mean_ == cdnow.population_mean_
    with pytest.raises(ModelError, match="must say so; this one says 'BetaGeoModel'"):
        GammaGammaModel.from_dict({**cdnow.to_dict(), "model": "BetaGeoModel"})
