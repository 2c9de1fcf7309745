"""Hostile names, texts and paths: what they say is never done, and nothing but the files that were named is opened."""

import os
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import crm_ml
from crm_ml.errors import CrmError, ModelError, SchemaError
from crm_ml.events.host import LocalHost
from crm_ml.registry import Store, load_bundle, resolve

HOSTILE = [
    "'; DROP TABLE given_transactions; --",
    "\"; ATTACH 'x.db'; --",
    "(SELECT * FROM read_csv('/etc/passwd'))",
    "read_csv('/etc/passwd')",
    "c0",
    "source",
    "../../etc/passwd",
    "$HOME",
    "%s%n{0}{x}",
    "/* x",
    "line\nbreak\r\ttab",
    "nul\0nul",
    "а\u202eb\u200bｃ",
    "İıſK",
    "<script>",
    "$\\frac{",
    "[x]<y",
    "__proto__",
    "{'c0': 'VARCHAR'}",
]
TEXT = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from([*HOSTILE, "'", '"', ";", "\\", "--", "`", "*", "?"]), max_size=3).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
).filter(lambda text: text.strip(" ") != "")


def tame(rows=60):
    return pd.DataFrame(
        {
            "who": [f"c{number % 5}" for number in range(rows)],
            "when": pd.date_range("2024-01-01", periods=rows, freq="D"),
            "what": [f"t{number % 3}" for number in range(rows)],
            "much": np.arange(rows, dtype=float),
        }
    )


def read(orders, events, columns):
    return crm_ml.CustomerLog(orders, events, columns=columns, n_buckets=1)


@settings(max_examples=8)
@given(
    st.lists(TEXT, min_size=5, max_size=5, unique_by=str.casefold),
    st.lists(TEXT, min_size=5, max_size=5, unique=True),
    st.lists(TEXT, min_size=3, max_size=3, unique=True),
    st.sampled_from(["frame", "parquet", "csv"]),
)
@example(HOSTILE[:5], HOSTILE[:5], HOSTILE[5:8], "parquet")
@example(HOSTILE[5:10], HOSTILE[5:10], HOSTILE[8:11], "csv")
@example(HOSTILE[14:19], HOSTILE[10:15], HOSTILE[14:17], "frame")
def test_a_hostile_log_gives_what_a_tame_one_gives(names, ids, kinds, given_as):
    ids, kinds = sorted(ids), sorted(kinds)
    if given_as == "csv":  # which has no NUL, and one kind of line break
        names, ids, kinds = (
            [text.replace("\0", "").replace("\r", "") + "." for text in each] for each in (names, ids, kinds)
        )
        if len({name.casefold() for name in names}) < 5 or len({*ids}) < 5 or len({*kinds}) < 3:
            return
        ids, kinds = sorted(ids), sorted(kinds)
    who, when, what, much, spare = names
    mapping = {who: "customer_id", when: "timestamp", what: "event_type", much: "amount"}
    frame = tame()
    hostile = frame.assign(
        who=frame["who"].map(dict(zip(sorted(frame["who"].unique()), ids, strict=True))),
        what=frame["what"].map(dict(zip(sorted(frame["what"].unique()), kinds, strict=True))),
        spare=ids * 12,
    ).set_axis([who, when, what, much, spare], axis=1)
    expected = read(frame, frame, {"who": "customer_id", "when": "timestamp", "what": "event_type", "much": "amount"})
    with tempfile.TemporaryDirectory() as folder:
        source = hostile
        if given_as == "parquet":
            source = Path(folder, "it's.parquet")
            hostile.to_parquet(source)
        elif given_as == "csv":
            source = Path(folder, "it's.csv")
            hostile.to_csv(source, index=False)
        found = read(source, source, mapping)
    assert found.event_types == tuple(kinds)
    ours, theirs = (crm_ml.build_features(log, as_of="2024-02-20") for log in (found, expected))
    assert ours.index.tolist() == ids
    for position, kind in enumerate(kinds):
        assert found.counts()["rows"].to_numpy()[1 + position] == expected.counts()["rows"].to_numpy()[1 + position], (
            kind
        )
    np.testing.assert_array_equal(ours.to_numpy(dtype=float), theirs.to_numpy(dtype=float))


def test_nothing_outside_the_glob_is_opened(tmp_path, monkeypatch):
    frame = tame(6).rename(columns={"who": "customer_id", "when": "timestamp", "much": "amount"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("home", "~", "%2e%2e", "$HOME", "it's; --"):
        (tmp_path / folder).mkdir()
    names = [
        "we[i]rd*.parquet",
        "~/a.parquet",
        "%2e%2e/a.parquet",
        "$HOME/a.parquet",
        "it's; --/a'?.parquet",
        "a\\b.parquet",
    ]
    for name in names:
        frame.to_parquet(tmp_path / name)
    for canary in (
        "weird.parquet",
        "weird_too.parquet",
        "home/a.parquet",
        "a.parquet",
        "it's; --/a'b.parquet",
        "ab.parquet",
    ):
        (tmp_path / canary).write_bytes(b"PAR1 not a file that can be read PAR1")
    for name in names:
        assert crm_ml.CustomerLog(name).n_transactions == 6, name


def test_a_query_can_load_no_extension():
    connection = LocalHost(memory_limit=None, threads=1, timezone="UTC").connection
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        assert connection.execute(f"SELECT current_setting('{setting}')").fetchall() == [(False,)]
    for scheme in ("https", "s3", "hf"):
        with pytest.raises(duckdb.Error, match="httpfs"):
            connection.execute(f"SELECT * FROM read_parquet('{scheme}://127.0.0.1/x.parquet')")


@given(TEXT)
@settings(max_examples=15)
@example("a\0b.csv")
@example("x" * 5000 + ".csv")
@example("\udcff.csv")
def test_a_path_that_leads_nowhere_is_a_typed_error(text):
    with tempfile.TemporaryDirectory() as folder, pytest.raises(SchemaError, match="transactions"):
        crm_ml.CustomerLog(os.path.join(folder, "none", text.lstrip("/.")))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    from mlflow import MlflowClient

    address = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    client.create_registered_model("churn")
    return Store(address, address)


@pytest.mark.parametrize("text", [*HOSTILE, "churn' OR name = 'x", "churn'--", "%", "churn\\", "churn?x=1#y"])
def test_a_hostile_model_address_or_path_is_a_typed_error(text, store, tmp_path):
    for address in (f"models:/{text}@champion", f"models:/{text}/1", f"models:/churn@{text}", f"runs:/{text}/churn"):
        with pytest.raises(ModelError, match=r"\w"):
            resolve(address, store=store)
    with pytest.raises(CrmError, match="bundle"):
        load_bundle(tmp_path / text)
