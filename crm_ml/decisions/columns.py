"""Columns of a caller's frame as checked float64 arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.errors import SchemaError, missing_column, rows_break_rule

__all__ = ["check_rows", "read_finite"]

Floats = NDArray[np.float64]


def read_finite(frame: pd.DataFrame, name: str, *, what: str, remedy: str) -> Floats:
    """Return a numeric column without gaps, or say what is wrong with it.

    Parameters
    ----------
    frame : DataFrame
        One row per customer.
    name : str
        The column.
    what, remedy : str
        Who needs the column, and what to do where it is missing.

    Raises
    ------
    SchemaError
        If the column is missing, not numeric or not finite throughout.

    Examples
    --------
    >>> read_finite(pd.DataFrame({"clv": [1, 2]}), "clv", what="customers", remedy="Join it.")
    array([1., 2.])
    """
    if name not in frame.columns:
        present = [str(column) for column in frame.columns]
        raise SchemaError(missing_column(name, present, what=what, remedy=remedy))
    try:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        kind = frame[name].dtype
        raise SchemaError(f"`{name}` must be numeric; it is {kind}.\nConvert it first.") from error
    check_rows(np.isfinite(values), f"`{name}` must be finite.")
    return values


def check_rows(holds: NDArray[np.bool_], rule: str) -> None:
    """Raise with the positions of the first rows where a rule does not hold.

    >>> check_rows(np.array([True, True]), "`clv` must be finite.")
    """
    broken = np.flatnonzero(~holds)
    if broken.size:
        message = rows_break_rule(
            rule,
            broken=broken.size,
            total=holds.size,
            rows=broken[:3].tolist(),
            what="customers",
            remedy="Correct or drop them.",
        )
        raise SchemaError(message)
