"""`CustomerLog`, the only door for a shop's data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial, reduce
from numbers import Integral
from operator import add
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import ModelError, SchemaError, out_of_range
from crm_ml.events.arrangement import Arrangement, arrange
from crm_ml.events.bucket import Bucket, make_bucket
from crm_ml.events.clock import DAY, Moment, midnight_after, moment, stamp, stamps
from crm_ml.events.fingerprint import digest
from crm_ml.events.host import LocalHost
from crm_ml.events.keeping import describe, new_folder, reopen
from crm_ml.events.partition.scatter import CELL_BITS
from crm_ml.events.partition.store import Store
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS
from crm_ml.notebook_summary import summary_html

__all__ = ["CustomerLog", "check_ways", "monthly_cutoffs"]

Result = TypeVar("Result")


class CustomerLog:
    """A shop's events, validated once and sorted by customer and time.

    Parameters
    ----------
    transactions : pandas or Polars frame, pyarrow table, DuckDB relation, or path, glob or list of paths
        of Parquet or CSV files, with columns ``customer_id``, ``timestamp``, ``amount`` and optionally
        ``order_id``: lines of one order at one moment are summed into one purchase; lines booked later
        change the order's money, not the number of purchases. Without ``order_id`` every row is an order.
        Optionally, for the features of categories, baskets and discounts, ``category``, ``quantity`` and
        ``discount``: money taken off the list price of a line whose ``amount`` is what was paid.
    interactions : the same kinds, with columns ``customer_id``, ``timestamp``, ``event_type`` and
        optionally ``value``.
    columns : {your column: our name} for columns named otherwise.
    timezone : IANA name of the zone in which times without one are read; all times become UTC.
    returns : "net" counts a negative amount as money given back on its own date, never as a purchase;
        "ignore" leaves negative amounts out of everything.
    on_invalid : "raise" refuses rows that break a rule; "drop" leaves them out and counts them in `dropped`.
    as_of : when the log was taken; a row at or after it breaks a rule.
    memory_limit : what the log and computing on it may hold in memory, such as "2GB"; what is more lies in
        temporary files. By default four fifths of the machine's.
    threads : threads to read and compute with; by default all cores.
    n_buckets : number of parts the customers are cut into; by default what memory and threads want.
    folder : a new folder to keep the sorted events in, for `open` by a later process; it appears in one rename,
        complete or not at all. By default they live as long as the log.

    Raises
    ------
    SchemaError
        A column is missing or doubled, a row breaks a rule, no transaction is left, or a setting is
        outside its domain.

    Examples
    --------
    >>> orders = pd.DataFrame({
    ...     "who": ["ann", "ann", "bob"],
    ...     "timestamp": ["2024-01-05", "2024-02-01", "2024-01-20"],
    ...     "amount": [20.0, 35.0, 12.5],
    ... })
    >>> CustomerLog(orders, columns={"who": "customer_id"})
    CustomerLog(3 transactions and 0 interactions of 2 customers, 2024-01-05 to 2024-02-01)
    """

    def __init__(
        self,
        transactions: Any,
        interactions: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        timezone: str = "UTC",
        returns: Literal["net", "ignore"] = "net",
        on_invalid: Literal["raise", "drop"] = "raise",
        as_of: Moment | None = None,
        memory_limit: str | None = None,
        threads: int | None = None,
        n_buckets: int | None = None,
        folder: str | Path | None = None,
    ) -> None:
        check_ways(returns=returns, on_invalid=on_invalid)
        if n_buckets is not None and not (isinstance(n_buckets, Integral) and 1 <= n_buckets <= 1 << CELL_BITS):
            rule = f"be a whole number from 1 to {1 << CELL_BITS:,}"
            raise SchemaError(out_of_range("n_buckets", n_buckets, rule))
        self.returns = returns
        scratch = None if folder is None else Path(folder).parent
        self.host = LocalHost(memory_limit=memory_limit, threads=threads, timezone=timezone, scratch=scratch)
        given = {TRANSACTIONS: transactions} | ({} if interactions is None else {INTERACTIONS: interactions})
        end = None if as_of is None else moment(as_of)
        sort = partial(
            arrange, self.host, given, columns=columns or {}, as_of=end, drop=on_invalid == "drop", n_buckets=n_buckets
        )
        if folder is None:
            self._hold(with_rows(sort()))
            return
        with new_folder(Path(folder)) as staged:
            describe(with_rows(sort(store=Store(staged, limit=0))), staged, {"log": True, "returns": returns})
        self._hold(reopen(Path(folder))[0])

    @classmethod
    def open(cls, folder: str | Path, *, memory_limit: str | None = None, threads: int | None = None) -> Self:
        """Return the log whose sorted events were kept in a folder.

        Raises
        ------
        ModelError
            There is no log in the folder.
        """
        held, note = reopen(Path(folder))
        if not note.get("log"):
            raise ModelError(f"{str(folder)!r} must hold a log; it holds a state.\nOpen it with FeatureState.open.")
        host = LocalHost(memory_limit=memory_limit, threads=threads, timezone="UTC", scratch=Path(folder).parent)
        return cls.of_arrangement(host, held, returns=note["returns"])

    @classmethod
    def of_arrangement(cls, host: LocalHost, arrangement: Arrangement, *, returns: Literal["net", "ignore"]) -> Self:
        """Return the log of events that are sorted already."""
        log = cls.__new__(cls)
        log.host, log.returns = host, returns
        log._hold(arrangement)
        return log

    def _hold(self, held: Arrangement) -> None:
        self.arrangement = held
        self.event_types, self.columns, self.dropped = held.event_types, held.columns, held.dropped
        self.n_transactions = int(held.contents.rows[0])
        self.n_interactions = int(held.contents.rows[1:].sum())
        self.n_customers = int(held.contents.customers[0])
        self.first, self.last = stamp(held.contents.first[0]), stamp(held.contents.last[0])

    @property
    def end(self) -> pd.Timestamp:
        """The first midnight UTC after the last transaction: the latest sensible `as_of`."""
        return stamp(midnight_after(moment(self.last)))

    def event_types_before(self, when: Moment) -> tuple[str, ...]:
        """Return the event types that had occurred before a moment, sorted."""
        return _before(self.event_types, self.arrangement.contents.first[1:], when)

    def categories_before(self, when: Moment) -> tuple[str, ...]:
        """Return the categories that had occurred before a moment, sorted."""
        return _before(self.arrangement.categories, self.arrangement.contents.category_first, when)

    def map(
        self, kernel: Callable[[Bucket], Result], *, at_most: int | None = None, interactions: bool = True
    ) -> Iterator[Result]:
        """Yield a kernel's result for every bucket of customers, in a stable order.

        Parameters
        ----------
        kernel : function of one `crm_ml.events.Bucket`; called from several threads.
        at_most : customers that the kernel gets at a time; by default all of a bucket.
        interactions : whether the kernel looks at interactions; otherwise the bucket comes without them.
        """
        parts = []
        for number, count in enumerate(self.arrangement.customers):
            pieces = 1 if at_most is None else max(1, -(-count // at_most))
            edges = [count * piece // pieces for piece in range(pieces + 1)]
            parts += [(number, begin, end) for begin, end in itertools.pairwise(edges)]

        def run(position: int) -> Result:
            number, begin, end = parts[position]
            return kernel(self.bucket(number, interactions=interactions).of_customers(begin, end))

        return self.host.ordered(run, len(parts))

    def bucket(self, number: int, *, interactions: bool = True) -> Bucket:
        """Return one of the buckets that `map` goes through."""
        held = self.arrangement
        return make_bucket(
            held.store.get(number),
            event_types=held.event_types,
            categories=held.categories,
            columns=held.columns,
            half_lives_days=held.half_lives_days,
            keep_returns=self.returns == "net",
            interactions=interactions,
        )

    def total(self, kernel: Callable[[Bucket], Result], *, interactions: bool = True) -> Result:
        """Return the sum of a kernel's results over all buckets, which must not depend on their order; see `map`."""
        return reduce(add, self.map(kernel, interactions=interactions))

    def counts(self) -> pd.DataFrame:
        """Return what the log holds: rows by table and event type, with first and last moment.

        Returns
        -------
        DataFrame
            Indexed by ``transactions`` and each event type; columns rows, customers, first, last.
        """
        held = self.arrangement.contents
        index = pd.Index(["transactions", *self.event_types], name="table")
        counted = pd.DataFrame({"rows": held.rows, "customers": held.customers}, index=index)
        return counted.assign(first=stamps(held.first), last=stamps(held.last))

    def fingerprint(self, *, as_of: Moment | None = None) -> dict[str, int | str]:
        """Return what identifies the data before `as_of`: a hash of every row, and the row counts.

        The hash does not depend on the order of rows or files, nor on buckets and threads.
        """
        end = moment(self.end if as_of is None else as_of)
        transactions, interactions, total = (sum(part) for part in zip(*self._digests(end), strict=True))
        return {
            "as_of": stamp(end).isoformat(),
            "returns": self.returns,
            "transactions": transactions,
            "interactions": interactions,
            "content_hash": f"{total % 2**64:016x}",
        }

    def _digests(self, end: int) -> Iterator[tuple[int, int, int]]:
        held = self.arrangement
        return self.host.ordered(lambda number: digest(held, number, end), len(held.customers))

    def __repr__(self) -> str:
        """Return a line that says what the log holds."""
        dropped = sum(sum(rules.values()) for rules in self.dropped.values())
        left_out = f", {dropped:,} rows dropped" if dropped else ""
        return (
            f"{type(self).__name__}({self.n_transactions:,} transactions and {self.n_interactions:,} interactions of "
            f"{self.n_customers:,} customers, {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}{left_out})"
        )

    def _repr_html_(self) -> str:
        """Show in a notebook what the log holds."""
        rules = ((table, rule, count) for table, rules in self.dropped.items() for rule, count in rules.items())
        dropped = "; ".join(f"{count:,} {table}: {rule}" for table, rule, count in rules)
        facts = {
            "customers": self.n_customers,
            "transactions": self.n_transactions,
            "interactions": self.n_interactions,
            "period": f"{self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}",
            "returns": self.returns,
        }
        return summary_html(type(self).__name__, facts | ({"dropped": dropped} if dropped else {}), self.counts())


