"""What identifies a log's data: a hash of every row that depends on nothing but the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.events.arrangement import Arrangement
from crm_ml.events.partition.arrange import ABSENT
from crm_ml.events.partition.coding import stored_customers
from crm_ml.events.partition.hashing import Hashes, hash_texts, mixed

__all__ = ["digest"]


def digest(arrangement: Arrangement, number: int, end: int) -> tuple[int, int, int]:
    """Return the rows of both tables of a bucket before a moment, and the sum of their hashes modulo 2^64.

    Parameters
    ----------
    end : microseconds.
    """
    stored = arrangement.store.get(number)
    customers = hash_texts(stored_customers(stored))
    names = {"event_type": arrangement.event_types, "category": arrangement.categories}
    counted, total = [], 0
    for table, columns in (
        ("t", ("amount", "order_id", "category", "quantity", "discount")),
        ("i", ("event_type", "value")),
    ):
        time, offsets = stored[f"{table}_timestamp"], stored[f"{table}_offsets"]
        early = time < end
        hashes = mixed(np.repeat(customers, np.diff(offsets))[early] ^ np.uint64(ord(table)))
        hashes = mixed(hashes ^ time[early].view(np.uint64))
        for column in columns:
            values = stored.get(f"{table}_{column}", np.full(len(time), ABSENT.get(column)))[early]
            hashes = mixed(hashes ^ (_named(values, names[column]) if column in names else _bits(values)))
        counted.append(int(early.sum()))
        total += int(hashes.sum(dtype=np.uint64))
    return counted[0], counted[1], total


def _named(codes: npt.NDArray[Any], names: tuple[str, ...]) -> Hashes:
    """Return the hash of each code's name; 0 for code −1."""
    known = np.append(hash_texts(pa.array(names, type=pa.string())), np.uint64(0))
    hashes: Hashes = known[codes]
    return hashes


def _bits(values: npt.NDArray[Any]) -> Hashes:
    """Return the bits of each number, the same for both zeros and for all that are missing."""
    if values.dtype != np.float64:
        return values.astype(np.uint64)
    numbers: npt.NDArray[np.float64] = np.where(np.isnan(values), np.nan, values + 0.0)
    return numbers.view(np.uint64)
