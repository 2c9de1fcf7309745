"""One sweep over a log's buckets: features, and labels if wanted, of every customer at every cutoff."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon, PersonalHorizon
from crm_ml.features.builders.stretch import population_gap_days
from crm_ml.features.decay import NEVER
from crm_ml.features.feature import build
from crm_ml.features.feature_set import Features, FeatureSet
from crm_ml.features.history import History
from crm_ml.features.labels import labels_after
from crm_ml.features.ragged import Float, Int

__all__ = ["Part", "Sweep"]

Result = TypeVar("Result")

ROWS_PER_PART = 120_000
"""Customers times cutoffs that are worked on at a time by one thread."""


@dataclass(frozen=True)
class Part:
    """Some rows of a panel, in order of cutoff.

    Attributes
    ----------
    customers : (m,) identifiers; in order within a cutoff.
    positions : (m,) position of each row's cutoff.
    columns : arrays of (m,), the features in order and then, if wanted, the labels.
    """

    customers: npt.NDArray[np.object_]
    positions: Int
    columns: dict[str, Float]


@dataclass(frozen=True)
class Sweep:
    """What is built.

    Attributes
    ----------
    cutoffs : (c,) microseconds, ascending.
    gaps : (c,) the population's median gap in days as known at each.
    features : settled on the log.
    horizon_days : length of the label window; None for no labels.
    lookback : only customers who bought within so many microseconds before a cutoff; None for all who did.
    """

    cutoffs: Int
    gaps: Float
    features: FeatureSet
    horizon_days: Horizon | None
    lookback: int | None

    @classmethod
    def of(
        cls,
        log: CustomerLog,
        cutoffs: Sequence[int],
        *,
        features: Features,
        horizon_days: Horizon | None = None,
        lookback: int | None = None,
    ) -> Self:
        """Return the sweep with the features settled on a log, and the population's gaps."""
        settled = FeatureSet.settle(features, log, first_cutoff=stamp(cutoffs[0]))
        at = np.asarray(cutoffs, dtype=np.int64)
        return cls(at, population_gap_days(log, at), settled, horizon_days, lookback)

    def parts(self, log: CustomerLog) -> Iterator[Part]:
        """Yield the rows of a log in parts, some customers at a time."""
        return self.map(log, self.part)

    def map(self, log: CustomerLog, kernel: Callable[[History], Result]) -> Iterator[Result]:
        """Yield a kernel's result for every part of a log, some customers at a time."""

        def run(bucket: Bucket) -> Result:
            return kernel(self.history(bucket))

        at_most = max(1, ROWS_PER_PART // len(self.cutoffs))
        return log.map(run, at_most=at_most, interactions=self.looks_at_interactions)

    @property
    def looks_at_interactions(self) -> bool:
        """Whether any feature does."""
        return self.features.interaction_days > 0

    def history(self, bucket: Bucket) -> History:
        """Return a bucket as it is looked at from the cutoffs."""
        return History(bucket, self.cutoffs, self.gaps)

    def part(self, history: History) -> Part:
        """Return the rows of some customers."""
        built = self.features.build(history)
        if self.horizon_days is not None:
            built |= labels_after(history, horizon_days=_lengths(self.horizon_days, history))
        start = NEVER + 1 if self.lookback is None else (self.cutoffs - self.lookback)[:, None]
        at, who = np.nonzero(history.last_purchase >= start)
        rows, kept = at * len(history) + who, np.empty((len(built), len(at)))
        for column, array in zip(kept, built.values(), strict=True):
            compiled(_pick)(array.ravel(), rows, column)
        return Part(history.bucket.customer_id[who], at, dict(zip(built, kept, strict=True)))


def _lengths(horizon: Horizon, history: History) -> float | Float:
    return build(horizon, history)["personal_horizon_days"] if isinstance(horizon, PersonalHorizon) else horizon


def _pick(values: Any, rows: Any, picked: Any) -> None:
    for at in range(len(rows)):
        picked[at] = values[rows[at]]
