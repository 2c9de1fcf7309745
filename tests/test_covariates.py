"""Covariates on every purchase process: derivatives, known coefficients, identities, plain models as limits."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from clv_shops import simulate_shop
from numpy.testing import assert_allclose
from regular_shops import simulate_regular_shop
from scipy.optimize import minimize
from test_bg_bb import simulate_opportunities
from test_pareto_nbd import simulate_leaving

from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.covariates import CovariateModel, derivatives
from crm_ml.clv.covariates.objective import Designs, objective
from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.processes import bg_bb, bg_nbd, pareto_nbd
from crm_ml.errors import ConvergenceError, CrmError, ModelError, NotFittedError, SchemaError

GAMMA = {"r": 1.2, "alpha": 6.0}
BETA = {"a": 0.8, "b": 3.0}
REGULAR = {**GAMMA, **BETA, "T": 30.0}
# process, simulator with its settings, parameters moved by covariates with the sign that makes more the stronger
SHOPS = {
    "BG/NBD": (BetaGeoModel(), partial(simulate_shop, **REGULAR), ("alpha", -1), ("a", 1)),
    "MBG/NBD": (
        ModifiedBetaGeoModel(),
        partial(simulate_regular_shop, **REGULAR, k=1, modified=True),
        ("alpha", -1),
        ("a", 1),
    ),
    "BG/CNBD-3": (
        BetaGeoCNBDModel(k=3),
        partial(simulate_regular_shop, **REGULAR, k=3, modified=False),
        ("alpha", -1),
        ("a", 1),
    ),
    "MBG/CNBD-2": (
        ModifiedBetaGeoCNBDModel(k=2),
        partial(simulate_regular_shop, **REGULAR, k=2, modified=True),
        ("alpha", -1),
        ("a", 1),
    ),
    "Pareto/NBD": (
        ParetoNBDModel(),
        partial(simulate_leaving, **GAMMA, s=1.5, beta=40.0, T=30.0),
        ("alpha", -1),
        ("beta", -1),
    ),
    "BG/BB": (
        BetaGeoBetaBinomModel(),
        partial(simulate_opportunities, n=12, alpha=1.2, beta=1.5, gamma=0.7, delta=4.0),
        ("alpha", 1),
        ("gamma", 1),
    ),
}
KNOWN = {"purchase:web": 0.6, "purchase:age": -0.3, "dropout:web": 0.5, "dropout:age": 0.4}
COVARIATES = {"purchase": ["web", "age"], "dropout": ["web", "age"]}


def shop(name, n, *, seed=1, **settings):
    """Simulate customers whose own parameters follow the known coefficients."""
    rng = np.random.default_rng(seed)
    _, simulate, (bought, bought_sign), (left, left_sign) = SHOPS[name]
    covariates = pd.DataFrame({"web": rng.integers(0, 2, n), "age": rng.normal(0.0, 1.0, n)})
    effects = {
        role: covariates.to_numpy() @ [KNOWN[f"{role}:web"], KNOWN[f"{role}:age"]] for role in ("purchase", "dropout")
    }
    moved = {
        bought: simulate.keywords[bought] * np.exp(bought_sign * effects["purchase"]),
        left: simulate.keywords[left] * np.exp(left_sign * effects["dropout"]),
    }
    given = {**{k: v for k, v in simulate.keywords.items() if k not in moved}, **moved, **settings}
    return pd.concat([simulate.func(rng, n, **given), covariates], axis=1)


@pytest.fixture(scope="module", params=SHOPS)
def fitted(request):
    """Return the name, a shop with a future, and the model that generated it, fitted."""
    rfm = shop(request.param, 2_000, horizon=10)
    return request.param, rfm, CovariateModel(SHOPS[request.param][0], **COVARIATES).fit(rfm)


def rows_of(kind, rng, n):
    """Awkward histories, each with parameters of its own, and both functions that take them."""
    x = np.where(rng.random(n) < 0.3, 0, rng.integers(0, 40, n)).astype(float)
    if kind == "bg_bb":
        total = x + rng.integers(0, 30, n)
        t_x = np.where(x > 0, np.minimum(x + rng.integers(0, 20, n), total), 0.0)
    else:
        total = rng.uniform(1e-3, 80.0, n)
        t_x = np.where(x > 0, total * rng.choice([1e-4, 0.5, 0.9, 1.0], n), 0.0)
    names = {"bg_bb": bg_bb, "pareto": pareto_nbd}.get(str(kind), bg_nbd).NAMES
    own = dict(zip(names, np.exp(rng.uniform(-1.5, 2.5, (4, n))), strict=True))
    if kind == "bg_bb":
        return (x, t_x, total), own, derivatives.beta_geo_beta_binom, bg_bb
    if kind == "pareto":
        return (x, t_x, total), own, derivatives.pareto, pareto_nbd
    return (x, t_x, total), own, partial(derivatives.beta_geo, **kind), bg_nbd


KINDS = ["pareto", "bg_bb", *({"k": k, "modified": m} for k, m in ((1, False), (1, True), (2, True), (4, False)))]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_derivatives_of_single_customers_agree_with_finite_differences(kind):
    history, own, function, mathematics = rows_of(kind, np.random.default_rng(3), 300)
    settings = kind if isinstance(kind, dict) else {}
    rows, step = function(*history, **own), 1e-5
    assert_allclose(rows.value, mathematics.log_likelihood(*history, **own, **settings), rtol=1e-13)
    for j, name in enumerate(own):
        up, down = (function(*history, **{**own, name: own[name] * np.exp(sign * step)}) for sign in (1, -1))
        size = 1.0 + np.abs(rows.value)
        assert_allclose(rows.slopes[j] / size, (up.value - down.value) / (2 * step) / size, atol=1e-8)
        size = 1.0 + np.abs(rows.slopes).max(axis=0)
        assert_allclose(rows.bends[:, j] / size, (up.slopes - down.slopes) / (2 * step) / size, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_equal_customers_have_the_derivatives_of_the_model_without_covariates(kind):
    rng = np.random.default_rng(4)
    history, own, function, mathematics = rows_of(kind, rng, 200)
    common = {name: np.full(200, value[0]) for name, value in own.items()}
    weight = rng.uniform(0.5, 2.0, 200)
    rows = function(*history, **common)
    settings = kind if isinstance(kind, dict) else {}
    plain = mathematics.objective(Patterns(*history, weight=weight), **settings)
    value, gradient, hessian = plain(np.log([value[0] for value in common.values()]))
    assert_allclose(weight @ rows.value, value, rtol=1e-12)
    assert_allclose(rows.slopes @ weight, gradient, rtol=1e-9, atol=1e-10 * np.abs(gradient).max())
    assert_allclose(rows.bends @ weight, hessian, rtol=1e-9, atol=1e-10 * np.abs(hessian).max())


def test_gradient_and_hessian_by_the_coefficients_agree_with_finite_differences():
    rng = np.random.default_rng(5)
    history, _, function, _ = rows_of({"k": 2, "modified": True}, rng, 300)
    patterns = Patterns(*history, weight=rng.uniform(0.5, 2.0, 300))
    blocks = [(1, -1.0, rng.normal(size=(300, 2))), (2, 1.0, rng.normal(size=(300, 3)))]
    f = objective(patterns, Designs.of(blocks, 300), function, bg_nbd.NAMES, l2=7.0)
    theta, step = rng.normal(0.0, 0.5, 9), 1e-5
    value, gradient, hessian = f(theta)
    up, down = ([f(theta + sign * step * unit) for unit in np.eye(9)] for sign in (1, -1))
    differences = [(u[0] - d[0]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(gradient, differences, atol=1e-6 * abs(value))
    by_gradient = [(u[1] - d[1]) / (2 * step) for u, d in zip(up, down, strict=True)]
    assert_allclose(hessian, by_gradient, atol=1e-7 * np.abs(hessian).max())


def test_known_coefficients_are_recovered(fitted):
    _, _, model = fitted
    for name, value in KNOWN.items():
        assert abs(model.params_[name] - value) < 3.5 * model.standard_errors_[name]
        assert model.standard_errors_[name] < 0.2
    assert model.diagnostics_["converged"]
    assert model.diagnostics_["gradient_norm"] < 1e-8
    assert model.log_likelihood_ > model.diagnostics_["log_likelihood_without_covariates"] + 50


def own_parameters(name, rfm, coefficients, base, *, centre):
    """Each customer's parameters written out, with the given ones at covariates of ``centre``."""
    effects = {
        role: (rfm[["web", "age"]] - centre) @ [coefficients[f"{role}:web"], coefficients[f"{role}:age"]]
        for role in ("purchase", "dropout")
    }
    own = {parameter: np.full(len(rfm), base[parameter]) for parameter in base}
    for role, (moved, sign) in zip(("purchase", "dropout"), SHOPS[name][2:], strict=True):
        own[moved] = own[moved] * np.exp(sign * effects[role].to_numpy())
    return own


