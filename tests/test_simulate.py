from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crm_ml.errors import CrmError
from crm_ml.events.simulator import SimulatedShop, simulate
from crm_ml.events.simulator.behaviour import sample_renewals

# Every statistical check allows 4 standard errors, computed from the law the docstring states.
Z = 4.0
FRAMES = ("transactions", "interactions", "customers", "campaigns")
START = pd.Timestamp("2024-01-01", tz="UTC")


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return simulate(20_000, seed=11)


@pytest.fixture(scope="module")
def experiment() -> SimulatedShop:
    """One campaign on customers who are all there from the start, with a strong effect."""
    return simulate(
        30_000, seed=5, days=300, acquisition_share=0.0, n_campaigns=1, extension_days=80.0, return_share=0.0
    )


def purchases(shop: SimulatedShop) -> pd.DataFrame:
    return shop.transactions[shop.transactions["amount"] > 0]


def in_days(delta: Any) -> Any:
    return delta / pd.Timedelta(days=1)


def days_since_start(stamps: Any) -> Any:
    return in_days(stamps - START)


def days_observed(shop: SimulatedShop) -> Any:
    """Days from the first purchase to leaving or the end."""
    end = shop.parameters["days"] - days_since_start(shop.customers["acquired_at"])
    return np.minimum(shop.customers["lifetime_days"], end)


def difference(outcome: Any, treated: Any) -> tuple[float, float]:
    """Difference in means between the arms, and its standard error."""
    a, b = outcome[treated], outcome[~treated]
    return a.mean() - b.mean(), float(np.hypot(a.sem(), b.sem()))


def test_same_seed_same_bytes() -> None:
    first, again, other = simulate(500, seed=3), simulate(500, seed=3), simulate(500, seed=4)
    for name in FRAMES:
        hashes = [pd.util.hash_pandas_object(getattr(one, name)).to_numpy() for one in (first, again)]
        assert hashes[0].tobytes() == hashes[1].tobytes()
    assert not first.transactions["amount"].head(50).equals(other.transactions["amount"].head(50))


def test_what_concerns_one_stream_leaves_the_others_alone() -> None:
    whole = simulate(300, seed=3)
    quiet = simulate(300, seed=3, interactions_per_purchase=0.0, return_share=0.0)
    assert set(quiet.interactions["event_type"]) == {"campaign_contact"}
    assert (whole.transactions["amount"] < 0).any()
    pd.testing.assert_frame_equal(purchases(whole).reset_index(drop=True), quiet.transactions)
    pd.testing.assert_frame_equal(whole.customers, quiet.customers)


def test_frames_keep_the_contract(shop: SimulatedShop) -> None:
    instant, text = "datetime64[us, UTC]", str(pd.Series(["text"]).dtype)
    assert shop.transactions.dtypes.astype(str).to_dict() == {
        "customer_id": text,
        "timestamp": instant,
        "amount": "float64",
        "order_id": text,
    }
    assert shop.interactions.dtypes.astype(str).to_dict() == {
        "customer_id": text,
        "timestamp": instant,
        "event_type": text,
        "value": "float64",
    }
    end = START + pd.Timedelta(days=730)
    for frame in (shop.transactions, shop.interactions, shop.campaigns):
        assert frame["timestamp"].between(START, end, inclusive="left").all()
    for frame in (shop.transactions, shop.interactions):
        pd.testing.assert_frame_equal(frame, frame.sort_values(["customer_id", "timestamp"], kind="stable"))
    carts = shop.interactions["event_type"] == "cart"
    assert shop.interactions["value"].notna().equals(carts)
    assert shop.customers.index.is_unique
    assert purchases(shop)["order_id"].is_unique
    assert shop.parameters["seed"] == 11
    assert 5 < len(shop.transactions) / len(shop.customers) < 20


def test_nothing_but_contacts_and_returns_after_leaving(shop: SimulatedShop) -> None:
    bought = purchases(shop).groupby("customer_id")["timestamp"].agg(["min", "max"])
    assert bought["min"].equals(shop.customers["acquired_at"].rename("min"))
    left = shop.customers["left_at"]
    assert left.notna().sum() > 1_000
    assert not (bought["max"] > left).any()
    own = shop.interactions[shop.interactions["event_type"] != "campaign_contact"]
    assert not (own["timestamp"] > own["customer_id"].map(left)).any()
    assert not (own["timestamp"] < own["customer_id"].map(shop.customers["acquired_at"])).any()


