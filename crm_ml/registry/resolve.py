"""From whatever names a model (the model itself, a bundle's path, an MLflow address) to the model."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_ml.errors import ModelError
from crm_ml.registry.bundle import load_bundle
from crm_ml.registry.kinds import StorableModel
from crm_ml.registry.schema import BUNDLE_IN_MODEL
from crm_ml.registry.store import Store, default_store, session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

__all__ = ["ResolvedModel", "resolve"]

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")
_LOGGED = re.compile(r"runs:/(?P<run_id>[^/]+)/(?P<name>.+)")


@dataclass(frozen=True)
class ResolvedModel:
    """A model and where it came from.

    Attributes
    ----------
    model
        The model.
    source
        Address that will always mean this very model: an alias is replaced by the version it pointed to.
        None for a model object.
    version
        Version of the registered model, or None when it did not come from a registry.
    metadata
        Metadata of its bundle; empty for a model object.
    """

    model: StorableModel
    source: str | None = None
    version: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def resolve(model: StorableModel | str | Path, *, kind: str | None = None, store: Store | None = None) -> ResolvedModel:
    """Find the model that is meant.

    Parameters
    ----------
    model
        A model, the path of a bundle, or an MLflow address: `models:/churn@champion`, `models:/churn/3`,
        `runs:/<run id>/churn`. An alias is looked up once.
    kind
        Kind the model must be of, or None for any.
    store
        Where addresses are looked up, the default store unless given.

    Raises
    ------
    ModelError
        When there is no such model, alias or version, when it is of another kind, or when its bundle is
        damaged.

    Examples
    --------
    >>> resolve("models:/churn")
    Traceback (most recent call last):
    ...
    crm_ml.errors.ModelError: A model's address must have one of the forms 'models:/churn@champion', \
'models:/churn/3', 'runs:/<run id>/churn'. Got 'models:/churn'.
    Name an alias or a version.
    """
    if isinstance(model, str) and model.startswith(("models:", "runs:")):
        resolved = _from_store(model, store or default_store())
    elif isinstance(model, str | Path):
        bundle = load_bundle(model)
        resolved = ResolvedModel(bundle.model, str(model), metadata=bundle.metadata)
    elif isinstance(getattr(model, "kind", None), str):
        resolved = ResolvedModel(model)
    else:
        raise ModelError(
            "A model must be given as a model, the path of a bundle or an MLflow address. "
            f"Got a {type(model).__name__}.\nPass, for example, 'models:/churn@champion'."
        )
    if kind is not None and resolved.model.kind != kind:
        what = resolved.source or type(resolved.model).__name__
        raise ModelError(
            f"The model must be of kind {kind!r}. {what!r} is of kind {resolved.model.kind!r}.\nPass a {kind} model."
        )
    return resolved


def _from_store(address: str, store: Store) -> ResolvedModel:
    if found := _REGISTERED.fullmatch(address):
        name = found["name"]
        with session(store) as client:
            version = _version(client, name, alias=found["alias"], version=found["version"])
            location = client.get_model_version_download_uri(name, str(version))
            return _download(location, store, source=f"models:/{name}/{version}", version=version)
    if found := _LOGGED.fullmatch(address):
        with session(store) as client:
            location = _location_in_run(client, found["run_id"], found["name"])
            return _download(location, store, source=address, version=None)
    raise ModelError(
        "A model's address must have one of the forms 'models:/churn@champion', 'models:/churn/3', "
        f"'runs:/<run id>/churn'. Got {address!r}.\nName an alias or a version."
    )


def _version(client: MlflowClient, name: str, *, alias: str | None, version: str | None) -> int:
    registered = _registered_model(client, name)
    if alias is not None:
        if alias not in registered.aliases:
            raise _missing(f"alias {alias!r} of the registered model {name!r}", alias, registered.aliases)
        return int(registered.aliases[alias])
    found = client.search_model_versions(f"name = '{name}'")
    there = [str(each.version) for each in found if each.name == name]  # a name may hold a quote
    if version not in there:
        raise _missing(f"version {version} of the registered model {name!r}", str(version), there)
    return int(version)


def _registered_model(client: MlflowClient, name: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        there = [found.name for found in client.search_registered_models()]
        raise _missing(f"registered model {name!r}", name, there) from error


def _location_in_run(client: MlflowClient, run_id: str, name: str) -> str:
    run = client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    logged = {found.name: found for found in (client.get_logged_model(out.model_id) for out in outputs)}
    if name not in logged:
        raise _missing(f"model {name!r} in run {run_id!r}", name, logged)
    return str(logged[name].artifact_location)


def _download(location: str, store: Store, *, source: str, version: int | None) -> ResolvedModel:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{location.rstrip('/')}/{BUNDLE_IN_MODEL}",
                dst_path=scratch,
                tracking_uri=store.tracking_uri,
            )
        except (MlflowException, OSError) as error:
            raise ModelError(
                f"'{source}' must hold a crm_ml bundle. None could be read from it: {error}\n"
                "Register the model with crm_ml.registry.track, or restore its artifacts."
            ) from error
        bundle = load_bundle(path)
    return ResolvedModel(bundle.model, source, version, bundle.metadata)


def _missing(what: str, wanted: str, there: Iterable[str]) -> ModelError:
    names = sorted(there)
    near = difflib.get_close_matches(wanted, names, n=1)
    nearest = f"; nearest: {near[0]!r}" if near else ""
    return ModelError(
        f"The store must hold the {what}. It does not; there are: {names}{nearest}.\n"
        "Name one that is there, or check MLFLOW_TRACKING_URI."
    )
