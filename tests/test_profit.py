"""Profit against counting, every order a tie allows, every resample there is, quadrature, and empulse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution

from crm_ml.errors import SchemaError
from crm_ml.evaluation import (
    RetentionCampaign,
    best_depth,
    expected_maximum_profit,
    maximum_profit,
    profit_curve,
)
from crm_ml.evaluation.campaigns import profit

CAMPAIGN = RetentionCampaign(save_rate=0.3, incentive_cost=10, contact_cost=1)
DRAW = np.random.default_rng(11)
RISK = DRAW.random(120).round(1)
LEFT = (DRAW.random(120) < RISK).astype(float)
VALUE = DRAW.gamma(0.7, 200.0, 120)


def plain_profit(left: float, value: float, campaign: RetentionCampaign) -> float:
    """Tell the campaign's story for one customer."""
    if not left:
        return -campaign.incentive_cost - campaign.contact_cost
    kept = value - campaign.incentive_cost - campaign.contact_cost
    return campaign.save_rate * kept + (1 - campaign.save_rate) * -campaign.contact_cost


def test_the_profit_of_a_contact_is_that_of_the_story() -> None:
    found = CAMPAIGN.profit(LEFT, VALUE)
    assert found.tolist() == pytest.approx(
        [plain_profit(*customer, CAMPAIGN) for customer in zip(LEFT, VALUE, strict=True)]
    )


def test_what_is_expected_is_the_mean_of_what_may_come() -> None:
    risk, value = [0.9, 0.2, 0.55], [150.0, 900.0, 30.0]
    expected = profit_curve(risk, value, campaign=CAMPAIGN, points=7)
    mean = np.zeros(7)
    for left in itertools.product([0, 1], repeat=3):
        chance = np.prod([p if gone else 1 - p for p, gone in zip(risk, left, strict=True)])
        mean += chance * profit_curve(risk, value, campaign=CAMPAIGN, churned=left, points=7)["profit"]
    assert expected["profit"].tolist() == pytest.approx(mean.tolist(), rel=1e-12)


def test_the_curve_counts_each_customers_own_value() -> None:
    expected = [
        p * plain_profit(1, v, CAMPAIGN) + (1 - p) * plain_profit(0, v, CAMPAIGN)
        for p, v in zip(RISK, VALUE, strict=True)
    ]
    order = sorted(range(120), key=lambda at: -expected[at])
    found = profit_curve(RISK, VALUE, campaign=CAMPAIGN, churned=LEFT, points=121)
    brought = [plain_profit(LEFT[at], VALUE[at], CAMPAIGN) for at in order]
    assert found["profit"].tolist() == pytest.approx([sum(brought[:k]) for k in range(121)], abs=1e-9)
    assert found["customers"].tolist() == pytest.approx(list(range(121)))
    assert found["contacted_share"].tolist() == pytest.approx([k / 120 for k in range(121)])
    assert found["profit_per_customer"].tolist() == pytest.approx((found["profit"] / 120).tolist())