def test_what_follows_is_predicted_for_each_group(fitted):
    name, rfm, model = fitted
    true = {parameter: np.array([SHOPS[name][1].keywords[parameter]]) for parameter in model.process_.params_}
    average = pd.DataFrame({"web": [rfm["web"].mean()], "age": rfm["age"].mean()})
    at_average = own_parameters(name, average, KNOWN, {n: v[0] for n, v in true.items()}, centre=0.0)
    known = {**{n: float(v[0]) for n, v in at_average.items()}, **KNOWN}
    model = CovariateModel.from_dict({**model.to_dict(), "params": known})
    expected, silent = model.expected_purchases(rfm, 10), model.probability_no_purchase(rfm, 10)
    for group, rows in rfm.groupby([rfm["web"], rfm["age"] > 0]).groups.items():
        misses = {
            "purchases": rfm.loc[rows, "later_purchases"] - expected[rows],
            "silence": (rfm.loc[rows, "later_purchases"] == 0) - silent[rows],
        }
        for what, miss in misses.items():
            assert abs(miss.mean()) < 4 * miss.std() / np.sqrt(len(rows)), (name, group, what)
    if "alive" in rfm:
        miss = rfm["alive"] - model.probability_alive(rfm)
        assert abs(miss.mean()) < 4 * miss.std() / np.sqrt(len(rfm))


