"""What a feature is, and what builds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd

from crm_ml.errors import ModelError, SchemaError
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float

__all__ = [
    "Feature",
    "FeatureBuilder",
    "apply",
    "builders_from_specs",
    "catalogue",
    "for_event_types",
    "register_builder",
    "specs",
]


@dataclass(frozen=True)
class Feature:
    """A feature's documentation.

    Attributes
    ----------
    name : column name.
    unit : unit of the number.
    formula : how it is computed, in words.
    range : where it lies.
    missing : what a missing value means; "never" if there is none.
    churn : +1 if a larger value can only raise the risk of churn, -1 if it can only lower it, else 0.
    """

    name: str
    unit: str
    formula: str
    range: str
    missing: str = "never"
    churn: Literal[-1, 0, 1] = 0


@runtime_checkable
class FeatureBuilder(Protocol):
    """Builds features of every customer in a bucket from what was known at the cutoff.

    A frozen dataclass with two methods; its fields are its settings. A builder with a field
    ``event_types`` that is None is given those that had occurred by the first cutoff.
    """

    def describe(self) -> Sequence[Feature]:
        """Return the documentation of each feature, in the order of the columns."""
        ...

    def build(self, past: Past) -> Mapping[str, Float]:
        """Return an array of ``len(past)`` for each feature name."""
        ...


Builder = TypeVar("Builder", bound=type)

_BUILDERS: dict[str, type] = {}


def register_builder(builder: Builder) -> Builder:
    """Make a builder class known by its name, so that a stored model that uses it can be loaded."""
    _BUILDERS[builder.__name__] = builder
    return builder


def specs(builders: Sequence[FeatureBuilder]) -> list[dict[str, Any]]:
    """Return builders as plain data: class name and settings."""
    return [{"builder": type(b).__name__, "settings": dataclasses.asdict(b)} for b in builders]  # type: ignore[call-overload]  # the protocol asks for a dataclass


def builders_from_specs(stored: Sequence[Mapping[str, Any]]) -> tuple[FeatureBuilder, ...]:
    """Return builders from plain data; a class that is not registered raises ModelError."""
    made = []
    for spec in stored:
        if spec["builder"] not in _BUILDERS:
            raise ModelError(
                f"The model's features need the builder {spec['builder']!r}, which is not registered here. "
                f"Registered: {sorted(_BUILDERS)}.\nImport the module that registers it first."
            )
        settings = {key: tuple(v) if isinstance(v, list) else v for key, v in spec["settings"].items()}
        made.append(_BUILDERS[spec["builder"]](**settings))
    return tuple(made)


def for_event_types(builders: Sequence[FeatureBuilder], event_types: tuple[str, ...]) -> tuple[FeatureBuilder, ...]:
    """Return the builders with open event types set, refusing names that are taken."""

    def closed(builder: Any) -> FeatureBuilder:
        is_open = getattr(builder, "event_types", event_types) is None
        made: FeatureBuilder = dataclasses.replace(builder, event_types=event_types) if is_open else builder
        return made

    ready = tuple(closed(builder) for builder in builders)
    names = [feature.name for b in ready for feature in b.describe()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"Feature names must be unique. Built twice: {twice}.\nChange a builder or leave one out.")
    taken = sorted({*LABEL_COLUMNS, "customer_id", "cutoff"} & set(names))
    if taken:
        raise SchemaError(f"Feature names must leave a panel's own columns free. Taken: {taken}.\nRename them.")
    return ready


def apply(builders: Sequence[FeatureBuilder], past: Past) -> dict[str, Float]:
    """Return the arrays of all builders, checked against what they describe."""
    columns: dict[str, Float] = {}
    for builder in builders:
        built = builder.build(past)
        described = [feature.name for feature in builder.describe()]
        if sorted(built) != sorted(described) or any(np.shape(a) != (len(past),) for a in built.values()):
            shapes = {name: np.shape(array) for name, array in built.items()}
            raise SchemaError(
                f"{type(builder).__name__}.build must return an array of length {len(past)} for each of "
                f"{described}; got {shapes}.\nCorrect the builder."
            )
        columns |= {name: np.asarray(built[name], dtype=np.float64) for name in described}
    return columns


def catalogue(builders: Sequence[FeatureBuilder], event_types: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the documentation of every feature, one row each.

    Examples
    --------
    >>> from crm_ml.features import RFM
    >>> catalogue([RFM()]).loc["recency_days", ["unit", "formula", "missing"]].tolist()
    ['days', 'cutoff − last purchase', 'never']
    """
    rows = [feature for builder in for_event_types(builders, event_types) for feature in builder.describe()]
    return pd.DataFrame([dataclasses.asdict(feature) for feature in rows]).set_index("name")
