"""Likelihoods of large shops, summed by compiled loops, against the same sums on arrays."""

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND
from numpy.testing import assert_allclose
from regular_shops import simulate_regular_shop

from crm_ml.clv import BetaGeoModel, GammaGammaModel, ModifiedBetaGeoModel
from crm_ml.clv.compiled.compiler import MANY_ROWS
from crm_ml.clv.likelihood.beta_geo_objective import objective
from crm_ml.clv.likelihood.patterns import Patterns, chosen_rows, compress, count_weights
from crm_ml.clv.spend import gamma_gamma

PLACES = [CDNOW, {"r": 40.0, "alpha": 1e-3, "a": 1e-3, "b": 80.0}, {"r": 0.01, "alpha": 1e5, "a": 1.0, "b": 1e-3}]
ODD = pd.DataFrame(  # the ends of what a history can be
    [(0, 0, 0), (0, 0, 1e6), (1, 1e-6, 40), (1, 40, 40), (10_000, 1, 40), (10_000, 40, 40), (5_000, 9, 1e6)],
    columns=["frequency", "recency", "T"],
    dtype=float,
)


@pytest.fixture(scope="module")
def shop():
    rng = np.random.default_rng(11)
    rfm = simulate_regular_shop(rng, MANY_ROWS + 1_000, **CDNOW, k=1, modified=False, T=rng.uniform(20, 40, 51_000))
    rfm = pd.concat([rfm, ODD], ignore_index=True)
    x = np.maximum(rfm["frequency"], 1.0)
    nu = rng.gamma(CDNOW_SPEND["q"], 1 / CDNOW_SPEND["gamma"], len(rfm))
    spend = np.where(rfm["frequency"] > 0, rng.gamma(CDNOW_SPEND["p"] * x) / nu / x, 0.0)
    return rfm.assign(monetary_value=spend, weight=rng.uniform(0.5, 2.0, len(rfm)))


def history(shop):
    return [shop[name].to_numpy() for name in ("frequency", "recency", "T", "weight")]


def assert_same_terms(found, expected):
    value, gradient, hessian = expected
    assert_allclose(found[0], value, rtol=1e-12)
    assert_allclose(found[1], gradient, rtol=1e-9, atol=1e-12 * abs(value))
    assert_allclose(found[2], hessian, rtol=1e-9, atol=1e-12 * abs(value))


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("params", PLACES)
def test_compiled_likelihood_is_that_of_arrays(shop, params, modified):
    theta = np.log(list(params.values()))
    found = objective(Patterns(*history(shop), many=True), modified=modified)(theta)
    assert_same_terms(found, objective(compress(*history(shop)), modified=modified)(theta))


@pytest.mark.parametrize(
    "params", [CDNOW_SPEND, {"p": 50.0, "q": 1.01, "gamma": 1e-3}, {"p": 0.1, "q": 30.0, "gamma": 1e4}]
)
def test_compiled_likelihood_of_spend_is_that_of_arrays(shop, params):
    used = shop[shop["monetary_value"] > 0]
    columns = [used[name].to_numpy() for name in ("frequency", "monetary_value", "weight")]
    theta = np.log(list(params.values()))
    found = gamma_gamma.objective(*columns, many=True)(theta)
    assert_same_terms(found, gamma_gamma.objective(*columns)(theta))


@pytest.mark.parametrize("model", [BetaGeoModel, ModifiedBetaGeoModel])
def test_a_large_shop_is_fitted_as_its_patterns_are(shop, model):
    x, t_x, T, weight = history(shop)
    whole = model().fit(shop, weight)
    patterns = compress(x, t_x, np.ceil(T), weight)  # fewer than the loops are compiled for
    assert len(patterns.x) < MANY_ROWS
    rows = pd.DataFrame({"frequency": x, "recency": t_x, "T": np.ceil(T)})
    merged = pd.DataFrame({"frequency": patterns.x, "recency": patterns.t_x, "T": patterns.T})
    few, many = model().fit(merged, patterns.weight), model().fit(rows, weight)
    assert_allclose(list(many.params_.values()), list(few.params_.values()), rtol=1e-7)
    assert_allclose(many.log_covariance_, few.log_covariance_, rtol=1e-5)
    assert_allclose(many.log_likelihood_, few.log_likelihood_, rtol=1e-12)
    assert whole.params_ != many.params_


def test_a_large_shops_spend_is_fitted_as_a_small_ones(shop):
    spenders = shop[shop["monetary_value"] > 0]
    assert len(spenders) < MANY_ROWS < len(shop)
    few = GammaGammaModel().fit(spenders, spenders["weight"])
    many = GammaGammaModel().fit(shop, shop["weight"])
    assert_allclose(list(many.params_.values()), list(few.params_.values()), rtol=1e-7)
    assert_allclose(many.log_likelihood_, few.log_likelihood_, rtol=1e-12)
    assert many.diagnostics_["frequency_spend_correlation"] == pytest.approx(
        few.diagnostics_["frequency_spend_correlation"], rel=1e-9
    )


@pytest.mark.parametrize("largest", [4_095.0, 4_096.0, 9_000.0])
def test_counts_are_weighed_the_same_however_large(largest):
    rng = np.random.default_rng(1)
    x, weight = np.floor(rng.exponential(3.0, 5_000)), rng.uniform(0.0, 2.0, 5_000)
    x[17] = largest
    for found, expected in zip(count_weights(x, weight, many=True), count_weights(x, weight, many=False), strict=True):
        assert_allclose(found, expected, rtol=1e-12)


def test_many_rows_are_chosen_as_few_are():
    rng = np.random.default_rng(2)
    columns, rows = rng.random((2, MANY_ROWS + 5)), rng.random(MANY_ROWS + 5) < 0.3
    for found, column in zip(chosen_rows(rows, *columns), columns, strict=True):
        assert np.array_equal(found, column[rows])
