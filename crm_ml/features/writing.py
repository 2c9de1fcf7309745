"""Features and panels streamed to Parquet, for what does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.events.clock import DAY, Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.panel import nobody_bought, nobody_eligible, panel_sweep
from crm_ml.features.sweep import Part, Sweep

__all__ = ["write_features", "write_panel", "write_parquet"]

_UTC = pa.timestamp("us", "UTC")


def write_features(log: CustomerLog, path: str | Path, *, as_of: Moment, features: Features = DEFAULT_FEATURES) -> Path:
    """Write the frame of `crm_ml.build_features` to a Parquet file, with ``customer_id`` as a column.

    The file appears in one rename, complete or not at all. Customers are in order within parts of the log,
    not across them.
    """
    sweep = Sweep.of(log, [moment(as_of)], features=features)
    tables = (pa.table({"customer_id": part.customers} | part.columns) for part in sweep.parts(log))
    if not write_parquet(tables, path):
        raise nobody_bought(log, as_of)
    return Path(path)


def write_panel(
    log: CustomerLog,
    path: str | Path,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: float,
    lookback_days: float | None = None,
    features: Features = DEFAULT_FEATURES,
) -> Path:
    """Write the frame of `crm_ml.build_panel` to a Parquet file, with ``customer_id`` and ``cutoff`` as columns.

    The file appears in one rename, complete or not at all. Rows are in order of cutoff and customer within
    parts of the log, not across them. The other parameters are those of `crm_ml.build_panel`.
    """
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    if not write_parquet((_panel_table(sweep, part) for part in sweep.parts(log)), path):
        raise nobody_eligible(sweep)
    return Path(path)


def _panel_table(sweep: Sweep, part: Part) -> pa.Table:
    cutoffs = sweep.cutoffs[part.positions]
    labels = {
        "horizon_days": np.full(len(cutoffs), sweep.horizon / DAY),
        "label_end": pa.array(cutoffs + sweep.horizon, _UTC),
    }
    columns = part.columns | labels
    keys = {"customer_id": part.customers, "cutoff": pa.array(cutoffs, _UTC)}
    return pa.table(keys | {name: columns[name] for name in (*sweep.features.columns, *LABEL_COLUMNS)})


def write_parquet(tables: Iterable[pa.Table], path: str | Path) -> int:
    """Write tables of one schema to a Parquet file that appears in one rename; return the number of rows.

    Where there is not a single row, no file appears.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.partial")
    rows = 0
    try:
        with ExitStack() as opened:
            writer: pq.ParquetWriter | None = None
            for table in tables:
                writer = writer or opened.enter_context(_writer(staged, table.schema))
                writer.write_table(table)
                rows += len(table)
        if rows:
            staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file in which numbers are written without dictionaries, which would double the time and save nothing."""
    others = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pq.ParquetWriter(path, schema, use_dictionary=others)
