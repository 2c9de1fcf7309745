"""Columns of a caller's frame as checked float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.errors import SchemaError, missing_column, rows_break_rule

__all__ = ["check_key", "check_rows", "customer_index", "read_finite"]

Floats = NDArray[np.float64]


def check_key(frame: pd.DataFrame | pd.Series[Any], name: str) -> None:
    """Refuse a frame whose index does not name every row's customer once.

    Parameters
    ----------
    frame : DataFrame or Series
        One row per customer.
    name : str
        What the caller knows it as.

    Raises
    ------
    SchemaError
        If customer_id is a column, or the index has several levels, repeats or gaps.

    Examples
    --------
    >>> check_key(pd.DataFrame({"clv": [1, 2]}, index=["ann", "bob"]), "customers")
    """
    if isinstance(frame, pd.DataFrame) and "customer_id" in frame.columns:
        rule = f"`{name}` must be indexed by customer_id; it has a column of that name."
        raise SchemaError(f"{rule}\nCall {name}.set_index('customer_id') first.")
    if frame.index.nlevels > 1:
        levels = frame.index.nlevels
        raise SchemaError(f"the index of `{name}` must have one level; it has {levels}.\nDrop the others.")
    missing = int(np.count_nonzero(frame.index.isna()))
    repeated = 0 if frame.index.is_unique else int(np.count_nonzero(frame.index.duplicated()))
    if missing or repeated:
        rule = f"the index of `{name}` must hold every customer once, and none without a name."
        evidence = f"{repeated:,} of {len(frame):,} rows repeat one, {missing:,} have none."
        raise SchemaError(f"{rule} {evidence}\nAggregate or drop them.")


def customer_index(frame: pd.DataFrame | pd.Series[Any], name: str) -> pd.Index:
    """Return the customers of a frame's index as the log knows them, 17 and "17" being one.

    Raises
    ------
    SchemaError
        If the index is no key.

    Examples
    --------
    >>> customer_index(pd.Series([1.0, 2.0], index=[17, 4]), "clv").tolist()
    ['17', '4']
    """
    check_key(frame, name)
    index: pd.Index = pd.Index(frame.index.astype(str), dtype="str", name="customer_id")
    check_key(pd.Series(0, index=index), name)
    return index


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
