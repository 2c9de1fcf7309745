"""What a registered model takes and gives: any numeric columns in, the horizon among the columns out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_numeric_dtype

from crm_ml.errors import SchemaError, missing_column
from crm_ml.registry.kinds import StorableModel, moment_columns

__all__ = ["score", "served_inputs"]

_NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}


def score(model: StorableModel, frame: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Score every row as `predict` does, and say for which horizon.

    Parameters
    ----------
    model
        Fitted model.
    frame
        As for :func:`served_inputs`.
    settings
        Every setting of the model's `predict`.

    Returns
    -------
    DataFrame
        Indexed like `frame`: the columns of `predict`, and `horizon_days` where it is a setting.

    Raises
    ------
    SchemaError
        As :func:`served_inputs` does, or when the model finds the values impossible.
    """
    scores = model.predict(served_inputs(model, frame), **settings)
    if "horizon_days" in settings:
        scores = scores.assign(horizon_days=float(settings["horizon_days"]))
    return scores


def served_inputs(model: StorableModel, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns a model takes, as float64 and, where it takes them, moments in UTC.

    Numbers may come in any type: integers, booleans, pandas' nullable types, decimals, categories of numbers. A
    moment without a zone is read as UTC. A moment column may be absent or hold nothing at all, which is the same.

    Raises
    ------
    SchemaError
        When a column is missing or of another type, or a moment column holds moments for some rows only.

    Examples
    --------
    >>> from crm_ml.clv import CLVModel
    >>> rfm = pd.DataFrame({"frequency": pd.array([0, 2], dtype="Int64"), "recency": [0, 30], "T": [40, 38.5],
    ...                     "monetary_value": pd.Categorical([0, 25]), "country": ["NL", "BE"]})
    >>> served_inputs(CLVModel(), rfm).dtypes.unique().tolist()
    [dtype('float64')]
    """
    for name in model.input_columns:
        if name not in frame.columns:
            remedy = "Build the columns the model was trained on."
            raise SchemaError(
                missing_column(name, map(str, frame.columns), what=f"Rows for a {model.kind} model", remedy=remedy)
            )
    taken = {name: _numbers(frame[name]) for name in model.input_columns}
    moments = {name: _moments(frame[name]) for name in moment_columns(model) if name in frame.columns}
    return pd.DataFrame(taken | {name: at for name, at in moments.items() if at is not None}, index=frame.index)


def _numbers(column: pd.Series) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if not column.hasnans else object)
    if not is_numeric_dtype(column.dtype) and (found := infer_dtype(column, skipna=True)) not in _NUMBERS:
        raise SchemaError(
            f"`{column.name}` must hold numbers; got {found} values of type {column.dtype}.\n"
            "Convert the column, to numbers of days where it holds times."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _moments(column: pd.Series) -> pd.Series | None:
    known = column.notna()
    if not known.any():
        return None
    numeric = is_numeric_dtype(column.dtype) or infer_dtype(column, skipna=True) in _NUMBERS
    try:
        at = pd.to_datetime(column.astype(object), utc=True) if known.all() and not numeric else None
    except (ValueError, TypeError):
        at = None
    if at is None:
        raise SchemaError(
            f"`{column.name}` must hold a date, or a date and time, in every row or in none; got {column.dtype}, "
            f"{int((~known).sum()):,} of {len(column):,} missing.\nFill it in, or leave it out."
        )
    return at
