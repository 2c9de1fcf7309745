"""The default features in pandas as they are usually written: events before each cutoff, grouped anew at each.

What does not depend on the cutoff (categorical customers, purchase days, gaps) is arranged once. `pandas_features`
accumulates beforehand, which costs a single cutoff little and saves every further one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas_features import DAY, micros, owned

Array = npt.NDArray[Any]


class Shop:
    """Frames in order of time whose owners are categorical."""

    def __init__(self, transactions: pd.DataFrame, interactions: pd.DataFrame, first_cutoff: int) -> None:
        owner, customers = pd.factorize(transactions["customer_id"])
        self.customers, n = pd.Index(customers), len(customers)
        money = pd.DataFrame({"owner": owned(owner.astype(np.int32), n), "amount": transactions["amount"]})
        money["time"] = micros(transactions["timestamp"])
        self.money = money.assign(paid=money["amount"].clip(lower=0))
        self.purchases = self.money.loc[money["amount"] >= 0, ["owner", "time"]].reset_index(drop=True)
        days = self.purchases.assign(day=self.purchases["time"] // DAY)
        same = days.groupby("owner", observed=False)["day"].shift() == days["day"]
        self.days = days[~same].reset_index(drop=True)
        gap = self.days.groupby("owner", observed=False)["day"].diff()
        self.gaps = self.days.assign(gap=gap, logs=np.log(gap))[gap.notna()].reset_index(drop=True)
        self._arrange_events(interactions, first_cutoff)

    def _arrange_events(self, interactions: pd.DataFrame, first_cutoff: int) -> None:
        time = micros(interactions["timestamp"])
        kinds = pd.Index(sorted(interactions["event_type"].iloc[: np.searchsorted(time, first_cutoff)].unique()))
        kind = interactions["event_type"].cat.set_categories(kinds).cat.codes.to_numpy().astype(np.int32)
        owner = self.customers.get_indexer(interactions["customer_id"])
        known = (owner >= 0) & (kind >= 0)
        pair = owner[known].astype(np.int32) * np.int32(len(kinds)) + kind[known]
        self.kinds = list(kinds)
        self.events = pd.DataFrame({"owner": owned(pair, len(self.customers) * len(kinds)), "time": time[known]})

    def days_between(self, start: int, end: int) -> pd.Series:
        """Return each customer's distinct days with a purchase in ``start <= time < end``."""
        rows = slice(*self.purchases["time"].searchsorted([start, end]))
        bought = self.purchases.iloc[rows]
        days = bought.assign(day=bought["time"] // DAY).drop_duplicates(["owner", "day"])
        return days.groupby("owner", observed=False).size()


def between(frame: pd.DataFrame, start: int | None, end: int) -> Any:
    """Return the rows of ``start <= time < end`` by owner."""
    begin = 0 if start is None else frame["time"].searchsorted(start)
    return frame.iloc[begin : frame["time"].searchsorted(end)].groupby("owner", observed=False)


def before(frame: pd.DataFrame, cutoff: int) -> Any:
    """Return the rows before a cutoff."""
    return frame.iloc[: frame["time"].searchsorted(cutoff)]


def decayed(rows: pd.DataFrame, cutoff: int, half_life_days: float) -> Any:
    """Return the sum of 2^(−days ago / half-life) by owner."""
    weights = np.exp2((rows["time"] - cutoff) / (half_life_days * DAY))
    return weights.groupby(rows["owner"], observed=False).sum()


def rfm(shop: Shop, cutoff: int) -> dict[str, Any]:
    """Return recency, frequency and money."""
    total = between(shop.money, None, cutoff)[["amount", "paid"]].sum()
    bought = between(shop.purchases, None, cutoff)["time"].agg(["min", "max"])
    n_days = between(shop.days, None, cutoff).size()
    spend, paid = total["amount"], total["paid"]
    columns = {
        "recency_days": (cutoff - bought["max"]) / DAY,
        "tenure_days": (cutoff - bought["min"]) / DAY,
        "frequency": n_days - 1.0,
        "monetary": spend / n_days.where(n_days > 0),
        "spend": spend,
        "returned_share": (paid - spend) / paid.where(paid > 0),
    }
    for w in (30, 90, 365):
        columns[f"orders_{w}d"] = between(shop.purchases, cutoff - w * DAY, cutoff).size().astype(np.float64)
        columns[f"spend_{w}d"] = between(shop.money, cutoff - w * DAY, cutoff)["amount"].sum()
    rows = before(shop.purchases, cutoff)
    return columns | {f"orders_decayed_{half}d": decayed(rows, cutoff, half) for half in (14, 60)}


def stretch(shop: Shop, cutoff: int) -> dict[str, Any]:
    """Return the gaps between purchase days against the usual."""
    gaps = before(shop.gaps, cutoff)
    grouped = gaps.groupby("owner", observed=False)
    total, n, latest = grouped["logs"].sum(), grouped.size().astype(np.float64), grouped["gap"].last()
    prior = np.log(latest.clip(upper=3650).median())
    usual = np.exp((total + 2 * prior) / (n + 2))
    waiting = (cutoff - between(shop.days, None, cutoff)["time"].max()) / DAY
    late = gaps[grouped.cumcount(ascending=False) < 3]
    recent, n_recent = late.groupby("owner", observed=False)["logs"].sum(), n.clip(upper=3)
    base = (total - recent + 2 * prior) / (n - n_recent + 2)
    code, number = gaps["owner"].cat.codes.to_numpy(), grouped.cumcount().to_numpy()
    away = gaps["logs"] - (total / n.clip(lower=1)).to_numpy()[code]
    parts = pd.DataFrame(
        {
            "variation": away**2,
            "covariation": (number - (n.to_numpy()[code] - 1) / 2) * away,
            "longer": gaps["gap"] > waiting.to_numpy()[code],
        }
    )
    sums = parts.groupby(gaps["owner"], observed=False).sum()
    return {
        "gaps": n,
        "usual_gap_days": usual,
        "interval_stretch": waiting / usual - 1,
        "last_gaps_stretch": np.expm1((recent + 2 * base) / (n_recent + 2) - base),
        "gap_trend": sums["covariation"] / (n * (n**2 - 1) / 12 + 1),
        "gap_spread": np.sqrt(sums["variation"] / (n + 1)),
        "longer_gaps_share": (sums["longer"] + 0.5) / (n + 1),
    }


def decline(shop: Shop, cutoff: int) -> dict[str, Any]:
    """Return the recent window of each event type against those before it."""
    rows = before(shop.events, cutoff)
    last = rows.groupby("owner", observed=False)["time"].max()
    recent = between(shop.events, cutoff - 30 * DAY, cutoff).size().astype(np.float64)
    earlier = between(shop.events, cutoff - 120 * DAY, cutoff - 30 * DAY).size()
    long = {
        "{}_30d": recent,
        "{}_decline": recent / ((earlier + 1) / 4) - 1,
        "{}_decayed": decayed(rows, cutoff, 30),
        "days_since_{}": (cutoff - last) / DAY,
    }
    n = len(shop.kinds)
    return {name.format(k): v.to_numpy()[i::n] for i, k in enumerate(shop.kinds) for name, v in long.items()}


def features_at(shop: Shop, cutoff: int) -> pd.DataFrame:
    """Return the features of every customer who bought before a cutoff."""
    columns = rfm(shop, cutoff) | stretch(shop, cutoff) | decline(shop, cutoff)
    frame = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()}, index=shop.customers)
    return frame[frame["recency_days"].notna()].rename_axis("customer_id")


