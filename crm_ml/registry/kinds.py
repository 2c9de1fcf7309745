"""What a model must offer to be stored, and which class each stored kind is read back into."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, Self, cast, runtime_checkable

import pandas as pd

from crm_ml.errors import ModelError

__all__ = ["KINDS", "StorableModel", "check_settings", "model_class", "moment_columns", "setting_names"]

KINDS: dict[str, tuple[str, str]] = {
    "churn": ("crm_ml.churn", "ChurnModel"),
    "clv": ("crm_ml.clv", "CLVModel"),
    "panel_value": ("crm_ml.clv", "PanelValueModel"),
}
"""Kind written in a bundle -> module and class that reads it; imported only when one is read."""


@runtime_checkable
class StorableModel(Protocol):
    """A fitted model that can be written to files without pickle and read back.

    `kind` is a key of :data:`KINDS`. `input_columns` are the float64 columns `predict` takes; its settings are
    its keyword-only parameters.
    """

    kind: ClassVar[str]

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns of the frame that `predict` takes, in order."""

    def to_files(self) -> dict[str, bytes]:
        """Relative file name -> content; JSON (`.json`) and XGBoost's binary JSON (`.ubj`) only."""

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Rebuild the model from what `to_files` gave."""

    @property
    def predict(self) -> Callable[..., pd.DataFrame]:
        """Method that scores every row of a frame, its only positional argument, and keeps its index."""

    def synthetic_example(self) -> pd.DataFrame:
        """Give a small input frame that holds no customer's data."""


def model_class(kind: str) -> type[StorableModel]:
    """Import the class that reads bundles of this kind.

    Raises
    ------
    ModelError
        When the kind is unknown to this version of crm_ml.
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        nearest = f"; nearest: {near[0]!r}" if near else ""
        raise ModelError(
            "A bundle's kind must be one this crm_ml knows. "
            f"Found {kind!r}, known: {sorted(KINDS)}{nearest}.\n"
            "Upgrade crm_ml, or store the model anew."
        )
    module, name = KINDS[kind]
    return cast("type[StorableModel]", getattr(importlib.import_module(module), name))


def setting_names(model: StorableModel) -> tuple[str, ...]:
    """Names of the keyword-only settings of the model's `predict`, in order."""
    parameters = inspect.signature(model.predict).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def moment_columns(model: StorableModel) -> tuple[str, ...]:
    """Names of the optional columns of moments that the model's `predict` takes, which few models have."""
    return tuple(getattr(model, "moment_columns", ()))


def check_settings(model: StorableModel, settings: Mapping[str, object], *, what: str) -> None:
    """Raise ModelError unless `settings` names exactly the settings of the model's `predict`."""
    needed, given = set(setting_names(model)), set(settings)
    if needed == given:
        return
    raise ModelError(
        f"{what} must name every setting of a {model.kind} model's `predict` and no other. "
        f"Missing: {sorted(needed - given)}; unknown: {sorted(given - needed)}.\n"
        f"Its settings are {sorted(needed)}."
    )
