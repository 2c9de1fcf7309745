"""How much the customers' own gaps count beside the purchase process, learnt from windows of the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.decisions.timing.gaps import OwnGaps
from crm_ml.decisions.timing.silences import EVER_DAYS, Waits, gap_hazard, process_hazard

__all__ = ["Blend", "Trial", "group_of"]

Array = NDArray[np.float64]

GROUPS = ("0", "1–4", "5 or more")
"""Customers who are blended alike, by the number of their gaps."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
USUAL_SHARE = 0.5
LEAST = 1e-9
"""Probability below which a day that came costs no more."""


def group_of(gaps: Array) -> NDArray[np.intp]:
    """Return the position of each customer's group in `GROUPS`.

    >>> group_of(np.array([0.0, 1.0, 4.0, 5.0])).tolist()
    [0, 1, 1, 2]
    """
    return np.searchsorted([1.0, 5.0], gaps, side="right").astype(np.intp)


@dataclass(frozen=True)
class Trial:
    """What the process and the own gaps had expected of a window's n customers, and what came.

    Attributes
    ----------
    before, at : ndarray of shape (2, n)
        Probability of buying before the day of the next purchase, and up to it; for those who did not buy, `at` is
        that of buying in the window. By the process, and by the own gaps.
    bought : ndarray of shape (n,)
    group : ndarray of shape (n,)
    """

    before: Array
    at: Array
    bought: NDArray[np.bool_]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, process: PurchaseProcess, own: OwnGaps, known: pd.DataFrame, waited: Array, *, until: int) -> Trial:
        """Look up what came.

        Parameters
        ----------
        process, own : fitted before the window.
        known : frame of `histories`.
        waited : ndarray of shape (n,), whole days; NaN for no purchase.
        until : days of the window.
        """
        bought = ~np.isnan(waited)
        days = np.minimum(np.where(bought, waited, until), EVER_DAYS)
        both = [Waits(process_hazard(process, known)[0]), Waits(gap_hazard(own, known)[0])]
        return cls(
            before=np.stack([waits.probability(days - 1.0) for waits in both]),
            at=np.stack([waits.probability(days) for waits in both]),
            bought=bought,
            group=group_of(known["frequency"].to_numpy(dtype=float)),
        )

    def log_scores(self, share: float) -> Array:
        """Return the log probability of what came, under a share of the own gaps."""
        (p_before, g_before), (p_at, g_at) = self.before, self.at
        before, at = p_before + share * (g_before - p_before), p_at + share * (g_at - p_at)
        return np.asarray(np.log(np.maximum(np.where(self.bought, at - before, 1.0 - at), LEAST)))


@dataclass(frozen=True)
class Blend:
    """Shares of the own gaps, by group.

    Attributes
    ----------
    shares : ndarray of shape (len(GROUPS),)
    table : DataFrame
        See `NextPurchaseModel.weights_`.
    """

    shares: Array
    table: pd.DataFrame

    @classmethod
    def learn(cls, trials: Sequence[Trial]) -> Blend:
        """Choose each group's share by the log score; `USUAL_SHARE` where there is nothing to choose by."""
        names = pd.Index(GROUPS, name="gaps")
        measured = ["process_log_score", "own_gaps_log_score", "log_score"]
        if not trials:
            shares = np.full(len(GROUPS), USUAL_SHARE)
            table = pd.DataFrame({"own_gaps_share": shares, "customers": 0}, index=names)
            return cls(shares, table.assign(**dict.fromkeys(measured, np.nan)))
        group = np.concatenate([trial.group for trial in trials])
        scores = np.stack([np.concatenate([trial.log_scores(share) for trial in trials]) for share in SHARES])
        count = np.bincount(group, minlength=len(GROUPS))
        sums = np.stack([np.bincount(group, weights=row, minlength=len(GROUPS)) for row in scores])
        best = np.where(count > 0, sums.argmax(axis=0), SHARES.index(USUAL_SHARE))
        shares = np.array(SHARES)[best]
        mean = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        found = [mean[0], mean[-1], mean[best, np.arange(len(GROUPS))]]
        table = pd.DataFrame({"own_gaps_share": shares, "customers": count}, index=names)
        return cls(shares, table.assign(**dict(zip(measured, found, strict=True))))
