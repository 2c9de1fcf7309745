"""The one shuffle: both tables to the bucket of their customer, where a worker arranges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crm_ml.errors import SchemaError
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS, Table
from crm_ml.events.reading.files import unreadable
from crm_ml.events.spark.rows import ROW, Reading, row_of_bucket

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["arrow_schema", "bucket_rows"]

MOST_PARTITIONS = 20_000
"""Beyond, a partition holds several buckets: Spark's own bookkeeping grows with partitions times input splits."""


def arrow_schema(frame: Any, table: Table, columns: Mapping[str, str]) -> pa.Schema:
    """Return what a Spark data frame's rows are in Arrow; the types of columns that are not read are left open.

    Raises
    ------
    SchemaError
        It is no Spark data frame, or a column is of a type that Arrow does not know.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame

    if not isinstance(frame, DataFrame):
        raise SchemaError(
            f"{table.name} must be a Spark data frame; got {type(frame).__name__}.\n"
            "Convert it with spark.createDataFrame, or give it to crm_ml.CustomerLog."
        )
    read = [f"c{place}" for place, _ in _read(frame.columns, table, columns)]
    try:
        known = _numbered(frame).select(*read).limit(0).toArrow().schema
    except PySparkException as error:
        raise unreadable(table.name, error) from error
    kinds = [known.field(column).type if column in read else pa.null() for column in _numbered(frame).columns]
    return pa.schema(list(zip(frame.columns, kinds, strict=True)))


def bucket_rows(given: Mapping[Table, DataFrame], reading: Reading, n_buckets: int) -> DataFrame:
    """Return a Spark data frame with a row of `crm_ml.events.spark.rows.ROW` for every bucket.

    Parameters
    ----------
    given : the tables; interactions may be missing.
    reading : how they are read; the names are filled in here.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    names = {table: _read(frame.columns, table, reading.columns) for table, frame in given.items()}
    reading = replace(reading, names={table: [name for _, name in read] for table, read in names.items()})
    spread = {table: _spread(frame, names[table], reading.columns, n_buckets) for table, frame in given.items()}
    bought = spread[TRANSACTIONS]
    acted = spread.get(INTERACTIONS)
    if acted is None:
        acted = bought.select("bucket").limit(0)

    def arrange_bucket(_: Any, transactions: pa.Table, interactions: pa.Table) -> pa.Table:
        tables = {TRANSACTIONS: transactions, INTERACTIONS: interactions}
        return row_of_bucket(reading, {table: tables[table].drop_columns(["bucket"]) for table in reading.names})

    pairs = bought.groupBy("bucket").cogroup(acted.groupBy("bucket"))
    return pairs.applyInArrow(arrange_bucket, from_arrow_schema(ROW))


def _numbered(frame: DataFrame) -> DataFrame:
    """Return the frame with its columns by position, so that no name is ever parsed."""
    return frame.toDF(*(f"c{place}" for place in range(len(frame.columns))))


def _read(present: list[str], table: Table, columns: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return position and name of the columns that are read."""
    known = table.required + table.optional
    return [(place, name) for place, name in enumerate(present) if columns.get(name, name) in known]


def _spread(frame: DataFrame, read: list[tuple[int, str]], columns: Mapping[str, str], n_buckets: int) -> DataFrame:
    """Return the columns that are read beside each row's bucket."""
    from pyspark.sql import functions

    ours = {columns.get(name, name): f"c{place}" for place, name in read}
    customer, time = ours["customer_id"], ours["timestamp"]
    text = _customer_text(functions.col(customer), frame.schema[int(customer[1:])].dataType.typeName())
    # Rows without a customer break a rule; spread by time, they do not all meet in one bucket.
    hashed = functions.xxhash64(functions.coalesce(text, functions.col(time).cast("string")))
    bucket = functions.pmod(hashed, functions.lit(n_buckets)).cast("int").alias("bucket")
    rows = _numbered(frame).select(*(f"c{place}" for place, _ in read), bucket)
    return rows.repartition(min(n_buckets, MOST_PARTITIONS), "bucket")


def _customer_text(customer: Column, kind: str) -> Column:
    """Return a customer's identifier as text, alike for a whole number in a column of either kind."""
    from pyspark.sql import functions

    text = customer.cast("string")
    if kind not in ("float", "double"):
        return text
    whole = customer.try_cast("decimal(38,0)")
    return functions.when(customer == whole, whole.cast("string")).otherwise(text)
