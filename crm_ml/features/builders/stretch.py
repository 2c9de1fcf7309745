"""Purchase-interval stretch: who waits longer than usual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import FREQUENCY
from crm_ml.features.builders.words import counted, duration, number, percent, said, times, together
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.history import History
from crm_ml.features.past import purchase_days
from crm_ml.features.ragged import Float, Int

__all__ = ["LONGEST_GAP_DAYS", "IntervalStretch", "median_of_counts", "population_gap_days", "usual_gap"]

LONGEST_GAP_DAYS = 3650
"""Longer gaps count as this one."""


@register_builder
@dataclass(frozen=True)
class IntervalStretch:
    """The gaps between a customer's purchase days, the last ones and the open one against the usual.

    A customer's usual gap is the geometric mean of the own gaps and of `prior_gaps` gaps of the
    population's median length, so that it is defined from the first purchase on and moves to the
    customer's own rhythm as gaps accrue.

    Parameters
    ----------
    last_gaps : how many of the latest gaps are compared with the ones before.
    prior_gaps : weight of the population in the usual gap, in gaps.
    """

    last_gaps: int = 3
    prior_gaps: float = 2.0

    interaction_days: ClassVar[float] = 0

    def __post_init__(self) -> None:
        if not self.last_gaps >= 1:
            raise SchemaError(out_of_range("last_gaps", self.last_gaps, "be at least 1"))
        if not self.prior_gaps > 0:
            raise SchemaError(out_of_range("prior_gaps", self.prior_gaps, "be above 0"))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        last, never = self.last_gaps, "no customer has a gap yet"
        p = f"{self.prior_gaps:g}"
        usual = f"exp((Σ log gap + {p} log m) / (gaps + {p})), m the population's median latest gap"
        return (
            Feature(
                "gaps",
                "gaps",
                "number of gaps between purchase days",
                "≥ 0",
                theme="frequency",
                words=FREQUENCY.words,
            ),
            Feature(
                "usual_gap_days",
                "days",
                usual,
                "≥ 1",
                never,
                theme="frequency",
                words=said("usual gap of ", duration, " between purchases"),
            ),
            Feature(
                "interval_stretch",
                "ratio",
                "days since last purchase day / usual gap − 1",
                "> −1",
                never,
                1,
                theme="waiting",
                words=_say_stretch,
            ),
            Feature(
                "last_gaps_stretch",
                "ratio",
                f"exp(Σ (log gap − log b) over the last {last} / (their number + {p})) − 1, "
                "b the usual gap of those before",
                "> −1",
                never,
                theme="rhythm",
                words=_say_last_gaps,
            ),
            *self._describe_own_gaps(),
        )

    def _describe_own_gaps(self) -> tuple[Feature, ...]:
        return (
            Feature(
                "gap_trend",
                "log days per gap",
                "Σ (i − mean i) log gap i / (Σ (i − mean i)² + 1)",
                "any",
                theme="rhythm",
                words=_say_trend,
            ),
            Feature(
                "gap_spread",
                "log days",
                "√(Σ (log gap − mean)² / (gaps + 1))",
                "≥ 0",
                theme="rhythm",
                words=lambda spread, _: f"gaps between purchases vary by a factor of {number(math.exp(spread))}",
            ),
            Feature(
                "longer_gaps_share",
                "share",
                "(own gaps longer than the open one + ½) / (gaps + 1)",
                "0 … 1",
                theme="waiting",
                words=_say_longer_gaps,
            ),
        )

    def sweep(self, history: History) -> dict[str, Float]:
        """Return one array per feature, by cutoff and customer; missing where a customer has not bought."""
        names = [feature.name for feature in self.describe()]
        columns = np.full((len(names), *history.shape), np.nan)
        days = history.purchase_days
        compiled(_sweep, calls=(usual_gap,))(
            days.offsets,
            days.day,
            days.time,
            history.cutoffs,
            np.log(history.population_gap_days),
            self.last_gaps,
            float(self.prior_gaps),
            columns,
        )
        return dict(zip(names, columns, strict=True))


def _sweep(
    offsets: Any, day: Any, time: Any, cutoffs: Any, prior: Any, last_gaps: Any, prior_gaps: Any, columns: Any
) -> None:
    """Fold each customer's log gaps up to every cutoff; the last ones and the longer ones are looked up again."""
    logs = np.zeros(len(day))
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        row, total, mean, squares, weighted = begin, 0.0, 0.0, 0.0, 0.0
        for at in range(len(cutoffs)):
            while row < end and time[row] < cutoffs[at]:
                n = row - begin
                if n > 0:
                    logs[row] = np.log(float(day[row] - day[row - 1]))
                    away = logs[row] - mean
                    mean += away / n
                    squares += away * (logs[row] - mean)
                    weighted += (n - 1) * logs[row]
                    total += logs[row]
                row += 1
            if row == begin:
                continue
            n = row - begin - 1
            open_days = (cutoffs[at] - time[row - 1]) / DAY
            usual = usual_gap(total, n, prior[at], prior_gaps)
            n_recent = min(n, last_gaps)
            recent = 0.0
            for gap in range(row - n_recent, row):
                recent += logs[gap]
            base = (total - recent + prior_gaps * prior[at]) / (n - n_recent + prior_gaps)
            longer = 0
            for gap in range(begin + 1, row):
                longer += day[gap] - day[gap - 1] > open_days
            columns[0, at, customer] = n
            columns[1, at, customer] = usual
            columns[2, at, customer] = open_days / usual - 1
            columns[3, at, customer] = np.expm1((recent - n_recent * base) / (n_recent + prior_gaps))
            columns[4, at, customer] = (weighted - (n - 1) / 2 * total) / (n * (n * n - 1.0) / 12 + 1)
            columns[5, at, customer] = np.sqrt(squares / (n + 1))
            columns[6, at, customer] = (longer + 0.5) / (n + 1)