def check_ways(*, returns: str, on_invalid: str) -> None:
    """Refuse a way with returns or with invalid rows that there is not."""
    if returns not in ("net", "ignore"):
        raise SchemaError(out_of_range("returns", returns, 'be "net" or "ignore"'))
    if on_invalid not in ("raise", "drop"):
        raise SchemaError(out_of_range("on_invalid", on_invalid, 'be "raise" or "drop"'))


def with_rows(held: Arrangement) -> Arrangement:
    """Return what a log holds, refused where no transaction is left."""
    if not held.contents.rows[0]:
        left_out = sum(held.dropped.get(TRANSACTIONS.name, {}).values())
        raise SchemaError(
            f"{TRANSACTIONS.name} must have at least one valid row; {left_out:,} given, 0 valid.\n"
            "Check the path, the filter or the export that made it."
        )
    return held


def _before(names: tuple[str, ...], firsts: npt.NDArray[np.int64], when: Moment) -> tuple[str, ...]:
    end = moment(when, name="when")
    return tuple(name for name, first in zip(names, firsts, strict=True) if first < end)


def monthly_cutoffs(log: CustomerLog, *, last: Moment | None = None, history_days: float = 90) -> pd.DatetimeIndex:
    """Return the first of every month with enough history before it.

    Parameters
    ----------
    log : the log.
    last : no cutoff after this one; by default the log's end.
    history_days : days the log must have before the first cutoff.

    Examples
    --------
    >>> import crm_ml
    >>> monthly_cutoffs(crm_ml.load_sample(), last="2017-06-15").strftime("%Y-%m-%d").tolist()
    ['2017-05-01', '2017-06-01']
    """
    earliest = stamp(moment(log.first) + round(history_days * DAY))
    latest = stamp(moment(log.end if last is None else last, name="last"))
    return pd.date_range(earliest.ceil("D"), latest, freq="MS", name="cutoff")
