"""Order lines as the builders of categories, baskets and discounts take them.

At the level of lines, an order is a distinct moment at which a customer has a line of amount ≥ 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError, missing_column
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, Int, sum_per

__all__ = ["Orders", "first_of_moment", "line_column", "offsets_where", "orders_with", "ratio"]


@dataclass(frozen=True)
class Orders:
    """Orders made of the lines of amount ≥ 0 in which an optional column is given.

    Attributes
    ----------
    offsets : (n + 1,) int64, customer i owns orders offsets[i]:offsets[i + 1].
    time : (m,) int64, microseconds, ascending for each customer.
    lines : (m,) float64, number of lines, at least 1.
    amount : (m,) float64, sum of the amounts, ≥ 0.
    total : (m,) float64, sum of the optional column.
    """

    offsets: Int
    time: Int
    lines: Float
    amount: Float
    total: Float


def orders_with(past: Past, column: str) -> Orders:
    """Return the orders made of the lines of amount ≥ 0 in which the column is given.

    Raises
    ------
    SchemaError
        The log has no such column.
    """
    lines, values = past.lines, line_column(past, column)
    keep = (lines.amount >= 0) & ~np.isnan(values)
    offsets, time = offsets_where(lines.offsets, keep), lines.time[keep]
    opens = first_of_moment(time, offsets)
    begins = np.flatnonzero(opens)
    bounds = np.append(begins, len(time))
    return Orders(
        offsets=offsets_where(offsets, opens),
        time=time[begins],
        lines=np.diff(bounds).astype(np.float64),
        amount=sum_per(lines.amount[keep], bounds),
        total=sum_per(values[keep], bounds),
    )


def line_column(
    past: Past, column: str, *, remedy: str = "Add it, or leave out the features that need it."
) -> npt.NDArray[Any]:
    """Return an optional column of the lines; one that the log does not have raises SchemaError."""
    values = getattr(past.lines, column)
    if values is None:
        raise SchemaError(missing_column(column, sorted(past.columns), what="transactions", remedy=remedy))
    found: npt.NDArray[Any] = values
    return found


def first_of_moment(time: Int, offsets: Int) -> npt.NDArray[np.bool_]:
    """Return which rows are the first of their customer and moment.

    Parameters
    ----------
    time : (m,) sorted for each customer.
    offsets : (n + 1,) customer i owns rows offsets[i]:offsets[i + 1].

    Examples
    --------
    >>> first_of_moment(np.array([5, 5, 5, 7]), np.array([0, 2, 2, 4])).tolist()
    [True, False, True, True]
    """
    first = np.ones(len(time), dtype=bool)
    first[1:] = time[1:] != time[:-1]
    first[offsets[:-1][np.diff(offsets) > 0]] = True
    return first


def offsets_where(offsets: Int, keep: npt.NDArray[np.bool_]) -> Int:
    """Return the offsets of the rows kept.

    >>> offsets_where(np.array([0, 2, 2, 3]), np.array([True, False, True])).tolist()
    [0, 1, 1, 2]
    """
    return np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)[offsets]


def ratio(numerator: Float, denominator: Float) -> Float:
    """Return the quotient; NaN where the denominator is not above 0.

    >>> ratio(np.array([1.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0])).tolist()
    [0.5, nan, nan]
    """
    quotient: Float = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return quotient
