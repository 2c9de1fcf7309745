"""Features and panels on disk are those in memory, complete or not at all."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from histories import awkward_shop

from crm_ml import CustomerLog
from crm_ml.errors import SchemaError
from crm_ml.events.host import LocalHost
from crm_ml.events.partition.shelf import Shelf
from crm_ml.events.partition.store import Store
from crm_ml.features import Feature, build_features, build_panel, write_features, write_panel
from crm_ml.features.panels.writing import write_parquet

CUTOFF = pd.Timestamp("2024-03-01")
SHOP = awkward_shop(41, cutoff=CUTOFF, n_customers=150)
CUTOFFS = [CUTOFF - pd.Timedelta(days=60), CUTOFF - pd.Timedelta(days=30), CUTOFF]


def read(path: Path, index: list[str]) -> pd.DataFrame:
    return pd.read_parquet(path).set_index(index)


@pytest.mark.parametrize("name", ["features.parquet", "features"])
@pytest.mark.parametrize(("n_buckets", "threads"), [(1, 1), (7, 2)])
def test_written_features_are_those_in_memory(name: str, n_buckets: int, threads: int, tmp_path: Path) -> None:
    log = CustomerLog(*SHOP, n_buckets=n_buckets, threads=threads)
    path = write_features(log, tmp_path / name, as_of=CUTOFF)
    expected = build_features(log, as_of=CUTOFF)
    found = read(path, ["customer_id"]).sort_index()
    pd.testing.assert_frame_equal(found, expected, check_index_type=False, check_exact=True)
    assert path.is_file() == (name == "features.parquet")
    assert [file.name for file in tmp_path.iterdir()] == [name]
    if path.is_dir():
        assert len([*path.iterdir()]) == min(n_buckets, threads)


@pytest.mark.parametrize("lookback_days", [None, 40])
def test_a_written_panel_is_the_one_in_memory(lookback_days: int | None, tmp_path: Path) -> None:
    log = CustomerLog(*SHOP, n_buckets=5)
    how: dict[str, Any] = {"cutoffs": CUTOFFS, "horizon_days": 10, "lookback_days": lookback_days}
    found = read(write_panel(log, tmp_path / "panel.parquet", **how), ["customer_id", "cutoff"])
    expected = build_panel(log, **how)
    pd.testing.assert_frame_equal(
        found.sort_index(level=["cutoff", "customer_id"]), expected, check_index_type=False, check_exact=True
    )
    assert found.index.get_level_values("cutoff").dtype == expected.index.get_level_values("cutoff").dtype


def test_parts_of_any_size_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    log = CustomerLog(*SHOP, n_buckets=2)
    whole = build_panel(log, cutoffs=CUTOFFS, horizon_days=10)
    monkeypatch.setattr("crm_ml.features.panels.sweep.ROWS_PER_PART", 20)
    parts = list(log.map(len_of, at_most=7))
    assert max(parts) <= 7
    assert sum(parts) == sum(log.map(len_of))
    pd.testing.assert_frame_equal(build_panel(log, cutoffs=CUTOFFS, horizon_days=10), whole, check_exact=True)


def len_of(bucket: Any) -> int:
    return len(bucket.customer_id)


def test_where_nobody_bought_nothing_is_written(tmp_path: Path) -> None:
    log = CustomerLog(*SHOP)
    early = log.first - pd.Timedelta(days=1)
    with pytest.raises(SchemaError, match="Features need a purchase before `as_of`"):
        write_features(log, tmp_path / "features.parquet", as_of=early)
    with pytest.raises(SchemaError, match="A panel needs customers who bought before a cutoff; nobody did of"):
        write_panel(log, tmp_path / "panel", cutoffs=[early], horizon_days=10)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_must_be_new_and_a_file_is_replaced(tmp_path: Path) -> None:
    log = CustomerLog(*SHOP)
    write_features(log, tmp_path / "features", as_of=CUTOFF)
    with pytest.raises(SchemaError, match="must be a new folder; it exists"):
        write_features(log, tmp_path / "features", as_of=CUTOFF)
    (tmp_path / "features.parquet").write_text("old")
    assert len(pd.read_parquet(write_features(log, tmp_path / "features.parquet", as_of=CUTOFF))) > 50


@pytest.mark.parametrize("name", ["x.parquet", "x"])
def test_what_fails_half_way_leaves_nothing(name: str, tmp_path: Path) -> None:
    def tables() -> Any:
        yield pa.table({"a": [1.0]})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_parquet(tables(), tmp_path / name, files=2)
    assert [*tmp_path.iterdir()] == []


class Failing:
    """A builder that fails in a thread."""

    interaction_days = 0

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("x", "one", "nothing", "0"),)

    def build(self, past: Any) -> dict[str, Any]:
        raise ZeroDivisionError(f"for {len(past)} customers")


def test_a_builder_that_fails_is_heard_of(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_features(CustomerLog(*SHOP, n_buckets=3), tmp_path / "x", as_of=CUTOFF, features=[Failing()])
    assert [*tmp_path.iterdir()] == []


def test_a_log_that_lies_on_disk_gives_the_same_bits() -> None:
    shop = awkward_shop(43, cutoff=CUTOFF, n_customers=900)
    small, whole = CustomerLog(*shop, memory_limit="200KB", n_buckets=4), CustomerLog(*shop)
    assert small.host.quarter < 60_000
    assert list(Path(small.host.folder).glob("bucket_*.npz"))
    expected = build_features(whole, as_of=CUTOFF)
    pd.testing.assert_frame_equal(build_features(small, as_of=CUTOFF), expected, check_exact=True)
    assert small.fingerprint() == whole.fingerprint()


def test_a_frame_in_memory_is_not_copied_through_disk() -> None:
    log = CustomerLog(*SHOP)
    assert [*Path(log.host.folder).iterdir()] == []


def test_a_shelf_gives_back_what_it_got_from_memory_and_disk(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shelf = Shelf(str(tmp_path), limit=1000)
    arrays: list[Any] = [draw.integers(0, 99, 50), draw.random(60), draw.random(70), np.arange(9, dtype=np.int16)]
    kept = [shelf.put(array) for array in arrays]
    assert [isinstance(one, np.ndarray) for one in kept] == [True, True, False, False]
    for array, one in zip(arrays, kept, strict=True):
        for begin, end in ((0, len(array)), (3, 8), (5, 5)):
            out = np.empty(end - begin, dtype=array.dtype)
            shelf.take(one, begin, out)
            np.testing.assert_array_equal(out, array[begin:end])
    shelf.close()


def test_a_host_reads_sizes_as_they_are_written() -> None:
    for size, quarter in (("2GB", 1.8 * 2**30 / 4), ("512MiB", 2**29 / 4), ("1MB", 1e6 / 4)):
        host = LocalHost(memory_limit=size, threads=1, timezone="UTC")
        assert host.quarter == pytest.approx(quarter, rel=0.03)


def test_arrays_in_files_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {f"a{number}": np.arange(number) for number in range(4)}
    stores = [Store(tmp_path / name, limit=0) for name in ("one", "other")]
    for number, store in enumerate(stores):
        (tmp_path / ("one", "other")[number]).mkdir()
        store.put(0, arrays)
    reading, most, read_array = [0], [0], np.lib.npyio.NpzFile.__getitem__

    def counted(self: Any, name: str) -> Any:
        reading[0] += 1
        most[0] = max(most[0], reading[0])
        time.sleep(0.001)
        reading[0] -= 1
        return read_array(self, name)

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", counted)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda number: dict(stores[number % 2].get(0)), range(12)):
            assert [*found] == [*arrays]
            assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert most == [1]
    assert "a3" in stores[0].get(0)
    assert stores[0].get(0).get("none") is None
