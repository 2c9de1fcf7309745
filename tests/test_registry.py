"""Tracking and the registry: complete runs, models a stranger can load, a host left as it was."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from toy_model import ToyChurn, ToyCLV

from crm_ml import __version__
from crm_ml.errors import ModelError
from crm_ml.registry import ResolvedModel, Store, TrackedRun, default_store, resolve, track
from crm_ml.registry.aliases import decisions
from crm_ml.registry.kinds import KINDS
from crm_ml.registry.store import _publish, session
from crm_ml.registry.tracking.recording import experiment_id

TESTS = Path(__file__).parent
DEFAULTS = {"horizon_days": 365.0, "annual_discount_rate": 0.1, "margin": 0.3}
FRAME = pd.DataFrame(
    {"frequency": [0.0, 3.0], "recency": [0.0, 50.5], "T": [60.25, 70.0], "monetary_value": [0.0, 19.99]},
    index=pd.Index(["c7", "c3"], name="customer_id"),
)


class StubFigure:
    def savefig(self, fname: Any, /) -> None:
        Path(fname).write_bytes(b"\x89PNG stub")


class BrokenFigure:
    def savefig(self, _fname: Any, /) -> None:
        raise RuntimeError("no ink")


@dataclass(frozen=True)
class Shop:
    """A store with two versions of `clv`, one of `churn`, and what their recording printed."""

    store: Store
    first: TrackedRun
    second: TrackedRun
    churn: TrackedRun
    printed: str
    left_in_cwd: list[str]


def refuse_links(_source: Path, _target: Path) -> None:
    raise OSError(errno.EOPNOTSUPP, "no hard links here")


@contextlib.contextmanager
def printing() -> Iterator[io.StringIO]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


def environment(**extra: str) -> dict[str, str]:
    """Give the environment of a stranger: no settings but those given, no home to write to."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": paths, **extra}


@pytest.fixture(scope="module")
def mlflow_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setitem(KINDS, "churn", ("toy_model", "ToyChurn"))
        patch.setitem(KINDS, "clv", ("toy_model", "ToyCLV"))
        yield


