"""Spend regression: known coefficients, Gamma-Gamma's own credibility, policy for returns; what Gamma-Gamma says."""

import json

import numpy as np
import pandas as pd
import pytest
from clv_shops import cdnow_rfm
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from crm_ml.clv import GammaGammaModel, SpendRegression
from crm_ml.clv.spend import gamma_gamma
from crm_ml.clv.spend.credibility import credibility, variance_components
from crm_ml.clv.spend.evidence import spend_notes
from crm_ml.errors import ConvergenceError, CrmError, ModelError, NotFittedError, SchemaError

P, Q = 4.0, 12.0
FREQUENCY = "spend:log(1 + frequency)"


def shop(n, *, seed=1, by_frequency=0.5, by_age=0.3):
    """Simulate purchases of customers whose level depends on frequency and age, with the next purchase to come."""
    rng = np.random.default_rng(seed)
    x, age = rng.geometric(0.3, n).astype(float) - 1.0, rng.normal(size=n)
    level = 20.0 * np.exp(by_frequency * np.log1p(x) + by_age * age) * (Q - 1) / rng.gamma(Q, 1.0, n)
    total = rng.gamma(P * np.maximum(x, 1.0)) / P * level
    mean = np.where(x > 0, total / np.maximum(x, 1.0), 0.0)
    later = rng.gamma(P, level / P)
    return pd.DataFrame({"frequency": x, "monetary_value": mean, "age": age, "later": later, "level": level})


@pytest.fixture(scope="module")
def rfm():
    return shop(20_000)


@pytest.fixture(scope="module")
def model(rfm):
    return SpendRegression(["age"]).fit(rfm)


def test_known_coefficients_and_variances_are_recovered(model):
    assert_allclose(model.params_[FREQUENCY], 0.5, atol=0.03)
    assert_allclose(model.params_["spend:age"], 0.3, atol=0.02)
    assert_allclose(model.params_["between"], 1 / (Q - 2), rtol=0.15)
    assert_allclose(model.params_["within"], (Q - 1) / ((Q - 2) * P), rtol=0.1)
    at_zero = np.log(model.params_["mean_spend"])
    for name, mean in model.covariate_means_.items():
        at_zero -= model.params_[name] * mean
    assert_allclose(at_zero, np.log(20.0), atol=0.03)


def test_forecasts_have_no_bias_where_independence_fails_and_gamma_gamma_s_have(rfm, model):
    ours = model.expected_spend(rfm)
    theirs = GammaGammaModel().fit(rfm).expected_spend(rfm)
    for rows in rfm.groupby(pd.cut(rfm["frequency"], [-1, 0, 1, 3, 99])).groups.values():
        off = rfm.loc[rows, "later"] - ours[rows]
        assert abs(off.mean()) < 4 * off.std() / np.sqrt(len(rows))
    new = rfm.index[rfm["frequency"] == 0]
    assert (theirs[new] - rfm.loc[new, "later"]).mean() > 0.4 * rfm.loc[new, "later"].mean()
    assert ((ours - rfm["level"]) ** 2).mean() < 0.7 * ((theirs - rfm["level"]) ** 2).mean()


def test_the_regression_is_that_of_another_optimiser(rfm):
    few, l2 = rfm.head(400), 50.0
    used = few[few["frequency"] > 0]
    x, m = used["frequency"].to_numpy(), used["monetary_value"].to_numpy()
    z = np.column_stack([used["age"], np.log1p(x)])
    mean = np.average(z, axis=0, weights=x)
    scale = np.sqrt(np.average((z - mean) ** 2, axis=0, weights=x))

    def half_deviance(theta):
        log_mu = theta[0] + (z - mean) / scale @ theta[1:]
        return x @ (m * np.exp(-log_mu) - 1 - np.log(m) + log_mu) + 0.5 * l2 * theta[1:] @ theta[1:]

    found = minimize(half_deviance, [3.0, 0, 0], method="BFGS", options={"gtol": 1e-5}).x
    model = SpendRegression(["age"], l2=l2).fit(few)
    assert_allclose([model.params_["spend:age"], model.params_[FREQUENCY]], found[1:] / scale, rtol=1e-5)
    assert_allclose(model.params_["mean_spend"], np.exp(found[0]), rtol=1e-6)
    free = SpendRegression(["age"]).fit(few)
    assert 0 < model.params_[FREQUENCY] < free.params_[FREQUENCY]
    flat = SpendRegression(["age"], l2=1e12).fit(few)
    assert_allclose(flat.params_["mean_spend"], np.average(m, weights=x), rtol=1e-6)
    assert_allclose(flat.population_mean_, np.average(m, weights=x), rtol=1e-12)
    assert abs(flat.params_[FREQUENCY]) < 1e-6


