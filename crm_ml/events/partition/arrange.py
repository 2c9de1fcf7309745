"""A bucket's rows sorted by customer and time, ties by content, so that the order of the input leaves no trace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.compiled import compiled
from crm_ml.events.partition.coding import customer_codes, in_text_order, stored_customers
from crm_ml.events.partition.scatter import Rows
from crm_ml.events.partition.texts import text_parts

__all__ = ["ABSENT", "Columns", "arranged", "chosen", "completed", "merged", "sorted_rows"]

Int = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

_TIES = {
    "t": ("order_id", "amount", "category", "quantity", "discount"),
    "i": ("event_type", "value"),
    "f": ("event_type",),
}


_ALWAYS: Mapping[str, Mapping[str, type]] = {
    "t": {"timestamp": np.int64, "amount": np.float64},
    "i": {"timestamp": np.int64, "event_type": np.int16},
}

ABSENT: Mapping[str, Any] = {
    "order_id": np.uint64(0),
    "category": np.int32(-1),
    "quantity": np.nan,
    "discount": np.nan,
    "value": np.nan,
}
"""What a column that a table lacks would hold."""


def arranged(transactions: Rows, interactions: Rows) -> Columns:
    """Return the rows of a bucket sorted by customer and time, as `crm_ml.events.bucket.make_bucket` reads them."""
    customers, owners = customer_codes([transactions, interactions])
    made = _stored(customers)
    for table, rows, owner in zip("ti", (transactions, interactions), owners, strict=True):
        columns = {name: column for name, column in rows.columns.items() if name != "customer"}
        columns = {name: np.zeros(0, dtype) for name, dtype in _ALWAYS[table].items()} | columns
        made |= _sorted_table(table, owner, columns, n_customers=len(customers))
    return made


def merged(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several sorted buckets in one, as if they had come together.

    Parameters
    ----------
    parts : as `arranged` returns them, earlier rows first, codes of event types and categories alike; besides
        the tables ``t`` and ``i`` they may have a table ``f``.
    """
    coded = pa.concat_arrays([stored_customers(part) for part in parts]).dictionary_encode()
    customers, rank = in_text_order(coded.dictionary)
    places = rank[coded.indices.to_numpy()]
    ends = np.cumsum([len(part["customer_begins"]) - 1 for part in parts])
    made = _stored(customers)
    for table in _TIES:
        with_table = [
            (part, own)
            for part, own in zip(parts, np.split(places, ends[:-1]), strict=True)
            if f"{table}_offsets" in part
        ]
        names = sorted({name for part, _ in with_table for name in part if name.startswith(f"{table}_")})
        columns = {
            name[2:]: np.concatenate([_column(part, name) for part, _ in with_table])
            for name in names
            if name != f"{table}_offsets"
        }
        if names:
            owner = np.concatenate([np.repeat(own, np.diff(part[f"{table}_offsets"])) for part, own in with_table])
            made |= _sorted_table(table, owner, columns, n_customers=len(customers))
    return made


def chosen(columns: Columns, keep: npt.NDArray[np.bool_]) -> Columns:
    """Return a sorted bucket with some of its customers only."""
    made = _stored(stored_customers(columns).filter(pa.array(keep)))
    for table in _TIES:
        if f"{table}_offsets" not in columns:
            continue
        counts = np.diff(columns[f"{table}_offsets"])
        rows = np.repeat(keep, counts)
        made |= {
            name: column[rows]
            for name, column in columns.items()
            if name.startswith(f"{table}_") and name != f"{table}_offsets"
        }
        made[f"{table}_offsets"] = np.concatenate([[0], np.cumsum(counts[keep])]).astype(np.int64)
    return made


def completed(columns: Columns, given: Collection[str]) -> Columns:
    """Return a sorted bucket with all optional columns of the log; one whose table has no rows here may lack them."""
    tables = [table for table in "ti" if f"{table}_timestamp" in columns]
    optional = [f"{table}_{name}" for table in tables for name in _TIES[table] if name in given and name in ABSENT]
    return {name: _column(columns, name) for name in optional} | columns


def _stored(customers: pa.Array) -> Columns:
    """Return customers as `crm_ml.events.partition.coding.stored_customers` reads them."""
    begins, content = text_parts(customers)
    return {"customer_begins": begins.astype(np.int32), "customer_bytes": content[: begins[-1]]}


def _sorted_table(table: str, owner: npt.NDArray[np.int32], columns: Columns, *, n_customers: int) -> Columns:
    ordered = sorted_rows(owner, columns, n_customers=n_customers, ties=_TIES[table])
    return {f"{table}_{name}": column for name, column in ordered.items()}


def _column(part: Columns, name: str) -> npt.NDArray[Any]:
    rows = len(part[f"{name[0]}_timestamp"])
    return part[name] if name in part else np.full(rows, ABSENT[name[2:]])


def sorted_rows(owner: npt.NDArray[np.int32], columns: Columns, *, n_customers: int, ties: Sequence[str]) -> Columns:
    """Return columns in order of owner, timestamp and ties, with the customers' ``offsets``.

    Parameters
    ----------
    owner : (m,) customer position of each row.
    columns : ``timestamp`` and others, each (m,).
    ties : columns that put rows of one customer and moment in order, the first counting most.
    """
    offsets = np.zeros(n_customers + 1, dtype=np.int64)
    order, time = np.empty(len(owner), dtype=np.int64), np.empty(len(owner), dtype=np.int64)
    tied = np.zeros(len(owner), dtype=np.int64)
    if compiled(_sort)(owner, columns["timestamp"], offsets, order, time, tied):
        places = np.flatnonzero(tied)
        rows = order[places]
        keys = [columns[name][rows] for name in reversed(ties) if name in columns]
        order[places] = rows[np.lexsort([*keys, tied[places]])]
    others = {name: column[order] for name, column in columns.items() if name != "timestamp"}
    return {"offsets": offsets, "timestamp": time} | others


def _sort(owner: Any, time: Any, offsets: Any, order: Any, sorted_time: Any, tied: Any) -> int:
    """Sort rows by owner and time, and number the runs of equal owner and time from 1; 0 is a run of one."""
    for row in range(len(owner)):
        offsets[owner[row] + 1] += 1
    for customer in range(len(offsets) - 1):
        offsets[customer + 1] += offsets[customer]
    place = offsets[:-1].copy()
    for row in range(len(owner)):
        at = place[owner[row]]
        place[owner[row]] += 1
        order[at], sorted_time[at] = row, time[row]
    n_runs = 0
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        for at in range(begin + 1, end):
            if sorted_time[at] < sorted_time[at - 1]:
                within = np.argsort(sorted_time[begin:end], kind="mergesort")
                order[begin:end] = order[begin:end][within]
                sorted_time[begin:end] = sorted_time[begin:end][within]
                break
        for at in range(begin + 1, end):
            if sorted_time[at] == sorted_time[at - 1]:
                if tied[at - 1] == 0:
                    n_runs += 1
                    tied[at - 1] = n_runs
                tied[at] = n_runs
    return n_runs
