"""What must not get out: customers' identifiers, whose pseudonyms need a key, and formulas in what is exported."""

import csv
import gzip
import io
import logging
import sqlite3
import tempfile
import traceback
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import crm_ml
from crm_ml import scoring
from crm_ml.errors import SchemaError
from crm_ml.events.keyed import keyed_ids, read_id_key
from crm_ml.registry import default_store
from crm_ml.scoring import write_csv

CANARY = "Kanarienvogel"
AS_OF = "2024-10-01"


def holds(content: bytes, word: str = CANARY) -> bool:
    """Whether a file holds a word, as bytes, or as a cell of what is packed in it."""
    if any(word.encode(coding) in content for coding in ("utf-8", "utf-16-le")):
        return True
    if content[:4] == b"PAR1":
        return word in str(pq.read_table(io.BytesIO(content)).to_pydict())
    if content[:2] == b"\x1f\x8b":
        return holds(gzip.decompress(content), word)
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(holds(archive.read(name), word) for name in archive.namelist())
    return False


def packed(frame, kind):
    file = io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(file)
    elif kind == "gzip":
        file.write(gzip.compress(frame.to_csv().encode()))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.parquet", packed(frame, "parquet"))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "gzip", "zip"])
def test_the_search_finds_what_is_packed(kind):
    frame = pd.DataFrame({"id": [f"{CANARY}-{number % 7}" for number in range(1000)]})
    assert holds(packed(frame, kind))
    assert not holds(packed(frame.replace(CANARY, "x", regex=True), kind))


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Train on customers that can be recognised; return the folder and all that was printed, logged and warned."""
    folder = tmp_path_factory.mktemp("secrecy") / "models"
    shop = crm_ml.simulate(300, days=300, seed=5)
    transactions, interactions = (
        frame.assign(customer_id=CANARY + "-" + frame["customer_id"].astype(str))
        for frame in (shop.transactions, shop.interactions)
    )
    transactions["order_id"] = [f"{CANARY}-order-{number}" for number in range(len(transactions))]
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            log = crm_ml.CustomerLog(transactions, interactions, n_buckets=2)
            found = scoring.assess(log, as_of=AS_OF, n_cutoffs=1, holdout_days=150)  # too long for a challenger
            trained = scoring.train(log, found, annual_discount_rate=0.1, margin=0.3, directory=folder)
            crm_ml.predict_churn(log, "models:/churn@champion", as_of=AS_OF, store=default_store(folder))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    text = told.getvalue() + repr(log) + log._repr_html_() + repr(trained) + "".join(str(each) for each in warned)
    return folder, text


def test_no_identifier_is_in_the_store_or_a_bundle(training):
    folder, _ = training
    files = [path for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".db", ".json", ".ubj", ".csv", ".png"} <= kinds
    assert [str(path.relative_to(folder)) for path in files if holds(path.read_bytes())] == []
    with sqlite3.connect(folder / "mlflow.db") as database:
        dump = "\n".join(database.iterdump())
    assert "content_hash" in dump
    assert CANARY not in dump


def test_no_identifier_is_logged_warned_of_or_shown(training):
    _, text = training
    assert "CustomerLog(" in text
    assert CANARY not in text


def broken_logs(folder):
    rows = [f"{CANARY}-{number},2024-01-01 00:00:00,{number}" for number in range(40_000)]
    middle = {
        "number": f"{CANARY}-x,2024-01-01,{CANARY}",
        "time": f"{CANARY}-x,{CANARY},5",
        "columns": f"{CANARY}-x,2024-01-01,5,{CANARY}",
        "claims a file": f'{CANARY}-x,2024-01-01,5,"\n  file = {CANARY}\n"',
        "quote": f'{CANARY}-x,2024-01-01,"5',
        "empty": f",2024-01-01,{CANARY}",
    }
    for name, line in middle.items():
        path = folder / f"{name}.csv"
        path.write_text("\n".join(["customer_id,timestamp,amount", *rows[:39_000], line, *rows[39_000:]]))
        yield path


def test_no_identifier_is_in_an_error_or_its_traceback(tmp_path):
    told = 0
    for path in broken_logs(tmp_path):
        with pytest.raises(SchemaError, match=r"transactions") as caught:
            crm_ml.CustomerLog(path)
        text = "".join(traceback.format_exception(caught.value))
        assert CANARY not in text, path.name
        told += 1
    assert told == 6


KEY = bytes(range(64))


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        # OpenSSL 3.0.19: printf TEXT | openssl mac -macopt hexkey:KEY -macopt size:16 BLAKE2BMAC
        ("abc", KEY[:16], "cc611a2673ca66e9f7fc64b995c5467c"),
        ("ü" * 150, KEY, "1b624e08fb3a2894844cf7de71492ed9"),
        (17, KEY, "915cd1b0eb8702aaf9072b02eca79b5c"),
        ("", b"not random, 16 b", "ec59383fb7464588ffce195030e42448"),
    ],
)
def test_a_pseudonym_is_keyed_blake2b(text, key, expected):
    assert keyed_ids([text], key).to_pylist() == [expected]


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), max_size=6))
@settings(max_examples=30)
def test_pseudonyms_keep_places_gaps_and_identity(ids):
    found = keyed_ids(pa.array(ids, pa.string()), KEY).to_pylist()
    assert [name is None for name in found] == [each is None for each in ids]
    assert len(set(found)) == len(set(ids))
    assert {len(name) for name in found if name is not None} <= {32}


def test_pseudonyms_take_every_kind_of_column():
    expected = keyed_ids(["7", "8", "7"], KEY)
    kinds = pd.Series([7, 8, 7]), pa.chunked_array([[7, 8], [7]]), np.array(["7", "8", "7"]), pd.Index([7, 8, 7])
    for given_ids in kinds:
        assert keyed_ids(given_ids, KEY).equals(expected)
    assert not keyed_ids(["7"], KEY[:63]).equals(expected[:1])


def test_keys_are_long_enough_and_not_too_long(monkeypatch):
    for size in (0, 15, 65):
        with pytest.raises(SchemaError, match=f"must have 16 to 64 bytes; it has {size} bytes"):
            keyed_ids(["a"], bytes(size))
    for size in (16, 64):
        assert len(keyed_ids(["a"], bytes(size))) == 1


def test_the_key_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("CRM_ML_ID_KEY", raising=False)
    monkeypatch.delenv("CRM_ML_ID_KEY_FILE", raising=False)
    with pytest.raises(SchemaError, match="not set"):
        read_id_key()
    file = tmp_path / "key"
    file.write_bytes(b"a key of a file, long\r\n")
    monkeypatch.setenv("CRM_ML_ID_KEY_FILE", str(file))
    assert read_id_key() == b"a key of a file, long"
    monkeypatch.setenv("CRM_ML_ID_KEY", "ein längerer Schlüssel")
    with pytest.raises(SchemaError, match="both set"):
        read_id_key()
    monkeypatch.delenv("CRM_ML_ID_KEY_FILE")
    assert read_id_key() == "ein längerer Schlüssel".encode()
    monkeypatch.setenv("CRM_ML_ID_KEY", "tooshortsecret")
    with pytest.raises(SchemaError, match="has 14 bytes") as caught:
        read_id_key()
    assert "tooshort" not in str(caught.value)
    monkeypatch.delenv("CRM_ML_ID_KEY")
    monkeypatch.setenv("CRM_ML_ID_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(SchemaError, match="cannot be read: FileNotFoundError"):
        read_id_key()


FORMULA = st.tuples(
    st.sampled_from(["", "'", " ", "\t", "\r\n", "\u200b", "\ufeff", "\u00a0"]),
    st.sampled_from(["=", "+", "-", "@", "＝", "＋", "－", "＠", "−", "\t", "\r", "\n"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
).map("".join)
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def written(frame, path: Path):
    write_csv(frame, path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@given(st.lists(st.one_of(FORMULA, ANY), min_size=1, max_size=5), FORMULA)
@example(["=1+1", "'=1+1", "-5", "+1e5", "-5+1", "a;=1", 'a",=1', "a\n=1"], "=cmd|' /C calc'!A0")
@settings(max_examples=50)
def test_no_cell_of_a_csv_file_is_a_formula_and_every_text_can_be_had_back(texts, header):
    texts = [text.replace("\0", "") for text in texts]
    header = header.replace("\0", "")
    frame = pd.DataFrame({header: texts, "n": -1.5}, index=pd.Index(texts, name=header + "i"))
    with tempfile.TemporaryDirectory() as folder:
        content = write_csv(frame, Path(folder, "x.csv")).read_bytes()
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert len(lines) == 1 + len(texts)
    for row in lines:
        assert len(row) == 3
        for cell in row[:2]:
            assert not is_formula(cell)
    for row, text in zip(lines[1:], texts, strict=True):
        assert row[2] == "-1.5"
        for cell in row[:2]:
            assert cell in (text, f"'{text}")


def is_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lstrip().lstrip("\u200b\ufeff")[:1] in tuple("=+-@＝＋－＠") or cell[:1] in tuple("\t\r\n")
    return False


def test_numbers_times_and_gaps_stay_what_they_are_in_csv(tmp_path):
    frame = pd.DataFrame(
        {
            "n": [-1.5, np.nan],
            "i": pd.array([-3, None], dtype="Int64"),
            "b": [True, False],
            "t": pd.to_datetime(["2024-01-01", None]),
            "c": pd.Categorical(["=a", "b"]),
            "o": [-7, ["=x"]],
            "d": pd.to_timedelta(["-1D", "1D"]),
        },
        index=pd.MultiIndex.from_tuples([("@a", 1), ("b", -2)], names=["customer_id", None]),
    )
    found = written(frame, tmp_path / "x.csv")
    assert found.columns.tolist()[0] == "customer_id"
    assert found.iloc[0].tolist() == ["'@a", "1", "-1.5", "-3", "True", "2024-01-01", "'=a", "-7", "'-1 days +00:00:00"]
    assert found.iloc[1].tolist() == ["b", "-2", "", "", "False", "", "b", "['=x']", "1 days 00:00:00"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