def test_left_at_agrees_with_lifetime(shop: SimulatedShop) -> None:
    truth = shop.customers
    expected = days_since_start(truth["acquired_at"]) + truth["lifetime_days"]
    assert truth["left_at"].isna().equals(expected >= 730)
    inside = truth["left_at"].notna()
    gap = days_since_start(truth["left_at"][inside]) - expected[inside]
    assert gap.abs().max() < 2.5 / 86_400e6  # two floors to the microsecond


def test_traits_follow_their_laws(shop: SimulatedShop) -> None:
    truth = shop.customers
    laws = {
        "purchase_rate_per_day": stats.gamma(1.5, scale=1 / 30),
        "lifetime_days_without_contact": stats.lomax(2.0, scale=300.0),
        "mean_spend": stats.invgamma(4.0, scale=6.0 * 15.0),
        "persuadability": stats.beta(4 * 0.3, 4 * 0.7),
    }
    for column, law in laws.items():
        assert stats.kstest(truth[column], law.cdf).pvalue > 1e-3, column
    assert stats.kstest(days_since_start(truth["acquired_at"]) / 365, "uniform").pvalue > 1e-3


def test_mean_lifetime_and_spend_match_their_formulas() -> None:
    truth: Any = simulate(50_000, seed=2, leaving_shape=5.0, leaving_scale_days=400.0, n_campaigns=0).customers
    assert abs(truth["lifetime_days"].mean() - 400 / (5 - 1)) < Z * truth["lifetime_days"].sem()
    assert abs(truth["mean_spend"].mean() - 6 * 15 / (4 - 1)) < Z * truth["mean_spend"].sem()


def test_purchases_are_poisson_at_the_customers_rate(shop: SimulatedShop) -> None:
    expected = (shop.customers["purchase_rate_per_day"] * days_observed(shop)).sum()
    repeats = len(purchases(shop)) - len(shop.customers)
    assert abs(repeats - expected) < Z * np.sqrt(expected)


@pytest.mark.parametrize("k", [0.5, 1.0, 4.0])
def test_gaps_have_squared_coefficient_of_variation_one_over_k(k: float) -> None:
    n, taken = 1_500, 50
    customer, day = sample_renewals(
        np.random.default_rng(8), np.zeros(n), np.full(n, 400.0), np.full(n, 2.0), regularity=k
    )
    # The first gaps only: those cut off at the end would be the long ones.
    gaps = np.array([np.diff(days[: taken + 1]) for days in np.split(day, np.flatnonzero(np.diff(customer)) + 1)])
    assert gaps.shape == (n, taken)
    assert stats.kstest(gaps.ravel(), stats.gamma(k, scale=1 / (2.0 * k)).cdf).pvalue > 1e-3
    squared = gaps.var() / gaps.mean() ** 2
    assert abs(squared - 1 / k) < Z * np.sqrt((2 + 6 / k) / gaps.size) / k


def test_regularity_reaches_the_log() -> None:
    regular = simulate(300, seed=1, regularity=1e6, leaving_scale_days=1e6)
    gaps = in_days(purchases(regular).groupby("customer_id")["timestamp"].diff())
    rates = purchases(regular)["customer_id"].map(regular.customers["purchase_rate_per_day"])
    repeated = gaps.notna()
    np.testing.assert_allclose(gaps[repeated] * rates[repeated], 1.0, atol=6e-3)  # 6 sd of 1e-3


def test_amounts_are_gamma_about_the_customers_mean(shop: SimulatedShop) -> None:
    bought = purchases(shop)
    means = bought["customer_id"].map(shop.customers["mean_spend"])
    scaled = bought["amount"] / means
    assert abs(scaled.mean() - 1) < Z * np.sqrt(1 / 6 / len(scaled))
    assert abs(scaled.var() * 6 - 1) < Z * np.sqrt((2 + 6 / 6) / len(scaled))
    assert np.allclose(bought["amount"] * 100, np.round(bought["amount"] * 100))


def test_returns_follow_their_purchase(shop: SimulatedShop) -> None:
    bought = purchases(shop).set_index("order_id")
    back = shop.transactions[shop.transactions["amount"] < 0].set_index("order_id")
    assert back.index.is_unique
    origin = bought.loc[back.index]
    assert (back["customer_id"] == origin["customer_id"]).all()
    assert (-back["amount"] <= origin["amount"]).all()
    assert 0.4 < (-back["amount"] == origin["amount"]).mean() < 0.6
    delay = back["timestamp"] - origin["timestamp"]
    assert delay.between(pd.Timedelta(0), pd.Timedelta(days=14)).all()
    assert not (back["timestamp"] == START + pd.Timedelta(days=730) - pd.Timedelta(microseconds=1)).any()
    seen = bought[days_since_start(bought["timestamp"]) < 730 - 14]
    share = seen.index.isin(back.index).mean()
    assert abs(share - 0.05) < Z * np.sqrt(0.05 * 0.95 / len(seen))


