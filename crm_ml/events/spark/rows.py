"""A bucket as a row of a Spark table: made from its events, and read back as a log of that one bucket."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from crm_ml.errors import SchemaError
from crm_ml.events.arrangement import Arrangement, arrange, joined
from crm_ml.events.host import LocalHost
from crm_ml.events.keeping import recoded
from crm_ml.events.log import CustomerLog
from crm_ml.events.partition.arrange import Columns, completed
from crm_ml.events.partition.store import Store
from crm_ml.events.reading.contract import Table

__all__ = ["ROW", "Reading", "arrays_of_bytes", "bucket_logs", "bytes_of_arrays", "join_facts", "row_of_bucket"]

WORKER_MEMORY = "2GB"
"""Of a Python worker; what a bucket takes beyond it while it is sorted lies in the worker's temporary files."""

ROW = pa.schema([("facts", pa.string()), ("transactions", pa.binary()), ("interactions", pa.binary())])
"""What is kept of a bucket: the arrays of each table on their own, as some kernels need but one."""

HELD = Store("", limit=sys.maxsize)
"""Stands where an arrangement's buckets lie in Spark."""


@dataclass(frozen=True)
class Reading:
    """How a bucket's rows are read.

    Attributes
    ----------
    names : for each table the names of the columns that come, in order.
    columns : {their column: our name}.
    timezone, as_of : as `crm_ml.CustomerLog` takes them, the latter in microseconds.
    """

    names: Mapping[Table, list[str]]
    columns: Mapping[str, str]
    timezone: str
    as_of: int | None


def row_of_bucket(reading: Reading, tables: Mapping[Table, pa.Table]) -> pa.Table:
    """Return the events of a bucket's customers, judged and sorted, as one row of `ROW`.

    Rows that break a rule are left out and counted: whether they may be is decided where all are known.
    """
    given = {table: tables[table].rename_columns(names) for table, names in reading.names.items()}
    try:
        held = arrange(
            worker_host(reading.timezone), given, columns=reading.columns, drop=True, as_of=reading.as_of, n_buckets=1
        )
    except SchemaError as error:
        return pa.table([[json.dumps({"error": str(error)})], [b""], [b""]], schema=ROW)
    columns = held.store.get(0)
    acts = {name: array for name, array in columns.items() if name.startswith("i_")}
    others = {name: array for name, array in columns.items() if name not in acts}
    facts = json.dumps(held.to_plain())
    return pa.table([[facts], [bytes_of_arrays(others)], [bytes_of_arrays(acts)]], schema=ROW)


def join_facts(texts: Iterable[str]) -> str:
    """Return the facts of several rows as those of one; an error where one of them is."""
    parts = [json.loads(text) for text in texts]
    for part in parts:
        if "error" in part:
            return json.dumps(part)
    return json.dumps(joined([Arrangement.from_plain(HELD, part) for part in parts], HELD).to_plain())


def bucket_logs(
    batches: Iterable[pa.RecordBatch], whole: Mapping[str, Any], *, returns: Literal["net", "ignore"]
) -> Iterator[CustomerLog]:
    """Yield each row as a log of that bucket which knows of the whole what any bucket of a log knows.

    Parameters
    ----------
    batches : with the columns of `ROW`, or without ``interactions``.
    whole : facts of all buckets.
    """
    of_all = Arrangement.from_plain(HELD, whole)
    host = worker_host("UTC")
    for batch in batches:
        for row in range(batch.num_rows):
            own = Arrangement.from_plain(HELD, json.loads(batch.column("facts")[row].as_py()))
            columns: Columns = {}
            for table in batch.schema.names[1:]:
                columns |= arrays_of_bytes(batch.column(table)[row].as_py())
            store = Store("", limit=sys.maxsize)
            store.put(0, completed(recoded(own, columns, of_all.event_types, of_all.categories), of_all.columns))
            held = dataclasses.replace(of_all, store=store, customers=own.customers)
            yield CustomerLog.of_arrangement(host, held, returns=returns)


def bytes_of_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Return named arrays as bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrays_of_bytes(content: bytes) -> Columns:
    """Return the arrays that `bytes_of_arrays` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


@cache
def worker_host(timezone: str) -> LocalHost:
    """Return this process's host: Spark keeps the other cores busy."""
    return LocalHost(memory_limit=WORKER_MEMORY, threads=1, timezone=timezone)
