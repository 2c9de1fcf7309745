"""The nightly job: what it publishes, and what becomes of it when the night goes wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import killed_jobs as jobs
import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.cli import main
from crm_ml.errors import BusyError, DriftError, ModelError, OutputError, SchemaError
from crm_ml.evaluation import drift
from crm_ml.events.keyed import keyed_ids
from crm_ml.registry import load_bundle, save_bundle
from crm_ml.scoring import published_runs, read_ledger, read_scores
from crm_ml.scoring.nightly import job, staging
from crm_ml.scoring.published.shelf import MANIFEST, Shelf

KEY = b"sixteen bytes or more"
STALE = "2025-09-01"
"""A week after the log's last event."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    jobs.make_shop(folder)
    return folder


@pytest.fixture(scope="module")
def done(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that nothing disturbed."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert not jobs.run(shop, out).nothing_to_do
    return out


@pytest.fixture(scope="module")
def valued(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job with a value model too."""
    out = tmp_path_factory.mktemp("valued") / "out"
    jobs.run(shop, out, models=[shop / "churn", shop / "clv"], **jobs.MONEY)
    return out


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(folder.rglob("*"))}


def test_the_scores_are_those_of_the_log_in_memory(shop: Path, done: Path, valued: Path) -> None:
    log = crm_ml.CustomerLog(f"{shop}/orders/*.parquet", f"{shop}/events/*.parquet")
    churn = crm_ml.predict_churn(log, shop / "churn", as_of=jobs.AS_OF)
    values = crm_ml.predict_clv(log, shop / "clv", as_of=jobs.AS_OF, **jobs.MONEY)
    found = read_scores(valued)
    pd.testing.assert_frame_equal(found, churn.join(values), check_exact=True)
    pd.testing.assert_frame_equal(found[churn.columns], read_scores(done), check_exact=True)
    (run,) = published_runs(valued)
    assert run.manifest["buckets"] > 10
    assert run.customers == len(found) == found.index.nunique()


def test_the_manifest_states_what_the_scores_came_from(shop: Path, valued: Path) -> None:
    (run,) = published_runs(valued)
    stated = run.manifest
    assert run.as_of == pd.Timestamp(jobs.AS_OF, tz="UTC")
    assert stated["settings"] == {"horizon_days": 365, **jobs.MONEY}
    assert stated["models"]["churn"]["source"] == str(shop / "churn")
    assert [file["path"] for file in stated["inputs"]["transactions"]] == [
        str(shop / "orders" / name) for name in ("0.parquet", "1.parquet")
    ]
    assert sum(file["rows"] for file in stated["files"].values()) == stated["customers"]


def test_nothing_is_left_but_the_run_and_the_lock(done: Path) -> None:
    (run,) = published_runs(done)
    assert {path.name for path in done.iterdir()} == {run.name, ".staging"}
    assert [path.name for path in (done / ".staging").iterdir()] == [".lock"]


def test_a_job_that_is_done_writes_nothing(shop: Path, done: Path) -> None:
    before = snapshot(done)
    assert jobs.run(shop, done).nothing_to_do
    assert snapshot(done) == before


def test_another_setting_is_another_run_and_readers_take_the_last(shop: Path, valued: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(valued, out)
    jobs.run(shop, out, models=[shop / "clv"], **{**jobs.MONEY, "margin": 0.6})
    first, second = published_runs(out)
    assert [run.manifest["sequence"] for run in (first, second)] == [1, 2]
    np.testing.assert_allclose(read_scores(out)["clv"], 2 * read_scores(valued)["clv"], rtol=1e-12)


def test_a_changed_input_file_is_another_run(shop: Path, done: Path, tmp_path: Path) -> None:
    copied, out = tmp_path / "shop", tmp_path / "out"
    shutil.copytree(shop, copied)
    jobs.run(copied, out)
    assert jobs.run(copied, out).nothing_to_do
    orders = pd.read_parquet(copied / "orders" / "1.parquet")
    orders.iloc[:-1].to_parquet(copied / "orders" / "1.parquet")
    assert not jobs.run(copied, out).nothing_to_do


def test_a_job_needs_a_model_of_each_kind_at_most_once(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got \['churn', 'churn'\]"):
        jobs.run(shop, tmp_path, models=[shop / "churn", shop / "churn"])
    with pytest.raises(ModelError, match=r"got \[\]"):
        jobs.run(shop, tmp_path, models=[])
    with pytest.raises(SchemaError, match=r"needs \['margin'\]"):
        jobs.run(shop, tmp_path, models=[shop / "clv"], annual_discount_rate=0.1)
    assert list(tmp_path.iterdir()) == []


def test_nobody_before_the_moment_is_said(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="Scores need a purchase before `as_of` 2020"):
        jobs.run(shop, tmp_path / "out", as_of="2020-01-01")
    assert published_runs(tmp_path / "out") == []


def test_identifiers_can_be_hashed_with_a_key(shop: Path, done: Path, tmp_path: Path) -> None:
    jobs.run(shop, tmp_path / "out", id_key=KEY)
    plain, hashed = read_scores(done), read_scores(tmp_path / "out")
    told = plain.set_axis(pd.Index(keyed_ids(plain.index, KEY).to_pylist(), name="customer_id", dtype="str"))
    pd.testing.assert_frame_equal(hashed, told.sort_index(), check_exact=True)
    assert not jobs.run(shop, tmp_path / "out", id_key=KEY + b"!").nothing_to_do


# What was published is trusted to the byte.


@pytest.fixture
def published(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("change", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_not_read(published: Path, change: str) -> None:
    (file,) = published.glob("*/part-00003.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if change == "remove":
        file.unlink()
    else:
        file.write_bytes(content if change == "flip" else content[:-1])
    with pytest.raises(OutputError, match=r"part-00003\.parquet' is not: (it cannot be read|its SHA-256)"):
        read_scores(published)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}'])
def test_a_damaged_manifest_is_not_passed_over(published: Path, content: bytes) -> None:
    (file,) = published.glob(f"*/{MANIFEST}")
    file.write_bytes(content)
    with pytest.raises(OutputError, match="its seal does not match"):
        read_scores(published)


def test_a_changed_manifest_is_not_trusted(published: Path) -> None:
    (file,) = published.glob(f"*/{MANIFEST}")
    file.write_text(file.read_text().replace('"customers": 1500', '"customers": 1501'))
    with pytest.raises(OutputError, match="its seal does not match"):
        published_runs(published)


def test_a_folder_without_a_manifest_is_no_run(published: Path) -> None:
    (run,) = published_runs(published)
    (published / run.name / MANIFEST).unlink()
    with pytest.raises(OutputError, match="holds none"):
        read_scores(published)


def test_the_moment_can_be_chosen(shop: Path, published: Path) -> None:
    jobs.run(shop, published, as_of="2025-08-01T12:00")
    assert next(run.name[:17] for run in published_runs(published)) == "2025-08-01T120000"
    for as_of, moment in ((None, jobs.AS_OF), ("2025-08-01T12:00", "2025-08-01T12:00")):
        assert set(read_scores(published, as_of=as_of)["as_of"]) == {pd.Timestamp(moment, tz="UTC")}
    with pytest.raises(OutputError, match="none as of 2025-07-01"):
        read_scores(published, as_of="2025-07-01")


# The night goes wrong.


def test_killed_at_random_moments_it_goes_on_and_gives_the_same(shop: Path, done: Path, tmp_path: Path) -> None:
    seconds, told = jobs.undisturbed(shop, tmp_path / "out")
    assert told["files"] == jobs.manifest(done)["files"]
    for number, moment in enumerate(jobs.moments(2, seconds, seed=11)):
        out = tmp_path / str(number)
        jobs.killed(shop, out, after=moment)
        assert len(published_runs(out)) in (0, 1)
        assert jobs.undisturbed(shop, out)[1]["files"] == told["files"]
        assert [path.name for path in (out / ".staging").iterdir()] == [".lock"]


class Killed(BaseException):
    """Stands for a kill in tests that choose its moment."""


@pytest.mark.parametrize("bucket", [0, 2, 5])
def test_what_was_scored_before_a_kill_is_not_scored_again(
    shop: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: int
) -> None:
    kept = staging.Staging.keep
    scored: list[int] = []

    def keep(self: staging.Staging, number: int, *given: Any) -> dict[str, Any]:
        scored.append(number)
        if number == bucket and scored.count(bucket) == 1:
            raise Killed
        return kept(self, number, *given)

    monkeypatch.setattr(staging.Staging, "keep", keep)
    with pytest.raises(Killed):
        jobs.run(shop, tmp_path / "out", threads=1)
    (run,) = (tmp_path / "out" / ".staging").glob("*/run")
    assert len(list(run.iterdir())) == bucket
    assert published_runs(tmp_path / "out") == []
    jobs.run(shop, tmp_path / "out", threads=1)
    assert sorted(scored) == sorted([*range(max(scored) + 1), bucket])
    pd.testing.assert_frame_equal(read_scores(tmp_path / "out"), read_scores(done), check_exact=True)


def test_a_file_that_a_crash_left_damaged_is_made_again(
    shop: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "publish", fail)
        with pytest.raises(Killed):
            jobs.run(shop, tmp_path / "out")
    (staged,) = (tmp_path / "out" / ".staging").glob("*/run")
    (staged / "part-00001.parquet").write_bytes(b"")
    (staged / "part-00002.parquet").unlink()
    (staged.parent / "notes" / "00004.json").write_bytes(b"{")
    jobs.run(shop, tmp_path / "out")
    assert jobs.manifest(tmp_path / "out")["files"] == jobs.manifest(done)["files"]


def test_leavings_of_other_jobs_and_of_killed_processes_are_removed(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "out" / ".staging" / "0123456789abcdef"
    other.mkdir(parents=True)
    (other / "part").write_bytes(b"x")
    jobs.run(shop, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / ".staging").iterdir()] == [".lock"]


def test_a_folder_for_unfinished_work_keeps_what_else_is_in_it(shop: Path, done: Path, tmp_path: Path) -> None:
    mine = tmp_path / "work" / "mine" / "file"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"x")
    jobs.run(shop, tmp_path / "out", work=tmp_path / "work")
    assert mine.read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "work" / ".staging").iterdir()] == [".lock"]
    pd.testing.assert_frame_equal(read_scores(tmp_path / "out"), read_scores(done), check_exact=True)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no second file system to work on")  # noqa: S108
def test_unfinished_work_may_lie_on_another_file_system(shop: Path, done: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("both folders are on one file system")
        jobs.run(shop, tmp_path / "out", work=elsewhere)
    (run,) = published_runs(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [run.name]
    pd.testing.assert_frame_equal(read_scores(tmp_path / "out"), read_scores(done), check_exact=True)


def test_only_one_of_two_jobs_works_in_a_folder(shop: Path, tmp_path: Path) -> None:
    with staging.alone(tmp_path / "out" / ".staging"), pytest.raises(BusyError, match="another one is at work"):
        jobs.run(shop, tmp_path / "out")
    assert published_runs(tmp_path / "out") == []
    racing = [jobs.spawn(shop, tmp_path / "race") for _ in range(2)]
    for process in racing:
        process.join()
    assert sorted(process.exitcode for process in racing) == [0, 1]
    assert len(published_runs(tmp_path / "race")) == 1


@pytest.mark.parametrize("when", ["log", "scores"])
def test_a_full_disk_publishes_nothing_and_the_job_goes_on_later(
    shop: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(*(("numpy.savez", full) if when == "log" else ("os.fsync", full)))
        with pytest.raises(OSError, match="No space left"):
            jobs.run(shop, tmp_path / "out")
    assert published_runs(tmp_path / "out") == []
    jobs.run(shop, tmp_path / "out")
    assert jobs.manifest(tmp_path / "out")["files"] == jobs.manifest(done)["files"]


def test_an_unreadable_input_file_is_named(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop, tmp_path / "shop")
    broken = tmp_path / "shop" / "orders" / "1.parquet"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(SchemaError, match=r"could not be read.*1\.parquet"):
        jobs.run(tmp_path / "shop", tmp_path / "out")
    assert published_runs(tmp_path / "out") == []


def test_clock_and_time_zone_change_nothing(
    shop: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    clock = iter(range(2_000_000_000, 0, -86_400))
    try:
        monkeypatch.setattr(time, "time", lambda: float(next(clock)))
        jobs.run(shop, tmp_path / "out")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert jobs.manifest(tmp_path / "out")["files"] == jobs.manifest(done)["files"]


def test_a_place_that_is_taken_is_left_alone(shop: Path, done: Path, tmp_path: Path) -> None:
    (run,) = published_runs(done)
    mine = tmp_path / "out" / run.name / "mine"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"x")
    with pytest.raises(OutputError, match="exists and is no run of this job"):
        jobs.run(shop, tmp_path / "out")
    assert mine.read_bytes() == b"x"


def test_a_customer_of_two_million_events_is_like_any_other(shop: Path, done: Path, tmp_path: Path) -> None:
    orders, folder = pd.read_parquet(shop / "orders"), tmp_path / "shop"
    count, busy = 2_000_000, orders["customer_id"].iloc[0]
    moments = pd.to_datetime(jobs.AS_OF) - pd.to_timedelta(np.linspace(1, 500 * 86_400, count), unit="s")
    for name in ("churn", "orders"):
        shutil.copytree(shop / name, folder / name)
    (folder / "events").mkdir()
    views = pd.DataFrame({"customer_id": busy, "timestamp": moments, "event_type": "view"})
    pd.concat([pd.read_parquet(shop / "events"), views]).to_parquet(folder / "events" / "0.parquet")
    jobs.run(folder, tmp_path / "out", memory_limit="200MB")
    found, without = read_scores(tmp_path / "out"), read_scores(done)
    pd.testing.assert_frame_equal(found.drop(index=busy), without.drop(index=busy), check_exact=True)
    assert np.isfinite(found.loc[busy].drop("as_of").astype(float)).all()


# Whether the night's customers are those of training, and whether past nights were right.


def test_the_gate_closes_on_a_log_that_stopped_and_what_is_scored_is_kept(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DriftError, match=r"columns have shifted: `days_since_view` at most \S+ for 0\.0%"):
        jobs.run(shop, tmp_path / "out", as_of=STALE)
    assert published_runs(tmp_path / "out") == []
    monkeypatch.setattr(staging.Staging, "keep", None)
    jobs.run(shop, tmp_path / "out", as_of=STALE, accept_drift=True)
    (run,) = published_runs(tmp_path / "out")
    assert run.manifest["drift"]["days_since_view"]["shifted"]


def test_the_manifest_tells_of_drift(shop: Path, done: Path) -> None:
    log = crm_ml.CustomerLog(f"{shop}/orders/*.parquet", f"{shop}/events/*.parquet")
    model = load_bundle(shop / "churn").model
    features = crm_ml.build_features(log, as_of=jobs.AS_OF, features=model.feature_set)
    found = drift(model.profile_, model.profile_.count(features, model.predict(features)))
    (run,) = published_runs(done)
    told = (
        pd.DataFrame.from_dict(run.manifest["drift"], orient="index")
        .loc[found.index, found.columns]
        .astype(found.dtypes)
    )
    pd.testing.assert_frame_equal(told, found, check_names=False)


def test_past_runs_are_judged_on_the_way_and_only_once(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs.run(shop, out, as_of="2025-07-15", id_key=KEY)
    assert read_ledger(out).empty
    jobs.run(shop, out, id_key=KEY)
    (judged,) = read_ledger(out).to_dict("records")
    log = crm_ml.CustomerLog(f"{shop}/orders/*.parquet")
    panel = crm_ml.build_panel(log, cutoffs=["2025-07-15"], horizon_days=30, lookback_days=180, features="rfm")
    assert judged["customers"] == len(panel)
    np.testing.assert_allclose(judged["churned"], panel["churned"].mean(), rtol=1e-12)
    before = snapshot(out / "judged")
    jobs.run(shop, out, id_key=KEY, on_invalid="drop")
    assert snapshot(out / "judged") == before


def test_a_job_killed_between_publishing_and_judging_judges_when_run_again(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Killed

    out = tmp_path / "out"
    jobs.run(shop, out, as_of="2025-07-15")
    with monkeypatch.context() as patched:
        patched.setattr(job, "judge_runs", fail)
        with pytest.raises(Killed):
            jobs.run(shop, out)
    assert len(published_runs(out)) == 2
    assert read_ledger(out).empty
    jobs.run(shop, out)
    assert len(read_ledger(out)) == 1
    assert jobs.run(shop, out).nothing_to_do


def test_a_run_that_cannot_be_judged_spoils_no_night(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs.run(shop, out, as_of="2025-07-15")
    (damaged,) = out.glob("*/part-00000.parquet")
    damaged.write_bytes(b"")
    jobs.run(shop, out)
    events = [json.loads(line)["event"] for line in Path(f"{out}.events").read_text().splitlines()]
    assert events[-2:] == ["not judged", "judged"]
    assert len(published_runs(out)) == 2
    assert read_ledger(out).empty


# Other file systems.


@pytest.fixture
def bucket() -> Iterator[str]:
    import fsspec

    files = fsspec.filesystem("memory")
    yield "memory://scores"
    files.rm("/scores", recursive=True) if files.exists("/scores") else None


def test_runs_are_published_on_other_file_systems(shop: Path, done: Path, tmp_path: Path, bucket: str) -> None:
    with pytest.raises(SchemaError, match="`work` must name a folder on this machine"):
        jobs_to(bucket, shop)
    jobs_to(bucket, shop, work=tmp_path / "work")
    pd.testing.assert_frame_equal(read_scores(bucket), read_scores(done), check_exact=True)
    assert jobs_to(bucket, shop, work=tmp_path / "work").nothing_to_do


def test_elsewhere_the_manifest_comes_last(
    shop: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    put, put_files = MemoryFileSystem.put_file, []

    def interrupted(self: Any, local: str, remote: str, **how: Any) -> Any:
        if len(put_files) == 5:
            raise ConnectionResetError("the network went away")
        put_files.append(remote)
        return put(self, local, remote, **how)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "put_file", interrupted)
        with pytest.raises(ConnectionResetError):
            jobs_to(bucket, shop, work=tmp_path / "work")
    assert published_runs(bucket) == []
    jobs_to(bucket, shop, work=tmp_path / "work")
    assert len(published_runs(bucket)) == 1


def jobs_to(out: str, shop: Path, **settings: Any) -> Any:
    from crm_ml.scoring import run_scoring_job

    return run_scoring_job(
        out,
        f"{shop}/orders/*.parquet",
        f"{shop}/events/*.parquet",
        models=[shop / "churn"],
        as_of=jobs.AS_OF,
        memory_limit="8MB",
        **settings,
    )


# The command.


def command(shop: Path, out: Path, *more: str, orders: str = "orders/*.parquet") -> int:
    files = ["--transactions", f"{shop}/{orders}", "--interactions", f"{shop}/events/*.parquet"]
    model = ["--model", str(shop / "churn"), "--as-of", jobs.AS_OF, "--out", str(out)]
    try:
        sys.argv = ["crm-ml", "score", *files, *model, *more]
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_exit_codes_tell_a_scheduler_what_to_do(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    out = tmp_path / "out"
    assert command(shop, out) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = ["started", "read", "compared with training", "published", "judged"]
    assert [line["event"] for line in lines if line["event"] != "scored"] == told
    assert command(shop, out) == 99
    assert command(shop, out, orders="none/*.parquet") == 2
    assert command(shop, out, "--margin", "x") == 2
    assert command(shop, out, "--model", str(tmp_path / "none")) == 4
    assert command(shop, out, "--as-of", STALE) == 3
    with staging.alone(out / ".staging"):
        assert command(shop, out, "--timezone", "Europe/Berlin") == 75
    monkeypatch.setattr("numpy.savez", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    assert command(shop, out, "--timezone", "Europe/Berlin") == 74
    customers = set(pd.read_parquet(shop / "orders")["customer_id"])
    assert not {str(value) for line in lines for value in line.values()} & customers


def test_a_registered_model_is_settled_once_and_the_night_is_recorded(shop: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from crm_ml.registry import default_store, track

    directory, out, model = tmp_path / "models", tmp_path / "out", load_bundle(shop / "churn").model
    store = default_store(directory)
    how = {"register_as": "churn", "run_name": "r", "params": {}, "metrics": {}, "data_fingerprint": {}}
    track(store, model, directory=directory, **how)
    address = {"models": ["models:/churn@champion"], "directory": directory}
    for as_of in ("2025-07-15", jobs.AS_OF):
        jobs.run(shop, out, as_of=as_of, **address)
    (first, second), (judged,) = published_runs(out), read_ledger(out).to_dict("records")
    assert first.manifest["models"]["churn"]["source"] == "models:/churn/1"
    assert second.manifest["models"]["churn"]["version"] == 1
    assert jobs.run(shop, out, **address).nothing_to_do
    recorded = MlflowClient(store.tracking_uri).search_runs(["1"])
    told = {run.info.run_name: run.data for run in recorded}
    assert len(recorded) == len(told) == 4
    night = told[f"scores as of {jobs.AS_OF}"]
    assert night.metrics["customers"] == second.customers
    assert night.metrics["drift_psi_max"] == second.drift["psi"].max()
    assert night.params["churn_model"] == "models:/churn/1"
    assert told["churn of 2025-07-15, judged"].metrics["judged_brier"] == judged["brier"]


def test_without_a_registered_model_nothing_is_recorded(shop: Path, tmp_path: Path) -> None:
    jobs.run(shop, tmp_path / "out", directory=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_saving_a_bundle_again_changes_no_key(shop: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "out")
    save_bundle(load_bundle(shop / "churn").model, shop / "churn", metadata={"note": "again"})
    assert jobs.run(shop, tmp_path / "out").nothing_to_do
