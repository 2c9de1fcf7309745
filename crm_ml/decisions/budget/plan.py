"""The budget plan: which customer gets which offer, with the proof of how good that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.budget.constraints import (
    BudgetConstraints,
    as_limits,
    group_customers,
    kept_aside,
    limits_table,
    terms,
)
from crm_ml.decisions.budget.knapsack import Allocation, allocate, solve_knapsack
from crm_ml.decisions.budget.offers import VALUE_COLUMNS, Offer, price_offers, read_probability, read_value
from crm_ml.decisions.budget.options import PER_COST, PER_GAIN, Choice, Floats, Limits, Options
from crm_ml.decisions.budget.rules import compare_simple_rules
from crm_ml.decisions.budget.uncertainty import SOURCES, doubt_by_source, together
from crm_ml.decisions.columns import check_key
from crm_ml.decisions.draws import salted_draws
from crm_ml.errors import CrmError, SchemaError, out_of_range
from crm_ml.notebook_summary import summary_html

__all__ = ["BudgetPlan", "allocate_budget"]

Integers = NDArray[np.int64]
Rows = Integers | slice

RULES_SALT = "everyone alike"


@dataclass(frozen=True, eq=False, repr=False)
class BudgetPlan:
    """Who gets which offer, and the certificate of how far from optimal that can be.

    The expected gain is what the inputs promise, found by looking for the largest: it is no measurement. What
    a plan brings is measured on customers it was not made from, by `crm_ml.policy_value` or a holdout.

    Attributes
    ----------
    assignments : DataFrame
        One row per customer who gets an offer, indexed and sorted by customer: ``offer``, ``cost``,
        ``expected_gain`` (net of cost), ``value_basis`` and ``holdout``. Customers held out stand there with
        the offer that the same prices would have given them, at no cost and no gain: compare the two groups.
    spend, expected_gain : float
        Total cost, never above the budget, and total expected incremental margin net of it. Where an offer is
        paid for on redemption, spend is an expectation too.
    expected_gain_lower, expected_gain_upper : float
        90 % interval of the expected gain, as far as churn, value and effect come with intervals.
    uncertainty : DataFrame
        What each ``source`` of doubt may take off the gain, ``lower``, or add to it, ``upper``; sources
        without an interval are missing.
    upper_bound : float
        No plan within the limits has a larger expected gain, given the same offers and expectations.
    gap : float
        ``(upper_bound − expected_gain) / upper_bound``; 0 where the bound is 0.
    shadow_price : float
        Expected net gain per further dollar of budget; 0 once every offer worth making is made.
    limits : DataFrame
        Indexed by ``limit``, the budget first: ``stated``, ``reached``, and ``price``, the expected gain per
        unit that the limit is relaxed by.
    simple_rules : DataFrame
        What simple rules would bring with the same budget, offers and expectations, indexed by ``rule``:
        "everyone alike" (in a fixed order of hashed identifiers), "top churn risk", "top value" and "top risk
        × value" where the customers' frame has these columns. Every rule makes one and the same offer, the one
        that does best under it with hindsight, until the money is gone, whether or not it pays; rules keep to
        budgets and caps, and to no share or return.
    offers : tuple of Offer
    budget : float
    """

    assignments: pd.DataFrame
    spend: float
    expected_gain: float
    uncertainty: pd.DataFrame
    upper_bound: float
    shadow_price: float
    limits: pd.DataFrame
    offers: tuple[Offer, ...]
    budget: float
    _options: Options = field(repr=False)
    _limits: Limits = field(repr=False)
    _ranked_by: dict[str, Floats] = field(repr=False)

    @property
    def contacts(self) -> pd.DataFrame:
        """The assignments of those who are not held out."""
        return self.assignments[~self.assignments["holdout"]]

    @property
    def gap(self) -> float:
        """How far from the best possible the plan can be, as a share of that."""
        return (self.upper_bound - self.expected_gain) / self.upper_bound if self.upper_bound > 0 else 0.0

    @property
    def expected_gain_lower(self) -> float:
        """Lower end of the expected gain's 90 % interval."""
        return self.expected_gain + together(self.uncertainty)[0]

    @property
    def expected_gain_upper(self) -> float:
        """Upper end of the expected gain's 90 % interval."""
        return self.expected_gain + together(self.uncertainty)[1]

    @cached_property
    def simple_rules(self) -> pd.DataFrame:
        """What simple rules would bring; see the class."""
        return compare_simple_rules(
            self._options,
            self._limits,
            {rule: np.argsort(-rank, kind="stable") for rule, rank in self._ranked_by.items()},
            offer_names=[offer.name for offer in self.offers],
            plan_gain=self.expected_gain,
        )

    def by_offer(self) -> pd.DataFrame:
        """Return what each offer comes to: ``customers``, ``spend``, ``expected_gain`` and ``value_basis``."""
        given = self.contacts.groupby("offer")
        totals = given.agg(customers=("cost", "size"), spend=("cost", "sum"), expected_gain=("expected_gain", "sum"))
        names = pd.Index([offer.name for offer in self.offers], name="offer")
        bases = pd.Series([str(offer.value_basis) for offer in self.offers], index=names)
        return totals.reindex(names, fill_value=0).assign(value_basis=bases)

    def comparison(self) -> pd.DataFrame:
        """Return the plan, and the simple rules below it: ``customers_contacted``, ``spend``, ``expected_gain``."""
        own = {
            "customers_contacted": [len(self.contacts)],
            "spend": [self.spend],
            "expected_gain": [self.expected_gain],
        }
        return pd.concat([pd.DataFrame(own, index=pd.Index(["plan"], name="rule")), self.simple_rules[list(own)]])

    def frontier(self, *, points: int = 21) -> pd.DataFrame:
        """Return what other budgets would bring, within the same constraints.

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
        costs = self._options.costs.max(axis=0, initial=0.0)
        enough = float(costs.sum()) * (self._options.n_customers if costs.size == 1 else 1)
        most = float(self._solve(enough).totals[PER_COST].sum())
        rows: list[tuple[float, ...]] = []
        for budget in np.union1d(np.linspace(0.0, most, points), min(self.budget, most)).tolist():
            best = self._solve(budget)
            spend, gain = (float(best.totals[of].sum()) for of in (PER_COST, PER_GAIN))
            if rows and gain < rows[-1][2]:  # a plan within less money is one within more
                _, spend, gain, *_ = rows[-1]
            rows.append((budget, min(spend, budget), gain, best.upper_bound, float(best.prices[0])))
        return pd.DataFrame(rows, columns=["budget", "spend", "expected_gain", "upper_bound", "shadow_price"])

    def _solve(self, budget: float) -> Allocation:
        amounts = np.append(budget, self._limits.amounts[1:])
        return solve_knapsack(self._options, Limits(self._limits.weights, amounts))

    def summary(self) -> str:
        """Return the plan in a few lines of text."""
        held_out = len(self.assignments) - len(self.contacts)
        lines = [
            f"{len(self.contacts):,} of {self._options.n_customers:,} customers get an offer; "
            f"{self.spend:,.2f} of {self.budget:,.2f} spent",
            f"expected gain {self.expected_gain:,.2f}, at most {self.gap:.3%} below the best possible; "
            f"a further dollar would bring {self.shadow_price:,.3f}",
            self._interval_in_words(),
        ]
        lines += [
            f"  {name}: {customers:,} customers, value {basis}"
            for name, customers, basis in self.by_offer()[["customers", "value_basis"]].itertuples()
        ]
        lines += [
            f"  {name}: {reached:,.4g} of {stated:,.4g}"
            for name, stated, reached in self.limits[["stated", "reached"]].iloc[1:].itertuples()
        ]
        if held_out:
            lines.append(f"  {held_out:,} more would get one, and are held out")
        rules = self.simple_rules
        lines += [
            f"  rule {rule!r} with {offer!r}: gain {gain:,.2f}"
            for rule, offer, gain in zip(rules.index, rules["offer"], rules["expected_gain"], strict=True)
        ]
        return "\n".join(lines)

    def _interval_in_words(self) -> str:
        known = [source for source in SOURCES if source in self.uncertainty.index]
        unknown = [source for source in SOURCES if source not in known]
        if not known:
            return "no interval: churn, value and effect came without one"
        ends = f"{self.expected_gain_lower:,.2f} to {self.expected_gain_upper:,.2f}"
        left_out = f"; without that of {', '.join(unknown)}" if unknown else ""
        return f"90 % interval {ends}, with the uncertainty of {', '.join(known)}{left_out}"

    def __repr__(self) -> str:
        return (
            f"BudgetPlan(customers={len(self.contacts):,}, spend={self.spend:,.2f}, "
            f"budget={self.budget:,.2f}, expected_gain={self.expected_gain:,.2f}, gap={self.gap:.3%})"
        )

    def _repr_html_(self) -> str:
        """Show the plan in a notebook: its money, its proof, and what each offer comes to."""
        by_offer = self.by_offer()
        customers = int(by_offer["customers"].sum())
        facts = {
            "customers with an offer": f"{customers:,} of {self._options.n_customers:,}",
            "held out": len(self.assignments) - customers,
            "spend": f"{self.spend:,.2f} of {self.budget:,.2f}",
            "expected gain": f"{self.expected_gain:,.2f}; {self._interval_in_words()}",
            "no plan gains more than": f"{self.upper_bound:,.2f}, a gap of {self.gap:.3%}",
            "a further unit of budget brings": self.shadow_price,
        }
        return summary_html("BudgetPlan", facts, by_offer)


def allocate_budget(
    customers: pd.DataFrame,
    offers: Sequence[Offer],
    budget: float,
    *,
    constraints: BudgetConstraints | None = None,
) -> BudgetPlan:
    """Decide who gets which offer, for the largest expected incremental margin within a budget.

    Every customer gets at most one offer, and none that is not expected to bring more than it costs, even
    where money is left. Neither the order of the rows nor an offer given twice changes the plan.

    Parameters
    ----------
    customers : DataFrame
        One row per customer, indexed by customer_id. Offers with a save rate need ``churn_probability``
        and ``value_at_stake`` or else ``clv``; others need the columns they name. Their intervals are used
        where they stand in columns of the same names with ``_lower`` and ``_upper`` (``churn_lower`` and
        ``churn_upper``, for churn).
    offers : sequence of Offer
        At least one, with distinct names.
    budget : float
        At least 0 and finite, in the unit of the offers' costs.
    constraints : BudgetConstraints, optional
        What else to keep to.

    Returns
    -------
    BudgetPlan
        Its expected gain never falls as the budget grows; under constraints, by no more than its gap.

    Raises
    ------
    SchemaError
        If the index is no key, or a column is missing or holds what it must not.
    CrmError
        If the budget or the offers are outside their domain, or the constraints name what there is not.

    Notes
    -----
    Solved as a multiple-choice knapsack by its Lagrangian (see `crm_ml.decisions.budget.knapsack`); the bound
    is that of the linear relaxation over the offers within the limits.

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
    {'everyone alike': 1.0, 'top churn risk': 0.527, 'top value': 1.0, 'top risk × value': 1.0}
    """
    given = BudgetConstraints() if constraints is None else constraints
    _check_arguments(customers, offers, budget)
    stated = terms(given, offers, float(budget))
    limits = as_limits(stated)
    groups = group_customers(given, customers)
    rows, held = _split(given, customers.index)
    options = _options(customers, offers, rows, groups, limits)
    best = solve_knapsack(options, limits)
    assignments, gave = _assignments(customers, offers, rows, options, best.choice)
    uncertainty = doubt_by_source(customers.take(gave), offers, best.choice[best.choice >= 0])
    if given.holdout_share > 0:
        kept = _options(customers, offers, held, groups, limits)
        like = limits.scaled(kept.n_customers / max(options.n_customers, 1))
        would, _ = _assignments(customers, offers, held, kept, allocate(kept, like, best.prices))
        assignments = pd.concat([assignments, would.assign(cost=0.0, expected_gain=0.0, holdout=True)]).sort_index()
    return BudgetPlan(
        assignments=assignments,
        spend=min(float(best.totals[PER_COST].sum()), float(budget)),
        expected_gain=float(best.totals[PER_GAIN].sum()),
        uncertainty=uncertainty,
        upper_bound=best.upper_bound,
        shadow_price=float(best.prices[0]),
        limits=limits_table(stated, best.totals, best.prices),
        offers=tuple(offers),
        budget=float(budget),
        _options=options,
        _limits=limits,
        _ranked_by=_ranked_by(customers, rows),
    )


def _check_arguments(customers: pd.DataFrame, offers: Sequence[Offer], budget: float) -> None:
    if not (math.isfinite(budget) and budget >= 0):
        raise CrmError(out_of_range("budget", budget, "be finite and at least 0"))
    names = [offer.name for offer in offers]
    if not names:
        raise CrmError(out_of_range("offers", names, "hold at least one offer"))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CrmError(f"`offers` must have distinct names; given more than once: {twice}.\nRename them.")
    check_key(customers, "customers")


def _split(constraints: BudgetConstraints, index: pd.Index) -> tuple[Rows, Integers]:
    """Return the positions of the customers to plan for, and of those held out, both in order of customer."""
    try:
        order: Rows = slice(None) if index.is_monotonic_increasing else np.asarray(index.argsort(), dtype=np.int64)
    except TypeError as error:
        rule = "the index of `customers` must hold identifiers of one type: they break ties. It mixes types."
        raise SchemaError(f"{rule}\nCall customers.set_axis(customers.index.astype(str)) first.") from error
    excluded, held_out = kept_aside(constraints, index)
    if not (excluded.any() or held_out.any()):
        return order, np.zeros(0, dtype=np.int64)
    places = np.arange(len(index), dtype=np.int64)[order]
    return places[~(excluded | held_out)[places]], places[held_out[places]]


def _options(
    customers: pd.DataFrame, offers: Sequence[Offer], rows: Rows, groups: NDArray[np.int32], limits: Limits
) -> Options:
    costs, gains = price_offers(customers, offers, rows)
    return Options(costs, gains, np.ascontiguousarray(groups[rows]), limits.weights.shape[-1])


def _ranked_by(customers: pd.DataFrame, rows: Rows) -> dict[str, Floats]:
    """Return what each simple rule ranks customers by, largest first."""
    ranks = {"everyone alike": salted_draws(customers.index[rows], salt=RULES_SALT)}
    has_risk = "churn_probability" in customers.columns
    has_value = any(column in customers.columns for column in VALUE_COLUMNS)
    if has_risk:
        ranks["top churn risk"] = read_probability(customers)[rows]
    if has_value:
        ranks["top value"] = read_value(customers)[rows]
    if has_risk and has_value:
        ranks["top risk × value"] = ranks["top churn risk"] * ranks["top value"]
    return ranks


def _assignments(
    customers: pd.DataFrame, offers: Sequence[Offer], rows: Rows, options: Options, choice: Choice
) -> tuple[pd.DataFrame, Any]:
    """Return the customers who are given an offer, and their positions in the frame."""
    given = np.flatnonzero(choice >= 0)
    chosen = choice[given]
    positions = np.arange(len(customers))[rows][given]
    columns = {
        "offer": pd.Index([offer.name for offer in offers]).take(chosen),
        "cost": options.costs[chosen, given if options.costs.shape[1] > 1 else 0],
        "expected_gain": options.gains[chosen, given],
        "value_basis": pd.Index([offer.value_basis for offer in offers]).take(chosen),
        "holdout": np.zeros(given.size, dtype=bool),
    }
    index = customers.index[positions]
    named = index.rename("customer_id" if index.name is None else index.name)
    return pd.DataFrame(columns, index=named), positions