def test_interactions_come_at_the_stated_rates() -> None:
    calm = simulate(5_000, seed=6, warning_days=0.0, n_campaigns=0)
    truth, counts = calm.customers, calm.interactions["event_type"].value_counts()
    mass = 2.5 * truth["purchase_rate_per_day"] * days_observed(calm)
    for kind, share in {"view": 0.5, "cart": 0.2, "support": 0.04, "complaint": 0.01}.items():
        assert abs(counts[kind] - share * mass.sum()) < Z * np.sqrt(share * mass.sum()), kind
    eager = truth["persuadability"] > 0.5
    opens = calm.interactions[calm.interactions["event_type"] == "email_open"]
    for group in (eager, ~eager):
        expected = (0.25 * mass * (0.5 + truth["persuadability"]) / 0.8)[group].sum()
        assert abs(opens["customer_id"].map(group).sum() - expected) < Z * np.sqrt(expected)


# A linear move from 1 to m averages (1 + m) / 2 over the warning.
@pytest.mark.parametrize(
    ("kind", "ratio"),
    [("view", 0.5), ("cart", 0.5), ("email_open", 0.5), ("support", 2.5), ("complaint", 4.5)],
)
def test_engagement_changes_before_leaving(leavers: pd.DataFrame, kind: str, ratio: float) -> None:
    to_go = leavers.loc[leavers["event_type"] == kind, "days_to_go"]
    warned, before = int((to_go <= 45).sum()), int(to_go.between(45, 90, inclusive="right").sum())
    assert abs(warned / before - ratio) < Z * ratio * np.sqrt(1 / warned + 1 / before)


@pytest.fixture(scope="module")
def leavers() -> pd.DataFrame:
    """Interactions, with the days to go, of those who left after at least two lengths of the warning."""
    shop = simulate(20_000, seed=9, n_campaigns=0, warning_days=45.0)
    events, truth = shop.interactions, shop.customers
    left = events["customer_id"].map(truth["left_at"])
    events = events.assign(days_to_go=in_days(left - events["timestamp"]))
    long = truth.index[truth["left_at"].notna() & (truth["lifetime_days"] >= 90)]
    return events[events["customer_id"].isin(long)]


def test_views_thin_out_day_by_day(leavers: pd.DataFrame) -> None:
    to_go = leavers.loc[(leavers["event_type"] == "view") & (leavers["days_to_go"] <= 45), "days_to_go"]
    # An intensity that falls linearly to nothing puts the square of the days to go evenly on [0, 45²].
    assert stats.kstest((to_go / 45) ** 2, "uniform").pvalue > 1e-3


def test_arms_are_random_and_the_true_effect_is_stored(experiment: SimulatedShop) -> None:
    rows = experiment.campaigns.set_index("customer_id")
    treated = rows["arm"] == "treated"
    assert len(rows) == 30_000
    assert abs(treated.mean() - 0.5) < Z * np.sqrt(0.25 / len(rows))
    chance = experiment.customers["persuadability"]
    assert abs(rows["persuadable"].mean() - 0.3) < Z * np.sqrt(0.3 * 0.7 / len(rows))
    assert rows["persuadable"].groupby(chance > 0.5).mean().diff().iloc[-1] > 0.2
    heeds = rows["persuadable"] & (rows["days_left_without"] > 0)
    assert (rows["effect_days"] == np.where(heeds, 80.0, 0.0)).all()
    assert rows["responded"].equals(treated & heeds)
    gained = experiment.customers["lifetime_days"] - experiment.customers["lifetime_days_without_contact"]
    np.testing.assert_allclose(gained, rows["effect_days"].where(treated, 0.0), atol=1e-6)
    contacted = experiment.interactions.query("event_type == 'campaign_contact'")["customer_id"]
    assert contacted.is_unique
    assert set(contacted) == set(rows.index[treated])


def test_experiment_recovers_the_true_effect_on_staying(experiment: SimulatedShop) -> None:
    rows = experiment.campaigns.set_index("customer_id")
    without, contacted = rows["days_left_without"], rows["days_left_without"] + rows["effect_days"]
    truth = ((contacted > 60).astype(float) - (without > 60)).mean()
    until = rows["timestamp"] + pd.Timedelta(days=60)
    stayed = (~(experiment.customers["left_at"] <= until)).astype(float)
    estimate, error = difference(stayed, rows["arm"] == "treated")
    assert truth > 5 * error
    assert abs(estimate - truth) < Z * error


