"""Intervals of purchase counts and of value against customers lived one by one, for every process.

The twin draws each customer's rate and chance to leave from the population, weighs the draws by the density of
the history *given* them (no formula of the models is in that), and lives the next weeks purchase by purchase.
"""

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import poisson

from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGammaModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.uncertainty.bootstrap import Bootstrap, weighted_bootstrap
from crm_ml.clv.uncertainty.interval import common_futures, parameter_draws, value_bounds
from crm_ml.errors import CrmError

HORIZON, SOON = 26, 5
N_POPULATIONS = 500
HISTORIES = pd.DataFrame(
    {"frequency": [0, 0, 1, 4, 12], "recency": [0.0, 0.0, 12.0, 28.0, 33.0], "T": [0.5, 30.0, 38.0, 36.0, 35.0]}
)
SEASONS = pd.DataFrame({"frequency": [0, 0, 2, 5], "recency": [0, 0, 4, 6], "n_opportunities": [0, 6, 6, 7]})
BETA_GEO = {"r": 0.7, "alpha": 4.4, "a": 0.8, "b": 2.5}
CASES = {
    "BG/NBD": (BetaGeoModel, BETA_GEO, {}),
    "MBG/NBD": (ModifiedBetaGeoModel, BETA_GEO, {}),
    "BG/CNBD-3": (BetaGeoCNBDModel, BETA_GEO | {"alpha": 1.5}, {"k": 3}),
    "MBG/CNBD-2": (ModifiedBetaGeoCNBDModel, BETA_GEO | {"alpha": 2.2}, {"k": 2}),
    "Pareto/NBD": (ParetoNBDModel, {"r": 0.6, "alpha": 6.0, "s": 0.6, "beta": 11.7}, {}),
    "BG/BB": (BetaGeoBetaBinomModel, {"alpha": 1.2, "beta": 0.75, "gamma": 0.66, "delta": 2.8}, {}),
}
PARAMETERS = np.diag([1.2, 0.3, 0.8, 0.8]) ** 2
"""Covariance of the log parameters of a very small shop, where it can be seen beside the process's chance."""


def fitted(case, *, log_covariance):
    """A model with known parameters that never saw data."""
    kind, params, extra = CASES[case]
    stored = {
        "model": kind.__name__,
        "time_unit": "W",
        "params": params,
        "standard_errors": params,
        "log_likelihood": 0.0,
        "log_covariance": log_covariance.tolist(),
        "diagnostics": {"notes": [], "at_boundary": []},
        **extra,
    }
    return kind.from_dict(stored)


def frame_of(case):
    return SEASONS if case == "BG/BB" else HISTORIES


def silence_density(rate, silence, k):
    """No purchase over a silence: fewer than k events at the rate."""
    return poisson.cdf(k - 1, rate * silence)


def live_beta_geo(rng, params, row, n, horizon, *, k, modified):
    rate, p = (
        rng.gamma(params["r"], 1 / params["alpha"], n).clip(1e-200),
        rng.beta(params["a"], params["b"], n).clip(1e-12, 1 - 1e-12),
    )
    x, silence = row["frequency"], row["T"] - row["recency"]
    stayed = x + modified
    seen = xlogy(k * x, rate) - rate * row["recency"]
    alive = xlog1py(stayed, -p) + np.log(np.maximum(silence_density(rate, silence, k), 1e-300))
    left = xlog1py(stayed - 1, -p) + np.log(p) if stayed else np.full(n, -np.inf)
    weight = np.exp(seen - seen.max() + np.logaddexp(alive, left))
    chosen = rng.choice(n, n, p=weight / weight.sum())
    rate, p = rate[chosen], p[chosen]
    here = rng.random(n) < 1 / (1 + np.exp(left - alive)[chosen])
    odds = np.stack([poisson.pmf(j, rate * silence) for j in range(k)])
    events = (rng.random(n) * odds.sum(axis=0) > np.cumsum(odds, axis=0)).sum(axis=0)
    clock, counts = np.zeros(n), np.zeros(n)
    wait = rng.gamma(k - events) / rate
    while here.any():
        clock = clock + wait
        here &= clock <= horizon
        counts += here
        here &= rng.random(n) > p
        wait = rng.gamma(k, 1.0, n) / rate
    return counts


def live_pareto(rng, params, row, n, horizon):
    rate = rng.gamma(params["r"], 1 / params["alpha"], n)
    leaving = rng.gamma(params["s"], 1 / params["beta"], n)
    x, t_x, T = row["frequency"], row["recency"], row["T"]
    both = rate + leaving
    alive = np.exp(-both * (T - t_x))
    left = leaving / both * -np.expm1(-both * (T - t_x))
    seen = xlogy(x, rate) - both * t_x
    weight = np.exp(seen - seen.max()) * (alive + left)
    chosen = rng.choice(n, n, p=weight / weight.sum())
    here = rng.random(n) < (alive / (alive + left))[chosen]
    stays = np.minimum(rng.exponential(1.0, n) / leaving[chosen], horizon)
    return np.where(here, rng.poisson(rate[chosen] * stays), 0)