@pytest.mark.parametrize("discount_rate", [0.0, 0.01])
def test_each_customer_is_predicted_with_parameters_of_its_own(fitted, discount_rate):
    name, rfm, model = fitted
    few = rfm.sort_values("age").iloc[[0, 1, 700, 1400, 1999]]
    plain, params = model.process_, model.params_
    base = {parameter: params[parameter] for parameter in plain.params_}
    own = own_parameters(name, few, params, base, centre=list(model.covariate_means_.values())[:2])
    together = model.expected_purchases(few, 10, discount_rate=discount_rate)
    silence = model.probability_alive(few, further_silence=3)
    for row in range(len(few)):
        x, t_x, T = plain._columns(few.iloc[[row]])
        alone = {parameter: float(values[row]) for parameter, values in own.items()}
        truth = plain._bound.expected_purchases(10.0, x, t_x, T, discount_rate=discount_rate, **alone)
        assert_allclose(together.iloc[row], truth[0], rtol=1e-11)
        assert_allclose(silence.iloc[row], plain._bound.probability_alive(x, t_x, T + 3, **alone)[0], rtol=1e-12)
    assert model.expected_purchases(few.tail(1), 10, discount_rate=discount_rate).iloc[0] == together.iloc[-1]


@pytest.mark.parametrize("name", SHOPS)
def test_without_covariates_it_is_the_process(name):
    rfm = shop(name, 800)
    process = SHOPS[name][0]
    plain, model = process.fit(rfm), CovariateModel(process).fit(rfm)
    assert model.params_ == plain.params_
    assert model.standard_errors_ == plain.standard_errors_
    assert model.log_likelihood_ == plain.log_likelihood_
    assert model.expected_purchases(rfm, 9).equals(plain.expected_purchases(rfm, 9))
    assert model.probability_alive(rfm).equals(plain.probability_alive(rfm))
    assert model.probability_no_purchase(rfm, 9).equals(plain.probability_no_purchase(rfm, 9))


@pytest.mark.parametrize("name", ["BG/NBD", "Pareto/NBD", "BG/BB"])
def test_a_heavy_penalty_leaves_the_process(name):
    rfm = shop(name, 800)
    model = CovariateModel(SHOPS[name][0], **COVARIATES, l2=1e9).fit(rfm)
    for parameter, value in model.process_.params_.items():
        assert_allclose(model.params_[parameter], value, rtol=1e-4)
    assert_allclose(list(model.params_.values())[4:], 0.0, atol=1e-6)
    assert_allclose(model.log_likelihood_, model.process_.log_likelihood_, rtol=1e-6)


