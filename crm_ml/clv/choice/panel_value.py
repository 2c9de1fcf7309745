"""`PanelValueModel`: XGBoost on a panel of past cutoffs, the challenger of the purchase processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pandas as pd

from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.errors import SchemaError
from crm_ml.evaluation.splits import TrainingDesign
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features, FeatureSet
from crm_ml.features.panels.panel import build_features
from crm_ml.features.trees import (
    SHALLOW,
    feature_matrix,
    train_trees,
    tree_predictions,
    trees_bytes,
    trees_from_bytes,
)

__all__ = ["PanelValueModel"]

PARAMETERS = SHALLOW | {"objective": "reg:tweedie", "tweedie_variance_power": 1.5}
"""Spend is nothing for many and skewed for the rest."""

ROUNDS = 150


class PanelValueModel:
    """XGBoost on the panel: net spend within a fixed horizon, learned from what followed past cutoffs.

    Of every customer who ever bought, at each cutoff whose horizon is over by `as_of`. It knows no process and
    so no probability of being alive, no other horizon and no discounting, and its level is that of the past.
    A net spend below 0 counts as 0 in training.

    Parameters
    ----------
    horizon_days : length of the window in which spend is predicted.
    features : as for `crm_ml.build_features`.
    n_cutoffs : cutoffs to learn from, at most.
    step_days : days between them.
    history_days : days of the log before the oldest cutoff, at least.
    seed : of the trees' row and column sampling.

    Attributes
    ----------
    input_columns : feature names in the order of training.
    training_ : dict with the number of rows, the mean spend, the cutoffs, and the end of the last label.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = PanelValueModel(horizon_days=60).fit(log, as_of="2017-10-01")
    >>> model.training_["cutoffs"][-1]
    '2017-08-02T00:00:00+00:00'
    >>> len(model.forecast(log, as_of="2017-10-01", horizon_days=60))
    2446
    """

    kind: ClassVar[str] = "panel_value"

    def __init__(
        self,
        *,
        horizon_days: int,
        features: Features = DEFAULT_FEATURES,
        n_cutoffs: int = 12,
        step_days: int = 15,
        history_days: int = 60,
        seed: int = 0,
    ) -> None:
        self.horizon_days = horizon_days
        self.features = features
        self.n_cutoffs = n_cutoffs
        self.step_days = step_days
        self.history_days = history_days
        self.seed = seed

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Learn from events before `as_of` only.

        Raises
        ------
        SchemaError
            The log is too short for a single cutoff, or nobody spent anything.
        """
        self._feature_set = self.design.feature_set(log, as_of=as_of, features=self.features)
        panel = self.design.panel(log, as_of=as_of, features=self._feature_set)
        self.input_columns = self._feature_set.columns
        spend = panel["spend_ahead"].clip(lower=0.0).to_numpy()
        self._scale = float(spend.mean())
        if not self._scale > 0.0:
            raise SchemaError(
                f"Training needs spend in the label windows; {len(spend):,} rows hold none.\nUse more history."
            )
        matrix = feature_matrix(panel, self.input_columns)
        self.booster_ = train_trees(matrix, spend / self._scale, parameters=PARAMETERS, rounds=ROUNDS, seed=self.seed)
        self.training_: dict[str, Any] = {
            "rows": len(panel),
            "mean_spend": self._scale,
            "cutoffs": [cutoff.isoformat() for cutoff in panel.index.unique("cutoff")],
            "labels_end": panel["label_end"].max().isoformat(),
        }
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the expected net spend of each row of features.

        Parameters
        ----------
        features : (n, p) frame with the columns `input_columns`, numeric, NaN where missing; others are
            passed over.

        Returns
        -------
        DataFrame
            Indexed like `features`: ``expected_spend`` (currency) and ``horizon_days``.

        Raises
        ------
        NotFittedError, SchemaError
            The model is not fitted; a column is missing or not numeric.
        """
        check_fitted(self, "booster_")
        spend = self._scale * tree_predictions(self.booster_, feature_matrix(features, self.input_columns))
        return pd.DataFrame({"expected_spend": spend, "horizon_days": float(self.horizon_days)}, index=features.index)

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the expected net spend of everyone who bought before `as_of`, for the backtest."""
        self.design.check_horizon(horizon_days)
        return self.predict(build_features(log, as_of=as_of, features=self.feature_set))["expected_spend"]

    @property
    def design(self) -> TrainingDesign:
        """The cutoffs the model learns from."""
        return TrainingDesign(
            horizon_days=self.horizon_days,
            lookback_days=None,
            n_cutoffs=self.n_cutoffs,
            step_days=self.step_days,
            history_days=self.history_days,
        )

    @property
    def feature_set(self) -> FeatureSet:
        """The features as of training."""
        check_fitted(self, "booster_")
        return self._feature_set

    def to_files(self) -> dict[str, bytes]:
        """Return the fitted model as files: settings as JSON, trees as UBJ; no customer data."""
        settings = dataclasses.asdict(self.design) | {"seed": self.seed}
        del settings["lookback_days"]
        content = {
            "settings": settings,
            "features": self.feature_set.to_dict(),
            "input_columns": self.input_columns,
            "training": self.training_,
        }
        return {
            "model.json": json.dumps(content, indent=1, sort_keys=True).encode(),
            "booster.ubj": trees_bytes(self.booster_),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Return the model that `to_files` wrote."""
        content = json.loads(files["model.json"])
        features = FeatureSet.from_dict(content["features"])
        model = cls(features=features, **content["settings"])
        model._feature_set = features
        model.input_columns = tuple(content["input_columns"])
        model.training_ = content["training"]
        model._scale = model.training_["mean_spend"]
        model.booster_ = trees_from_bytes(files["booster.ubj"])
        return model

    def synthetic_example(self) -> pd.DataFrame:
        """Return two made-up rows of input."""
        return pd.DataFrame({column: [1.0, 30.0] for column in self.input_columns})
