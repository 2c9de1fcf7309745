"""`ChurnModel`: the probability that a customer buys nothing in the horizon."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pandas as pd

from crm_ml.churn.booster import train_booster
from crm_ml.churn.calibration import Sigmoid, fit_sigmoid
from crm_ml.errors import NotFittedError, SchemaError
from crm_ml.evaluation.splits import TrainingDesign, labels_known_by
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features, FeatureSet
from crm_ml.features.panels.panel import build_features
from crm_ml.features.trees import feature_matrix, tree_predictions, trees_bytes, trees_from_bytes

__all__ = ["ChurnModel"]


class ChurnModel:
    """XGBoost on a panel of past cutoffs, calibrated on a later window.

    Churn within `horizon_days` is no purchase in the days after the cutoff, for customers who bought
    within the lookback before it. The trees learn from earlier cutoffs; the sigmoid is fitted on the
    latest cutoff, with every label that reaches into it purged from the training of the trees.

    Parameters
    ----------
    horizon_days : length of the window without a purchase.
    lookback_days : training uses customers who bought within so many days before a cutoff.
    features : as for `crm_ml.build_features`.
    n_cutoffs : cutoffs to learn from, at most.
    step_days : days between them.
    history_days : days of the log before the oldest cutoff, at least.
    seed : of the trees' row and column sampling.

    Attributes
    ----------
    input_columns : feature names in the order of training.
    training_ : dict with the number of rows, the cutoffs and the window of the labels.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = ChurnModel(horizon_days=30).fit(log, as_of="2017-10-01")
    >>> found = model.predict(crm_ml.build_features(log, as_of="2017-10-01"))
    >>> bool(found["churn_probability"].between(found["churn_lower"], found["churn_upper"]).all())
    True
    """

    kind: ClassVar[str] = "churn"

    def __init__(
        self,
        *,
        horizon_days: int = 30,
        lookback_days: int = 180,
        features: Features = DEFAULT_FEATURES,
        n_cutoffs: int = 12,
        step_days: int = 15,
        history_days: int = 90,
        seed: int = 0,
    ) -> None:
        self.horizon_days = horizon_days
        self.lookback_days = lookback_days
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
            The log is too short to leave a calibration window apart from the training windows, or
            everyone or no one churned.
        """
        self._feature_set = self.design.feature_set(log, as_of=as_of, features=self.features)
        panel = self.design.panel(log, as_of=as_of, features=self._feature_set)
        return self._fit_panel(panel, calibrate_at=panel.index.unique("cutoff").max())

    def _fit_panel(self, panel: pd.DataFrame, *, calibrate_at: pd.Timestamp) -> Self:
        self.input_columns = self._feature_set.columns
        training = labels_known_by(panel, calibrate_at)
        later = panel[panel.index.get_level_values("cutoff") == calibrate_at]
        for rows, what in ((training, "training windows"), (later, "calibration window")):
            if rows["churned"].nunique() < 2:
                raise SchemaError(
                    f"The {what} must hold customers who left and customers who stayed; "
                    f"{int(rows['churned'].sum()):,} of {len(rows):,} left.\nUse more history."
                )
        self.booster_ = train_booster(
            self._matrix(training),
            training["churned"].to_numpy(),
            directions=[feature.churn for feature in self._feature_set.documented],
            seed=self.seed,
        )
        self.calibration_ = fit_sigmoid(
            tree_predictions(self.booster_, self._matrix(later)), later["churned"].to_numpy()
        )
        seen = training.index.unique("cutoff")
        self.training_: dict[str, Any] = {
            "rows": len(training),
            "churned": float(training["churned"].mean()),
            "cutoffs": [cutoff.isoformat() for cutoff in seen],
            "calibrated_at": calibrate_at.isoformat(),
            "calibration_rows": len(later),
            "labels_end": panel["label_end"].max().isoformat(),
        }
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the churn probability of each row of features.

        Parameters
        ----------
        features : (n, p) frame with the columns `input_columns`, numeric, NaN where missing; others are
            passed over.

        Returns
        -------
        DataFrame
            Indexed like `features`: ``churn_probability``, ``churn_lower`` and ``churn_upper`` (90 %
            interval of the calibration), ``horizon_days``.

        Raises
        ------
        NotFittedError, SchemaError
            The model is not fitted; a column is missing or not numeric.
        """
        raw = tree_predictions(self._fitted(), self._matrix(features))
        calibrated = self.calibration_(raw)
        return pd.DataFrame(
            {
                "churn_probability": calibrated.probability,
                "churn_lower": calibrated.lower,
                "churn_upper": calibrated.upper,
                "horizon_days": float(self.horizon_days),
            },
            index=features.index,
        )

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the churn probability of everyone who bought before `as_of`, for the backtest."""
        self.design.check_horizon(horizon_days)
        return self.predict(build_features(log, as_of=as_of, features=self.feature_set))["churn_probability"]

    @property
    def design(self) -> TrainingDesign:
        """The cutoffs the model learns from."""
        return TrainingDesign(
            horizon_days=self.horizon_days,
            lookback_days=self.lookback_days,
            n_cutoffs=self.n_cutoffs,
            step_days=self.step_days,
            history_days=self.history_days,
        )

    @property
    def feature_set(self) -> FeatureSet:
        """The features as of training."""
        self._fitted()
        return self._feature_set

    def _fitted(self) -> Any:
        if not hasattr(self, "booster_"):
            raise NotFittedError("A ChurnModel must be fitted before use.\nCall fit(log, as_of=...).")
        return self.booster_

    def _matrix(self, frame: pd.DataFrame) -> Any:
        return feature_matrix(frame, self.input_columns)

    def to_files(self) -> dict[str, bytes]:
        """Return the fitted model as files: settings as JSON, trees as UBJ; no customer data."""
        content = {
            "settings": dataclasses.asdict(self.design) | {"seed": self.seed},
            "features": self.feature_set.to_dict(),
            "input_columns": self.input_columns,
            "calibration": dataclasses.asdict(self.calibration_),
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
        stored = content["calibration"]
        rows = tuple(tuple(row) for row in stored["covariance"])
        model.calibration_ = Sigmoid(stored["intercept"], stored["slope"], rows)  # type: ignore[arg-type]  # 2 × 2
        model.training_ = content["training"]
        model.booster_ = trees_from_bytes(files["booster.ubj"])
        return model

    def synthetic_example(self) -> pd.DataFrame:
        """Return two made-up rows of input."""
        return pd.DataFrame({column: [1.0, 30.0] for column in self.input_columns})
