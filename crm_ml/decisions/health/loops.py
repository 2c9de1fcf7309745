"""The compiled loops over customers: what each did in every month, added up by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from crm_ml.events.clock import DAY
from crm_ml.features.decay import NEVER

__all__ = [
    "ACTIVE",
    "ASLEEP",
    "BOUGHT_AGAIN",
    "BUYERS",
    "BUYERS_BEFORE",
    "CLV",
    "COST",
    "COUNTS",
    "CUSTOMERS",
    "EVENTS",
    "GIVEN_BACK",
    "MONEY",
    "NEW",
    "ORDERS",
    "TAKEN",
    "WOKEN",
    "add",
    "count_events",
    "count_months",
    "sum_worth",
]

CUSTOMERS, ACTIVE, ASLEEP, WOKEN, NEW, BUYERS, ORDERS, BUYERS_BEFORE, BOUGHT_AGAIN = range(9)
EVENTS = 9
"""Where the counts of complaints begin, and one further those of returns."""
COUNTS = 11

TAKEN, GIVEN_BACK, CLV, COST = range(4)
MONEY = 4


def add(total: Any, value: Any) -> None:
    """Add to a sum of two numbers, the second what the first lost to rounding (Knuth's two-sum).

    The sum then hardly depends on the order, whatever the buckets.

    >>> total = np.zeros(2)
    >>> for value in (1e16, 1.0, -1e16):
    ...     add(total, value)
    >>> float(total.sum())
    1.0
    """
    before = total[0]
    after = before + value
    taken = after - before
    total[0] = after
    total[1] += (before - (after - taken)) + (value - taken)


def count_months(
    offsets: Any,
    time: Any,
    amount: Any,
    is_purchase: Any,
    edges: Any,
    group: Any,
    dormant: Any,
    counts: Any,
    gaps: Any,
    money: Any,
    spend: Any,
    bought: Any,
    last: Any,
) -> None:
    """Go through each customer's transactions once, month by month.

    Parameters
    ----------
    edges : (m + 2,) microseconds; see `crm_ml.decisions.health.months.Months`.
    group : (m, n) that each customer counts under.
    dormant : microseconds without a purchase after which a customer is dormant.
    counts, money : (m, groups, `COUNTS`), (m, groups, `MONEY`, 2), added to.
    gaps : (m, groups, 2, days), added to: purchase days by how many days they came after the one before; and
        the changes, from each number of days to the next, in how many customers spent a day of the month at so
        many days after their last purchase day.
    spend, bought, last : (m, n) net money of each customer in the month, whether anything was bought, and the
        last purchase before the month's end or `NEVER`; filled.
    """
    longest = gaps.shape[-1] - 1
    for customer in range(len(offsets) - 1):
        row, end = offsets[customer], offsets[customer + 1]
        latest, bought_before = NEVER, False
        while row < end and time[row] < edges[1]:
            if is_purchase[row]:
                latest, bought_before = time[row], time[row] >= edges[0]
            row += 1
        for month in range(len(edges) - 2):
            begin, finish = edges[month + 1], edges[month + 2]
            here = group[month, customer]
            count, gap, sums = counts[month, here], gaps[month, here], money[month, here]
            asleep = latest != NEVER and begin - latest >= dormant
            is_buyer, net = False, 0.0
            while row < end and time[row] < finish:
                net += amount[row]
                add(sums[TAKEN if amount[row] >= 0 else GIVEN_BACK], abs(amount[row]))
                if is_purchase[row]:
                    is_buyer = True
                    count[ORDERS] += 1
                    count[NEW] += latest == NEVER
                    if latest != NEVER and time[row] // DAY > latest // DAY:
                        came_after = min(time[row] // DAY - latest // DAY, longest - 1)
                        gap[0, came_after] += 1
                        gap[1, min(max(begin // DAY - latest // DAY, 1), came_after)] += 1
                        gap[1, came_after + 1] -= 1
                    latest = time[row]
                row += 1
            if latest != NEVER:
                from_days = min(max(begin // DAY - latest // DAY, 1), longest)
                to_days = min(finish // DAY - latest // DAY, longest)
                if from_days < to_days:
                    gap[1, from_days] += 1
                    gap[1, to_days] -= 1
                count[CUSTOMERS] += 1
                count[ACTIVE] += finish - latest < dormant
            count[ASLEEP] += asleep
            count[WOKEN] += asleep and is_buyer
            count[BUYERS] += is_buyer
            count[BUYERS_BEFORE] += bought_before
            count[BOUGHT_AGAIN] += bought_before and is_buyer
            bought_before = is_buyer
            spend[month, customer], bought[month, customer], last[month, customer] = net, is_buyer, latest


def count_events(offsets: Any, time: Any, event_type: Any, places: Any, edges: Any, group: Any, counts: Any) -> None:
    """Count interactions of the types wanted, each at its place in `counts`; a type with place −1 is none of them."""
    for customer in range(len(offsets) - 1):
        month = 0
        for row in range(offsets[customer], offsets[customer + 1]):
            while month < len(edges) - 2 and time[row] >= edges[month + 2]:
                month += 1
            place = places[event_type[row]]
            if place >= 0 and month < len(edges) - 2 and time[row] >= edges[1]:
                counts[month, group[month, customer], place] += 1


def sum_worth(last: Any, worth: Any, group: Any, money: Any) -> None:
    """Sum value and cost of the customers who had bought and of whom both are known."""
    cost = worth[-1]
    for month in range(len(last)):
        for customer in range(len(cost)):
            value = worth[month, customer]
            if last[month, customer] != NEVER and not np.isnan(value) and not np.isnan(cost[customer]):
                add(money[month, group[month, customer], CLV], value)
                add(money[month, group[month, customer], COST], cost[customer])
