"""Trainings outlive the tracking store: kept while it is gone, recorded once when it is back."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from faulty_store import Door, served
from toy_model import ToyChurn

from crm_ml.cli import models as commands
from crm_ml.registry import PendingRun, RecordedRun, Store, TrackedRun, default_store, record, resolve, sync, track
from crm_ml.registry.kinds import KINDS
from crm_ml.registry.store import session

TESTS = Path(__file__).parent
NOWHERE = Store("http://127.0.0.1:9", "http://127.0.0.1:9")


class Ink:
    def savefig(self, fname: Any, /) -> None:
        Path(fname).write_bytes(b"\x89PNG")


class FullDisk:
    def savefig(self, _fname: Any, /) -> None:
        with Path("/dev/full").open("wb") as device:
            device.write(b"\x89PNG")


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setitem(KINDS, "churn", ("toy_model", "ToyChurn"))
        yield


@pytest.fixture(scope="module")
def database(toys: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty store's database; migrating one takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("empty")
    with session(default_store(folder), create=True) as client:
        client.search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def store(database: Path, tmp_path: Path) -> Store:
    shutil.copy(database, tmp_path)
    return default_store(tmp_path)


@pytest.fixture(scope="module")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Door]]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder)
    with served(folder) as (store, door):
        train(store, tmp_path_factory.mktemp("first"), "first")
        yield store, door


def train(store: Store, directory: Path, name: str, **changes: Any) -> TrackedRun | PendingRun:
    given: dict[str, Any] = {
        "register_as": name,
        "run_name": name,
        "params": {"horizon_days": 30},
        "metrics": {"auc": [0.75, 0.8], "slope": float("inf"), "lift": float("nan")},
        "data_fingerprint": {"content_hash": "9f2c"},
        "figures": {"gains": Ink()},
        "tables": {"window": {"as_of": "2017-10-01"}},
    }
    return track(store, ToyChurn(slope=0.1), directory=directory, **given | changes)


def mlflow_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}


def pending(directory: Path) -> list[str]:
    return sorted(found.name for found in (directory / "pending").iterdir() if found.name != ".lock")


def assert_recorded_once(store: Store, name: str, folder: Path) -> None:
    with session(store) as client:
        (found,) = client.search_model_versions(f"name = '{name}'")
        version = client.get_model_version(name, found.version)
        (experiment,) = client.search_experiments(filter_string="name = 'crm_ml'")
        (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
        logged = client.search_logged_models([experiment.experiment_id], f"source_run_id = '{run.info.run_id}'")
        steps = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "auc")]
        folder.mkdir()
        client.download_artifacts(run.info.run_id, "", str(folder))
    assert (run.info.status, version.run_id, run.data.params) == ("FINISHED", run.info.run_id, {"horizon_days": "30"})
    assert run.data.tags["data.content_hash"] == "9f2c"
    assert steps == [(0, 0.75), (1, 0.8)]
    assert run.data.metrics["slope"] > 1e300
    assert np.isnan(run.data.metrics["lift"])
    assert [(model.artifact_location, model.status) for model in logged] == [(version.source, "READY")]
    assert (folder / "figures" / "gains.png").read_bytes() == b"\x89PNG"
    assert (folder / "tables" / "window.json").exists()
    champion = resolve(f"models:/{name}@champion", store=store)
    assert (champion.version, champion.metadata["data_fingerprint"]) == (1, {"content_hash": "9f2c"})


@pytest.mark.parametrize(
    ("dies_at", "lost_answer"),
    [
        ("GET ", False),  # at the first request
        ("POST /api/2.0/mlflow/runs/create", True),
        ("MLmodel", False),
        ("POST /api/2.0/mlflow/model-versions/create", True),
        ("POST /api/2.0/mlflow/registered-models/alias", True),
        ("POST /api/2.0/mlflow/runs/update", True),
    ],
)
def test_a_training_whose_server_dies_is_recorded_once_by_sync(
    server: tuple[Store, Door], tmp_path: Path, dies_at: str, lost_answer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store, door = server
    name = tmp_path.name
    door.dies_at, door.lost_answer = dies_at, lost_answer
    try:
        with caplog.at_level(logging.WARNING, logger="crm_ml"):
            kept = train(store, tmp_path, name)
        assert door.dead
        refused = sync(store, directory=tmp_path)
    finally:
        door.repair()
    assert isinstance(kept, PendingRun)
    assert "Not recorded in MLflow; kept in" in caplog.text
    assert [found.dossier for found in refused.pending] == [kept.dossier]
    (recorded,) = sync(store, directory=tmp_path).recorded
    assert isinstance(recorded, TrackedRun)
    assert (recorded.version, recorded.alias) == (1, "champion")
    assert sync(store, directory=tmp_path).recorded == ()
    assert pending(tmp_path) == []
    assert_recorded_once(store, name, tmp_path / "evidence")


@pytest.mark.parametrize("request_lost", ["runs/create", "model-versions/create"])
def test_a_request_whose_answer_was_lost_is_not_sent_again(
    server: tuple[Store, Door], tmp_path: Path, request_lost: str
) -> None:
    store, door = server
    door.dies_at, door.lost_answer, door.recovers = f"POST /api/2.0/mlflow/{request_lost}", True, True
    assert isinstance(train(store, tmp_path, tmp_path.name), PendingRun)
    assert len(sync(store, directory=tmp_path).recorded) == 1
    assert_recorded_once(store, tmp_path.name, tmp_path / "evidence")


def test_a_dead_address_costs_no_minutes_and_shows_no_password(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    before = mlflow_variables()
    dead = "http://ann:hunter2@127.0.0.1:9"
    begun = time.monotonic()
    kept = train(Store(dead, dead), tmp_path, "churn")
    assert time.monotonic() - begun < 20  # MLflow by itself: four minutes
    assert isinstance(kept, PendingRun)
    assert "http://127.0.0.1:9" in kept.reason
    assert "hunter2" not in kept.reason + caplog.text
    assert mlflow_variables() == before


def test_a_server_that_hangs_is_given_up(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        begun = time.monotonic()
        assert isinstance(train(Store(address, address), tmp_path, "churn"), PendingRun)
        assert time.monotonic() - begun < 20


SYNC = """
import json, os, signal, sys
import mlflow
from crm_ml.registry import default_store, sync
from crm_ml.registry.kinds import KINDS
from crm_ml.registry.tracking import recording
KINDS.update(churn=("toy_model", "ToyChurn"))

