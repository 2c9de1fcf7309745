"""Correction of the level of expected purchases, by cohort or by month of the year, where it proves itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from crm_ml.clv.choice.deviance import half_deviance, simplest_not_worse
from crm_ml.clv.choice.holdout import SHORTEST_DAYS, Holdout
from crm_ml.clv.diagnostics.tracking import expected_repeat_purchases, repeat_purchase_days
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.summary import days_per_unit
from crm_ml.events.clock import DAY, moment, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.ragged import Int

__all__ = ["Level", "choose_level"]

Array = NDArray[np.float64]

PRIOR = 100.0
"""Purchases that each factor's gamma prior around 1 is worth: it has a standard deviation of 0.1."""

PROOF = 2.0
"""Standard errors by which a correction must improve the later holdout."""


_NOTE = "Expected purchases are corrected by {by}: {proof}."


@dataclass(frozen=True)
class Level:
    """Factors on the expected purchases.

    Attributes
    ----------
    cohorts : quarter of the first purchase, such as ``2017Q1``, to factor; 1 for a quarter that is not there.
    months : month of the year, ``1`` to ``12``, to factor; empty where the season is not corrected.
    note : what is corrected and why, in words.
    """

    cohorts: Mapping[str, float] = field(default_factory=dict)
    months: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def factors(self, age_days: ArrayLike, *, as_of: pd.Timestamp, horizon_days: float) -> Array:
        """Return the factor of each customer over the horizon after `as_of`.

        Parameters
        ----------
        age_days : array_like of shape (n,), from the first purchase to the last day before `as_of`.
        as_of : UTC.
        horizon_days : the months' factors are averaged over its days.

        Examples
        --------
        >>> level = Level(months={str(month): 1.6 if month == 12 else 1.0 for month in range(1, 13)})
        >>> level.factors([30.0, 300.0], as_of=pd.Timestamp("2017-11-01", tz="UTC"), horizon_days=61).round(3).tolist()
        [1.305, 1.305]
        """
        ages = np.asarray(age_days, dtype=float)
        found = np.ones(len(ages))
        if self.cohorts:
            quarters, member = np.unique(cohorts_of(ages, as_of=as_of), return_inverse=True)
            found = np.array([self.cohorts.get(str(quarter), 1.0) for quarter in quarters])[member]
        if self.months:
            days = pd.date_range(as_of, periods=max(1, round(horizon_days)), freq="D")
            found = found * np.mean([self.months[str(month)] for month in days.month])
        return np.asarray(found, dtype=float)

    def to_dict(self) -> dict[str, Any]:
        """Return the factors fit for JSON."""
        return {"cohorts": dict(self.cohorts), "months": dict(self.months), "note": self.note}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Level:
        """Restore from `to_dict`."""
        return cls(stored["cohorts"], stored["months"], stored["note"])


def choose_level(
    log: CustomerLog,
    windows: Sequence[Holdout],
    fitted: Sequence[PurchaseProcess],
    process: PurchaseProcess,
    *,
    as_of: pd.Timestamp,
) -> Level:
    """Return the correction that improves the later holdout, if one does.

    The season comes first: the ratio of actual to expected repeat purchases in each month of a year, relative
    to that year's, is applied to the months that follow, up to a year of them before `as_of`, and must bring
    their totals nearer the actual ones. It takes a history of a year and `SHORTEST_DAYS`. Otherwise the ratio
    of actual to expected purchases of each cohort after the earlier origin is applied after the later one, and
    must improve the customers' mean deviance. Either must do so by `PROOF` standard errors. Ratios are shrunk
    towards 1 by a gamma prior worth `PRIOR` purchases; a purchase counts as much less as customers scatter
    more than Poisson. What proves itself is estimated anew, on the last year or both holdouts.

    Parameters
    ----------
    log : the log.
    windows : the holdouts, the earlier one first.
    fitted : the process as fitted at each origin.
    process : the process as fitted at `as_of`.
    as_of : nothing at or after it is used.
    """
    outcomes = [_outcome(window, known) for window, known in zip(windows, fitted, strict=True)]
    months = _season(log, process, as_of=as_of, spread=_spread(outcomes[-1]))
    if months:
        return Level(months=months, note=_NOTE.format(by="month of the year", proof="the year before bears it out"))
    if _cohorts_persist(*outcomes):
        proof = f"the purchases from {windows[-1].origin:%Y-%m-%d} bear it out"
        return Level(
            cohorts=_cohort_factors(pd.concat(outcomes)),
            note=_NOTE.format(by="quarter of the first purchase", proof=proof),
        )
    return Level(note="Expected purchases keep their level: no correction by season or cohort proved itself.")


