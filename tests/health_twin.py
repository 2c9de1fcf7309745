"""The metrics of health by month and segment in plain Python, written from their documentation."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter

import numpy as np
import pandas as pd

NAN = float("nan")
DAY = 86_400_000_000

Rows = list[tuple[int, object]]
"""Moments in microseconds, each with an amount or an event type."""


def ratio(above: float, below: float) -> float:
    return above / below if below else NAN


def top_tenth(spend: list[float]) -> float:
    """Walk down from the one who spent most until a tenth of the buyers is used up, the last of them in part."""
    ordered, left, held = sorted((max(s, 0.0) for s in spend), reverse=True), len(spend) / 10, 0.0
    for amount in ordered:
        held += amount * min(left, 1.0)
        left -= min(left, 1.0)
    return ratio(held, sum(ordered))


def half_back(purchase_days: list[list[int]], days: range) -> float:
    """Kaplan and Meier, one day and customer at a time."""
    closed: Counter[int] = Counter()
    at_risk: Counter[int] = Counter()
    for own in purchase_days:
        for day in days:
            before = [d for d in own if d < day]
            if before:
                age = day - max(before)
                at_risk[age] += 1
                closed[age] += day in own
    alive = 1.0
    for age in sorted(at_risk):
        alive *= 1 - closed[age] / at_risk[age]
        if alive <= 0.5 + 1e-9:
            return age
    return NAN


def metrics(
    bought: dict[str, Rows],
    acts: dict[str, Rows],
    who: list[str],
    span: tuple[int, int, int],
    dormant_days: float,
) -> dict[str, float]:
    """Give the metrics of some customers from the second to the third moment; the first begins the month before."""
    before_that, begin, end = span
    counts: Counter[str] = Counter()
    taken = back = 0.0
    spend, gaps, all_days = [], [], []
    for customer in who:
        rows = [(time, amount) for time, amount in bought[customer] if time < end]
        orders = [time for time, amount in rows if amount >= 0]
        now = [amount for time, amount in rows if time >= begin]
        in_month = [time for time in orders if time >= begin]
        earlier = [time for time in orders if time < begin]
        taken += sum(amount for amount in now if amount > 0)
        back -= sum(amount for amount in now if amount < 0)
        asleep = bool(earlier) and begin - max(earlier) >= dormant_days * DAY
        bought_before = any(time >= before_that for time in earlier)
        counts["customers"] += bool(orders)
        counts["active"] += bool(orders) and end - max(orders) < dormant_days * DAY
        counts["asleep"] += asleep
        counts["woken"] += asleep and bool(in_month)
        counts["new_customers"] += bool(in_month) and not earlier
        counts["buyers"] += bool(in_month)
        counts["orders"] += len(in_month)
        counts["before"] += bought_before
        counts["again"] += bought_before and bool(in_month)
        if in_month:
            spend.append(sum(now))
        own = sorted({time // DAY for time in orders})
        gaps += [later - first for first, later in itertools.pairwise(own) if later * DAY >= begin]
        all_days.append(own)
        counts.update(kind for time, kind in acts[customer] if begin <= time < end)
    return {
        **{name: float(counts[name]) for name in ("customers", "active", "woken", "new_customers", "buyers", "orders")},
        "dormant": float(counts["customers"] - counts["active"]),
        "sleepers_woken": ratio(counts["woken"], counts["asleep"]),
        "revenue": taken - back,
        "average_order_value": ratio(taken, counts["orders"]),
        "repurchase_rate": ratio(counts["again"], counts["before"]),
        "repurchase_cycle_days": statistics.median(gaps) if gaps else NAN,
        "half_back_days": half_back(all_days, range(begin // DAY, end // DAY)),
        "top_decile_revenue_share": top_tenth(spend),
        "return_rate": ratio(back, taken),
        "complaint_rate": ratio(counts["complaint"], counts["orders"]),
        "returns_per_order": ratio(counts["return"], counts["orders"]),
    }


def micro(times: pd.Series) -> list[int]:
    return times.astype("datetime64[us, UTC]").astype("int64").tolist()


def health_twin(
    transactions: pd.DataFrame,
    interactions: pd.DataFrame,
    cutoffs: pd.DatetimeIndex,
    *,
    segments: pd.DataFrame,
    dormant_days: float,
) -> pd.DataFrame:
    """Give value and change by month, segment and metric."""
    customers = sorted(set(transactions["customer_id"]) | set(interactions["customer_id"]))
    bought: dict[str, Rows] = {who: [] for who in customers}
    acts: dict[str, Rows] = {who: [] for who in customers}
    for rows, table, column in ((bought, transactions, "amount"), (acts, interactions, "event_type")):
        for who, time, what in zip(table["customer_id"], micro(table["timestamp"]), table[column], strict=True):
            rows[who].append((time, what))
    starts = [cutoffs[0] - pd.DateOffset(months=1), *cutoffs[:-1]]
    rows = []
    for begin, end in zip(starts, cutoffs, strict=True):
        span = tuple(micro(pd.Series([begin - pd.DateOffset(months=1), begin, end])))
        held: dict[str, list[str]] = {"all": customers}
        if begin in segments.columns:
            for name in [*segments[begin].cat.categories, "no segment"]:
                held[name] = []
            for who in customers:
                name = segments[begin].get(who, NAN)
                held["no segment" if isinstance(name, float) and math.isnan(name) else name].append(who)
        for segment, who in held.items():
            for metric, value in metrics(bought, acts, who, span, dormant_days).items():
                rows.append((begin, segment, metric, value))
    frame = pd.DataFrame(rows, columns=["month", "segment", "metric", "value"])
    frame["change"] = frame.groupby(["segment", "metric"])["value"].diff()
    return frame


def cohort_twin(transactions: pd.DataFrame, periods: pd.PeriodIndex) -> dict[tuple[str, int], tuple[int, int]]:
    """Give customers and buyers by cohort and age, of the complete periods."""
    paid = transactions[transactions["amount"] >= 0]
    period = paid["timestamp"].dt.tz_localize(None).dt.to_period(periods.freqstr)
    seen = paid.assign(period=period)[period.isin(periods)]
    own = seen.groupby("customer_id")["period"].agg(set)
    found = {}
    for at, cohort in enumerate(periods):
        members = [bought for bought in own if min(bought) == cohort]
        for age in range(len(periods) - at):
            if members:
                found[str(cohort), age] = len(members), int(np.sum([cohort + age in bought for bought in members]))
    return found