def pandas_features(transactions: pd.DataFrame, interactions: pd.DataFrame, *, as_of: str) -> pd.DataFrame:
    """Return what `crm_ml.build_features` does."""
    cutoff = int(pd.Timestamp(as_of).as_unit("us").asm8.view(np.int64))
    return features_at(Shop(transactions, interactions, cutoff), cutoff)


def pandas_panels(
    transactions: pd.DataFrame, interactions: pd.DataFrame, *, cutoffs: Sequence[str], horizon_days: int
) -> Iterator[pd.DataFrame]:
    """Yield the part of `crm_ml.build_panel` that belongs to each cutoff."""
    moments = micros(pd.Series(pd.to_datetime(sorted(cutoffs), format="ISO8601")))
    shop = Shop(transactions, interactions, int(moments[0]))
    for moment in moments.tolist():
        frame, until = features_at(shop, moment), moment + horizon_days * DAY
        bought = shop.days_between(moment, until)
        ahead = pd.DataFrame(
            {
                "purchase_days_ahead": bought.astype(np.float64),
                "spend_ahead": between(shop.money, moment, until)["amount"].sum(),
                "churned": (bought == 0).astype(np.float64),
            }
        ).set_axis(shop.customers)
        begin, end = (pd.Timestamp(at, unit="us", tz="UTC").as_unit("us") for at in (moment, until))
        frame.insert(0, "cutoff", begin)
        yield frame.assign(horizon_days=float(horizon_days), label_end=end).join(ahead)
