"""The gradient-boosted trees beneath the churn model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_ml.features.ragged import Float
from crm_ml.features.trees import SHALLOW, train_trees

__all__ = ["train_booster"]

ROUNDS = 300


def train_booster(features: Float, churned: Float, *, directions: Sequence[int], seed: int) -> Any:
    """Train trees that never let a feature act against its stated direction.

    Parameters
    ----------
    features : (n, p), NaN where missing.
    churned : (n,) 1 or 0.
    directions : (p,) +1 if more can only raise the risk, -1 if it can only lower it, 0 if free.
    seed : of row and column sampling.

    Returns
    -------
    xgboost.Booster
    """
    constraints = "(" + ",".join(str(direction) for direction in directions) + ")"
    parameters = SHALLOW | {"objective": "binary:logistic", "monotone_constraints": constraints}
    return train_trees(features, churned, parameters=parameters, rounds=ROUNDS, seed=seed)
