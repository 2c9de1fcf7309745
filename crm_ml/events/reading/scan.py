"""One pass over a source: every batch of rows judged by the contract and handed on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crm_ml.errors import SchemaError, rows_break_rule
from crm_ml.events.reading.contract import Table, rules
from crm_ml.events.reading.files import unreadable

__all__ = ["refusal", "scan"]

Read = TypeVar("Read")

BATCH_ROWS = 1 << 18


@dataclass
class _Judgement:
    """How many rows there were, how many broke each rule, and the first ones that did."""

    n_rules: int
    total: int = 0
    broken: npt.NDArray[np.int64] = field(init=False)
    first_rows: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.broken = np.zeros(self.n_rules + 1, dtype=np.int64)
        self.first_rows = [[] for _ in range(self.n_rules + 1)]

    def count(self, broken: npt.NDArray[np.int8]) -> None:
        """Take note of a batch, which comes after all before it."""
        if broken.any():
            self.broken += np.bincount(broken, minlength=self.n_rules + 1)
            for rule in np.unique(broken[broken > 0]):
                rows = self.first_rows[rule]
                rows += (self.total + np.flatnonzero(broken == rule)[: 3 - len(rows)]).tolist()
        self.total += len(broken)

    def result(self, table: Table, *, drop: bool) -> dict[str, int]:
        """Return the rules broken, with the number of rows; raise SchemaError unless those may be dropped."""
        told = [(rule, int(self.broken[n]), self.first_rows[n]) for n, rule in enumerate(rules(table), start=1)]
        counted = {rule: count for rule, count, _ in told if count}
        if counted and not drop:
            rule, count, rows = next(entry for entry in told if entry[1])
            raise refusal(table, rule, broken=count, total=self.total, rows=rows)
        return counted


def refusal(table: Table, rule: str, *, broken: int, total: int, rows: Sequence[int]) -> SchemaError:
    """Word that rows of a table break a rule and may not be dropped."""
    remedy = 'Drop them, or pass on_invalid="drop" to have them dropped and counted.'
    return SchemaError(rows_break_rule(rule, broken=broken, total=total, rows=rows, what=table.name, remedy=remedy))


def scan(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    table: Table,
    *,
    take: Callable[[int, pa.RecordBatch], None],
    drop: bool,
    threads: int,
) -> dict[str, int]:
    """Read a query that `crm_ml.events.reading.contract.selection` made, once, and hand its valid rows on.

    Parameters
    ----------
    take : called with the number of each batch and the batch without the column ``broken``, from several
        threads at a time. After an invalid row that may not be dropped it is called no more.
    drop : whether invalid rows are left out and counted; otherwise they raise SchemaError.

    Returns
    -------
    dict
        Rule to number of rows that break it.
    """
    judgement = _Judgement(len(rules(table)))
    lock, numbers = threading.Lock(), itertools.count()

    def read(next_one: Callable[[], Read]) -> Read:
        try:
            return next_one()
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            if "Out of Memory" in str(error):
                raise
            raise unreadable(table.name, error) from None  # the reader's error may quote a customer's row

    def work(reader: pa.RecordBatchReader) -> None:
        while True:
            with lock:
                batch = read(lambda: next(reader, None))
                if batch is None:
                    return
                number = next(numbers)
                broken = batch.column("broken").to_numpy(zero_copy_only=False)
                judgement.count(broken)
                may_go_on = drop or not judgement.broken.any()
            if may_go_on:
                rows = batch.drop_columns(["broken"])
                take(number, rows.filter(pa.array(broken == 0)) if broken.any() else rows)

    reader = read(lambda: _reader(connection, query))
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, reader) for _ in range(threads)]:
            done.result()
    return judgement.result(table, drop=drop)


def _reader(connection: duckdb.DuckDBPyConnection, query: str) -> pa.RecordBatchReader:
    if hasattr(duckdb.DuckDBPyRelation, "to_arrow_reader"):
        return connection.sql(query).to_arrow_reader(BATCH_ROWS)
    older: Any = connection.execute(query)
    return older.fetch_record_batch(BATCH_ROWS)