@pytest.fixture(scope="module")
def beaten(mlflow_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Create a store while another process, one step ahead, puts its own there (user_version 7)."""
    store = default_store(tmp_path_factory.mktemp("a shop") / "models")
    link = os.link

    def link_too_late(fresh: Path, database: Path) -> None:
        shutil.copy(fresh, database)
        with contextlib.closing(sqlite3.connect(database)) as winner:
            winner.execute("PRAGMA user_version = 7")
        link(fresh, database)

    with pytest.MonkeyPatch.context() as patch, printing() as printed:
        patch.setattr(os, "link", link_too_late)
        with session(store, create=True) as client:
            client.search_experiments()
    assert printed.getvalue() == ""
    return store


@pytest.fixture(scope="module")
def shop(
    mlflow_environment: None,
    beaten: Store,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    store = beaten
    assert store.directory is not None
    cwd = tmp_path_factory.mktemp("cwd")
    for name in ("uv.lock", "pyproject.toml"):
        (cwd / name).write_text("secret")
    shared: dict[str, Any] = {
        "data_fingerprint": {"content_hash": "9f2c", "transactions": 1204, "cutoff": "2017-10-01"},
        "tags": {"host": "local"},
    }
    with contextlib.chdir(cwd), printing() as printed:
        first, second = (
            track(
                store,
                ToyCLV(rate=rate),
                directory=store.directory,
                register_as="clv",
                run_name=f"clv {rate}",
                params={"purchases": "BG/NBD", "penalizer": 0.0},
                metrics={"mae": 1.5, "calibration": [0.9, 1.1, 1.0]},
                figures={"calibration": StubFigure()},
                tables={"backtest": pd.DataFrame({"mae": [1.5]}), "window": {"as_of": "2017-10-01"}},
                bundle_metadata={"window": ["2017-01-01", "2017-10-01"]},
                setting_defaults=DEFAULTS,
                **shared,
            )
            for rate in (0.5, 0.75)
        )
        churn = track(
            store,
            ToyChurn(slope=0.1),
            directory=store.directory,
            register_as="churn",
            run_name="churn",
            params={"horizon_days": 30},
            metrics={"auc": 0.75},
            **shared,
        )
    assert isinstance(first, TrackedRun)
    assert isinstance(second, TrackedRun)
    assert isinstance(churn, TrackedRun)
    return Shop(store, first, second, churn, printed.getvalue(), sorted(p.name for p in cwd.iterdir()))


def score(model: Any, frame: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:
    scores = model.predict(frame, params=params)
    assert isinstance(scores, pd.DataFrame)
    return scores


def load_clv(shop: Shop, version: int) -> Any:
    import mlflow.artifacts
    import mlflow.pyfunc

    with session(shop.store) as client:
        location = client.get_model_version_download_uri("clv", str(version))
        return mlflow.pyfunc.load_model(location, suppress_warnings=True)


def test_a_store_that_another_process_created_first_is_kept(beaten: Store) -> None:
    assert beaten.directory is not None
    with contextlib.closing(sqlite3.connect(beaten.directory / "mlflow.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (7,)
    assert [p.name for p in beaten.directory.iterdir() if p.name not in ("artifacts", "pending")] == ["mlflow.db"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_new_database_never_replaces_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, there: bool
) -> None:
    fresh, database = tmp_path / "fresh.db", tmp_path / "mlflow.db"
    fresh.write_text("fresh")
    if there:
        database.write_text("there")
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    _publish(fresh, database)
    assert database.read_text() == ("there" if there else "fresh")


def test_nothing_is_printed_and_nothing_left_in_the_working_directory(shop: Shop) -> None:
    assert shop.printed == ""
    assert shop.left_in_cwd == ["pyproject.toml", "uv.lock"]


def test_importing_the_registry_imports_no_mlflow() -> None:
    code = "import sys, crm_ml.registry; print({'mlflow', 'matplotlib', 'xgboost'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_a_run_holds_what_was_recorded(shop: Shop, tmp_path: Path) -> None:
    with session(shop.store) as client:
        run = client.get_run(shop.first.run_id)
        history = client.get_metric_history(shop.first.run_id, "calibration")
        client.download_artifacts(shop.first.run_id, "", str(tmp_path))
        experiment = client.get_experiment(run.info.experiment_id)
    assert (run.info.status, run.info.run_name, experiment.name) == ("FINISHED", "clv 0.5", "crm_ml")
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {"purchases": "BG/NBD", "penalizer": "0.0"}
    assert run.data.metrics == {"mae": 1.5, "calibration": 1.0}
    assert [(m.step, m.value) for m in history] == [(0, 0.9), (1, 1.1), (2, 1.0)]
    assert run.data.tags["host"] == "local"
    assert run.data.tags["data.content_hash"] == "9f2c"
    (dataset,) = (read.dataset for read in run.inputs.dataset_inputs)
    assert json.loads(dataset.profile)["transactions"] == 1204
    assert (tmp_path / "figures" / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert pd.read_csv(tmp_path / "tables" / "backtest.csv")["mae"].tolist() == [1.5]
    assert json.loads((tmp_path / "tables" / "window.json").read_text()) == {"as_of": "2017-10-01"}


def test_metrics_belong_to_the_logged_model(shop: Shop) -> None:
    with session(shop.store) as client:
        (output,) = client.get_run(shop.first.run_id).outputs.model_outputs
        logged = client.get_logged_model(output.model_id)
    assert (logged.name, logged.status, logged.model_type) == ("clv", "READY", "clv")
    assert {(m.key, m.value) for m in logged.metrics} >= {("mae", 1.5)}


def test_the_first_version_is_champion_and_a_later_one_challenger(shop: Shop) -> None:
    assert (shop.first.version, shop.second.version, shop.churn.version) == (1, 2, 1)
    assert (shop.first.alias, shop.second.alias, shop.churn.alias) == ("champion", "challenger", "champion")
    assert shop.second.model_uri == "models:/clv/2"
    with session(shop.store) as client:
        versions = [client.get_model_version_by_alias("clv", alias) for alias in ("champion", "challenger")]
        first = client.get_model_version("clv", "1")
    assert [(int(found.version), found.run_id) for found in versions] == [
        (1, shop.first.run_id),
        (2, shop.second.run_id),
    ]
    assert [found["decision"] for found in decisions(first)] == ["first"]


def test_stored_files_hold_no_pickle_and_nothing_of_the_working_directory(shop: Shop) -> None:
    assert shop.store.directory is not None
    files = [p for p in (shop.store.directory / "artifacts").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {"", ".csv", ".json", ".png", ".py", ".txt", ".ubj", ".yaml"}
    assert {p.name for p in files if p.suffix == ""} == {"MLmodel"}
    for file in files:
        content = file.read_bytes()
        assert b"secret" not in content
        assert not content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")), file
        assert b"pickle" not in content.lower(), file
    requirements = {p.read_text() for p in files if p.name == "requirements.txt"}
    assert len(requirements) == 1
    (lines,) = (text.split() for text in requirements)
    assert [line.split("==")[0] for line in lines] == ["mlflow", "crm_ml"]
    assert f"crm_ml=={__version__}" in lines


STRANGER = """
import json, sys
from crm_ml.registry.kinds import KINDS
KINDS.update(churn=("toy_model", "ToyChurn"), clv=("toy_model", "ToyCLV"))
import mlflow, numpy as np, pandas as pd
churn = mlflow.pyfunc.load_model("models:/churn@champion", suppress_warnings=True)
clv = mlflow.pyfunc.load_model("models:/clv@champion", suppress_warnings=True)
new = mlflow.pyfunc.load_model("models:/clv@challenger", suppress_warnings=True)
events = pd.DataFrame({"recency_days": [1.0, 40.0, 9.0], "orders": [3.0, np.nan, 0.0]}, index=[5, 3, 4])
rfm = pd.DataFrame(json.loads(sys.argv[1]))
print(json.dumps({
    "churn": churn.predict(events).to_dict("split"),
    "clv": clv.predict(rfm)["clv"].tolist(),
    "clv of half the margin": clv.predict(rfm, params={"margin": 0.15})["clv"].tolist(),
    "new clv": new.predict(rfm)["clv"].tolist(),
}))
"""


def test_a_stranger_loads_champion_and_challenger_without_pickle(shop: Shop, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(FRAME.to_dict("list"))],
        env=environment(
            MLFLOW_TRACKING_URI=shop.store.tracking_uri,
            MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    scores = json.loads(ended.stdout)
    events = pd.DataFrame({"recency_days": [1.0, 40.0, 9.0], "orders": [3.0, np.nan, 0.0]}, index=[5, 3, 4])
    expected = ToyChurn(slope=0.1).predict(events)
    assert scores["churn"]["index"] == [5, 3, 4]
    assert scores["churn"]["columns"] == list(expected)
    close = {"rtol": 0.0, "atol": 1e-12}
    np.testing.assert_allclose(scores["churn"]["data"], expected.to_numpy(), **close)
    for name, rate, settings in [
        ("clv", 0.5, DEFAULTS),
        ("clv of half the margin", 0.5, {**DEFAULTS, "margin": 0.15}),
        ("new clv", 0.75, DEFAULTS),
    ]:
        direct = ToyCLV(rate=rate).predict(FRAME, **settings)["clv"]
        np.testing.assert_allclose(scores[name], direct, **close)
    assert list(tmp_path.iterdir()) == []


def test_two_versions_in_one_process_give_their_own_scores(shop: Shop) -> None:
    first, second = load_clv(shop, 1), load_clv(shop, 2)
    np.testing.assert_allclose(score(second, FRAME)["clv"], 1.5 * score(first, FRAME)["clv"], rtol=1e-12)


def test_one_instance_handed_to_two_loads_keeps_their_models_apart(shop: Shop) -> None:
    first, second = load_clv(shop, 1), load_clv(shop, 2)
    one = first.unwrap_python_model()
    contexts = [first._model_impl.context, second._model_impl.context]
    one.load_context(contexts[1])
    rates = [one.predict(context, FRAME, DEFAULTS)["expected_purchases"].iloc[0] / 365 for context in contexts]
    assert rates == pytest.approx([0.5, 0.75], rel=1e-12)
    with pytest.raises(ModelError, match=r"exactly one model must be loaded\. 2 are"):
        one.predict(None, FRAME, DEFAULTS)


def test_index_is_kept_and_other_columns_are_ignored(shop: Shop) -> None:
    scores = score(load_clv(shop, 1), FRAME.assign(country="NL"))
    assert scores.index.tolist() == ["c7", "c3"]
    direct = ToyCLV(rate=0.5).predict(FRAME, **DEFAULTS).assign(horizon_days=365.0)
    pd.testing.assert_frame_equal(scores, direct, check_names=False)


def test_a_missing_column_is_refused(shop: Shop) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"Model is missing inputs \['T'\]"):
        score(load_clv(shop, 1), FRAME.drop(columns="T"))


def test_an_unknown_setting_is_refused_in_a_direct_call(shop: Shop) -> None:
    with pytest.raises(ModelError, match=r"Missing: \[\]; unknown: \['marign'\]"):
        load_clv(shop, 1).unwrap_python_model().predict(None, FRAME, {**DEFAULTS, "marign": 0.5})


def test_the_example_holds_the_synthetic_customers(shop: Shop) -> None:
    example = load_clv(shop, 1).input_example
    np.testing.assert_array_equal(example.to_numpy(), ToyCLV(rate=0.5).synthetic_example().to_numpy())


@pytest.fixture
def host(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a host process with a store and an active run of its own; the id of that run."""
    import mlflow

    assert shop.store.directory is not None
    shutil.copy(shop.store.directory / "mlflow.db", tmp_path / "host.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "to be restored")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/host.db")
    experiment = mlflow.create_experiment("host's own", artifact_location=(tmp_path / "host").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    try:
        with mlflow.start_run() as run:
            yield run.info.run_id
    finally:
        mlflow.set_tracking_uri(None)
        monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def host_state() -> dict[str, object]:
    import mlflow
    from mlflow.tracking import fluent

    run = mlflow.active_run()
    known = [logging.getLogger(name) for name in sorted(logging.root.manager.loggerDict)]
    return {
        "addresses": (mlflow.get_tracking_uri(), mlflow.get_registry_uri()),
        "run": run and run.info.run_id,
        "experiment": fluent._active_experiment_id,
        "model": mlflow.get_active_model_id(),
        "environment": dict(os.environ),
        "loggers": [(log.name, log.level, log.disabled, list(log.handlers)) for log in [logging.root, *known]],
        "warnings": list(warnings.filters),
        "files": sorted(p.name for p in Path.cwd().iterdir()),
        "streams": (sys.stdout, sys.stderr),
    }


def test_the_host_process_is_left_as_it_was(
    shop: Shop, host: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlflow", "alembic"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
    before = host_state()
    assert before["run"] == host
    assert shop.store.directory is not None
    run = track(
        shop.store,
        ToyChurn(slope=0.2),
        directory=shop.store.directory,
        register_as="beside a host",
        run_name="beside a host",
        params={},
        metrics={"auc": 0.5},
        data_fingerprint={},
    )
    resolved = resolve("models:/beside a host@champion", store=shop.store, kind="churn")
    assert isinstance(resolved.model, ToyChurn)
    assert host_state() == before
    assert capfd.readouterr() == ("", "")
    assert isinstance(run, TrackedRun)
    with session(shop.store) as client:
        assert client.get_run(run.run_id).info.status == "FINISHED"
    import mlflow

    untouched = mlflow.MlflowClient().get_run(host)
    assert (untouched.info.status, untouched.data.metrics, untouched.outputs.model_outputs) == (
        "RUNNING",
        {},
        [],
    )


def test_evidence_that_cannot_be_written_leaves_no_dossier_and_no_run(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no ink"):
        track(
            shop.store,
            ToyChurn(slope=9.0),
            directory=tmp_path,
            register_as="churn",
            run_name="doomed",
            params={},
            metrics={},
            data_fingerprint={},
            figures={"lift": BrokenFigure()},
        )
    assert list((tmp_path / "pending").iterdir()) == []
    with session(shop.store) as client:
        experiment = client.get_experiment_by_name("crm_ml").experiment_id
        assert client.search_runs([experiment], "attributes.run_name = 'doomed'") == []


class StubClient:
    """An MLflow client that finds these experiments, one per question, and may create none."""

    def __init__(self, *found: object) -> None:
        self.found = list(found)

    def get_experiment_by_name(self, _name: str) -> object:
        return self.found.pop(0)

    def create_experiment(self, name: str, **_settings: object) -> str:
        from mlflow.exceptions import MlflowException

        raise MlflowException(f"{name} exists")


def test_a_deleted_experiment_is_not_written_to(shop: Shop) -> None:
    deleted = SimpleNamespace(lifecycle_stage="deleted", experiment_id="4")
    with pytest.raises(ModelError, match=r"experiment `crm_ml` must be active.*\n.*--experiment-id 4"):
        experiment_id(cast("Any", StubClient(deleted)), shop.store)


def test_an_experiment_that_another_process_created_meanwhile_is_used(shop: Shop) -> None:
    theirs = SimpleNamespace(lifecycle_stage="active", experiment_id="5")
    assert experiment_id(cast("Any", StubClient(None, theirs)), shop.store) == "5"


def test_defaults_of_all_settings_must_be_stated_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"`setting_defaults` must name every setting .* Missing: \['margin'\]"):
        track(
            default_store(tmp_path),
            ToyCLV(rate=0.5),
            directory=tmp_path,
            register_as="clv",
            run_name="clv",
            params={},
            metrics={},
            data_fingerprint={},
            setting_defaults={"horizon_days": 365.0, "annual_discount_rate": 0.1},
        )
    assert list(tmp_path.iterdir()) == []


def slope_or_rate(resolved: ResolvedModel) -> float:
    model = resolved.model
    return model.slope if isinstance(model, ToyChurn) else model.rate  # type: ignore[attr-defined]


def test_addresses_resolve_to_the_model_and_its_version(shop: Shop) -> None:
    for address, source, version, rate in [
        ("models:/clv@challenger", "models:/clv/2", 2, 0.75),
        ("models:/clv/1", "models:/clv/1", 1, 0.5),
        (f"runs:/{shop.first.run_id}/clv", f"runs:/{shop.first.run_id}/clv", None, 0.5),
    ]:
        resolved = resolve(address, store=shop.store, kind="clv")
        assert (resolved.source, resolved.version, slope_or_rate(resolved)) == (source, version, rate)
        assert resolved.metadata["window"] == ["2017-01-01", "2017-10-01"]
        assert resolved.metadata["data_fingerprint"]["content_hash"] == "9f2c"


def test_the_default_store_is_the_one_the_environment_names(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shop.store.tracking_uri)
    assert resolve("models:/clv@champion").version == 1
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry.example")
    assert default_store() == Store(shop.store.tracking_uri, "http://registry.example")


def test_the_embedded_store_lies_in_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/models/mlflow.db"
    assert default_store() == Store(uri, uri, tmp_path / "models")
    with pytest.raises(ModelError, match=r"There is none at .*models/mlflow\.db', and MLFLOW_TRACKING_URI is not set"):
        resolve("models:/clv@champion")
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_an_address_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "https://ann:hunter2@tracking.example:5000/mlflow"
    assert str(Store(uri, uri)) == "https://tracking.example:5000/mlflow"
    monkeypatch.setattr("crm_ml.registry.store._REPEATS", 0)
    dead = "http://ann:hunter2@127.0.0.1:9"
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/api") as told:
        resolve("models:/clv@champion", store=Store(dead, dead))
    assert "hunter2" not in str(told.value)
    assert str(Store("sqlite:////shop/mlflow.db", "")) == "sqlite:////shop/mlflow.db"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "models:/clv@champoin",
            r"alias 'champoin' of .* 'clv'\. It does not; there are: \['challenger', 'champion'\]; nearest: 'champion'",
        ),
        ("models:/clv/7", r"version 7 of .* 'clv'\. It does not; there are: \['1', '2'\]"),
        ("models:/chrun@champion", r"registered model 'chrun'\. .*'churn', 'clv'.*; nearest: 'churn'"),
        ("models:/clv", r"one of the forms .* Got 'models:/clv'"),
        ("models:/clv/Production", "one of the forms"),
        ("models:clv/1", "one of the forms"),
        ("runs:/0123", "one of the forms"),
        ("runs:/0123/clv", r"store must serve the request\. sqlite:.*0123"),
    ],
)
def test_a_wrong_address_says_what_there_is(shop: Shop, address: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve(address, store=shop.store)


def test_a_run_without_the_model_says_which_it_holds(shop: Shop) -> None:
    with pytest.raises(ModelError, match=r"model 'churn' in run .* there are: \['clv'\]"):
        resolve(f"runs:/{shop.first.run_id}/churn", store=shop.store)


def test_a_registered_model_of_another_kind_is_refused(shop: Shop) -> None:
    with pytest.raises(ModelError, match=r"must be of kind 'churn'\. 'models:/clv/1' is of kind 'clv'"):
        resolve("models:/clv@champion", store=shop.store, kind="churn")


def test_a_model_that_is_no_bundle_is_refused(shop: Shop, tmp_path: Path) -> None:
    with session(shop.store) as client:
        client.create_registered_model("foreign")
        client.create_model_version("foreign", tmp_path.as_uri(), run_id=shop.first.run_id)
    with pytest.raises(ModelError, match="'models:/foreign/1' must hold a crm_ml bundle"):
        resolve("models:/foreign/1", store=shop.store)


def test_a_damaged_artifact_is_refused(shop: Shop, tmp_path: Path) -> None:
    with session(shop.store) as client:
        location = client.get_model_version_download_uri("churn", "1")
        copy = tmp_path / "copy"
        shutil.copytree(Path(location.removeprefix("file://").replace("%20", " ")), copy)
        (copy / "artifacts" / "bundle" / "model.json").write_text('{"slope": 7.0}')
        client.create_registered_model("damaged")
        client.create_model_version("damaged", copy.as_uri(), run_id=shop.churn.run_id)
    with pytest.raises(ModelError, match=r"'model\.json' is not"):
        resolve("models:/damaged/1", store=shop.store)
