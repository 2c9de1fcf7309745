"""Features and labels of one customer at a time in plain Python, written from their documentation."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import NamedTuple

import numpy as np
import pandas as pd

KINDS = ("cart", "e-mail open", "view")
NAN = float("nan")


class Money(NamedTuple):
    time: pd.Timestamp
    amount: float
    opens: bool


def merged(lines: pd.DataFrame) -> list[Money]:
    """Sum the lines of an order at one moment; its first moment of zero or more is the purchase."""
    summed: dict[tuple[pd.Timestamp, str], float] = {}
    fields = zip(lines["timestamp"], lines["amount"], lines["order_id"], strict=True)
    for position, (time, amount, order_id) in enumerate(fields):
        key = (time, order_id if isinstance(order_id, str) else f"alone {position}")
        summed[key] = summed.get(key, 0.0) + amount
    seen: set[str] = set()
    rows = []
    for (time, order), total in sorted(summed.items()):
        rows.append(Money(time, total, total >= 0 and order not in seen))
        if total >= 0:
            seen.add(order)
    return rows


def days_between(later: pd.Timestamp, earlier: pd.Timestamp) -> float:
    return (later - earlier) / pd.Timedelta(days=1)


def bought_on(rows: list[Money]) -> list[pd.Timestamp]:
    """Give the first purchase of every day with one."""
    firsts: dict[pd.Timestamp, pd.Timestamp] = {}
    for row in rows:
        if row.opens:
            firsts.setdefault(row.time.floor("D"), row.time)
    return sorted(firsts.values())


def gaps_of(rows: list[Money]) -> list[int]:
    bought = [time.floor("D") for time in bought_on(rows)]
    return [(later - earlier).days for earlier, later in itertools.pairwise(bought)]


def rfm(rows: list[Money], cutoff: pd.Timestamp) -> dict[str, float]:
    times = [row.time for row in rows if row.opens]
    paid = sum(row.amount for row in rows if row.amount > 0)
    back = -sum(row.amount for row in rows if row.amount < 0)
    found = {
        "recency_days": days_between(cutoff, max(times)),
        "tenure_days": days_between(cutoff, min(times)),
        "frequency": len(bought_on(rows)) - 1,
        "monetary": (paid - back) / len(bought_on(rows)),
        "spend": paid - back,
        "returned_share": back / paid if paid else NAN,
    }
    for window in (30, 90, 365):
        start = cutoff - pd.Timedelta(days=window)
        found[f"orders_{window}d"] = sum(time >= start for time in times)
        found[f"spend_{window}d"] = sum(row.amount for row in rows if row.time >= start)
    for half_life in (14, 60):
        found[f"orders_decayed_{half_life}d"] = sum(0.5 ** (days_between(cutoff, t) / half_life) for t in times)
    return found


def summary(rows: list[Money], cutoff: pd.Timestamp) -> dict[str, float]:
    bought = bought_on(rows)
    repeats = []
    for number, begins in enumerate(bought[1:], start=1):
        ends = bought[number + 1] if number + 1 < len(bought) else cutoff
        repeats.append(sum(row.amount for row in rows if begins <= row.time < ends))
    last_day = (cutoff - pd.Timedelta(1, "us")).floor("D")
    return {
        "frequency": len(bought) - 1,
        "recency": (bought[-1].floor("D") - bought[0].floor("D")).days,
        "T": (last_day - bought[0].floor("D")).days,
        "monetary_value": statistics.fmean(repeats) if repeats else 0.0,
    }


def stretch(rows: list[Money], cutoff: pd.Timestamp, typical: float) -> dict[str, float]:
    last, prior = 3, 2.0
    logs = [math.log(gap) for gap in gaps_of(rows)]
    n, before, recent = len(logs), logs[:-last], logs[-last:]
    usual = math.exp((sum(logs) + prior * math.log(typical)) / (n + prior))
    base = (sum(before) + prior * math.log(typical)) / (len(before) + prior)
    open_days = days_between(cutoff, bought_on(rows)[-1])
    mean = sum(logs) / n if n else 0.0
    squares = sum((number - (n - 1) / 2) ** 2 for number in range(n))
    return {
        "gaps": n,
        "usual_gap_days": usual,
        "interval_stretch": open_days / usual - 1,
        "last_gaps_stretch": math.exp(sum(x - base for x in recent) / (len(recent) + prior)) - 1,
        "gap_trend": sum((at - (n - 1) / 2) * (x - mean) for at, x in enumerate(logs)) / (squares + 1),
        "gap_spread": math.sqrt(sum((x - mean) ** 2 for x in logs) / (n + 1)),
        "longer_gaps_share": (sum(gap > open_days for gap in gaps_of(rows)) + 0.5) / (n + 1),
    }


def decline(events: pd.DataFrame, cutoff: pd.Timestamp) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind in KINDS:
        ago = [days_between(cutoff, time) for time in events.loc[events["event_type"] == kind, "timestamp"]]
        recent, earlier = sum(a <= 30 for a in ago), sum(30 < a <= 120 for a in ago)
        found[f"{kind}_30d"] = recent
        found[f"{kind}_decline"] = recent / ((earlier + 1) / (3 + 1)) - 1
        found[f"{kind}_decayed"] = sum(0.5 ** (a / 30) for a in ago)
        found[f"days_since_{kind}"] = min(ago, default=NAN)
    return found


def activity(events: pd.DataFrame, cutoff: pd.Timestamp) -> dict[str, float]:
    ago = [days_between(cutoff, time) for time in events["timestamp"]]
    recent, usual = sum(a <= 30 for a in ago), sum(30 < a <= 120 for a in ago) / 3
    return {"interactions_30d": recent, "interaction_decline": recent / usual - 1 if usual else NAN}


def own_horizon(rows: list[Money], typical: float, *, multiple: float, shortest: float, longest: float) -> float:
    """Give the window in proportion to a customer's gaps, whole to the microsecond."""
    gaps, prior = gaps_of(rows), 2.0
    own = len(gaps) * math.log(statistics.median(gaps)) if gaps else 0.0
    usual = math.exp((own + prior * math.log(typical)) / (len(gaps) + prior))
    return min(max(multiple * usual, shortest), longest)


def labels(rows: list[Money], cutoff: pd.Timestamp, horizon_days: float) -> dict[str, float]:
    ahead = [row for row in rows if cutoff <= row.time < cutoff + pd.Timedelta(days=horizon_days)]
    bought = len({row.time.floor("D") for row in ahead if row.opens})
    return {
        "purchase_days_ahead": bought,
        "spend_ahead": sum(row.amount for row in ahead),
        "churned": float(bought == 0),
    }


def twin(bought: pd.DataFrame, acted: pd.DataFrame, cutoff: pd.Timestamp) -> dict[str, dict[str, float]]:
    whole = {str(name): merged(lines) for name, lines in bought.groupby("customer_id")}
    past = {name: [row for row in rows if row.time < cutoff] for name, rows in whole.items()}
    typical = float(np.median([gaps_of(rows)[-1] for rows in past.values() if gaps_of(rows)]))
    known = acted[acted["timestamp"] < cutoff]
    return {
        name: rfm(rows, cutoff)
        | stretch(rows, cutoff, typical)
        | decline(known[known["customer_id"] == name], cutoff)
        | activity(known[known["customer_id"] == name], cutoff)
        | summary(rows, cutoff)
        | labels(whole[name], cutoff, 20)
        for name, rows in past.items()
        if any(row.opens for row in rows)
    }
