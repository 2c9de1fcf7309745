"""`ChurnModel`: the probability that a customer buys nothing in the horizon."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.churn.calibration import METHODS, Method
from crm_ml.churn.horizons import Horizons
from crm_ml.churn.process import HISTORY, Process, process_feature, silence_log_odds
from crm_ml.churn.reasons import contribution_frame, reasons
from crm_ml.churn.training.panel import TrainingPanel
from crm_ml.churn.training.rehearsal import TrainingRows
from crm_ml.churn.training.window import HeldOut, Silence, WindowModel, fit_window
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.evaluation.splits import TrainingDesign
from crm_ml.evaluation.stability.profile import RECENCY, Profile, make_profile
from crm_ml.events.clock import Moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import PersonalHorizon
from crm_ml.features.feature import Feature
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features, FeatureSet
from crm_ml.features.panels.panel import build_features
from crm_ml.features.trees import feature_matrix, trees_bytes, trees_from_bytes
from crm_ml.notebook_summary import summary_html

__all__ = ["ChurnModel"]

PROFILE = "profile.json"


class ChurnModel:
    """XGBoost on a panel of past cutoffs, calibrated and bounded by later windows it was not trained on.

    Churn within the horizon is no purchase in the days after the cutoff, for customers who bought within the
    lookback before it. Several horizons are cut into windows, one after the other; each gets the probability of
    silence in it, given silence before, and churn is their product: it never rises with the horizon.

    Beside the log's features the trees see the probability of the same silence under MBG/NBD, fitted at each
    cutoff on what was known then. The latest cutoffs are first held out, with every label that reaches into them
    purged from training; what is predicted there sets the number of trees and the calibration, and bounds the
    probability. Then the trees are grown on all cutoffs.

    Parameters
    ----------
    horizon_days : length of the window without a purchase; or several, ascending; or a
        `crm_ml.features.PersonalHorizon`, each customer's own.
    lookback_days : training uses customers who bought within so many days before a cutoff; None means all.
    features : as for `crm_ml.build_features`. The purchase process needs ``frequency``, ``recency_days`` and
        ``tenure_days`` among them, and is left out without.
    n_cutoffs : cutoffs to learn from, at most.
    step_days : days between them.
    history_days : days of the log before the oldest cutoff, at least.
    calibration : "none", "sigmoid", "beta", "isotonic", "blend" (sigmoid with the purchase process, which it
        needs), or None for what clearly does best on the held-out windows, which is often none.
    tuning_seconds : time for a random search of the trees' parameters on the held-out windows; None for the
        defaults. What is found in a given time depends on the machine.
    seed : of the trees' row and column sampling, and of the search.

    Attributes
    ----------
    input_columns : feature names in the order of training.
    training_ : dict with the cutoffs, the end of the last label, the number of rows and what each window's
        training was like.
    profile_ : `crm_ml.evaluation.Profile` of what the features and the first horizon's probability were like in
        training, for `crm_ml.evaluation.drift`; None where the lookback cannot be told for lack of the feature
        ``recency_days``, and for a model stored before there were profiles.

    Notes
    -----
    Recency, interval stretch and the purchase process's log odds can only raise the risk (monotone constraints).
    Classes are not resampled. What was tried on which logs is in the README, under "How right it was".

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = ChurnModel(horizon_days=(30, 60)).fit(log, as_of="2017-10-01")
    >>> found = model.predict(crm_ml.build_features(log, as_of="2017-10-01"))
    >>> bool((found["churn_probability_60d"] <= found["churn_probability"]).all())
    True
    """

    kind: ClassVar[str] = "churn"

    def __init__(
        self,
        *,
        horizon_days: float | Sequence[float] | PersonalHorizon = 30,
        lookback_days: float | None = 180,
        features: Features = DEFAULT_FEATURES,
        n_cutoffs: int = 12,
        step_days: float = 15,
        history_days: float = 30,
        calibration: Method | None = None,
        tuning_seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        self.horizon_days = horizon_days
        self.lookback_days = lookback_days
        self.features = features
        self.n_cutoffs = n_cutoffs
        self.step_days = step_days
        self.history_days = history_days
        self.calibration = calibration
        self.tuning_seconds = tuning_seconds
        self.seed = seed

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Learn from events before `as_of` only.

        Raises
        ------
        SchemaError
            The log is too short for a single cutoff, it has none of the features, everyone or no one bought in a
            window, a blend lacks the purchase process, or a setting is outside its domain.
        """
        horizons = self._checked()
        features = horizons.with_feature(self.features)
        self._feature_set = self.design.feature_set(log, as_of=as_of, features=features)
        self.input_columns = self._feature_set.columns
        panel = TrainingPanel(log, as_of=as_of, design=self.design, horizons=horizons, features=self._feature_set)
        self._process = panel.process
        fitted = [self._fit_window(panel.rows(number)) for number in range(len(horizons.ends))]
        self.windows_ = [window for window, _ in fitted]
        self.profile_ = self._profiled(panel.rows(0), fitted[0][1])
        self.training_: dict[str, Any] = {
            "rows": self.windows_[0].facts["rows"],
            "churned": self.windows_[0].facts["churned"],
            "cutoffs": [stamp(cutoff).isoformat() for cutoff in panel.cutoffs],
            "labels_end": stamp(panel.labels_end).isoformat(),
            "windows": [
                {"begin_days": horizons.begin(number), "end_days": horizons.ends[number], **window.facts}
                for number, window in enumerate(self.windows_)
            ],
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
            Indexed like `features`: ``churn_probability``, ``churn_lower`` and ``churn_upper`` (Venn-Abers
            bounds), ``horizon_days``; for further horizons the first three again, named
            ``churn_probability_60d`` and so on.

        Raises
        ------
        NotFittedError, SchemaError
            The model is not fitted; a column is missing or not numeric.
        """
        windows, horizons = self._fitted(), Horizons.of(self.horizon_days)
        found: dict[str, Any] = {}
        so_far = Silence(*np.ones((3, len(features))))
        for number, window in enumerate(windows):
            here = window.predict(self._matrix(features, number))
            so_far = Silence(*(before * now for before, now in zip(so_far, here, strict=True)))
            for name, values in zip(("churn_probability", "churn_lower", "churn_upper"), so_far, strict=True):
                found[name + horizons.suffix(number)] = values
            if number == 0:
                found["horizon_days"] = horizons.lengths(features)
        return pd.DataFrame(found, index=features.index)

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the churn probability of everyone who bought before `as_of`, for the backtest."""
        horizons = Horizons.of(self.horizon_days)
        suffix = horizons.suffix(horizons.place(horizon_days))
        found = self.predict(build_features(log, as_of=as_of, features=self.feature_set))
        return found["churn_probability" + suffix]

    def explain(self, features: pd.DataFrame, *, top: int | None = 3, lowering: bool = False) -> pd.DataFrame:
        """Return why each customer is at risk in the first horizon, strongest reasons first, in words.

        Contributions are the exact Shapley values of the trees, before calibration; see
        `crm_ml.churn.reasons` for what they cost. One reason is given for each theme, such as waiting or carts.

        Parameters
        ----------
        features : as for `predict`, of the customers one asks about.
        top : reasons per customer at most; None means all.
        lowering : whether what lowers the risk is told too.

        Returns
        -------
        DataFrame
            Indexed like `features`, a row per reason: ``rank``, ``theme``, ``feature`` (whose words are used),
            ``contribution`` (of the theme, log odds), ``value`` (of the feature) and ``text``.

        Raises
        ------
        NotFittedError, SchemaError
            The model is not fitted, a column is missing or not numeric, or `top` is below 1.
        """
        booster = self._fitted()[0].booster
        matrix = self._matrix(features, 0)
        return reasons(booster, matrix, self._documented, index=features.index, top=top, lowering=lowering)

    def contributions(self, features: pd.DataFrame, *, by: Literal["theme", "feature"] = "theme") -> pd.DataFrame:
        """Return what each theme or feature adds to the log odds of churn in the first horizon, before calibration.

        Returns
        -------
        DataFrame
            Indexed like `features`; a column per theme or feature, then ``base`` and their sum ``margin``.
        """
        booster = self._fitted()[0].booster
        return contribution_frame(booster, self._matrix(features, 0), self._documented, index=features.index, by=by)

    @property
    def design(self) -> TrainingDesign:
        """The cutoffs the model learns from."""
        return TrainingDesign(
            horizon_days=Horizons.of(self.horizon_days).first,
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

    def _checked(self) -> Horizons:
        if self.calibration is not None and self.calibration not in METHODS:
            raise SchemaError(out_of_range("calibration", self.calibration, f"be None or one of {list(METHODS)}"))
        if self.tuning_seconds is not None and not self.tuning_seconds > 0:
            raise SchemaError(out_of_range("tuning_seconds", self.tuning_seconds, "be None or above 0"))
        return Horizons.of(self.horizon_days)

    def _profiled(self, rows: TrainingRows, held_out: HeldOut) -> Profile | None:
        if self.lookback_days is not None and RECENCY not in self.input_columns:
            return None
        scores = {"churn_probability": (held_out.probability, held_out.cutoff)}
        columns, lookback = self.input_columns, self.lookback_days
        return make_profile(columns, rows.matrix, rows.cutoff, scores=scores, lookback_days=lookback)

    def _fit_window(self, rows: TrainingRows) -> tuple[WindowModel, HeldOut]:
        return fit_window(
            rows,
            directions=[feature.churn for feature in self._documented],
            calibration=self.calibration,
            process_column=self._process is not None,
            tuning_seconds=self.tuning_seconds,
            seed=self.seed,
        )

    @property
    def _documented(self) -> tuple[Feature, ...]:
        """The documentation of each column that the trees see."""
        process = () if self._process is None else (process_feature(Horizons.of(self.horizon_days).ends[0]),)
        return (*self._feature_set.documented, *process)

    def _fitted(self) -> list[WindowModel]:
        check_fitted(self, "windows_")
        return self.windows_

    def _matrix(self, features: pd.DataFrame, number: int) -> npt.NDArray[np.float32]:
        """Return what the trees of a window are given for a frame of features."""
        matrix = feature_matrix(features, self.input_columns).astype(np.float32)
        if self._process is None:
            return matrix
        horizons = Horizons.of(self.horizon_days)
        history = matrix[:, [self.input_columns.index(name) for name in HISTORY]]
        end = horizons.lengths(features) if horizons.personal else horizons.ends[number]
        odds = silence_log_odds(self._process, history, horizons.begin(number), end)
        return np.column_stack([matrix, odds.astype(np.float32)])

    def to_files(self) -> dict[str, bytes]:
        """Return the fitted model as files: settings as JSON, trees as UBJ; no customer data."""
        windows = self._fitted()
        content = {
            "settings": {
                "horizon_days": Horizons.of(self.horizon_days).to_plain(),
                "lookback_days": self.lookback_days,
                "n_cutoffs": self.n_cutoffs,
                "step_days": self.step_days,
                "history_days": self.history_days,
                "calibration": self.calibration,
                "tuning_seconds": self.tuning_seconds,
                "seed": self.seed,
            },
            "features": self.feature_set.to_dict(),
            "process": None if self._process is None else self._process.to_dict(),
            "windows": [window.to_dict() for window in windows],
            "training": self.training_,
        }
        trees = {f"booster_{number}.ubj": trees_bytes(window.booster) for number, window in enumerate(windows, 1)}
        files = {"model.json": json.dumps(content, indent=1, sort_keys=True).encode()} | trees
        if self.profile_ is not None:
            files[PROFILE] = json.dumps(self.profile_.to_dict()).encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Return the model that `to_files` wrote."""
        content = json.loads(files["model.json"])
        features = FeatureSet.from_dict(content["features"])
        settings = content["settings"]
        settings["horizon_days"] = Horizons.from_plain(settings["horizon_days"])
        model = cls(features=features, **settings)
        model._feature_set, model.input_columns = features, features.columns
        model._process = None if content["process"] is None else Process.from_dict(content["process"])
        model.windows_ = [
            WindowModel.from_dict(stored, trees_from_bytes(files[f"booster_{number}.ubj"]))
            for number, stored in enumerate(content["windows"], 1)
        ]
        model.training_ = content["training"]
        model.profile_ = Profile.from_dict(json.loads(files[PROFILE])) if PROFILE in files else None
        return model

    def synthetic_example(self) -> pd.DataFrame:
        """Return two made-up rows of input."""
        return pd.DataFrame({column: [1.0, 30.0] for column in self.input_columns})

    def _repr_html_(self) -> str:
        """Show in a notebook how the model is set up and, once fitted, what it was trained on."""
        settings = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        if not hasattr(self, "windows_"):
            return summary_html("ChurnModel, not fitted", settings)
        training, process = self.training_, "MBG/NBD" if self._process is not None else "none"
        first, *_, last = (f"{pd.Timestamp(cutoff):%Y-%m-%d}" for cutoff in 2 * training["cutoffs"])
        facts = {
            "horizon, days": self.horizon_days,
            "trained on": f"{training['rows']:,} rows at {len(training['cutoffs'])} cutoffs, {first} to {last}",
            "nothing seen from": pd.Timestamp(training["labels_end"]),
            "churned": f"{training['churned']:.1%}",
            "features": f"{len(self.input_columns)}: {', '.join(self.input_columns)}",
            "purchase process": process,
        }
        shown = ["begin_days", "end_days", "rows", "churned", "rounds", "held_out_rows", "calibration"]
        windows = pd.DataFrame(training["windows"], columns=shown).set_index("begin_days")
        return summary_html("ChurnModel", facts, windows)
