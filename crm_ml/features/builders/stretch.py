"""Purchase-interval stretch: who waits longer than usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, Int, count_per, last_per, owner_of, sum_per

__all__ = ["IntervalStretch", "population_gap_days"]

LONGEST_GAP_DAYS = 3650


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

    def __post_init__(self) -> None:
        if not self.last_gaps >= 1:
            raise SchemaError(out_of_range("last_gaps", self.last_gaps, "be at least 1"))
        if not self.prior_gaps > 0:
            raise SchemaError(out_of_range("prior_gaps", self.prior_gaps, "be above 0"))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        last, never = self.last_gaps, "no customer has a gap yet"
        usual = "usual gap: geometric mean of own gaps and prior gaps of the population's median"
        return (
            Feature("gaps", "gaps", "number of gaps between purchase days", "≥ 0"),
            Feature("usual_gap_days", "days", usual, "≥ 1", never),
            Feature("interval_stretch", "ratio", "days since last purchase day / usual gap − 1", "> −1", never, 1),
            Feature(
                "last_gaps_stretch",
                "ratio",
                f"last {last} gaps, shrunk to the usual gap of those before / that usual gap − 1",
                "> −1",
                never,
            ),
            Feature("gap_trend", "log days per gap", "slope of log gap on its number, shrunk to 0", "any"),
            Feature("gap_spread", "log days", "standard deviation of log gaps, shrunk to 0", "≥ 0"),
            Feature("longer_gaps_share", "share", "(own gaps longer than the open one + ½) / (gaps + 1)", "0 … 1"),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature; missing where a customer has not bought."""
        gaps, n = past.gaps, np.diff(past.gaps.offsets).astype(np.float64)
        logs, prior = np.log(gaps.days), np.log(past.population_gap_days)
        total = sum_per(logs, gaps.offsets)
        usual = np.exp((total + self.prior_gaps * prior) / (n + self.prior_gaps))
        open_days = past.days_ago(last_per(past.purchase_days.time, past.purchase_days.offsets))
        late = _numbers_from_end(gaps.offsets) < self.last_gaps
        recent, n_recent = sum_per(np.where(late, logs, 0.0), gaps.offsets), count_per(late, gaps.offsets)
        base = (total - recent + self.prior_gaps * prior) / (n - n_recent + self.prior_gaps)
        recent_mean = (recent + self.prior_gaps * base) / (n_recent + self.prior_gaps)
        longer = count_per(gaps.days > open_days[owner_of(gaps.offsets)], gaps.offsets)
        trend, spread = _trend_and_spread(logs, gaps.offsets, total / np.maximum(n, 1.0))
        return {
            "gaps": n,
            "usual_gap_days": usual,
            "interval_stretch": open_days / usual - 1,
            "last_gaps_stretch": np.expm1(recent_mean - base),
            "gap_trend": trend,
            "gap_spread": spread,
            "longer_gaps_share": (longer + 0.5) / (n + 1),
        }


def population_gap_days(log: CustomerLog, cutoffs: Sequence[int]) -> Float:
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
        gaps = Past(bucket, int(edges[-1])).gaps
        lengths = np.minimum(gaps.days, LONGEST_GAP_DAYS).astype(np.int64)
        counts = np.zeros((len(edges), LONGEST_GAP_DAYS + 1), dtype=np.int64)
        for row, edge in enumerate(edges):
            known = count_per(gaps.closed_at < edge, gaps.offsets).astype(np.int64)
            latest = (gaps.offsets[:-1] + known - 1)[known > 0]
            counts[row] = np.bincount(lengths[latest], minlength=LONGEST_GAP_DAYS + 1)
        return counts

    counted = sum(log.map(count), start=np.zeros((len(edges), LONGEST_GAP_DAYS + 1), dtype=np.int64))
    return np.array([_median(row) for row in counted])


def _median(counts: Int) -> float:
    """Return the median of values 0, 1, 2, ... that occur `counts` times."""
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    below = np.cumsum(counts)
    middle = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
    return float(middle.mean())


def _numbers_from_end(offsets: Int) -> npt.NDArray[np.int64]:
    return offsets[1:][owner_of(offsets)] - 1 - np.arange(offsets[-1])


def _trend_and_spread(logs: Float, offsets: Int, mean: Float) -> tuple[Float, Float]:
    """Return slope and standard deviation of log gaps, each with one unit of prior variation added below."""
    n = np.diff(offsets).astype(np.float64)
    owner = owner_of(offsets)
    number = np.arange(len(logs)) - offsets[:-1][owner] - (n[owner] - 1) / 2
    away = logs - mean[owner]
    trend = sum_per(number * away, offsets) / (sum_per(number**2, offsets) + 1)
    return trend, np.sqrt(sum_per(away**2, offsets) / (n + 1))