@pytest.mark.parametrize(("p", "q", "gamma"), [(6.25, 3.74, 15.44), (0.5, 2.1, 9.0)])
def test_credibility_is_gamma_gamma_s_own_where_it_holds(p, q, gamma):
    x, m = np.array([1.0, 3.0, 40.0]), np.array([9.0, 70.0, 25.0])
    mean = gamma_gamma.population_mean(p=p, q=q, gamma=gamma)
    own = credibility(x, between=1 / (q - 2), within=(q - 1) / ((q - 2) * p))
    assert_allclose(own * m + (1 - own) * mean, gamma_gamma.expected_spend(x, m, p=p, q=q, gamma=gamma), rtol=1e-12)


def test_variances_at_their_edges():
    x = np.array([1.0, 1.0, 4.0, 4.0])
    scatter = variance_components(x, 1 + np.array([0.8, -0.8, 0.4, -0.4]), np.ones(4))  # falls as 1 / x
    assert_allclose([scatter.between, scatter.within], [0.0, 0.64], atol=1e-12)
    assert "own spend is not used" in scatter.notes[0]
    level = variance_components(x, 1 + np.array([0.5, -0.5, 0.5, -0.5]), np.ones(4))  # does not fall at all
    assert_allclose([level.between, level.within], [0.25, 0.0], atol=1e-12)
    assert level.notes == ()
    assert credibility(x, between=level.between, within=level.within).tolist() == [1.0] * 4
    equal = variance_components(np.full(2, 3.0), np.array([0.5, 1.5]), np.array([1.0, 1.0]))
    assert_allclose([equal.between, equal.within], [0.0, 0.75], atol=1e-12)
    assert "Everyone has 3 repeat purchases" in equal.notes[0]
    assert credibility(0.0, between=0.0, within=0.0) == 0.0


def test_weights_equal_repetition_and_currency_scales_money_only():
    rfm = shop(600)
    weights = np.random.default_rng(3).integers(0, 4, 600)
    weighted = SpendRegression(["age"]).fit(rfm, weights)
    repeated = SpendRegression(["age"]).fit(rfm.loc[rfm.index.repeat(weights)].sample(frac=1.0, random_state=1))
    assert weighted.params_ == pytest.approx(repeated.params_, rel=1e-7)
    assert weighted.diagnostics_["customers"] == repeated.diagnostics_["customers"]
    cents = rfm.assign(monetary_value=100 * rfm["monetary_value"])
    in_cents = SpendRegression(["age"]).fit(cents, weights)
    expected = {**weighted.params_, "mean_spend": 100 * weighted.params_["mean_spend"]}
    assert in_cents.params_ == pytest.approx(expected, rel=1e-7)
    moved = SpendRegression(["age"]).fit(rfm.assign(age=40 + 10 * rfm["age"]), weights)
    assert moved.params_ == pytest.approx(
        {**weighted.params_, "spend:age": weighted.params_["spend:age"] / 10}, rel=1e-6
    )


def test_returns_and_customers_without_repeats_are_left_out_counted_and_given_the_regression(rfm, model):
    odd = pd.DataFrame({"frequency": [0, 2, 2], "monetary_value": [0.0, -5.0, 0.0], "age": 0.5}, index=list("xyz"))
    spend = model.expected_spend(odd)
    at = {"spend:age": 0.5, FREQUENCY: np.log1p([0, 2, 2])}
    effect = sum(model.params_[name] * (value - model.covariate_means_[name]) for name, value in at.items())
    assert_allclose(spend, model.params_["mean_spend"] * np.exp(effect), rtol=1e-12)
    assert spend.index.tolist() == list("xyz")
    more = SpendRegression(["age"]).fit(pd.concat([rfm, odd]))
    assert more.params_ == pytest.approx(model.params_, rel=1e-9)
    assert more.diagnostics_["customers_with_nonpositive_spend"] == 2
    assert more.diagnostics_["customers_without_repeat_spend"] == (rfm["frequency"] == 0).sum() + 1
    said = "2 customers bought again at a mean spend of 0 or less (returns)"
    assert any(note.startswith(said) for note in more.diagnostics_["notes"])
    assert any(note.startswith(said) for note in GammaGammaModel().fit(pd.concat([rfm, odd])).diagnostics_["notes"])