def cohorts_of(age_days: Array, *, as_of: pd.Timestamp) -> NDArray[np.str_]:
    """Return the quarter of each first purchase.

    Examples
    --------
    >>> cohorts_of(np.array([0.0, 272.0]), as_of=pd.Timestamp("1997-10-01", tz="UTC")).tolist()
    ['1997Q3', '1997Q1']
    """
    born = (moment(as_of) - 1) // DAY - np.rint(age_days).astype(np.int64)
    day = stamps(born * DAY)
    return np.char.add(np.char.add(day.year.astype(str), "Q"), day.quarter.astype(str))


def _outcome(window: Holdout, process: PurchaseProcess) -> pd.DataFrame:
    ages = window.rfm["T"].to_numpy() * days_per_unit(process.time_unit_)
    return pd.DataFrame(
        {
            "cohort": cohorts_of(ages, as_of=window.origin),
            "actual": window.purchases,
            "expected": process.expected_purchases(window.rfm, window.horizon),
        }
    )


def _spread(outcome: pd.DataFrame) -> float:
    """How much more than Poisson the outcomes scatter."""
    return max(1.0, float(((outcome["actual"] - outcome["expected"]) ** 2).sum() / outcome["expected"].sum()))


def _shrunk(actual: pd.Series, expected: pd.Series, *, spread: float) -> pd.Series:
    return (PRIOR + actual / spread) / (PRIOR + expected / spread)


def _cohort_factors(outcome: pd.DataFrame) -> dict[str, float]:
    sums = outcome.groupby("cohort")[["actual", "expected"]].sum()
    factors = _shrunk(sums["actual"], sums["expected"], spread=_spread(outcome))
    return {str(cohort): float(factor) for cohort, factor in factors.items()}


def _cohorts_persist(earlier: pd.DataFrame, later: pd.DataFrame) -> bool:
    factor = later["cohort"].map(_cohort_factors(earlier)).fillna(1.0)
    plain = half_deviance(later["actual"], later["expected"])
    corrected = half_deviance(later["actual"], later["expected"] * factor)
    verdict = simplest_not_worse(pd.DataFrame({"plain": plain, "corrected": corrected}, index=later.index))
    return bool(verdict.excess["plain"] > PROOF * verdict.error["plain"])


def _season(log: CustomerLog, process: PurchaseProcess, *, as_of: pd.Timestamp, spread: float) -> dict[str, float]:
    """Return each month's factor if those of the year before held in the months that followed; else none."""
    year = pd.DateOffset(years=1)
    births, repeats = repeat_purchase_days(log, known_before=moment(as_of), until=moment(as_of))

    def by_month(start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        return _by_month(births, repeats, process, start=start, end=end)

    since = max(as_of - year, stamp(int(births.min()) * DAY) + year)
    if as_of - since < pd.Timedelta(days=SHORTEST_DAYS):
        return {}
    factors = _month_factors(by_month(since - year, since), spread=spread)
    later = by_month(since, as_of)
    corrected = later["expected"] * later.index.map(factors)
    gain = _deviance(later["actual"], later["expected"]) - _deviance(later["actual"], corrected)
    return _month_factors(by_month(as_of - year, as_of), spread=spread) if gain > PROOF**2 * spread else {}


def _month_factors(year: pd.DataFrame, *, spread: float) -> dict[str, float]:
    sums = year.groupby(level=0).sum()
    ratio = _shrunk(sums["actual"], sums["expected"], spread=spread)
    ratio *= sums["expected"].sum() / (ratio * sums["expected"]).sum()
    return {str(month): float(factor) for month, factor in ratio.items()}


def _by_month(
    births: Int, repeats: Int, process: PurchaseProcess, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Repeat purchases of the whole base between two moments, actual and expected, indexed by month of the year."""
    first, last = moment(start) // DAY, moment(end) // DAY
    starts = [moment(day) // DAY for day in pd.date_range(start, end, freq="MS", normalize=True)]
    edges = np.unique(np.clip([first, *starts, last], first, last))
    expected = np.diff(expected_repeat_purchases(process, first - births, edges - first))
    actual, _ = np.histogram(repeats[repeats < last], bins=edges)
    months = stamps(edges[:-1] * DAY).month.astype(str)
    return pd.DataFrame({"actual": actual.astype(float), "expected": expected}, index=months)


def _deviance(actual: pd.Series, expected: ArrayLike) -> float:
    """Poisson deviance of totals."""
    mean = np.asarray(expected, dtype=float)
    return float(2.0 * (xlogy(actual, actual / mean) - (actual - mean)).sum())
