"""Moments as the kernels know them: integer microseconds since 1970-01-01 in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range

__all__ = ["DAY", "Moment", "days", "midnight_after", "moment", "moments", "stamp", "stamps"]

Moment = str | dt.date | pd.Timestamp | np.datetime64

DAY = 86_400_000_000
"""Microseconds in a day."""


def moment(when: Moment, *, name: str = "as_of") -> int:
    """Return a moment as microseconds since 1970-01-01 UTC; one without a zone is read as UTC.

    >>> moment("2017-10-01")
    1506816000000000
    >>> moment("2017-10-01T02:00+02:00") == moment("2017-10-01")
    True
    """
    try:
        parsed = pd.NaT if isinstance(when, Real) else pd.Timestamp(when)
    except (ValueError, TypeError) as error:
        raise SchemaError(out_of_range(name, when, "be a date or a date and time")) from error
    if pd.isna(parsed):
        raise SchemaError(out_of_range(name, when, "be a date or a date and time"))
    parsed = parsed.tz_localize("UTC") if parsed.tz is None else parsed.tz_convert("UTC")
    return int(parsed.as_unit("us").asm8.view(np.int64))


def moments(when: Sequence[Moment] | pd.DatetimeIndex, *, name: str) -> npt.NDArray[np.int64]:
    """Return one or more different moments in order.

    >>> (moments(["2017-10-02", "2017-10-01"], name="cutoffs") - moment("2017-10-01")).tolist() == [0, DAY]
    True
    """
    at = sorted({moment(cutoff, name=name) for cutoff in when})
    if len(at) != len(when) or not at:
        raise SchemaError(out_of_range(name, list(when), "be one or more different moments"))
    return np.array(at, dtype=np.int64)


def stamp(microseconds: int) -> pd.Timestamp:
    """Return a moment as a UTC timestamp.

    >>> stamp(1506816000000000)
    Timestamp('2017-10-01 00:00:00+0000', tz='UTC')
    """
    return pd.Timestamp(int(microseconds), unit="us", tz="UTC").as_unit("us")


def stamps(microseconds: npt.NDArray[np.int64]) -> pd.DatetimeIndex:
    """Return moments as UTC timestamps."""
    return pd.DatetimeIndex(microseconds.astype("datetime64[us]")).tz_localize("UTC")


def days(count: float, *, name: str) -> int:
    """Return a positive number of days in microseconds.

    >>> days(30, name="horizon_days") == 30 * DAY
    True
    """
    if not np.isfinite(count) or count <= 0:
        raise SchemaError(out_of_range(name, count, "be a positive number of days"))
    return round(count * DAY)


def midnight_after(microseconds: int) -> int:
    """Return the first midnight UTC strictly after a moment."""
    return (microseconds // DAY + 1) * DAY
