"""The knapsack against every assignment there is, against HiGHS, and against its own promises."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, eye, kron, vstack

from crm_ml.decisions.budget import moves, options, prices
from crm_ml.decisions.budget.knapsack import solve_knapsack
from crm_ml.decisions.budget.options import PER_CONTACT, PER_COST, PER_GAIN, Limits, Options
from crm_ml.decisions.budget.prices import find_prices
from crm_ml.decisions.budget.rules import affordable_prefix

KINDS = ("budget", "channel", "cap", "largest share", "least share", "return")
GROUPS = 3


class Found(NamedTuple):
    choice: np.ndarray
    spend: float
    gain: float
    upper_bound: float
    shadow_price: float


def ungrouped(costs, gains) -> Options:
    return Options(
        np.array(costs, dtype=float), np.array(gains, dtype=float), np.zeros(np.shape(gains)[1], np.int32), 1
    )


def budget_alone(offers: int, budget: float, groups: int = 1) -> Limits:
    weights = np.zeros((1, 3, offers, groups))
    weights[0, PER_COST] = 1
    return Limits(weights, np.array([budget]))


def solve(costs, gains, budget) -> Found:
    given = ungrouped(costs, gains)
    allocation = solve_knapsack(given, budget_alone(len(given.gains), budget))
    spend, gain = (float(allocation.totals[of].sum()) for of in (PER_COST, PER_GAIN))
    return Found(allocation.choice, spend, gain, allocation.upper_bound, float(allocation.prices[0]))


def random_case(rng, *, customers, offers, whole) -> Options:
    shape = (offers, customers)
    if whole:
        costs, gains = rng.integers(0, 6, shape).astype(float), rng.integers(-3, 8, shape).astype(float)
    else:
        costs, gains = rng.exponential(3.0, shape), rng.normal(2.0, 3.0, shape)
    return Options(costs, gains, rng.integers(0, GROUPS, customers).astype(np.int32), GROUPS)


def random_limits(rng, given: Options, *, budget: float, kinds: int) -> Limits:
    """Return the first so many kinds of limits, the budget first."""
    offers = len(given.gains)
    spend = budget_alone(offers, budget, GROUPS).weights[0]
    channel, cap, largest, least, short = (np.zeros_like(spend) for _ in range(5))
    channel[PER_COST, 0] = 1
    cap[PER_CONTACT, -1] = 1
    largest[PER_COST] = -rng.uniform(0.2, 0.7)
    largest[PER_COST, :, 0] += 1
    least[PER_COST] = rng.uniform(0.1, 0.4)
    least[PER_COST, :, -1] -= 1
    short[PER_COST], short[PER_GAIN] = rng.uniform(0.2, 2.0), -1
    amounts = [budget, budget * rng.uniform(0.1, 0.6), float(rng.integers(0, 3)), 0.0, 0.0, 0.0]
    return Limits(np.array([spend, channel, cap, largest, least, short][:kinds]), np.array(amounts[:kinds]))


def uses(given: Options, limits: Limits) -> np.ndarray:
    """Return what each offer to each customer uses of each limit."""
    costs = np.broadcast_to(given.costs, given.gains.shape)
    at = limits.weights[..., given.groups]
    return at[:, PER_CONTACT] + at[:, PER_COST] * costs + at[:, PER_GAIN] * given.gains


def best_of_all_assignments(given: Options, limits: Limits) -> float:
    offers, customers = given.gains.shape
    nothing = np.zeros((1, customers))
    gains = np.vstack([given.gains, nothing])
    use = np.concatenate([uses(given, limits), np.zeros((len(limits.amounts), 1, customers))], axis=1)
    choices = np.array(list(itertools.product(range(offers + 1), repeat=customers)))
    rows = np.arange(customers)
    allowed = ((choices == offers) | (gains[choices, rows] > 0)).all(axis=1)
    within = np.array([u[choices, rows].sum(axis=1) <= b + 1e-9 for u, b in zip(use, limits.amounts, strict=True)])
    return gains[choices, rows].sum(axis=1)[allowed & within.all(axis=0)].max()


def linear_program(given: Options, limits: Limits):
    """Return the rows and amounts of the program over which HiGHS maximises, and each variable's largest value."""
    offers, customers = given.gains.shape
    rows = vstack(
        [kron(np.ones((1, offers)), eye(customers)), csr_array(uses(given, limits).reshape(len(limits.amounts), -1))]
    )
    return rows.tocsr(), np.append(np.ones(customers), limits.amounts), (given.gains > 0).astype(float).ravel()


