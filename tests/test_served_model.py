"""The registered model that anyone can load: the same scores by every road, and its known traps."""

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
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from served_shop import AS_OF, PASSED, SETTINGS, ServedShop, serve_shop

import crm_ml
from crm_ml import __version__
from crm_ml.errors import ModelError, SchemaError
from crm_ml.registry import default_store, save_bundle, track
from crm_ml.registry.store import session

ROOT = Path(__file__).parents[1]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def environment(**extra: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "PYTHONPATH": paths, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", **extra}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedShop]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        yield serve_shop(tmp_path_factory.mktemp("served"))


def load(shop: ServedShop, which: str) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(shop.paths[which], suppress_warnings=True)


@pytest.fixture(scope="module")
def loaded(shop: ServedShop) -> dict[str, Any]:
    return {which: load(shop, which) for which in shop.paths}


def assert_scores(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found) == list(expected)
    np.testing.assert_allclose(found.to_numpy(dtype=float), expected.to_numpy(dtype=float), **CLOSE)


def test_no_logged_file_is_or_mentions_a_pickle(shop: ServedShop) -> None:
    import yaml

    assert shop.store.directory is not None
    files = [path for path in (shop.store.directory / "artifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".json", ".py", ".txt", ".ubj", ".yaml"}
    for file in files:
        content = file.read_bytes()
        assert b"pickle" not in content.lower(), file
        assert not content.startswith(b"\x80"), file
        assert str(ROOT).encode() not in content, file
    for file in (path for path in files if path.name == "MLmodel"):
        flavors = yaml.safe_load(file.read_text())["flavors"]
        assert list(flavors) == ["python_function"]
        assert flavors["python_function"]["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    for file in (path for path in files if path.name == "requirements.txt"):
        names = dict(line.split("==") for line in file.read_text().split())
        assert sorted(names) == ["crm_ml", "mlflow"]
        assert names["crm_ml"] == __version__


def test_the_signature_names_columns_and_settings(loaded: dict[str, Any], shop: ServedShop) -> None:
    clv, churn = loaded["clv"].metadata, loaded["churn"].metadata
    assert clv.get_input_schema().required_input_names() == ["frequency", "recency", "T", "monetary_value"]
    assert clv.get_input_schema().optional_input_names() == ["as_of"]
    assert {spec.name: spec.default for spec in clv.get_params_schema()} == SETTINGS
    assert churn.get_input_schema().required_input_names() == list(shop.models["churn"].input_columns)
    assert churn.metadata["columns_of_numbers"] == list(shop.models["churn"].input_columns)
    for kind in PASSED:
        assert loaded[kind].metadata.get_output_schema().input_names() == list(shop.direct(kind))


@pytest.mark.parametrize("kind", ["churn", "clv"])
def test_mlflow_gives_the_direct_scores(shop: ServedShop, loaded: dict[str, Any], kind: str) -> None:
    found = loaded[kind].predict(shop.frames[kind], params=PASSED[kind])
    assert_scores(found, shop.direct(kind))
    assert found.index.equals(shop.frames[kind].index)


def test_probabilities_come_back_and_no_classes(shop: ServedShop, loaded: dict[str, Any]) -> None:
    found = loaded["churn"].predict(shop.frames["churn"])["churn_probability"]
    assert found.between(0.0, 1.0, inclusive="neither").all()
    assert found.nunique() > 20


def test_the_horizon_used_is_told(shop: ServedShop, loaded: dict[str, Any]) -> None:
    assert set(loaded["clv"].predict(shop.frames["clv"])["horizon_days"]) == {365.0}
    assert set(loaded["clv"].predict(shop.frames["clv"], params={"horizon_days": 90})["horizon_days"]) == {90.0}
    assert set(loaded["churn"].predict(shop.frames["churn"])["horizon_days"]) == {30.0}


@pytest.mark.parametrize(
    ("kind", "params", "unknown"),
    [
        ("clv", {"horizon_day": 90}, "horizon_day"),
        ("clv", {**SETTINGS, "discount": 0.1}, "discount"),
        ("churn", {"horizon_days": 90}, "horizon_days"),
        ("clv", {7: 1.0}, "7"),
    ],
)
@pytest.mark.parametrize("level", [logging.WARNING, logging.CRITICAL])
def test_an_unknown_parameter_is_an_error_however_mlflow_logs(
    shop: ServedShop,
    loaded: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    params: dict[Any, float],
    unknown: str,
    level: int,
) -> None:
    monkeypatch.setattr(logging.getLogger("mlflow"), "level", level)
    with pytest.raises(ModelError, match=rf"Missing: \[\]; unknown: \['{unknown}'\]"):
        loaded[kind].predict(shop.frames[kind], params=params)


def test_another_model_in_the_process_keeps_mlflows_way(shop: ServedShop, loaded: dict[str, Any]) -> None:
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    class Around:
        python_model = "another"

        def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
            return loaded["churn"].predict(frame)

    other = PyFuncModel(Model(flavors={"python_function": {}}), Around())
    assert_scores(other.predict(shop.frames["churn"], params={"theirs": 1}), shop.direct("churn"))


def whole(shop: ServedShop, kind: str) -> pd.DataFrame:
    frame = shop.frames[kind].fillna(0.0).round()
    if kind == "clv":
        frame = frame[(frame["recency"] > 0) == (frame["frequency"] > 0)]
        frame["T"] = frame["T"] + 1
    return frame


TYPES: dict[str, Callable[[pd.Series], pd.Series]] = {
    "int64": lambda column: column.astype("int64"),
    "uint16": lambda column: column.abs().astype("uint16"),
    "Int64": lambda column: column.astype("Int64"),
    "Float64": lambda column: column.astype("Float64"),
    "float32": lambda column: column.astype("float32"),
    "int64[pyarrow]": lambda column: column.astype("int64[pyarrow]"),
    "category": lambda column: column.astype("int64").astype("category"),
    "object": lambda column: column.astype("int64").astype(object),
}


@pytest.mark.parametrize("kind", ["churn", "clv"])
@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_of_any_type_give_the_same_scores(
    shop: ServedShop, loaded: dict[str, Any], kind: str, dtype: str
) -> None:
    frame = whole(shop, kind).abs()
    expected = loaded[kind].predict(frame, params=PASSED[kind])
    assert_scores(loaded[kind].predict(frame.apply(TYPES[dtype]), params=PASSED[kind]), expected)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "category", "object"])
def test_missing_numbers_of_any_type_are_missing(shop: ServedShop, loaded: dict[str, Any], dtype: str) -> None:
    gaps = pd.Series(np.resize([0.0, 1.0, np.nan], 60), index=shop.frames["churn"].index)
    typed = {"category": gaps.astype("category"), "object": gaps.astype(object).where(gaps.notna(), None)}
    column = typed[dtype] if dtype in typed else gaps.astype(dtype)
    expected = loaded["churn"].predict(shop.frames["churn"].assign(orders_30d=gaps))
    assert_scores(loaded["churn"].predict(shop.frames["churn"].assign(orders_30d=column)), expected)
    nothing = loaded["churn"].predict(shop.frames["churn"].assign(orders_30d=None))
    assert_scores(nothing, loaded["churn"].predict(shop.frames["churn"].assign(orders_30d=np.nan)))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.Series(["12"] * 60), "string"),
        (pd.Series(["gold"] * 60, dtype="category"), "string"),
        (pd.Series(pd.date_range("2024-01-01", periods=60)), "datetime64"),
        (pd.Series(pd.date_range("2024-01-01", periods=60, tz="Asia/Tokyo")), "datetime64"),
        (pd.Series(pd.to_timedelta(range(60), unit="D")), "timedelta64"),
    ],
)
def test_what_is_no_number_is_refused_without_showing_it(
    shop: ServedShop, loaded: dict[str, Any], values: pd.Series, found: str
) -> None:
    frame = shop.frames["churn"].assign(orders_30d=values.to_numpy() if values.dtype.kind in "mM" else values.array)
    with pytest.raises(SchemaError, match=rf"`orders_30d` must hold numbers; got {found}") as caught:
        loaded["churn"].predict(frame)
    assert "gold" not in str(caught.value)


