"""The local host: DuckDB holds a log sorted into buckets, out of core, and carries them to kernels."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import duckdb

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket, make_bucket
from crm_ml.events.contract import INTERACTIONS, TRANSACTIONS

__all__ = ["LocalHost"]

Result = TypeVar("Result")

EVENTS_PER_BUCKET = 1_000_000


class LocalHost:
    """A private DuckDB database, in memory and spilling to a temporary folder past its limit.

    Parameters
    ----------
    memory_limit : what the database may hold in memory, such as "2GB".
    threads : threads of the database and of `map`; by default all cores.
    timezone : IANA name of the zone in which times without one are read.
    """

    def __init__(self, *, memory_limit: str | None, threads: int | None, timezone: str) -> None:
        folder = tempfile.mkdtemp(prefix="crm_ml_")
        self._cleanup = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.connection = duckdb.connect(":memory:")
        self._set("temp_directory", folder, "name a writable folder")
        self._set("TimeZone", timezone, "name an IANA time zone such as 'Europe/Berlin'")
        if memory_limit is not None:
            self._set("memory_limit", memory_limit, "be a size such as '2GB'")
        if threads is not None:
            self._set("threads", threads, "be at least 1")
        self.threads = int(self.connection.execute("SELECT current_setting('threads')").fetchall()[0][0])
        self.n_buckets = 0

    def _set(self, setting: str, value: str | int, rule: str) -> None:
        quoted = "'" + str(value).replace("'", "''") + "'"
        try:
            self.connection.execute(f"SET {setting} = {quoted}")
        except duckdb.Error as error:
            raise SchemaError(out_of_range(setting.lower(), value, rule)) from error

    def arrange(self, *, n_buckets: int | None) -> None:
        """Sort the staged valid rows into buckets by a hash of the identifier that no version changes.

        Ties in time are put in order by the row's own content, so that the order of the input's rows
        and files leaves no trace.
        """
        rows = sum(
            self.connection.execute(f"SELECT count(*) FROM staged_{table.name}").fetchall()[0][0]
            for table in (TRANSACTIONS, INTERACTIONS)
        )
        self.n_buckets = n_buckets or 1 + rows // EVENTS_PER_BUCKET
        self.connection.execute(
            "CREATE TABLE event_types AS SELECT event_type AS name, min(timestamp) AS first, "
            "CAST(row_number() OVER (ORDER BY event_type) - 1 AS SMALLINT) AS code "
            "FROM staged_interactions WHERE broken IS NULL GROUP BY event_type"
        )
        bucket = f"CAST(md5_number_lower(customer_id) % {self.n_buckets} AS INTEGER) AS bucket, customer_id"
        self.connection.execute(
            f"CREATE TABLE transactions AS SELECT {bucket}, timestamp, amount, order_id "
            "FROM staged_transactions WHERE broken IS NULL "
            "ORDER BY bucket, customer_id, timestamp, order_id, amount"
        )
        self.connection.execute(
            f"CREATE TABLE interactions AS SELECT {bucket}, timestamp, code AS event_type, value "
            "FROM staged_interactions JOIN event_types ON event_type = name WHERE broken IS NULL "
            "ORDER BY bucket, customer_id, timestamp, event_type, value"
        )
        self.connection.execute("DROP TABLE staged_transactions; DROP TABLE staged_interactions")

    def event_types(self) -> dict[str, int]:
        """Return the event types of the log, sorted, each with its first moment."""
        return dict(self.connection.execute("SELECT name, first FROM event_types ORDER BY code").fetchall())

    def map(self, kernel: Callable[[Bucket], Result], *, keep_returns: bool) -> Iterator[Result]:
        """Yield the kernel's result for every bucket, in order, computing on all threads.

        At most one bucket per thread is under way or waiting to be taken.
        """
        types = tuple(self.event_types())

        def run(number: int) -> Result:
            bucket = self._read(number, event_types=types, keep_returns=keep_returns)
            return kernel(bucket)

        if min(self.threads, self.n_buckets) == 1:
            yield from (run(number) for number in range(self.n_buckets))
            return
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[Result]] = deque()
            for number in range(self.n_buckets):
                if len(waiting) == self.threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(run, number))
            while waiting:
                yield waiting.popleft().result()

    def _read(self, number: int, *, event_types: tuple[str, ...], keep_returns: bool) -> Bucket:
        cursor = self.connection.cursor()
        tables = [
            cursor.sql(f"SELECT * EXCLUDE bucket FROM {table.name} WHERE bucket = {number}").to_arrow_table()
            for table in (TRANSACTIONS, INTERACTIONS)
        ]
        return make_bucket(*tables, event_types=event_types, keep_returns=keep_returns)
