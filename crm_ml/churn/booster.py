"""The gradient-boosted trees beneath the churn model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.errors import ModelError

__all__ = ["booster_bytes", "booster_from_bytes", "raw_probability", "train_booster"]

Float = npt.NDArray[np.float64]

PARAMETERS: dict[str, float | int | str] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.05,
    "min_child_weight": 20,
    "reg_lambda": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
}
"""Shallow, strongly regularised trees: panels of one shop hold the same customers many times."""

ROUNDS = 300

ROWS_PER_THREAD = 100_000
"""Below this many rows a further thread waits more than it works, above all where cores are shared."""


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
    import xgboost

    constraints = "(" + ",".join(str(direction) for direction in directions) + ")"
    threads = min(os.cpu_count() or 1, 1 + len(features) // ROWS_PER_THREAD)
    parameters = PARAMETERS | {"monotone_constraints": constraints, "seed": seed, "nthread": threads}
    return xgboost.train(parameters, xgboost.DMatrix(features, label=churned), num_boost_round=ROUNDS)


def raw_probability(booster: Any, features: Float) -> Float:
    """Return the trees' uncalibrated probability for each row."""
    import xgboost

    if len(features) == 0:
        return np.zeros(0)
    return np.asarray(booster.predict(xgboost.DMatrix(features)), dtype=np.float64)


def booster_bytes(booster: Any) -> bytes:
    """Return the booster in XGBoost's UBJ format."""
    return bytes(booster.save_raw("ubj"))


def booster_from_bytes(content: bytes) -> Any:
    """Return the booster that `booster_bytes` wrote."""
    import xgboost

    try:
        return xgboost.Booster(model_file=bytearray(content))
    except xgboost.core.XGBoostError as error:
        raise ModelError("`booster.ubj` must be an XGBoost model.\nSave the model again.") from error
