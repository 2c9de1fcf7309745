"""One customer's purchases, and the probability of being alive day by day."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.clv.summary import days_per_unit
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY, Moment, moment, stamps

__all__ = ["alive_history"]


def alive_history(purchase_days: Iterable[Moment], model: PurchaseProcess, *, until: Moment) -> pd.DataFrame:
    """Return one customer's P(alive) on each day, given the purchases up to and on that day.

    Parameters
    ----------
    purchase_days : iterable of date-like
        When the customer bought, in any order; purchases of one day (UTC) are one, those after ``until``
        do not count.
    model : a fitted purchase process in days or weeks.
    until : the last day.

    Returns
    -------
    DataFrame
        Indexed by ``day`` (UTC), from the first purchase to ``until``: ``purchased`` (bool) and
        ``probability_alive``.

    Raises
    ------
    SchemaError
        There is no purchase up to ``until``.

    Examples
    --------
    >>> from crm_ml.clv import ModifiedBetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5], "recency": [0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 36.0, 31.0, 33.0]})
    >>> model = ModifiedBetaGeoModel(time_unit="W").fit(rfm, weights=[500, 200, 90, 20])
    >>> path = alive_history(["2024-01-01", "2024-01-05"], model, until="2024-03-01")
    >>> path["probability_alive"].iloc[[0, 3, 4, 60]].round(3).tolist()
    [0.368, 0.354, 0.412, 0.189]
    """
    check_fitted(model, "params_")
    last = moment(until, name="until") // DAY
    bought = np.unique([moment(when, name="purchase_days") // DAY for when in purchase_days]).astype(np.int64)
    bought = bought[bought <= last]
    if len(bought) == 0:
        raise SchemaError(out_of_range("until", until, "be on or after the customer's first purchase"))
    days = np.arange(bought[0], last + 1)
    repeats = np.searchsorted(bought, days, side="right") - 1
    per_unit = days_per_unit(model.time_unit_)
    histories = pd.DataFrame(
        {
            "frequency": repeats,
            "recency": (bought[repeats] - bought[0]) / per_unit,
            "T": (days - bought[0]) / per_unit,
        },
        index=stamps(days * DAY).rename("day"),
    )
    return pd.DataFrame({"purchased": np.isin(days, bought), "probability_alive": model.probability_alive(histories)})
