"""What the columns of a training window looked like, and counts of the present by the same bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, missing_column

__all__ = ["BINS", "RECENCY", "Counts", "Profile", "make_profile"]

Int = npt.NDArray[np.int64]
Single = npt.NDArray[np.float32]

BINS = 10
ROWS_FOR_EDGES = 200_000
"""Rows that quantiles are taken from, evenly spread over a panel; every row is counted."""

SPACING = 0.05
"""Least distance of a score's edges, as a share of all their distance: where trees see no more difference, many
customers get nearly the same score, and it differs between trees that were grown on other rows."""

RECENCY = "recency_days"
"""The feature that tells who bought within the lookback."""


@dataclass(frozen=True)
class Counts:
    """How many rows fell into each bin of a profile; add those of several buckets.

    Attributes
    ----------
    table : (columns, BINS + 1) int64, the last of each row those without a value.
    """

    table: Int

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts(self.table + other.table)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.table[0].sum())


@dataclass(frozen=True)
class Profile:
    """The columns of a training window, counted by deciles at each cutoff.

    Attributes
    ----------
    features, scores : names of the columns.
    edges : for each column, features and then scores, the float32 values that a bin ends with, ascending; fewer where
        values tie. The last bin has no end.
    counts : for each column (cutoffs, BINS + 1) int64, as in `Counts`; a score only has cutoffs that it was
        predicted at without having been trained on them.
    lookback_days : only who bought within so many days is counted; None for all.
    """

    features: tuple[str, ...]
    scores: tuple[str, ...]
    edges: tuple[Single, ...]
    counts: tuple[Int, ...]
    lookback_days: float | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Features, then scores."""
        return (*self.features, *self.scores)

    def count(self, features: pd.DataFrame, scores: pd.DataFrame) -> Counts:
        """Count customers as they are now.

        Those who did not buy within the lookback are left out, as they were in training.

        Parameters
        ----------
        features, scores : of the same customers in the same order; other columns are passed over.

        Raises
        ------
        SchemaError
            A column of the profile is missing.
        """
        counted = np.ones(len(features), dtype=bool)
        if self.lookback_days is not None:
            counted = _values(features, RECENCY) <= self.lookback_days
        table = np.zeros((len(self.columns), BINS + 1), dtype=np.int64)
        for row, name, edges in zip(table, self.columns, self.edges, strict=True):
            values = _values(scores if name in self.scores else features, name)
            row[:] = _histogram(values[counted], edges)
        return Counts(table)

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain data."""
        columns = {
            name: {"edges": edges.tolist(), "counts": counts.tolist()}
            for name, edges, counts in zip(self.columns, self.edges, self.counts, strict=True)
        }
        return {"columns": columns, "scores": list(self.scores), "lookback_days": self.lookback_days}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the profile that `to_dict` made."""
        columns, scores = stored["columns"], tuple(stored["scores"])
        return cls(
            tuple(columns)[: len(columns) - len(scores)],
            scores,
            tuple(np.array(column["edges"], dtype=np.float32) for column in columns.values()),
            tuple(np.array(column["counts"], dtype=np.int64) for column in columns.values()),
            stored["lookback_days"],
        )


def make_profile(
    columns: Sequence[str],
    matrix: Single,
    cutoff: Int,
    *,
    scores: Mapping[str, tuple[npt.NDArray[np.float64], Int]],
    lookback_days: float | None,
) -> Profile:
    """Return the profile of a training panel.

    Parameters
    ----------
    columns : names of the first p columns of the matrix.
    matrix : (n, at least p) float32, in order of cutoff, NaN where missing.
    cutoff : (n,) ascending.
    scores : by name, predictions of rows that the predictor was not trained on, and their cutoffs.
    lookback_days : whom the panel holds.
    """
    made = [_column(matrix[:, at], cutoff) for at in range(len(columns))]
    for values, at in scores.values():
        order = np.argsort(at, kind="stable")
        made.append(_column(values[order].astype(np.float32), at[order], spacing=SPACING))
    edges, counts = zip(*made, strict=True)
    return Profile(tuple(columns), tuple(scores), edges, counts, lookback_days)


def _column(values: Single, cutoff: Int, *, spacing: float = 0.0) -> tuple[Single, Int]:
    some = values[:: max(1, len(values) // ROWS_FOR_EDGES)]
    some = some[np.isfinite(some)]
    edges = np.zeros(0, dtype=np.float32)
    if len(some):
        edges = np.unique(np.quantile(some, np.arange(1, BINS) / BINS, method="inverted_cdf"))
        edges = _spaced(edges, spacing)
    begins = np.unique(cutoff, return_index=True)[1]
    return edges, np.stack([_histogram(part, edges) for part in np.split(values, begins[1:])])


def _spaced(edges: Single, spacing: float) -> Single:
    """Return the edges without those too near the one kept before, as a share of the distance from first to last."""
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] >= spacing * (edges[-1] - edges[0]):
            kept.append(edge)
    return np.array(kept, dtype=np.float32)


def _histogram(values: Single, edges: Single) -> Int:
    place = np.where(np.isnan(values), BINS, np.searchsorted(edges, values, side="left"))
    return np.bincount(place, minlength=BINS + 1).astype(np.int64)


def _values(frame: pd.DataFrame, column: str) -> Single:
    if column not in frame:
        raise SchemaError(
            missing_column(column, frame.columns, what="features and scores", remedy="Give those of the model.")
        )
    # as single as the panel: a value that ends a bin must fall into it
    values: Single = frame[column].to_numpy(dtype=np.float32, na_value=np.nan)
    return values
