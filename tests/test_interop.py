"""Fits go to lifetimes and come back, predict the same there, and are stored without any customer."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm, simulate_shop

from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    CLVModel,
    GammaGammaModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
    from_lifetimes,
    to_lifetimes,
)
from crm_ml.clv.interop import import_lifetimes
from crm_ml.errors import ModelError, NotFittedError

DONORS = pd.DataFrame({"frequency": [0, 1, 1, 2, 4, 6], "recency": [0, 1, 4, 4, 5, 6], "n_opportunities": 6})
DONOR_WEIGHTS = [350, 110, 20, 30, 40, 120]


def fitted_there(name, *columns, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflow and of deprecated calls within lifetimes
        return getattr(import_lifetimes(), name)().fit(*columns, **settings)


def predicted_there(fitter, rfm, horizon):
    """P(alive) now and purchases within the horizon, as lifetimes has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "n_opportunities" in rfm:
            columns = rfm["frequency"], rfm["recency"], rfm["n_opportunities"]
            alive = fitter.conditional_probability_alive(1, *columns)
        else:
            columns = rfm["frequency"], rfm["recency"], rfm["T"]
            alive = fitter.conditional_probability_alive(*columns)
        return np.asarray(alive), np.asarray(
            fitter.conditional_expected_number_of_purchases_up_to_time(horizon, *columns)
        )


@pytest.fixture(scope="module")
def cdnow():
    return cdnow_rfm()


@pytest.fixture(scope="module")
def ours(cdnow):
    """Every model that both libraries have, fitted by us, with customers to predict for."""
    weekly = {kind: kind(time_unit="W").fit(cdnow) for kind in (BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel)}
    donors = BetaGeoBetaBinomModel().fit(DONORS, DONOR_WEIGHTS)
    return [*((model, cdnow.head(200)) for model in weekly.values()), (donors, DONORS)]


def test_our_fits_predict_the_same_in_lifetimes(ours):
    for model, rfm in ours:
        alive, purchases = predicted_there(to_lifetimes(model), rfm, 20)
        # lifetimes adds 1e-15 inside a logarithm of BG/BB, and its Pareto/NBD subtracts hypergeometric functions
        np.testing.assert_allclose(alive, model.probability_alive(rfm), rtol=1e-9)
        np.testing.assert_allclose(purchases, model.expected_purchases(rfm, 20), rtol=1e-9)


def test_our_spend_predicts_the_same_in_lifetimes(cdnow):
    model, repeaters = GammaGammaModel().fit(cdnow), cdnow[cdnow["frequency"] > 0]
    theirs = to_lifetimes(model).conditional_expected_average_profit(
        repeaters["frequency"], repeaters["monetary_value"]
    )
    np.testing.assert_allclose(theirs, model.expected_spend(repeaters), rtol=1e-12)


def test_a_fit_comes_back_as_it_went(ours, cdnow):
    for model in [*(model for model, _ in ours), GammaGammaModel().fit(cdnow)]:
        back = from_lifetimes(to_lifetimes(model), time_unit=getattr(model, "time_unit", "D"))
        assert type(back) is type(model)
        assert back.params_ == model.params_
        assert getattr(back, "time_unit_", None) == getattr(model, "time_unit_", None)
        if not isinstance(model, ParetoNBDModel):  # of which lifetimes keeps no covariance
            np.testing.assert_allclose(back.log_covariance_, model.log_covariance_, rtol=1e-12)
            assert back.standard_errors_ == pytest.approx(model.standard_errors_, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "kind"), [("BetaGeoFitter", BetaGeoModel), ("ModifiedBetaGeoFitter", ModifiedBetaGeoModel)]
)
def test_their_fits_predict_the_same_here(name, kind, cdnow):
    theirs = fitted_there(name, cdnow["frequency"], cdnow["recency"], cdnow["T"])
    model = from_lifetimes(theirs, time_unit="W")
    assert type(model) is kind
    alive, purchases = predicted_there(theirs, cdnow, 39.0)
    np.testing.assert_allclose(model.probability_alive(cdnow), alive, rtol=1e-9)
    np.testing.assert_allclose(model.expected_purchases(cdnow, 39.0), purchases, rtol=1e-9)
    assert model.diagnostics_["customers"] == len(cdnow)
    assert model.log_likelihood_ == pytest.approx(kind(time_unit="W").fit(cdnow).log_likelihood_, abs=1e-3)
    again = kind(time_unit="W").fit(cdnow)  # their optimiser stops near the maximum, so the curvature is near, too
    np.testing.assert_allclose(model.log_covariance_, again.log_covariance_, rtol=0.02)


