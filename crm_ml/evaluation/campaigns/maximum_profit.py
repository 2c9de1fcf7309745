"""MPC and EMPC: one number for how much money a ranking of customers can make."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import betainc

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.evaluation.campaigns.campaign import RetentionCampaign, check_costs, read_per_customer, read_shares
from crm_ml.evaluation.measures.curves import ranked, running_total

__all__ = ["MaximumProfit", "expected_maximum_profit", "maximum_profit"]

Float = npt.NDArray[np.float64]


class MaximumProfit(NamedTuple):
    """The highest profit, money per customer on the list, and the share of the list contacted for it."""

    profit_per_customer: float
    contacted_share: float


def maximum_profit(
    churned: npt.ArrayLike,
    probability: npt.ArrayLike,
    *,
    clv: float,
    incentive_cost: float,
    contact_cost: float,
    save_rate: float,
) -> MaximumProfit:
    """Return the maximum profit measure for customer churn (MPC) and the share contacted for it.

    Everyone is worth the same; for customers' own values see `crm_ml.evaluation.profit_curve`. Of equally
    profitable shares the smallest is returned.

    Parameters
    ----------
    churned : (n,) 1 or 0.
    probability : (n,) score, higher for those more likely to leave; equal scores are contacted together.
    clv : average value of a customer, money.
    incentive_cost, contact_cost, save_rate
        As for `crm_ml.evaluation.RetentionCampaign`.

    Raises
    ------
    SchemaError
        An array has another shape, or a number outside its domain.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), IEEE Transactions on Knowledge and Data Engineering 25(5).

    Examples
    --------
    >>> left, risk = [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
    >>> found = maximum_profit(left, risk, clv=200, incentive_cost=10, contact_cost=1, save_rate=0.3)
    >>> found.profit_per_customer, found.contacted_share
    (23.875, 0.875)
    """
    campaign = RetentionCampaign(save_rate=save_rate, incentive_cost=incentive_cost, contact_cost=contact_cost)
    profit = campaign.profit(churned, clv)
    order, ends = ranked(read_per_customer(probability, name="probability", customers=len(profit)))
    total = running_total(profit[order], ends)
    best = int(np.argmax(total))
    return MaximumProfit(float(total[best] / len(profit)), float(ends[best] / len(profit)))


def expected_maximum_profit(
    churned: npt.ArrayLike,
    probability: npt.ArrayLike,
    *,
    clv: float,
    incentive_cost: float,
    contact_cost: float,
    alpha: float = 6.0,
    beta: float = 14.0,
) -> MaximumProfit:
    """Return the expected maximum profit measure for customer churn (EMPC) and the share contacted on average.

    The save rate is not known but Beta-distributed, and the campaign goes as deep as pays at each. The best
    depths all lie on the convex hull of the ROC curve, each being best for one interval of save rates, over
    which the Beta density integrates to incomplete beta functions.

    Parameters
    ----------
    churned, probability, clv, incentive_cost, contact_cost
        As for `maximum_profit`.
    alpha, beta : parameters of the save rate's distribution, above 0; by default those of the source, whose
        mean is 0.3.

    Raises
    ------
    SchemaError
        An array has another shape, or a number outside its domain.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), IEEE Transactions on Knowledge and Data Engineering 25(5). For the hull
    by pooling adjacent violators: Fawcett and Niculescu-Mizil (2007), PAV and the ROC Convex Hull, Machine
    Learning 68.

    Examples
    --------
    >>> left, risk = [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
    >>> found = expected_maximum_profit(left, risk, clv=200, incentive_cost=10, contact_cost=1)
    >>> round(found.profit_per_customer, 6), round(found.contacted_share, 6)
    (23.875593, 0.87437)
    """
    check_costs(incentive_cost=incentive_cost, contact_cost=contact_cost)
    for name, shape in (("alpha", alpha), ("beta", beta)):
        if not 0 < shape < np.inf:
            raise SchemaError(out_of_range(name, shape, "be finite and above 0"))
    contacted, leaving = _hull(churned, probability)
    worth = float(read_per_customer(clv, name="clv", customers=1)[0])
    # at save rate γ, contacting down to a vertex brings γ × slope − cost
    slope = leaving * (worth - incentive_cost)
    cost = contacted * contact_cost + (contacted - leaving) * incentive_cost
    dearer, steeper = np.diff(cost), np.diff(slope)
    pays_from = np.divide(dearer, steeper, out=np.ones_like(dearer), where=dearer < steeper)
    bounds = np.concatenate([[0.0], pays_from, [1.0]])
    chance = np.diff(betainc(alpha, beta, bounds))
    rate = np.diff(betainc(alpha + 1, beta, bounds)) * alpha / (alpha + beta)
    return MaximumProfit(float(slope @ rate - cost @ chance), float(contacted @ chance))


def _hull(churned: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Float, Float]:
    """Return the shares of all customers who are contacted, and contacted and leaving, at the hull's vertices."""
    left = read_shares(churned, name="churned")
    n = len(left)
    order, ends = ranked(read_per_customer(probability, name="probability", customers=n))
    leaving, size = np.diff(running_total(left[order], ends)), np.diff(ends)
    pooled = isotonic_regression(leaving / size, weights=size, increasing=False)
    at = ends[pooled.blocks]
    return at / n, running_total(left[order], at) / n
