"""Actual against expected repeat purchases over time, as in Fader, Hardie and Lee (2005), figure 4."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_ml.clv.model import CLVModel
from crm_ml.errors import NotFittedError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, moment, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.past import Past
from crm_ml.features.ragged import Int

__all__ = ["weekly_purchases"]


def weekly_purchases(log: CustomerLog, model: CLVModel, *, as_of: Moment) -> pd.DataFrame:
    """Return repeat purchases per week, actual and expected, of the customers the model was fitted on.

    The expectation knows only when each customer first bought; the weeks after the model's
    `fitted_as_of_` are out of time.

    Parameters
    ----------
    log : the log the model was fitted on.
    model : a model fitted on a log.
    as_of : the last full week ends at or before it.

    Returns
    -------
    DataFrame
        Indexed by the week's first day (UTC): ``actual`` and ``expected`` repeat purchase days.

    Raises
    ------
    NotFittedError
        The model was not fitted on a log.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> weeks = weekly_purchases(log, crm_ml.CLVModel().fit(log, as_of="2017-10-01"), as_of="2018-01-01")
    >>> len(weeks), weeks.columns.tolist()
    (52, ['actual', 'expected'])
    """
    fitted_as_of = getattr(model, "fitted_as_of_", None)
    if fitted_as_of is None:
        raise NotFittedError("Tracking needs a model fitted on a log.\nCall fit(log, as_of=...).")
    known, end = moment(fitted_as_of), moment(as_of)

    def days_of(bucket: Bucket) -> tuple[Int, Int]:
        days = Past(bucket, end).purchase_days
        born = days.day[days.offsets[:-1][np.diff(days.offsets) > 0]]
        birth = np.repeat(born, np.diff(days.offsets)[np.diff(days.offsets) > 0])
        early = birth * DAY < known
        return born[born * DAY < known], days.day[early & (days.day > birth)]

    parts = list(log.map(days_of))
    born = np.concatenate([part[0] for part in parts])
    repeats = np.concatenate([part[1] for part in parts])
    edges = np.arange(born.min(), end // DAY + 1, 7)
    expected = model.expected_repeat_purchases(edges[0] - born, edges - edges[0])
    actual, _ = np.histogram(repeats, bins=edges)
    return pd.DataFrame(
        {"actual": actual.astype(float), "expected": np.diff(expected)},
        index=stamps(edges[:-1] * DAY).rename("week"),
    )
