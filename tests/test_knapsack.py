"""The knapsack against every assignment there is, against HiGHS, and against its own promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, kron, vstack

from crm_ml.decisions.budget import knapsack
from crm_ml.decisions.budget.knapsack import affordable_prefix, dual_bound, solve_knapsack


def random_case(rng, *, customers, offers, whole):
    shape = (offers, customers)
    if whole:
        return rng.integers(0, 6, shape).astype(float), rng.integers(-3, 8, shape).astype(float)
    return rng.exponential(3.0, shape), rng.normal(2.0, 3.0, shape)


def best_of_all_assignments(costs, gains, budget):
    offers, customers = costs.shape
    costs, gains = np.vstack([costs, np.zeros(customers)]), np.vstack([gains, np.zeros(customers)])
    choices = np.array(list(itertools.product(range(offers + 1), repeat=customers)))
    rows = np.arange(customers)
    spend, gain = costs[choices, rows].sum(axis=1), gains[choices, rows].sum(axis=1)
    return gain[spend <= budget * (1 + 1e-12)].max()


def best_by_highs(costs, gains, budget):
    offers, customers = costs.shape
    one_each = kron(np.ones((1, offers)), csr_array(np.eye(customers)))
    constraint = LinearConstraint(
        vstack([one_each, csr_array(costs.reshape(1, -1))]).tocsr(),
        ub=np.append(np.ones(customers), budget),
    )
    found = milp(
        -gains.ravel(),
        integrality=np.ones(gains.size),
        bounds=Bounds(0, 1),
        constraints=constraint,
        options={"mip_rel_gap": 1e-9},
    )
    assert found.success
    return -found.fun


def check_choice(allocation, costs, gains, budget):
    given = np.flatnonzero(allocation.choice >= 0)
    chosen = allocation.choice[given]
    assert (gains[chosen, given] > 0).all()
    assert allocation.gain == pytest.approx(gains[chosen, given].sum(), rel=1e-12, abs=1e-12)
    assert allocation.spend == pytest.approx(costs[chosen, given].sum(), rel=1e-12, abs=1e-12)
    assert allocation.spend <= budget


@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "integers with ties"])
def test_bound_optimum_plan_on_all_assignments(whole):
    rng = np.random.default_rng(11)
    shares = []
    for _ in range(300):
        costs, gains = random_case(rng, customers=int(rng.integers(1, 6)), offers=int(rng.integers(1, 4)), whole=whole)
        budget = float(rng.integers(0, 15)) if whole else float(rng.uniform(0, 12))
        allocation = solve_knapsack(costs, gains, budget=budget)
        optimum = best_of_all_assignments(costs, gains, budget)
        check_choice(allocation, costs, gains, budget)
        assert allocation.upper_bound >= optimum - 1e-9
        assert optimum >= allocation.gain - 1e-9
        assert allocation.gain >= optimum / 2 - 1e-9
        shares.append(allocation.gain / optimum if optimum > 0 else 1.0)
    assert np.mean(shares) > 0.99


def test_any_multiplier_bounds_the_optimum():
    rng = np.random.default_rng(12)
    for _ in range(50):
        costs, gains = random_case(rng, customers=4, offers=3, whole=False)
        optimum = best_of_all_assignments(costs, gains, 6.0)
        for multiplier in (0.0, 0.3, 1.0, 4.0):
            assert dual_bound(costs, gains, budget=6.0, multiplier=multiplier) >= optimum - 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_against_highs(seed):
    rng = np.random.default_rng(seed)
    costs, gains = random_case(rng, customers=80, offers=4, whole=bool(seed % 2))
    budget = float(round(costs.sum() * rng.uniform(0.02, 0.2)))
    allocation = solve_knapsack(costs, gains, budget=budget)
    optimum = best_by_highs(costs, gains, budget)
    check_choice(allocation, costs, gains, budget)
    assert allocation.upper_bound >= optimum - 1e-6
    assert optimum >= allocation.gain - 1e-6
    assert allocation.gain >= 0.98 * optimum


@pytest.mark.parametrize("whole", [False, True], ids=["continuous", "integers with ties"])
def test_gain_never_falls_as_the_budget_grows(whole):
    rng = np.random.default_rng(13)
    for _ in range(40):
        costs, gains = random_case(rng, customers=int(rng.integers(1, 30)), offers=int(rng.integers(1, 5)), whole=whole)
        budgets = np.arange(25.0) if whole else np.sort(rng.uniform(0, costs.sum() / 2, 25))
        plans = [solve_knapsack(costs, gains, budget=float(budget)) for budget in budgets]
        assert np.diff([plan.gain for plan in plans]).min() >= -1e-12
        assert np.diff([plan.upper_bound for plan in plans]).min() >= -1e-9


def test_the_one_dear_offer_is_not_lost_to_a_denser_small_one():
    allocation = solve_knapsack(np.array([[1.0, 100.0]]), np.array([[2.0, 100.0]]), budget=100.0)
    assert allocation.choice.tolist() == [-1, 0]


def test_an_offer_under_the_hull_fills_the_rest():
    allocation = solve_knapsack(np.array([[10.0], [3.0]]), np.array([[10.0], [1.0]]), budget=5.0)
    assert (allocation.choice.tolist(), allocation.upper_bound) == ([1], 1.0)


def test_rounding_does_not_put_a_later_step_before_an_earlier_one():
    assert (0.4 - 0.1) / (4 - 1) > 0.1 / 1 >= 0.4 / 4
    costs, gains = np.array([[1.0, 1.0], [4.0, 4.0]]), np.array([[0.1, 0.1], [0.4, 0.4]])
    allocation = solve_knapsack(costs, gains, budget=4.0)
    check_choice(allocation, costs, gains, 4.0)


def test_bisecting_and_sorting_take_the_same_steps(monkeypatch):
    rng = np.random.default_rng(14)
    for whole in (False, True):
        costs, gains = random_case(rng, customers=1_000, offers=3, whole=whole)
        for budget in (1.0, 200.0, 700.0):
            monkeypatch.undo()
            sorting = solve_knapsack(costs, gains, budget=budget)
            monkeypatch.setattr(knapsack, "SORTED_AT_ONCE", 3)
            monkeypatch.setattr(knapsack, "CUSTOMERS_AT_ONCE", 17)
            bisecting = solve_knapsack(costs, gains, budget=budget)
            assert (sorting.choice == bisecting.choice).all()
            assert sorting.shadow_price == bisecting.shadow_price


def test_shadow_price_is_the_gain_of_a_further_dollar():
    rng = np.random.default_rng(15)
    customers = 50_000
    at_stake = rng.beta(1, 3, customers) * rng.lognormal(4, 1, customers)
    costs = np.broadcast_to(np.array([[1.0], [5.0], [12.0]]), (3, customers))
    gains = np.array([[0.05], [0.2], [0.35]]) * at_stake - costs
    step = 100.0
    for budget in (10_000.0, 50_000.0, 100_000.0):
        here, more = (solve_knapsack(costs, gains, budget=budget + extra) for extra in (0.0, step))
        assert (more.gain - here.gain) / step == pytest.approx(here.shadow_price, rel=0.05)
        secant = (more.upper_bound - here.upper_bound) / step  # the bound is concave in the budget
        assert more.shadow_price - 1e-6 <= secant <= here.shadow_price + 1e-6
        assert here.gain == pytest.approx(here.upper_bound, rel=1e-6)


def test_shadow_price_before_the_first_dollar_and_after_the_last():
    costs, gains = np.array([[10.0, 4.0]]), np.array([[5.0, 1.0]])
    assert solve_knapsack(costs, gains, budget=0.0).shadow_price == 0.5
    assert solve_knapsack(costs, gains, budget=10.0).shadow_price == 0.25
    assert solve_knapsack(costs, gains, budget=14.0).shadow_price == 0.0


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
        pytest.param([[], []], [[], []], 10.0, [], id="nobody"),
    ],
)
def test_edges(costs, gains, budget, choice):
    costs, gains = np.array(costs), np.array(gains)
    allocation = solve_knapsack(costs, gains, budget=budget)
    assert allocation.choice.tolist() == choice
    check_choice(allocation, costs, gains, budget)
    assert allocation.gain == allocation.upper_bound or budget == 2.0


@pytest.mark.parametrize(("purse", "count"), [(1.9, 0), (2.0, 1), (4.9, 1), (5.0, 2), (99.0, 3)])
def test_affordable_prefix_at_and_around_its_bounds(purse, count):
    assert affordable_prefix(np.array([2.0, 3.0, 1.0]), purse) == count


def test_affordable_prefix_does_not_overspend_where_the_running_sum_drifts():
    costs, purse = np.full(1_000_000, 0.3), 299_999.999_999
    assert np.cumsum(costs)[-1] < purse < costs.sum()
    assert affordable_prefix(costs, purse) == 999_999
