"""What a data scientist would train in place of the churn model, under the backtest's protocol."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

import crm_ml
from crm_ml.evaluation import TrainingDesign
from crm_ml.events.clock import Moment
from crm_ml.features.feature_set import Features


class TreeScript:
    """A classifier of trees as it comes, on a panel of features.

    Parameters
    ----------
    classifier : with scikit-learn's ``fit`` and ``predict_proba``.
    design : the cutoffs to learn from.
    features : as for `crm_ml.build_features`.
    columns : those to learn from; by default all.
    """

    def __init__(
        self, classifier: Any, *, design: TrainingDesign, features: Features, columns: tuple[str, ...] | None = None
    ) -> None:
        self.classifier = classifier
        self.design = design
        self.features = features
        self.columns = columns

    def fit(self, log: crm_ml.CustomerLog, *, as_of: Moment) -> Self:
        """Learn from events before `as_of`."""
        self.feature_set_ = self.design.feature_set(log, as_of=as_of, features=self.features)
        self.columns_ = list(self.columns or self.feature_set_.columns)
        panel = self.design.panel(log, as_of=as_of, features=self.feature_set_)
        self.classifier.fit(panel[self.columns_], panel["churned"])
        return self

    def forecast(self, log: crm_ml.CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the churn probability of everyone who bought before `as_of`."""
        self.design.check_horizon(horizon_days)
        rows = crm_ml.build_features(log, as_of=as_of, features=self.feature_set_)[self.columns_]
        return pd.Series(self.classifier.predict_proba(rows)[:, 1], index=rows.index)
