"""Windows of a log's past that stand in for its future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.summary import TimeUnit, days_per_unit, rfm_summary
from crm_ml.events.clock import DAY, Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import build_panel

__all__ = ["LONGEST_DAYS", "SHORTEST_DAYS", "Holdout", "holdouts"]

SHORTEST_DAYS, LONGEST_DAYS = 28, 182
"""A holdout is as long as a third of the history, within these bounds; a shorter history has none."""

LARGEST = 20_000
"""Customers judged per holdout, at most: more would not change a choice between processes."""


@dataclass(frozen=True)
class Holdout:
    """Histories as they were known at an origin, and the purchases that followed.

    Attributes
    ----------
    origin : the histories hold nothing at or after it.
    horizon_days : length of the window that begins there.
    rfm : frame of `crm_ml.clv.rfm_summary`, with ``sum_log_gaps``.
    purchases : ndarray of shape (n_customers,), purchase days within the window.
    horizon : its length in the unit of `rfm`.
    """

    origin: pd.Timestamp
    horizon_days: int
    rfm: pd.DataFrame
    purchases: NDArray[np.float64]
    horizon: float


def holdouts(log: CustomerLog, rfm: pd.DataFrame, *, as_of: Moment, time_unit: TimeUnit) -> list[Holdout]:
    """Return the two latest windows before `as_of` that follow one another, the earlier one first.

    Parameters
    ----------
    log : the log.
    rfm : its summary as of `as_of`.
    as_of : nothing at or after it is used.
    time_unit : of the summary.

    Returns
    -------
    list of Holdout
        Empty if a third of the history is shorter than `SHORTEST_DAYS`.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> found = holdouts(log, rfm_summary(log, as_of="2017-10-01"), as_of="2017-10-01", time_unit="D")
    >>> [(window.origin.strftime("%Y-%m-%d"), window.horizon_days) for window in found]
    [('2017-04-04', 90), ('2017-07-03', 90)]
    """
    end = min(moment(as_of), moment(log.end))
    history = rfm["T"].max() * days_per_unit(time_unit) - (moment(as_of) - end) / DAY
    horizon = int(min(history // 3, LONGEST_DAYS))
    if horizon < SHORTEST_DAYS:
        return []
    return [_holdout(log, end - back * horizon * DAY, horizon, time_unit) for back in (2, 1)]


def _holdout(log: CustomerLog, origin: int, horizon_days: int, time_unit: TimeUnit) -> Holdout:
    at = stamp(origin)
    rfm = rfm_summary(log, as_of=at, time_unit=time_unit, sum_log_gaps=True)
    if len(rfm) > LARGEST:
        rfm = rfm.sample(LARGEST, random_state=0).sort_index()
    ahead = build_panel(log, cutoffs=[at], horizon_days=horizon_days, features=()).droplevel("cutoff")
    purchases = ahead["purchase_days_ahead"].loc[rfm.index].to_numpy()
    return Holdout(at, horizon_days, rfm, purchases, horizon_days / days_per_unit(time_unit))