def usual_gap(log_gaps: Any, n_gaps: Any, log_prior: Any, prior_gaps: Any) -> Any:
    """Return a customer's usual gap in days: the geometric mean of the own gaps and of the population's.

    Loops that are compiled with it may call it.

    Parameters
    ----------
    log_gaps, n_gaps : sum of the logarithms of the own gaps in days, and their number.
    log_prior, prior_gaps : logarithm of the population's median gap, and how many own gaps it weighs.

    Examples
    --------
    >>> round(float(usual_gap(2 * np.log(8.0), 2, np.log(32.0), 2.0)), 6)
    16.0
    """
    return np.exp((log_gaps + prior_gaps * log_prior) / (n_gaps + prior_gaps))


def _say_stretch(stretch: float, row: Mapping[str, float]) -> str:
    known = together(row, "usual_gap_days")
    usual = duration(known[0]) if known else "gap between purchases"
    return f"has waited {times(stretch + 1)} the usual {usual}"


def _say_last_gaps(stretch: float, _: Mapping[str, float]) -> str:
    ratio = f"{times(stretch + 1)} "
    return f"the last gaps were {'' if ratio == '1 × ' else ratio}as long as those before"


def _say_trend(trend: float, _: Mapping[str, float]) -> str:
    change = math.expm1(trend)
    if abs(change) < 0.005:
        return "gaps between purchases stay as long as they were"
    return f"each gap is about {percent(abs(change))} {'longer' if change > 0 else 'shorter'} than the one before"


def _say_longer_gaps(share: float, row: Mapping[str, float]) -> str:
    known = together(row, "gaps")
    if known is None:
        return f"about {percent(share)} of the gaps between purchases were longer than the present wait"
    gaps = round(known[0])
    longer = round(share * (gaps + 1) - 0.5)
    if gaps == 0:
        return "no gap between purchases yet to compare the wait with"
    if longer == 0:
        return "has never waited so long between purchases"
    return (
        f"{longer} of {counted('gap')(gaps)} between purchases {'was' if longer == 1 else 'were'} longer than this wait"
    )


def population_gap_days(log: CustomerLog, cutoffs: Sequence[int] | Int) -> Float:
    """Return the median over customers of their latest gap in days, as known at each cutoff.

    One gap per customer, so that frequent buyers do not speak for all. Counted in whole days, so that
    neither buckets nor threads leave a trace.

    Parameters
    ----------
    log : the log.
    cutoffs : (c,) microseconds, ascending.

    Returns
    -------
    (c,) float64, NaN where nobody has a gap yet.
    """
    edges = np.asarray(cutoffs, dtype=np.int64)

    def count(bucket: Bucket) -> Int:
        days = purchase_days(bucket.transactions)
        counts = np.zeros((len(edges), LONGEST_GAP_DAYS + 1), dtype=np.int64)
        compiled(_count_latest)(days.offsets, days.day, days.time, edges, counts)
        return counts

    return np.array([median_of_counts(row) for row in log.total(count, interactions=False)])


def _count_latest(offsets: Any, day: Any, time: Any, cutoffs: Any, counts: Any) -> None:
    """Count the customers by the length of their latest gap known at each cutoff."""
    for customer in range(len(offsets) - 1):
        row = offsets[customer]
        for at in range(len(cutoffs)):
            while row < offsets[customer + 1] and time[row] < cutoffs[at]:
                row += 1
            if row - offsets[customer] >= 2:
                counts[at, min(day[row - 1] - day[row - 2], counts.shape[1] - 1)] += 1


def median_of_counts(counts: Int) -> float:
    """Return the median of values 0, 1, 2, ... that occur `counts` times; NaN where none does.

    >>> median_of_counts(np.array([0, 2, 1, 1]))
    1.5
    """
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    below = np.cumsum(counts)
    middle = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
    return float(middle.mean())
