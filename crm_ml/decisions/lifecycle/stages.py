"""The stage of every customer at a moment, and month by month."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.decisions.history_frame import history_frame
from crm_ml.decisions.lifecycle.rules import LIFECYCLE_STAGES, Lifecycle
from crm_ml.decisions.lifecycle.sweep import Staged, stage_customers
from crm_ml.errors import SchemaError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment, moment, moments, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.stretch import population_gap_days
from crm_ml.features.panels.sweep import ROWS_PER_PART
from crm_ml.features.ragged import Float, Int

__all__ = ["lifecycle_history", "lifecycle_stages"]

Kept = TypeVar("Kept")

STAGE = pd.CategoricalDtype(list(LIFECYCLE_STAGES), ordered=True)


def lifecycle_stages(log: CustomerLog, *, as_of: Moment, rules: Lifecycle | None = None) -> pd.DataFrame:
    """Return the stage of every customer known at a moment, from events before it only.

    Parameters
    ----------
    log : the log.
    as_of : the moment; without a zone it is UTC.
    rules : ages and silences; by default those of ``Lifecycle()``.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order, everyone who bought or interacted before `as_of`:

        - ``stage``, an ordered categorical of `LIFECYCLE_STAGES`; prospects interacted and never bought;
        - ``age_days`` and ``silent_days``, days since the first and since the last purchase;
        - ``usual_gap_days``, see `crm_ml.features.IntervalStretch`;
        - ``woken``, whether a purchase within the last `woken_days` ended a silence of a dormant or churned
          customer, by the same rules as they stood just before it, with the usual gap of the purchases before it
          (and the population's of `as_of`), and the customer is not dormant or churned again;
        - ``slept_days``, how long the latest such silence was, missing unless woken.

        The numbers of prospects are missing. Whoever only returned goods, and did nothing else, is not known.

    Raises
    ------
    SchemaError
        Nobody is known before `as_of`.

    Examples
    --------
    >>> import crm_ml
    >>> stages = lifecycle_stages(crm_ml.load_sample(), as_of="2017-10-01")
    >>> stages["stage"].value_counts(sort=False).to_dict()
    {'prospect': 1, 'new': 16, 'growing': 101, 'mature': 2115, 'declining': 82, 'dormant': 132, 'churned': 0}
    """
    rules = rules or Lifecycle()
    cutoffs = np.array([moment(as_of)], dtype=np.int64)
    frame = pd.concat(_map(log, cutoffs, population_gap_days(log, cutoffs), rules, keep=_frame)).sort_index()
    if frame.empty:
        raise _nobody_known(log, cutoffs)
    return frame


def lifecycle_history(
    log: CustomerLog, *, cutoffs: Sequence[Moment] | pd.DatetimeIndex, rules: Lifecycle | None = None
) -> pd.DataFrame:
    """Return every customer's stage at several moments, each from events before it only.

    Parameters
    ----------
    log : the log.
    cutoffs : moments, such as those of `crm_ml.monthly_cutoffs`.
    rules : ages and silences; by default those of ``Lifecycle()``.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order, everyone known by the last cutoff, with one column per cutoff in order of
        time, named ``cutoff``: ordered categoricals of `LIFECYCLE_STAGES`, missing where a customer was not yet
        known. Each column holds what `lifecycle_stages` says of its moment.

    Raises
    ------
    SchemaError
        Cutoffs repeat or are missing, or nobody is known before the last.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> history = lifecycle_history(log, cutoffs=["2017-10-01", "2017-11-01"], rules=Lifecycle(basis="own"))
    >>> history.apply(lambda month: (month == "dormant").sum()).tolist()
    [207, 217]
    """
    rules = rules or Lifecycle()
    at = moments(cutoffs, name="cutoffs")
    gaps = population_gap_days(log, at) if rules.basis == "own" else np.full(len(at), np.nan)
    parts = _map(log, at, gaps, rules, keep=lambda part: (part.customer_id, part.stage))
    history, _ = history_frame(*zip(*parts, strict=True), dtype=STAGE, cutoffs=at)
    if history.empty:
        raise _nobody_known(log, at)
    return history


def _map(
    log: CustomerLog, cutoffs: Int, gaps: Float, rules: Lifecycle, *, keep: Callable[[Staged], Kept]
) -> list[Kept]:
    """Return what is kept of the stages of every bucket; only that stays in memory."""

    def kernel(bucket: Bucket) -> Kept:
        return keep(stage_customers(bucket, cutoffs, gaps, rules))

    at_most = max(1, ROWS_PER_PART // len(cutoffs))
    return list(log.map(kernel, at_most=at_most, interactions=log.n_interactions > 0))


def _frame(part: Staged) -> pd.DataFrame:
    known = part.stage[0] >= 0
    slept = part.slept_days[0, known]
    return pd.DataFrame(
        {
            "stage": _categorical(part.stage[0, known]),
            "age_days": part.age_days[0, known],
            "silent_days": part.silent_days[0, known],
            "usual_gap_days": part.usual_gap_days[0, known],
            "woken": ~np.isnan(slept),
            "slept_days": slept,
        },
        index=pd.Index(part.customer_id[known], name="customer_id", dtype="str"),
    )


def _categorical(codes: npt.NDArray[np.int8]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, dtype=STAGE)


def _nobody_known(log: CustomerLog, cutoffs: Int) -> SchemaError:
    return SchemaError(
        f"Lifecycle stages need a purchase or an interaction before {stamp(cutoffs[-1])}; the log begins {log.first}.\n"
        "Choose a later moment."
    )
