"""A bundle as an MLflow model: signature, settings with their defaults, example, requirements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from crm_ml import __version__
from crm_ml.registry.kinds import StorableModel, moment_columns, setting_names
from crm_ml.registry.served import score

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

__all__ = ["BUNDLE_IN_MODEL", "model_signature", "write_mlflow_model"]

BUNDLE_IN_MODEL: Final = "artifacts/bundle"
"""Where the bundle lies inside the MLflow model."""

_CODE = Path(__file__).with_name("pyfunc_model.py")
_PROJECT_FILES = ("uv.lock", "pyproject.toml", ".python-version")
_MLFLOW_TYPES = {"f": "double", "i": "long", "b": "boolean"}


def model_signature(model: StorableModel, setting_defaults: Mapping[str, float]) -> ModelSignature:
    """State the model's inputs, outputs and settings.

    Inputs are named and required, but for optional columns of moments; other columns of the frame are dropped,
    its index is kept. Their type is `any`: under `double`, MLflow refuses integers of 64 bits, booleans and
    categories before any code of this library sees them. What each must hold is for
    :func:`crm_ml.registry.served.served_inputs` to check, and stated in the `MLmodel` file's metadata.

    Settings are parameters of type double with the defaults given here. An unknown one is an error, except
    behind `mlflow.pyfunc.spark_udf`, which drops it with a logged warning before the model is loaded; there the
    column `horizon_days` shows what was used.

    Parameters
    ----------
    model
        Fitted model; its synthetic example is scored once to learn the output columns.
    setting_defaults
        Default of every setting of the model's `predict`.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    defaults = {name: float(setting_defaults[name]) for name in setting_names(model)}
    specs = [(name, "double", value) for name, value in defaults.items()]
    scored = score(model, model.synthetic_example(), defaults)
    required = [ColSpec(AnyType(), name) for name in model.input_columns]
    optional = [ColSpec(AnyType(), name, required=False) for name in moment_columns(model)]
    return ModelSignature(
        inputs=Schema(required + optional),
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
    from mlflow.models.model import MLMODEL_FILE_NAME

    mlflow.pyfunc.save_model(
        target,
        python_model=str(_CODE),
        artifacts={"bundle": str(bundle)},
        mlflow_model=identity,
        signature=model_signature(model, setting_defaults),
        input_example=model.synthetic_example().reset_index(drop=True)[list(model.input_columns)],
        pip_requirements=[f"crm_ml=={__version__}"],
        metadata={
            "kind": model.kind,
            "columns_of_numbers": list(model.input_columns),
            "optional_columns_of_moments": list(moment_columns(model)),
        },
    )
    # MLflow states paths of the machine it runs on, and the version of a pickling library that took no part.
    flavor = identity.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavor.pop("cloudpickle_version", None)
    flavor["model_code_path"] = _CODE.name
    flavor["artifacts"]["bundle"]["uri"] = BUNDLE_IN_MODEL
    identity.save(str(target / MLMODEL_FILE_NAME))
    # MLflow copies the project files of whatever directory the host happens to run in.
    for name in _PROJECT_FILES:
        (target / name).unlink(missing_ok=True)


def _mlflow_type(column: pd.Series) -> str:
    dtype = column.dtype
    return _MLFLOW_TYPES.get(dtype.kind, "string") if isinstance(dtype, np.dtype) else "string"
