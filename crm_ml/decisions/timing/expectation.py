"""The blended distributions of many customers' next purchases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.decisions.timing.blend import Blend, group_of
from crm_ml.decisions.timing.gaps import OwnGaps
from crm_ml.decisions.timing.silences import Waits, gap_hazard, process_hazard

__all__ = ["Expectation", "expect"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Of n customers.

    Attributes
    ----------
    waits : for the next purchase.
    passed_share : ndarray of shape (n,)
        Of the times after which such a customer comes back, if ever, as expected at the last purchase, the share
        that is shorter than the silence.
    """

    waits: Waits
    passed_share: Array

    @property
    def ever(self) -> Array:
        """Probability of ever buying again."""
        return np.asarray(-np.expm1(-self.waits.hazard[:, -1]))

    def probability(self, days: Array | float) -> Array:
        """Return the probability of buying within so many days, of each customer."""
        return self.waits.probability(np.broadcast_to(days, len(self.passed_share)))

    def day(self, probability: Array | float) -> Array:
        """Return the whole day by which each has bought with at least this probability; infinite if never."""
        reached = self.waits.day(np.broadcast_to(probability, len(self.passed_share)))
        return np.maximum(np.ceil(reached - 1e-9), 1.0)


def expect(process: PurchaseProcess, own: OwnGaps, blend: Blend, known: pd.DataFrame) -> Expectation:
    """Return what process, own gaps and blend expect of the customers in a frame of `histories`."""
    share = blend.shares[group_of(known["frequency"].to_numpy(dtype=float))]
    (ahead, behind), (own_ahead, own_behind) = process_hazard(process, known), gap_hazard(own, known)

    def mixed(by_process: Array, by_own: Array) -> Array:
        weight = share if by_process.ndim == 1 else share[:, None]
        return (1.0 - weight) * np.exp(-by_process) + weight * np.exp(-by_own)

    passed = 1.0 - mixed(behind, own_behind)
    passed_ever = 1.0 - mixed(behind + ahead[:, -1], own_behind + own_ahead[:, -1])
    return Expectation(Waits(-np.log(mixed(ahead, own_ahead))), passed / passed_ever)