@pytest.mark.parametrize(
    "moments",
    [
        pd.Timestamp("2024-03-01", tz="UTC"),
        pd.Timestamp("2024-03-01T01:00", tz="Europe/Paris"),
        pd.Timestamp("2024-03-01"),
        "2024-03-01",
        "2024-03-01T00:00:00+00:00",
    ],
)
def test_the_optional_moment_may_have_any_zone_or_none(
    shop: ServedShop, loaded: dict[str, Any], moments: object
) -> None:
    at, frame, model = pd.Timestamp("2024-03-01", tz="UTC"), shop.frames["clv"], loaded["clv"]
    expected = shop.models["clv"].predict(frame.assign(as_of=at), **PASSED["clv"])
    found = model.predict(frame.assign(as_of=moments), params=PASSED["clv"])
    assert_scores(found.drop(columns="horizon_days"), expected)
    default = model.predict(frame, params=PASSED["clv"])
    assert not np.allclose(default["clv"], expected["clv"])
    for nothing in (None, np.nan, pd.NaT):
        assert_scores(model.predict(frame.assign(as_of=nothing), params=PASSED["clv"]), default)


@pytest.mark.parametrize("broken", [["2024-03-01", None], ["2024-03-01", "soon"], [20240301, 20240301]])
def test_a_moment_must_be_one_in_every_row(shop: ServedShop, loaded: dict[str, Any], broken: list[object]) -> None:
    frame = shop.frames["clv"].head(2).assign(as_of=broken)
    with pytest.raises(SchemaError, match="`as_of` must hold a date, or a date and time, in every row or in none"):
        loaded["clv"].predict(frame)


