"""Files of other file systems, credentials that must not be shown, and files that cannot be read."""

import datetime as dt
import gzip
import io
import os
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import example, given, settings
from hypothesis import strategies as st

import crm_ml
from crm_ml.errors import SchemaError
from crm_ml.events.reading.files import input_files, shown

SECRET = "".join(["Geheim", "nis"])  # in pieces: a traceback quotes lines of this file


def orders(rows=300, first=0):
    return pd.DataFrame(
        {
            "customer_id": [f"c{number % 7}" for number in range(first, first + rows)],
            "timestamp": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "amount": np.arange(rows, dtype=float),
        }
    )


def parquet(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def csv(frame):
    return frame.to_csv(index=False).encode()


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def same(log, other):
    return log.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(
    ("pattern", "pack"),
    [
        ("p{}.parquet", parquet),
        ("p{}.csv", csv),
        ("p{}.csv.gz", lambda frame: gzip.compress(csv(frame))),
    ],
)
def test_files_of_another_file_system_are_read_like_local_ones(pattern, pack, memory, tmp_path):
    for number in range(3):
        content = pack(orders(first=number))
        memory.pipe("/shop/" + pattern.format(number), content)
        (tmp_path / pattern.format(number)).write_bytes(content)
    local = crm_ml.CustomerLog(tmp_path / pattern.format("*"))
    assert same(crm_ml.CustomerLog("memory://shop/" + pattern.format("*")), local)
    assert same(crm_ml.CustomerLog("memory://**/" + pattern.format("*")), local)
    listed = ["memory://shop/" + pattern.format(0), str(tmp_path / pattern.format("[12]"))]
    assert same(crm_ml.CustomerLog(listed), local)
    assert same(crm_ml.CustomerLog((tmp_path / pattern.format("*")).as_uri().replace("%2A", "*")), local)


def test_both_tables_may_be_remote_and_folders_may_be_columns(memory):
    memory.pipe("/shop/orders.parquet", parquet(orders()))
    for kind in ("view", "cart"):
        memory.pipe(f"/shop/event_type={kind}/part.parquet", parquet(orders()))
    log = crm_ml.CustomerLog("memory://shop/orders.parquet", "memory://shop/*/part.parquet")
    assert log.event_types == ("cart", "view")
    assert log.counts()["rows"].tolist() == [300, 300, 300]


def test_a_remote_file_that_is_written_anew_is_read_anew(memory):
    for rows in (300, 200):
        memory.pipe("/shop/orders.parquet", parquet(orders(rows)))
        assert crm_ml.CustomerLog("memory://shop/orders.parquet").n_transactions == rows


def test_columns_given_twice_are_refused_in_every_file(memory, tmp_path):
    table = pa.table([["a"], ["2024-01-01"], [1.0], [2.0]], names=["customer_id", "timestamp", "amount", "amount"])
    twice = io.BytesIO()
    pq.write_table(table, twice)
    for name, content in {"a": parquet(orders()), "b": twice.getvalue()}.items():
        memory.pipe(f"/shop/{name}.parquet", content)
        (tmp_path / f"{name}.parquet").write_bytes(content)
    for path in ("memory://shop/*.parquet", tmp_path / "*.parquet"):
        with pytest.raises(SchemaError, match=r"appear twice: \['amount'\]"):
            crm_ml.CustomerLog(path)


def test_a_folder_named_like_a_column_is_refused(memory, tmp_path):
    (tmp_path / "Amount=5").mkdir()
    (tmp_path / "Amount=5" / "a.parquet").write_bytes(parquet(orders()))
    memory.pipe("/shop/amount=5/a.parquet", parquet(orders()))
    for path in (tmp_path / "*" / "a.parquet", "memory://shop/*/a.parquet"):
        with pytest.raises(SchemaError, match=r"a folder names too: \['amount'\]"):
            crm_ml.CustomerLog(path)
    (tmp_path / "c0=evil").mkdir()
    (tmp_path / "c0=evil" / "a.csv").write_bytes(csv(orders()))
    assert same(crm_ml.CustomerLog(tmp_path / "*" / "a.csv"), crm_ml.CustomerLog(orders()))


def test_files_that_are_not_there_are_told(memory):
    for path, told in (
        ("memory://shop/*.parquet", r"no file matches 'memory://shop/\*.parquet'"),
        (f"nope://k:{SECRET}@b/a.csv", "nope://b/a.csv: ValueError"),
        (f"s3://k:{SECRET}@b/a.csv", "s3://b/a.csv"),
    ):
        with pytest.raises(SchemaError, match=told) as caught:
            crm_ml.CustomerLog(path)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


class Failing(MemoryFileSystem):
    """A file system whose errors quote its credentials, after some reads."""

    protocol = "failing"
    fails_after = 0
    reads = 0

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("failing://")

    def exists(self, *_, **__):
        return True

    def info(self, path, **_):
        return {"name": path, "size": self._content(path).seek(0, 2), "type": "file"}

    def _content(self, path):
        return io.BytesIO(parquet(orders(5000)) if path.endswith(".parquet") else csv(orders(5000)))

    def open(self, path, *_, **__):
        if self.fails_after < 0:
            raise PermissionError(path)
        file = self._content(path)
        read = file.read

        class Reading(io.BytesIO):
            def read(self, *size):
                Failing.reads += 1
                if Failing.reads > Failing.fails_after:
                    raise RuntimeError(f"could not get {path}")
                file.seek(self.tell())
                got = read(*size)
                self.seek(file.tell())
                return got

        return Reading(file.getvalue())


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_credentials_are_in_no_error_whenever_reading_fails(name):
    fsspec.register_implementation("failing", Failing, clobber=True)
    path = f"failing://key:{SECRET}@bucket/{name}?token={SECRET}"
    told = set()
    for Failing.fails_after in (-1, 0, 2, 4, 8):
        Failing.reads = 0
        with suppress(SchemaError):  # many reads may be enough
            crm_ml.CustomerLog(path)
            continue
        Failing.reads = 0
        with pytest.raises(SchemaError, match=rf"failing://bucket/{name}") as caught:
            crm_ml.CustomerLog(path)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        told.add(str(caught.value).partition("\n")[0].rpartition(" ")[2])
    assert told >= {"PermissionError", "RuntimeError"}


PART = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=6)


