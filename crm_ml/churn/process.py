"""The purchase process beside the trees: how likely silence is for buyers of this frequency and recency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from crm_ml.clv import ModifiedBetaGeoModel
from crm_ml.clv.processes import bg_nbd
from crm_ml.errors import CrmError
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import FREQUENCY
from crm_ml.features.builders.words import duration, percent, together
from crm_ml.features.feature import Feature
from crm_ml.features.panels.sweep import Sweep
from crm_ml.features.ragged import Float

__all__ = ["HISTORY", "Process", "fit_processes", "process_feature", "silence_log_odds"]

HISTORY = ("frequency", "recency_days", "tenure_days")
"""The features of `crm_ml.features.RFM` that a purchase process looks at."""

Process = ModifiedBetaGeoModel

SURE = 1e-9


def fit_processes(log: CustomerLog, cutoffs: Sequence[int]) -> list[Process | None]:
    """Fit a process at each cutoff on all customers' purchases before it; None where that is too little to fit.

    Parameters
    ----------
    cutoffs : microseconds since 1970 UTC, ascending.
    """
    positions, histories = [], []
    for part in Sweep.of(log, cutoffs, features=list(HISTORY)).parts(log):
        positions.append(part.positions)
        histories.append(np.column_stack([part.columns[name] for name in HISTORY]).astype(np.float32))
    at, history = np.concatenate(positions), np.concatenate(histories)
    return [_fitted(history[at == place]) for place in range(len(cutoffs))]


def silence_log_odds(process: Process, history: npt.NDArray[Any], begin_days: float, end_days: float | Float) -> Float:
    """Return the log odds of no purchase from begin to end of a window, given none before it.

    Parameters
    ----------
    process : fitted on days.
    history : (n, 3) the features `HISTORY`.
    begin_days, end_days : after the cutoff; the end may be each customer's own, (n,).
    """
    x, t_x, T = (column.to_numpy() for _, column in _summary(history).items())
    fitted: dict[str, Any] = dict(process.params_)
    silent: Float = bg_nbd.probability_no_purchase(end_days, x, t_x, T, modified=True, **fitted)
    if begin_days > 0:
        silent = silent / bg_nbd.probability_no_purchase(begin_days, x, t_x, T, modified=True, **fitted)
    odds: Float = logit(np.clip(silent, SURE, 1 - SURE))
    return odds


def process_feature(horizon_days: float) -> Feature:
    """Return the documentation of the purchase process's log odds of no purchase in the horizon.

    >>> told = process_feature(30).say({"process_log_odds": 0.62, "frequency": 3, "recency_days": 43.2})
    >>> told
    'bought on 4 days, the last 43 days ago: by that alone 65% likely to buy nothing in 30 days'
    """

    def say(log_odds: float, row: Mapping[str, float]) -> str:
        ahead = duration(row.get("personal_horizon_days", horizon_days))
        likely = f"{percent(float(expit(log_odds)))} likely to buy nothing in {ahead}"
        known = together(row, FREQUENCY.name, "recency_days")
        if known is None:
            return f"by past purchases alone {likely}"
        return f"{FREQUENCY.say(row)}, the last {duration(known[1])} ago: by that alone {likely}"

    formula = "log odds of no purchase in the horizon under MBG/NBD, fitted on all purchases before the cutoff"
    unknown = "too few purchases before the cutoff to fit it"
    return Feature("process_log_odds", "log odds", formula, "any", unknown, 1, theme="past purchases", words=say)


def _fitted(history: npt.NDArray[Any]) -> Process | None:
    try:
        return ModifiedBetaGeoModel().fit(_summary(history).assign(monetary_value=0.0))
    except CrmError:
        return None


def _summary(history: npt.NDArray[Any]) -> pd.DataFrame:
    """Return frequency, recency and T, in whole days back from the cutoff.

    At a cutoff at midnight these are the days of `crm_ml.clv.rfm_summary`. At another, days begin at its hour.
    """
    x, since_last, since_first = history.astype(np.float64).T
    recency = np.ceil(since_first) - np.ceil(since_last)
    recency = np.where(x > 0, np.maximum(recency, 1.0), 0.0)
    return pd.DataFrame({"frequency": x, "recency": recency, "T": np.maximum(np.ceil(since_first) - 1.0, recency)})
