"""Cross-validation over the cutoffs of a panel, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.evaluation.splits import known_by
from crm_ml.features.ragged import Int

__all__ = ["PanelSplit"]


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
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> log = crm_ml.load_sample()
    >>> panel = crm_ml.build_panel(log, cutoffs=crm_ml.monthly_cutoffs(log, last="2017-12-01"), horizon_days=30)
    >>> X = panel[["recency_days", "orders_90d", "usual_gap_days"]]
    >>> trees = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    >>> found = cross_val_score(
    ...     trees, X, panel["churned"], cv=PanelSplit(n_splits=3), groups=panel["label_end"], scoring="roc_auc"
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
            (np.flatnonzero(known_by(label_end, at, embargo_days=self.embargo_days)), np.flatnonzero(cutoff == at))
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