@settings(max_examples=50)
@given(PART, PART, PART, st.sampled_from(["", "simplecache::", "zip://a.csv::"]))
@example("", "/", "", "")
@example(":", "@", "@", "")
def test_no_user_password_or_token_is_shown(key, secret, token, chain):
    user = f"{key}{SECRET}{key}:{secret}{SECRET}{secret}"
    for address in (f"s3://{user}@bucket/a.csv", f"s3://{user}@bucket/a.csv?t={token}{SECRET}#{SECRET}"):
        assert SECRET not in shown(chain + address)
    assert SECRET not in shown(f"{chain}https://host/a.csv?t={token}{SECRET}@{SECRET}")


def test_what_is_no_secret_is_shown():
    for path in ("orders/*.parquet", "a@b.csv", "C:\\x?.csv", "s3://bucket/a@b.csv", "zip://a.csv::s3://bucket/b.zip"):
        assert shown(path) == path
    assert shown("s3://key:se/cr@et@bucket/x.csv") == "s3://bucket/x.csv"
    assert shown("s3://key:se?cret@bucket/x.csv") == "s3://..."
    assert shown(Path("a/b.csv")) == os.path.join("a", "b.csv")


def test_input_files_tell_whether_a_file_is_still_the_same(memory, tmp_path):
    (tmp_path / "a.csv").write_bytes(csv(orders()))
    memory.pipe("/shop/b.csv", csv(orders()))
    paths = [str(tmp_path / "*.csv"), "memory://shop/b.csv"]
    local, remote = input_files(paths, name="transactions")
    assert local == (str(tmp_path / "a.csv"), len(csv(orders())), str((tmp_path / "a.csv").stat().st_mtime_ns))
    assert remote[:2] == ("memory:///shop/b.csv", len(csv(orders())))
    assert dt.datetime.fromisoformat(remote.modified).tzinfo is not None
    assert input_files(paths, name="transactions") == [local, remote]
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    memory.pipe("/shop/b.csv", csv(orders()))
    for before, after in zip((local, remote), input_files(paths, name="transactions"), strict=True):
        assert before != after
        assert before[:2] == after[:2]
    with pytest.raises(SchemaError, match="no file matches"):
        input_files("memory://shop/none.csv", name="transactions")