def test_ties_count_at_their_mean_over_every_order() -> None:
    score, value, left = [0.5, 0.5, 0.9, 0.5, 0.1], [100.0, 700.0, 20.0, 50.0, 400.0], [1, 0, 1, 1, 0]
    orders = [
        order
        for order in itertools.permutations(range(5))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order))
    ]
    brought = [plain_profit(gone, v, CAMPAIGN) for gone, v in zip(left, value, strict=True)]
    brute = [sum(sum(brought[at] for at in order[:k]) for order in orders) / len(orders) for k in range(6)]
    found = profit_curve(score, value, campaign=CAMPAIGN, churned=left, order_by=score, points=6)
    assert found["profit"].tolist() == pytest.approx(brute, abs=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_profit_does_not_depend_on_row_order(seed: int) -> None:
    at = np.random.default_rng(seed).permutation(120)
    one = profit_curve(RISK, VALUE, campaign=CAMPAIGN, churned=LEFT, order_by=RISK)
    other = profit_curve(RISK[at], VALUE[at], campaign=CAMPAIGN, churned=LEFT[at], order_by=RISK[at])
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    money = {"clv": 200, "incentive_cost": 10, "contact_cost": 1}
    ordered = expected_maximum_profit(LEFT, RISK, **money)
    assert expected_maximum_profit(LEFT[at], RISK[at], **money) == pytest.approx(ordered, rel=1e-12)


def test_own_values_change_who_is_contacted_first() -> None:
    by_own = profit_curve([0.9, 0.5], [15.0, 1000.0], campaign=CAMPAIGN, points=3)
    by_risk = profit_curve([0.9, 0.5], [15.0, 1000.0], campaign=CAMPAIGN, order_by=[0.9, 0.5], points=3)
    assert by_own["profit"].iloc[1] == pytest.approx(0.5 * 0.3 * 990 - 0.5 * 10 - 1)
    assert by_risk["profit"].iloc[1] == pytest.approx(0.9 * 0.3 * 5 - 0.1 * 10 - 1)
    assert by_own["profit"].iloc[2] == pytest.approx(by_risk["profit"].iloc[2])


def test_the_best_depth_never_cuts_a_tie() -> None:
    # the first of the tied would pay, both together do not
    found = best_depth(
        [0.9, 0.5, 0.5],
        100,
        campaign=CAMPAIGN,
        churned=[1, 1, 0],
        order_by=[3, 2, 2],
        rng=np.random.default_rng(0),
    )
    both = plain_profit(1, 100, CAMPAIGN) + plain_profit(0, 100, CAMPAIGN)
    assert both > 0
    assert found.customers == 3
    dearer = RetentionCampaign(save_rate=0.2, incentive_cost=15, contact_cost=2)
    assert plain_profit(1, 100, dearer) > 0 > plain_profit(1, 100, dearer) + plain_profit(0, 100, dearer)
    found = best_depth(
        [0.9, 0.5, 0.5], 100, campaign=dearer, churned=[1, 1, 0], order_by=[3, 2, 2], rng=np.random.default_rng(0)
    )
    assert (found.customers, found.contacted_share) == (1, 1 / 3)
    assert found.profit == pytest.approx(plain_profit(1, 100, dearer))


def every_resample(brought: list[float], stops: list[int], *, best: int) -> tuple[list[float], list[float]]:
    """Give the best depth and the profit down to `best` for each of the n^n samples, in order of contact."""
    n = len(brought)
    depths, there = [], []
    for drawn in itertools.product(range(n), repeat=n):
        totals = {stop: sum(brought[at] for at in drawn if at < stop) for stop in stops}
        top = max(stops, key=lambda stop: (round(totals[stop], 9), -stop))
        depths.append(sum(at < top for at in drawn) / n)
        there.append(totals[best])
    return depths, there


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize(
    ("score", "stops"),
    [([0.9, 0.8, 0.7, 0.6, 0.5], [0, 1, 2, 3, 4, 5]), ([0.9, 0.9, 0.7, 0.5, 0.5], [0, 2, 3, 5])],
)
def test_small_lists_are_resampled_exactly(level: float, score: list[float], stops: list[int]) -> None:
    value, left = [500.0, 80.0, 800.0, 500.0, 300.0], [1, 0, 1, 0, 1]
    campaign = RetentionCampaign(save_rate=0.3, incentive_cost=60, contact_cost=1)
    brought = [plain_profit(gone, v, campaign) for gone, v in zip(left, value, strict=True)]
    found = best_depth(
        score,
        value,
        campaign=campaign,
        churned=left,
        order_by=score,
        level=level,
        n_replicates=20_000,
        rng=np.random.default_rng(1),
    )
    depths, there = every_resample(brought, stops, best=found.customers)
    # the standard error of a probability in 20,000 samples is at most 0.0036
    for tail, share, money in (
        ((1 - level) / 2, found.share_lower, found.profit_lower),
        ((1 + level) / 2, found.share_upper, found.profit_upper),
    ):
        between = [tail - 0.012, tail + 0.012]
        for got, exact in ((share, depths), (money, there)):
            low, high = np.quantile(exact, between)
            assert low - 1e-9 <= got <= high + 1e-9


def campaign_of(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(21)
    risk = rng.beta(1, 2, n)
    return {
        "probability": risk,
        "value": rng.gamma(0.7, 100.0, n),
        "churned": (rng.random(n) < risk).astype(float),
        "campaign": CAMPAIGN,
    }


def test_long_lists_in_stretches_agree_with_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = campaign_of(6000)
    exact = best_depth(**shop, n_replicates=2000, rng=np.random.default_rng(2))
    monkeypatch.setattr(profit, "CELLS", 300)
    found = best_depth(**shop, n_replicates=2000, rng=np.random.default_rng(3))
    assert (found.contacted_share, found.customers, found.profit) == (
        exact.contacted_share,
        exact.customers,
        exact.profit,
    )
    width = exact.share_upper - exact.share_lower
    assert found.share_lower == pytest.approx(exact.share_lower, abs=0.1 * width)
    assert found.share_upper == pytest.approx(exact.share_upper, abs=0.1 * width)
    spread = exact.profit_upper - exact.profit_lower
    assert found.profit_lower == pytest.approx(exact.profit_lower, abs=0.1 * spread)
    assert found.profit_upper == pytest.approx(exact.profit_upper, abs=0.1 * spread)


def test_a_best_depth_within_a_stretch_is_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profit, "CELLS", 2)
    left = np.arange(40) < 10
    found = best_depth(-np.arange(40) / 40 + 1, 200.0, campaign=CAMPAIGN, churned=left, rng=np.random.default_rng(5))
    paying = plain_profit(1, 200.0, CAMPAIGN)
    assert (found.customers, found.profit) == (10, pytest.approx(10 * paying))
    # of 40 drawn, 5 to 15 are of the paying quarter in nine samples of ten (binomial)
    assert [found.profit_lower, found.profit_upper] == pytest.approx([5.5 * paying, 14.5 * paying], abs=0.6 * paying)


def test_the_interval_of_the_profit_is_as_wide_as_the_central_limit_says() -> None:
    shop = campaign_of(30_000)
    found = best_depth(**shop, n_replicates=3000, rng=np.random.default_rng(4))
    order = np.argsort(-CAMPAIGN.profit(shop["probability"], shop["value"]))
    brought = CAMPAIGN.profit(shop["churned"], shop["value"])
    brought[order[found.customers :]] = 0.0
    assert found.profit == pytest.approx(brought.sum(), rel=1e-9)
    reach = 1.6448536 * np.sqrt(30_000 * brought.var())
    # the standard error of a quantile in 3000 normal samples is 0.04 standard deviations
    assert found.profit_lower == pytest.approx(found.profit - reach, abs=0.1 * reach)
    assert found.profit_upper == pytest.approx(found.profit + reach, abs=0.1 * reach)


def test_where_nobody_pays_nobody_is_contacted() -> None:
    found = best_depth(RISK, 5.0, campaign=CAMPAIGN, churned=LEFT, rng=np.random.default_rng(0))
    assert (found.contacted_share, found.share_lower, found.share_upper, found.customers) == (0, 0, 0, 0)
    assert (found.profit, found.profit_lower, found.profit_upper) == (0, 0, 0)


def test_a_generator_settles_the_interval() -> None:
    one, same, other = (
        best_depth(RISK, VALUE, campaign=CAMPAIGN, churned=LEFT, rng=np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert one == same
    assert one != other


# empulse 0.13.1: empc_score and its optimal_rate, mpc_score and its optimal_rate at accept_rate=0.4
INDEX = np.arange(200)
SCORE = (INDEX * 37 % 100) / 100
GONE = ((INDEX * 53 % 101) / 101 < 0.15 + 0.5 * SCORE).astype(float)
EMPULSE = [
    ((200, 10, 1, 6, 14), 15.958596735020222, 0.9200703736193934, 23.400000000000006, 1.0),
    ((60, 15, 0, 2, 5), 0.8296262396960061, 0.21384488318214065, 1.245, 0.39),
    ((80, 0, 4, 0.5, 1.5), 5.256185473766956, 0.534341203208103, 8.800000000000002, 1.0),
    ((45, 20, 3, 6, 14), 0.04511484803620709, 0.009822990880176732, 0.07, 0.01),
    ((10, 20, 3, 6, 14), 0.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("setting", "empc", "empc_rate", "mpc", "mpc_rate"), EMPULSE)
def test_maximum_profits_are_those_of_empulse(
    setting: tuple[float, ...], empc: float, empc_rate: float, mpc: float, mpc_rate: float
) -> None:
    clv, incentive_cost, contact_cost, alpha, beta = setting
    assert GONE.sum() == 80
    money = {"clv": clv, "incentive_cost": incentive_cost, "contact_cost": contact_cost}
    expected = expected_maximum_profit(GONE, SCORE, **money, alpha=alpha, beta=beta)
    assert expected.profit_per_customer == pytest.approx(empc, rel=1e-12, abs=1e-14)
    assert expected.contacted_share == pytest.approx(empc_rate, rel=1e-12, abs=1e-14)
    fixed = maximum_profit(GONE, SCORE, **money, save_rate=0.4)
    assert fixed.profit_per_customer == pytest.approx(mpc, rel=1e-12, abs=1e-14)
    assert fixed.contacted_share == pytest.approx(mpc_rate, rel=1e-12, abs=1e-14)


def best_of_every_threshold(left: Any, risk: Any, *, clv: float, incentive: float, contact: float, rate: float) -> Any:
    """Give the profit and the share at the best threshold by trying them all, the smallest share on a tie."""
    campaign = RetentionCampaign(save_rate=rate, incentive_cost=incentive, contact_cost=contact)
    tried = [(0.0, 0.0)]
    for threshold in sorted(set(risk), reverse=True):
        taken = [at for at in range(len(risk)) if risk[at] >= threshold]
        total = sum(plain_profit(left[at], clv, campaign) for at in taken)
        tried.append((total / len(risk), len(taken) / len(risk)))
    return max(tried, key=lambda one: (round(one[0], 12), -one[1]))


@pytest.mark.parametrize("alpha_beta", [(6.0, 14.0), (1.5, 1.0)])
@pytest.mark.parametrize(
    ("left", "risk"),
    [
        ([1, 0, 1, 1, 0, 0, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.7, 0.7, 0.4, 0.4, 0.2, 0.1, 0.1]),
        ([0, 0, 1, 0, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]),
        ([0, 0, 0], [0.3, 0.2, 0.1]),
        ([1, 1, 1], [0.3, 0.2, 0.1]),
        ([1], [0.5]),
    ],
)
def test_expected_maximum_profit_is_the_integral_over_every_threshold(
    left: list[int], risk: list[float], alpha_beta: tuple[float, float]
) -> None:
    alpha, beta = alpha_beta

    def weighted(rate: float, which: int) -> float:
        best = best_of_every_threshold(left, risk, clv=80, incentive=10, contact=2, rate=rate)
        return float(best[which] * beta_distribution.pdf(rate, alpha, beta))

    steps = np.linspace(0, 1, 1001)
    kinks = [
        float(b)
        for a, b in itertools.pairwise(steps)
        if len({best_of_every_threshold(left, risk, clv=80, incentive=10, contact=2, rate=r)[1] for r in (a, b)}) > 1
    ]
    found = expected_maximum_profit(left, risk, clv=80, incentive_cost=10, contact_cost=2, alpha=alpha, beta=beta)
    for which, value in enumerate(found):
        # the kinks are known to a thousandth, where the share contacted jumps
        tolerance = (1e-6, 4e-3)[which]
        integral, _ = quad(weighted, 0, 1, args=(which,), points=kinks or None, limit=400)
        assert value == pytest.approx(integral, abs=tolerance)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 1.0])
def test_maximum_profit_is_that_of_the_best_threshold(rate: float) -> None:
    expected = best_of_every_threshold(LEFT, RISK, clv=90, incentive=12, contact=3, rate=rate)
    found = maximum_profit(LEFT, RISK, clv=90, incentive_cost=12, contact_cost=3, save_rate=rate)
    assert found == pytest.approx(expected)


def test_expected_maximum_profit_nears_the_fixed_one_as_the_save_rate_settles() -> None:
    money = {"clv": 90, "incentive_cost": 12, "contact_cost": 3}
    fixed = maximum_profit(LEFT, RISK, **money, save_rate=0.3)
    settled = expected_maximum_profit(LEFT, RISK, **money, alpha=3e6, beta=7e6)
    assert settled == pytest.approx(fixed, rel=1e-4)


def test_free_campaigns_contact_everyone_who_may_leave() -> None:
    found = expected_maximum_profit([1, 0, 0], [0.9, 0.5, 0.1], clv=30, incentive_cost=0, contact_cost=0)
    assert found.profit_per_customer == pytest.approx(30 * 0.3 / 3)
    assert found.contacted_share == pytest.approx(1 / 3)


MONEY = {"clv": 200.0, "incentive_cost": 10.0, "contact_cost": 1.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RetentionCampaign(save_rate=1.01, incentive_cost=1, contact_cost=1), "`save_rate` must be between 0"),
        (lambda: RetentionCampaign(save_rate=-0.01, incentive_cost=1, contact_cost=1), "`save_rate` must be between 0"),
        (lambda: RetentionCampaign(save_rate=0.1, incentive_cost=-1, contact_cost=1), "`incentive_cost` must be fin"),
        (lambda: RetentionCampaign(save_rate=0.1, incentive_cost=1, contact_cost=np.inf), "`contact_cost` must be fin"),
        (lambda: CAMPAIGN.profit([0.5, 1.2], 1.0), "`churn` must lie between 0 and 1; 1 of 2 values do not"),
        (lambda: CAMPAIGN.profit([-0.1, np.nan], 1.0), "`churn` must lie between 0 and 1; 2 of 2 values do not"),
        (lambda: CAMPAIGN.profit([], 1.0), r"`churn` must have one value per customer; got shape \(0,\)"),
        (lambda: CAMPAIGN.profit([[0.5]], 1.0), r"`churn` must have one value per customer; got shape \(1, 1\)"),
        (lambda: CAMPAIGN.profit([0.5], [1.0, 2.0]), r"`value` must have one .*; got shape \(2,\) for 1 customers"),
        (lambda: CAMPAIGN.profit([0.5], [np.nan]), "`value` must be finite; 1 of 1 values are not"),
        (lambda: profit_curve([0.5], 1.0, campaign=CAMPAIGN, order_by=[1, 2]), "`order_by` must have one value"),
        (lambda: profit_curve([0.5], 1.0, campaign=CAMPAIGN, churned=[1, 0]), "`churned` must have one value"),
        (lambda: maximum_profit([1], [np.nan], **MONEY, save_rate=0.1), "`probability` must be finite; 1 of 1"),
        (lambda: expected_maximum_profit([1, 0], [0.1], **MONEY), "`probability` must have one value per customer"),
        (lambda: expected_maximum_profit([2], [0.1], **MONEY), "`churned` must lie between 0 and 1; 1 of 1"),
        (lambda: expected_maximum_profit([1], [0.1], **MONEY, alpha=0), "`alpha` must be finite and above 0; got 0"),
        (lambda: expected_maximum_profit([1], [0.1], **MONEY, beta=np.inf), "`beta` must be finite and above 0"),
        (lambda: expected_maximum_profit([1], [0.1], **(MONEY | {"clv": np.nan})), "`clv` must be finite"),
        (lambda: expected_maximum_profit([1], [0.1], **(MONEY | {"contact_cost": -1})), "`contact_cost` must be fin"),
    ],
)
def test_what_makes_no_sense_is_told(call: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        call()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"level": 0.0}, "`level` must be between 0 and 1, both excluded; got 0"),
        ({"level": 1.0}, "`level` must be between 0 and 1, both excluded; got 1"),
        ({"n_replicates": 0}, "`n_replicates` must be at least 1; got 0"),
    ],
)
def test_intervals_outside_their_domain_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        best_depth(RISK, VALUE, campaign=CAMPAIGN, rng=np.random.default_rng(0), **setting)


def test_the_bounds_themselves_are_allowed() -> None:
    free = RetentionCampaign(save_rate=1.0, incentive_cost=0.0, contact_cost=0.0)
    assert free.profit([0.0, 1.0], [5.0, 5.0]).tolist() == [0.0, 5.0]
    assert RetentionCampaign(save_rate=0.0, incentive_cost=0.0, contact_cost=0.0).profit([1.0], 5.0).tolist() == [0.0]
    one = best_depth([0.5], 100.0, campaign=free, n_replicates=1, rng=np.random.default_rng(0))
    assert (one.customers, one.profit_lower, one.profit_upper) == (1, 50.0, 50.0)
