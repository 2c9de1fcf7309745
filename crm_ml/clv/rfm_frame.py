"""The frame of purchase histories: its contract, checked once on the way into the mathematics.

The field's names and the paper's symbols: ``frequency`` = x, ``recency`` = t_x, ``T`` = T,
``monetary_value`` = the mean m of the repeat purchases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.errors import (
    ConvergenceError,
    CrmError,
    NotFittedError,
    SchemaError,
    missing_column,
    out_of_range,
    rows_break_rule,
)

__all__ = [
    "check_covariates",
    "check_fitted",
    "check_histories",
    "check_log_gaps",
    "check_not_negative",
    "check_opportunities",
    "check_positive",
    "check_share",
    "check_spend",
    "check_weights",
    "check_whole",
    "refuse_without_repeats",
]

Array = NDArray[np.float64]

_FRAME = "Purchase histories"
_REMEDY = "crm_ml.clv.rfm_summary makes a frame that obeys this."
_STRETCH = 32_768
_COUNTED = (
    "Number each customer's opportunities 1, 2, … after the first purchase; count those taken, and note the last."
)
_KNOWN = "A covariate is one finite number per customer: fill it in, or leave these customers out."


def check_histories(rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Take x, t_x and T out of a frame and check that they can be a purchase history.

    Parameters
    ----------
    rfm : DataFrame of shape (n_customers, ...)
        With the columns ``frequency``, ``recency`` and ``T``; others are ignored.

    Returns
    -------
    tuple of three ndarray of shape (n_customers,)

    Raises
    ------
    SchemaError
        If a column is missing or a row is impossible, naming the rule and the first rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"frequency": [2], "recency": [30.4], "T": [38.9]})
    >>> [column.tolist() for column in check_histories(frame)]
    [[2.0], [30.4], [38.9]]
    """
    x, t_x, T = (_values(rfm, name) for name in ("frequency", "recency", "T"))
    if not _in_stretches(_possible, x, t_x, T):
        _say_what_is_impossible(x, t_x, T)
    return x, t_x, T


def _in_stretches(possible: Callable[..., Any], *columns: Array) -> bool:
    """Check all rows, as many at a time as the cache holds."""
    return all(
        possible(*(column[first : first + _STRETCH] for column in columns)).all()
        for first in range(0, len(columns[0]), _STRETCH)
    )


def _possible(x: Array, t_x: Array, T: Array) -> Any:
    return (np.floor(x) == x) & (x >= 0) & (t_x >= 0) & (t_x <= T) & np.isfinite(x + T) & ((x == 0) ^ (t_x > 0))


def _possible_spend(x: Array, mean_spend: Array) -> Any:
    return (np.floor(x) == x) & (x >= 0) & np.isfinite(x + mean_spend)


def _say_what_is_impossible(x: Array, t_x: Array, T: Array) -> None:
    for name, values in (("frequency", x), ("recency", t_x), ("T", T)):
        _forbid(~np.isfinite(values), f"`{name}` must be finite.")
    _forbid((x < 0) | (x != np.floor(x)), "`frequency` must be a whole number of repeat purchases, 0 or more.")
    _forbid(T < 0, "`T` must not be negative.")
    _forbid(t_x < 0, "`recency` must not be negative.")
    _forbid(t_x > T, "`recency` must not exceed `T`.")
    _forbid((x == 0) & (t_x > 0), "`recency` must be 0 where `frequency` is 0.")
    _forbid((x > 0) & (t_x == 0), "`recency` must be positive where `frequency` is.")


