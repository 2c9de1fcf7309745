"""What a feature is, and what builds it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from crm_ml.errors import ModelError, SchemaError
from crm_ml.features.history import History
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float

__all__ = [
    "Builder",
    "Feature",
    "FeatureBuilder",
    "SweepingBuilder",
    "Words",
    "build",
    "from_spec",
    "interaction_days",
    "register_builder",
    "to_spec",
]

Words = Callable[[float, Mapping[str, float]], str]
"""Says a feature's value, which is not missing, of a customer whose features are given by name, NaN where missing."""


@dataclass(frozen=True)
class Feature:
    """A feature's documentation.

    Attributes
    ----------
    name : column name.
    unit : unit of the number.
    formula : how it is computed, in words.
    range : where it lies.
    missing : what a missing value means, so that it can be said of a customer; "never" if there is none.
    churn : +1 if a larger value can only raise the risk of churn, -1 if it can only lower it, else 0.
    theme : the fact it tells of, with other features that tell of the same; by default its own name.
    words : how its value is said of a customer, see `crm_ml.features.builders.words`; None says name, number and unit.

    Examples
    --------
    >>> weekend = Feature("weekend_share", "of the orders", "orders on weekends / orders", "0 … 1", "no orders")
    >>> weekend.say({"weekend_share": 0.3}), weekend.say({"weekend_share": math.nan})
    ('weekend_share is 0.3 of the orders', 'weekend_share is missing: no orders')
    """

    name: str
    unit: str
    formula: str
    range: str
    missing: str = "never"
    churn: Literal[-1, 0, 1] = 0
    theme: str = ""
    words: Words | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.theme:
            object.__setattr__(self, "theme", self.name)

    def say(self, row: Mapping[str, float]) -> str:
        """Return what the feature says of a customer, whose features are given by name, NaN where missing."""
        value = row[self.name]
        if math.isnan(value):
            if self.missing == "never":
                return f"{self.name} is missing"
            return f"{self.name} is missing: {self.missing}" if self.words is None else self.missing
        return f"{self.name} is {value:.3g} {self.unit}" if self.words is None else self.words(value, row)


class FeatureBuilder(Protocol):
    """Builds features of every customer in a bucket from what was known at a cutoff.

    A frozen dataclass with two methods; its fields are its settings. What else it may have:

    - a field ``event_types`` or ``categories`` that is None is given those that had occurred by the first
      cutoff;
    - ``needs``, the optional columns of the log (or "interactions") without which it is left out;
    - ``interaction_days``, how far before the cutoff it looks at interactions, which `FeatureState` asks for.
    """

    def describe(self) -> Sequence[Feature]:
        """Return the documentation of each feature, in the order of the columns."""
        ...

    def build(self, past: Past) -> Mapping[str, Float]:
        """Return an array of ``len(past)`` for each feature name."""
        ...


class SweepingBuilder(Protocol):
    """A builder that passes over a customer's events once for all cutoffs; otherwise like `FeatureBuilder`."""

    def describe(self) -> Sequence[Feature]:
        """Return the documentation of each feature, in the order of the columns."""
        ...

    def sweep(self, history: History) -> Mapping[str, Float]:
        """Return an array of ``history.shape`` for each feature name."""
        ...


Builder = FeatureBuilder | SweepingBuilder

Class = TypeVar("Class", bound=type)

_BUILDERS: dict[str, type] = {}


def register_builder(builder: Class) -> Class:
    """Make a builder class known by its name, so that a stored model that uses it can be loaded."""
    _BUILDERS[builder.__name__] = builder
    return builder


def interaction_days(builder: Builder) -> float:
    """Return how far before a cutoff a builder looks at interactions; infinite where it does not say."""
    return float(getattr(builder, "interaction_days", np.inf))


def to_spec(builder: Builder) -> dict[str, Any]:
    """Return a builder as plain data: class name and settings."""
    return {"builder": type(builder).__name__, "settings": dataclasses.asdict(builder)}  # type: ignore[call-overload]  # the protocol asks for a dataclass


def from_spec(spec: Mapping[str, Any]) -> Builder:
    """Return a builder from plain data; a class that is not registered raises ModelError."""
    if spec["builder"] not in _BUILDERS:
        raise ModelError(
            f"The model's features need the builder {spec['builder']!r}, which is not registered here. "
            f"Registered: {sorted(_BUILDERS)}.\nImport the module that registers it first."
        )
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in spec["settings"].items()}
    made: Builder = _BUILDERS[spec["builder"]](**settings)
    return made


def build(builder: Builder, history: History) -> dict[str, Float]:
    """Return the arrays of a builder by name, each of ``history.shape``, checked against what it describes."""
    described = [feature.name for feature in builder.describe()]
    if hasattr(builder, "sweep"):
        parts: list[Mapping[str, Float]] = [builder.sweep(history)]
        size: tuple[int, ...] = history.shape
    else:
        parts = [builder.build(past) for past in history.pasts]
        size = (len(history),)
    for built in parts:
        if sorted(built) != sorted(described) or any(np.shape(array) != size for array in built.values()):
            shapes = {name: np.shape(array) for name, array in built.items()}
            raise SchemaError(
                f"{type(builder).__name__} must build an array of shape {size} for each of {described}; got {shapes}.\n"
                "Correct the builder."
            )
    if hasattr(builder, "sweep"):
        return dict(parts[0])
    return {name: np.stack([np.asarray(built[name], dtype=np.float64) for built in parts]) for name in described}
