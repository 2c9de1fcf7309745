"""What a column tells of the outcome beyond what customers' purchases tell already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from crm_ml.features.ragged import Float, Int
from crm_ml.features.trees import SHALLOW, feature_matrix, train_trees, tree_predictions

__all__ = ["Matched", "Region"]

FOLDS = 5
ROUNDS = 150
STRATA = 10
EDGES = 20

LEAST = 20
"""Customers of each outcome, or in a region, below which chance may do what a leak does."""

PURE, EXPECTED, SURPRISE = 0.99, 0.80, 14.0
"""Share of one outcome in a region, the share expected at most, and −log of the probability of seeing it."""


class Region(NamedTuple):
    """Customers on one side of a value: which, how many, the share that churned, and the share expected to."""

    where: str
    customers: int
    churned: float
    expected: float


@dataclass(frozen=True)
class Matched:
    """Rows of a panel with the probability of churn that trusted columns give them.

    Attributes
    ----------
    customer : (n,) position of each row's customer.
    churned : (n,) 1 or 0.
    expected : (n,) probability of churn given the trusted columns, from other customers.
    stratum : (n,) rows of a cutoff that are expected to churn about as likely.
    """

    customer: Int
    churned: Float
    expected: Float
    stratum: Int

    @classmethod
    def of(cls, panel: pd.DataFrame, trusted: list[str]) -> Self:
        """Match the rows of a panel, in order of cutoff, by trusted columns; nobody is predicted from own rows."""
        customer, _ = pd.factorize(panel.index.get_level_values("customer_id"))
        cutoff, cutoffs = pd.factorize(panel.index.get_level_values("cutoff"))
        churned, known = panel["churned"].to_numpy(dtype=np.float64), feature_matrix(panel, trusted)
        found, fold = np.empty(len(panel)), customer % FOLDS
        parameters = SHALLOW | {"objective": "binary:logistic"}
        for held in np.unique(fold):
            others = fold != held
            trees = train_trees(known[others], churned[others], parameters=parameters, rounds=ROUNDS, seed=0)
            found[~others] = tree_predictions(trees, known[~others])
        stratum = np.empty(len(panel), dtype=np.int64)
        for at in range(len(cutoffs)):
            rows = np.flatnonzero(cutoff == at)
            stratum[rows] = at * STRATA + np.argsort(np.argsort(found[rows])) * STRATA // len(rows)
        return cls(customer, churned, found, stratum)

    def rows(self, chosen: Int) -> Matched:
        """Return some of the rows."""
        return Matched(self.customer[chosen], self.churned[chosen], self.expected[chosen], self.stratum[chosen])

    def separation(self, values: Float) -> float:
        """Return how well a column tells those who left from those who stayed among matched customers.

        The share of pairs of a stratum in which one that left has the larger value, or the smaller one if that is
        more common: ½ for nothing and where there are too few of either, 1 for all. A missing value is below all
        others.
        """
        if min(self.churned.sum(), (1 - self.churned).sum()) < LEAST:
            return 0.5
        _, value = np.unique(np.nan_to_num(values, nan=-np.inf), return_inverse=True)
        _, entry = np.unique(self.stratum * (value.max() + 1) + value, return_inverse=True)
        left = np.bincount(entry, weights=self.churned)
        stayed = np.bincount(entry) - left
        stratum = np.zeros(len(left), dtype=np.int64)
        stratum[entry] = self.stratum
        n_left, n_stayed = (np.bincount(stratum, weights=count) for count in (left, stayed))
        before = np.concatenate([[0.0], np.cumsum(n_stayed)])[stratum]
        below = np.cumsum(stayed) - stayed / 2 - before
        pairs = n_left @ n_stayed
        share = float(left @ below / pairs) if pairs else 0.5
        return max(share, 1 - share)

    def decided(self, values: Float) -> Region | None:
        """Return the largest region of a column in which nearly all had one outcome, against expectation.

        Each customer counts once, by the latest row.
        """
        largest: Region | None = None
        for where, inside in _regions(values):
            rows = np.flatnonzero(inside)[::-1]
            rows = rows[np.unique(self.customer[rows], return_index=True)[1]]
            if len(rows) < max(LEAST, largest.customers + 1 if largest else 0):
                continue
            churned, expected = float(self.churned[rows].mean()), self.expected[rows].clip(1e-3, 1 - 1e-3)
            outcome = expected if churned > 0.5 else 1 - expected
            is_pure = max(churned, 1 - churned) >= PURE and outcome.mean() <= EXPECTED
            if is_pure and -np.log(outcome).sum() >= SURPRISE:
                largest = Region(where, len(rows), churned, float(expected.mean()))
        return largest


def _regions(values: Float) -> list[tuple[str, Any]]:
    """Return the rows on either side of some values of a column, in words."""
    missing = np.isnan(values)
    distinct = np.unique(values[~missing])
    edges = distinct if len(distinct) <= EDGES else np.unique(np.quantile(values[~missing], np.linspace(0, 1, EDGES)))
    regions: list[tuple[str, Any]] = [("missing", missing), ("present", ~missing)]
    for edge in edges:
        regions += [(f"≥ {edge:.6g}", values >= edge), (f"≤ {edge:.6g}", values <= edge)]
        regions += [(f"> {edge:.6g}", values > edge), (f"< {edge:.6g}", values < edge)]
    return regions
