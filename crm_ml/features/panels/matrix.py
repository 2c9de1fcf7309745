"""A panel as arrays to learn from: half the memory of a frame, and no index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.feature_set import Features, FeatureSet
from crm_ml.features.labels import label_ends
from crm_ml.features.panels.panel import in_panel_order, nobody_eligible, panel_sweep
from crm_ml.features.ragged import Float, Int

__all__ = ["PanelMatrix", "panel_matrix"]


@dataclass(frozen=True)
class PanelMatrix:
    """The rows of `crm_ml.build_panel`, in its order.

    Attributes
    ----------
    columns : names of the p features.
    features : (n, p) float32, which is what XGBoost keeps; NaN where missing.
    customer : (n,) int64, a number per customer, in the order of their identifiers.
    cutoff, label_end : (n,) int64, microseconds since 1970 UTC.
    horizon_days : (n,) float64.
    churned : (n,) float64, 1 or 0.
    """

    columns: tuple[str, ...]
    features: npt.NDArray[np.float32]
    customer: Int
    cutoff: Int
    label_end: Int
    horizon_days: Float
    churned: Float


def panel_matrix(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None,
    features: Features,
    spare_columns: int = 0,
) -> PanelMatrix:
    """Return a panel as arrays; parameters are those of `crm_ml.build_panel`.

    The log is swept twice, for the order of the rows and to fill them in, so that they are there once only.

    Parameters
    ----------
    spare_columns : columns of NaN to the right of the features, for the caller to fill.
    """
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    labelled, filling = replace(sweep, features=FeatureSet((), ())), replace(sweep, horizon_days=None)
    parts = [part for part in labelled.parts(log) if len(part.customers)]
    if not parts:
        raise nobody_eligible(sweep)
    _, who, at, order = in_panel_order(parts)
    horizon, churned = (
        np.concatenate([part.columns[name] for part in parts])[order] for name in ("horizon_days", "churned")
    )
    del parts
    names = sweep.features.columns
    matrix = np.full((len(order), len(names) + spare_columns), np.nan, dtype=np.float32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    begin = 0
    for part in filling.parts(log) if names else ():
        end = begin + len(part.customers)
        rows = [part.columns[name].astype(np.float32) for name in names]
        matrix[place[begin:end], : len(names)] = np.column_stack(rows)
        begin = end
    cutoff = sweep.cutoffs[at[order]]
    return PanelMatrix(names, matrix, who[order], cutoff, label_ends(cutoff, horizon), horizon, churned)
