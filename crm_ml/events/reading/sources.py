"""Anything a shop's events come in, made scannable by one DuckDB connection.

Columns are handed on by position under names of our own (``c0``, ``c1``, ...), so that no name
from outside ever becomes part of a query.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.errors import SchemaError
from crm_ml.events.reading.files import CSV, PARQUET, File, csv_text, find_files, on_each, scannable, unreadable

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
        columns, scan = _scan_files(connection, find_files(paths, name=name), name=name)
    else:
        table = _as_arrow(data, name=name)
        columns = list(table.column_names)
        _refuse_duplicates(columns, name=name)
        connection.register(f"given_{name}", table.rename_columns([f"c{i}" for i in range(len(columns))]))
        scan = f"given_{name}"
    try:
        relation = connection.sql(f"SELECT * FROM {scan}")
    except (duckdb.Error, OSError) as error:
        raise unreadable(name, error) from None
    columns = columns or list(relation.columns)
    aliases = ", ".join(f"c{i}" for i in range(len(columns)))
    return Source(tuple(columns), tuple(str(t) for t in relation.types), f"{scan} AS source({aliases})")


def _scan_files(connection: duckdb.DuckDBPyConnection, files: Sequence[File], *, name: str) -> tuple[list[str], str]:
    """Return the CSV header (empty for Parquet) and the table function that reads the files."""
    listed = "[" + ", ".join(_quoted(path) for path in scannable(connection, files, name=name)) + "]"
    if all(file.shown.endswith(PARQUET) for file in files):
        for file, columns in zip(files, on_each(_parquet_columns, files, name=name), strict=True):
            _refuse_duplicates(columns, name=name)
            _refuse_folders_named_like(columns, file, name=name)
        return [], f"read_parquet({listed}, union_by_name = true)"
    if all(file.shown.endswith(CSV) for file in files):
        header = _shared_header(files, name=name)
        _refuse_duplicates(header, name=name)
        texts = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(header)))
        dialect = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
        return header, f"read_csv({listed}, {dialect}, hive_partitioning = false, columns = {{{texts}}})"
    raise SchemaError(
        f"{name}: files must all be .parquet, or all .csv or .csv.gz; "
        f"got {sorted({file.shown for file in files})[:3]}.\n"
        "Load other formats with pandas or Polars and pass the frame."
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _parquet_columns(file: File) -> list[str]:
    """Return the columns of a file; DuckDB would rename the second of a pair in silence."""
    with closing(file.open()) as opened:
        return list(pq.read_schema(opened).names)


def _refuse_folders_named_like(columns: Sequence[str], file: File, *, name: str) -> None:
    """Refuse ``amount=5/part.parquet`` with a column ``amount``: DuckDB would take the folder's word for it."""
    path = file.path if file.system is None else file.shown
    folders = [folder.partition("=")[0] for folder in path.split("/")[:-1] if "=" in folder]
    both = sorted({folder.casefold() for folder in folders} & {column.casefold() for column in columns})
    if both:
        raise SchemaError(
            f"{name} must have each column once. Columns of {file.shown!r} that a folder names too: {both}.\n"
            "Rename the folder."
        )


def _shared_header(files: Sequence[File], *, name: str) -> list[str]:
    headers = on_each(_csv_header, files, name=name)
    for file, header in zip(files, headers, strict=True):
        if not header or header != headers[0]:
            raise SchemaError(
                f"{name}: CSV files must all have the same header; {files[0].shown!r} has {headers[0]}, "
                f"{file.shown!r} has {header}.\nGive them the same columns in the same order."
            )
    return headers[0]


def _csv_header(file: File) -> list[str]:
    with csv_text(file) as text:
        return next(csv.reader(text), [])


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
