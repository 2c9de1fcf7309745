"""What customers of an experiment did after its start, and before."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import customer_index
from crm_ml.errors import SchemaError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, days, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.history import History
from crm_ml.features.labels import labels_after

__all__ = ["OUTCOMES", "PRE_PERIOD", "experiment_outcomes"]

OUTCOMES = ("retained", "purchases", "spend")
PRE_PERIOD = ("pre_purchases", "pre_spend")

Floats = NDArray[np.float64]


def experiment_outcomes(
    log: CustomerLog, arms: pd.Series[str], *, start: Moment, horizon_days: float, pre_days: float | None = None
) -> pd.DataFrame:
    """Return what every customer of an experiment did in the window after its start and in the one before.

    All who were assigned are kept, whether or not they were reached: leaving out those who were not would compare
    other customers in one arm than in another. Who is not in the log bought nothing.

    Parameters
    ----------
    log : CustomerLog
        Read bucket by bucket, once.
    arms : Series
        The arm of each customer, indexed by customer_id; 17 and "17" are one customer. ``design.arm``.
    start : moment
        Outcomes are of ``start <= time < start + horizon_days``; one without a zone is UTC.
    horizon_days : float
        Length of the window of outcomes, above 0. It must have ended within the log.
    pre_days : float, optional
        Length of the window of covariates, ``start − pre_days <= time < start``; by default that of outcomes.

    Returns
    -------
    DataFrame
        Indexed by customer_id, as text, in the order of ``arms``: ``arm``; ``retained`` (1 where anything was bought,
        else 0: the complement of churn), ``purchases`` (distinct days with a purchase) and ``spend`` (net, currency);
        of the same kind ``pre_purchases`` and ``pre_spend``, which no event at or after the start can change.

    Raises
    ------
    SchemaError
        If the index is no key, an arm is missing, the window reaches past the log's end, or the log knows none of
        the customers.

    Examples
    --------
    >>> import crm_ml
    >>> arms = pd.Series(["control", "coupon"], index=["1", "2"], name="arm")
    >>> outcomes = experiment_outcomes(crm_ml.load_sample(), arms, start="2017-10-01", horizon_days=30)
    >>> outcomes[["retained", "purchases", "pre_purchases"]].to_numpy().tolist()
    [[1.0, 2.0, 7.0], [1.0, 2.0, 1.0]]
    """
    index = _customers(arms)
    begin, horizon = moment(start, name="start"), days(horizon_days, name="horizon_days")
    before = horizon if pre_days is None else days(pre_days, name="pre_days")
    if begin + horizon > moment(log.end):
        raise SchemaError(
            f"The window of outcomes must lie within the log, which ends {log.end}; it ends {stamp(begin + horizon)}.\n"
            "Wait, or shorten `horizon_days`."
        )
    counted, known = np.zeros((5, len(index))), 0
    for rows, columns in log.map(_Windows(index, begin, before, horizon), interactions=False):
        counted[:, rows] = columns
        known += len(rows)
    if known == 0:
        raise SchemaError(
            f"`arms` must be indexed by customers of the log; it knows none of {len(index):,}.\n"
            "Check that both name customers alike."
        )
    outcomes = pd.DataFrame(dict(zip((*OUTCOMES, *PRE_PERIOD), counted, strict=True)), index=index)
    outcomes.insert(0, "arm", arms.set_axis(index))
    return outcomes


class _Windows:
    """The kernel: both windows of a bucket's customers, by the labels of two cutoffs."""

    def __init__(self, index: pd.Index, begin: int, before: int, horizon: int) -> None:
        self.index = index
        self.cutoffs = np.array([begin - before, begin], dtype=np.int64)
        self.lengths_days = np.array([[before], [horizon]]) / DAY

    def __call__(self, bucket: Bucket) -> tuple[NDArray[np.intp], Floats]:
        rows = self.index.get_indexer(pd.Index(bucket.customer_id, dtype="str"))
        found = labels_after(History(bucket, self.cutoffs, np.full(2, np.nan)), horizon_days=self.lengths_days)
        bought, spend = found["purchase_days_ahead"], found["spend_ahead"]
        columns = np.stack([1.0 - found["churned"][1], bought[1], spend[1], bought[0], spend[0]])
        return rows[rows >= 0], columns[:, rows >= 0]


def _customers(arms: pd.Series[str]) -> pd.Index:
    """Return the customers' identifiers as the log knows them."""
    if missing := int(arms.isna().sum()):
        raise SchemaError(
            f"`arms` must name an arm for every customer; {missing:,} have none.\nDrop them or assign them."
        )
    return customer_index(arms, "arms")
