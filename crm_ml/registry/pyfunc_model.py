"""The code MLflow keeps beside every stored bundle and runs to load it (models from code: no pickle).

`mlflow.pyfunc.load_model` executes this file on its own, outside the package; nothing in crm_ml imports it.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from crm_ml.errors import ModelError
from crm_ml.registry.bundle import load_bundle
from crm_ml.registry.kinds import StorableModel, check_settings


class BundleModel(PythonModel):  # type: ignore[misc]  # mlflow counts as untyped
    """A bundle behind MLflow's python_function interface."""

    def __init__(self) -> None:
        self._models: dict[str, StorableModel] = {}

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle among the artifacts.

        Models are kept by the path of their bundle: two threads that load at once may be handed the same
        instance, because `set_model` passes it through a variable of MLflow's.
        """
        path = context.artifacts["bundle"]
        self._models[path] = load_bundle(path).model

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score every row; the index of the input is the index of the result.

        Raises
        ------
        ModelError
            When `params` lacks a setting or holds an unknown one. Behind `PyFuncModel.predict`, MLflow
            has by then filled in the defaults, and dropped unknown ones with a logged warning.
        """
        model = self._model_of(context)
        settings = dict(params or {})
        check_settings(model, settings, what="`params`")
        return model.predict(model_input[list(model.input_columns)], **settings)

    def _model_of(self, context: PythonModelContext | None) -> StorableModel:
        if context is not None:
            return self._models[context.artifacts["bundle"]]
        if len(self._models) != 1:
            raise ModelError(
                f"Without a context, exactly one model must be loaded. {len(self._models)} are.\n"
                "Call predict on what mlflow.pyfunc.load_model returned."
            )
        return next(iter(self._models.values()))


set_model(BundleModel())
