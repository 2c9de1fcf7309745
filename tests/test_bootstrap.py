"""The weighted bootstrap against refits, the sandwich, published standard errors and simulated shops."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm, simulate_shop
from numpy.testing import assert_allclose

from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGammaModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.likelihood.patterns import compress
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.uncertainty.bootstrap import Reweighted, weighted_bootstrap
from crm_ml.errors import ConvergenceError, CrmError, NotFittedError

LIFETIMES_ERRORS = {"r": 0.012557, "alpha": 0.378224, "a": 0.185734, "b": 0.705414}  # 0.11.3 on the CDNOW sample
DONORS = {"x": [0, 1, 1, 2, 4, 6], "t_x": [0, 1, 4, 4, 5, 6], "donors": [350, 110, 20, 30, 40, 120]}


@pytest.fixture(scope="module")
def cdnow():
    return cdnow_rfm()


@pytest.fixture(scope="module")
def bg_nbd_on_cdnow(cdnow):
    model = BetaGeoModel(time_unit="W").fit(cdnow)
    return model, weighted_bootstrap(model, cdnow, rng=np.random.default_rng(1), n_replicates=600)


def patterns_of(rfm):
    """The distinct histories in the order of a fit, and how many customers share each."""
    patterns = compress(*(rfm[name].to_numpy(float) for name in ("frequency", "recency", "T")), np.ones(len(rfm)))
    columns = {"frequency": patterns.x, "recency": patterns.t_x, "T": patterns.T}
    return pd.DataFrame(columns), patterns.weight


class Ratio:
    """The rate of events whose weighted estimate is known: sum of weights / sum of weighted times."""

    def __init__(self, times, *, fails=None):
        self.times, self.fails = times, fails
        self.params_ = {"rate": 1.0 / times.mean()}

    def reweighted(self, rfm, weights=None):  # noqa: ARG002  # it knows its times
        def objective(weight):
            failing = self.fails is not None and self.fails(weight)

            def evaluate(theta):
                n, time = weight.sum(), np.exp(theta[0]) * (weight @ self.times)
                slope = 1.0 if failing else n - time
                return n * theta[0] - time, np.array([slope]), np.array([[-time]])

            return evaluate

        return Reweighted(np.ones(len(self.times)), objective, lower=np.full(1, -9.0), upper=np.full(1, 9.0))


@pytest.mark.parametrize(
    "model",
    [
        BetaGeoModel(time_unit="W"),
        ModifiedBetaGeoModel(time_unit="W"),
        BetaGeoCNBDModel(k=2, time_unit="W"),
        ParetoNBDModel(time_unit="W"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_replicate_is_the_full_fit_under_its_weights(model, cdnow):
    rfm, weight = patterns_of(cdnow.iloc[::2])
    model.fit(rfm, weight)
    draws = weighted_bootstrap(model, rfm, weight, rng=np.random.default_rng(3), n_replicates=2).draws
    rng = np.random.default_rng(3)
    for _, draw in draws.iterrows():
        refit = model.fit(rfm, rng.standard_gamma(weight))
        assert_allclose(list(refit.params_.values()), draw, rtol=1e-6)


def test_a_replicate_of_bg_bb_is_the_full_fit_under_its_weights():
    donors = pd.DataFrame({"frequency": DONORS["x"], "recency": DONORS["t_x"], "n_opportunities": 6})
    model = BetaGeoBetaBinomModel().fit(donors, DONORS["donors"])
    draws = weighted_bootstrap(model, donors, DONORS["donors"], rng=np.random.default_rng(3), n_replicates=5).draws
    rng = np.random.default_rng(3)
    for _, draw in draws.iterrows():
        refit = model.fit(donors, rng.standard_gamma(np.array(DONORS["donors"], dtype=float)))
        assert_allclose(list(refit.params_.values()), draw, rtol=1e-6)


def test_a_replicate_of_gamma_gamma_is_the_full_fit_under_its_weights(cdnow):
    spenders = cdnow[cdnow["monetary_value"] > 0]
    model = GammaGammaModel().fit(cdnow)
    draws = weighted_bootstrap(model, cdnow, rng=np.random.default_rng(3), n_replicates=3).draws
    rng = np.random.default_rng(3)
    for _, draw in draws.iterrows():
        refit = GammaGammaModel().fit(spenders, rng.standard_gamma(np.ones(len(spenders))))
        assert_allclose(list(refit.params_.values()), draw, rtol=1e-6)


def sandwich(model, rfm):
    """Deviations of the log parameters that hold for a wrong model too, by differences of the density."""
    x, t_x, T = (rfm[name].to_numpy() for name in ("frequency", "recency", "T"))
    scores = []
    for name, value in model.params_.items():
        above, below = (model.params_ | {name: value * np.exp(step)} for step in (1e-5, -1e-5))
        scores.append((bg_nbd.log_likelihood(x, t_x, T, **above) - bg_nbd.log_likelihood(x, t_x, T, **below)) / 2e-5)
    bread, filling = model.log_covariance_, np.stack(scores) @ np.stack(scores).T
    return np.sqrt(np.diag(bread @ filling @ bread))


def test_the_scatter_on_cdnow_is_near_the_published_standard_errors(bg_nbd_on_cdnow, cdnow):
    """As near as CDNOW is to BG/NBD: a shop that is not quite the model scatters by the sandwich."""
    model, bootstrap = bg_nbd_on_cdnow
    assert (bootstrap.n_failed, bootstrap.n_at_boundary, bootstrap.notes) == (0, 0, [])
    wider = sandwich(model, cdnow) / np.sqrt(np.diag(model.log_covariance_))
    assert wider.min() > 0.95
    assert wider.max() < 1.25
    published = np.array(list(LIFETIMES_ERRORS.values())) / list(CDNOW.values())
    assert_allclose(np.log(bootstrap.draws).std(), published * wider, rtol=0.1)  # 600 replicates know it to 3 %


def test_the_scatter_on_a_shop_of_the_model_is_that_of_the_hessian():
    rng = np.random.default_rng(12)
    shop = simulate_shop(rng, 10_000, **CDNOW, T=rng.integers(10, 53, 10_000).astype(float))
    model = BetaGeoModel(time_unit="W").fit(shop)
    draws = weighted_bootstrap(model, shop, rng=rng, n_replicates=200).draws
    hessian = np.sqrt(np.diag(model.log_covariance_))
    assert_allclose(sandwich(model, shop), hessian, rtol=0.1)
    assert_allclose(np.log(draws).std(), hessian, rtol=0.15)  # three deviations of 200 replicates


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_the_scatter_follows_the_data_and_not_the_model(spread):
    """The exponential model says 1 / sqrt(n) whatever the times; times of variation v scatter v / sqrt(n)."""
    times = np.random.default_rng(5).gamma(spread**-2, 1.0, 400)
    draws = weighted_bootstrap(Ratio(times), pd.DataFrame(), rng=np.random.default_rng(6), n_replicates=2000).draws
    expected = times.std() / times.mean() / np.sqrt(400)
    assert np.log(draws["rate"]).std() == pytest.approx(expected, rel=0.06)


def test_both_kinds_of_interval_hold_the_truth_on_simulated_shops():
    """Of 40 shops × 4 parameters, 90 % each: at least 0.9 less three deviations of 40 shops that hang together."""
    held = {"hessian": [], "bootstrap": []}
    truth = np.array([CDNOW[name] for name in bg_nbd.NAMES])
    for seed in range(40):
        rng = np.random.default_rng([7, seed])
        rfm = simulate_shop(rng, 500, **CDNOW, T=rng.integers(10, 53, 500).astype(float))
        model = BetaGeoModel(time_unit="W").fit(rfm)
        reach = 1.6449 * np.sqrt(np.diag(model.log_covariance_))
        held["hessian"].append(np.abs(np.log(list(model.params_.values())) - np.log(truth)) < reach)
        ends = weighted_bootstrap(model, rfm, rng=rng, n_replicates=40).intervals(level=0.9)
        held["bootstrap"].append((ends["lower"] < truth) & (truth < ends["upper"]))
    for kind, inside in held.items():
        assert 0.9 - 3 * np.sqrt(0.09 / 40) < np.mean(inside), kind
        assert np.mean(inside) < 0.98, kind


def test_rows_repeated_are_rows_weighted(cdnow):
    rfm, weight = patterns_of(cdnow.iloc[::4])
    repeated = rfm.loc[rfm.index.repeat(weight.astype(int))].sample(frac=1.0, random_state=2)
    model = BetaGeoModel(time_unit="W").fit(rfm, weight)
    twice = [
        weighted_bootstrap(model, *given, rng=np.random.default_rng(8), n_replicates=3).draws
        for given in ((rfm, weight), (repeated,))
    ]
    pd.testing.assert_frame_equal(*twice, rtol=1e-9)


def test_time_has_no_unit_of_its_own(cdnow):
    weeks, days = cdnow, cdnow.assign(recency=cdnow["recency"] * 7, T=cdnow["T"] * 7)
    in_weeks, in_days = (
        weighted_bootstrap(BetaGeoModel().fit(rfm), rfm, rng=np.random.default_rng(8), n_replicates=3).draws
        for rfm in (weeks, days)
    )
    pd.testing.assert_frame_equal(in_days, in_weeks * [1.0, 7.0, 1.0, 1.0], rtol=1e-6)


def test_replicates_that_fail_are_counted_and_said():
    times = np.random.default_rng(5).gamma(1.0, 1.0, 50)
    model = Ratio(times, fails=lambda weight: weight[0] > 1.0)
    expected = np.random.default_rng(9).standard_gamma(np.ones((100, 50)))[:, 0] > 1.0
    bootstrap = weighted_bootstrap(model, pd.DataFrame(), rng=np.random.default_rng(9), n_replicates=100)
    np.testing.assert_array_equal(bootstrap.draws["rate"].isna(), expected)
    assert bootstrap.n_failed == expected.sum() > 20
    assert [note.split(" replicates")[0] for note in bootstrap.notes] == [f"{expected.sum()} of 100"]
    np.testing.assert_array_equal(
        bootstrap.per_future(512)["rate"], np.resize(bootstrap.draws["rate"].dropna().to_numpy(), 512)
    )
    with pytest.raises(ConvergenceError, match="gradient of the log-likelihood must vanish"):
        weighted_bootstrap(Ratio(times, fails=np.any), pd.DataFrame(), rng=np.random.default_rng(9), n_replicates=3)


def test_replicates_at_the_edge_are_counted_and_said():
    rng = np.random.default_rng(11)
    shop = simulate_shop(rng, 400, **CDNOW, T=30.0, dropout=0.3)  # all leave alike: a and b have no end
    model = BetaGeoModel(time_unit="W").fit(shop)
    bootstrap = weighted_bootstrap(model, shop, rng=rng, n_replicates=40)
    at_edge = (bootstrap.draws[["a", "b"]].max(axis=1) > 9.9e4).sum()
    assert bootstrap.n_at_boundary == at_edge > 0
    assert bootstrap.notes[0].startswith(f"{at_edge} of 40 replicates ran to the edge")


def test_the_percentile_interval_is_that_of_the_logarithms(bg_nbd_on_cdnow):
    _, bootstrap = bg_nbd_on_cdnow
    found = bootstrap.intervals(level=0.8)
    assert found.columns.tolist() == ["lower", "upper"]
    for name, draws in bootstrap.draws.items():
        share = [(draws < found.loc[name, "lower"]).mean(), (draws > found.loc[name, "upper"]).mean()]
        assert_allclose(share, 0.1, atol=1 / 600)


def test_an_interval_needs_a_replicate_beyond_each_end(bg_nbd_on_cdnow):
    _, bootstrap = bg_nbd_on_cdnow
    few = dataclasses.replace(bootstrap, draws=bootstrap.draws.iloc[:19])
    with pytest.raises(CrmError, match="90% interval needs 20 replicates, one beyond each end; 19 were"):
        few.intervals(level=0.9)
    dataclasses.replace(bootstrap, draws=bootstrap.draws.iloc[:20]).intervals(level=0.9)
    for level in (0.0, 1.0, np.nan):
        with pytest.raises(CrmError, match="`level` must lie between 0 and 1"):
            bootstrap.intervals(level=level)


@pytest.mark.parametrize("n", [0, -1, 1.5, np.nan, np.inf])
def test_replicates_are_counted_in_whole_numbers(n, bg_nbd_on_cdnow, cdnow):
    with pytest.raises(CrmError, match="`n_replicates` must be a whole number, 1 or more"):
        weighted_bootstrap(bg_nbd_on_cdnow[0], cdnow, rng=np.random.default_rng(1), n_replicates=n)
    assert len(weighted_bootstrap(bg_nbd_on_cdnow[0], cdnow, rng=np.random.default_rng(1), n_replicates=1).draws) == 1


def test_only_a_fitted_model_can_be_bootstrapped(cdnow):
    for model in (BetaGeoModel(), GammaGammaModel()):
        with pytest.raises(NotFittedError, match="must be fitted"):
            weighted_bootstrap(model, cdnow, rng=np.random.default_rng(1))


def test_gamma_gamma_scatter_is_near_that_of_lifetimes(cdnow):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import GammaGammaFitter

        spenders = cdnow[cdnow["frequency"] > 0]
        peer = GammaGammaFitter().fit(spenders["frequency"], spenders["monetary_value"]).summary["se(coef)"]
    model = GammaGammaModel().fit(cdnow)
    assert model.params_ == pytest.approx(CDNOW_SPEND, abs=1e-3)
    draws = weighted_bootstrap(model, cdnow, rng=np.random.default_rng(2), n_replicates=400).draws
    assert_allclose(np.log(draws).std(), peer.to_numpy() / np.array(list(CDNOW_SPEND.values())), rtol=0.2)
