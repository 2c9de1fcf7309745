"""Actual against expected repeat purchases over time, as in Fader, Hardie and Lee (2005), figure 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.summary import days_per_unit
from crm_ml.errors import NotFittedError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, moment, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.past import Past
from crm_ml.features.ragged import Int

if TYPE_CHECKING:
    from crm_ml.clv.model import CLVModel

__all__ = ["expected_repeat_purchases", "repeat_purchase_days", "weekly_purchases"]


def weekly_purchases(
    log: CustomerLog, model: CLVModel | PurchaseProcess, *, as_of: Moment, fitted_as_of: Moment | None = None
) -> pd.DataFrame:
    """Return repeat purchases per week, actual and expected, of the customers the model was fitted on.

    The expectation knows only when each customer first bought; the weeks after the fit are out of time.

    Parameters
    ----------
    log : the log the model was fitted on.
    model : a model fitted on a log, or a fitted purchase process.
    as_of : the last full week ends at or before it.
    fitted_as_of : the moment at or after which a purchase process saw nothing; a `CLVModel` knows its own.

    Returns
    -------
    DataFrame
        Indexed by the week's first day (UTC): ``actual`` and ``expected`` repeat purchase days.

    Raises
    ------
    NotFittedError
        It is not known up to when the model was fitted.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> weeks = weekly_purchases(log, crm_ml.CLVModel().fit(log, as_of="2017-10-01"), as_of="2018-01-01")
    >>> len(weeks), weeks.columns.tolist()
    (52, ['actual', 'expected'])
    """
    fitted_as_of = getattr(model, "fitted_as_of_", fitted_as_of)
    if fitted_as_of is None:
        raise NotFittedError(
            "Tracking needs to know up to when the model was fitted.\n"
            "Call fit(log, as_of=...) of a CLVModel, or pass fitted_as_of with a purchase process."
        )
    known, end = moment(fitted_as_of), moment(as_of)

    born, repeats = repeat_purchase_days(log, known_before=known, until=end)
    edges = np.arange(born.min(), end // DAY + 1, 7)
    births, days = edges[0] - born, edges - edges[0]
    if isinstance(model, PurchaseProcess):
        expected = expected_repeat_purchases(model, births, days)
    else:
        expected = model.expected_repeat_purchases(births, days)
    actual, _ = np.histogram(repeats, bins=edges)
    return pd.DataFrame(
        {"actual": actual.astype(float), "expected": np.diff(expected)},
        index=stamps(edges[:-1] * DAY).rename("week"),
    )


def repeat_purchase_days(log: CustomerLog, *, known_before: int, until: int) -> tuple[Int, Int]:
    """Return when customers first bought and when they bought again.

    Parameters
    ----------
    log : the log.
    known_before : microseconds; customers who bought before it count.
    until : microseconds; purchases before it count.

    Returns
    -------
    tuple of two int64 arrays, days since 1970
        (n_customers,) first purchases; (n_repeats,) repeat purchase days of all of them.
    """

    def days_of(bucket: Bucket) -> tuple[Int, Int]:
        days = Past(bucket, until).purchase_days
        born = days.day[days.offsets[:-1][np.diff(days.offsets) > 0]]
        birth = np.repeat(born, np.diff(days.offsets)[np.diff(days.offsets) > 0])
        early = birth * DAY < known_before
        return born[born * DAY < known_before], days.day[early & (days.day > birth)]

    parts = list(log.map(days_of))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def expected_repeat_purchases(
    process: PurchaseProcess, birth_days_before: ArrayLike, days: ArrayLike
) -> NDArray[np.float64]:
    """Return the expected cumulative repeat purchases of a whole base of which only the births are known.

    Parameters
    ----------
    process : a fitted purchase process in days or weeks.
    birth_days_before : array_like of shape (n_customers,)
        Days from each first purchase to a common reference moment; negative after it.
    days : array_like of shape (n_times,)
        Moments to evaluate, in days after the reference moment; negative before it.

    Returns
    -------
    ndarray of shape (n_times,)

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5], "recency": [0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 36.0, 31.0, 33.0]})
    >>> process = BetaGeoModel(time_unit="W").fit(rfm, weights=[500, 200, 90, 20])
    >>> expected_repeat_purchases(process, [0, 7], [0, 7, 14]).round(3).tolist()
    [0.043, 0.125, 0.198]
    """
    births, customers = np.unique(np.asarray(birth_days_before, dtype=float), return_counts=True)
    ages = np.maximum(births[None, :] + np.asarray(days, dtype=float)[:, None], 0.0)
    distinct, member = np.unique(ages, return_inverse=True)
    per_customer = process.expected_purchases_new_customer(distinct / days_per_unit(process.time_unit_))
    return np.asarray((per_customer[member.reshape(ages.shape)] * customers).sum(axis=1))
