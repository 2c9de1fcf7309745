"""One training, one MLflow run: what went in, how well it did, and the registered model that came out.

The model is stored as an MLflow LoggedModel and its version points at the artifact location itself, not at
`models:/<model id>`: that address is resolved by SQL registries through MLflow's global tracking address,
which belongs to the host process. The location works alike on SQLite and on a server, where it is checked
to lie inside the logged model named with it.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from crm_ml.errors import ModelError
from crm_ml.registry.bundle import save_bundle
from crm_ml.registry.evidence import Figure, log_files, log_fingerprint, log_numbers
from crm_ml.registry.kinds import StorableModel, check_settings
from crm_ml.registry.schema import write_mlflow_model
from crm_ml.registry.store import EXPERIMENT, Store, session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

__all__ = ["TrackedRun", "track"]


@dataclass(frozen=True)
class TrackedRun:
    """Where a tracked training can be found.

    Attributes
    ----------
    run_id
        MLflow run.
    model_name
        Registered model.
    version
        Version of it that this training made.
    model_uri
        Address of that version, `models:/<name>/<version>`.
    tracking_uri
        Store that keeps it.
    """

    run_id: str
    model_name: str
    version: int
    model_uri: str
    tracking_uri: str


def track(
    store: Store,
    model: StorableModel,
    *,
    register_as: str,
    run_name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | Sequence[float]],
    data_fingerprint: Mapping[str, object],
    tags: Mapping[str, str] | None = None,
    figures: Mapping[str, Figure] | None = None,
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]] | None = None,
    bundle_metadata: Mapping[str, object] | None = None,
    setting_defaults: Mapping[str, float] | None = None,
    alias: str = "champion",
) -> TrackedRun:
    """Record one training and register its model; the alias moves last, when all else is stored.

    No global MLflow setting of the process is read or changed: neither its tracking address nor its
    experiment, active run or autologging. A run whose recording fails is marked FAILED, and no alias moves.

    Parameters
    ----------
    store
        Where to record; an embedded store is created where there is none.
    model
        Fitted model.
    register_as
        Registered model that gets a new version.
    run_name
        Name of the run.
    params
        Settings of the training.
    metrics
        Name -> number, or name -> one number per cutoff, recorded as steps 0, 1, ...
    data_fingerprint
        Content hash, row counts, cutoff, ... of the data; recorded as tags `data.<key>`, as the run's input
        dataset and in the bundle's metadata.
    tags
        Further tags of the run.
    figures
        Name -> matplotlib figure, stored as `figures/<name>.png`.
    tables
        Name -> frame, stored as `tables/<name>.csv`, or -> mapping, stored as `tables/<name>.json`.
    bundle_metadata
        Further metadata of the bundle, as for :func:`crm_ml.registry.save_bundle`.
    setting_defaults
        Default of every setting of the model's `predict`, for those who load it through MLflow.
    alias
        Alias that points to the new version afterwards.

    Raises
    ------
    ModelError
        When the store cannot be reached or refuses, or when `setting_defaults` does not name exactly the
        settings of the model's `predict`.

    Examples
    --------
    >>> from crm_ml.registry import default_store, track
    >>> run = track(  # doctest: +SKIP
    ...     default_store(), model, register_as="churn", run_name="churn 2017-10-01",
    ...     params={"horizon_days": 30}, metrics={"auc": [0.81, 0.82]},
    ...     data_fingerprint={"content_hash": "9f2c", "transactions": 1204},
    ... )
    >>> run.model_uri  # doctest: +SKIP
    'models:/churn/1'
    """
    defaults = setting_defaults or {}
    check_settings(model, defaults, what="`setting_defaults`")
    metadata = {**(bundle_metadata or {}), "data_fingerprint": data_fingerprint}
    with (
        session(store, create=True) as client,
        tempfile.TemporaryDirectory() as scratch,
        _run(client, _experiment_id(client, store), run_name=run_name, tags=tags or {}) as run_id,
    ):
        logged = _log_model(
            client,
            run_id,
            model,
            name=register_as,
            bundle=save_bundle(model, Path(scratch, "bundle"), metadata=metadata),
            setting_defaults=defaults,
        )
        log_numbers(client, run_id, model_id=logged.model_id, params=params, metrics=metrics)
        log_fingerprint(client, run_id, data_fingerprint)
        log_files(client, run_id, figures=figures or {}, tables=tables or {})
        version = _register(client, logged, run_id=run_id, name=register_as)
        client.set_registered_model_alias(register_as, alias, str(version))
    return TrackedRun(run_id, register_as, version, f"models:/{register_as}/{version}", store.tracking_uri)


def _experiment_id(client: MlflowClient, store: Store) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        artifacts = store.directory and (store.directory / "artifacts").as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(EXPERIMENT)  # another process was first
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ModelError(
            f"The experiment `{EXPERIMENT}` must be active. It was deleted in {store}.\n"
            f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}."
        )
    return str(found.experiment_id)


@contextlib.contextmanager
def _run(client: MlflowClient, experiment_id: str, *, run_name: str, tags: Mapping[str, str]) -> Iterator[str]:
    run_id = client.create_run(experiment_id, run_name=run_name, tags=dict(tags)).info.run_id
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        # Against a server, MLflow prints links to standard output, which belongs to the host.
        with contextlib.redirect_stdout(io.StringIO()):
            client.set_terminated(run_id, status)


def _log_model(
    client: MlflowClient,
    run_id: str,
    model: StorableModel,
    *,
    name: str,
    bundle: Path,
    setting_defaults: Mapping[str, float],
) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name, run_id, model_type=model.kind)
    status = "FAILED"
    try:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        identity = Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
        )
        target = bundle.with_name("mlflow_model")
        write_mlflow_model(model, bundle, target, identity=identity, setting_defaults=setting_defaults)
        client.log_model_artifacts(logged.model_id, str(target))
        status = "READY"
    finally:
        client.finalize_logged_model(logged.model_id, status)
    return logged


def _register(client: MlflowClient, logged: LoggedModel, *, run_id: str, name: str) -> int:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(name, logged.artifact_location, run_id=run_id, model_id=logged.model_id)
    return int(version.version)
