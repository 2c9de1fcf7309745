"""The default features and the labels once more, in pandas: a peer for the clock and an oracle for tests.

Written as fast as pandas allows. Frames stay in order of time and are grouped by categorical codes, so that nothing is
sorted or hashed twice. Whatever accrues (counts, money, decayed counts, sums of log gaps) is accumulated per customer
once, beside the moment of the customer's next row. What stood at a cutoff is then one boolean mask: the rows before it
whose next row is not, and a window is the difference between two such states. A decayed count is accumulated as
Σ 2^(days / half-life) and scaled at each cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

DAY = 86_400_000_000
NEVER = np.iinfo(np.int64).max
WINDOWS, HALF_LIVES = (30, 90, 365), (14, 60)
LAST_GAPS, PRIOR_GAPS, LONGEST_GAP_DAYS = 3, 2.0, 3650
DECLINE_WINDOW, DECLINE_EARLIER, DECLINE_HALF_LIFE = 30, 3, 30.0

Array = npt.NDArray[Any]
Columns = dict[str, Array]


class History:
    """Rows in order of time, each with what its owner had accumulated by then.

    Parameters
    ----------
    owner : (m,) position of each row's owner.
    time : (m,) ascending, microseconds.
    n : number of owners.
    accrued : {name: (m,) what a row adds}.
    kept : {name: (m,) what a row holds as it is}.
    """

    def __init__(self, owner: Array, time: Array, n: int, accrued: Columns, kept: Columns | None = None) -> None:
        self.owner, self.time, self.n = owner, time, n
        rows = pd.DataFrame({"time": time, **accrued}, copy=False).groupby(owned(owner, n), observed=False)
        self.until = rows[["time"]].shift(-1, fill_value=NEVER)["time"].to_numpy()
        sums = rows[list(accrued)].cumsum()  # a frame, as a series of the sums would be copied
        self.columns = {name: sums[name].to_numpy() for name in accrued} | (kept or {}) | {"time": time}

    def at(self, moment: int, names: Sequence[str]) -> list[Array]:
        """Return for each owner what stood just before a moment; NaN, or 0 of what accrues, for one without rows."""
        before = np.searchsorted(self.time, moment)
        rows = np.flatnonzero(self.until[:before] >= moment)
        owner, found = self.owner[rows], []
        for name in names:
            state = np.full(self.n, np.nan) if name == "time" else np.zeros(self.n)
            state[owner] = self.columns[name][rows]
            found.append(state)
        return found

    def within(self, start: int, end: int) -> slice:
        """Return the rows of ``start <= time < end``."""
        return slice(*np.searchsorted(self.time, [start, end]))


def owned(owner: Array, n: int) -> Any:
    """Return codes as a grouper that pandas need not hash."""
    return pd.Categorical.from_codes(owner, categories=pd.RangeIndex(n))


class Layout:
    """A shop's events arranged for features at any cutoff up to the last.

    Parameters
    ----------
    transactions : columns customer_id, timestamp (UTC without a zone) and amount, in order of time.
    interactions : columns customer_id, timestamp and event_type (categorical), in order of time.
    cutoffs : microseconds, ascending.
    """

    def __init__(self, transactions: pd.DataFrame, interactions: pd.DataFrame, cutoffs: Sequence[int]) -> None:
        self.origin = cutoffs[0]
        owner, customers = pd.factorize(transactions["customer_id"])
        self.customers, n = pd.Index(customers), len(customers)
        owner, time = owner.astype(np.int32), micros(transactions["timestamp"])
        amount = transactions["amount"].to_numpy()
        self.money = History(owner, time, n, {"spend": amount, "paid": np.maximum(amount, 0.0)}, {"amount": amount})
        bought = np.flatnonzero(amount >= 0)
        owner, time = owner[bought], time[bought]
        decayed = {f"decayed_{half}": self.weight(time, half) for half in HALF_LIVES}
        self.purchases = History(owner, time, n, {"orders": np.ones(len(time))} | decayed)
        self.first = np.full(n, np.nan)
        self.first[owner[::-1]] = time[::-1]
        self.days = purchase_days(owner, time, n)
        self.kinds, self.events = self._events(interactions, cutoffs)

    def weight(self, time: Array, half_life_days: float) -> Array:
        """Return 2^(days since the first cutoff / half-life)."""
        return np.exp2((time - self.origin) / (DAY * half_life_days))

    def _events(self, interactions: pd.DataFrame, cutoffs: Sequence[int]) -> tuple[list[str], History]:
        time = micros(interactions["timestamp"])
        seen = interactions["event_type"].iloc[: np.searchsorted(time, cutoffs[0])].unique()
        kinds = pd.Index(sorted(seen))
        last = np.searchsorted(time, cutoffs[-1])
        events = interactions.iloc[:last]
        kind = kinds.get_indexer(events["event_type"].cat.categories).astype(np.int32)[events["event_type"].cat.codes]
        owner = self.customers.get_indexer(events["customer_id"])
        known = np.flatnonzero((owner >= 0) & (kind >= 0))
        pair, time = owner[known].astype(np.int32) * np.int32(len(kinds)) + kind[known], time[known]
        accrued = {"count": np.ones(len(pair)), "decayed": self.weight(time, DECLINE_HALF_LIFE)}
        return list(kinds), History(pair, time, len(self.customers) * len(kinds), accrued)


def micros(timestamp: pd.Series) -> Array:
    """Return moments as integer microseconds."""
    return timestamp.to_numpy(dtype="datetime64[us]").view(np.int64)


def purchase_days(owner: Array, time: Array, n: int) -> History:
    """Return the customers' purchase days with the gap before each and what the gaps so far add up to.

    ``variation`` is Welford's sum of squares about the mean of log gaps, which is 0 where all are equal.
    """
    day = time // DAY
    before = pd.Series(day, copy=False).groupby(owned(owner, n), observed=False).shift(fill_value=-NEVER)
    opens = np.flatnonzero(day != before.to_numpy())
    owner, time, day = owner[opens], time[opens], day[opens]
    rows = pd.DataFrame({"day": day}, copy=False).groupby(owned(owner, n), observed=False)
    number = rows.cumcount().to_numpy()
    gap = np.where(number > 0, day - rows["day"].shift(fill_value=0).to_numpy(), 1)
    logs = np.log(gap)
    sums = pd.Series(logs, copy=False).groupby(owned(owner, n), observed=False)
    total = sums.cumsum()
    earlier = total.groupby(owned(owner, n), observed=False).shift(LAST_GAPS, fill_value=0.0).to_numpy()
    mean_before = (total.to_numpy() - logs) / np.maximum(number - 1, 1)
    variation = np.where(number > 1, (number - 1) / np.maximum(number, 1) * (logs - mean_before) ** 2, 0.0)
    accrued = {"numbered": (number - 1) * logs, "variation": variation}
    kept = {"gaps": number, "gap": gap, "total": total.to_numpy(), "earlier": earlier}
    return History(owner, time, n, accrued, kept)


def rfm(layout: Layout, cutoff: int) -> Columns:
    """Return recency, frequency and money."""
    spend, paid = layout.money.at(cutoff, ["spend", "paid"])
    decayed = [f"decayed_{half}" for half in HALF_LIVES]
    last, orders, *weights = layout.purchases.at(cutoff, ["time", "orders", *decayed])
    (gaps,) = layout.days.at(cutoff, ["gaps"])
    columns = {
        "recency_days": (cutoff - last) / DAY,
        "tenure_days": (cutoff - layout.first) / DAY,
        "frequency": gaps,
        "monetary": spend / (gaps + 1),
        "spend": spend,
        "returned_share": np.divide(paid - spend, paid, out=np.full(len(paid), np.nan), where=paid > 0),
    }
    for window in WINDOWS:
        start = cutoff - window * DAY
        columns[f"orders_{window}d"] = orders - layout.purchases.at(start, ["orders"])[0]
        columns[f"spend_{window}d"] = spend - layout.money.at(start, ["spend"])[0]
    for half, weight in zip(HALF_LIVES, weights, strict=True):
        columns[f"orders_decayed_{half}d"] = weight / layout.weight(np.array(cutoff), half)
    return columns


def stretch(layout: Layout, cutoff: int) -> Columns:
    """Return the gaps between purchase days against the usual."""
    names = ["time", "gaps", "gap", "total", "earlier", "numbered", "variation"]
    last, n, gap, total, earlier, numbered, variation = layout.days.at(cutoff, names)
    latest = np.minimum(gap[n > 0], LONGEST_GAP_DAYS)
    prior = np.log(np.median(latest)) if len(latest) else np.nan
    usual = np.exp((total + PRIOR_GAPS * prior) / (n + PRIOR_GAPS))
    recent, n_recent = total - earlier, np.minimum(n, LAST_GAPS)
    base = (earlier + PRIOR_GAPS * prior) / (n - n_recent + PRIOR_GAPS)
    recent_mean = (recent + PRIOR_GAPS * base) / (n_recent + PRIOR_GAPS)
    waiting = (cutoff - last) / DAY
    rows = slice(np.searchsorted(layout.days.time, cutoff))
    owner, columns = layout.days.owner[rows], layout.days.columns
    longer = (columns["gaps"][rows] > 0) & (columns["gap"][rows] > waiting[owner])
    n_longer = np.bincount(owner[longer], minlength=len(n))
    return {
        "gaps": n,
        "usual_gap_days": usual,
        "interval_stretch": waiting / usual - 1,
        "last_gaps_stretch": np.expm1(recent_mean - base),
        "gap_trend": (numbered - (n - 1) / 2 * total) / (n * (n**2 - 1) / 12 + 1),
        "gap_spread": np.sqrt(variation / (n + 1)),
        "longer_gaps_share": (n_longer + 0.5) / (n + 1),
    }


def decline(layout: Layout, cutoff: int) -> Columns:
    """Return the recent window of each event type against those before it."""
    window, events = DECLINE_WINDOW * DAY, layout.events
    last, now, decayed = events.at(cutoff, ["time", "count", "decayed"])
    (recently,) = events.at(cutoff - window, ["count"])
    (early,) = events.at(cutoff - window * (1 + DECLINE_EARLIER), ["count"])
    recent, usual = now - recently, (recently - early + 1) / (DECLINE_EARLIER + 1)
    wide = {
        "{}_" + f"{DECLINE_WINDOW}d": recent,
        "{}_decline": recent / usual - 1,
        "{}_decayed": decayed / layout.weight(np.array(cutoff), DECLINE_HALF_LIFE),
        "days_since_{}": (cutoff - last) / DAY,
    }
    n = len(layout.kinds)
    return {name.format(kind): flat[i::n] for i, kind in enumerate(layout.kinds) for name, flat in wide.items()}


def features_at(layout: Layout, cutoff: int) -> pd.DataFrame:
    """Return the features of every customer who bought before a cutoff."""
    columns = rfm(layout, cutoff) | stretch(layout, cutoff) | decline(layout, cutoff)
    chosen = np.flatnonzero(layout.first < cutoff)
    index = pd.Index(layout.customers[chosen], name="customer_id")
    return pd.DataFrame({name: array[chosen] for name, array in columns.items()}, index=index, copy=False)


def labels_at(layout: Layout, cutoff: int, horizon: int) -> Columns:
    """Return what each customer did in the horizon after a cutoff."""
    n = len(layout.customers)
    rows = layout.money.within(cutoff, cutoff + horizon)
    spend = np.bincount(layout.money.owner[rows], layout.money.columns["amount"][rows], minlength=n).astype(np.float64)
    rows = layout.purchases.within(cutoff, cutoff + horizon)
    bought = pd.DataFrame({"owner": layout.purchases.owner[rows], "day": layout.purchases.time[rows] // DAY})
    days = np.bincount(bought.drop_duplicates()["owner"], minlength=n).astype(np.float64)
    return {"purchase_days_ahead": days, "spend_ahead": spend, "churned": (days == 0).astype(np.float64)}


def pandas_features(transactions: pd.DataFrame, interactions: pd.DataFrame, *, as_of: str) -> pd.DataFrame:
    """Return what `crm_ml.build_features` does, in order of the customers' first transactions."""
    cutoff = int(pd.Timestamp(as_of).as_unit("us").asm8.view(np.int64))
    before = int(transactions["timestamp"].searchsorted(pd.Timestamp(as_of)))
    return features_at(Layout(transactions.iloc[:before], interactions, [cutoff]), cutoff)


def pandas_panels(
    transactions: pd.DataFrame, interactions: pd.DataFrame, *, cutoffs: Sequence[str], horizon_days: int
) -> Iterator[pd.DataFrame]:
    """Yield the part of `crm_ml.build_panel` that belongs to each cutoff."""
    moments = micros(pd.Series(pd.to_datetime(sorted(cutoffs), format="ISO8601")))
    layout = Layout(transactions, interactions, moments.tolist())
    for moment in moments.tolist():
        frame = features_at(layout, moment)
        chosen = np.flatnonzero(layout.first < moment)
        labels = labels_at(layout, moment, horizon_days * DAY)
        ahead = {name: array[chosen] for name, array in labels.items()}
        begin, end = (
            pd.Timestamp(at, unit="us", tz="UTC").as_unit("us") for at in (moment, moment + horizon_days * DAY)
        )
        frame.insert(0, "cutoff", begin)
        yield frame.assign(horizon_days=float(horizon_days), label_end=end, **ahead)
