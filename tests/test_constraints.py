"""What a plan keeps to: constraints, holdouts, redemption, and the interval it comes with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_ml.decisions import BudgetConstraints, Offer, allocate_budget
from crm_ml.errors import CrmError, SchemaError

COUPON = Offer("coupon", cost=5, save_rate=0.06, channel="mail")
LETTER = Offer("letter", cost=2, save_rate=0.03, channel="mail")
CALL = Offer("call", cost=25, save_rate=0.2, channel="phone")
OFFERS = [COUPON, LETTER, CALL]


def make_customers(count: int = 2_000, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    risk, value = rng.beta(1, 2, count), rng.lognormal(5.0, 1.0, count)
    return pd.DataFrame(
        {
            "churn_probability": risk,
            "churn_lower": risk * 0.8,
            "churn_upper": risk * 1.1,
            "clv": value,
            "clv_lower": value * 0.5,
            "clv_upper": value * 2.0,
            "segment": rng.choice(["core", "new", "sleeping"], count, p=[0.2, 0.3, 0.5]),
        },
        index=pd.Index([f"c{i:05d}" for i in range(count)], name="customer_id"),
    )


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    return make_customers()


def spend_by(plan, customers, what):
    spent = plan.assignments["cost"].groupby(customers[what].reindex(plan.assignments.index)).sum()
    return spent / plan.spend


def test_a_channel_keeps_to_its_budget(customers):
    free = allocate_budget(customers, OFFERS, 3_000)
    plan = allocate_budget(customers, OFFERS, 3_000, constraints=BudgetConstraints(channel_budgets={"phone": 500}))
    cost = plan.assignments.groupby("offer")["cost"].sum()
    assert free.assignments.groupby("offer")["cost"].sum()["call"] > 500
    assert cost["call"] <= 500
    assert plan.limits.loc["budget of phone", "reached"] == cost["call"]
    assert plan.limits.loc["budget of phone", "price"] > 0
    assert plan.expected_gain < free.expected_gain
    assert plan.upper_bound < free.upper_bound
    assert plan.gap < 0.005


def test_an_offer_keeps_to_its_cap(customers):
    plan = allocate_budget(customers, OFFERS, 3_000, constraints=BudgetConstraints(contact_caps={"call": 7}))
    assert (plan.assignments["offer"] == "call").sum() == 7
    assert plan.limits.loc["contacts of call", ["stated", "reached"]].tolist() == [7, 7]


def test_segments_keep_to_their_shares_of_the_spend(customers):
    free = spend_by(allocate_budget(customers, OFFERS, 3_000), customers, "segment")
    constraints = BudgetConstraints(
        segment="segment", minimum_shares={"core": free["core"] + 0.1}, maximum_shares={"sleeping": 0.3}
    )
    plan = allocate_budget(customers, OFFERS, 3_000, constraints=constraints)
    shares = spend_by(plan, customers, "segment")
    assert shares["core"] >= free["core"] + 0.1 - 1e-12
    assert shares["sleeping"] <= 0.3 + 1e-12 < free["sleeping"]
    assert plan.limits.loc["least share of core", "reached"] == pytest.approx(shares["core"], rel=1e-12)
    assert plan.limits.loc["largest share of sleeping", "reached"] == pytest.approx(shares["sleeping"], rel=1e-12)
    assert plan.gap < 0.01


def test_a_price_of_a_share_is_what_a_point_of_it_would_bring(customers):
    def with_share(share):
        constraints = BudgetConstraints(segment="segment", maximum_shares={"sleeping": share})
        return allocate_budget(customers, OFFERS, 3_000, constraints=constraints)

    here, more = with_share(0.3), with_share(0.32)
    secant = (more.upper_bound - here.upper_bound) / 0.02
    assert more.limits["price"].iloc[1] <= secant <= here.limits["price"].iloc[1] * 1.02


def test_the_plan_as_a_whole_returns_what_it_must(customers):
    free = allocate_budget(customers, OFFERS, 20_000)
    needed = 1.5 * free.expected_gain / free.spend
    plan = allocate_budget(customers, OFFERS, 20_000, constraints=BudgetConstraints(minimum_return=needed))
    assert plan.expected_gain / plan.spend >= needed
    assert plan.limits.loc["return", "reached"] == pytest.approx(plan.expected_gain / plan.spend)
    assert plan.expected_gain / plan.spend == pytest.approx(needed, rel=0.01)
    assert plan.spend < free.spend


def test_excluded_customers_get_nothing(customers):
    best = allocate_budget(customers, OFFERS, 300).assignments.index
    plan = allocate_budget(customers, OFFERS, 300, constraints=BudgetConstraints(excluded=[*best, "somebody else"]))
    assert not plan.assignments.index.isin(best).any()
    without = allocate_budget(customers.drop(best), OFFERS, 300)
    pd.testing.assert_frame_equal(plan.assignments, without.assignments)
    assert plan.simple_rules.equals(without.simple_rules)


def test_excluded_customers_are_not_held_out_either(customers):
    constraints = BudgetConstraints(excluded=customers.index[::2], holdout_share=0.5, salt="x")
    plan = allocate_budget(customers, OFFERS, 1_000, constraints=constraints)
    assert plan.assignments["holdout"].any()
    assert not plan.assignments.index.isin(customers.index[::2]).any()


def test_customers_without_a_segment_are_of_none(customers):
    nameless = customers.assign(segment=customers["segment"].where(customers["segment"] == "new"))
    constraints = BudgetConstraints(segment="segment", maximum_shares={"new": 0.1})
    plan = allocate_budget(nameless, OFFERS, 1_000, constraints=constraints)
    assert plan.spend > 990
    assert plan.assignments["cost"][nameless["segment"].isna()].sum() >= 0.9 * plan.spend


def test_simple_rules_keep_to_budgets_and_caps(customers):
    wide = BudgetConstraints(channel_budgets={"mail": 5_000, "phone": 5_000})
    narrow = BudgetConstraints(channel_budgets={"mail": 100, "phone": 100}, contact_caps={"letter": 3})
    for constraints, most in ((wide, 700), (narrow, 100)):
        rules = allocate_budget(customers, OFFERS, 700, constraints=constraints).simple_rules
        cost = rules["offer"].map({offer.name: offer.cost for offer in OFFERS})
        assert (rules["customers_contacted"] * cost <= most).all()
    only = allocate_budget(customers, [LETTER], 700, constraints=BudgetConstraints(contact_caps={"letter": 3}))
    assert (only.simple_rules["customers_contacted"] == 3).all()


def test_a_frontier_never_falls_where_plans_of_single_budgets_do():
    customers = make_customers(300, seed=3)
    constraints = BudgetConstraints(
        channel_budgets={"phone": 90},
        contact_caps={"coupon": 15},
        segment="segment",
        minimum_shares={"new": 0.3},
        maximum_shares={"core": 0.4},
    )
    plan = allocate_budget(customers, OFFERS, 450, constraints=constraints)
    frontier = plan.frontier(points=44)
    single = [allocate_budget(customers, OFFERS, b, constraints=constraints).expected_gain for b in frontier["budget"]]
    assert np.diff(single).min() < 0
    assert np.diff(frontier["expected_gain"]).min() >= 0
    assert (frontier["expected_gain"] >= np.array(single) - 1e-9).all()


def test_spend_is_not_above_the_budget_by_a_rounding():
    three = make_customers(3).assign(churn_probability=1.0, clv=100.0)
    plan = allocate_budget(three, [Offer("mail", 0.1, save_rate=0.5)], 0.3)
    assert (len(plan.contacts), plan.spend) == (3, 0.3)


class TestHoldout:
    held = BudgetConstraints(holdout_share=0.2, salt="spring")

    def test_it_is_kept_aside_and_would_have_been_treated_alike(self, customers):
        plan = allocate_budget(customers, OFFERS, 1_500, constraints=self.held)
        given, aside = (plan.assignments[plan.assignments["holdout"] == is_held] for is_held in (False, True))
        assert given["cost"].sum() == pytest.approx(plan.spend)
        assert (aside[["cost", "expected_gain"]] == 0).all(axis=None)
        sd = np.sqrt(0.2 * 0.8 * len(plan.assignments))
        assert abs(len(aside) - 0.2 * len(plan.assignments)) < 4 * sd
        at_risk = customers["churn_probability"] * customers["clv"]
        worst, worst_aside = (at_risk[group.index].min() for group in (given, aside))
        assert worst_aside == pytest.approx(worst, rel=0.15)

    def test_it_is_the_same_in_every_run_and_in_other_company(self, customers):
        plan = allocate_budget(customers, OFFERS, 1_500, constraints=self.held)
        fewer = customers.sample(frac=0.7, random_state=1)
        again = allocate_budget(fewer, OFFERS, 1_500, constraints=self.held)
        both = plan.assignments.index.intersection(again.assignments.index)
        aside = plan.assignments.loc[both, "holdout"]
        assert aside.equals(again.assignments.loc[both, "holdout"])
        assert aside.sum() > 10

    def test_another_salt_draws_anew(self, customers):
        other = BudgetConstraints(holdout_share=0.2, salt="autumn")
        plans = [allocate_budget(customers, OFFERS, 5_000, constraints=kept) for kept in (self.held, other)]
        aside = pd.concat([plan.assignments["holdout"] for plan in plans], axis=1).eq(True)
        assert aside.all(axis=1).mean() == pytest.approx(0.04, abs=0.03)

    def test_equal_customers_are_held_out_with_their_share_of_the_offers(self):
        alike = make_customers().assign(churn_probability=0.5, clv=1_000.0)
        plan = allocate_budget(alike, [COUPON], 1_000, constraints=self.held)
        aside = plan.assignments["holdout"].sum()
        assert (~plan.assignments["holdout"]).sum() == 200
        assert 40 <= aside <= 60


def test_constraints_together_do_not_depend_on_the_order_of_rows(customers):
    constraints = BudgetConstraints(
        channel_budgets={"mail": 900},
        contact_caps={"call": 20},
        segment="segment",
        minimum_shares={"new": 0.3},
        maximum_shares={"core": 0.4},
        minimum_return=0.2,
        excluded=["c00007"],
        holdout_share=0.1,
        salt="x",
    )
    shuffled = customers.sample(frac=1, random_state=2)
    one, other = (allocate_budget(frame, OFFERS, 1_200, constraints=constraints) for frame in (customers, shuffled))
    pd.testing.assert_frame_equal(one.assignments, other.assignments)
    pd.testing.assert_frame_equal(one.limits, other.limits)
    pd.testing.assert_frame_equal(one.uncertainty, other.uncertainty)
    assert one.gap < 0.02
    frontier = one.frontier(points=6)
    assert (np.diff(frontier["expected_gain"]) >= 0).all()
    assert (frontier["expected_gain"] <= frontier["upper_bound"] * (1 + 1e-12)).all()


def test_what_is_redeemed_is_paid_for_by_those_who_redeem(customers):
    paid = Offer("coupon", 0.5, redemption_cost=20, redemption_rate=0.15, save_rate=0.06)
    same = Offer("coupon", 0.5 + 20 * 0.15, save_rate=0.06)
    plans = [allocate_budget(customers, [offer], 400) for offer in (paid, same)]
    pd.testing.assert_frame_equal(plans[0].assignments, plans[1].assignments)
    by_column = Offer("coupon", 0.5, redemption_cost="worth", redemption_rate="rate", save_rate=0.06)
    plan = allocate_budget(customers.assign(worth=20.0, rate=0.15), [by_column], 400)
    pd.testing.assert_frame_equal(plan.assignments, plans[0].assignments)


class TestInterval:
    @staticmethod
    def totals(customers, plan):
        given = customers.loc[plan.assignments.index]
        return given["churn_probability"].to_numpy(), given["clv"].to_numpy()

    def test_one_source_at_a_time(self, customers):
        offer = Offer("coupon", 5, save_rate=0.06, interval=(0.02, 0.09), value_basis="experiment")
        plan = allocate_budget(customers, [offer], 1_000)
        risk, value = self.totals(customers, plan)
        gain = risk * 0.06 * value
        churn, worth, effect = (plan.uncertainty.loc[source] for source in ("churn", "value", "effect"))
        assert churn.tolist() == pytest.approx([-0.2 * gain.sum(), 0.1 * gain.sum()])
        assert worth.tolist() == pytest.approx([-0.5 * np.sqrt((gain**2).sum()), np.sqrt((gain**2).sum())])
        assert effect.tolist() == pytest.approx([-gain.sum() * 4 / 6, gain.sum() * 3 / 6])
        low, high = np.sqrt((plan.uncertainty**2).sum())
        assert plan.expected_gain_lower == pytest.approx(plan.expected_gain - low)
        assert plan.expected_gain_upper == pytest.approx(plan.expected_gain + high)
        assert "with the uncertainty of churn, value, effect\n" in plan.summary()

    def test_it_covers_what_a_simulation_of_its_sources_gives(self, customers):
        """Values apart, churn and effects shared: 90 % of draws fall inside, to the simulation's error."""
        offers = [
            Offer(name, cost, save_rate=rate, interval=(0.5 * rate, 1.5 * rate))
            for name, cost, rate in (("coupon", 5, 0.06), ("call", 25, 0.2))
        ]
        wide = customers.assign(
            churn_lower=customers["churn_probability"] * 0.9,
            churn_upper=customers["churn_probability"] * 1.1,
            clv_lower=customers["clv"] * 0.8,
            clv_upper=customers["clv"] * 1.2,
        )
        plan = allocate_budget(wide, offers, 4_000)
        risk, value = self.totals(wide, plan)
        called = (plan.assignments["offer"] == "call").to_numpy()
        rng, z = np.random.default_rng(0), 1.6448536
        draws = []
        for _ in range(4_000):
            rates = np.where(called, 0.2 * (1 + 0.5 / z * rng.normal()), 0.06 * (1 + 0.5 / z * rng.normal()))
            worth = value * (1 + 0.2 / z * rng.normal(size=value.size))
            draws.append((risk * (1 + 0.1 / z * rng.normal()) * rates * worth).sum() - plan.spend)
        inside = np.mean((np.array(draws) > plan.expected_gain_lower) & (np.array(draws) < plan.expected_gain_upper))
        assert inside == pytest.approx(0.9, abs=0.02)

    def test_a_gain_column_brings_its_own(self, customers):
        measured = customers.assign(uplift=20.0, uplift_lower=15.0, uplift_upper=26.0)
        plan = allocate_budget(measured, [Offer("mail", 1, gain="uplift", value_basis="experiment")], 100)
        assert plan.uncertainty.to_dict("index") == {"effect": {"lower": -500.0, "upper": 600.0}}
        number = Offer("mail", 1, gain=20.0, interval=(15, 26), value_basis="experiment")
        same = allocate_budget(measured, [number], 100)
        pd.testing.assert_frame_equal(same.uncertainty, plan.uncertainty)
        assert same.expected_gain == plan.expected_gain == 1_900

    def test_what_is_missing_is_named(self, customers):
        plan = allocate_budget(customers.drop(columns=["clv_lower"]), [COUPON], 100)
        assert plan.uncertainty.index.tolist() == ["churn"]
        assert "with the uncertainty of churn; without that of value, effect" in plan.summary()
        bare = allocate_budget(customers[["churn_probability", "clv"]], [COUPON], 100)
        assert bare.expected_gain_lower == bare.expected_gain == bare.expected_gain_upper
        assert "no interval: churn, value and effect came without one" in bare.summary()

    def test_ends_that_are_swapped_are_refused(self, customers):
        swapped = customers.rename(columns={"clv_lower": "clv_upper", "clv_upper": "clv_lower"})
        with pytest.raises(SchemaError, match="`clv_lower` must be at most `clv_upper`"):
            allocate_budget(swapped, [COUPON], 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel_budgets": {"mail": -1}}, r"`channel_budgets\['mail'\]` must be finite and at least 0; got -1"),
        ({"contact_caps": {"call": np.inf}}, r"`contact_caps\['call'\]` must be finite"),
        ({"minimum_shares": {"new": 1.01}, "segment": "s"}, r"`minimum_shares\['new'\]` must be between 0 and 1"),
        ({"maximum_shares": {"new": -0.01}, "segment": "s"}, r"`maximum_shares\['new'\]` must be between 0 and 1"),
        (
            {"minimum_shares": {"a": 0.6, "b": 0.5}, "segment": "s"},
            "`minimum_shares` must add up to at most 1; got 1.1",
        ),
        (
            {"minimum_shares": {"a": 0.6}, "maximum_shares": {"a": 0.5}, "segment": "s"},
            r"`minimum_shares\['a'\]` must be at most its maximum, 0.5; got 0.6",
        ),
        ({"minimum_shares": {"a": 0.6}}, "`segment` must name the column"),
        ({"minimum_return": -0.1}, "`minimum_return` must be finite and at least 0"),
        ({"holdout_share": 1.0, "salt": "x"}, "`holdout_share` must be at least 0 and below 1; got 1.0"),
        ({"holdout_share": -0.1, "salt": "x"}, "`holdout_share` must be at least 0"),
        ({"holdout_share": 0.1}, "`salt` must be given with a `holdout_share`"),
    ],
)
def test_constraints_check_themselves(arguments, message):
    with pytest.raises(CrmError, match=message):
        BudgetConstraints(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel_budgets": {"fax": 10}}, r"must name the offers' channels; 'fax' is none of \['mail', 'phone'\]"),
        ({"contact_caps": {"fax": 10}}, r"must name the offers' names; 'fax' is none of"),
        ({"segment": "segmnt", "maximum_shares": {"new": 0.5}}, "`segmnt`.*nearest: 'segment'"),
        ({"segment": "segment", "maximum_shares": {"vip": 0.5}}, r"no customer is of segment \['vip'\]"),
    ],
)
def test_constraints_name_what_there_is(customers, arguments, message):
    with pytest.raises(CrmError, match=message):
        allocate_budget(customers, OFFERS, 100, constraints=BudgetConstraints(**arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"redemption_cost": 5}, "must have both `redemption_cost` and `redemption_rate`"),
        ({"redemption_rate": 0.5}, "must have both `redemption_cost` and `redemption_rate`"),
        ({"redemption_cost": -1, "redemption_rate": 0.5}, "`redemption_cost` must be finite and at least 0"),
        ({"redemption_cost": 1, "redemption_rate": 1.1}, "`redemption_rate` must be between 0 and 1"),
        ({"interval": (0.2, 0.3)}, "`interval` must hold what it is the interval of, 0.1"),
        ({"interval": (0.0, 0.09)}, "`interval` must hold what it is the interval of, 0.1"),
    ],
)
def test_an_offer_checks_its_redemption_and_interval(arguments, message):
    with pytest.raises(CrmError, match=message):
        Offer("offer", 1, save_rate=0.1, **arguments)


def test_the_interval_of_a_column_stands_in_columns():
    with pytest.raises(CrmError, match="`interval` must stand in columns, u_lower and u_upper"):
        Offer("offer", 1, gain="u", value_basis="experiment", interval=(0, 1))


def test_redemption_rates_and_costs_in_columns_are_checked(customers):
    offer = Offer("coupon", 0, redemption_cost="worth", redemption_rate="rate", save_rate=0.1)
    with pytest.raises(SchemaError, match="`rate` must be between 0 and 1"):
        allocate_budget(customers.assign(worth=1.0, rate=1.5), [offer], 100)
    with pytest.raises(SchemaError, match="`worth` must be at least 0"):
        allocate_budget(customers.assign(worth=-1.0, rate=0.5), [offer], 100)