def test_the_penalised_optimum_is_that_of_another_optimiser():
    rfm, l2 = shop("BG/NBD", 500), 40.0
    model = CovariateModel(BetaGeoModel(), **COVARIATES, l2=l2).fit(rfm)
    history = tuple(rfm[name].to_numpy() for name in ("frequency", "recency", "T"))
    z = rfm[["web", "age"]].to_numpy()
    standard = (z - z.mean(axis=0)) / z.std(axis=0)

    def loss(theta):
        own = dict(zip(bg_nbd.NAMES, np.exp(theta[:4]), strict=True))
        own["alpha"] = own["alpha"] * np.exp(-standard @ theta[4:6])
        own["a"] = own["a"] * np.exp(standard @ theta[6:])
        return 0.5 * l2 * (theta[4:] @ theta[4:]) - bg_nbd.log_likelihood(*history, **own).sum()

    found = minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-5, "xrtol": 0}).x
    coefficients = np.array(list(model.params_.values())[4:])
    assert_allclose(coefficients * np.tile(z.std(axis=0), 2), found[4:], atol=1e-4)
    assert_allclose(list(model.params_.values())[:4], np.exp(found[:4]), rtol=1e-3)
    own = own_parameters(
        "BG/NBD", rfm, model.params_, {n: model.params_[n] for n in bg_nbd.NAMES}, centre=z.mean(axis=0)
    )
    assert_allclose(model.log_likelihood_, bg_nbd.log_likelihood(*history, **own).sum(), rtol=1e-12)
    free = CovariateModel(BetaGeoModel(), **COVARIATES).fit(rfm)
    assert np.sum(coefficients**2) < np.sum(np.array(list(free.params_.values())[4:]) ** 2)
    assert model.log_likelihood_ < free.log_likelihood_


def test_weights_equal_repetition_and_rows_have_no_order():
    rfm = shop("MBG/NBD", 600)
    weights = np.random.default_rng(2).integers(0, 4, 600)
    fit = CovariateModel(ModifiedBetaGeoModel(), **COVARIATES).fit
    weighted = fit(rfm, weights)
    expected, log_likelihood = dict(weighted.params_), weighted.log_likelihood_
    errors = dict(weighted.standard_errors_)
    repeated = fit(rfm.loc[rfm.index.repeat(weights)].sample(frac=1.0, random_state=1))
    assert_allclose(list(repeated.params_.values()), list(expected.values()), rtol=1e-8)
    assert_allclose(list(repeated.standard_errors_.values()), list(errors.values()), rtol=1e-7)
    assert_allclose(repeated.log_likelihood_, log_likelihood, rtol=1e-12)


def test_the_scale_and_origin_of_a_covariate_do_not_matter():
    rfm = shop("BG/NBD", 600)
    settings = {"purchase": ["age"], "dropout": ["age", "web"], "l2": 3.0}
    one = CovariateModel(BetaGeoModel(), **settings).fit(rfm)
    moved = rfm.assign(age=1000.0 + 10.0 * rfm["age"], web=rfm["web"] == 1)
    other = CovariateModel(BetaGeoModel(), **settings).fit(moved)
    units = np.array([1, 1, 1, 1, 10, 10, 1])
    assert_allclose(np.array(list(other.params_.values())) * units, list(one.params_.values()), rtol=1e-7)
    assert_allclose(other.log_covariance_ * np.outer(units, units), one.log_covariance_, rtol=1e-6, atol=1e-12)
    assert_allclose(other.expected_purchases(moved, 9), one.expected_purchases(rfm, 9), rtol=1e-8)


def test_regularity_is_estimated_without_covariates_and_its_likelihood_is_comparable():
    rfm = shop("MBG/CNBD-2", 800)
    model = CovariateModel(ModifiedBetaGeoCNBDModel(), purchase=["web"]).fit(rfm)
    known = CovariateModel(ModifiedBetaGeoCNBDModel(k=2), purchase=["web"]).fit(rfm)
    assert model.process_.k_ == 2
    assert model.params_ == pytest.approx(known.params_, rel=1e-9)
    own = {name: np.full(len(rfm), model.params_[name]) for name in bg_nbd.NAMES}
    own["alpha"] = own["alpha"] * np.exp(-model.params_["purchase:web"] * (rfm["web"] - rfm["web"].mean()))
    history = (rfm["frequency"], rfm["recency"], rfm["T"])
    each = bg_nbd.log_likelihood(*history, **own, k=2, modified=True) + rfm["sum_log_gaps"]
    assert_allclose(model.log_likelihood_, each.sum(), rtol=1e-10)


