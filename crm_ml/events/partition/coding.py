"""Which customer each row of a bucket is of: a code per distinct identifier, exact where hashes collide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crm_ml.compiled import compiled
from crm_ml.events.partition.hashing import mixed
from crm_ml.events.partition.scatter import Rows
from crm_ml.events.partition.texts import bytes_of

__all__ = ["customer_codes", "in_text_order", "stored_customers"]

Code = npt.NDArray[np.int32]


def customer_codes(tables: list[Rows]) -> tuple[pa.Array, list[Code]]:
    """Return the customers of a bucket in order of their text, and each row's position among them.

    Parameters
    ----------
    tables : the bucket's rows of each table, all with integers or all with texts as identifiers.
    """
    filled = [rows for rows in tables if len(rows)]
    keys = np.concatenate([np.zeros(0, np.int64), *(rows.columns["customer"] for rows in filled)])
    lengths = np.concatenate([np.zeros(0, np.int32), *(rows.texts[0] for rows in filled if rows.texts)])
    content = np.concatenate([np.zeros(0, np.uint8), *(rows.texts[1] for rows in filled if rows.texts)])
    begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    codes: Code = np.empty(len(keys), dtype=np.int32)
    firsts = np.empty(len(keys), dtype=np.int64)
    count = compiled(_code, calls=(mixed,))(keys.view(np.uint64), begins, content, codes, firsts)
    firsts = firsts[:count]
    texts = _texts(begins, content, firsts) if len(content) else pa.array(keys[firsts]).cast(pa.string())
    texts, rank = in_text_order(texts)
    return texts, np.split(rank[codes], np.cumsum([len(rows) for rows in tables])[:-1])


def in_text_order(texts: pa.Array) -> tuple[pa.Array, Code]:
    """Return distinct texts in order, and the place that each took."""
    order = pc.sort_indices(texts)
    rank = np.empty(len(texts), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(texts), dtype=np.int32)
    return texts.take(order), rank


def stored_customers(stored: Mapping[str, npt.NDArray[Any]]) -> pa.StringArray:
    """Return the customers of a stored bucket."""
    begins = stored["customer_begins"]
    return pa.StringArray.from_buffers(len(begins) - 1, pa.py_buffer(begins), pa.py_buffer(stored["customer_bytes"]))


def _texts(begins: Any, content: Any, rows: Any) -> pa.Array:
    """Return the texts of some rows."""
    ends = np.concatenate([[0], np.cumsum(begins[rows + 1] - begins[rows])])
    taken = pa.py_buffer(bytes_of(begins, content, rows))
    return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(ends), taken).cast(pa.string())


def _code(keys: Any, begins: Any, content: Any, codes: Any, firsts: Any) -> int:
    """Give the distinct identifiers numbers as they come, by open addressing; note the first row of each."""
    size = 4096
    slot_keys, slot_codes = np.empty(size, dtype=np.uint64), np.full(size, -1, dtype=np.int32)
    count = 0
    for row in range(len(keys)):
        key = keys[row]
        slot = np.int64(mixed(key) & np.uint64(size - 1))
        code = slot_codes[slot]
        while code >= 0:
            if slot_keys[slot] == key:
                same, first = True, begins[firsts[code]] if len(content) else 0
                if len(content):
                    length = begins[row + 1] - begins[row]
                    same = begins[firsts[code] + 1] - first == length
                    at = 0
                    while same and at < length:
                        same = content[first + at] == content[begins[row] + at]
                        at += 1
                if same:
                    break
            slot = (slot + 1) & (size - 1)
            code = slot_codes[slot]
        if code < 0:
            code = np.int32(count)
            slot_keys[slot], slot_codes[slot], firsts[count] = key, code, row
            count += 1
            if 2 * count > size:
                size *= 2
                slot_keys, slot_codes = np.empty(size, dtype=np.uint64), np.full(size, -1, dtype=np.int32)
                for known in range(count):
                    key = keys[firsts[known]]
                    slot = np.int64(mixed(key) & np.uint64(size - 1))
                    while slot_codes[slot] >= 0:
                        slot = (slot + 1) & (size - 1)
                    slot_keys[slot], slot_codes[slot] = key, np.int32(known)
        codes[row] = code
    return count
