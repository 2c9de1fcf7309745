"""Distributions of the wait for the next purchase, tabulated for many customers at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.decisions.timing.gaps import OwnGaps
from crm_ml.decisions.timing.histories import gap_statistics

__all__ = ["EVER_DAYS", "GRID", "Waits", "gap_hazard", "process_hazard"]

Array = NDArray[np.float64]

EVER_DAYS = 3650
"""Whoever buys later than this counts as never buying again."""

GRID = np.unique(np.rint(np.geomspace(1.0, EVER_DAYS, 36)))
"""Days at which distributions are tabulated; between them the hazard is constant."""

TINY = 1e-300
"""Probability below which a silence counts as no less likely."""


@dataclass(frozen=True)
class Waits:
    """For each of n customers, minus the logarithm of the probability of buying nothing for so long.

    Attributes
    ----------
    hazard : ndarray of shape (n, len(GRID)), cumulative, never falling.

    Examples
    --------
    Purchases at a rate of 1 in 10 days: nothing for 10 days has probability exp(-1).

    >>> waits = Waits(GRID[None, :] / 10.0)
    >>> waits.probability(np.array([10.0])).round(4).tolist(), waits.day(np.array([0.5])).round(2).tolist()
    ([0.6321], [6.93])
    """

    hazard: Array

    def probability(self, days: Array) -> Array:
        """Return the probability of buying within so many days, 0 to `EVER_DAYS`, of each customer."""
        at = np.clip(np.searchsorted(GRID, days), 0, len(GRID) - 1)
        rows = np.arange(len(self.hazard))
        below, above = np.where(at > 0, self.hazard[rows, at - 1], 0.0), self.hazard[rows, at]
        begin, end = np.where(at > 0, GRID[at - 1], 0.0), GRID[at]
        return np.asarray(-np.expm1(-(below + (above - below) * (days - begin) / (end - begin))))

    def day(self, probability: Array) -> Array:
        """Return the time by which each customer has bought with this probability; infinite if never."""
        target = -np.log1p(-probability)
        reached = self.hazard >= target[:, None]
        at, rows = reached.argmax(axis=1), np.arange(len(self.hazard))
        below, above = np.where(at > 0, self.hazard[rows, at - 1], 0.0), self.hazard[rows, at]
        begin, end = np.where(at > 0, GRID[at - 1], 0.0), GRID[at]
        rise = np.where(above > below, above - below, 1.0)
        return np.where(reached[:, -1], begin + (end - begin) * np.clip((target - below) / rise, 0.0, 1.0), np.inf)


def process_hazard(process: PurchaseProcess, known: pd.DataFrame) -> tuple[Array, Array]:
    """Return what the purchase process expects: the `Waits.hazard` ahead, and that of the silence behind.

    The second is the hazard of the present silence, as it was at the last purchase: the probability of the history
    with it over that of the history without.

    Parameters
    ----------
    process : fitted on days.
    known : frame of `histories`.

    Returns
    -------
    ndarray of shape (n, len(GRID)), ndarray of shape (n,)
    """
    columns = known[["frequency", "recency", "T"]]
    member = columns.groupby(list(columns), sort=False).ngroup().to_numpy()
    distinct = columns.drop_duplicates()
    silent = np.column_stack([process.probability_no_purchase(distinct, float(days)) for days in GRID])
    then = process.log_likelihood(distinct.assign(T=distinct["recency"]))
    behind = np.maximum((then - process.log_likelihood(distinct)).to_numpy(), 0.0)
    return _never_falling(-np.log(np.maximum(silent, TINY)))[member], behind[member]


def gap_hazard(own: OwnGaps, known: pd.DataFrame) -> tuple[Array, Array]:
    """Return what customers' own gaps say, as `process_hazard` does."""
    statistics = gap_statistics(known)
    silence = statistics.silence[:, None]
    behind = -np.log(own.survival(statistics, silence))
    return _never_falling(-np.log(own.survival(statistics, silence + GRID)) - behind), behind[:, 0]


def _never_falling(hazard: Array) -> Array:
    return np.maximum.accumulate(np.maximum(hazard, 0.0), axis=1)
