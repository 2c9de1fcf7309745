"""One sweep over a bucket: the stage of every customer at every cutoff, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.decisions.lifecycle.rules import LIFECYCLE_STAGES, Lifecycle
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, days
from crm_ml.features.builders.stretch import IntervalStretch, usual_gap
from crm_ml.features.decay import NEVER
from crm_ml.features.ragged import Float, Int

__all__ = ["Staged", "stage_customers"]

NOT_YET = -1
PROSPECT, NEW, GROWING, MATURE, DECLINING, DORMANT, CHURNED = range(len(LIFECYCLE_STAGES))
NOISE = 1e-12
"""Share by which a silence may fall short of usual gaps, whose logarithms leave some 1e-15, and still be as long."""
LATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Staged:
    """The customers of a bucket at c cutoffs.

    Attributes
    ----------
    customer_id : (n,) str objects.
    stage : (c, n) int8, position in `LIFECYCLE_STAGES`; −1 where not yet known.
    age_days, silent_days, usual_gap_days : (c, n) float64, NaN where there was no purchase.
    slept_days : (c, n) float64, the silence that ended in a wake-up lately, NaN without one.
    """

    customer_id: npt.NDArray[np.object_]
    stage: npt.NDArray[np.int8]
    age_days: Float
    silent_days: Float
    usual_gap_days: Float
    slept_days: Float


def stage_customers(bucket: Bucket, cutoffs: Int, population_gap_days: Float, rules: Lifecycle) -> Staged:
    """Return the stages of a bucket's customers.

    Parameters
    ----------
    bucket : with its interactions, for the prospects.
    cutoffs : (c,) int64, microseconds, ascending.
    population_gap_days : (c,) as known at each cutoff, see `crm_ml.features.builders.stretch`; NaN without any.
    rules : ages and silences.
    """
    bought, acts = bucket.transactions, bucket.interactions
    shape = (len(cutoffs), len(bucket.customer_id))
    seen = np.full(shape[1], LATEST)
    acted = np.diff(acts.offsets) > 0
    seen[acted] = acts.time[acts.offsets[:-1][acted]]
    stage, columns = np.empty(shape, dtype=np.int8), np.full((4, *shape), np.nan)
    compiled(_sweep, calls=(usual_gap, _long))(
        bought.offsets,
        bought.time,
        bought.is_purchase,
        seen,
        cutoffs,
        np.log(population_gap_days),
        float(IntervalStretch.prior_gaps),
        rules.basis == "own",
        np.array(rules.silences, dtype=np.float64),
        days(rules.new_days, name="new_days"),
        days(rules.growing_days, name="growing_days"),
        days(rules.woken_days, name="woken_days"),
        stage,
        columns,
    )
    return Staged(bucket.customer_id, stage, *columns)


def _long(silence: Any, bound: Any, gap_days: Any, own: Any) -> Any:
    """Return whether a silence in microseconds has come to a bound in days or usual gaps."""
    return silence >= bound * gap_days * DAY * (1 - NOISE) if own else silence >= np.rint(bound * DAY)


def _sweep(
    offsets: Any,
    time: Any,
    is_purchase: Any,
    seen: Any,
    cutoffs: Any,
    prior: Any,
    prior_gaps: Any,
    own: Any,
    silences: Any,
    new: Any,
    growing: Any,
    woken: Any,
    stage: Any,
    columns: Any,
) -> None:
    """Fold each customer's log gaps up to every cutoff, with what was known before each purchase for its wake-up."""
    silence, sums, counts = np.zeros(len(time), dtype=np.int64), np.zeros(len(time)), np.zeros(len(time))
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        row, total, n, first, last = begin, 0.0, 0, NEVER, NEVER
        for at in range(len(cutoffs)):
            cutoff = cutoffs[at]
            while row < end and time[row] < cutoff:
                if is_purchase[row]:
                    if last == NEVER:
                        first = time[row]
                    else:
                        silence[row], sums[row], counts[row] = time[row] - last, total, n
                        gap = time[row] // DAY - last // DAY
                        if gap > 0:
                            total += np.log(float(gap))
                            n += 1
                    last = time[row]
                row += 1
            if last == NEVER:
                stage[at, customer] = PROSPECT if seen[customer] < cutoff else NOT_YET
                continue
            age, silent = cutoff - first, cutoff - last
            usual = usual_gap(total, n, prior[at], prior_gaps)
            stage[at, customer] = NEW if age < new else GROWING if age < growing else MATURE
            for later in range(3):
                if _long(silent, silences[later], usual, own):
                    stage[at, customer] = DECLINING + later
            columns[0, at, customer] = age / DAY
            columns[1, at, customer] = silent / DAY
            columns[2, at, customer] = usual
            back = row - 1
            while stage[at, customer] < DORMANT and back >= begin and time[back] >= cutoff - woken:
                then = usual_gap(sums[back], counts[back], prior[at], prior_gaps)
                if silence[back] > 0 and _long(silence[back], silences[1], then, own):
                    columns[3, at, customer] = silence[back] / DAY
                    break
                back -= 1