def live_bg_bb(rng, params, row, n, horizon):
    p, theta = (
        rng.beta(params[a], params[b], n).clip(1e-12, 1 - 1e-12) for a, b in (("alpha", "beta"), ("gamma", "delta"))
    )
    x, t_x, seen = (int(row[name]) for name in ("frequency", "recency", "n_opportunities"))
    buying = p**x * (1 - p) ** (t_x - x)
    alive = buying * (1 - p) ** (seen - t_x) * (1 - theta) ** seen
    left = sum(buying * (1 - p) ** i * theta * (1 - theta) ** (t_x + i) for i in range(seen - t_x))
    weight = alive + left
    chosen = rng.choice(n, n, p=weight / weight.sum())
    here, counts = rng.random(n) < (alive / weight)[chosen], np.zeros(n)
    for _ in range(horizon):
        here &= rng.random(n) > theta[chosen]
        counts += here & (rng.random(n) < p[chosen])
    return counts


def lived(case, rng, row, n, *, params=None, horizon=HORIZON):
    kind, true, extra = CASES[case]
    params = true if params is None else params
    if kind is ParetoNBDModel:
        return live_pareto(rng, params, row, n, horizon)
    if kind is BetaGeoBetaBinomModel:
        return live_bg_bb(rng, params, row, n, horizon)
    modified = issubclass(kind, (ModifiedBetaGeoModel, ModifiedBetaGeoCNBDModel))
    return live_beta_geo(rng, params, row, n, horizon, k=extra.get("k", 1), modified=modified)


def agrees(counts, lower, upper):
    """The 5 % and 95 % quantiles of 512 futures: a share of them is known to 0.01, allowed to 0.03."""
    slack = 0.03
    for bound, share in ((lower, 0.05), (upper, 0.95)):
        assert (counts < bound).mean() - slack <= share <= (counts <= bound).mean() + slack


@pytest.mark.parametrize("horizon", [SOON, HORIZON])
@pytest.mark.parametrize("case", CASES)
def test_with_parameters_known_futures_and_interval_are_those_of_lived_customers(case, horizon):
    rng, rfm = np.random.default_rng(21), frame_of(case)
    model = fitted(case, log_covariance=np.zeros((4, 4)))
    drawn = model.count_draw(rfm, horizon)(common_futures(), np.arange(len(rfm)))
    found = model.purchase_interval(rfm, horizon)
    assert found.dtypes.tolist() == [np.int64, np.int64]
    for (_, row), future, (lower, upper) in zip(rfm.iterrows(), drawn, found.to_numpy(), strict=True):
        counts = lived(case, rng, row, 40_000, horizon=horizon)
        agrees(counts, lower, upper)
        at = np.arange(future.max() + 1)[:, None]
        apart = np.abs((counts <= at).mean(axis=1) - (future <= at).mean(axis=1)).max()
        assert apart < 0.05  # 512 futures; independent ones would pass 85 times in 100


@pytest.mark.parametrize("case", CASES)
def test_with_parameters_uncertain_the_interval_is_that_of_customers_under_many_parameters(case):
    rng, rfm = np.random.default_rng(22), frame_of(case).iloc[[0, -2]]
    model = fitted(case, log_covariance=PARAMETERS)
    found = model.purchase_interval(rfm, HORIZON)
    log_params = np.log(list(model.params_.values()))
    populations = np.exp(rng.multivariate_normal(log_params, PARAMETERS, N_POPULATIONS))
    for (_, row), (lower, upper) in zip(rfm.iterrows(), found.to_numpy(), strict=True):
        counts = [
            lived(case, rng, row, 400, params=dict(zip(model.params_, each, strict=True))) for each in populations
        ]
        agrees(np.concatenate(counts), lower, upper)


@pytest.mark.parametrize("case", CASES)
def test_uncertain_parameters_widen_the_interval_of_a_customer_of_whom_little_is_known(case):
    newcomer = pd.DataFrame({"frequency": [0], "recency": [0.0], "T": [0.5], "n_opportunities": [0]})
    upper = [
        fitted(case, log_covariance=scale * PARAMETERS).purchase_interval(newcomer, HORIZON)["upper"].item()
        for scale in (0.0, 1.0)
    ]
    assert upper[0] < upper[1]


