"""Outcomes counted by prediction, in memory that does not grow with customers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from crm_ml.evaluation.measures.curves import tally_bins
from crm_ml.evaluation.measures.metrics import churn_metrics
from crm_ml.evaluation.measures.tally import Tally

__all__ = ["ChurnTally", "ValueTally"]

Float = npt.NDArray[np.float64]

PER_LOG = 1000
"""Cells for each unit of the logarithm of odds or of money: predictions told apart are within a thousandth."""

FARTHEST = 35
"""Logarithm of odds or of money beyond which cells do not go."""

CELLS = 2 * FARTHEST * PER_LOG + 1

MEASURES = ("auc", "average_precision", "brier", "log_loss", "lift_10", "calibration_error", "calibration_bias")


class ChurnTally:
    """Who left and who stayed, by the log odds that were predicted."""

    def __init__(self) -> None:
        self._left, self._all, self._predicted = np.zeros((3, CELLS))

    def add(self, probability: Float, churned: Float) -> None:
        """Count customers; (n,) each."""
        with np.errstate(divide="ignore"):
            cell = _cells(logit(probability))
        self._left += np.bincount(cell, weights=churned, minlength=CELLS)
        self._all += np.bincount(cell, minlength=CELLS)
        self._predicted += np.bincount(cell, weights=probability, minlength=CELLS)

    def record(self) -> dict[str, Any]:
        """Return the measures as plain data; only counts and means where everyone left, or everyone stayed."""
        filled = self._all > 0
        left, count, mean = self._left[filled], self._all[filled], self._predicted[filled] / self._all[filled]
        customers, churned = count.sum(), left.sum()
        found: dict[str, Any] = {"customers": int(customers)}
        if customers:
            found |= {"churned": churned / customers, "predicted": self._predicted.sum() / customers}
        if 0 < churned < customers:
            outcome = np.repeat([1.0, 0.0], len(mean))
            measured = churn_metrics(outcome, np.tile(mean, 2), weights=np.concatenate([left, count - left]))
            found |= {name: measured[name] for name in MEASURES}
            found["bins"] = tally_bins(Tally(mean, left, count - left)).to_dict("list")
        return found


class ValueTally:
    """What customers bought and spent, by the value that was predicted."""

    def __init__(self) -> None:
        self._spend, self._all = np.zeros((2, CELLS))
        self._totals = np.zeros(4)

    def add(self, clv: Float, expected_purchases: Float, expected_spend: Float, purchases: Float, spend: Float) -> None:
        """Count customers; (n,) each."""
        with np.errstate(divide="ignore"):
            cell = _cells(np.log(np.maximum(clv, 0.0)))
        self._spend += np.bincount(cell, weights=spend, minlength=CELLS)
        self._all += np.bincount(cell, minlength=CELLS)
        self._totals += [each.sum() for each in (expected_purchases, purchases, expected_spend, spend)]

    def record(self) -> dict[str, Any]:
        """Return the measures as plain data."""
        expected, bought, expected_spend, spent = self._totals.tolist()
        found: dict[str, Any] = {"customers": int(self._all.sum())}
        found |= {"expected_purchases": expected, "purchases": bought}
        found |= {"expected_spend": expected_spend, "spend": spent}
        if bought:
            found["purchases_ratio"] = expected / bought
        if spent > 0:
            found["spend_ratio"] = expected_spend / spent
            reached, held = np.cumsum(self._all[::-1]), np.cumsum(self._spend[::-1])
            found["top_decile_capture"] = float(np.interp(max(1, round(reached[-1] / 10)), reached, held) / spent)
        return found


def _cells(logarithm: Float) -> npt.NDArray[np.int64]:
    bounded = np.clip(logarithm, -FARTHEST, FARTHEST)
    cells: npt.NDArray[np.int64] = np.rint((bounded + FARTHEST) * PER_LOG).astype(np.int64)
    return cells
