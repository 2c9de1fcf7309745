"""Where the time of one core goes from Parquet to twelve cutoffs of features, beside reading and partitioning alone.

python tests/benchmarks/feature_profile.py FOLDER

FOLDER holds a shop of `feature_shops` (`features.py table --folder FOLDER` makes one). Each step is timed without the
steps it calls; what is left over is the glue between them and the first loading of compiled code.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from feature_ways import by_partition
from features import HORIZON_DAYS, head, monthly, row

import crm_ml
from crm_ml.events import arrangement
from crm_ml.events.partition import arrange, scatter
from crm_ml.events.partition.shelf import Shelf
from crm_ml.events.partition.store import Store
from crm_ml.events.reading import scan
from crm_ml.features import feature_set, write_panel
from crm_ml.features.panels import sweep


class Reader:
    """Batches of rows, so that fetching one is a call that can be timed."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __next__(self) -> Any:
        return next(self.batches)


STEPS: dict[str, list[tuple[Any, str]]] = {
    "reading and checking (DuckDB)": [(Reader, "__next__")],
    "hashing customers": [(scatter, "hash_integers"), (scatter, "hash_texts")],
    "scattering into cells": [(scatter.Scatter, "add")],
    "keeping scattered rows": [(Shelf, "put")],
    "gathering buckets": [(scatter.Scatter, "rows")],
    "telling customers apart": [(arrange, "customer_codes")],
    "sorting": [(arrange, "sorted_rows"), (arrangement, "arranged")],
    "counting what is there": [(arrangement, "contents")],
    "keeping and fetching buckets": [(Store, "put"), (Store, "get")],
    "population's gaps": [(sweep, "population_gap_days")],
    "features": [(feature_set, "build")],
    "labels": [(sweep, "labels_after")],
    "picking rows": [(sweep.Sweep, "_part")],
    "writing Parquet": [(pq.ParquetWriter, "write_table")],
}


def timed(
    step: str, function: Callable[..., Any], spent: dict[str, float], stacks: threading.local
) -> Callable[..., Any]:
    """Return the function with its thread's time, less that of timed functions it calls, added to a step."""

    def wrapped(*args: Any, **how: Any) -> Any:
        running = stacks.__dict__.setdefault("running", [])
        running.append(0.0)
        start = time.thread_time()
        try:
            return function(*args, **how)
        finally:
            whole, inner = time.thread_time() - start, running.pop()
            spent[step] = spent.get(step, 0.0) + whole - inner
            if running:
                running[-1] += whole

    return wrapped


def main() -> None:
    """Print the table."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    folder = Path(sys.argv[1])
    spent: dict[str, float] = {}
    stacks, open_reader = threading.local(), scan._reader
    scan._reader = lambda *given: Reader(open_reader(*given))  # type: ignore[assignment,return-value]
    for step, places in STEPS.items():
        for holder, name in places:
            setattr(holder, name, timed(step, getattr(holder, name), spent, stacks))
    with tempfile.TemporaryDirectory() as temporary:
        start = time.process_time()
        log = crm_ml.CustomerLog(
            folder / "transactions.parquet", folder / "interactions.parquet", threads=1, memory_limit="2GB"
        )
        loaded = time.process_time() - start
        write_panel(log, Path(temporary) / "panel.parquet", cutoffs=monthly(12, 730), horizon_days=HORIZON_DAYS)
        whole = time.process_time() - start
        start = time.process_time()
        by_partition({"folder": str(folder), "out": str(Path(temporary) / "floor")})()
        floor = time.process_time() - start
    head("step", "s", "%")
    for step in STEPS:
        row(step, spent.get(step, 0.0), 100 * spent.get(step, 0.0) / whole)
    row("the rest", whole - sum(spent.values()), 100 * (whole - sum(spent.values())) / whole)
    row("all", whole, 100.0)
    row("of which up to the sorted log", loaded, 100 * loaded / whole)
    row("floor: reading and partitioning the same columns", floor, 100 * floor / whole)


if __name__ == "__main__":
    main()