@pytest.mark.parametrize("uncertain", [False, True])
def test_the_interval_of_value_is_the_quantiles_of_lived_spends(uncertain):
    rng = np.random.default_rng(23)
    spread = np.diag([0.2, 0.1, 0.9]) ** 2 * uncertain
    model = fitted("BG/NBD", log_covariance=PARAMETERS * uncertain)
    mean_spend, futures = np.array([0.0, 0.0, 20.0, 60.0, 35.0]), common_futures()
    bounds = value_bounds(
        model.count_draw(HISTORIES, HORIZON),
        HISTORIES["frequency"].to_numpy(dtype=float),
        mean_spend,
        value_per_spend=np.full(5, 0.3),
        spend_params=parameter_draws(CDNOW_SPEND, spread, futures.normals[4:7]),
        futures=futures,
        level=0.9,
    )
    n_populations, n = (N_POPULATIONS, 400) if uncertain else (1, 100_000)
    for (_, row), m, lower, upper in zip(HISTORIES.iterrows(), mean_spend, *bounds, strict=True):
        values = []
        for _ in range(n_populations):
            log_params = rng.multivariate_normal(np.log(list(BETA_GEO.values())), PARAMETERS * uncertain)
            counts = lived("BG/NBD", rng, row, n, params=dict(zip(BETA_GEO, np.exp(log_params), strict=True)))
            p, q, gamma = np.exp(rng.multivariate_normal(np.log(list(CDNOW_SPEND.values())), spread))
            nu, x = rng.gamma(q, 1 / gamma, n), row["frequency"]
            density = p * x * np.log(nu) - nu * x * m + xlogy(p * x - 1, x * m) - gammaln(p * x) if x else np.zeros(n)
            weight = np.exp(density - density.max())
            nu = rng.choice(nu, n, p=weight / weight.sum())
            values.append(0.3 * rng.gamma(p * np.maximum(counts, 1)) * (counts > 0) / nu)
        agrees(np.concatenate(values), lower, upper)


def test_an_interval_depends_neither_on_the_order_nor_on_the_others():
    model = fitted("BG/NBD", log_covariance=PARAMETERS)
    many = pd.concat([HISTORIES] * 600, ignore_index=True).sample(frac=1.0, random_state=1)
    alone = model.purchase_interval(HISTORIES, HORIZON)
    together = model.purchase_interval(many, HORIZON)
    assert together.index.equals(many.index)
    np.testing.assert_array_equal(together, alone.to_numpy()[many.index % 5])


def test_a_wider_level_holds_a_narrower_one():
    model = fitted("BG/NBD", log_covariance=PARAMETERS)
    half, most = (model.purchase_interval(HISTORIES, HORIZON, level=level) for level in (0.5, 0.99))
    assert (most["lower"] <= half["lower"]).all()
    assert (half["upper"] < most["upper"]).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, np.nan])
def test_a_level_is_a_probability(level):
    with pytest.raises(CrmError, match="`level` must be between 0 and 1"):
        fitted("BG/NBD", log_covariance=PARAMETERS).purchase_interval(HISTORIES, HORIZON, level=level)


@pytest.mark.parametrize(("case", "horizon"), [("BG/NBD", 0.0), ("BG/BB", 2.5)])
def test_a_horizon_is_checked(case, horizon):
    with pytest.raises(CrmError, match="`horizon` must be"):
        fitted(case, log_covariance=PARAMETERS).purchase_interval(frame_of(case), horizon)


def test_replicates_take_the_place_of_the_asymptotic_draws():
    model = fitted("BG/NBD", log_covariance=PARAMETERS)
    draws = np.random.default_rng(24).multivariate_normal(np.log(list(BETA_GEO.values())), PARAMETERS, 512)
    replicates = Bootstrap(pd.DataFrame(np.exp(draws), columns=list(BETA_GEO)), n_failed=0, n_at_boundary=0)
    some, rng = HISTORIES.iloc[[0, 3]], np.random.default_rng(25)
    found = model.purchase_interval(some, HORIZON, bootstrap=replicates)
    for (_, row), (lower, upper) in zip(some.iterrows(), found.to_numpy(), strict=True):
        counts = [
            lived("BG/NBD", rng, row, 400, params=one)
            for one in replicates.draws.iloc[:N_POPULATIONS].to_dict("records")
        ]
        agrees(np.concatenate(counts), lower, upper)


def test_on_cdnow_both_sources_of_parameters_give_one_interval():
    rfm = cdnow_rfm()
    model = BetaGeoModel(time_unit="W").fit(rfm)
    replicates = weighted_bootstrap(model, rfm, rng=np.random.default_rng(26), n_replicates=100)
    asymptotic, resampled = (model.purchase_interval(rfm, 39, bootstrap=each) for each in (None, replicates))
    assert np.abs(asymptotic - resampled).to_numpy().max() <= 1
    assert model.params_ == pytest.approx(CDNOW, abs=1e-4)


def test_spend_replicates_stand_in_for_asymptotic_draws_too():
    rfm = cdnow_rfm()
    spend = GammaGammaModel().fit(rfm)
    replicates = weighted_bootstrap(spend, rfm, rng=np.random.default_rng(27), n_replicates=100)
    futures = common_futures()
    sources = (
        parameter_draws(spend.params_, spend.log_covariance_, futures.normals[4:7]),
        replicates.per_future(len(futures.alive)),
    )
    means = [np.median(each["p"] * each["gamma"] / (each["q"] - 1)) for each in sources]
    assert means[0] == pytest.approx(means[1], rel=0.02)