def test_experiment_recovers_the_true_effect_on_purchases(experiment: SimulatedShop) -> None:
    rows = experiment.campaigns.set_index("customer_id")
    bought = purchases(experiment)
    since = in_days(bought["timestamp"] - bought["customer_id"].map(rows["timestamp"]))
    later = bought[since.between(0, 120)].groupby("customer_id").size().reindex(rows.index, fill_value=0)
    rate = experiment.customers["purchase_rate_per_day"]
    without = rate * rows["days_left_without"].clip(0, 120)
    contacted = rate * (rows["days_left_without"] + rows["effect_days"]).clip(0, 120)
    truth = (contacted - without).mean()
    # What was to be expected without a contact is the same in both arms; taking it off sharpens the estimate.
    estimate, error = difference(later - without, rows["arm"] == "treated")
    assert truth > 5 * error
    assert abs(estimate - truth) < Z * error


def test_a_contact_to_come_does_not_show_before_it(experiment: SimulatedShop) -> None:
    rows = experiment.campaigns.set_index("customer_id")
    saved = rows[(rows["effect_days"] > 0) & (rows["days_left_without"] < 30)]
    views = experiment.interactions.query("event_type == 'view'")
    gap = in_days(views["customer_id"].map(saved["timestamp"]) - views["timestamp"])
    seen = views[gap.between(0, 30)].groupby("customer_id").size().reindex(saved.index, fill_value=0)
    estimate, error = difference(seen, saved["arm"] == "treated")
    assert abs(estimate) < Z * error
    after = views[gap.between(-30, 0)].groupby("customer_id").size().reindex(saved.index, fill_value=0)
    estimate, error = difference(after, saved["arm"] == "treated")
    assert estimate > 5 * error


def test_campaigns_take_only_customers_acquired_before() -> None:
    shop = simulate(2_000, seed=1, days=90, acquisition_share=1.0, n_campaigns=2)
    acquired = shop.campaigns["customer_id"].map(shop.customers["acquired_at"])
    assert (acquired < shop.campaigns["timestamp"]).all()
    moments = shop.campaigns.groupby("campaign_id")["timestamp"].unique().explode()
    assert list(days_since_start(moments)) == [30.0, 60.0]
    sizes = shop.campaigns.groupby("campaign_id").size()
    before = days_since_start(shop.customers["acquired_at"])
    assert list(sizes) == [(before < 30).sum(), (before < 60).sum()]


def test_edges_of_the_settings() -> None:
    assert simulate(1).customers.shape == (1, 8)
    alone = simulate(200, n_campaigns=0, acquisition_share=0.0, start="2020-02-29T12:00:00+02:00")
    assert alone.campaigns.empty
    assert "effect_days" in alone.campaigns
    assert (alone.customers["acquired_at"] == pd.Timestamp("2020-02-29T10:00Z")).all()
    nobody = simulate(200, treated_share=0.0, persuadable_share=1.0)
    assert (nobody.campaigns["arm"] == "control").all()
    assert nobody.campaigns["persuadable"].all()
    everybody = simulate(200, treated_share=1.0, persuadable_share=0.0, return_share=1.0)
    assert (everybody.campaigns["arm"] == "treated").all()
    assert not everybody.campaigns["responded"].any()
    brief = simulate(200, days=1, seed=4)
    assert (brief.transactions["timestamp"].max() - START) < pd.Timedelta(days=1)


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("n_customers", 0, "be a whole number of at least 1; got 0"),
        ("n_customers", 10.0, "be a whole number of at least 1; got 10.0"),
        ("seed", -1, "be a whole number of at least 0"),
        ("n_campaigns", -1, "be a whole number of at least 0"),
        ("days", 0.5, "be from 1 to 36,500"),
        ("days", 36_501, "be from 1 to 36,500"),
        ("start", "yesterweek", "be a date or timestamp"),
        ("start", pd.NaT, "be a date or timestamp"),
        ("regularity", 0.0, "be above 0 and finite"),
        ("leaving_shape", float("nan"), "be above 0 and finite"),
        ("purchase_scale_days", float("inf"), "be above 0 and finite"),
        ("spend_mixing_shape", 1.0, "be above 1 and finite"),
        ("warning_days", -1.0, "be at least 0 and finite"),
        ("extension_days", "60", "be at least 0 and finite"),
        ("return_share", 1.01, r"be within \[0, 1\]"),
        ("treated_share", -0.01, r"be within \[0, 1\]"),
    ],
)
def test_settings_outside_their_domain_are_refused(setting: str, value: Any, rule: str) -> None:
    with pytest.raises(CrmError, match=f"`{setting}` must {rule}"):
        simulate(**{"n_customers": 5, setting: value})
