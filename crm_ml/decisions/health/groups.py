"""Which segment each customer counts under in a month, and what each is worth and has cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.decisions.columns import check_rows, customer_index
from crm_ml.decisions.health.months import Months
from crm_ml.errors import CrmError, SchemaError, out_of_range
from crm_ml.events.clock import moment
from crm_ml.features.ragged import Float

__all__ = ["ALL", "NO_SEGMENT", "Groups", "Worth"]

ALL, NO_SEGMENT = "all", "no segment"

Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Groups:
    """The segments that customers hold at the start of each of m months.

    Attributes
    ----------
    names : of the segments, best first, then `NO_SEGMENT`.
    index : customers.
    codes : for each month the position in `names` of each customer, −1 for none; None where the month's
        start is not among the cutoffs of the segments.
    """

    names: tuple[str, ...]
    index: pd.Index
    codes: tuple[npt.NDArray[np.signedinteger[Any]] | None, ...]

    @classmethod
    def of(cls, segments: pd.DataFrame | None, months: Months) -> Self:
        """Read a segment history.

        Raises
        ------
        SchemaError
            The index is no key, the columns are not categoricals of the same segments, no column is of a
            month's start, or a segment has the name of a group of ours.
        """
        if segments is None:
            return cls((NO_SEGMENT,), pd.Index([], dtype="str"), (None,) * len(months))
        index = customer_index(segments, "segments")
        kinds = set(segments.dtypes)
        if len(kinds) != 1 or not isinstance(kind := kinds.pop(), pd.CategoricalDtype):
            raise SchemaError(
                f"every column of `segments` must be a categorical of the same segments; they are "
                f"{sorted({str(kind) for kind in segments.dtypes})}.\nTake a segment history as it was made."
            )
        names = [str(name) for name in kind.categories]
        if taken := sorted({ALL, NO_SEGMENT} & set(names)):
            raise SchemaError(f"a segment must not be called {taken[0]!r}, the name of a group.\nRename it.")
        found = _columns_at(segments, months.starts, lambda column: column.array.codes)
        if not any(codes is not None for codes in found):
            starts, columns = ([str(when) for when in at[:3]] for at in (months.starts, segments.columns))
            raise SchemaError(
                f"`segments` must have a column at the start of one of the months, such as {starts}; its first are "
                f"{columns}.\nMake the history at the same cutoffs."
            )
        return cls((*names, NO_SEGMENT), index, tuple(found))

    def of_customers(self, customers: npt.NDArray[np.object_]) -> Codes:
        """Return the (m, n) positions in `names` of n customers; they have none where nothing is known."""
        found = np.full((len(self.codes), len(customers)), len(self.names) - 1, dtype=np.int16)
        rows = self.index.get_indexer(pd.Index(customers, dtype="str"))
        known = np.flatnonzero(rows >= 0)
        for month, codes in zip(found, self.codes, strict=True):
            if codes is not None:
                held = codes[rows[known]]
                month[known[held >= 0]] = held[held >= 0]
        return found


@dataclass(frozen=True)
class Worth:
    """What customers were expected to bring at the end of each of m months, and what they cost to acquire.

    Attributes
    ----------
    index : customers.
    clv : for each month the value of each customer, NaN where unknown; None where none is known.
    cost : of each customer, NaN where unknown.
    """

    index: pd.Index
    clv: tuple[Float | None, ...]
    cost: Float

    @classmethod
    def of(
        cls, clv: pd.Series[float] | pd.DataFrame | None, cost: float | pd.Series[float] | None, months: Months
    ) -> Self | None:
        """Read values and costs; None where neither is given.

        Raises
        ------
        CrmError
            Only one of them is given, or a single cost is not above 0 and finite.
        SchemaError
            An index is no key, a value is infinite, a cost below 0 or infinite, or no value is of a month's end.
        """
        if clv is None and cost is None:
            return None
        if clv is None or cost is None:
            absent, given = ("clv", "acquisition_cost") if clv is None else ("acquisition_cost", "clv")
            raise CrmError(f"`{absent}` must be given with `{given}`; it is not.\nGive both, or neither.")
        index = customer_index(clv, "clv")
        values = clv.to_frame(months.ends[-1]) if isinstance(clv, pd.Series) else clv
        found = _columns_at(values, months.ends, lambda column: _numbers(column, "clv"))
        if not any(column is not None for column in found):
            raise SchemaError(
                f"`clv` must have a column at the end of one of the months, the last of which is {months.ends[-1]}; "
                f"its first are {[str(when) for when in values.columns[:3]]}.\nValue the customers at the same cutoffs."
            )
        return cls(index, tuple(found), _costs(cost, index))

    def of_customers(self, customers: npt.NDArray[np.object_]) -> Float:
        """Return the (m + 1, n) values of n customers, and last their cost; NaN where unknown."""
        found = np.full((len(self.clv) + 1, len(customers)), np.nan)
        rows = self.index.get_indexer(pd.Index(customers, dtype="str"))
        known = rows >= 0
        for row, values in zip(found, (*self.clv, self.cost), strict=True):
            if values is not None:
                row[known] = values[rows[known]]
        return found


def _columns_at(
    frame: pd.DataFrame, moments: pd.DatetimeIndex, read: Callable[[pd.Series[Any]], npt.NDArray[Any]]
) -> Sequence[npt.NDArray[Any] | None]:
    """Return what is read of the columns of some moments; None where a moment has no column."""
    places = {moment(when, name="cutoff"): place for place, when in enumerate(frame.columns)}
    found = [places.get(moment(when)) for when in moments]
    return [None if place is None else read(frame.iloc[:, place]) for place in found]


def _costs(cost: float | pd.Series[float], index: pd.Index) -> Float:
    if isinstance(cost, pd.Series):
        own = customer_index(cost, "acquisition_cost")
        values = _numbers(cost, "acquisition_cost")
        check_rows(~(values < 0), "`acquisition_cost` must be at least 0.")
        return np.asarray(pd.Series(values, index=own).reindex(index), dtype=np.float64)
    if not (np.isfinite(cost) and cost > 0):
        raise CrmError(out_of_range("acquisition_cost", cost, "be above 0 and finite, or a Series by customer_id"))
    return np.full(len(index), float(cost))


def _numbers(column: pd.Series[Any], name: str) -> Float:
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"`{name}` must be numeric; it is {column.dtype}.\nConvert it first.") from error
    check_rows(~np.isinf(values), f"`{name}` must be finite or missing.")
    return values
