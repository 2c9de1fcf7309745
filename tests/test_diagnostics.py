"""The diagnostics' frames against published values, lifetimes, and shops lived purchase by purchase."""

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_log, cdnow_rfm, simulate_shop
from numpy.testing import assert_allclose
from scipy import integrate, stats
from scipy.special import hyp2f1

import crm_ml
from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    CLVModel,
    GammaGammaModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
    alive_history,
    customers_by_frequency,
    expected_purchases_matrix,
    holdout_by_frequency,
    interpurchase_times,
    probability_alive_matrix,
    spend_distribution,
    weekly_purchases,
)
from crm_ml.clv.spend import gamma_gamma
from crm_ml.errors import CrmError, NotFittedError, SchemaError

HOLDOUT = {  # BTYD walkthrough: 39 weeks, customers with 0 … 6 and 7 or more repeats
    "customers": [1411, 439, 214, 100, 62, 38, 29, 64],
    "actual": [0.237, 0.697, 1.393, 1.560, 2.532, 2.947, 3.862, 6.359],
    "expected": [0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789, 3.503957, 6.157036],
}
GROUPS = ["0", "1", "2", "3", "4", "5", "6", "7+"]
END = "1997-10-01"


@pytest.fixture(scope="module")
def log():
    return crm_ml.CustomerLog(cdnow_log(), columns={"date": "timestamp"}, n_buckets=3)


@pytest.fixture(scope="module")
def rfm():
    return cdnow_rfm()


@pytest.fixture(scope="module")
def bg_nbd(rfm):
    return BetaGeoModel(time_unit="W").fit(rfm)


@pytest.fixture(scope="module")
def peer(bg_nbd):
    fitter = pytest.importorskip("lifetimes").BetaGeoFitter()
    fitter.params_ = pd.Series(bg_nbd.params_)
    return fitter


def holdout_purchases():
    days = cdnow_log()
    ahead = days[(days["date"] >= END) & (days["date"] < "1998-07-01")]
    return ahead.groupby("customer_id").size().reindex(cdnow_rfm().index, fill_value=0)


def test_the_holdout_by_frequency_is_the_published_one(rfm, bg_nbd):
    shuffled = holdout_purchases().sample(frac=1.0, random_state=1)
    table = holdout_by_frequency(rfm, shuffled, bg_nbd, horizon=39)
    assert table.index.tolist() == GROUPS
    assert table["customers"].tolist() == HOLDOUT["customers"]
    assert_allclose(table["actual"], HOLDOUT["actual"], atol=5e-4)
    assert_allclose(table["expected"], HOLDOUT["expected"], rtol=1e-4)


def test_a_customer_without_a_holdout_is_refused(rfm, bg_nbd):
    with pytest.raises(SchemaError, match="1 of 2,357 have none"):
        holdout_by_frequency(rfm, holdout_purchases().iloc[1:], bg_nbd, horizon=39)


class CountsLikeLifetimes:
    def __init__(self, peer):
        self.peer = peer

    def probability_of_purchases_new_customer(self, n, t):
        n, t = np.broadcast_arrays(n, t)
        each = [self.peer.probability_of_n_purchases_up_to_time(a, int(b)) for a, b in zip(t.flat, n.flat, strict=True)]
        return np.reshape(each, n.shape)


def test_customers_by_frequency_add_up_over_ages(rfm, peer):
    table = customers_by_frequency(rfm, CountsLikeLifetimes(peer))
    assert table.index.tolist() == GROUPS
    assert table["actual"].tolist() == HOLDOUT["customers"]
    assert table["expected"].sum() == pytest.approx(len(rfm), rel=1e-12)
    two = sum(peer.probability_of_n_purchases_up_to_time(age, 2) for age in rfm["T"])
    assert table.loc["2", "expected"] == pytest.approx(two, rel=1e-9)


def test_matrices_are_those_of_lifetimes(bg_nbd, peer):
    alive = probability_alive_matrix(bg_nbd, T=39, max_frequency=30)
    ahead = expected_purchases_matrix(bg_nbd, horizon=26, T=39, max_frequency=30)
    assert alive.shape == ahead.shape == (40, 31)
    assert (alive.index.name, alive.columns.name) == ("recency", "frequency")
    for x, t_x in [(1, 1), (1, 39), (7, 20), (30, 2), (30, 39)]:
        assert alive.loc[t_x, x] == pytest.approx(peer.conditional_probability_alive(x, t_x, 39)[0], abs=1e-6)
        expected = peer.conditional_expected_number_of_purchases_up_to_time(26, x, t_x, 39)
        assert ahead.loc[t_x, x] == pytest.approx(expected, abs=1e-6)
    assert alive.loc[0, 0] == 1.0


