"""A bundle as an MLflow model: signature, settings with their defaults, example, requirements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from crm_ml import __version__
from crm_ml.registry.kinds import StorableModel, setting_names

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

__all__ = ["BUNDLE_IN_MODEL", "model_signature", "write_mlflow_model"]

BUNDLE_IN_MODEL: Final = "artifacts/bundle"
"""Where the bundle lies inside the MLflow model."""

_PROJECT_FILES = ("uv.lock", "pyproject.toml", ".python-version")
_MLFLOW_TYPES = {"f": "double", "i": "long", "b": "boolean"}


def model_signature(model: StorableModel, setting_defaults: Mapping[str, float]) -> ModelSignature:
    """State the model's inputs, outputs and settings for MLflow to enforce.

    Inputs are required columns of type double, missing values allowed. MLflow converts float32, int32,
    narrower integers and pandas' nullable Float64 to it, and refuses int64 and Int64 (unless an int64
    column holds only 0 and 1): cast those with `frame.astype("float64")`. Other columns of the frame are
    dropped, its index is kept. Settings are parameters of type double with the defaults given here; in
    `PyFuncModel.predict`, MLflow drops an unknown parameter with a logged warning before any code of this
    library sees it.

    Parameters
    ----------
    model
        Fitted model; its synthetic example is scored once to learn the output columns.
    setting_defaults
        Default of every setting of the model's `predict`.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    defaults = {name: float(setting_defaults[name]) for name in setting_names(model)}
    specs = [(name, "double", value) for name, value in defaults.items()]
    scored = model.predict(model.synthetic_example(), **defaults)
    return ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in model.input_columns]),
        outputs=Schema([ColSpec(_mlflow_type(scored[name]), str(name)) for name in scored]),
        params=ParamSchema([ParamSpec(*spec) for spec in specs]) if specs else None,
    )


def write_mlflow_model(
    model: StorableModel,
    bundle: Path,
    target: Path,
    *,
    identity: Model,
    setting_defaults: Mapping[str, float],
) -> None:
    """Write `target`, a directory that `mlflow.pyfunc.load_model` loads without pickle.

    Parameters
    ----------
    model
        Fitted model.
    bundle
        The model's bundle; its last path component must be `bundle`.
    target
        Directory to write; must not exist.
    identity
        MLflow model carrying the identifiers of the run and the logged model.
    setting_defaults
        As for :func:`model_signature`.
    """
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        target,
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(bundle)},
        mlflow_model=identity,
        signature=model_signature(model, setting_defaults),
        input_example=model.synthetic_example().reset_index(drop=True)[list(model.input_columns)],
        pip_requirements=[f"crm_ml=={__version__}"],
    )
    # MLflow copies the project files of whatever directory the host happens to run in.
    for name in _PROJECT_FILES:
        (target / name).unlink(missing_ok=True)


def _mlflow_type(column: pd.Series) -> str:
    dtype = column.dtype
    return _MLFLOW_TYPES.get(dtype.kind, "string") if isinstance(dtype, np.dtype) else "string"
