"""Budget plans: from customers and offers to assignments, certificate and yardsticks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from crm_ml.decisions import BudgetPlan, Offer, allocate_budget
from crm_ml.errors import CrmError, SchemaError

COUPON = Offer("coupon10", cost=10, save_rate=0.08)
CALL = Offer("call", cost=25, save_rate=0.15)


def make_customers(count: int, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "churn_probability": rng.beta(1, 2, count),
            "clv": rng.lognormal(5.5, 1.0, count),
            "call_cost": rng.uniform(2, 30, count),
            "call_margin": rng.normal(20, 15, count),
        },
        index=pd.Index([f"c{i:05d}" for i in range(count)], name="customer_id"),
    )


@pytest.fixture
def customers() -> pd.DataFrame:
    return make_customers(400)


def test_expected_gain_is_risk_times_save_rate_times_value_less_cost(customers):
    plan = allocate_budget(customers, [COUPON], budget=500)
    got = customers.loc[plan.assignments.index]
    expected = got["churn_probability"] * 0.08 * got["clv"] - 10
    np.testing.assert_allclose(plan.assignments["expected_gain"], expected, rtol=1e-12)
    assert (plan.assignments["cost"] == 10).all()
    assert (plan.assignments["value_basis"] == "assumed").all()
    assert (plan.spend, len(plan.assignments)) == (500.0, 50)


def test_one_offer_is_given_to_the_best_customers_first(customers):
    plan = allocate_budget(customers, [COUPON], budget=500)
    gains = customers["churn_probability"] * customers["clv"]
    assert set(plan.assignments.index) == set(gains.nlargest(50).index)


def test_value_at_stake_goes_before_clv(customers):
    doubled = customers.assign(value_at_stake=2 * customers["clv"])
    plan = allocate_budget(doubled, [COUPON], budget=500)
    same = allocate_budget(customers.assign(clv=2 * customers["clv"]), [COUPON], budget=500)
    pd.testing.assert_frame_equal(plan.assignments, same.assignments)


def test_an_offer_may_bring_its_own_gain_and_cost(customers):
    offer = Offer("call", "call_cost", gain="call_margin", value_basis="experiment")
    plan = allocate_budget(customers[["call_cost", "call_margin"]], [offer], budget=1e6)
    net = customers["call_margin"] - customers["call_cost"]
    assert plan.expected_gain == pytest.approx(net[net > 0].sum(), rel=1e-12)
    assert set(plan.assignments.index) == set(net[net > 0].index)
    assert (plan.assignments["value_basis"] == "experiment").all()
    assert plan.simple_rules.index.tolist() == ["everyone alike"]
    assert (plan.gap, plan.shadow_price) == (0.0, 0.0)


def test_plan_adds_up(customers):
    call = Offer("call", "call_cost", gain="call_margin", value_basis="estimated")
    plan = allocate_budget(customers, [COUPON, Offer("visit", 40, save_rate=0.3), call], budget=3_000)
    assert plan.assignments.index.is_unique
    assert plan.spend <= plan.budget == 3_000
    assert plan.spend == pytest.approx(plan.assignments["cost"].sum(), rel=1e-12)
    assert plan.expected_gain == pytest.approx(plan.assignments["expected_gain"].sum(), rel=1e-12)
    assert plan.gap == (plan.upper_bound - plan.expected_gain) / plan.upper_bound
    assert 0 <= plan.gap < 0.01
    assert (plan.assignments["expected_gain"] > 0).all()
    assert set(plan.assignments["offer"]) == {"coupon10", "visit", "call"}


@pytest.mark.parametrize("ties", [False, True])
def test_row_order_does_not_matter(customers, ties):
    if ties:
        customers = customers.assign(churn_probability=0.5, clv=800.0)
    shuffled = customers.sample(frac=1, random_state=3)
    one, other = (allocate_budget(frame, [COUPON, CALL], budget=777) for frame in (customers, shuffled))
    pd.testing.assert_frame_equal(one.assignments, other.assignments)
    pd.testing.assert_frame_equal(one.simple_rules, other.simple_rules)
    assert (one.spend, one.expected_gain, one.upper_bound) == (
        other.spend,
        other.expected_gain,
        other.upper_bound,
    )
    if ties:
        assert one.assignments.index.tolist() == sorted(customers.index)[: len(one.assignments)]


def test_an_offer_given_twice_changes_nothing(customers):
    plan = allocate_budget(customers, [COUPON, CALL], budget=1_500)
    twin = dataclasses.replace(COUPON, name="coupon10 again")
    twice = allocate_budget(customers, [COUPON, CALL, twin], budget=1_500)
    pd.testing.assert_frame_equal(plan.assignments, twice.assignments)
    assert (plan.upper_bound, plan.shadow_price) == (twice.upper_bound, twice.shadow_price)


@pytest.mark.parametrize("seed", range(20))
def test_simple_rules_never_beat_the_bound(seed):
    customers = make_customers(50, seed=seed)
    budget = float(np.random.default_rng(seed).uniform(0, 1_500))
    plan = allocate_budget(customers, [COUPON, CALL], budget=budget)
    assert (plan.simple_rules["expected_gain"] <= plan.upper_bound + 1e-9).all()
    assert (plan.simple_rules["spend"] <= budget).all()


def test_simple_rules_contact_by_rank_until_the_money_is_gone(customers):
    plan = allocate_budget(customers, [COUPON], budget=305)
    for rule, column in (("top churn risk", "churn_probability"), ("top value", "clv")):
        first = customers.nlargest(30, column)
        gain = (first["churn_probability"] * 0.08 * first["clv"] - 10).sum()
        outcome = plan.simple_rules.loc[rule]
        assert (outcome["customers_contacted"], outcome["spend"]) == (30, 300.0)
        assert outcome["expected_gain"] == pytest.approx(gain, rel=1e-12)
        assert outcome["share_of_plan"] == pytest.approx(gain / plan.expected_gain, rel=1e-12)


def test_simple_rules_take_the_offer_that_does_best_for_them(customers):
    both = allocate_budget(customers, [COUPON, CALL], budget=2_000).simple_rules
    alone = [allocate_budget(customers, [offer], budget=2_000).simple_rules for offer in (COUPON, CALL)]
    best = np.maximum(alone[0]["expected_gain"], alone[1]["expected_gain"])
    np.testing.assert_array_equal(both["expected_gain"], best)
    assert set(both["offer"]) <= {"coupon10", "call"}


def test_everyone_alike_ignores_what_is_known_of_the_customers(customers):
    gains = customers["churn_probability"] * 0.08 * customers["clv"] - 10
    everyone = allocate_budget(customers, [COUPON], budget=10 * len(customers)).simple_rules
    np.testing.assert_allclose(everyone["expected_gain"], gains.sum(), rtol=1e-12)
    half = allocate_budget(customers, [COUPON], budget=10 * len(customers) / 2).simple_rules
    draw_error = gains.std() * np.sqrt(len(customers)) / 2  # of the sum over half, drawn without replacement
    assert abs(half.loc["everyone alike", "expected_gain"] - gains.sum() / 2) < 4 * draw_error
    assert half.loc["top value", "expected_gain"] > gains.sum() / 2 + 4 * draw_error


def test_frontier_rises_to_the_unlimited_plan(customers):
    plan = allocate_budget(customers, [COUPON, CALL], budget=500)
    frontier = plan.frontier(points=15)
    unlimited = allocate_budget(customers, [COUPON, CALL], budget=1e7)
    assert frontier.columns.tolist() == ["budget", "spend", "expected_gain", "upper_bound", "shadow_price"]
    assert len(frontier) == 16
    own = frontier.loc[frontier["budget"] == plan.budget, "expected_gain"]
    assert own.tolist() == [plan.expected_gain]
    assert (np.diff(frontier["expected_gain"]) >= -1e-9).all()
    assert (frontier["spend"] <= frontier["budget"]).all()
    assert (frontier["expected_gain"] <= frontier["upper_bound"]).all()
    assert frontier["expected_gain"].iloc[-1] == unlimited.expected_gain
    with pytest.raises(CrmError, match="`points` must be at least 2; got 1"):
        plan.frontier(points=1)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("budget", [0, 10, 1e6])
def test_nobody_and_one_customer(count, budget):
    customers = make_customers(count).assign(churn_probability=1.0, clv=1_000.0)
    plan = allocate_budget(customers, [COUPON], budget=budget)
    contacted = int(count == 1 and budget >= 10)
    assert len(plan.assignments) == contacted
    assert plan.expected_gain == plan.upper_bound == 70.0 * contacted
    assert plan.gap == 0.0
    assert plan.assignments.index.name == "customer_id"
    assert plan.assignments.columns.tolist() == ["offer", "cost", "expected_gain", "value_basis", "holdout"]
    assert plan.frontier(points=3)["expected_gain"].iloc[-1] == 70.0 * count
    assert f"{contacted} of {count} customers" in plan.summary()
    assert plan.simple_rules["share_of_plan"].isna().all() == (contacted == 0)


def test_a_free_offer_goes_to_all_who_gain(customers):
    plan = allocate_budget(customers, [Offer("mail", 0, save_rate=0.01)], budget=0)
    assert len(plan.assignments) == len(customers)
    assert (plan.spend, plan.gap) == (0.0, 0.0)


def test_summary_and_repr_name_the_certificate(customers):
    plan = allocate_budget(customers, [COUPON, CALL], budget=500)
    assert isinstance(plan, BudgetPlan)
    assert repr(plan).startswith("BudgetPlan(customers=")
    assert len(repr(plan).splitlines()) == 1
    assert f"at most {plan.gap:.3%} below the best possible" in plan.summary()
    assert "value assumed" in plan.summary()
    with pytest.raises(dataclasses.FrozenInstanceError, match="budget"):
        plan.budget = 1.0


def test_integer_identifiers_and_missing_index_name(customers):
    plan = allocate_budget(customers.reset_index(drop=True), [COUPON], budget=100)
    assert plan.assignments.index.name == "customer_id"
    assert plan.assignments.index.is_monotonic_increasing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"churn_probability": -0.01},
            r"`churn_probability` must be between 0 and 1. 1 of 400 .* rows: \[7\]",
        ),
        ({"churn_probability": 1.01}, r"`churn_probability` must be between 0 and 1"),
        ({"churn_probability": np.nan}, "`churn_probability` must be finite"),
        ({"churn_probability": np.inf}, "`churn_probability` must be finite"),
        ({"clv": np.nan}, "`clv` must be finite"),
        ({"clv": -np.inf}, "`clv` must be finite"),
        ({"call_cost": -0.01}, "`call_cost` must be at least 0"),
        ({"call_cost": np.nan}, "`call_cost` must be finite"),
        ({"call_margin": np.nan}, "`call_margin` must be finite"),
    ],
)
def test_bad_values_are_refused_with_their_rows(customers, change, message):
    [(column, value)] = change.items()
    customers.iloc[7, customers.columns.get_loc(column)] = value
    call = Offer("call", "call_cost", gain="call_margin", value_basis="estimated")
    with pytest.raises(SchemaError, match=message):
        allocate_budget(customers, [COUPON, call], budget=100)


def test_probabilities_of_exactly_0_and_1_are_probabilities(customers):
    customers["churn_probability"] = np.arange(len(customers)) % 2 * 1.0
    plan = allocate_budget(customers, [COUPON], budget=1e6)
    assert (customers.loc[plan.assignments.index, "churn_probability"] == 1).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"clv": "clv_12m"}, "need a column `value_at_stake`(.|\n)*Join value_at_stake or clv"),
        ({"churn_probability": "churn_probabilty"}, "`churn_probability`.*nearest: 'churn_probabilty'"),
        ({"call_cost": "calls_cost"}, "offer 'call' need a column `call_cost`.*nearest: 'calls_cost'"),
        ({"call_margin": "call_margins"}, "`call_margin`.*nearest: 'call_margins'"),
    ],
)
def test_missing_columns_are_named_with_the_nearest(customers, columns, message):
    call = Offer("call", "call_cost", gain="call_margin", value_basis="estimated")
    with pytest.raises(SchemaError, match=message):
        allocate_budget(customers.rename(columns=columns), [COUPON, call], budget=100)


def test_a_column_of_words_is_refused(customers):
    with pytest.raises(SchemaError, match="`clv` must be numeric"):
        allocate_budget(customers.assign(clv="much"), [COUPON], budget=100)


@pytest.mark.parametrize("budget", [-0.01, np.nan, np.inf])
def test_bad_budgets_are_refused(customers, budget):
    with pytest.raises(CrmError, match="`budget` must be finite and at least 0"):
        allocate_budget(customers, [COUPON], budget=budget)


def test_bad_offers_are_refused(customers):
    with pytest.raises(CrmError, match="`offers` must hold at least one offer"):
        allocate_budget(customers, [], budget=100)
    with pytest.raises(CrmError, match=r"distinct names; given more than once: \['coupon10'\]"):
        allocate_budget(customers, [COUPON, CALL, COUPON], budget=100)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (["a", "b", "a"], "1 of 3 rows repeat one, 0 have none"),
        (["a", None, "b"], "0 of 3 rows repeat one, 1 have none"),
        (["a", 1, "b"], "identifiers of one type"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 1), ("c", 1)]), "must have one level; it has 2"),
    ],
)
def test_an_index_that_is_no_key_is_refused(index, message):
    customers = make_customers(3).set_axis(index)
    with pytest.raises(SchemaError, match=message):
        allocate_budget(customers, [COUPON], budget=100)


def test_customer_id_left_as_a_column_is_refused(customers):
    with pytest.raises(SchemaError, match="must be indexed by customer_id"):
        allocate_budget(customers.reset_index(), [COUPON], budget=100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": -0.01, "save_rate": 0.1}, "`cost` must be finite and at least 0"),
        ({"cost": np.nan, "save_rate": 0.1}, "`cost` must be finite"),
        ({"cost": 1, "save_rate": -0.01}, "`save_rate` must be between 0 and 1; got -0.01"),
        ({"cost": 1, "save_rate": 1.01}, "`save_rate` must be between 0 and 1; got 1.01"),
        ({"cost": 1, "save_rate": np.nan}, "`save_rate` must be between 0 and 1"),
        ({"cost": 1}, "must have either `save_rate` or `gain`"),
        ({"cost": 1, "save_rate": 0.1, "gain": "g"}, "must have either `save_rate` or `gain`"),
        ({"cost": 1, "gain": "g"}, "`value_basis` must be one of"),
        ({"cost": 1, "gain": "g", "value_basis": "guess"}, "`value_basis` must be one of"),
        ({"cost": 1, "save_rate": 0.1, "value_basis": "experiment"}, '`value_basis` must be "assumed"'),
    ],
)
def test_an_offer_checks_itself(arguments, message):
    with pytest.raises(CrmError, match=message):
        Offer("offer", **arguments)


@pytest.mark.parametrize("save_rate", [0, 1])
def test_save_rates_of_exactly_0_and_1_are_rates(save_rate):
    assert Offer("offer", 0, save_rate=save_rate).value_basis == "assumed"