def check_opportunities(rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Take x, t_x and n out of a frame of opportunities to buy and check that they can be a history.

    Parameters
    ----------
    rfm : DataFrame of shape (n_customers, ...)
        With the columns ``frequency`` (opportunities taken), ``recency`` (number of the last one taken, 0 if
        none was) and ``n_opportunities``; others are ignored.

    Returns
    -------
    tuple of three ndarray of shape (n_customers,)

    Raises
    ------
    SchemaError
        If a column is missing or a row is impossible, naming the rule and the first rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"frequency": [2], "recency": [4], "n_opportunities": [6]})
    >>> [column.tolist() for column in check_opportunities(frame)]
    [[2.0], [4.0], [6.0]]
    """
    names = ("frequency", "recency", "n_opportunities")
    x, t_x, n = columns = tuple(_column(rfm, name, _COUNTED) for name in names)
    for name, values in zip(names, columns, strict=True):
        _forbid((values < 0) | (values != np.floor(values)), f"`{name}` must be a whole number, 0 or more.", _COUNTED)
    _forbid(t_x > n, "`recency` must not exceed `n_opportunities`.", _COUNTED)
    _forbid(x > t_x, "`frequency` must not exceed `recency`.", _COUNTED)
    _forbid((x == 0) & (t_x > 0), "`recency` must be 0 where `frequency` is 0.", _COUNTED)
    return x, t_x, n


def check_log_gaps(rfm: pd.DataFrame, *, required: bool) -> Array | None:
    """Take the sums of log gaps between purchases out of a frame; None where it has none and needs none.

    Raises
    ------
    SchemaError
        If the column is required and missing, or cannot belong to the frame's frequency and recency: the sum
        is largest when all gaps are equal.

    Examples
    --------
    >>> frame = pd.DataFrame({"frequency": [2], "recency": [8.0], "T": [9.0], "sum_log_gaps": [np.log(2) + np.log(6)]})
    >>> check_log_gaps(frame, required=True).round(4).tolist()
    [2.4849]
    """
    x, t_x, _ = check_histories(rfm)
    if not required and "sum_log_gaps" not in rfm.columns:
        return None
    if "sum_log_gaps" not in rfm.columns:
        remedy = "crm_ml.clv.rfm_summary(..., sum_log_gaps=True) makes it; or give k, which needs none."
        raise SchemaError(missing_column("sum_log_gaps", map(str, rfm.columns), what=_FRAME, remedy=remedy))
    log_gaps = _column(rfm, "sum_log_gaps")
    largest = x * np.log(np.where(x > 0, t_x, 1.0) / np.maximum(x, 1.0))
    _forbid((x == 0) & (log_gaps != 0), "`sum_log_gaps` must be 0 where `frequency` is 0.")
    _forbid(
        log_gaps > largest + 1e-9 * np.maximum(x, 1.0),
        "`sum_log_gaps` must not exceed `frequency` × log(`recency` / `frequency`), in the unit of `recency`.",
    )
    return log_gaps


def check_spend(rfm: pd.DataFrame) -> tuple[Array, Array]:
    """Take frequency and monetary value out of a frame; neither needs to be positive.

    Raises
    ------
    SchemaError
        If a column is missing, holds other than finite numbers, or a frequency is no count.
    """
    x, mean_spend = _values(rfm, "frequency"), _values(rfm, "monetary_value")
    if _in_stretches(_possible_spend, x, mean_spend):
        return x, mean_spend
    for name, values in (("frequency", x), ("monetary_value", mean_spend)):
        _forbid(~np.isfinite(values), f"`{name}` must be finite.")
    _forbid((x < 0) | (x != np.floor(x)), "`frequency` must be a whole number of repeat purchases, 0 or more.")
    return x, mean_spend


def check_covariates(rfm: pd.DataFrame, names: Sequence[str]) -> Array:
    """Take covariates out of a frame, one per column, in the order of their names.

    Raises
    ------
    SchemaError
        If a column is missing, not numeric or not finite.

    Examples
    --------
    >>> check_covariates(pd.DataFrame({"age": [30, 41], "web": [True, False]}), ["web", "age"]).tolist()
    [[1.0, 30.0], [0.0, 41.0]]
    """
    return np.stack([_column(rfm, name, _KNOWN) for name in names], axis=1) if names else np.empty((len(rfm), 0))


def check_weights(weights: ArrayLike | None, n_customers: int) -> Array:
    """Weights of the rows, in their order; one each unless given.

    Raises
    ------
    SchemaError
        If there is not one finite, non-negative weight per row, some of them positive.
    """
    if weights is None and n_customers > 0:
        return np.ones(n_customers)
    checked = np.zeros(n_customers) if weights is None else np.asarray(weights, dtype=float)
    if checked.shape != (n_customers,):
        raise SchemaError(
            f"`weights` must hold one number per customer; got {checked.shape} for {n_customers:,} rows.\n"
            "Pass them in the order of the rows."
        )
    _forbid(~np.isfinite(checked) | (checked < 0), "`weights` must be finite and not negative.")
    if not checked.sum() > 0:
        raise SchemaError(
            f"A fit needs customers; {n_customers:,} rows have a total weight of 0.\nFit on more customers."
        )
    return checked


def check_positive(name: str, value: float) -> float:
    """Return a setting that must be positive and finite.

    Raises
    ------
    CrmError
    """
    if not (np.isfinite(value) and value > 0):
        raise CrmError(out_of_range(name, value, "be positive and finite"))
    return float(value)


def check_not_negative(name: str, value: ArrayLike) -> None:
    """Refuse a setting that must be 0 or more and finite.

    Raises
    ------
    CrmError
    """
    values = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise CrmError(out_of_range(name, value, "be 0 or more and finite"))


def check_share(name: str, value: float) -> None:
    """Refuse a setting that must lie between 0 and 1.

    Raises
    ------
    CrmError
    """
    if not 0.0 < value < 1.0:
        raise CrmError(out_of_range(name, value, "be between 0 and 1"))


def check_whole(name: str, value: ArrayLike, *, least: int, of: str = "opportunities") -> None:
    """Refuse a setting that does not count opportunities, or whatever it is a number of.

    Raises
    ------
    CrmError
    """
    values = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(values) & (values >= least) & (values == np.floor(values))):
        raise CrmError(out_of_range(name, value, f"be a whole number of {of}, {least} or more"))


def check_fitted(model: object, attribute: str) -> None:
    """Refuse to predict with a model that was never fitted.

    Raises
    ------
    NotFittedError
    """
    if not hasattr(model, attribute):
        name = type(model).__name__
        raise NotFittedError(f"{name} must be fitted before it predicts; it has no `{attribute}`.\nCall fit first.")


def refuse_without_repeats(n_repeaters: float, n_customers: int, *, what: str) -> None:
    """Refuse to fit on customers none of whom tells anything.

    Raises
    ------
    ConvergenceError
    """
    if n_repeaters == 0:
        raise ConvergenceError(
            f"The likelihood must have a maximum: at least one customer needs {what}; none of "
            f"{n_customers:,} has.\nFit on a longer stretch of the log."
        )


def _column(rfm: pd.DataFrame, name: str, remedy: str = _REMEDY) -> Array:
    """Take a column that must be finite out of a frame."""
    values = _values(rfm, name, remedy)
    _forbid(~np.isfinite(values), f"`{name}` must be finite.", remedy)
    return values


def _values(rfm: pd.DataFrame, name: str, remedy: str = _REMEDY) -> Array:
    """Take a numeric column out of a frame, without a copy where it holds floats."""
    if not isinstance(rfm, pd.DataFrame):
        raise SchemaError(f"{_FRAME} must be a pandas DataFrame; got {type(rfm).__name__}.\n{remedy}")
    if name not in rfm.columns:
        raise SchemaError(missing_column(name, map(str, rfm.columns), what=_FRAME, remedy=remedy))
    column = rfm[name]
    try:
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu":
            return np.asarray(column.to_numpy(), dtype=float)
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"`{name}` must be numeric; got {column.dtype}.\n{remedy}") from error


def _forbid(broken: NDArray[np.bool_], rule: str, remedy: str = _REMEDY) -> None:
    rows = np.flatnonzero(broken)
    if len(rows):
        raise SchemaError(
            rows_break_rule(
                rule,
                broken=len(rows),
                total=broken.size,
                rows=rows[:3].tolist(),
                what="customers",
                remedy=remedy,
            )
        )
