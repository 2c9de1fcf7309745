"""Features and panels streamed to Parquet, for what does not fit in memory."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.errors import SchemaError
from crm_ml.events.clock import Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features
from crm_ml.features.labels import LABEL_COLUMNS, label_ends
from crm_ml.features.panels.panel import nobody_bought, nobody_eligible, panel_sweep
from crm_ml.features.panels.sweep import Part, Sweep

__all__ = ["feature_table", "panel_table", "write_features", "write_panel", "write_parquet"]

_UTC = pa.timestamp("us", "UTC")


def write_features(log: CustomerLog, path: str | Path, *, as_of: Moment, features: Features = DEFAULT_FEATURES) -> Path:
    """Write the frame of `crm_ml.build_features` to Parquet, with ``customer_id`` as a column.

    Customers are in order within parts of the log, not across them. It appears in one rename, complete or not
    at all.

    Parameters
    ----------
    log, as_of, features : as for `crm_ml.build_features`.
    path : a file whose name ends in ``.parquet``, or a new folder, which gets a file per thread of the log,
        written side by side.
    """
    sweep = Sweep.of(log, [moment(as_of)], features=features)
    tables = (feature_table(part) for part in sweep.parts(log))
    if not write_parquet(tables, path, files=log.host.threads):
        raise nobody_bought(log, as_of)
    return Path(path)


def write_panel(
    log: CustomerLog,
    path: str | Path,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None = None,
    features: Features = DEFAULT_FEATURES,
) -> Path:
    """Write the frame of `crm_ml.build_panel` to Parquet, with ``customer_id`` and ``cutoff`` as columns.

    Rows are in order of cutoff and customer within parts of the log, not across them. It appears in one rename,
    complete or not at all.

    Parameters
    ----------
    log, cutoffs, horizon_days, lookback_days, features : as for `crm_ml.build_panel`.
    path : a file whose name ends in ``.parquet``, or a new folder, which gets a file per thread of the log,
        written side by side.
    """
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    tables = (panel_table(sweep, part) for part in sweep.parts(log))
    if not write_parquet(tables, path, files=log.host.threads):
        raise nobody_eligible(sweep)
    return Path(path)


def feature_table(part: Part) -> pa.Table:
    """Return features with ``customer_id`` as a column."""
    return pa.table({"customer_id": pa.array(part.customers, pa.string())} | part.columns)


def panel_table(sweep: Sweep, part: Part) -> pa.Table:
    """Return features and labels with ``customer_id`` and ``cutoff`` as columns."""
    cutoffs = sweep.cutoffs[part.positions]
    columns = part.columns | {"label_end": pa.array(label_ends(cutoffs, part.columns["horizon_days"]), _UTC)}
    keys = {"customer_id": pa.array(part.customers, pa.string()), "cutoff": pa.array(cutoffs, _UTC)}
    return pa.table(keys | {name: columns[name] for name in (*sweep.features.columns, *LABEL_COLUMNS)})


def write_parquet(tables: Iterable[pa.Table], path: str | Path, *, files: int = 1) -> int:
    """Write tables of one schema to Parquet in one rename, complete or not at all; return the number of rows.

    Where there is not a single row, nothing appears.

    Parameters
    ----------
    path : a file whose name ends in ``.parquet``; otherwise a folder, which must be new.
    files : how many files a folder gets, written side by side.

    Raises
    ------
    SchemaError
        The folder exists.
    """
    target = Path(path)
    is_file = target.suffix == ".parquet"
    if target.exists() and not is_file:
        raise SchemaError(f"{str(target)!r} must be a new folder; it exists.\nName another one, or remove it first.")
    staged = target.with_name(f".{target.name}.partial")
    _remove(staged)
    (target.parent if is_file else staged).mkdir(parents=True, exist_ok=True)
    paths = [staged] if is_file else [staged / f"part-{number}.parquet" for number in range(files)]
    try:
        rows = _write(tables, paths)
        if rows:
            staged.replace(target)
    finally:
        _remove(staged)
    return rows


def _write(tables: Iterable[pa.Table], paths: Sequence[Path]) -> int:
    """Write tables in turn to several files, each by a thread of its own."""
    rows = 0
    with ExitStack() as opened, ExitStack() as running:  # files are closed once nobody writes to them
        writers: list[pq.ParquetWriter] = []
        threads = [running.enter_context(ThreadPoolExecutor(1)) for _ in paths]
        under_way: deque[Future[None]] = deque()
        for number, table in enumerate(table for table in tables if len(table)):
            if number < len(paths):
                writers.append(opened.enter_context(_writer(paths[number], table)))
            if len(under_way) == len(paths):
                under_way.popleft().result()
            place = number % len(paths)
            under_way.append(threads[place].submit(writers[place].write_table, table))
            rows += len(table)
        for written in under_way:
            written.result()
    return rows


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _writer(path: Path, first: pa.Table) -> pq.ParquetWriter:
    """Open a file for tables like the first: whole numbers and text with dictionaries, other numbers as they are.

    Compressing features, or dictionaries of other numbers, would double the time to save little.
    """
    others = [name for name, column in zip(first.column_names, first.columns, strict=True) if _repeats(column)]
    return pq.ParquetWriter(path, first.schema, use_dictionary=others, compression="none")


def _repeats(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(column.type):
        return True
    numbers = np.asarray(column)
    return bool(((numbers == np.floor(numbers)) & (np.abs(numbers) < 1000) | np.isnan(numbers)).all())
