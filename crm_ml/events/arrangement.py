"""A log's events once they are sorted into buckets, and what is in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.events.host import LocalHost
from crm_ml.events.partition.arrange import arranged
from crm_ml.events.partition.scatter import CELL_BITS, Scatter
from crm_ml.events.partition.shelf import Shelf
from crm_ml.events.partition.store import Store
from crm_ml.events.reading.contract import (
    INTERACTIONS,
    TRANSACTIONS,
    Table,
    check_mapping,
    is_integer,
    rename,
    selection,
)
from crm_ml.events.reading.scan import scan
from crm_ml.events.reading.sources import open_source

__all__ = ["Arrangement", "Contents", "arrange", "contents", "joined"]

EVENTS_PER_BUCKET = 500_000
BYTES_PER_EVENT = 300
"""Of memory, that sorting a bucket takes at most."""

Int = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Contents:
    """What a log holds.

    Attributes
    ----------
    rows, customers, first, last : (1 + types,) int64, of transactions and then of each event type.
    category_first : (categories,) int64, when each category was first bought.
    """

    rows: Int
    customers: Int
    first: Int
    last: Int
    category_first: Int

    def __add__(self, other: Contents) -> Contents:
        """Return the contents of two buckets."""
        return Contents(
            self.rows + other.rows,
            self.customers + other.customers,
            np.minimum(self.first, other.first),
            np.maximum(self.last, other.last),
            np.minimum(self.category_first, other.category_first),
        )


@dataclass(frozen=True)
class Arrangement:
    """Events sorted into buckets.

    Attributes
    ----------
    store : the buckets.
    customers : how many each bucket has.
    event_types, categories : the names that codes point to.
    columns : the optional columns that were given.
    contents : what is in it.
    dropped : for each table the rules broken and the number of rows left out.
    half_lives_days : of the interactions that are folded, if any.
    """

    store: Store
    customers: tuple[int, ...]
    event_types: tuple[str, ...]
    categories: tuple[str, ...]
    columns: frozenset[str]
    contents: Contents
    dropped: dict[str, dict[str, int]]
    half_lives_days: tuple[float, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return all but the buckets as plain data."""
        return {
            "customers": self.customers,
            "event_types": self.event_types,
            "categories": self.categories,
            "columns": sorted(self.columns),
            "contents": {name: array.tolist() for name, array in dataclasses.asdict(self.contents).items()},
            "dropped": self.dropped,
            "half_lives_days": self.half_lives_days,
        }

    @classmethod
    def from_plain(cls, store: Store, stored: Mapping[str, Any]) -> Self:
        """Return the arrangement of stored buckets that `to_plain` described."""
        contents = {name: np.array(values, dtype=np.int64) for name, values in stored["contents"].items()}
        return cls(
            store=store,
            customers=tuple(stored["customers"]),
            event_types=tuple(stored["event_types"]),
            categories=tuple(stored["categories"]),
            columns=frozenset(stored["columns"]),
            contents=Contents(**contents),
            dropped=stored["dropped"],
            half_lives_days=tuple(stored["half_lives_days"]),
        )


def joined(parts: Sequence[Arrangement], store: Store) -> Arrangement:
    """Return what several arrangements hold together, their buckets one after the other."""
    types = tuple(sorted({name for part in parts for name in part.event_types}))
    categories = tuple(sorted({name for part in parts for name in part.categories}))
    type_place = {name: place for place, name in enumerate(types, start=1)}
    category_place = {name: place for place, name in enumerate(categories)}
    held = nothing(n_types=len(types), n_categories=len(categories))
    dropped: dict[str, dict[str, int]] = {}
    for part in parts:
        places = np.array([0, *(type_place[name] for name in part.event_types)])
        bought = np.array([category_place[name] for name in part.categories], dtype=np.intp)
        held.rows[places] += part.contents.rows
        held.customers[places] += part.contents.customers
        held.first[places] = np.minimum(held.first[places], part.contents.first)
        held.last[places] = np.maximum(held.last[places], part.contents.last)
        held.category_first[bought] = np.minimum(held.category_first[bought], part.contents.category_first)
        for table, rules in part.dropped.items():
            counted = dropped.setdefault(table, {})
            for rule, count in rules.items():
                counted[rule] = counted.get(rule, 0) + count
    return Arrangement(
        store=store,
        customers=tuple(count for part in parts for count in part.customers),
        event_types=types,
        categories=categories,
        columns=frozenset().union(*(part.columns for part in parts)),
        contents=held,
        dropped=dropped,
    )