def test_gamma_gamma_names_the_alternative_where_spend_depends_on_frequency(rfm, model):
    fitted = GammaGammaModel().fit(rfm)
    assert fitted.diagnostics_["frequency_spend_correlation"] > 0.3
    (note,) = fitted.diagnostics_["notes"]
    assert "Spend depends on frequency" in note
    assert "SpendRegression" in note
    assert model.diagnostics_["notes"] == []
    assert model.diagnostics_["frequency_spend_correlation"] == fitted.diagnostics_["frequency_spend_correlation"]
    assert GammaGammaModel().fit(cdnow_rfm()).diagnostics_["notes"] == []
    assert GammaGammaModel().fit(shop(3_000, by_frequency=0.0)).diagnostics_["notes"] == []


@pytest.mark.parametrize(
    ("correlation", "customers", "said"),
    [
        (0.2, 1e4, True),
        (-0.2, 1e4, True),
        (0.2 - 1e-9, 1e4, False),
        (0.258, 101.0, True),
        (0.258 - 1e-9, 101.0, False),
        (None, 1e4, False),
        (1.0, 1.0, False),
    ],
)
def test_a_correlation_must_be_large_and_no_accident(correlation, customers, said):
    evidence = {
        "customers": customers,
        "customers_with_nonpositive_spend": 0.0,
        "frequency_spend_correlation": correlation,
    }
    assert bool(spend_notes(evidence, remedy="look.")) == said
    assert spend_notes(evidence, remedy=None) == []


def test_a_fit_survives_json(rfm, model):
    restored = SpendRegression.from_dict(json.loads(json.dumps(model.to_dict())))
    assert restored.params_ == model.params_
    assert restored.expected_spend(rfm.head(9)).equals(model.expected_spend(rfm.head(9)))
    assert restored.diagnostics_ == model.diagnostics_
    with pytest.raises(ModelError, match="must say so; this one says 'GammaGammaModel'"):
        SpendRegression.from_dict({**model.to_dict(), "model": "GammaGammaModel"})
    for part in ("covariates", "params", "covariate_scales", "population_mean"):
        damaged = {name: value for name, value in model.to_dict().items() if name != part}
        with pytest.raises(ModelError, match=f"must hold its estimates; reading them: KeyError.*{part}"):
            SpendRegression.from_dict(damaged)


def test_what_cannot_be_fitted_is_refused(rfm, model):
    few = rfm.head(200)
    with pytest.raises(CrmError, match="needs a covariate; it has none"):
        SpendRegression(use_frequency=False).fit(few)
    with pytest.raises(CrmError, match="`l2` must be 0 or more"):
        SpendRegression(l2=-1.0).fit(few)
    with pytest.raises(CrmError, match="`covariates` must be a list of column names"):
        SpendRegression("age").fit(few)
    with pytest.raises(SchemaError, match=r"covariate `log\(1 \+ frequency\)` must vary"):
        SpendRegression(["age"]).fit(few.assign(frequency=2))
    with pytest.raises(SchemaError, match="need a column `tenure`"):
        SpendRegression(["tenure"]).fit(few)
    with pytest.raises(SchemaError, match="`age` must be finite"):
        model.expected_spend(few.assign(age=np.nan))
    with pytest.raises(ConvergenceError, match="repeat purchase of positive mean spend; none of 200 has"):
        SpendRegression(["age"]).fit(few.assign(monetary_value=-1.0))
    with pytest.raises(ConvergenceError, match="Leave out covariates that others determine"):
        SpendRegression(["age", "twice"]).fit(few.assign(twice=2 * few["age"]))
    with pytest.raises(NotFittedError, match="SpendRegression must be fitted"):
        SpendRegression().expected_spend(few)
    equal = SpendRegression(["age"], use_frequency=False).fit(few.assign(frequency=2))
    assert "Everyone has 2 repeat purchases" in equal.diagnostics_["notes"][-1]
