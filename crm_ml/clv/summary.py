"""From the log to the frame that the purchase-process and spend models are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import PurchaseRegularity, PurchaseSummary
from crm_ml.features.feature import FeatureBuilder
from crm_ml.features.panels.panel import build_features, iter_features

__all__ = ["TimeUnit", "days_per_unit", "in_units", "rfm_summary"]

TimeUnit = Literal["D", "W"]

DAYS_PER_UNIT: dict[TimeUnit, float] = {"D": 1.0, "W": 7.0}


def rfm_summary(
    log: CustomerLog, *, as_of: Moment, time_unit: TimeUnit = "D", sum_log_gaps: bool = False
) -> pd.DataFrame:
    """Return each customer's frequency, recency, T and monetary value before `as_of`.

    Purchases of one day (UTC) are one purchase, in either unit: weeks are days divided by seven, as in
    Fader, Hardie and Lee (2005), not calendar weeks.

    Parameters
    ----------
    log : the log.
    as_of : only events before it count; T runs to the last day before it.
    time_unit : "D" for days or "W" for weeks.
    sum_log_gaps : whether to add the column of that name, from which the models of regular purchases
        estimate their regularity: the sum of the logarithms of the gaps between purchase days.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order: ``frequency`` (repeat purchase days), ``recency`` and ``T`` (time
        units), ``monetary_value`` (currency; mean net spend of repeat purchase days, 0 without any), and
        ``sum_log_gaps`` (of gaps in time units, 0 without any) where asked for.

    Examples
    --------
    >>> import crm_ml
    >>> rfm_summary(crm_ml.load_sample(), as_of="2017-10-01").loc["1"].round(2).tolist()
    [33.0, 264.0, 266.0, 52.21]
    """
    return in_units(build_features(log, as_of=as_of, features=_builders(sum_log_gaps)), time_unit)


def iter_rfm_summary(
    log: CustomerLog, *, as_of: Moment, time_unit: TimeUnit = "D", sum_log_gaps: bool = False
) -> Iterator[pd.DataFrame]:
    """Yield the frame of `rfm_summary` bucket by bucket, for logs that do not fit in memory."""
    for summary in iter_features(log, as_of=as_of, features=_builders(sum_log_gaps)):
        yield in_units(summary, time_unit)


def in_units(summary: pd.DataFrame, time_unit: TimeUnit) -> pd.DataFrame:
    """Return the frame of a `PurchaseSummary`, which is in days, in another unit of time.

    Raises
    ------
    SchemaError
        If the unit is unknown.
    """
    per_unit = days_per_unit(time_unit)
    summary = summary.assign(recency=summary["recency"] / per_unit, T=summary["T"] / per_unit)
    if "sum_log_gaps" in summary:
        summary["sum_log_gaps"] -= summary["frequency"] * np.log(per_unit)
    return summary


def days_per_unit(time_unit: TimeUnit) -> float:
    """Days in a unit of time.

    Examples
    --------
    >>> days_per_unit("W")
    7.0

    Raises
    ------
    SchemaError
        If the unit is unknown.
    """
    if time_unit not in DAYS_PER_UNIT:
        raise SchemaError(out_of_range("time_unit", time_unit, f"be one of {list(DAYS_PER_UNIT)}"))
    return DAYS_PER_UNIT[time_unit]


def _builders(sum_log_gaps: bool) -> list[FeatureBuilder]:
    return [PurchaseSummary(), PurchaseRegularity()] if sum_log_gaps else [PurchaseSummary()]