def arrange(
    host: LocalHost,
    given: Mapping[Table, Any],
    *,
    columns: Mapping[str, str],
    drop: bool,
    not_before: int | None = None,
    as_of: int | None = None,
    n_buckets: int | None = None,
    store: Store | None = None,
) -> Arrangement:
    """Read every table once and sort its rows into buckets by a hash of the customer that no version changes.

    Parameters
    ----------
    given : what `crm_ml.events.reading.sources.open_source` takes, by table.
    columns : {their column: our name}.
    drop : whether rows that break a rule are left out and counted.
    not_before, as_of : a row before the one or not before the other breaks a rule; microseconds.
    n_buckets : by default as many as memory and threads want.
    store : where the buckets go; by default memory, and past it the host's folder.

    Raises
    ------
    SchemaError
        A table or a column is not as it should be, or a row breaks a rule and may not be dropped.
    """
    opened = {table: open_source(host.connection, data, name=table.name) for table, data in given.items()}
    check_mapping(columns, opened)
    sources = {table: rename(source, table, columns) for table, source in opened.items()}
    integers = all(is_integer(source, "customer_id") for source in sources.values())
    shelf = Shelf(host.folder, limit=host.quarter)
    scattered = {table: Scatter(shelf) for table in (TRANSACTIONS, INTERACTIONS)}
    dropped = {}
    for table, source in sources.items():
        query = selection(
            source, table, not_before=not_before, as_of=as_of, timezone=host.timezone, integer_customers=integers
        )
        take = scattered[table].add
        dropped[table.name] = scan(host.connection, query, table, take=take, drop=drop, threads=host.threads)
        host.connection.unregister(f"given_{table.name}")
    bought, acted = scattered.values()
    rows = int((bought.rows_per_cell + acted.rows_per_cell).sum())
    most = min(EVENTS_PER_BUCKET, 1 + host.quarter // (BYTES_PER_EVENT * host.threads))
    count = n_buckets or min(1 + rows // most, 1 << CELL_BITS)
    edges = np.arange(count + 1) * (1 << CELL_BITS) // count
    types = acted.names["event_type"].sorted() if "event_type" in acted.names else ()
    categories = bought.names["category"].sorted() if "category" in bought.names else ()
    kept = store or Store(host.folder, limit=host.quarter)

    def sort(number: int) -> tuple[int, Contents]:
        cells = int(edges[number]), int(edges[number + 1])
        columns = arranged(bought.rows(*cells), acted.rows(*cells))
        kept.put(number, columns)
        return len(columns["customer_begins"]) - 1, contents(columns, n_types=len(types), n_categories=len(categories))

    customers, found = zip(*host.ordered(sort, count), strict=True)
    shelf.close()
    return Arrangement(
        store=kept,
        customers=customers,
        event_types=types,
        categories=categories,
        columns=(bought.columns | acted.columns) & {*TRANSACTIONS.optional, *INTERACTIONS.optional},
        contents=sum(found[1:], start=found[0]),
        dropped={name: counted for name, counted in dropped.items() if counted},
    )


def nothing(*, n_types: int, n_categories: int) -> Contents:
    """Return the contents of no bucket at all."""
    return Contents(
        rows=np.zeros(1 + n_types, dtype=np.int64),
        customers=np.zeros(1 + n_types, dtype=np.int64),
        first=np.full(1 + n_types, np.iinfo(np.int64).max),
        last=np.full(1 + n_types, np.iinfo(np.int64).min),
        category_first=np.full(n_categories, np.iinfo(np.int64).max),
    )


def contents(columns: Mapping[str, npt.NDArray[Any]], *, n_types: int, n_categories: int) -> Contents:
    """Return what a sorted bucket holds."""
    found = nothing(n_types=n_types, n_categories=n_categories)
    arrays = (found.rows, found.customers, found.first, found.last)
    purchase = np.zeros(len(columns["t_timestamp"]), dtype=np.int16)
    compiled(_count)(columns["t_offsets"], columns["t_timestamp"], purchase, 0, *arrays)
    if "t_category" in columns:
        given = columns["t_category"] >= 0
        np.minimum.at(found.category_first, columns["t_category"][given], columns["t_timestamp"][given])
    compiled(_count)(columns["i_offsets"], columns["i_timestamp"], columns["i_event_type"], 1, *arrays)
    return found


def _count(offsets: Any, time: Any, kind: Any, shift: int, rows: Any, customers: Any, first: Any, last: Any) -> None:
    seen = np.full(len(rows), -1)
    for customer in range(len(offsets) - 1):
        for row in range(offsets[customer], offsets[customer + 1]):
            at = kind[row] + shift
            rows[at] += 1
            first[at], last[at] = min(first[at], time[row]), max(last[at], time[row])
            if seen[at] != customer:
                seen[at] = customer
                customers[at] += 1
