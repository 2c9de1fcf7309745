"""Splits by time, with the label window purged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY, Moment, days, moment, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.feature_set import Features, FeatureSet
from crm_ml.features.panels.panel import build_panel, longest_horizon

__all__ = ["TrainingDesign", "known_by", "labels_known_by"]


@dataclass(frozen=True)
class TrainingDesign:
    """Which past cutoffs a predictor learns from.

    Parameters
    ----------
    horizon_days : length of the label window, or a `crm_ml.features.PersonalHorizon`.
    lookback_days : customers who bought within so many days before a cutoff; None means all who ever bought.
    n_cutoffs : cutoffs to learn from, at most.
    step_days : days between them.
    history_days : days of the log before the oldest cutoff, at least.
    """

    horizon_days: Horizon = 30
    lookback_days: float | None = 180
    n_cutoffs: int = 12
    step_days: float = 15
    history_days: float = 90

    def cutoffs(self, log: CustomerLog, *, as_of: Moment) -> pd.DatetimeIndex:
        """Return the latest cutoffs whose labels are known by `as_of`, evenly spaced, oldest first.

        Raises
        ------
        SchemaError
            The log is too short for a single cutoff.
        """
        if self.n_cutoffs < 1:
            raise SchemaError(out_of_range("n_cutoffs", self.n_cutoffs, "be at least 1"))
        latest = moment(as_of) - longest_horizon(self.horizon_days)
        found = latest - days(self.step_days, name="step_days") * np.arange(self.n_cutoffs)[::-1]
        found = found[found >= moment(log.first) + round(self.history_days * DAY)]
        if len(found) == 0:
            raise SchemaError(
                f"Training needs {self.history_days:g} days of history and a label window of "
                f"{longest_horizon(self.horizon_days) / DAY:g} days before `as_of` {stamp(moment(as_of))}; "
                f"the log begins {log.first}.\nUse a later `as_of`, more of the past, or a shorter horizon."
            )
        return stamps(found)

    def feature_set(self, log: CustomerLog, *, as_of: Moment, features: Features) -> FeatureSet:
        """Return the features that are known at the oldest cutoff."""
        return FeatureSet.settle(features, log, first_cutoff=self.cutoffs(log, as_of=as_of)[0])

    def panel(self, log: CustomerLog, *, as_of: Moment, features: Features) -> pd.DataFrame:
        """Return the panel of features and labels to learn from; see `crm_ml.build_panel`."""
        return build_panel(
            log,
            cutoffs=self.cutoffs(log, as_of=as_of),
            horizon_days=self.horizon_days,
            lookback_days=self.lookback_days,
            features=features,
        )

    def check_horizon(self, horizon_days: Horizon) -> None:
        """Refuse a horizon that was not trained for."""
        if horizon_days != self.horizon_days:
            rule = f"be the horizon trained for, {self.horizon_days}"
            raise SchemaError(out_of_range("horizon_days", horizon_days, rule))


def labels_known_by(panel: pd.DataFrame, when: Moment, *, embargo_days: float = 0) -> pd.DataFrame:
    """Return the panel's rows whose label window ends at or before a moment.

    Parameters
    ----------
    panel : frame with a column ``label_end``.
    when : the moment, such as the cutoff of the rows one wants to predict.
    embargo_days : days that must lie between, at least.
    """
    return panel[known_by(panel["label_end"], when, embargo_days=embargo_days)]


def known_by(label_end: pd.Series, when: Moment, *, embargo_days: float) -> npt.NDArray[np.bool_]:
    """Return which labels end, embargo included, at or before a moment."""
    latest = stamp(moment(when, name="when") - round(embargo_days * DAY))
    known: npt.NDArray[np.bool_] = (label_end <= latest).to_numpy()
    return known
