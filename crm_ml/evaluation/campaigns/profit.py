"""What a retention campaign brings in, by how far down the list it goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.evaluation.campaigns.campaign import RetentionCampaign, read_per_customer
from crm_ml.evaluation.measures.curves import ranked, running_total

__all__ = ["BestDepth", "best_depth", "profit_curve"]

Float = npt.NDArray[np.float64]
Integer = npt.NDArray[np.intp]

CELLS = 10_000
"""Lists longer than this are resampled in so many stretches instead of customer by customer."""


@dataclass(frozen=True)
class BestDepth:
    """How far down the list contacting pays, and how sure that is.

    Attributes
    ----------
    contacted_share, share_lower, share_upper : share of customers at which the profit is highest, and its interval.
    customers : how many that is.
    profit, profit_lower, profit_upper : profit there, money, and its interval.
    """

    contacted_share: float
    share_lower: float
    share_upper: float
    customers: int
    profit: float
    profit_lower: float
    profit_upper: float


def profit_curve(
    probability: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    campaign: RetentionCampaign,
    churned: npt.ArrayLike | None = None,
    order_by: npt.ArrayLike | None = None,
    points: int = 101,
) -> pd.DataFrame:
    """Return the profit of a campaign that contacts so many of the customers, best first.

    Parameters
    ----------
    probability : (n,) calibrated probability of churn.
    value : (n,) each customer's own value, or one number for all; money.
    campaign : costs and save rate.
    churned : (n,) 1 or 0
        On a holdout: the profit is that of the customers who really left and stayed. Without it the profit is
        the one to expect by the probabilities.
    order_by : (n,) or None
        Score by which customers are contacted, highest first, such as `probability`; by default the profit to
        expect of each. Customers with equal scores are contacted in no order: each counts at their mean.
    points : rows of the result, evenly spaced from nobody to everybody.

    Returns
    -------
    DataFrame
        Columns contacted_share (0 to 1), customers (contacted), profit (money in all) and
        profit_per_customer (`profit` over all n customers, contacted or not).

    Raises
    ------
    SchemaError
        An array has another shape, or a number outside its domain.

    References
    ----------
    Óskarsdóttir, Baesens and Vanthienen (2018), Profit-Based Model Selection for Customer Retention Using
    Individual Customer Lifetime Values, Big Data 6(1).

    Examples
    --------
    Of two customers who may leave, the one worth keeping is contacted first.

    >>> campaign = RetentionCampaign(save_rate=0.5, incentive_cost=10, contact_cost=2)
    >>> profit_curve([0.8, 0.6], [20, 500], campaign=campaign, points=3)["profit"].tolist()
    [0.0, 141.0, 141.0]
    """
    profit, ends = _in_order(probability, value, campaign=campaign, churned=churned, order_by=order_by)
    n = len(profit)
    share = np.linspace(0, 1, points)
    total = np.interp(share * n, ends, running_total(profit, ends))
    columns = {
        "contacted_share": share,
        "customers": share * n,
        "profit": total,
        "profit_per_customer": total / n,
    }
    return pd.DataFrame(columns)


def best_depth(
    probability: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    campaign: RetentionCampaign,
    rng: np.random.Generator,
    churned: npt.ArrayLike | None = None,
    order_by: npt.ArrayLike | None = None,
    level: float = 0.9,
    n_replicates: int = 500,
) -> BestDepth:
    """Return the depth at which the profit is highest, with bootstrap intervals.

    Customers are drawn anew with replacement. The interval of the depth holds the depths that are best in the
    samples; that of the profit holds what each sample's customers bring in when contacted down to the score
    found best here. Both tell how much hangs on which customers were looked at, not how right the costs, the
    save rate or (without `churned`) the probabilities are.

    Up to 10,000 customers the bootstrap is exact. Longer lists are cut into at most 10,000 stretches of equal
    size (never within a tie): how many of a stretch are drawn is exact, the sum of their profits is normal
    with its exact mean and variance, and the best depth of a sample is found to a stretch. The memory taken
    beyond the input does not grow with `n_replicates`.

    Parameters
    ----------
    probability, value, campaign, churned, order_by
        As for `profit_curve`.
    rng : numpy.random.Generator
        Source of the samples.
    level : of the intervals, in (0, 1).
    n_replicates : number of samples, at least 1.

    Raises
    ------
    SchemaError
        An array has another shape, or a number outside its domain.

    Examples
    --------
    >>> campaign = RetentionCampaign(save_rate=0.5, incentive_cost=10, contact_cost=2)
    >>> rng = np.random.default_rng(0)
    >>> found = best_depth([0.9, 0.8, 0.1, 0.1], 100, campaign=campaign, churned=[1, 1, 0, 0], rng=rng)
    >>> found.contacted_share, found.customers, found.profit
    (0.5, 2, 86.0)
    """
    if not 0 < level < 1:
        raise SchemaError(out_of_range("level", level, "be between 0 and 1, both excluded"))
    if n_replicates < 1:
        raise SchemaError(out_of_range("n_replicates", n_replicates, "be at least 1"))
    profit, ends = _in_order(probability, value, campaign=campaign, churned=churned, order_by=order_by)
    total = running_total(profit, ends)
    best = int(np.argmax(total))
    depth, there = _resampled(profit, ends, best=int(ends[best]), n_replicates=n_replicates, rng=rng)
    tails = [(1 - level) / 2, (1 + level) / 2]
    (share_lower, share_upper), (profit_lower, profit_upper) = np.quantile(depth, tails), np.quantile(there, tails)
    return BestDepth(
        contacted_share=float(ends[best] / len(profit)),
        share_lower=float(share_lower),
        share_upper=float(share_upper),
        customers=int(ends[best]),
        profit=float(total[best]),
        profit_lower=float(profit_lower),
        profit_upper=float(profit_upper),
    )


def _in_order(
    probability: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    campaign: RetentionCampaign,
    churned: npt.ArrayLike | None,
    order_by: npt.ArrayLike | None,
) -> tuple[Float, Integer]:
    """Return the profit of each customer in the order of contact, and where a tie may end."""
    expected = campaign.profit(probability, value)
    n = len(expected)
    score = expected if order_by is None else read_per_customer(order_by, name="order_by", customers=n)
    order, ends = ranked(score)
    if churned is None:
        return expected[order], ends
    left = read_per_customer(churned, name="churned", customers=n)
    return campaign.profit(left, value)[order], ends


def _resampled(
    profit: Float, ends: Integer, *, best: int, n_replicates: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Return the best depth in each sample of customers, and the profit at the depth `best` of the original."""
    n = len(profit)
    if n <= CELLS:
        edges, stops = np.arange(n + 1), ends
    else:
        even = np.linspace(0, n, CELLS + 1)
        edges = np.union1d(ends[np.searchsorted(ends, even)], [best])
        stops = np.arange(len(edges))
    size, starts = np.diff(edges), edges[:-1]
    mean = np.add.reduceat(profit, starts) / size
    variance = np.add.reduceat((profit - np.repeat(mean, size)) ** 2, starts) / size
    marked = int(np.searchsorted(edges, best))
    depth, there = np.empty(n_replicates), np.empty(n_replicates)
    for i in range(n_replicates):
        drawn = rng.multinomial(n, size / n)
        brought = drawn * mean + np.sqrt(drawn * variance) * rng.standard_normal(len(size))
        total = np.concatenate([[0.0], np.cumsum(brought)])
        stop = stops[np.argmax(total[stops])]
        depth[i], there[i] = drawn[:stop].sum() / n, total[marked]
    return depth, there
