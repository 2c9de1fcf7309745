"""The metrics of a customer base: what each is, in which unit, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from crm_ml.decisions.health import loops
from crm_ml.decisions.health.tally import Tally
from crm_ml.evaluation.measures.curves import concentration_curve
from crm_ml.features.builders.stretch import median_of_counts
from crm_ml.features.ragged import Float, Int

__all__ = ["METRICS", "Metric", "median_within_risk", "top_decile_share"]

Unit = Literal["count", "money", "days", "share", "ratio"]


class Metric(NamedTuple):
    """A metric by month and segment.

    Attributes
    ----------
    name : in the frame of `base_health`.
    title : for a reader.
    unit : count, money, days, share (of one) or ratio.
    formula : what it is; a month is from its first moment until before its last.
    better : "higher", "lower", or "" where neither is.
    of : (m, 1 + groups) values from the sums of m months by group.
    """

    name: str
    title: str
    unit: Unit
    formula: str
    better: Literal["higher", "lower", ""]
    of: Callable[[Tally], Float]


def top_decile_share(spend: Float) -> float:
    """Return the share of spend held by the 10 % of buyers who spent most, the last of them in part.

    Net spend below 0 counts as 0. NaN where nothing was spent.

    >>> top_decile_share(np.array([60.0, 10.0, 20.0, -5.0, 10.0]))
    0.3
    """
    positive = np.maximum(spend, 0.0)
    if not positive.any():
        return float("nan")
    return float(concentration_curve(positive, points=11)["value_share"].iloc[1])


def median_within_risk(closed: Int, at_risk: Int) -> float:
    """Return in how many days half buy again, by Kaplan and Meier; NaN if half never do.

    Parameters
    ----------
    closed, at_risk : (days,) how many bought 0, 1, 2, ... days after their last purchase day, and how many
        could have.

    Examples
    --------
    >>> median_within_risk(np.array([0, 2, 1, 1]), np.array([0, 10, 4, 2]))
    3.0
    """
    hazard = np.divide(closed, at_risk, out=np.zeros(len(closed)), where=at_risk > 0)
    half = np.flatnonzero(np.cumprod(1.0 - hazard) <= 0.5 + 1e-12)
    return float(half[0]) if half.size else float("nan")


def _count(place: int, tally: Tally) -> Float:
    return tally.counts[..., place].astype(np.float64)


def _ratio(above: Float, below: Float) -> Float:
    found: Float = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return found


def _count_ratio(above: int, below: int, tally: Tally) -> Float:
    return _ratio(_count(above, tally), _count(below, tally))


def _money_ratio(above: int, below: int, tally: Tally) -> Float:
    return _ratio(tally.money[..., above], tally.money[..., below])


def _dormant(tally: Tally) -> Float:
    return _count(loops.CUSTOMERS, tally) - _count(loops.ACTIVE, tally)


def _revenue(tally: Tally) -> Float:
    return tally.money[..., loops.TAKEN] - tally.money[..., loops.GIVEN_BACK]


def _order_value(tally: Tally) -> Float:
    return _ratio(tally.money[..., loops.TAKEN], _count(loops.ORDERS, tally))


def _by_gaps(median: Callable[[Int, Int], float], tally: Tally) -> Float:
    return np.array([[median(*gaps) for gaps in month] for month in tally.gaps])


def _median_of_closed(closed: Int, at_risk: Int) -> float:  # noqa: ARG001  # the open ones are left out
    return median_of_counts(closed)


def _top_decile(tally: Tally) -> Float:
    found = np.empty(tally.counts.shape[:2])
    for shares, (spend, group) in zip(found, tally.spend, strict=True):
        shares[0] = top_decile_share(spend)
        shares[1:] = [top_decile_share(spend[group == at]) for at in range(len(shares) - 1)]
    return found


METRICS = (
    Metric("customers", "Customers", "count", "ever bought by the month's end", "higher",
           partial(_count, loops.CUSTOMERS)),
    Metric("active", "Active customers", "count",
           "customers whose last purchase is less than `dormant_days` before the month's end", "higher",
           partial(_count, loops.ACTIVE)),
    Metric("dormant", "Dormant customers", "count", "customers − active", "lower", _dormant),
    Metric("woken", "Woken customers", "count", "dormant at the month's start and bought in it", "higher",
           partial(_count, loops.WOKEN)),
    Metric("sleepers_woken", "Share of sleepers woken", "share", "woken / dormant at the month's start", "higher",
           partial(_count_ratio, loops.WOKEN, loops.ASLEEP)),
    Metric("new_customers", "New customers", "count", "first purchase in the month", "higher",
           partial(_count, loops.NEW)),
    Metric("buyers", "Buyers", "count", "bought in the month", "higher", partial(_count, loops.BUYERS)),
    Metric("orders", "Orders", "count", "purchases in the month", "higher", partial(_count, loops.ORDERS)),
    Metric("revenue", "Revenue", "money", "amounts of the month, those given back taken off", "higher", _revenue),
    Metric("average_order_value", "Average order value", "money",
           "amounts of at least 0 in the month, before any is given back / orders", "higher", _order_value),
    Metric("repurchase_rate", "Repurchase rate", "share",
           "of those who bought in the month before, the share who bought in this one", "higher",
           partial(_count_ratio, loops.BOUGHT_AGAIN, loops.BUYERS_BEFORE)),
    Metric("repurchase_cycle_days", "Repurchase cycle", "days",
           "median days since the purchase day before, over the month's repeat purchase days; short, as whoever does "
           "not come back is not in it", "lower",
           partial(_by_gaps, _median_of_closed)),
    Metric("half_back_days", "Days until half buy again", "days",
           "days by which half of all purchases are followed by another at the month's rates (Kaplan and Meier, by "
           "days since the last purchase; who has not come back is in it); missing where half never are", "lower",
           partial(_by_gaps, median_within_risk)),
    Metric("top_decile_revenue_share", "Top 10% revenue share", "share",
           "share of the month's buyers' net spend, of at least 0 each, from the 10 % who spent most; the last of "
           "them in part", "", _top_decile),
    Metric("return_rate", "Return rate", "share", "amounts given back in the month / amounts of at least 0", "lower",
           partial(_money_ratio, loops.GIVEN_BACK, loops.TAKEN)),
    Metric("returns_per_order", "Returns per order", "ratio", "events of a return in the month / orders", "lower",
           partial(_count_ratio, loops.EVENTS + 1, loops.ORDERS)),
    Metric("complaint_rate", "Complaints per order", "ratio", "events of a complaint in the month / orders", "lower",
           partial(_count_ratio, loops.EVENTS, loops.ORDERS)),
    Metric("clv_per_acquisition_cost", "CLV per acquisition cost", "ratio",
           "sum of clv / sum of acquisition cost, over the customers at the month's end of whom both are known",
           "higher", partial(_money_ratio, loops.CLV, loops.COST)),
)  # fmt: skip
"""In the order of the frame. The last four are there only where their events exist or their numbers are given."""