def test_columns_it_does_not_need_may_be_left_out_and_others_not(shop: ServedShop, loaded: dict[str, Any]) -> None:
    from mlflow.exceptions import MlflowException

    frame = shop.frames["clv"]
    needed = frame[list(shop.models["clv"].input_columns)]
    assert_scores(loaded["clv"].predict(needed), loaded["clv"].predict(frame.assign(country="NL")))
    with pytest.raises(MlflowException, match=r"Model is missing inputs \['T'\]"):
        loaded["clv"].predict(needed.drop(columns="T"))
    with pytest.raises(SchemaError, match=r"Rows for a clv model need a column `T`"):
        loaded["clv"].unwrap_python_model().predict(
            loaded["clv"]._model_impl.context, needed.drop(columns="T"), SETTINGS
        )


def test_the_fingerprint_covers_every_row(shop: ServedShop) -> None:
    rows = 12_000
    orders = pd.DataFrame(
        {
            "customer_id": [f"c{number % 500}" for number in range(rows)],
            "timestamp": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="min"),
            "amount": 10.0,
        }
    )
    found = []
    for changed in (None, 10_500, rows - 1):
        altered = orders.copy()
        if changed is not None:
            altered.loc[changed, "amount"] = 10.01
        fingerprint = crm_ml.CustomerLog(altered).fingerprint(as_of="2024-02-01")
        run = track(
            shop.store,
            shop.models["earlier"],
            directory=shop.store.directory,
            register_as="rows",
            run_name="rows",
            params={},
            metrics={},
            data_fingerprint=fingerprint,
        )
        with session(shop.store) as client:
            logged = client.get_run(run.run_id)
        (dataset,) = (read.dataset for read in logged.inputs.dataset_inputs)
        found.append((logged.data.tags["data.content_hash"], dataset.digest))
    for seen in zip(*found, strict=True):
        assert len(set(seen)) == 3


def test_two_versions_give_their_own_scores_from_two_threads(shop: ServedShop) -> None:
    frame = shop.frames["churn"]
    names = ["earlier", "churn"] * 4
    with ThreadPoolExecutor(2) as pool:
        models = list(pool.map(lambda name: load(shop, name), names))
        found = list(pool.map(lambda model: model.predict(frame), models * 2))
    expected = {name: shop.models[name].predict(frame) for name in names}
    assert not np.allclose(expected["earlier"]["churn_probability"], expected["churn"]["churn_probability"])
    for name, scores in zip(names * 2, found, strict=True):
        assert_scores(scores, expected[name])