def corrupt(content, begin, end):
    return content[:begin] + bytes(end - begin) + content[end:]


LONG = orders(60_000)
BROKEN = {
    "cut.parquet": lambda: parquet(LONG)[:-20],
    "page.parquet": lambda: corrupt(parquet(LONG), 100, 900),
    "cut.csv.gz": lambda: gzip.compress(csv(LONG), 1)[:-50_000],
    "broken.csv.gz": lambda: corrupt(gzip.compress(csv(LONG), 1), 90_000, 90_100),
    "byte.csv": lambda: csv(LONG)[:1_000_000] + b"\xff\xfe" + csv(LONG)[1_000_000:],
    "quote.csv": lambda: csv(LONG)[:1_000_000] + b'\n"a' + csv(LONG)[1_000_000:],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_part_is_named(name, memory, tmp_path):
    content, ending = BROKEN[name](), name.partition(".")[2]
    good = {"parquet": parquet, "csv": csv, "csv.gz": lambda frame: gzip.compress(csv(frame))}[ending](orders())
    for part, bytes_of in {"a." + ending: good, name: content}.items():
        (tmp_path / part).write_bytes(bytes_of)
        memory.pipe(f"/shop/{part}", bytes_of)
    for pattern, path in ((tmp_path / f"*.{ending}", tmp_path / name), (f"memory://shop/*.{ending}", f"/shop/{name}")):
        with pytest.raises(SchemaError, match="transactions could not be read: ") as caught:
            crm_ml.CustomerLog(pattern)
        # Before 2.0, DuckDB does not say in which file a page is damaged.
        assert str(path) in str(caught.value) or (name == "page.parquet" and duckdb.__version__ < "2")
        assert "transactions://" not in str(caught.value)


def test_a_folder_in_place_of_a_part_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(parquet(orders()))
    for ending in ("parquet", "csv"):
        (tmp_path / f"b.{ending}").mkdir()
        with pytest.raises(SchemaError, match=rf"Is a directory: .*b\.{ending}"):
            crm_ml.CustomerLog(tmp_path / f"*.{ending}")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="a system without users")
def test_a_part_that_may_not_be_read_is_named():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103
        for ending, content in {"parquet": parquet(orders()), "csv": csv(orders())}.items():
            path = Path(folder, f"a.{ending}")
            path.write_bytes(content)
            path.chmod(0)
        was = os.geteuid()
        try:
            if was == 0:
                os.seteuid(65534)
            for ending in ("parquet", "csv"):
                with pytest.raises(SchemaError, match=rf"Permission denied: .*a\.{ending}"):
                    crm_ml.CustomerLog(Path(folder, f"*.{ending}"))
        finally:
            os.seteuid(was)


def test_unreadable_cells_far_into_a_csv_file_are_counted_and_not_quoted(tmp_path):
    lines = csv(orders(60_000)).decode().split("\n")
    lines[40_001] = "c1,garbage,1"
    lines[50_001] = "c1,2024-01-01,garbage"
    (tmp_path / "a.csv").write_text("\n".join(lines))
    dropped = crm_ml.CustomerLog(tmp_path / "a.csv", on_invalid="drop").dropped
    assert dropped == {
        "transactions": {"`timestamp` must be a readable date and time.": 1, "`amount` must be a number.": 1}
    }
    with pytest.raises(SchemaError, match=r"1 of 60,000 transactions break this, first rows: \[40000\]"):
        crm_ml.CustomerLog(tmp_path / "a.csv")
