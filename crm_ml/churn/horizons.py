"""The horizons of a churn model: one, several cut into windows, or each customer's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import days
from crm_ml.features.builders.horizon import Horizon, PersonalHorizon
from crm_ml.features.feature import from_spec, to_spec
from crm_ml.features.feature_set import Features, FeatureSet
from crm_ml.features.ragged import Float
from crm_ml.features.trees import feature_matrix

__all__ = ["Horizons"]

OWN = "personal_horizon_days"
"""The feature of `crm_ml.features.PersonalHorizon`."""


@dataclass(frozen=True)
class Horizons:
    """Where the windows of a churn model end.

    Attributes
    ----------
    ends : days after the cutoff, ascending; of a personal horizon the longest that it can be.
    personal : the personal horizon, if it is one.
    """

    ends: tuple[float, ...]
    personal: PersonalHorizon | None = None

    @classmethod
    def of(cls, horizon_days: float | Sequence[float] | PersonalHorizon) -> Self:
        """Return the horizons that a setting names.

        Raises
        ------
        SchemaError
            A horizon is not above 0, or several do not ascend.

        Examples
        --------
        >>> Horizons.of((30, 60)).begin(1)
        30.0
        """
        if isinstance(horizon_days, PersonalHorizon):
            return cls((float(horizon_days.longest_days),), horizon_days)
        ends = tuple(horizon_days) if isinstance(horizon_days, Sequence) else (horizon_days,)
        for end in ends:
            days(end, name="horizon_days")
        if not ends or list(ends) != sorted(set(ends)):
            raise SchemaError(out_of_range("horizon_days", horizon_days, "be one or more numbers that ascend"))
        return cls(tuple(map(float, ends)))

    @property
    def first(self) -> Horizon:
        """The horizon of the first window."""
        return self.personal or self.ends[0]

    def begin(self, number: int) -> float:
        """Return where a window begins, in days after the cutoff."""
        return 0.0 if number == 0 else self.ends[number - 1]

    def suffix(self, number: int) -> str:
        """Return what the names of a horizon's columns end in.

        >>> [Horizons.of((30, 60)).suffix(number) for number in range(2)]
        ['', '_60d']
        """
        return "" if number == 0 else f"_{self.ends[number]:g}d"

    def place(self, horizon_days: float) -> int:
        """Return which horizon it is; one that was not trained for raises SchemaError."""
        if self.personal or horizon_days not in self.ends:
            trained = self.personal or [f"{end:g}" for end in self.ends]
            raise SchemaError(out_of_range("horizon_days", horizon_days, f"be what was trained for, {trained}"))
        return self.ends.index(horizon_days)

    def lengths(self, features: pd.DataFrame) -> Float:
        """Return the first horizon of each row of features, (n,) days."""
        if self.personal is None:
            return np.full(len(features), self.ends[0])
        return feature_matrix(features, [OWN])[:, 0]

    def with_feature(self, features: Features) -> Features:
        """Return features to train on, a personal horizon among them: it is asked for again when predicting."""
        if self.personal is None:
            return features
        if isinstance(features, FeatureSet):
            known = [builder for builder in features.builders if not isinstance(builder, PersonalHorizon)]
            names = [name for name in features.columns if name != OWN]
            return FeatureSet((*known, self.personal), (*names, OWN))
        return [*([features] if isinstance(features, str) else features), self.personal]

    def to_plain(self) -> Any:
        """Return the horizons as plain data."""
        return list(self.ends) if self.personal is None else to_spec(self.personal)

    @staticmethod
    def from_plain(stored: Any) -> Any:
        """Return the setting that `to_plain` wrote."""
        if isinstance(stored, Mapping):
            return from_spec(stored)
        return stored[0] if len(stored) == 1 else tuple(stored)
