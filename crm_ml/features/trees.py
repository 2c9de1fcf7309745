"""Gradient-boosted trees over a matrix of features; XGBoost is imported only when they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import ModelError, SchemaError, missing_column
from crm_ml.features.ragged import Float

__all__ = [
    "SHALLOW",
    "Matrix",
    "feature_matrix",
    "growing_trees",
    "train_trees",
    "tree_margins",
    "tree_predictions",
    "trees_bytes",
    "trees_from_bytes",
]

Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]

SHALLOW: dict[str, float | int | str] = {
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.05,
    "min_child_weight": 20,
    "reg_lambda": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
}
"""Shallow, strongly regularised trees: panels of one shop hold the same customers many times."""

ROWS_PER_THREAD = 100_000
"""Below this many rows a further thread waits more than it works, above all where cores are shared."""


def feature_matrix(frame: pd.DataFrame, columns: Sequence[str]) -> Float:
    """Return the named columns of a frame of features in order; others are passed over.

    Raises
    ------
    SchemaError
        A column is missing or not numeric.

    Examples
    --------
    >>> feature_matrix(pd.DataFrame({"spend": [20, None], "orders": [2, 0]}), ["orders", "spend"]).tolist()
    [[2.0, 20.0], [0.0, nan]]
    """
    for column in columns:
        if column not in frame.columns:
            remedy = "Build them with the model's builders."
            raise SchemaError(missing_column(column, frame.columns, what="features", remedy=remedy))
    try:
        return np.asarray(frame[list(columns)].to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"features must be numeric: {error}.\nConvert the columns.") from error


def train_trees(
    features: Matrix, target: Float, *, parameters: Mapping[str, float | int | str], rounds: int, seed: int
) -> Any:
    """Train trees with XGBoost.

    Parameters
    ----------
    features : (n, p), NaN where missing.
    target : (n,)
    parameters : XGBoost's, beyond seed and threads.
    rounds : number of trees.
    seed : of row and column sampling.

    Returns
    -------
    xgboost.Booster
    """
    booster, data = _planted(features, target, parameters=parameters, seed=seed)
    for number in range(rounds):
        booster.update(data, number)
    return booster


def growing_trees(
    features: Matrix, target: Float, *, parameters: Mapping[str, float | int | str], seed: int
) -> Callable[[int, Matrix], Float]:
    """Return a function that grows so many trees more each time, and returns all trees' margins of some rows.

    Parameters are those of `train_trees`; the target is of zeros and ones.
    """
    booster, data = _planted(features, target, parameters=parameters, seed=seed)
    start = float(tree_margins(booster, features[:1])[0])  # in XGBoost's own precision
    grown = 0
    margins: Float | float = start

    def grow(rounds: int, rows: Matrix) -> Float:
        nonlocal grown, margins
        for number in range(grown, grown + rounds):
            booster.update(data, number)
        latest = booster.inplace_predict(rows, iteration_range=(grown, grown + rounds), predict_type="margin")
        margins, grown = margins + np.asarray(latest, dtype=np.float64) - start, grown + rounds
        return margins

    return grow


def _planted(
    features: Matrix, target: Float, *, parameters: Mapping[str, float | int | str], seed: int
) -> tuple[Any, Any]:
    """Return a booster without a tree, and its data, binned once: a byte or two per value."""
    import xgboost

    threads = min(os.cpu_count() or 1, 1 + len(features) // ROWS_PER_THREAD)
    settings = {**parameters, "seed": seed, "seed_per_iteration": True, "nthread": threads}
    if parameters["objective"] == "binary:logistic":
        settings["base_score"] = _base(target)
    data = xgboost.QuantileDMatrix(features, label=target, nthread=threads)
    return xgboost.Booster(settings, [data]), data


def _base(target: Float) -> float:
    """Return the share of ones, short of certainty."""
    return float(np.clip(target.mean(), 1e-6, 1 - 1e-6))


def tree_margins(booster: Any, features: Matrix) -> Float:
    """Return the sum of the trees' leaves for each row, before the objective makes a prediction of it."""
    if len(features) == 0:
        return np.zeros(0)
    return np.asarray(booster.inplace_predict(features, predict_type="margin"), dtype=np.float64)


def tree_predictions(booster: Any, features: Float) -> Float:
    """Return the trees' prediction for each row."""
    import xgboost

    if len(features) == 0:
        return np.zeros(0)
    return np.asarray(booster.predict(xgboost.DMatrix(features)), dtype=np.float64)


def trees_bytes(booster: Any) -> bytes:
    """Return the trees in XGBoost's UBJ format."""
    return bytes(booster.save_raw("ubj"))


def trees_from_bytes(content: bytes) -> Any:
    """Return the trees that `trees_bytes` wrote.

    Raises
    ------
    ModelError
        The bytes are not an XGBoost model.
    """
    import xgboost

    try:
        return xgboost.Booster(model_file=bytearray(content))
    except xgboost.core.XGBoostError as error:
        raise ModelError("A booster must be an XGBoost model.\nSave the model again.") from error