def test_doubts_are_said():
    rfm = shop("BG/NBD", 500)
    noise = CovariateModel(BetaGeoModel(), purchase=["noise"]).fit(rfm.assign(noise=np.arange(500) % 7))
    assert any(note.startswith("Covariates add little: 1 coefficients") for note in noise.diagnostics_["notes"])
    assert any("by construction" in note for note in noise.diagnostics_["notes"])
    useful = CovariateModel(BetaGeoModel(), **COVARIATES).fit(rfm)
    assert not any("add little" in note for note in useful.diagnostics_["notes"])
    never = rfm.assign(never=(rfm["frequency"] == 0) & (rfm["age"] > 0))
    limit = CovariateModel(BetaGeoModel(), purchase=["never"]).fit(never)
    assert limit.diagnostics_["at_boundary"] == ["purchase:never"]
    assert limit.standard_errors_["purchase:never"] == np.inf
    assert limit.expected_purchases(never, 9)[never["never"]].max() < 1e-6
    assert np.isfinite(CovariateModel(BetaGeoModel(), purchase=["never"], l2=1.0).fit(never).standard_errors_["r"])
    twice = CovariateModel(BetaGeoModel(), purchase=["age", "twice"]).fit(rfm.assign(twice=2 * rfm["age"]))
    assert twice.diagnostics_["flat_ridge"]
    assert twice.standard_errors_["purchase:twice"] == np.inf


def test_a_fit_survives_json(fitted):
    _, rfm, model = fitted
    rfm = rfm.head(9)
    restored = CovariateModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert restored.params_ == model.params_
    assert restored.expected_purchases(rfm, 9).equals(model.expected_purchases(rfm, 9))
    assert restored.diagnostics_ == model.diagnostics_
    with pytest.raises(ModelError, match="must say so; this one says 'BetaGeoModel'"):
        CovariateModel.from_dict({**model.to_dict(), "model": "BetaGeoModel"})
    for part in ("process", "purchase", "covariate_means"):
        damaged = {name: value for name, value in model.to_dict().items() if name != part}
        with pytest.raises(ModelError, match=f"must hold its process and covariates; reading them: KeyError.*{part}"):
            CovariateModel.from_dict(damaged)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"web": 1}, r"The covariate `web` must vary among the customers fitted; .* hold 1\.\nLeave it out"),
        ({"age": np.nan}, "`age` must be finite. 300 of 300 customers .*\nA covariate is one finite number"),
        ({"age": np.inf}, "`age` must be finite"),
        ({"age": "old"}, "`age` must be numeric; got"),
        ({"frequency": -1}, "`frequency` must be a whole number"),
    ],
)
def test_wrong_frames_are_refused(change, match):
    with pytest.raises(SchemaError, match=match):
        CovariateModel(BetaGeoModel(), **COVARIATES).fit(shop("BG/NBD", 300).assign(**change))


def test_wrong_settings_are_refused():
    rfm = shop("BG/NBD", 300)
    with pytest.raises(SchemaError, match="need a column `channel`"):
        CovariateModel(BetaGeoModel(), purchase=["channel"]).fit(rfm)
    with pytest.raises(SchemaError, match="need a column `web`"):
        CovariateModel(BetaGeoModel(), purchase=["web"]).fit(rfm).probability_alive(rfm.drop(columns="web"))
    for names in ("web", ["web", "web"], [3]):
        with pytest.raises(CrmError, match="`dropout` must be a list of column names, each there once"):
            CovariateModel(BetaGeoModel(), dropout=names).fit(rfm)
    for l2 in (-1e-9, np.inf, np.nan):
        with pytest.raises(CrmError, match="`l2` must be 0 or more and finite"):
            CovariateModel(BetaGeoModel(), purchase=["web"], l2=l2).fit(rfm)
    with pytest.raises(CrmError, match=r"`process` must be one of .*; got CovariateModel"):
        CovariateModel(CovariateModel(BetaGeoModel())).fit(rfm)
    with pytest.raises(NotFittedError, match="CovariateModel must be fitted"):
        CovariateModel(BetaGeoModel()).probability_alive(rfm)
    with pytest.raises(CrmError, match="`horizon` must be positive"):
        CovariateModel(BetaGeoModel()).fit(rfm).expected_purchases(rfm, 0.0)
    with pytest.raises(ConvergenceError, match="at least one customer needs a repeat purchase"):
        CovariateModel(BetaGeoModel(), purchase=["web"]).fit(rfm.assign(frequency=0, recency=0.0))
