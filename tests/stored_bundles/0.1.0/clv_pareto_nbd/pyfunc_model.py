"""The code MLflow keeps beside every stored bundle and runs to load it.

`mlflow.pyfunc.load_model` executes this file on its own, outside the package; nothing in crm_ml imports it.
"""

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PyFuncModel, PythonModel, PythonModelContext

from crm_ml.errors import ModelError
from crm_ml.registry.bundle import load_bundle
from crm_ml.registry.kinds import StorableModel, check_settings
from crm_ml.registry.served import score


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
            When a setting is lacking or unknown.
        SchemaError
            When a column is missing, of another type or holds impossible values.
        """
        model = self._model_of(context)
        settings = dict(params or {})
        check_settings(model, {**self._stated_params(), **settings}, what="`params`")
        return score(model, model_input, settings)

    def _stated_params(self) -> Mapping[str, Any]:
        """Return the parameters as the caller of the loaded model stated them; none when called directly.

        MLflow drops those that the signature does not name, with no more than a logged warning, before it calls
        a model. Its own frame still holds them.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            caller = frame.f_locals.get("self") if frame.f_code.co_name == "predict" else None
            if isinstance(caller, PyFuncModel) and getattr(caller._model_impl, "python_model", None) is self:
                return {str(name): value for name, value in (frame.f_locals.get("params") or {}).items()}
            frame = frame.f_back
        return {}

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
