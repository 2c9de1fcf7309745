"""From a dossier to an MLflow run and, of a training, a version of the registered model: once, whatever happens.

The run carries the dossier's id from the moment it exists. Of a run that was cut short before its version existed
nothing is kept: it is deleted, and recorded anew. The version comes when all else is stored, the alias last.

The model is stored as an MLflow LoggedModel and its version points at the artifact location itself, not at
`models:/<model id>`: that address is resolved by SQL registries through MLflow's global tracking address,
which belongs to the host process. The location works alike on SQLite and on a server, where it is checked
to lie inside the logged model named with it.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_ml.errors import ModelError
from crm_ml.registry.aliases import TRAINED_AT, place
from crm_ml.registry.bundle import load_bundle
from crm_ml.registry.schema import write_mlflow_model
from crm_ml.registry.store import EXPERIMENT, Store
from crm_ml.registry.tracking.dossier import Dossier
from crm_ml.registry.tracking.evidence import log_fingerprint, log_numbers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["RecordedRun", "TrackedRun", "experiment_id", "record_dossier"]

DOSSIER: Final = "crm_ml.dossier"
"""Tag of a run: the dossier it was recorded from."""


@dataclass(frozen=True)
class RecordedRun:
    """Where a recorded run can be found.

    Attributes
    ----------
    run_id
        MLflow run.
    run_name
        Its name.
    tracking_uri
        Store that keeps it, without user name and password.
    """

    run_id: str
    run_name: str
    tracking_uri: str


@dataclass(frozen=True)
class TrackedRun(RecordedRun):
    """Where a tracked training can be found.

    Attributes
    ----------
    run_id, run_name, tracking_uri
        As of any run.
    model_name
        Registered model.
    version
        Version of it that this training made.
    model_uri
        Address of that version, `models:/<name>/<version>`.
    alias
        The alias it got: `champion` where there was none, else `challenger`; None when it was recorded
        after a later training had become either.
    """

    model_name: str
    version: int
    model_uri: str
    alias: str | None


def record_dossier(client: MlflowClient, store: Store, dossier: Dossier) -> RecordedRun:
    """Record what is not recorded yet."""
    experiment = experiment_id(client, store)
    run = _run_of(client, experiment, dossier)
    version = _version_of(client, run) if run else None
    if run is not None and version is None and run.info.status != "FINISHED":
        _discard(client, run)
        run = None
    if run is None:
        with _new_run(client, experiment, dossier) as run_id:
            version = _record(client, run_id, dossier)
    else:
        run_id = run.info.run_id
    recorded = RecordedRun(run_id, dossier.run_name, str(store))
    if version is not None:
        number = int(version.version)
        alias = place(client, version.name, number)
        address = f"models:/{version.name}/{number}"
        recorded = TrackedRun(run_id, dossier.run_name, str(store), version.name, number, address, alias)
    # Against a server, MLflow prints links to standard output, which belongs to the host.
    with contextlib.redirect_stdout(io.StringIO()):
        client.set_terminated(run_id, "FINISHED")
    return recorded


def experiment_id(client: MlflowClient, store: Store) -> str:
    """Give the experiment of all runs; it is created where there is none."""
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


def _run_of(client: MlflowClient, experiment: str, dossier: Dossier) -> Run | None:
    found = client.search_runs([experiment], f"tags.`{DOSSIER}` = '{dossier.id}'")
    return found[0] if found else None


def _version_of(client: MlflowClient, run: Run) -> ModelVersion | None:
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    return found[0] if found else None


def _discard(client: MlflowClient, run: Run) -> None:
    run_id = run.info.run_id
    for model in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'"):
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)


@contextlib.contextmanager
def _new_run(client: MlflowClient, experiment: str, dossier: Dossier) -> Iterator[str]:
    """Create the run; cut short, it is marked FAILED, if the store still answers."""
    from mlflow.exceptions import MlflowException

    tags = {**dossier.tags, DOSSIER: dossier.id}
    run_id = client.create_run(experiment, run_name=dossier.run_name, tags=tags).info.run_id
    try:
        yield run_id
    except BaseException:
        with contextlib.suppress(MlflowException), contextlib.redirect_stdout(io.StringIO()):
            client.set_terminated(run_id, "FAILED")
        raise


def _record(client: MlflowClient, run_id: str, dossier: Dossier) -> ModelVersion | None:
    logged = _log_model(client, run_id, dossier, name=dossier.register_as) if dossier.register_as else None
    log_numbers(client, run_id, dossier, model_id=logged and logged.model_id)
    if logged:
        log_fingerprint(client, run_id, dossier.fingerprint)
    if dossier.artifacts.exists():
        client.log_artifacts(run_id, str(dossier.artifacts))
    return _register(client, logged, run_id=run_id, dossier=dossier) if logged else None


def _log_model(client: MlflowClient, run_id: str, dossier: Dossier, *, name: str) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    model = load_bundle(dossier.bundle).model
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name, run_id, model_type=model.kind)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    identity = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        run_id=run_id,
    )
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "mlflow_model")
        write_mlflow_model(model, dossier.bundle, target, identity=identity, setting_defaults=dossier.setting_defaults)
        client.log_model_artifacts(logged.model_id, str(target))
    client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _register(client: MlflowClient, logged: LoggedModel, *, run_id: str, dossier: Dossier) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(dossier.register_as)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        dossier.register_as,
        logged.artifact_location,
        run_id=run_id,
        model_id=logged.model_id,
        tags={DOSSIER: dossier.id, TRAINED_AT: dossier.created.isoformat()},
    )
