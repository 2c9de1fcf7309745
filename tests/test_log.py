"""The door: every kind of input, every broken rule, and nothing lost in silence."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import crm_ml
from crm_ml import CustomerLog
from crm_ml.errors import SchemaError
from crm_ml.events.bucket import Bucket

ORDERS = pd.DataFrame(
    {
        "customer_id": ["007", "ann", "ann"],
        "timestamp": pd.to_datetime(["2024-01-05 10:00:00.0", "2024-02-01 00:00:00.0", "2024-02-03 23:59:59.5"]),
        "amount": [12.5, 20.0, 0.25],
    }
)
EVENTS = pd.DataFrame(
    {
        "customer_id": ["ann", "bob"],
        "timestamp": ["2024-01-01", "2024-01-02"],
        "event_type": ["view", "cart"],
        "value": [1.5, np.nan],
    }
)
ROWS = [
    ("007", "2024-01-05T10:00:00.000000", 12.5),
    ("ann", "2024-02-01T00:00:00.000000", 20.0),
    ("ann", "2024-02-03T23:59:59.500000", 0.25),
]


def rows(log: CustomerLog) -> list[tuple[str, str, float]]:
    """Give every transaction that reaches a kernel as (customer, moment UTC, amount)."""

    def unrolled(bucket: Bucket) -> list[tuple[str, str, float]]:
        money = bucket.transactions
        owners = np.repeat(bucket.customer_id, np.diff(money.offsets))
        moments = money.time.astype("datetime64[us]").astype(str)
        return list(zip(owners.tolist(), moments.tolist(), money.amount.tolist(), strict=True))

    return sorted(row for part in log.map(unrolled) for row in part)


def purchases(log: CustomerLog) -> int:
    return sum(int(count) for count in log.map(lambda bucket: bucket.transactions.is_purchase.sum()))


def orders(**columns: Any) -> pd.DataFrame:
    """Give two valid orders with some columns replaced or added."""
    return pd.DataFrame(
        {"customer_id": ["a", "b"], "timestamp": ["2024-01-05", "2024-01-06"], "amount": [1.0, 2.0]} | columns
    )


OTHER_DATABASE = duckdb.connect()
KINDS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "pandas": lambda frame, _: frame,
    "object": lambda frame, _: frame.astype(object),
    "categorical": lambda frame, _: frame.astype({"customer_id": "category"}),
    "nullable": lambda frame, _: frame.convert_dtypes(dtype_backend="numpy_nullable"),
    "arrow dtypes": lambda frame, _: frame.convert_dtypes(dtype_backend="pyarrow"),
    "zoned": lambda frame, _: _zoned(frame, "us"),
    "zoned nanoseconds": lambda frame, _: _zoned(frame, "ns"),
    "nanoseconds": lambda frame, _: frame.astype({"timestamp": "datetime64[ns]"}),
    "all text": lambda frame, _: frame.astype("string"),
    "index": lambda frame, _: frame.set_index("customer_id"),
    "two indexes": lambda frame, _: frame.set_index(["customer_id", "timestamp"]),
    "strange index": lambda frame, _: frame.set_index(pd.Index([5, 5, 1])),
    "idle column": lambda frame, _: frame.assign(basket=pd.period_range("2024-01", periods=3, freq="M")),
    "polars": lambda frame, _: pl.from_pandas(frame),
    "polars lazy": lambda frame, _: pl.from_pandas(frame).lazy(),
    "arrow": lambda frame, _: pa.Table.from_pandas(frame),
    "reader": lambda frame, _: pa.Table.from_pandas(frame).to_reader(max_chunksize=1),
    "duckdb": lambda frame, _: OTHER_DATABASE.from_arrow(pa.Table.from_pandas(frame)),
    "parquet": lambda frame, folder: _parquet(frame, folder / "o'r [1].parquet"),
    "parquet text": lambda frame, folder: str(_parquet(frame, folder / "orders.parquet")),
    "parquet glob": lambda frame, folder: _parts(frame, folder) / "*.parquet",
    "parquet list": lambda frame, folder: sorted(_parts(frame, folder).iterdir()),
    "csv": lambda frame, folder: _csv(frame, folder / "orders.csv"),
    "csv.gz": lambda frame, folder: _csv(frame, folder / "orders.csv.gz"),
    "csv bom": lambda frame, folder: _csv(frame, folder / "orders.csv", encoding="utf-8-sig"),
    "csv crlf": lambda frame, folder: _csv(frame, folder / "orders.csv", lineterminator="\r\n"),
}


def _zoned(frame: pd.DataFrame, unit: Any) -> pd.DataFrame:
    return frame.assign(timestamp=frame["timestamp"].dt.as_unit(unit).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))


def _parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path, index=False)
    return path


def _parts(frame: pd.DataFrame, folder: Path) -> Path:
    for number in range(len(frame)):
        _parquet(frame.iloc[[number]], folder / f"part{number}.parquet")
    return folder


def _csv(frame: pd.DataFrame, path: Path, **settings: Any) -> Path:
    frame.to_csv(path, index=False, **settings)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_same_log(kind: str, tmp_path: Path) -> None:
    log = CustomerLog(KINDS[kind](ORDERS, tmp_path))
    assert rows(log) == ROWS
    assert log.dropped == {}
    assert log.fingerprint() == CustomerLog(ORDERS).fingerprint()


def test_csv_files_are_read_by_the_standard_and_not_by_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    written = ['"a ""b"", c"', "'x'", "# d", '"e\nf"']
    path.write_text("customer_id,timestamp,amount\n" + "".join(f"{name},2024-01-01,1\n" for name in written))
    assert [customer for customer, _, _ in rows(CustomerLog(path))] == ["# d", "'x'", 'a "b", c', "e\nf"]


@pytest.mark.parametrize("header", ["timestamp,customer_id,amount", "customer_id,timestamp,amount,order_id"])
def test_csv_files_with_different_headers_are_refused(header: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("customer_id,timestamp,amount\na,2024-01-01,1\n")
    (tmp_path / "b.csv").write_text(header + "\n" + ",".join(["2024-01-01"] * (header.count(",") + 1)) + "\n")
    with pytest.raises(SchemaError, match="CSV files must all have the same header"):
        CustomerLog(tmp_path / "*.csv")


@pytest.mark.parametrize("line", ["a,2024-01-01", "a,2024-01-01,1,2"])
def test_a_csv_line_with_other_columns_than_the_header_is_told_without_its_content(line: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f"customer_id,timestamp,amount\nb,2024-01-01,1\n{line}\n")
    with pytest.raises(SchemaError, match=r"could not be read: .*Line: 3\nGive readable") as caught:
        CustomerLog(path, on_invalid="drop")
    assert "2024-01-01" not in str(caught.value)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("customer_id,timestamp,amount\nM\xfcller,2024-01-01,1\n".encode("latin-1"))
    (tmp_path / "not.csv.gz").write_bytes(b"customer_id,timestamp,amount\n")
    (tmp_path / "not.parquet").write_bytes(b"PAR1 and no more PAR1")
    for name in ("latin.csv", "not.csv.gz", "not.parquet"):
        with pytest.raises(SchemaError, match="transactions could not be read: "):
            CustomerLog(tmp_path / name)


def test_columns_are_renamed_in_both_tables() -> None:
    theirs = ORDERS.rename(columns={"customer_id": "who", "amount": "paid"})
    events = EVENTS.rename(columns={"customer_id": "who", "event_type": "kind"})
    log = CustomerLog(theirs, events, columns={"who": "customer_id", "paid": "amount", "kind": "event_type"})
    assert rows(log) == ROWS
    assert log.event_types == ("cart", "view")


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("2024-01-15 12:00", "UTC", "2024-01-15T12:00:00"),
        ("2024-01-15 12:00", "Europe/Berlin", "2024-01-15T11:00:00"),
        ("2024-07-15 12:00", "Europe/Berlin", "2024-07-15T10:00:00"),
        ("2024-03-31 01:59:59", "Europe/Berlin", "2024-03-31T00:59:59"),
        ("2024-03-31 03:00", "Europe/Berlin", "2024-03-31T01:00:00"),
        ("2024-07-15T12:00:00+05:30", "Europe/Berlin", "2024-07-15T06:30:00"),
        ("2024-07-15T12:00:00Z", "America/New_York", "2024-07-15T12:00:00"),
        ("2024-07-15", "America/New_York", "2024-07-15T04:00:00"),
    ],
)
def test_times_become_utc(text: str, zone: str, utc: str) -> None:
    frame = pd.DataFrame({"customer_id": ["a"], "timestamp": [text], "amount": [1.0]})
    assert rows(CustomerLog(frame, timezone=zone))[0][1] == utc + ".000000"
    naive = frame.assign(timestamp=pd.to_datetime(frame["timestamp"])) if text[-1] not in "Z0" else frame
    assert rows(CustomerLog(naive, timezone=zone))[0][1] == utc + ".000000"


def test_identifiers_stay_what_they_are() -> None:
    strange = ["007", " a b ", "O'Brien", '"q"', "Zoë", "顧客", "x" * 1024, "a,b", "null", "nan", "a;--", "line\nbreak"]
    frame = pd.DataFrame({"customer_id": strange, "timestamp": "2024-01-05", "amount": 1.0})
    log = CustomerLog(frame)
    assert sorted({customer for customer, _, _ in rows(log)}) == sorted(strange)
    built = crm_ml.build_features(log, as_of="2024-02-01")
    assert built.index.tolist() == sorted(strange)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([1, 2**53 + 1], ["1", "9007199254740993"]),
        ([1.0, 2.5], ["1", "2.5"]),
        ([1e300, 2.0], ["1e+300", "2"]),
        ([1e20, 2.0**40], ["100000000000000000000", "1099511627776"]),
        (pd.array([1, 2], dtype="Int64"), ["1", "2"]),
        (pd.Categorical([10, 20]), ["10", "20"]),
    ],
)
def test_numbers_as_identifiers_become_text(given: Any, text: list[str]) -> None:
    assert [customer for customer, _, _ in rows(CustomerLog(orders(customer_id=given)))] == text


def test_whole_identifiers_survive_a_column_with_gaps() -> None:
    log = CustomerLog(orders(customer_id=[17.0, np.nan]), on_invalid="drop")
    assert [customer for customer, _, _ in rows(log)] == ["17"]
    assert log.dropped == {"transactions": {"`customer_id` must be given.": 1}}


def test_lines_of_an_order_are_one_purchase() -> None:
    frame = pd.DataFrame(
        [
            ("a", "2024-01-01 10:00", 5.0, "o1"),
            ("a", "2024-01-01 10:00", 7.0, "o1"),
            ("a", "2024-01-01 10:00", 1.0, "o2"),
            ("a", "2024-01-09 10:00", 3.0, "o1"),
            ("b", "2024-01-01 10:00", 2.0, "o1"),
            ("b", "2024-01-02 10:00", 2.0, None),
            ("b", "2024-01-02 10:00", 2.0, None),
            ("b", "2024-01-03 10:00", 2.0, ""),
            ("b", "2024-01-04 10:00", 2.0, ""),
        ],
        columns=["customer_id", "timestamp", "amount", "order_id"],
    )
    log = CustomerLog(frame)
    assert [amount for customer, _, amount in rows(log) if customer == "a"] == [1.0, 12.0, 3.0]
    assert [amount for customer, _, amount in rows(log) if customer == "b"] == [2.0, 2.0, 2.0, 2.0, 2.0]
    assert purchases(log) == 2 + 5


def test_returns_are_netted_or_left_out() -> None:
    frame = pd.DataFrame(
        {
            "customer_id": "a",
            "timestamp": ["2024-01-01", "2024-01-02", "2024-01-03"],
            "amount": [10.0, -4.0, 0.0],
        }
    )
    netted, ignored = CustomerLog(frame), CustomerLog(frame, returns="ignore")
    assert [amount for *_, amount in rows(netted)] == [10.0, -4.0, 0.0]
    assert [amount for *_, amount in rows(ignored)] == [10.0, 0.0]
    assert purchases(netted) == purchases(ignored) == 2
    assert netted.fingerprint() != ignored.fingerprint()


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "null id": ({"customer_id": [None, "b"]}, "`customer_id` must be given."),
    "empty id": ({"customer_id": ["", "b"]}, "`customer_id` must be given."),
    "blank id": ({"customer_id": ["  ", "b"]}, "`customer_id` must be given."),
    "no time": ({"timestamp": [None, "2024-01-06"]}, "`timestamp` must be a readable date and time."),
    "odd time": ({"timestamp": ["05/01/2024", "2024-01-06"]}, "`timestamp` must be a readable date and time."),
    "infinite time": ({"timestamp": ["infinity", "2024-01-06"]}, "`timestamp` must be a readable date and time."),
    "far time": ({"timestamp": ["20240-01-05", "2024-01-06"]}, "`timestamp` must be a readable date and time."),
    "NaN": ({"amount": [np.nan, 2.0]}, "`amount` must be a number."),
    "text": ({"amount": ["1,234.50", "2"]}, "`amount` must be a number."),
    "text NaN": ({"amount": ["nan", "2"]}, "`amount` must be a number."),
    "infinite": ({"amount": [-np.inf, 2.0]}, "`amount` must be finite."),
    "text infinite": ({"amount": ["inf", "2"]}, "`amount` must be finite."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_refused_or_counted(case: str) -> None:
    columns, rule = BROKEN[case]
    frame = orders(**columns)
    with pytest.raises(
        SchemaError, match=rule.replace(".", r"\.") + r" 1 of 2 transactions break this, first rows: \[0\]"
    ):
        CustomerLog(frame)
    log = CustomerLog(frame, on_invalid="drop")
    assert log.dropped == {"transactions": {rule: 1}}
    assert [customer for customer, _, _ in rows(log)] == ["b"]
    assert "1 rows dropped" in repr(log)


@pytest.mark.parametrize(
    ("column", "given", "rule"),
    [
        ("event_type", [None, "cart"], "`event_type` must be given."),
        ("event_type", ["", "cart"], "`event_type` must be given."),
        ("value", [np.inf, 1.0], "`value` must be a finite number or missing."),
        ("value", ["much", "1"], "`value` must be a finite number or missing."),
        ("customer_id", [None, "bob"], "`customer_id` must be given."),
        ("timestamp", ["soon", "2024-01-02"], "`timestamp` must be a readable date and time."),
    ],
)
def test_a_broken_interaction_is_refused_or_counted(column: str, given: list[Any], rule: str) -> None:
    events = EVENTS.assign(**{column: given})
    with pytest.raises(SchemaError, match=rule.replace(".", r"\.") + " 1 of 2 interactions break this"):
        CustomerLog(ORDERS, events)
    log = CustomerLog(ORDERS, events, on_invalid="drop")
    assert log.dropped == {"interactions": {rule: 1}}
    assert log.n_interactions == 1
    assert log.event_types == ("cart",)


def test_rows_are_given_in_full_once_and_counted_by_the_first_rule_they_break() -> None:
    frame = orders(customer_id=[None, "b"], amount=[np.nan, 2.0])
    assert CustomerLog(frame, on_invalid="drop").dropped == {"transactions": {"`customer_id` must be given.": 1}}


def test_the_future_begins_at_as_of() -> None:
    assert CustomerLog(orders(), as_of="2024-01-06 00:00:00.000001").n_transactions == 2
    rule = "`timestamp` must lie before the log's `as_of`."
    with pytest.raises(SchemaError, match=r"must lie before the log's `as_of`\. 1 of 2 transactions"):
        CustomerLog(orders(), as_of="2024-01-06")
    log = CustomerLog(orders(), EVENTS, as_of="2024-01-06", on_invalid="drop")
    assert log.dropped == {"transactions": {rule: 1}}
    with pytest.raises(SchemaError, match=r"must lie before the log's `as_of`\. 1 of 2 interactions"):
        CustomerLog(orders().head(1), EVENTS.assign(timestamp=["2024-01-01", "2024-01-06"]), as_of="2024-01-06")


def wrong(data: Any, message: str, **settings: Any) -> Any:
    return pytest.param(data, settings, message, id=message[:40])


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        wrong(orders().rename(columns={"amount": "amuont"}), r"need a column `amount`.*nearest: 'amuont'"),
        wrong(orders().drop(columns="timestamp"), "need a column `timestamp`"),
        wrong(orders().iloc[:0], "at least one valid row; 0 given, 0 valid"),
        wrong(orders(amount=[True, False]), "`amount` must be a number; the column's type is BOOLEAN"),
        wrong(orders(timestamp=[1, 2]), "`timestamp` must be a date and time or text; the column's type is BIGINT"),
        wrong(orders(basket=[1j, 2j]), "transactions could not be read: "),
        wrong(orders().rename(columns={"timestamp": "amount"}), r"must have each column once.*\['amount'\]"),
        wrong(orders(net=[1, 2]), r"each column once.*\['amount'\]", columns={"net": "amount"}),
        wrong(orders(), r"maps 'amount' to 'money', which no table has", columns={"amount": "money"}),
        wrong(orders(), r"named in `columns` need a column `sum`", columns={"sum": "amount"}),
        wrong(orders(), "`timezone` must name an IANA time zone.*'Mars/Base'", timezone="Mars/Base"),
        wrong(orders(), "`memory_limit` must be a size such as '2GB'; got 'lots'", memory_limit="lots"),
        wrong(orders(), "`threads` must be at least 1; got 0", threads=0),
        wrong(orders(), "`n_buckets` must be a whole number from 1 to 4,096; got 0", n_buckets=0),
        wrong(orders(), "`n_buckets` must be a whole number from 1 to 4,096; got 2.5", n_buckets=2.5),
        wrong(orders(), '`returns` must be "net" or "ignore"; got \'drop\'', returns="drop"),
        wrong(orders(), '`on_invalid` must be "raise" or "drop"; got \'fix\'', on_invalid="fix"),
        wrong(orders(), "`as_of` must be a date or a date and time; got 'soon'", as_of="soon"),
        wrong(orders(), "`as_of` must be a date or a date and time; got 20240106", as_of=20240106),
        wrong({"customer_id": ["a"]}, "must be a pandas or Polars frame.*got dict"),
        wrong(None, "must be a pandas or Polars frame.*got NoneType"),
        wrong([orders()], "must be a pandas or Polars frame.*got list"),
        wrong(b"orders.csv", "must be a pandas or Polars frame.*got bytes"),
        wrong("nowhere/*.parquet", r"no file matches 'nowhere/\*\.parquet'"),
        wrong([], "transactions: the list of files is empty"),
    ],
)
def test_what_cannot_be_a_log_is_told(data: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        CustomerLog(data, **settings)


def test_unknown_and_mixed_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.xlsx").touch()
    _parquet(ORDERS, tmp_path / "a.parquet")
    _csv(ORDERS, tmp_path / "a.csv")
    for given in (tmp_path / "orders.xlsx", tmp_path, [tmp_path / "a.parquet", tmp_path / "a.csv"]):
        with pytest.raises(SchemaError, match=r"files must all be \.parquet, or all \.csv or \.csv\.gz"):
            CustomerLog(given)


def test_duplicate_parquet_columns_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(orders())
    pq.write_table(table.append_column("amount", table["amount"]), tmp_path / "twice.parquet")
    with pytest.raises(SchemaError, match=r"each column once\. Columns that appear twice: \['amount'\]"):
        CustomerLog(tmp_path / "twice.parquet")


def test_duplicate_headers_are_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("customer_id,timestamp,amount,amount\na,2024-01-01,1,2\n")
    with pytest.raises(SchemaError, match=r"each column once\. Columns that appear twice: \['amount'\]"):
        CustomerLog(tmp_path / "a.csv.gz")


def test_names_paths_and_values_are_never_queries(tmp_path: Path) -> None:
    attack = "x'; DROP TABLE transactions; --\""
    folder = tmp_path / "x'; DROP TABLE transactions; --"
    folder.mkdir()
    frame = orders(customer_id=[attack, "b"], order_id=[attack, "2"]).rename(columns={"amount": attack})
    frame[f"{attack} AS amount, "] = "idle"
    events = EVENTS.assign(event_type=[attack, "view"])
    for data in (frame, _parquet(frame, folder / "o.parquet"), _csv(frame, folder / "o.csv")):
        log = CustomerLog(data, events, columns={attack: "amount"})
        assert [customer for customer, _, _ in rows(log)] == ["b", attack]
        assert log.event_types == ("view", attack)
        assert attack in log.counts().index
    with pytest.raises(SchemaError, match="`timezone` must name"):
        CustomerLog(orders(), timezone="UTC'; DROP TABLE x; --")
    with pytest.raises(SchemaError, match="`memory_limit` must be"):
        CustomerLog(orders(), memory_limit="1GB'; DROP TABLE x; --")


def many(seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01")
    bought = pd.DataFrame(
        {
            "customer_id": draw.integers(0, 40, 300).astype(str),
            "timestamp": start + pd.to_timedelta(draw.integers(0, 60 * 24, 300), unit="h"),
            "amount": draw.normal(20, 15, 300).round(2),
            "order_id": draw.integers(0, 150, 300).astype(str),
        }
    )
    acted = pd.DataFrame(
        {
            "customer_id": draw.integers(0, 50, 200).astype(str),
            "timestamp": start + pd.to_timedelta(draw.integers(0, 60 * 24, 200), unit="h"),
            "event_type": draw.choice(["view", "cart"], 200),
            "value": np.where(draw.random(200) < 0.5, np.nan, draw.random(200)),
        }
    )
    return bought, acted


def test_the_fingerprint_knows_content_and_nothing_else() -> None:
    bought, acted = many()
    print_ = CustomerLog(bought, acted).fingerprint(as_of="2025-01-01")
    assert (print_["transactions"], print_["interactions"]) == (300, 200)
    for settings in ({"n_buckets": 7}, {"threads": 1}, {"threads": 2, "n_buckets": 3}):
        shuffled = CustomerLog(bought.sample(frac=1, random_state=1), acted.sample(frac=1, random_state=2), **settings)  # type: ignore[arg-type]  # a dict of settings
        assert shuffled.fingerprint(as_of="2025-01-01") == print_


@pytest.mark.parametrize("table", [0, 1])
def test_the_fingerprint_knows_every_cell(table: int) -> None:
    tables = many()
    hashes = {CustomerLog(*tables).fingerprint(as_of="2025-01-01")["content_hash"]}
    changes: dict[str, Any] = {
        "customer_id": "39x",
        "timestamp": pd.Timestamp("2024-01-01 00:00:00.000001"),
        "amount": np.nextafter(float(tables[0]["amount"].iloc[5]), np.inf),
        "order_id": None,
        "event_type": "viev",
        "value": 0.12345,
    }
    for column in tables[table].columns:
        changed = [frame.copy() for frame in tables]
        changed[table][column] = changed[table][column].astype(object)
        changed[table].loc[5, column] = changes[column]
        hashes.add(CustomerLog(*changed).fingerprint(as_of="2025-01-01")["content_hash"])
    twice = [frame.copy() for frame in tables]
    twice[table] = pd.concat([twice[table], twice[table].iloc[[5, 5]]])
    hashes.add(CustomerLog(*twice).fingerprint(as_of="2025-01-01")["content_hash"])
    assert len(hashes) == 1 + 4 + 1


def test_the_fingerprint_ends_at_as_of() -> None:
    bought, acted = many()
    cutoff = bought["timestamp"].iloc[7]
    whole = CustomerLog(bought, acted).fingerprint(as_of=cutoff)
    before = CustomerLog(bought[bought["timestamp"] < cutoff], acted[acted["timestamp"] < cutoff])
    assert before.fingerprint(as_of=cutoff) == whole
    assert whole["transactions"] == int((bought["timestamp"] < cutoff).sum())


def test_columns_never_run_into_each_other_in_the_fingerprint() -> None:
    one = pd.DataFrame(
        {
            "customer_id": ["a, 1704067200000000, 2.0, q"],
            "timestamp": ["2024-01-02"],
            "amount": [4.0],
            "order_id": ["z"],
        }
    )
    other = pd.DataFrame(
        {
            "customer_id": ["a"],
            "timestamp": ["2024-01-01"],
            "amount": [2.0],
            "order_id": ["q, 1704153600000000, 4.0, z"],
        }
    )
    hashes = {CustomerLog(frame).fingerprint(as_of="2025-01-01")["content_hash"] for frame in (one, other)}
    assert len(hashes) == 2


def test_counts_and_repr_say_what_the_log_holds() -> None:
    log = CustomerLog(ORDERS, EVENTS)
    counted = log.counts()
    assert counted.index.tolist() == ["transactions", "cart", "view"]
    assert counted["rows"].tolist() == [3, 1, 1]
    assert counted["customers"].tolist() == [2, 1, 1]
    assert counted.loc["transactions", "first"] == pd.Timestamp("2024-01-05 10:00", tz="UTC")
    assert counted.loc["view", "last"] == pd.Timestamp("2024-01-01", tz="UTC")
    assert repr(log) == "CustomerLog(3 transactions and 2 interactions of 2 customers, 2024-01-05 to 2024-02-03)"
    assert log.end == pd.Timestamp("2024-02-04", tz="UTC")


def test_the_end_is_the_midnight_strictly_after_the_last_purchase() -> None:
    assert CustomerLog(orders()).end == pd.Timestamp("2024-01-07", tz="UTC")


def test_event_types_are_known_from_their_first_moment_on() -> None:
    log = CustomerLog(ORDERS, EVENTS)
    assert log.event_types_before("2024-01-01") == ()
    assert log.event_types_before("2024-01-01 00:00:00.000001") == ("view",)
    assert log.event_types_before("2024-01-02") == ("view",)
    assert log.event_types_before("2024-01-03") == ("cart", "view")


@pytest.mark.parametrize(
    ("first", "history_days", "last", "expected"),
    [
        ("2024-01-01", 31, "2024-04-01", ["2024-02-01", "2024-03-01", "2024-04-01"]),
        ("2024-01-01 00:00:01", 31, "2024-03-31", ["2024-03-01"]),
        ("2024-01-02", 31, "2024-03-01 12:00", ["2024-03-01"]),
        ("2024-01-01", 31, "2024-01-31", []),
        ("2024-01-01", 0, "2024-01-31", ["2024-01-01"]),
    ],
)
def test_monthly_cutoffs_lie_between_history_and_last(
    first: str, history_days: int, last: str, expected: list[str]
) -> None:
    log = CustomerLog(orders(timestamp=[first, "2024-06-15"]))
    found = crm_ml.monthly_cutoffs(log, last=last, history_days=history_days)
    assert found.strftime("%Y-%m-%d").tolist() == expected


def test_monthly_cutoffs_reach_to_the_end_of_the_log() -> None:
    log = CustomerLog(orders(timestamp=["2024-01-01", "2024-03-31 23:59:59.999999"]))
    assert crm_ml.monthly_cutoffs(log, history_days=80).strftime("%Y-%m-%d").tolist() == ["2024-04-01"]


def test_the_log_is_a_snapshot(tmp_path: Path) -> None:
    frame = ORDERS.copy()
    path = _parquet(frame, tmp_path / "orders.parquet")
    in_memory, from_file = CustomerLog(frame), CustomerLog(path)
    frame.loc[:, "amount"] = -1.0
    frame.to_parquet(path)
    path.unlink()
    assert rows(in_memory) == rows(from_file) == ROWS


def test_a_log_without_interactions_or_optional_columns_is_whole() -> None:
    log = CustomerLog(ORDERS, EVENTS.drop(columns="value"))
    values = np.concatenate(list(log.map(lambda bucket: bucket.interactions.value)))
    assert np.isnan(values).all()
    assert CustomerLog(ORDERS).event_types == ()


def test_a_log_larger_than_its_memory_limit_spills(tmp_path: Path) -> None:
    n = 2_000_000
    draw = np.random.default_rng(0)
    table = pa.table(
        {
            "customer_id": pa.array(draw.integers(0, 200_000, n)).cast(pa.string()),
            "timestamp": pa.array(draw.integers(1_600_000_000, 1_700_000_000, n) * 1_000_000, pa.timestamp("us")),
            "amount": draw.gamma(2.0, 20.0, n),
            "order_id": pa.array(draw.permutation(n)).cast(pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "orders.parquet")
    log = CustomerLog(tmp_path / "orders.parquet", memory_limit="200MB", threads=2)
    sums = list(log.map(lambda bucket: (len(bucket.transactions.time), float(bucket.transactions.amount.sum()))))
    assert sum(count for count, _ in sums) == n
    assert sum(total for _, total in sums) == pytest.approx(float(np.sum(table["amount"].to_numpy())), rel=1e-9)
