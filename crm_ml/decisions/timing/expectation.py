"""The corrected distributions of many customers' next purchases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.decisions.timing.blend import Blend, group_of
from crm_ml.decisions.timing.calibration import Recalibration
from crm_ml.decisions.timing.gaps import OwnGaps
from crm_ml.decisions.timing.silences import EVER_DAYS, Waits, gap_hazard, process_hazard

__all__ = ["Expectation", "expect"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Of n customers.

    Attributes
    ----------
    waits : before correction.
    passed : ndarray of shape (n,)
        Share of the outcomes expected at the last purchase that the silence has left behind, before correction.
    passed_ever : ndarray of shape (n,)
        The same, were the silence to last for another `EVER_DAYS`.
    group : ndarray of shape (n,)
    recalibration : Recalibration
    """

    waits: Waits
    passed: Array
    passed_ever: Array
    group: NDArray[np.intp]
    recalibration: Recalibration

    def probability(self, days: Array) -> Array:
        """Return the probability of buying within so many days, of each customer."""
        return self.recalibration.apply(self.waits.probability(days), self.group)

    def day(self, probability: Array) -> Array:
        """Return the whole day by which each has bought with at least this probability; infinite if never."""
        reached = self.waits.day(self.recalibration.undo(probability, self.group))
        return np.maximum(np.ceil(reached - 1e-9), 1.0)

    @property
    def ever(self) -> Array:
        """Probability of ever buying again."""
        return self.probability(np.full(len(self.group), float(EVER_DAYS)))

    @property
    def passed_share(self) -> Array:
        """Of the times after which such a customer comes back, if ever, the share shorter than the silence."""
        passed, ever = (self.recalibration.apply(share, self.group) for share in (self.passed, self.passed_ever))
        return passed / np.maximum(ever, 1e-12)


def expect(process: PurchaseProcess, own: OwnGaps, blend: Blend, known: pd.DataFrame) -> Expectation:
    """Return what process, own gaps and blend expect of the customers in a frame of `histories`."""
    group = group_of(known["frequency"].to_numpy(dtype=float))
    share = blend.shares[group]
    (ahead, behind), (own_ahead, own_behind) = process_hazard(process, known), gap_hazard(own, known)

    def mixed(by_process: Array, by_own: Array) -> Array:
        weight = share if by_process.ndim == 1 else share[:, None]
        return (1.0 - weight) * np.exp(-by_process) + weight * np.exp(-by_own)

    return Expectation(
        waits=Waits(-np.log(mixed(ahead, own_ahead))),
        passed=1.0 - mixed(behind, own_behind),
        passed_ever=1.0 - mixed(behind + ahead[:, -1], own_behind + own_ahead[:, -1]),
        group=group,
        recalibration=blend.recalibration,
    )
