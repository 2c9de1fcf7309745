"""A bucket's rows sorted by customer and time, ties by content, so that the order of the input leaves no trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.events.partition.coding import customer_codes
from crm_ml.events.partition.hashing import text_parts
from crm_ml.events.partition.scatter import Rows

__all__ = ["arranged", "sorted_rows"]

Int = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

_TIES = {
    "t": ("order_id", "amount", "category", "quantity", "discount"),
    "i": ("event_type", "value"),
}


def arranged(transactions: Rows, interactions: Rows) -> Columns:
    """Return the rows of a bucket sorted by customer and time, as `crm_ml.events.bucket.make_bucket` reads them."""
    customers, owners = customer_codes([transactions, interactions])
    begins, content = text_parts(customers)
    made: Columns = {"customer_begins": begins.astype(np.int32), "customer_bytes": content[: begins[-1]]}
    for table, rows, owner in zip("ti", (transactions, interactions), owners, strict=True):
        columns = {name: column for name, column in rows.columns.items() if name != "customer"}
        columns.setdefault("timestamp", np.zeros(0, dtype=np.int64))
        ordered = sorted_rows(owner, columns, n_customers=len(customers), ties=_TIES[table])
        made |= {f"{table}_{name}": column for name, column in ordered.items()}
    return made


def sorted_rows(owner: npt.NDArray[np.int32], columns: Columns, *, n_customers: int, ties: Sequence[str]) -> Columns:
    """Return columns in order of owner, timestamp and ties, with the customers' ``offsets``.

    Parameters
    ----------
    owner : (m,) customer position of each row.
    columns : ``timestamp`` and others, each (m,).
    ties : columns that put rows of one customer and moment in order, the first counting most.
    """
    offsets = np.zeros(n_customers + 1, dtype=np.int64)
    order = np.empty(len(owner), dtype=np.int64)
    tied = np.empty(len(owner), dtype=np.int64)
    n_tied = compiled(_sort)(owner, columns["timestamp"], offsets, order, tied)
    if n_tied:
        places = np.flatnonzero(tied)
        rows = order[places]
        keys = [columns[name][rows] for name in reversed(ties) if name in columns]
        order[places] = rows[np.lexsort([*keys, tied[places]])]
    return {"offsets": offsets} | {name: column[order] for name, column in columns.items()}


def _sort(owner: Any, time: Any, offsets: Any, order: Any, tied: Any) -> int:
    """Sort rows by owner and time, and number the runs of equal owner and time from 1; 0 is a run of one."""
    for row in range(len(owner)):
        offsets[owner[row] + 1] += 1
    for customer in range(len(offsets) - 1):
        offsets[customer + 1] += offsets[customer]
    place = offsets[:-1].copy()
    for row in range(len(owner)):
        order[place[owner[row]]] = row
        place[owner[row]] += 1
    n_runs = 0
    for customer in range(len(offsets) - 1):
        begin, end = offsets[customer], offsets[customer + 1]
        for at in range(begin + 1, end):
            if time[order[at]] < time[order[at - 1]]:
                stretch = order[begin:end].copy()
                order[begin:end] = stretch[np.argsort(time[stretch], kind="mergesort")]
                break
        if begin < end:
            tied[begin] = 0
        for at in range(begin + 1, end):
            tied[at] = 0
            if time[order[at]] == time[order[at - 1]]:
                if tied[at - 1] == 0:
                    n_runs += 1
                    tied[at - 1] = n_runs
                tied[at] = n_runs
    return n_runs
