"""`SparkLog`: a log whose buckets lie on a Spark cluster, sorted there once."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce
from numbers import Integral
from operator import add
from typing import TYPE_CHECKING, Literal, TypeVar

import pyarrow as pa

from crm_ml.errors import CrmError, SchemaError, out_of_range
from crm_ml.events.arrangement import Arrangement, arrange
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment, moment
from crm_ml.events.host import LocalHost
from crm_ml.events.log import CustomerLog, check_ways, with_rows
from crm_ml.events.partition.scatter import Names
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS, rules
from crm_ml.events.reading.scan import refusal
from crm_ml.events.spark.rows import HELD, Reading, arrays_of_bytes, bucket_logs, bytes_of_arrays, join_facts
from crm_ml.events.spark.sampling import at_most_customers, sampled_bucket, sampled_log
from crm_ml.events.spark.shuffle import arrow_schema, bucket_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame as DataFrame  # for whoever is handed one

__all__ = ["SparkLog"]

Result = TypeVar("Result")

EVENTS_PER_BUCKET = 500_000


class SparkLog(CustomerLog):
    """A shop's events on a Spark cluster, validated once and sorted by customer and time.

    Both tables are shuffled once, by a hash of the customer. Every bucket is read, judged and sorted by the code
    that `crm_ml.CustomerLog` uses, and kept on the workers' disks; what is computed afterwards is a map over
    buckets. It can stand wherever a `CustomerLog` is taken: kernels run on the workers, and what they return
    comes to the driver. `crm_ml.scoring.spark_tables` has what must not come to the driver.

    Parameters
    ----------
    transactions, interactions : Spark data frames with the columns that `crm_ml.CustomerLog` takes. Times
        without a zone are read in `timezone`; the session's zone makes no difference.
    columns, timezone, returns, on_invalid, as_of : as for `crm_ml.CustomerLog`. What broke a rule is told
        without positions, which rows do not have on Spark.
    n_buckets : number of parts the customers are cut into; by default as many as keep 500,000 events in each,
        which takes counting both tables.

    Attributes
    ----------
    buckets : the persisted Spark data frame.

    Raises
    ------
    SchemaError
        As for `crm_ml.CustomerLog`.

    Examples
    --------
    >>> from crm_ml.events.spark import SparkLog
    >>> log = SparkLog(spark.read.parquet("orders"), spark.read.parquet("events"))  # doctest: +SKIP
    >>> log.sample(at_most=100_000)  # doctest: +SKIP
    CustomerLog(2,013,551 transactions and 6,104,882 interactions of 99,871 customers, 2022-01-01 to 2024-12-31)
    """

    def __init__(
        self,
        transactions: DataFrame,
        interactions: DataFrame | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        timezone: str = "UTC",
        returns: Literal["net", "ignore"] = "net",
        on_invalid: Literal["raise", "drop"] = "raise",
        as_of: Moment | None = None,
        n_buckets: int | None = None,
    ) -> None:
        check_ways(returns=returns, on_invalid=on_invalid)
        if n_buckets is not None and not (isinstance(n_buckets, Integral) and n_buckets >= 1):
            raise SchemaError(out_of_range("n_buckets", n_buckets, "be a whole number of at least 1"))
        self.returns = returns
        self.host = LocalHost(memory_limit=None, threads=None, timezone=timezone)
        given = {TRANSACTIONS: transactions} | ({} if interactions is None else {INTERACTIONS: interactions})
        named, end = dict(columns or {}), None if as_of is None else moment(as_of)
        heads = {table: arrow_schema(frame, table, named).empty_table() for table, frame in given.items()}
        arrange(self.host, heads, columns=named, drop=False, as_of=end, n_buckets=1)  # refuses columns and settings
        reading = Reading({}, named, timezone, end)
        rows = bucket_rows(given, reading, n_buckets or 1 + _count(given.values()) // EVENTS_PER_BUCKET)
        self.buckets = _on_disk(rows)
        self._hold(with_rows(self._facts(may_drop=on_invalid == "drop")))

    def unpersist(self) -> None:
        """Give up what the workers keep; whatever is computed from the log afterwards shuffles the events anew."""
        self.buckets.unpersist()

    def map(
        self, kernel: Callable[[Bucket], Result], *, at_most: int | None = None, interactions: bool = True
    ) -> Iterator[Result]:
        """Yield a kernel's result for every bucket of customers, computed by the workers; see `crm_ml.CustomerLog`.

        The results come to the driver all at once, and must fit there.
        """

        def work(logs: Iterator[CustomerLog]) -> Iterator[Result]:
            for log in logs:
                yield from log.map(kernel, at_most=at_most, interactions=interactions)

        return self._collect(work, interactions=interactions)

    def total(self, kernel: Callable[[Bucket], Result], *, interactions: bool = True) -> Result:
        """Return the sum of a kernel's results over all buckets, of which the driver sees one per partition."""

        def work(logs: Iterator[CustomerLog]) -> Iterator[Result]:
            found = (log.total(kernel, interactions=interactions) for log in logs)
            first = next(found, None)
            if first is not None:
                yield reduce(add, found, first)

        return reduce(add, self._collect(work, interactions=interactions))

    def frame(
        self, tables: Callable[[CustomerLog], Iterable[pa.Table]], schema: pa.Schema, *, interactions: bool = True
    ) -> DataFrame:
        """Return a Spark data frame of what the workers make of each bucket, computed when it is asked for.

        Parameters
        ----------
        tables : function of a log of one bucket.
        schema : of the tables.
        interactions : whether it looks at them.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        read = self._reader()

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for log in read(batches):
                for table in tables(log):
                    yield from table.select(schema.names).cast(schema).to_batches()

        return self._rows(interactions).mapInArrow(run, from_arrow_schema(schema))

    def sample(self, *, share: float | None = None, at_most: int | None = None) -> CustomerLog:
        """Return a local log of all events of some customers, to train on.

        Customers are drawn by a hash of their identifier, so that they are the same whatever the order, the
        partitions and the buckets, and from one day to the next.

        Parameters
        ----------
        share : of all customers, in (0, 1].
        at_most : customers; instead of `share`.

        Raises
        ------
        SchemaError
            Not just one of both is given, it is outside its domain, or nobody drawn has bought.
        """
        if (share is None) == (at_most is None):
            raise SchemaError("A sample needs either `share` or `at_most`; give one of them.")
        if at_most is not None and not (isinstance(at_most, Integral) and at_most >= 1):
            raise SchemaError(out_of_range("at_most", at_most, "be a whole number of at least 1"))
        if share is not None and not 0 < share <= 1:
            raise SchemaError(out_of_range("share", share, "be in (0, 1]"))
        host = LocalHost(memory_limit=None, threads=None, timezone=self.host.timezone)
        wanted = share or 1.0
        if at_most is not None:  # a few more, as the draw varies, of whom the last drawn are left out
            wanted = min(1.0, (at_most + 4 * at_most**0.5) / sum(self.arrangement.customers))

        def work(logs: Iterator[CustomerLog]) -> Iterator[bytes]:
            for log in logs:
                yield bytes_of_arrays(sampled_bucket(dict(log.arrangement.store.get(0)), wanted))

        parts = [arrays_of_bytes(part) for part in self._collect(work)]
        if at_most is not None:
            parts = at_most_customers(parts, int(at_most))
        return sampled_log(host, parts, self.arrangement, returns=self.returns)

    def _digests(self, end: int) -> Iterator[tuple[int, int, int]]:
        def work(logs: Iterator[CustomerLog]) -> Iterator[tuple[int, int, int]]:
            for log in logs:
                yield from log._digests(end)

        return self._collect(work)

    def _rows(self, interactions: bool) -> DataFrame:
        return self.buckets.select("facts", "transactions", *(["interactions"] if interactions else []))

    def _reader(self) -> Callable[[Iterable[pa.RecordBatch]], Iterator[CustomerLog]]:
        """Return what makes logs of rows on a worker, and holds nothing of the driver's."""
        whole = dataclasses.replace(self.arrangement, customers=()).to_plain()
        return partial(bucket_logs, whole=whole, returns=self.returns)

    def _collect(
        self, work: Callable[[Iterator[CustomerLog]], Iterable[Result]], *, interactions: bool = True
    ) -> Iterator[Result]:
        """Yield what workers make of the buckets of each partition, in a stable order."""
        from pyspark.serializers import CloudPickleSerializer

        read = self._reader()

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for result in _or_error(work(read(batches))):
                content = zlib.compress(CloudPickleSerializer().dumps(result), 1)
                yield pa.record_batch({"result": pa.array([content], pa.binary())})

        for content in self._rows(interactions).mapInArrow(run, "result binary").toArrow().column("result"):
            result = CloudPickleSerializer().loads(zlib.decompress(content.as_py()))
            if isinstance(result, CrmError):
                raise result
            yield result

    def _facts(self, *, may_drop: bool) -> Arrangement:
        """Return what all buckets hold, of which the driver sees a summary per partition."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            texts = [text for batch in batches for text in batch.column("facts").to_pylist()]
            if texts:
                yield pa.record_batch({"facts": [join_facts(texts)]})

        found = self.buckets.select("facts").mapInArrow(run, "facts string").toArrow()
        whole = json.loads(join_facts(found.column("facts").to_pylist()))
        if "error" in whole:
            raise SchemaError(whole["error"])
        held = Arrangement.from_plain(HELD, whole)
        for column, names in (("event_type", held.event_types), ("category", held.categories)):
            Names(column).encode(pa.array(names, pa.string()))  # refuses too many
        if not may_drop:
            _refuse_broken(held)
        return held


def _or_error(results: Iterable[Result]) -> Iterator[Result | CrmError]:
    """Yield results, and a typed error as the last one instead of raising it where nobody could catch it."""
    try:
        yield from results
    except CrmError as error:
        yield error


def _refuse_broken(held: Arrangement) -> None:
    """Raise SchemaError where a row broke a rule."""
    kept = {TRANSACTIONS: int(held.contents.rows[0]), INTERACTIONS: int(held.contents.rows[1:].sum())}
    for table, rows in kept.items():
        dropped = held.dropped.get(table.name, {})
        for rule in rules(table):
            if rule in dropped:
                total = rows + sum(dropped.values())
                raise refusal(table, rule, broken=dropped[rule], total=total, rows=[])


def _count(frames: Iterable[DataFrame]) -> int:
    return sum(frame.count() for frame in frames)


def _on_disk(rows: DataFrame) -> DataFrame:
    from pyspark import StorageLevel

    return rows.persist(StorageLevel.DISK_ONLY)
