"""What a marketer would do with the same budget, offers and expected gains: the plan's yardsticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.budget.options import PER_CONTACT, PER_COST, ROUNDING, Limits, Options

__all__ = ["compare_simple_rules"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def compare_simple_rules(
    options: Options,
    limits: Limits,
    orders: Mapping[str, Integers],
    *,
    offer_names: Sequence[str],
    plan_gain: float,
) -> pd.DataFrame:
    """Contact customers in each rule's order with one and the same offer until the money is gone.

    A rule looks at no expected gain: it also contacts those on whom the offer loses money, and stops at the
    first customer it cannot pay for. It keeps to budgets and caps, and to no share or return. Each rule is
    credited with whichever single offer does best under it, chosen with hindsight: the most generous reading
    of the rule.

    Parameters
    ----------
    options : Options
        Cost and expected net gain of every offer for every customer.
    limits : Limits
    orders : mapping of str to ndarray of shape (n_customers,)
        The order in which each rule contacts customers, as positions.
    offer_names : sequence of str
    plan_gain : float
        Expected gain of the plan that the rules are compared with.

    Returns
    -------
    DataFrame
        Indexed by ``rule``: ``offer``, ``customers_contacted``, ``spend``, ``expected_gain`` and
        ``share_of_plan``, which is missing where the plan gains nothing.

    Examples
    --------
    >>> options = Options(np.array([[5.0]]), np.array([[-1.0, 4.0]]), np.zeros(2, np.int32), 1)
    >>> budget = Limits(np.full((1, 3, 1, 1), [[[0.0]], [[1.0]], [[0.0]]]), np.array([10.0]))
    >>> compare_simple_rules(options, budget, {"in order": np.array([0, 1])}, offer_names=["coupon"],
    ...                      plan_gain=4.0).loc["in order"].to_dict()
    {'offer': 'coupon', 'customers_contacted': 2, 'spend': 10.0, 'expected_gain': 3.0, 'share_of_plan': 0.75}
    """
    rows = []
    for order in orders.values():
        outcomes = [_contact(options, limits.purses(), offer, order) for offer in range(len(options.gains))]
        best = max(range(len(outcomes)), key=lambda offer: outcomes[offer][2])
        contacted, spend, gain = outcomes[best]
        share = gain / plan_gain if plan_gain > 0 else np.nan
        rows.append((offer_names[best], contacted, min(spend, float(limits.amounts[0])), gain, share))
    columns = ["offer", "customers_contacted", "spend", "expected_gain", "share_of_plan"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(list(orders), name="rule"))


def affordable_prefix(costs: Floats, purse: float) -> int:
    """Return how many of the costs, from the first on without a gap, the purse can pay.

    >>> affordable_prefix(np.array([4.0, 3.0, 5.0, 1.0]), 8.0)
    2
    """
    count = int(np.searchsorted(np.cumsum(costs), purse, side="right"))
    while costs[:count].sum() > purse:  # a running sum over millions drifts further than a pairwise one
        count -= 1
    return count


def _contact(options: Options, purses: Limits, offer: int, order: Integers) -> tuple[int, float, float]:
    """Return how many customers, from the first in order on, can be given an offer, and its cost and gain."""
    costs = np.broadcast_to(options.costs[offer], order.shape)[order]
    groups, count = options.groups[order], len(order)
    for weights, amount in zip(purses.weights[:, :, offer], purses.amounts, strict=True):
        if weights.any():
            use = weights[PER_CONTACT, groups] + weights[PER_COST, groups] * costs
            count = min(count, affordable_prefix(use, amount * (1 + ROUNDING)))
    return count, float(costs[:count].sum()), float(options.gains[offer, order[:count]].sum())