def check(allocation, given: Options, limits: Limits) -> float:
    """Check that a choice is within the limits and adds up; return its gain."""
    rows = np.flatnonzero(allocation.choice >= 0)
    chosen = allocation.choice[rows]
    assert (given.gains[chosen, rows] > 0).all()
    used = uses(given, limits)[:, chosen, rows]
    size = np.maximum(limits.amounts, np.abs(used).sum(axis=1))
    assert (used.sum(axis=1) <= limits.amounts + 1e-11 * size).all()
    gain = float(allocation.totals[PER_GAIN].sum())
    assert gain == pytest.approx(given.gains[chosen, rows].sum(), rel=1e-12, abs=1e-12)
    return gain


@pytest.mark.parametrize("kinds", range(1, len(KINDS) + 1), ids=KINDS)
def test_bound_optimum_plan_on_all_assignments(kinds):
    rng = np.random.default_rng(11)
    shares = []
    for case in range(30):
        given = random_case(
            rng, customers=int(rng.integers(1, 6)), offers=int(rng.integers(1, 4)), whole=bool(case % 2)
        )
        budget = float(rng.integers(0, 15)) if case % 2 else float(rng.uniform(0, 12))
        limits = random_limits(rng, given, budget=budget, kinds=kinds)
        allocation = solve_knapsack(given, limits)
        optimum = best_of_all_assignments(given, limits)
        gain = check(allocation, given, limits)
        assert allocation.upper_bound >= optimum - 1e-9
        assert optimum >= gain - 1e-9
        if kinds == 1:
            assert gain >= optimum / 2 - 1e-9
        shares.append(gain / optimum if optimum > 0 else 1.0)
    assert np.mean(shares) > 0.98


@pytest.mark.parametrize("kinds", range(1, len(KINDS) + 1), ids=KINDS)
def test_the_bound_is_that_of_the_linear_relaxation(kinds):
    rng = np.random.default_rng(17)
    for whole in (False, True):
        given = random_case(rng, customers=200, offers=4, whole=whole)
        limits = random_limits(rng, given, budget=given.costs.sum() * 0.05, kinds=kinds)
        rows, amounts, most = linear_program(given, limits)
        found = linprog(-given.gains.ravel(), A_ub=rows, b_ub=amounts, bounds=[(0, top) for top in most])
        bound = find_prices(given, limits, np.full((4, GROUPS), np.inf)).bound
        assert bound == pytest.approx(-found.fun, rel=1e-9)


@pytest.mark.parametrize("kinds", [1, 4, 6])
@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "integers with ties"])
def test_against_highs(kinds, whole):
    rng = np.random.default_rng(kinds)
    given = random_case(rng, customers=80, offers=4, whole=whole)
    limits = random_limits(rng, given, budget=float(round(given.costs.sum() * 0.1)), kinds=kinds)
    rows, amounts, most = linear_program(given, limits)
    found = milp(
        -given.gains.ravel(),
        integrality=np.ones(given.gains.size),
        bounds=Bounds(0, most),
        constraints=LinearConstraint(rows, ub=amounts),
        options={"mip_rel_gap": 1e-9},
    )
    allocation = solve_knapsack(given, limits)
    gain = check(allocation, given, limits)
    assert allocation.upper_bound >= -found.fun - 1e-6
    assert -found.fun >= gain - 1e-6
    assert gain >= 0.97 * -found.fun


def test_any_prices_bound_the_optimum():
    rng = np.random.default_rng(12)
    for _ in range(50):
        given = random_case(rng, customers=4, offers=3, whole=False)
        limits = random_limits(rng, given, budget=6.0, kinds=6)
        optimum = best_of_all_assignments(given, limits)
        for each in rng.exponential(1.0, (4, 6)):
            surplus = options.respond(given, limits.priced(each), limits.reach()).surplus
            assert surplus + each @ limits.amounts >= optimum - 1e-9


@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "integers with ties"])
def test_gain_never_falls_as_the_budget_grows(whole):
    rng = np.random.default_rng(13)
    for _ in range(5):
        given = random_case(rng, customers=int(rng.integers(1, 30)), offers=int(rng.integers(1, 5)), whole=whole)
        budgets = np.arange(25.0) if whole else np.sort(rng.uniform(0, given.costs.sum() / 2, 25))
        plans = [solve(given.costs, given.gains, float(budget)) for budget in budgets]
        assert np.diff([plan.gain for plan in plans]).min() >= -1e-12
        assert np.diff([plan.upper_bound for plan in plans]).min() >= -1e-9