FIRST_USE = """
import os, sys
import mlflow, sqlalchemy, mlflow.store.tracking.sqlalchemy_store
from toy_model import ToyChurn
from crm_ml.registry import default_store, kinds, track
kinds.KINDS["churn"] = ("toy_model", "ToyChurn")
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        run = track(default_store(sys.argv[1]), ToyChurn(slope=number), directory=sys.argv[1], register_as="churn",
                    run_name="first", params={}, metrics={"slope": number}, data_fingerprint={})
        os._exit(0 if run.version else 1)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the three processes are forked from one that has imported MLflow")
def test_three_processes_may_use_a_new_sqlite_store_at_once(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_USE, str(tmp_path / "store")],
        env=environment(HOME="/nonexistent"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    with session(default_store(tmp_path / "store")) as client:
        versions = client.search_model_versions("name = 'churn'")
        slopes = {client.get_run(version.run_id).data.metrics["slope"] for version in versions}
    assert sorted(int(version.version) for version in versions) == [1, 2, 3]
    assert slopes == {0.0, 1.0, 2.0}


STRANGER = """
import os, sys
bundle, store, rows = sys.argv[1:]
from crm_ml.registry import default_store, load_bundle, track
track(default_store(store), load_bundle(bundle).model, directory=store, register_as="churn", run_name="stranger",
      params={}, metrics={"auc": 0.5}, data_fingerprint={})
import mlflow, pandas as pd
mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
scores = mlflow.pyfunc.load_model("models:/churn@champion").predict(pd.read_csv(rows, index_col=0))
assert os.getuid() != 0, "still root"
print(scores["churn_probability"].tolist())
"""


def test_an_unprivileged_stranger_with_a_read_only_home_logs_loads_and_hears_nothing(
    shop: ServedShop, tmp_path: Path
) -> None:
    command = []
    if os.getuid() == 0:
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("root needs setpriv (util-linux) to become another user")
        packages = Path(np.__file__).parents[1]
        if not all(folder.stat().st_mode & 0o001 for folder in [packages, *packages.parents]):
            pytest.skip("the environment lies where no other user may look")
        # The right to read is kept, as the interpreter may lie in root's home.
        kept = "-all,+dac_read_search"
        command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
        command += [f"--{kind}={kept}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    home, store = tmp_path / "home", tmp_path / "store"
    home.mkdir(mode=0o555)
    store.mkdir()
    store.chmod(0o777)
    save_bundle(shop.models["churn"], tmp_path / "bundle", metadata={})
    shop.frames["churn"].to_csv(tmp_path / "rows.csv")
    ended = subprocess.run(
        [*command, sys.executable, "-c", STRANGER, str(tmp_path / "bundle"), str(store), str(tmp_path / "rows.csv")],
        env=environment(HOME=str(home), MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false"),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    np.testing.assert_allclose(json.loads(ended.stdout), shop.direct("churn")["churn_probability"], **CLOSE)
    assert list(home.iterdir()) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def servers(shop: ServedShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve both models at once on loopback; stopped with everything they started."""
    folder = tmp_path_factory.mktemp("servers")
    addresses, started = {}, []
    for kind in ("churn", "clv"):
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", shop.paths[kind]]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        with (folder / kind).open("w") as said:
            started.append(
                subprocess.Popen(
                    command,
                    env=environment(HOME=str(folder)),
                    cwd=folder,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        addresses[kind] = f"http://127.0.0.1:{port}"
    try:
        for (kind, address), process in zip(addresses.items(), started, strict=True):
            wait_until_it_answers(address, process, folder / kind)
        yield addresses
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            process.wait(timeout=30)


def wait_until_it_answers(address: str, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):  # noqa: S310
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"The server does not answer: {said.read_text()}")


def ask(address: str, frame: pd.DataFrame, params: dict[str, float] | None = None) -> Any:
    body = {"dataframe_split": json.loads(frame.to_json(orient="split", index=False, double_precision=15))}
    if params:
        body["params"] = params
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/invocations", json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)["predictions"]


@pytest.mark.parametrize("kind", ["churn", "clv"])
def test_a_server_gives_the_direct_scores(shop: ServedShop, servers: dict[str, str], kind: str) -> None:
    found = ask(servers[kind], shop.frames[kind], PASSED[kind])
    assert_scores(pd.DataFrame(found), shop.direct(kind))


def test_a_server_takes_the_optional_moment_as_text(shop: ServedShop, servers: dict[str, str]) -> None:
    frame = shop.frames["clv"].assign(as_of=AS_OF)
    assert_scores(pd.DataFrame(ask(servers["clv"], frame, PASSED["clv"])), shop.direct("clv"))


@pytest.mark.parametrize("kind", ["churn", "clv"])
def test_a_server_refuses_an_unknown_parameter(shop: ServedShop, servers: dict[str, str], kind: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        ask(servers[kind], shop.frames[kind], {"horizon_day": 90})
    assert "unknown: ['horizon_day']" in json.loads(caught.value.read())["stack_trace"]
