"""Splits by time, with the label window purged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.events.clock import DAY, Moment, days, moment, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.feature_set import Features, FeatureSet
from crm_ml.features.panels.panel import build_panel, longest_horizon
from crm_ml.features.ragged import Int

__all__ = ["PanelSplit", "TrainingDesign", "labels_known_by"]


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
    history_days: float = 30

    def cutoffs(self, log: CustomerLog, *, as_of: Moment) -> pd.DatetimeIndex:
        """Return the latest cutoffs whose labels are known by `as_of`, evenly spaced, oldest first.

        Raises
        ------
        SchemaError
            The log is too short for a single cutoff, or a setting is outside its domain.
        """
        if self.n_cutoffs < 1:
            raise SchemaError(out_of_range("n_cutoffs", self.n_cutoffs, "be at least 1"))
        if not self.history_days >= 0:
            raise SchemaError(out_of_range("history_days", self.history_days, "be at least 0"))
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
        """Return the features that are known at the oldest cutoff.

        Raises
        ------
        SchemaError
            There is none, or the log is too short for a single cutoff.
        """
        settled = FeatureSet.settle(features, log, first_cutoff=self.cutoffs(log, as_of=as_of)[0])
        if not settled.columns:
            raise SchemaError(
                f"Training needs a feature at least; of {features!r} none is left, {dict(settled.left_out)}.\n"
                "Choose others, or give the log what they need."
            )
        return settled

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
    return panel[_known_by(panel["label_end"], when, embargo_days=embargo_days)]


def _known_by(label_end: pd.Series, when: Moment, *, embargo_days: float) -> npt.NDArray[np.bool_]:
    """Return which labels end, embargo included, at or before a moment."""
    latest = stamp(moment(when, name="when") - round(embargo_days * DAY))
    known: npt.NDArray[np.bool_] = (label_end <= latest).to_numpy()
    return known


@dataclass(frozen=True)
class PanelSplit:
    """Test on each of a panel's last cutoffs, train on the rows whose labels were known by then.

    A row is trained on if its label window, and an embargo after it, ends at or before the test cutoff. Give it
    to scikit-learn as ``cv``, and the panel's column ``label_end`` as ``groups``: its index tells the cutoffs.

    Parameters
    ----------
    n_splits : how many of the last cutoffs are tested on, each in a fold of its own, oldest first.
    embargo_days : days that must lie between a label's end and the test cutoff, as long as it takes until events
        have arrived.

    Raises
    ------
    SchemaError
        A setting is outside its domain.

    Examples
    --------
    >>> import crm_ml
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> log = crm_ml.load_sample()
    >>> panel = crm_ml.build_panel(log, cutoffs=crm_ml.monthly_cutoffs(log, last="2017-12-01"), horizon_days=30)
    >>> X = panel[["recency_days", "orders_90d", "usual_gap_days"]]
    >>> tree = DecisionTreeClassifier(min_samples_leaf=100)
    >>> found = cross_val_score(
    ...     tree, X, panel["churned"], cv=PanelSplit(n_splits=3), groups=panel["label_end"], scoring="roc_auc"
    ... )
    >>> bool((found > 0.8).all()), len(found)
    (True, 3)
    """

    n_splits: int = 3
    embargo_days: float = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.n_splits, Integral) and self.n_splits >= 1):
            raise SchemaError(out_of_range("n_splits", self.n_splits, "be a whole number of at least 1"))
        if not (np.isfinite(self.embargo_days) and self.embargo_days >= 0):
            raise SchemaError(out_of_range("embargo_days", self.embargo_days, "be a number of days of at least 0"))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002  # scikit-learn's signature
        """Return the number of folds."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: pd.Series | None = None) -> Iterator[tuple[Int, Int]]:  # noqa: ARG002  # scikit-learn's signature
        """Yield the row positions to train on and to test on, for each test cutoff.

        Parameters
        ----------
        X : a panel, or any n rows of one.
        y : passed over.
        groups : (n,) the panel's column ``label_end``, indexed by (customer_id, cutoff); by default that of `X`.

        Raises
        ------
        SchemaError
            The ends of the labels or the cutoffs are not there, a label ends before its cutoff, there are fewer
            cutoffs than folds, or no label is known by a test cutoff.
        """
        label_end = _label_ends(X, groups)
        cutoff = label_end.index.get_level_values("cutoff")
        tested = cutoff.unique().sort_values()[-self.n_splits :]
        if len(tested) < self.n_splits:
            raise SchemaError(
                f"`n_splits` must be at most the number of cutoffs; got {self.n_splits}, and the panel has "
                f"{len(tested)}.\nTest on fewer, or build the panel with more."
            )
        folds = [
            (np.flatnonzero(_known_by(label_end, at, embargo_days=self.embargo_days)), np.flatnonzero(cutoff == at))
            for at in tested
        ]
        for at, (train, _) in zip(tested, folds, strict=True):
            if len(train) == 0:
                raise SchemaError(
                    f"Every test cutoff needs rows whose labels were known by then; {at} has none, as "
                    f"the first label ends {label_end.min()} and the embargo is {self.embargo_days:g} days.\n"
                    "Lower `n_splits`, or build the panel with earlier cutoffs."
                )
        yield from folds


def _label_ends(X: Any, groups: Any) -> pd.Series:
    if groups is None:
        if not isinstance(X, pd.DataFrame) or "label_end" not in X:
            remedy = 'Pass the panel\'s column as groups=panel["label_end"].'
            raise SchemaError(missing_column("label_end", list(getattr(X, "columns", [])), what="X", remedy=remedy))
        groups = X["label_end"]
    if not isinstance(groups, pd.Series) or "cutoff" not in groups.index.names:
        raise SchemaError(
            "`groups` must be a panel's column `label_end`, indexed by (customer_id, cutoff); got "
            f'{type(groups).__name__}.\nPass groups=panel["label_end"].'
        )
    if len(groups) != len(X) or (isinstance(X, pd.DataFrame) and not X.index.equals(groups.index)):
        raise SchemaError(
            f"`groups` must have the rows of `X` in their order; got {len(groups):,} beside {len(X):,}.\n"
            "Take both from the same panel."
        )
    early = int((~(groups > groups.index.get_level_values("cutoff"))).sum())
    if early:
        raise SchemaError(
            f"A label must end after its cutoff; {early:,} of {len(groups):,} do not.\n"
            "Take `label_end` as `crm_ml.build_panel` made it."
        )
    return groups
