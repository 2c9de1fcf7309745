"""The budget plan: which customer gets which offer, with the proof of how good that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.budget.knapsack import Allocation, solve_knapsack
from crm_ml.decisions.budget.offers import VALUE_COLUMNS, Offer, price_offers, read_probability, read_value
from crm_ml.decisions.budget.rules import compare_simple_rules
from crm_ml.errors import CrmError, SchemaError, out_of_range

__all__ = ["BudgetPlan", "allocate_budget"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class BudgetPlan:
    """Who gets which offer, and the certificate of how far from optimal that can be.

    Attributes
    ----------
    assignments : DataFrame
        One row per customer who gets an offer, indexed and sorted by customer: ``offer``, ``cost``,
        ``expected_gain`` (net of cost) and ``value_basis``.
    spend, expected_gain : float
        Total cost, never above the budget, and total expected incremental margin net of it.
    upper_bound : float
        No plan within the budget has a larger expected gain, given the same offers and expectations.
    gap : float
        ``(upper_bound − expected_gain) / upper_bound``; 0 where the bound is 0.
    shadow_price : float
        Expected net gain per further dollar of budget; 0 once every offer worth making is made.
    simple_rules : DataFrame
        What simple rules would bring with the same budget, offers and expectations, indexed by ``rule``:
        "everyone alike" (in a fixed order of hashed identifiers), "top churn risk" and "top value" where
        the customers' frame has these columns. Every rule makes one and the same offer, the one that does
        best under it with hindsight, until the money is gone, whether or not it pays.
    offers : tuple of Offer
    budget : float
    """

    assignments: pd.DataFrame
    spend: float
    expected_gain: float
    upper_bound: float
    gap: float
    shadow_price: float
    simple_rules: pd.DataFrame
    offers: tuple[Offer, ...]
    budget: float
    _costs: Floats = field(repr=False)
    _gains: Floats = field(repr=False)

    def frontier(self, *, points: int = 21) -> pd.DataFrame:
        """Return what other budgets would bring.

        Parameters
        ----------
        points : int, default 21
            Number of budgets, evenly spaced from 0 to the most that is worth spending; at least 2. The plan's own
            budget is added.

        Returns
        -------
        DataFrame
            One row per budget: ``budget``, ``spend``, ``expected_gain``, which never falls from row to row,
            ``upper_bound`` and ``shadow_price``.
        """
        if points < 2:
            raise CrmError(out_of_range("points", points, "be at least 2"))
        enough = float(self._costs.max(axis=0, initial=0.0).sum())
        most = solve_knapsack(self._costs, self._gains, budget=enough).spend
        rows = []
        for budget in np.union1d(np.linspace(0.0, most, points), min(self.budget, most)).tolist():
            best = solve_knapsack(self._costs, self._gains, budget=budget)
            rows.append((budget, best.spend, best.gain, best.upper_bound, best.shadow_price))
        return pd.DataFrame(rows, columns=["budget", "spend", "expected_gain", "upper_bound", "shadow_price"])

    def summary(self) -> str:
        """Return the plan in a few lines of text."""
        lines = [
            f"{len(self.assignments):,} of {self._gains.shape[1]:,} customers get an offer; "
            f"{self.spend:,.2f} of {self.budget:,.2f} spent",
            f"expected gain {self.expected_gain:,.2f}, at most {self.gap:.3%} below the best possible; "
            f"a further dollar would bring {self.shadow_price:,.3f}",
        ]
        counts = self.assignments["offer"].value_counts()
        lines += [
            f"  {offer.name}: {counts.get(offer.name, 0):,} customers, value {offer.value_basis}"
            for offer in self.offers
        ]
        rules = self.simple_rules
        lines += [
            f"  rule {rule!r} with {offer!r}: gain {gain:,.2f}"
            for rule, offer, gain in zip(rules.index, rules["offer"], rules["expected_gain"], strict=True)
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"BudgetPlan(customers={len(self.assignments):,}, spend={self.spend:,.2f}, "
            f"budget={self.budget:,.2f}, expected_gain={self.expected_gain:,.2f}, gap={self.gap:.3%})"
        )


def allocate_budget(customers: pd.DataFrame, offers: Sequence[Offer], budget: float) -> BudgetPlan:
    """Decide who gets which offer, for the largest expected incremental margin within a budget.

    Every customer gets at most one offer, and none that is not expected to bring more than it costs, even
    where money is left. Neither the order of the rows nor an offer given twice changes the plan.

    Parameters
    ----------
    customers : DataFrame
        One row per customer, indexed by customer_id. Offers with a save rate need ``churn_probability``
        and ``value_at_stake`` or else ``clv``; others need the columns they name.
    offers : sequence of Offer
        At least one, with distinct names.
    budget : float
        At least 0 and finite, in the unit of the offers' costs.

    Returns
    -------
    BudgetPlan
        Its expected gain never falls as the budget grows.

    Raises
    ------
    SchemaError
        If the index is no key, or a column is missing or holds what it must not.
    CrmError
        If the budget or the offers are outside their domain.

    Notes
    -----
    Solved as a multiple-choice knapsack by its Lagrangian (see `crm_ml.decisions.budget.knapsack`); the bound is
    that of the linear relaxation over the offers within the budget.

    Examples
    --------
    >>> customers = pd.DataFrame(
    ...     {"churn_probability": [0.9, 0.5, 0.1], "clv": [300.0, 800.0, 500.0]},
    ...     index=pd.Index(["ann", "bob", "cem"], name="customer_id"),
    ... )
    >>> plan = allocate_budget(customers, [Offer("coupon10", cost=10, save_rate=0.08)], budget=15)
    >>> plan
    BudgetPlan(customers=1, spend=10.00, budget=15.00, expected_gain=22.00, gap=20.863%)
    >>> plan.assignments["offer"].to_dict()
    {'bob': 'coupon10'}
    >>> plan.simple_rules["share_of_plan"].round(3).to_dict()
    {'everyone alike': -0.273, 'top churn risk': 0.527, 'top value': 1.0}
    """
    _check_arguments(customers, offers, budget)
    by_customer = _sorted_positions(customers.index)
    costs, gains = price_offers(customers, offers, order=by_customer)
    index = customers.index[by_customer]
    best = solve_knapsack(costs, gains, budget=float(budget))
    return BudgetPlan(
        assignments=_assignments(index, offers, costs, gains, best),
        spend=best.spend,
        expected_gain=best.gain,
        upper_bound=best.upper_bound,
        gap=(best.upper_bound - best.gain) / best.upper_bound if best.upper_bound > 0 else 0.0,
        shadow_price=best.shadow_price,
        simple_rules=compare_simple_rules(
            costs,
            gains,
            _rule_orders(customers, by_customer),
            offer_names=[offer.name for offer in offers],
            budget=float(budget),
            plan_gain=best.gain,
        ),
        offers=tuple(offers),
        budget=float(budget),
        _costs=costs,
        _gains=gains,
    )


def _check_arguments(customers: pd.DataFrame, offers: Sequence[Offer], budget: float) -> None:
    if not (math.isfinite(budget) and budget >= 0):
        raise CrmError(out_of_range("budget", budget, "be finite and at least 0"))
    names = [offer.name for offer in offers]
    if not names:
        raise CrmError(out_of_range("offers", names, "hold at least one offer"))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CrmError(f"`offers` must have distinct names; given more than once: {twice}.\nRename them.")
    if "customer_id" in customers.columns:
        rule = "`customers` must be indexed by customer_id; it has a column of that name."
        raise SchemaError(f"{rule}\nCall customers.set_index('customer_id') first.")
    if customers.index.nlevels > 1:
        levels = customers.index.nlevels
        raise SchemaError(f"the index of `customers` must have one level; it has {levels}.\nDrop the others.")
    missing = int(np.count_nonzero(customers.index.isna()))
    repeated = int(np.count_nonzero(customers.index.duplicated()))
    if missing or repeated:
        rule = "the index of `customers` must hold every customer once, and none without a name."
        evidence = f"{repeated:,} of {len(customers):,} rows repeat one, {missing:,} have none."
        raise SchemaError(f"{rule} {evidence}\nAggregate or drop them.")


def _sorted_positions(index: pd.Index) -> Integers:
    try:
        return np.asarray(index.argsort(), dtype=np.int64)
    except TypeError as error:
        rule = "the index of `customers` must hold identifiers of one type: they break ties. It mixes types."
        raise SchemaError(f"{rule}\nCall customers.set_axis(customers.index.astype(str)) first.") from error


def _rule_orders(customers: pd.DataFrame, by_customer: Integers) -> dict[str, Integers]:
    hashes = pd.util.hash_pandas_object(customers.index[by_customer], index=False).to_numpy()
    orders = {"everyone alike": np.argsort(hashes, kind="stable")}
    if "churn_probability" in customers.columns:
        risk = read_probability(customers)[by_customer]
        orders["top churn risk"] = np.argsort(-risk, kind="stable")
    if any(column in customers.columns for column in VALUE_COLUMNS):
        value = read_value(customers)[by_customer]
        orders["top value"] = np.argsort(-value, kind="stable")
    return orders


def _assignments(
    index: pd.Index, offers: Sequence[Offer], costs: Floats, gains: Floats, best: Allocation
) -> pd.DataFrame:
    rows = np.flatnonzero(best.choice >= 0)
    chosen = best.choice[rows]
    columns = {
        "offer": pd.Index([offer.name for offer in offers]).take(chosen),
        "cost": costs[chosen, rows],
        "expected_gain": gains[chosen, rows],
        "value_basis": pd.Index([offer.value_basis for offer in offers]).take(chosen),
    }
    return pd.DataFrame(columns, index=index[rows].rename("customer_id" if index.name is None else index.name))
