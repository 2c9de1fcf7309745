"""Anything a shop's events come in, made scannable by one DuckDB connection.

Columns are handed on by position under names of our own (``c0``, ``c1``, ...), so that no name
from outside ever becomes part of a query.
"""

from __future__ import annotations

import csv
import glob
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.errors import SchemaError

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A scannable source: its columns by name, their DuckDB types, and the SQL that scans it."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    scan: str

    def column(self, name: str) -> tuple[str, str]:
        """Return the SQL name and the type of a column."""
        position = self.columns.index(name)
        return f"c{position}", self.types[position]


def open_source(connection: duckdb.DuckDBPyConnection, data: Any, *, name: str) -> Source:
    """Make `data` scannable.

    Parameters
    ----------
    connection : DuckDB connection that will scan.
    data : pandas or Polars frame (lazy ones are collected), pyarrow table or reader, DuckDB relation,
        path or glob of Parquet or CSV files (``.csv``, ``.csv.gz``), or a list of such paths.
    name : what the data is, for messages and as its name within the connection.

    Raises
    ------
    SchemaError
        The kind is not known, no file matches or can be read, CSV headers differ, or two columns have the
        same name.
    """
    paths = [data] if isinstance(data, str | Path) else data
    if isinstance(paths, list | tuple) and all(isinstance(path, str | Path) for path in paths):
        columns, scan = _scan_files(paths, name=name)
    else:
        table = _as_arrow(data, name=name)
        columns = list(table.column_names)
        _refuse_duplicates(columns, name=name)
        connection.register(f"given_{name}", table.rename_columns([f"c{i}" for i in range(len(columns))]))
        scan = f"given_{name}"
    try:
        relation = connection.sql(f"SELECT * FROM {scan}")
    except (duckdb.Error, OSError) as error:
        raise unreadable(name, error) from error
    columns = columns or list(relation.columns)
    aliases = ", ".join(f"c{i}" for i in range(len(columns)))
    return Source(tuple(columns), tuple(str(t) for t in relation.types), f"{scan} AS source({aliases})")


def unreadable(name: str, error: Exception) -> SchemaError:
    """Word a failure to read; only the first line of the reader's own words, the rest may quote rows."""
    said = str(error).partition("\n")[0]
    return SchemaError(f"{name} could not be read: {said}\nGive readable Parquet files, or CSV files in UTF-8.")


def _scan_files(paths: Sequence[str | Path], *, name: str) -> tuple[list[str], str]:
    """Return the CSV header (empty for Parquet) and the table function that reads the files."""
    files: list[str] = []
    for pattern in paths:
        text = str(pattern)
        found = [text] if "://" in text or Path(text).exists() else sorted(glob.glob(text, recursive=True))
        if not found:
            raise SchemaError(f"{name}: no file matches {text!r}.\nGive a path or glob of Parquet or CSV files.")
        files += found
    if not files:
        raise SchemaError(f"{name}: the list of files is empty.\nGive a path or glob of Parquet or CSV files.")
    listed = "[" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "]"
    if all(file.endswith((".parquet", ".pq")) for file in files):
        _refuse_duplicates(_parquet_columns(files[0], name=name), name=name)
        return [], f"read_parquet({listed}, union_by_name = true)"
    if all(file.endswith((".csv", ".csv.gz")) for file in files):
        header = _shared_header(files, name=name)
        _refuse_duplicates(header, name=name)
        texts = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(header)))
        dialect = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
        return header, f"read_csv({listed}, {dialect}, columns = {{{texts}}})"
    raise SchemaError(
        f"{name}: files must all be .parquet, or all .csv or .csv.gz; got {sorted(set(files))[:3]}.\n"
        "Load other formats with pandas or Polars and pass the frame."
    )


def _parquet_columns(file: str, *, name: str) -> list[str]:
    """Return the columns of a local file; DuckDB would rename the second of a pair in silence."""
    if "://" in file:
        return []
    try:
        return list(pq.read_schema(file).names)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(name, error) from error


def _shared_header(files: Sequence[str], *, name: str) -> list[str]:
    try:
        headers = [_csv_header(file) for file in files]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(name, error) from error
    for file, header in zip(files, headers, strict=True):
        if not header or header != headers[0]:
            raise SchemaError(
                f"{name}: CSV files must all have the same header; {files[0]!r} has {headers[0]}, "
                f"{file!r} has {header}.\nGive them the same columns in the same order."
            )
    return headers[0]


def _csv_header(file: str) -> list[str]:
    opened = gzip.open if file.endswith(".gz") else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
        return next(csv.reader(lines), [])


def _as_arrow(data: Any, *, name: str) -> pa.Table:
    if isinstance(data, pd.DataFrame):
        _refuse_duplicates([str(column) for column in data.columns], name=name)
        try:
            return pa.Table.from_pandas(_plain(data), preserve_index=False)
        except pa.ArrowException as error:
            raise unreadable(name, error) from error
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if isinstance(data, duckdb.DuckDBPyRelation):
        return data.to_arrow_table()
    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "collect") and type(data).__module__.startswith("polars"):
        data = data.collect()
    if hasattr(data, "to_arrow"):
        return data.to_arrow()
    raise SchemaError(
        f"{name} must be a pandas or Polars frame, a pyarrow table, a DuckDB relation, or paths of Parquet "
        f"or CSV files; got {type(data).__name__}.\nConvert it to one of these."
    )


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an index that holds columns made plain and columns of mixed objects as text."""
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    plain = frame.reset_index(level=named) if named else frame
    kinds: dict[Any, Any] = {}
    for column, kind in plain.dtypes.items():
        if pd.api.types.is_object_dtype(kind):
            kinds[column] = "string"
        elif isinstance(kind, pd.DatetimeTZDtype):  # pyarrow's own conversion uses what pandas 3.1 deprecates
            kinds[column] = pd.ArrowDtype(pa.timestamp(kind.unit, "UTC"))
    return plain.astype(kinds).rename(columns=str)


def _refuse_duplicates(columns: list[str], *, name: str) -> None:
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise SchemaError(
            f"{name} must have each column once. Columns that appear twice: {twice}.\nRename or drop one."
        )