def test_a_matrix_is_blank_where_no_history_can_be(bg_nbd):
    matrix = probability_alive_matrix(bg_nbd, T=5.5, max_frequency=2)
    blank = matrix.isna()
    assert matrix.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert blank.loc[1:, 0].all()
    assert blank.loc[0, 1:].all()
    assert blank.to_numpy().sum() == 7


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"T": 0.0, "max_frequency": 3}, "`T` must be positive"), ({"T": 9, "max_frequency": 0}, "`max_frequency`")],
)
def test_a_matrix_of_nothing_is_refused(bg_nbd, settings, match):
    with pytest.raises(CrmError, match=match):
        probability_alive_matrix(bg_nbd, **settings)


def test_the_history_of_a_customer_is_that_of_lifetimes(bg_nbd, peer):
    bought = ["1997-03-08", "1997-01-10", "1997-01-21T09:30", "1997-01-21T18:00", "1997-12-24"]
    path = alive_history(bought, bg_nbd, until="1997-06-30")
    days = pd.to_datetime(["1997-01-10", "1997-01-21", "1997-03-08"])
    assert path.index[[0, -1]].tz_localize(None).tolist() == [days[0], pd.Timestamp("1997-06-30")]
    assert path.index[path["purchased"]].tz_localize(None).tolist() == days.tolist()
    for day, alive in path["probability_alive"].tz_localize(None).items():
        seen = days[days <= day]
        history = len(seen) - 1, (seen[-1] - days[0]).days / 7, (day - days[0]).days / 7
        assert alive == pytest.approx(float(peer.conditional_probability_alive(*history)[0]), abs=1e-9)


def test_a_history_ends_no_earlier_than_it_begins(bg_nbd):
    assert len(alive_history(["1997-01-10"], bg_nbd, until="1997-01-10")) == 1
    with pytest.raises(SchemaError, match="`until` must be on or after the customer's first purchase"):
        alive_history(["1997-01-10"], bg_nbd, until="1997-01-09")


def of(model, params, *, k=None):
    model.params_, model.time_unit_ = params, "W"
    if k is not None:
        model.k_ = k
    return model


PARETO = {"r": 0.553277, "alpha": 10.577684, "s": 0.606240, "beta": 11.668730}
MODELS = {
    "BG/NBD": lambda: of(BetaGeoModel(), CDNOW),
    "MBG/NBD": lambda: of(ModifiedBetaGeoModel(), CDNOW),
    "BG/CNBD-3": lambda: of(BetaGeoCNBDModel(k=3), CDNOW, k=3),
    "MBG/CNBD-2": lambda: of(ModifiedBetaGeoCNBDModel(k=2), CDNOW, k=2),
    "Pareto/NBD": lambda: of(ParetoNBDModel(), PARETO),
}


def lived_gaps(rng, name, T):
    """Gaps seen until T by customers of the process, in weeks, each lived purchase by purchase."""
    n = len(T)
    k = {"BG/CNBD-3": 3, "MBG/CNBD-2": 2}.get(name, 1)
    if name == "Pareto/NBD":
        pace = rng.gamma(PARETO["r"], 1.0 / PARETO["alpha"], n)
        end = np.minimum(T, rng.exponential(1.0, n) / rng.gamma(PARETO["s"], 1.0 / PARETO["beta"], n))
        leave = np.zeros(n)
    else:
        pace, leave = rng.gamma(CDNOW["r"], 1.0 / CDNOW["alpha"], n), rng.beta(CDNOW["a"], CDNOW["b"], n)
        end = T
    stays = rng.random(n) > leave if name.startswith("MBG") else np.ones(n, dtype=bool)
    clock, gaps = np.zeros(n), []
    while stays.any():
        gap = rng.gamma(k, 1.0, n) / pace
        clock = clock + gap
        stays &= clock <= end
        gaps.append(gap[stays])
        stays &= rng.random(n) > leave
    return np.concatenate(gaps)