def test_many_customers_are_first_looked_at_in_samples(monkeypatch):
    rng = np.random.default_rng(14)
    given = random_case(rng, customers=20_000, offers=3, whole=False)
    limits = random_limits(rng, given, budget=2_000.0, kinds=6)
    limits.amounts[2] = 400.0
    at_once = solve_knapsack(given, limits)
    monkeypatch.setattr(prices, "SAMPLES", (500, 4_000))
    monkeypatch.setattr(moves, "AT_ONCE", 50)
    monkeypatch.setattr(moves, "BLOCK", 3_000)
    monkeypatch.setattr(options, "BLOCK", 3_000)
    in_parts = solve_knapsack(given, limits)
    gain = check(in_parts, given, limits)
    assert in_parts.upper_bound == pytest.approx(at_once.upper_bound, rel=1e-5)
    assert gain == pytest.approx(float(at_once.totals[PER_GAIN].sum()), rel=1e-4)
    assert in_parts.upper_bound - gain < 1e-3 * gain


def test_sorting_a_few_at_a_time_makes_the_same_changes(monkeypatch):
    rng = np.random.default_rng(19)
    for whole in (False, True):
        given = random_case(rng, customers=500, offers=3, whole=whole)
        for budget in (1.0, 200.0, 700.0):
            limits = budget_alone(3, budget, GROUPS)
            monkeypatch.undo()
            at_once = solve_knapsack(given, limits)
            monkeypatch.setattr(moves, "AT_ONCE", 3)
            assert (solve_knapsack(given, limits).choice == at_once.choice).all()


def test_the_one_dear_offer_is_not_lost_to_a_denser_small_one():
    assert solve([[1.0, 100.0]], [[2.0, 100.0]], 100.0).choice.tolist() == [-1, 0]


def test_an_offer_under_the_hull_fills_the_rest():
    found = solve([[10.0], [3.0]], [[10.0], [1.0]], 5.0)
    assert (found.choice.tolist(), found.upper_bound) == ([1], 1.0)


def test_a_change_that_has_become_worse_waits_for_its_turn():
    given = ungrouped([[2.0, 6.0, 4.0], [9.0, 1.0, 9.0]], [[10.0, 18.0, 8.0], [0.0, 0.1, 0.0]])
    choice = np.full(3, -1, dtype=np.int16)
    moves.fill(given, budget_alone(2, 6.0), np.array([1.0]), choice)
    assert choice.tolist() == [0, -1, 0]


def test_what_passes_a_limit_is_mended_where_it_costs_least():
    given = ungrouped([[2.0, 2.0, 2.0]], [[9.0, 5.0, 7.0]])
    choice = np.zeros(3, dtype=np.int16)
    assert moves.mend(given, budget_alone(1, 4.5), np.array([0.0]), choice)
    assert choice.tolist() == [0, -1, 0]


def test_limits_that_only_nothing_meets_leave_nothing():
    given = Options(np.ones((1, 2)), np.array([[3.0, 5.0]]), np.array([0, 1], dtype=np.int32), 2)
    no_more_than_a_third_each = np.zeros((2, 3, 1, 2))
    no_more_than_a_third_each[:, PER_COST] = -1 / 3
    no_more_than_a_third_each[[0, 1], PER_COST, :, [0, 1]] += 1
    allocation = solve_knapsack(given, Limits(no_more_than_a_third_each, np.zeros(2)))
    assert allocation.choice.tolist() == [-1, -1]
    assert allocation.upper_bound == pytest.approx(0.0, abs=1e-9)


def test_nobody_is_given_a_loss_to_meet_a_share():
    gains = np.array([[5.0, 5.0, -1.0, -1.0]])
    given = Options(np.array([[1.0]]), gains, np.array([0, 0, 1, 1], dtype=np.int32), 2)
    weights = np.concatenate([budget_alone(1, 9.0, 2).weights, np.zeros((1, 3, 1, 2))])
    weights[1, PER_COST] = 0.5, -0.5  # at least half of the spend for the second group
    allocation = solve_knapsack(given, Limits(weights, np.array([9.0, 0.0])))
    assert allocation.choice.tolist() == [-1, -1, -1, -1]
    assert allocation.upper_bound == pytest.approx(0.0, abs=1e-9)


def test_shadow_price_is_the_gain_of_a_further_dollar():
    rng = np.random.default_rng(15)
    customers = 50_000
    at_stake = rng.beta(1, 3, customers) * rng.lognormal(4, 1, customers)
    costs = np.array([[1.0], [5.0], [12.0]])
    gains = np.array([[0.05], [0.2], [0.35]]) * at_stake - costs
    step = 100.0
    for budget in (10_000.0, 50_000.0, 100_000.0):
        here, more = (solve(costs, gains, budget + extra) for extra in (0.0, step))
        assert (more.gain - here.gain) / step == pytest.approx(here.shadow_price, rel=0.05)
        secant = (more.upper_bound - here.upper_bound) / step  # the bound is concave in the budget
        assert more.shadow_price - 1e-6 <= secant <= here.shadow_price + 1e-6
        assert here.gain == pytest.approx(here.upper_bound, rel=1e-6)