def syncing(killed=False):
    child = os.fork()
    if child:
        return child
    if killed:
        recording._register = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    os._exit(len(sync(default_store(sys.argv[1]), directory=sys.argv[1]).recorded))

ends = [os.waitpid(syncing(killed=True), 0)[1]]
both = [syncing(), syncing()]
print(json.dumps(ends + sorted(os.waitpid(child, 0)[1] for child in both)))
"""


def test_killed_in_the_middle_and_two_at_once_make_one_version(store: Store, tmp_path: Path) -> None:
    assert isinstance(train(NOWHERE, tmp_path, "churn"), PendingRun)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SYNC, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        stdout=subprocess.PIPE,
        check=True,
    )
    killed, *both = (os.waitstatus_to_exitcode(status) for status in json.loads(ended.stdout))
    assert (killed, both) == (-signal.SIGKILL, [0, 1])
    assert pending(tmp_path) == []
    assert_recorded_once(store, "churn", tmp_path / "evidence")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_no_half_dossier(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        train(default_store(tmp_path), tmp_path, "churn", tables={}, figures={"first": Ink(), "second": FullDisk()})
    assert list((tmp_path / "pending").iterdir()) == []
    assert not (tmp_path / "mlflow.db").exists()


def test_a_dossier_recorded_late_takes_no_alias_from_a_later_training(store: Store, tmp_path: Path) -> None:
    assert isinstance(train(NOWHERE, tmp_path, "churn"), PendingRun)
    damaged = train(NOWHERE, tmp_path, "churn")
    assert isinstance(damaged, PendingRun)
    refused = train(NOWHERE, tmp_path, "a/b")
    assert isinstance(refused, PendingRun)
    now = train(store, tmp_path, "churn")
    assert isinstance(now, TrackedRun)
    assert now.alias == "champion"
    picture = damaged.dossier / "artifacts" / "figures" / "gains.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"g")
    found = sync(store, directory=tmp_path)
    (late,) = found.recorded
    assert isinstance(late, TrackedRun)
    assert (late.version, late.alias) == (2, None)
    assert [kept.dossier for kept in found.pending] == [damaged.dossier, refused.dossier]
    assert "must be as this crm_ml wrote it" in found.pending[0].reason
    assert "Invalid model name" in found.pending[1].reason or "must serve" in found.pending[1].reason
    assert resolve("models:/churn@champion", store=store).version == 1


def test_a_scoring_run_is_recorded_without_a_model(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {
        "directory": tmp_path,
        "run_name": "scores 2024-11-01",
        "params": {"as_of": "2024-11-01"},
        "metrics": {"customers": 12},
        "tags": {"model": "models:/churn/3"},
        "tables": {"drift": pd.DataFrame({"psi": [0.25]})},
    }
    kept = record(NOWHERE, **given)
    assert isinstance(kept, PendingRun)
    recorded = record(store, **given)
    assert isinstance(recorded, RecordedRun)
    with session(store) as client:
        run = client.get_run(recorded.run_id)
        files = [file.path for file in client.list_artifacts(recorded.run_id, "tables")]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "scores 2024-11-01")
    assert (run.data.params, run.data.metrics) == ({"as_of": "2024-11-01"}, {"customers": 12.0})
    assert run.data.tags["model"] == "models:/churn/3"
    assert files == ["tables/drift.csv"]
    commands.sync(tmp_path)
    commands.sync(tmp_path)
    assert capsys.readouterr().out == "recorded scores 2024-11-01\nnothing to record\n"
    (tmp_path / "pending" / "20240101T000000.000000Z-damaged").mkdir()
    with pytest.raises(typer.Exit, match="4"):
        commands.sync(tmp_path)
    assert "pending  " in capsys.readouterr().out
