"""`CustomerLog`, the only door for a shop's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from typing import Any, Literal, TypeVar

import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, midnight_after, moment, stamp
from crm_ml.events.contract import INTERACTIONS, TRANSACTIONS, Table, check_mapping, rename, stage
from crm_ml.events.host import LocalHost
from crm_ml.events.sources import Source, open_source

__all__ = ["CustomerLog", "monthly_cutoffs"]

Result = TypeVar("Result")

_ROW_HASH = "CAST(md5_number_lower(CAST(row({columns}) AS VARCHAR)) AS HUGEINT)"

_NO_INTERACTIONS = pd.DataFrame(
    {"customer_id": pd.Series(dtype="str"), "timestamp": pd.Series(dtype="datetime64[us]"),
     "event_type": pd.Series(dtype="str")}
)  # fmt: skip


class CustomerLog:
    """A shop's events, validated once and sorted by customer and time.

    Parameters
    ----------
    transactions : pandas or Polars frame, pyarrow table, DuckDB relation, or path, glob or list of paths
        of Parquet or CSV files, with columns ``customer_id``, ``timestamp``, ``amount`` and optionally
        ``order_id``: lines of one order at one moment are summed into one purchase; lines booked later
        change the order's money, not the number of purchases. Without ``order_id`` every row is an order.
    interactions : the same kinds, with columns ``customer_id``, ``timestamp``, ``event_type`` and
        optionally ``value``.
    columns : {your column: our name} for columns named otherwise.
    timezone : IANA name of the zone in which times without one are read; all times become UTC.
    returns : "net" counts a negative amount as money given back on its own date, never as a purchase;
        "ignore" leaves negative amounts out of everything.
    on_invalid : "raise" refuses rows that break a rule; "drop" leaves them out and counts them in `dropped`.
    as_of : when the log was taken; a row at or after it breaks a rule.
    memory_limit : what the log may hold in memory before it spills to temporary files, such as "2GB".
    threads : threads to read and compute with; by default all cores.
    n_buckets : number of parts the customers are cut into; by default one per million events.

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
    ) -> None:
        if returns not in ("net", "ignore"):
            raise SchemaError(out_of_range("returns", returns, 'be "net" or "ignore"'))
        if on_invalid not in ("raise", "drop"):
            raise SchemaError(out_of_range("on_invalid", on_invalid, 'be "raise" or "drop"'))
        if n_buckets is not None and not (isinstance(n_buckets, Integral) and n_buckets >= 1):
            raise SchemaError(out_of_range("n_buckets", n_buckets, "be a whole number of at least 1"))
        self.returns = returns
        self._host = LocalHost(memory_limit=memory_limit, threads=threads, timezone=timezone)
        connection = self._host.connection
        given: dict[Table, Any] = {TRANSACTIONS: transactions}
        if interactions is not None:
            given[INTERACTIONS] = interactions
        sources = {table: open_source(connection, data, name=table.name) for table, data in given.items()}
        check_mapping(columns or {}, sources)
        if INTERACTIONS not in sources:
            sources[INTERACTIONS] = open_source(connection, _NO_INTERACTIONS, name=INTERACTIONS.name)
        self.dropped = self._stage(sources, columns or {}, as_of, on_invalid)
        self._host.arrange(n_buckets=n_buckets)
        self.event_types = tuple(self._host.event_types())
        self._describe()

    def _stage(
        self,
        sources: Mapping[Table, Source],
        columns: Mapping[str, str],
        as_of: Moment | None,
        on_invalid: str,
    ) -> dict[str, dict[str, int]]:
        """Stage both tables; return for each the rules broken and the number of rows left out."""
        end = None if as_of is None else moment(as_of)
        dropped = {}
        for table, source in sources.items():
            renamed = rename(source, table, columns)
            counted = stage(self._host.connection, renamed, table, as_of=end, drop=on_invalid == "drop")
            self._host.connection.unregister(f"given_{table.name}")
            if counted:
                dropped[table.name] = counted
        return dropped

    def _describe(self) -> None:
        count = "SELECT count(*), min(timestamp), max(timestamp) FROM"
        run = self._host.connection.execute
        self.n_transactions, first, last = run(f"{count} transactions").fetchall()[0]
        self.n_interactions, *_ = run(f"{count} interactions").fetchall()[0]
        self.n_customers = run("SELECT count(DISTINCT customer_id) FROM transactions").fetchall()[0][0]
        self.first, self.last = stamp(first), stamp(last)

    @property
    def end(self) -> pd.Timestamp:
        """The first midnight UTC after the last transaction: the latest sensible `as_of`."""
        return stamp(midnight_after(moment(self.last)))

    def event_types_before(self, when: Moment) -> tuple[str, ...]:
        """Return the event types that had occurred before a moment, sorted."""
        end = moment(when, name="when")
        return tuple(name for name, first in self._host.event_types().items() if first < end)

    def map(self, kernel: Callable[[Bucket], Result]) -> Iterator[Result]:
        """Yield a kernel's result for every bucket of customers, in a stable order.

        Parameters
        ----------
        kernel : function of one `crm_ml.events.Bucket`; called from several threads.
        """
        return self._host.map(kernel, keep_returns=self.returns == "net")

    def counts(self) -> pd.DataFrame:
        """Return what the log holds: rows by table and event type, with first and last moment.

        Returns
        -------
        DataFrame
            Indexed by ``transactions`` and each event type; columns rows, customers, first, last.
        """
        summary = "count(*), count(DISTINCT customer_id), min(timestamp), max(timestamp)"
        rows = self._host.connection.execute(
            f"SELECT 'transactions', {summary} FROM transactions UNION ALL (SELECT name, {summary} "
            "FROM interactions JOIN event_types ON code = event_type GROUP BY name ORDER BY name)"
        ).fetchall()
        frame = pd.DataFrame(rows, columns=["table", "rows", "customers", "first", "last"]).set_index("table")
        return frame.assign(first=frame["first"].map(stamp), last=frame["last"].map(stamp))

    def fingerprint(self, *, as_of: Moment | None = None) -> dict[str, int | str]:
        """Return what identifies the data before `as_of`: a hash of every row, and the row counts.

        The hash does not depend on the order of rows or files, nor on buckets and threads.
        """
        end = moment(self.end if as_of is None else as_of)
        run = self._host.connection.execute
        found: dict[str, int | str] = {"as_of": stamp(end).isoformat(), "returns": self.returns}
        total = 0
        for table, columns in (
            ("transactions", "'t', customer_id, timestamp, amount, coalesce(order_id, chr(0))"),
            (
                "interactions JOIN event_types ON code = event_type",
                "'i', customer_id, timestamp, name, value",
            ),
        ):
            rows, digest = run(
                f"SELECT count(*), coalesce(sum({_ROW_HASH.format(columns=columns)}), 0) "
                f"FROM {table} WHERE timestamp < {end}"
            ).fetchall()[0]
            found[table.split()[0]] = rows
            total += int(digest)
        return found | {"content_hash": f"{total % 2**64:016x}"}

    def __repr__(self) -> str:
        """Return a line that says what the log holds."""
        dropped = sum(sum(rules.values()) for rules in self.dropped.values())
        left_out = f", {dropped:,} rows dropped" if dropped else ""
        return (
            f"CustomerLog({self.n_transactions:,} transactions and {self.n_interactions:,} interactions of "
            f"{self.n_customers:,} customers, {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}{left_out})"
        )


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