@pytest.mark.parametrize("name", MODELS)
def test_expected_gaps_are_those_of_a_lived_shop(log, name):
    gaps = interpurchase_times(log, MODELS[name](), as_of=END)
    lives = 100
    T = np.repeat(cdnow_rfm()["T"].to_numpy(), lives)
    seen = 7.0 * lived_gaps(np.random.default_rng(20), name, T)
    lived = np.histogram(seen, bins=[*gaps["above"], np.inf])[0]
    z = (lived - lives * gaps["expected"]) / np.sqrt(lives * gaps["expected"])
    assert np.abs(z).max() < 5.0  # more than Poisson, for one customer shows several gaps
    assert (z**2).mean() < 2.5


@pytest.mark.parametrize("name", MODELS)
def test_every_expected_repeat_purchase_ends_a_gap(log, rfm, name):
    model = MODELS[name]()
    expected = model.expected_purchases_new_customer(rfm["T"].to_numpy()).sum()
    assert interpurchase_times(log, model, as_of=END)["expected"].sum() == pytest.approx(expected, rel=1e-7)


def test_actual_gaps_are_counted_by_days(log, bg_nbd):
    gaps = interpurchase_times(log, bg_nbd, as_of=END, width_days=10)
    days = cdnow_log()[lambda frame: frame["date"] < END]
    seen = days.groupby("customer_id")["date"].diff().dt.days.dropna()
    assert gaps["actual"].sum() == len(seen) == 2457
    assert gaps["actual"].iloc[0] == (seen <= 10).sum()
    assert gaps["actual"].iloc[-1] == (seen > gaps["above"].iloc[-1]).sum() <= len(seen) / 100


def test_gaps_of_opportunities_are_refused(log):
    model = of(BetaGeoBetaBinomModel(), {"alpha": 1.2, "beta": 0.7, "gamma": 0.6, "delta": 2.7})
    with pytest.raises(CrmError, match="got BetaGeoBetaBinomModel"):
        interpurchase_times(log, model, as_of=END)


def test_the_probability_of_spend_is_the_integral_of_the_density():
    for x in (1, 7):
        expected, _ = integrate.quad(lambda m, x=x: np.exp(gamma_gamma.log_likelihood(x, m, **CDNOW_SPEND)), 0, 30)
        found = gamma_gamma.probability_of_spend_up_to(30.0, x, **CDNOW_SPEND)
        assert found == pytest.approx(expected, rel=1e-8)


def test_expected_spend_is_that_of_a_lived_shop():
    rng = np.random.default_rng(4)
    shop = simulate_shop(rng, 60_000, **CDNOW, T=39.0, spend=CDNOW_SPEND)
    table = spend_distribution(shop, of(GammaGammaModel(), CDNOW_SPEND), width=5.0)
    assert table["actual"].sum() == (shop["frequency"] > 0).sum()
    assert table["expected"].sum() == pytest.approx(table["actual"].sum(), rel=1e-12)
    z = (table["actual"] - table["expected"]) / np.sqrt(table["expected"])
    assert stats.chi2.sf((z**2).sum(), df=len(z) - 1) > 0.01


def test_spend_counts_customers_with_repeat_spend_only(rfm):
    table = spend_distribution(rfm, GammaGammaModel().fit(rfm), width=10)
    assert table["actual"].sum() == 946
    assert table["actual"].iloc[0] == (rfm["monetary_value"].between(0, 10, inclusive="right")).sum()
    assert np.isinf(table["up_to"].iloc[-1])
    with pytest.raises(CrmError, match="`width` must be positive"):
        spend_distribution(rfm, GammaGammaModel().fit(rfm), width=0)


def test_tracking_takes_a_process(log, rfm):
    clv = CLVModel(time_unit="W").fit(log, as_of=END)
    weeks = weekly_purchases(log, clv.process_, as_of="1998-07-01", fitted_as_of=END)
    pd.testing.assert_frame_equal(weeks, weekly_purchases(log, clv, as_of="1998-07-01"))
    with pytest.raises(NotFittedError, match="pass fitted_as_of with a purchase process"):
        weekly_purchases(log, clv.process_, as_of="1998-07-01")


def test_tracking_expects_the_published_repeats_of_a_new_customer(log):
    weeks = weekly_purchases(log, MODELS["BG/NBD"](), as_of="1998-07-01", fitted_as_of=END)
    births = cdnow_log().groupby("customer_id")["date"].min()
    first = births.min()
    ages = ((first + pd.Timedelta(weeks=len(weeks)) - births).dt.days / 7).to_numpy()
    r, alpha, a, b = CDNOW.values()
    each = (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + ages)) ** r * hyp2f1(r, b, a + b - 1, ages / (alpha + ages)))
    assert weeks["expected"].sum() == pytest.approx(each.sum(), rel=1e-9)  # equation 9 of the paper
