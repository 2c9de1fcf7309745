"""A night's features from yesterday's state and today's events, beside those from the whole log.

python tests/benchmarks/feature_nights.py FOLDER

FOLDER holds a shop of `feature_shops` (`features.py table --folder FOLDER` makes one). Everything runs on one core, in
one process, within 2 GB; the state is opened from disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pandas as pd
from features import head, row

import crm_ml
from crm_ml.features import FeatureState, write_features

YESTERDAY, TODAY = pd.Timestamp("2023-12-01"), pd.Timestamp("2023-12-02")


def main() -> None:
    """Print the table."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    paths = [str(Path(sys.argv[1]) / f"{name}.parquet") for name in ("transactions", "interactions")]
    day = f"timestamp >= '{YESTERDAY}' AND timestamp < '{TODAY}'"
    today = [duckdb.sql(f"SELECT * FROM read_parquet('{path}') WHERE {day}").to_arrow_table() for path in paths]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        start = time.perf_counter()
        log = crm_ml.CustomerLog(*paths, threads=1, memory_limit="2GB")
        whole = write_features(log, work / "whole.parquet", as_of=TODAY)
        rebuilt = time.perf_counter() - start
        start = time.perf_counter()
        FeatureState.start(log, work / "yesterday", as_of=YESTERDAY)
        started = time.perf_counter() - start
        start = time.perf_counter()
        state = FeatureState.open(work / "yesterday", threads=1, memory_limit="2GB")
        state = state.advance(work / "today", *today, as_of=TODAY)
        advanced = time.perf_counter() - start
        found = state.write_features(work / "found.parquet")
        night = time.perf_counter() - start
        frames = [pd.read_parquet(path).set_index("customer_id").sort_index() for path in (whole, found)]
        same = frames[0].equals(frames[1][frames[0].columns])
        size = sum(path.stat().st_size for path in state.folder.iterdir())
    head("from", "s", "of a rebuild")
    row("the whole log", rebuilt, 1.0)
    row("a state and a day's events", night, night / rebuilt)
    row("of which the new state", advanced, advanced / rebuilt)
    row("once: the first state, from a log that is sorted", started, started / rebuilt)
    row("GB of a state", size / 1e9, "same bits" if same else "OTHER FEATURES")


if __name__ == "__main__":
    main()