def test_every_limits_price_is_the_gain_of_a_further_unit():
    rng = np.random.default_rng(18)
    at_stake = rng.beta(1, 3, 50_000) * rng.lognormal(4, 1, 50_000)
    costs = np.array([[1.0], [5.0], [12.0]])
    groups = rng.integers(0, GROUPS, 50_000).astype(np.int32)
    given = Options(costs, np.array([[0.05], [0.2], [0.35]]) * at_stake - costs, groups, GROUPS)
    limits = random_limits(rng, given, budget=60_000.0, kinds=5)
    limits.amounts[:3] = 20_000, 1_000, 500
    limits.weights[3], limits.weights[4] = 0, 0
    limits.weights[3, PER_COST], limits.weights[4, PER_COST] = -0.2, 0.5
    limits.weights[3, PER_COST, :, 0] += 1
    limits.weights[4, PER_COST, :, 2] -= 1
    here = solve_knapsack(given, limits)
    assert (here.prices > 0).sum() >= 4
    for limit, step in enumerate([300.0, 50.0, 10.0, 300.0, 300.0]):
        amounts = limits.amounts.copy()
        amounts[limit] += step
        more = solve_knapsack(given, Limits(limits.weights, amounts))
        secant = (more.upper_bound - here.upper_bound) / step  # the bound is concave in every amount
        assert more.prices[limit] - 1e-6 <= secant <= here.prices[limit] + 1e-6
        if limit == 0:
            rise = float((more.totals - here.totals)[PER_GAIN].sum()) / step
            assert rise == pytest.approx(here.prices[limit], rel=0.05)


def test_shadow_price_before_the_first_dollar_and_after_the_last():
    costs, gains = [[10.0, 4.0]], [[5.0, 1.0]]
    for budget, price in ((0.0, 0.5), (10.0, 0.25), (14.0, 0.0)):
        assert solve(costs, gains, budget).shadow_price == pytest.approx(price, rel=1e-6)


@pytest.mark.parametrize(
    ("costs", "gains", "budget", "choice"),
    [
        pytest.param([[0.0, 0.0]], [[2.0, -1.0]], 0.0, [0, -1], id="free offers need no budget"),
        pytest.param([[0.0], [4.0]], [[2.0], [3.0]], 4.0, [1], id="a dear offer replaces a free one"),
        pytest.param([[0.0], [4.0]], [[3.0], [2.0]], 4.0, [0], id="but not a better one"),
        pytest.param([[5.0], [5.0]], [[2.0], [3.0]], 5.0, [1], id="equal costs"),
        pytest.param([[1.0, 1.0]], [[2.0, 3.0]], 0.0, [-1, -1], id="no budget"),
        pytest.param([[1.0, 1.0]], [[2.0, -3.0]], 100.0, [0, -1], id="more budget than needed"),
        pytest.param([[1.0, 1.0]], [[0.0, 0.0]], 100.0, [-1, -1], id="nothing to gain"),
        pytest.param([[0.1, 0.1, 0.1]], [[1.0, 1.0, 1.0]], 0.3, [0, 0, 0], id="three times 0.1 is 0.3"),
        pytest.param([[2.0, 2.0]], [[3.0, 3.0]], 2.0, [0, -1], id="a tie goes to the first"),
        pytest.param([[2.0] * 4], [[3.0] * 4], 6.5, [0, 0, 0, -1], id="a tie of several too"),
        pytest.param(np.zeros((2, 0)), np.zeros((2, 0)), 10.0, [], id="nobody"),
    ],
)
def test_edges(costs, gains, budget, choice):
    found = solve(costs, gains, budget)
    assert found.choice.tolist() == choice
    assert found.spend <= budget * (1 + 1e-12)
    assert found.gain == pytest.approx(found.upper_bound, rel=1e-9) or budget in (2.0, 6.5)


@pytest.mark.parametrize(("purse", "count"), [(1.9, 0), (2.0, 1), (4.9, 1), (5.0, 2), (99.0, 3)])
def test_affordable_prefix_at_and_around_its_bounds(purse, count):
    assert affordable_prefix(np.array([2.0, 3.0, 1.0]), purse) == count


def test_affordable_prefix_does_not_overspend_where_the_running_sum_drifts():
    costs, purse = np.full(1_000_000, 0.3), 299_999.999_999
    assert np.cumsum(costs)[-1] < purse < costs.sum()
    assert affordable_prefix(costs, purse) == 999_999


def test_millions_of_costs_that_add_up_with_rounding_are_not_overspent():
    customers = 1_000_000
    found = solve(np.full((1, customers), 0.3), np.linspace(1, 2, customers)[None], 149_999.999_999)
    assert found.spend <= 149_999.999_999 * (1 + 1e-12)
    assert (found.choice >= 0).sum() == 499_999
