"""One pass over a table's rows: each batch is ordered by cell of the customer's hash and put away."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError
from crm_ml.events.partition.hashing import Hashes, hash_integers, hash_texts
from crm_ml.events.partition.shelf import Shelf
from crm_ml.events.partition.texts import bytes_of, text_parts

__all__ = ["CELL_BITS", "Names", "Rows", "Scatter"]

CELL_BITS = 12
"""Customers lie in 2^12 cells by the upper bits of their hash; a bucket is some cells in a row."""

Array = npt.NDArray[Any]
Int = npt.NDArray[np.int64]


class Names:
    """Codes of the texts of a column, given as they come, in a dictionary that grows."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._dtype: type[np.int16 | np.int32] = np.int16 if column == "event_type" else np.int32
        self._codes: dict[str, int] = {}
        self._lock = threading.Lock()

    def encode(self, texts: pa.Array) -> Array:
        """Return the code of each text; −1 where there is none."""
        encoded = texts.dictionary_encode()
        with self._lock:
            codes = [self._codes.setdefault(name, len(self._codes)) for name in encoded.dictionary.to_pylist()]
        if len(self._codes) > (most := np.iinfo(self._dtype).max):
            raise SchemaError(
                f"`{self.column}` must have at most {most:,} different values; it has more.\n"
                "Give kinds here, and what distinguishes single events elsewhere."
            )
        found: Array = np.array([*codes, -1], dtype=self._dtype)[
            encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
        ]
        return found

    def sorted(self) -> tuple[str, ...]:
        """Return the texts in order."""
        return tuple(sorted(self._codes))

    def ranks(self) -> Array:
        """Return each code's position among the sorted texts; the last entry is that of code −1."""
        place = {name: position for position, name in enumerate(self.sorted())}
        return np.array([*(place[name] for name in self._codes), -1], dtype=self._dtype)


@dataclass
class Rows:
    """Rows of one bucket in the order they came.

    Attributes
    ----------
    columns : arrays of equal length; among them ``customer``, an integer or the hash of a text.
    texts : where the customers are texts, the length and the bytes of each; else None.
    """

    columns: dict[str, Array]
    texts: tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]] | None

    def __len__(self) -> int:
        return len(self.columns["customer"])


@dataclass(frozen=True)
class _Batch:
    cell_begins: Int
    byte_begins: Int
    columns: Mapping[str, Any]


@dataclass
class Scatter:
    """A table's rows, ordered by cell within each batch.

    Parameters
    ----------
    shelf : where the rows are kept.
    """

    shelf: Shelf
    names: dict[str, Names] = field(default_factory=dict)
    _batches: dict[int, _Batch] = field(default_factory=dict)

    def add(self, number: int, batch: pa.RecordBatch) -> None:
        """Put a batch away; several threads may do so.

        Parameters
        ----------
        number : its place among the batches, which decides the order of rows within a bucket.
        batch : a column customer_id of integers or text, and any others of numbers or text: an order's text
            becomes its hash (0 where there is none), other texts become codes of `names`.
        """
        customers = batch.column("customer_id")
        in_text = not pa.types.is_integer(customers.type)
        hashes = hash_texts(customers) if in_text else hash_integers(_numbers(customers))
        cell_begins, order = _by_cell(hashes)
        columns = {"customer": hashes if in_text else _numbers(customers)}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name != "customer_id":
                columns[name] = self._plain(name, column)
        shelved: dict[str, Any] = {name: self.shelf.put(column[order]) for name, column in columns.items()}
        byte_begins = np.zeros(0, dtype=np.int64)
        if in_text:
            begins, content = text_parts(customers)
            lengths = np.diff(begins)[order].astype(np.int32)
            byte_begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[cell_begins]
            shelved |= {"length": self.shelf.put(lengths), "bytes": self.shelf.put(bytes_of(begins, content, order))}
        self._batches[number] = _Batch(cell_begins, byte_begins, shelved)

    def _plain(self, name: str, column: pa.Array) -> Array:
        if name == "order_id":
            return hash_texts(column)
        if pa.types.is_string(column.type):
            return self.names.setdefault(name, Names(name)).encode(column)
        return _numbers(column)

    @cached_property
    def ranks(self) -> dict[str, Array]:
        """For each column of text, the final code of each provisional one."""
        return {name: names.ranks() for name, names in self.names.items()}

    @property
    def columns(self) -> frozenset[str]:
        """The columns the rows have."""
        return frozenset(name for batch in self._batches.values() for name in batch.columns)

    @property
    def rows_per_cell(self) -> Int:
        """How many rows each cell has."""
        counted = np.zeros(1 << CELL_BITS, dtype=np.int64)
        for batch in self._batches.values():
            counted += np.diff(batch.cell_begins)
        return counted

    def rows(self, first_cell: int, end_cell: int) -> Rows:
        """Return the rows of some cells in a row, in the order of their batches."""
        batches = [self._batches[number] for number in sorted(self._batches)]
        spans = [(int(b.cell_begins[first_cell]), int(b.cell_begins[end_cell])) for b in batches]
        names = [name for name in (batches[0].columns if batches else ()) if name not in ("length", "bytes")]
        columns = {name: self._gather(name, batches, spans) for name in names}
        columns |= {name: ranks[columns[name]] for name, ranks in self.ranks.items() if name in columns}
        columns.setdefault("customer", np.zeros(0, dtype=np.int64))
        if not batches or "bytes" not in batches[0].columns:
            return Rows(columns, None)
        byte_spans = [(int(b.byte_begins[first_cell]), int(b.byte_begins[end_cell])) for b in batches]
        return Rows(columns, (self._gather("length", batches, spans), self._gather("bytes", batches, byte_spans)))

    def _gather(self, name: str, batches: list[_Batch], spans: list[tuple[int, int]]) -> Array:
        """Return a column's stretch of every batch, one after the other."""
        whole = np.empty(sum(end - begin for begin, end in spans), dtype=batches[0].columns[name].dtype)
        at = 0
        for batch, (begin, end) in zip(batches, spans, strict=True):
            self.shelf.take(batch.columns[name], begin, whole[at : at + end - begin])
            at += end - begin
        return whole


def _numbers(column: pa.Array) -> Array:
    numbers: Array = column.to_numpy(zero_copy_only=False)
    return numbers


def _by_cell(hashes: Hashes) -> tuple[Int, Int]:
    """Return where each cell begins once rows are in the order of cells, and that order."""
    begins = np.zeros((1 << CELL_BITS) + 1, dtype=np.int64)
    order = np.empty(len(hashes), dtype=np.int64)
    compiled(_sort_by_cell)(hashes, np.uint64(64 - CELL_BITS), begins, order)
    return begins, order


def _sort_by_cell(hashes: Any, shift: Any, begins: Any, order: Any) -> None:
    for row in range(len(hashes)):
        begins[np.int64(hashes[row] >> shift) + 1] += 1
    for cell in range(len(begins) - 1):
        begins[cell + 1] += begins[cell]
    place = begins.copy()
    for row in range(len(hashes)):
        own = np.int64(hashes[row] >> shift)
        order[place[own]] = row
        place[own] += 1
