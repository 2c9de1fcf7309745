"""What a marketer or data scientist would use instead, under the backtest's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from crm_ml.clv import BetaGeoModel
from crm_ml.clv.summary import rfm_summary
from crm_ml.evaluation.splits import TrainingDesign
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import RFM
from crm_ml.features.panels.panel import build_features

__all__ = ["LogisticBaseline", "PurchaseProcessBaseline"]


class LogisticBaseline:
    """Logistic regression on logarithms of a few features, trained on the same cutoffs as the churn model.

    Parameters
    ----------
    columns : features of `crm_ml.features.RFM`; with recency alone this is the marketer's rule of thumb,
        given a probability.
    design : the cutoffs to learn from.
    """

    def __init__(
        self,
        columns: Sequence[str] = ("recency_days", "frequency", "monetary", "tenure_days"),
        *,
        design: TrainingDesign,
    ) -> None:
        self.columns = columns
        self.design = design

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Learn from events before `as_of`."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        panel = self.design.panel(log, as_of=as_of, features=[RFM()])
        self.model_ = make_pipeline(StandardScaler(), LogisticRegression())
        self.model_.fit(self._logs(panel), panel["churned"].to_numpy())
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the churn probability of everyone who bought before `as_of`."""
        self.design.check_horizon(horizon_days)
        features = build_features(log, as_of=as_of, features=[RFM()])
        return pd.Series(self.model_.predict_proba(self._logs(features))[:, 1], index=features.index)

    def _logs(self, features: pd.DataFrame) -> Any:
        return np.log1p(features[list(self.columns)].clip(lower=0).to_numpy())


class PurchaseProcessBaseline:
    """The probability of no purchase in the horizon under BG/NBD, fitted on purchases before the cutoff."""

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Fit by maximum likelihood on the log before `as_of`."""
        self.model_ = BetaGeoModel().fit(rfm_summary(log, as_of=as_of))
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return P(no purchase in the horizon) of everyone who bought before `as_of`."""
        return self.model_.probability_no_purchase(rfm_summary(log, as_of=as_of), horizon_days)