def test_their_pareto_nbd_comes_without_standard_errors():
    rng = np.random.default_rng(3)
    shop = simulate_shop(rng, 300, **CDNOW, T=rng.uniform(10, 40, 300))
    theirs = fitted_there("ParetoNBDFitter", shop["frequency"], shop["recency"], shop["T"], maxiter=4000)
    model = from_lifetimes(theirs, time_unit="W")
    alive, purchases = predicted_there(theirs, shop, 20.0)
    np.testing.assert_allclose(model.probability_alive(shop), alive, rtol=1e-9)
    np.testing.assert_allclose(model.expected_purchases(shop, 20.0), purchases, rtol=1e-9)
    assert set(model.standard_errors_.values()) == {np.inf}
    assert any("standard errors" in note for note in model.diagnostics_["notes"])


def test_their_donors_and_spend_predict_the_same_here(cdnow):
    theirs = fitted_there("BetaGeoBetaBinomFitter", *(DONORS[name] for name in DONORS), weights=np.array(DONOR_WEIGHTS))
    model = from_lifetimes(theirs)
    alive, purchases = predicted_there(theirs, DONORS, 10)
    np.testing.assert_allclose(model.probability_alive(DONORS), alive, rtol=1e-9)
    np.testing.assert_allclose(model.expected_purchases(DONORS, 10), purchases, rtol=1e-9)
    repeaters = cdnow[cdnow["monetary_value"] > 0]
    theirs = fitted_there("GammaGammaFitter", repeaters["frequency"], repeaters["monetary_value"])
    spend = theirs.conditional_expected_average_profit(repeaters["frequency"], repeaters["monetary_value"])
    taken = from_lifetimes(theirs)
    np.testing.assert_allclose(taken.expected_spend(repeaters), spend, rtol=1e-12)
    assert taken.params_ == pytest.approx(CDNOW_SPEND, rel=1e-3)
    assert taken.log_likelihood_ == pytest.approx(-4055.9177, abs=1e-3)  # Fader and Hardie (2013)


def test_what_a_fit_lacks_is_said():
    fitter = import_lifetimes().BetaGeoFitter(penalizer_coef=0.1)
    with pytest.raises(NotFittedError, match="BetaGeoFitter must be fitted"):
        from_lifetimes(fitter)
    fitter.params_ = pd.Series(CDNOW)
    fitter.variance_matrix_ = pd.DataFrame(np.full((4, 4), np.nan))
    model = from_lifetimes(fitter)
    assert np.isnan(model.log_likelihood_)
    assert not model.log_covariance_.any()
    said = " ".join(model.diagnostics_["notes"])
    assert "less a penalty" in said
    assert "without standard errors" in said
    restored = BetaGeoModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert np.isnan(restored.log_likelihood_)
    assert restored.standard_errors_ == model.standard_errors_


def test_what_lifetimes_lacks_is_refused():
    with pytest.raises(ModelError, match="got BetaGeoCNBDModel"):
        to_lifetimes(BetaGeoCNBDModel(k=2))
    with pytest.raises(ModelError, match="got dict"):
        from_lifetimes({})
    with pytest.raises(NotFittedError, match="must be fitted"):
        to_lifetimes(BetaGeoModel())


def numbers_in(stored):
    if isinstance(stored, dict):
        return {number for value in stored.values() for number in numbers_in(value)}
    if isinstance(stored, list):
        return {number for value in stored for number in numbers_in(value)}
    return {stored} if isinstance(stored, float) else set()


def test_no_customer_is_in_a_stored_model(ours):
    rng = np.random.default_rng(7)
    shop = simulate_shop(rng, 400, **CDNOW, T=rng.uniform(10, 40, 400), spend=CDNOW_SPEND)
    shop.index = pd.Index([f"somebody-{row}" for row in range(len(shop))])
    models = [CLVModel(time_unit="W").fit_rfm(shop), BetaGeoCNBDModel(k=2, time_unit="W").fit(shop)]
    models += [kind(time_unit="W").fit(shop) for kind in (ModifiedBetaGeoModel, ParetoNBDModel)]
    theirs = set(shop[["recency", "T", "monetary_value"]].to_numpy().ravel()) - {0.0}
    lengths = {}
    for model in [*models, *(model for model, _ in ours)]:
        text = json.dumps(model.to_dict(), allow_nan=False)
        assert "somebody" not in text
        assert numbers_in(json.loads(text)) & theirs == set()
        assert type(model).from_dict(json.loads(text)).params_ == model.params_
        lengths[type(model).__name__] = len(text)
    assert max(lengths.values()) < 4_000, lengths  # 400 customers would take more
