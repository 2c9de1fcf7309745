"""One way to make the features, in a process of its own: what `features.py` starts, times and compares.

python tests/benchmarks/feature_ways.py '{"task": "run", "way": "pandas", "folder": ..., "out": ..., "cutoffs": [...]}'

prints seconds and peak memory as JSON. What a way imports, it imports before the clock starts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HORIZON_DAYS = 30
BUCKETS, BATCH = 16, 1 << 20
SAMPLE_ROWS, MOMENTS = 200_000, ("cutoff", "label_end")

Job = dict[str, Any]
Run = Callable[[], None]


def by_pandas(job: Job) -> Run:
    """With the frames of `pandas_features` or, grouped anew at each cutoff, of `grouped_features`."""
    import pandas_features
    import pyarrow as pa
    from pyarrow import parquet

    from crm_ml.features.panels.writing import write_parquet

    module: Any = pandas_features
    if job["way"] == "grouped":
        import grouped_features

        module = grouped_features
    folder, cutoffs = Path(job["folder"]), job["cutoffs"]

    def frame(name: str) -> Any:
        table = parquet.read_table(folder / f"{name}.parquet", read_dictionary=["event_type"])
        return table.to_pandas(split_blocks=True, self_destruct=True)

    def run() -> None:
        shop = frame("transactions"), frame("interactions")
        if len(cutoffs) == 1:
            frames = iter([module.pandas_features(*shop, as_of=cutoffs[0])])
        else:
            frames = module.pandas_panels(*shop, cutoffs=cutoffs, horizon_days=HORIZON_DAYS)
        write_parquet(map(pa.Table.from_pandas, frames), job["out"])

    return run


def by_duckdb(job: Job) -> Run:
    """With the query of `duckdb_features` at each cutoff."""
    import numpy as np
    import pyarrow as pa
    from duckdb_features import connect, sql_features

    from crm_ml.features.panels.writing import write_parquet

    moments = np.array(job["cutoffs"], dtype="datetime64[us]").astype(np.int64).tolist()
    horizon = None if len(moments) == 1 else HORIZON_DAYS

    def run() -> None:
        connection = connect(Path(job["folder"]), threads=job["cores"])
        batches = sql_features(connection, moments, horizon_days=horizon)
        write_parquet((pa.Table.from_batches([batch]) for batch in batches), job["out"])

    return run


def by_crm_ml(job: Job) -> Run:
    """With crm_ml, from files or from frames that are already in memory."""
    import crm_ml
    import crm_ml.features as ours

    paths = [str(Path(job["folder"]) / f"{name}.parquet") for name in ("transactions", "interactions")]
    given = [loaded(path, job["frames"]) for path in paths]
    limits, cutoffs = {"memory_limit": job["memory_limit"], "threads": job["cores"]}, job["cutoffs"]

    def run() -> None:
        log = crm_ml.CustomerLog(*given, **limits)
        if len(cutoffs) == 1:
            ours.write_features(log, job["out"], as_of=cutoffs[0])
        else:
            ours.write_panel(log, job["out"], cutoffs=cutoffs, horizon_days=HORIZON_DAYS)

    return run


def loaded(path: str, frames: str) -> Any:
    """Return a file as a frame of a library, or its path for "files"."""
    if frames == "pandas":
        import pandas as pd

        return pd.read_parquet(path)
    if frames == "polars":
        import polars as pl

        return pl.read_parquet(path)
    if frames == "arrow":
        from pyarrow import parquet

        return parquet.read_table(path)
    return path


def by_partition(job: Job) -> Run:
    """No features: read the columns and scatter them into raw files by a hash of the customer."""
    import numpy as np
    from pyarrow import parquet

    def scatter(name: str, out: Path) -> None:
        text = ["event_type"] if name == "interactions" else None
        file = parquet.ParquetFile(Path(job["folder"]) / f"{name}.parquet", read_dictionary=text)
        files = [[(out / f"{name}.{b}.{c}").open("wb") for b in range(BUCKETS)] for c in file.schema_arrow.names]
        codes: dict[str, int] = {}
        for batch in file.iter_batches(BATCH, use_threads=False):
            columns = [column.to_numpy() for column in batch.columns[:2]]
            if name == "transactions":
                columns.append(batch.column(2).to_numpy())
            else:
                kinds = [codes.setdefault(kind, len(codes)) for kind in batch.column(2).dictionary.to_pylist()]
                columns.append(np.array(kinds, dtype=np.int8)[batch.column(2).indices.to_numpy()])
            hashed = columns[0].view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(60)
            bucket = hashed.astype(np.uint8)
            order = np.argsort(bucket, kind="stable")
            edges = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=BUCKETS))])
            for column, targets in zip(columns, files, strict=True):
                sorted_column = column[order]
                for b, target in enumerate(targets):
                    sorted_column[edges[b] : edges[b + 1]].tofile(target)
        for target in (target for targets in files for target in targets):
            target.close()

    def run() -> None:
        out = Path(job["out"])
        out.mkdir()
        for name in ("transactions", "interactions"):
            scatter(name, out)

    return run


WAYS = {
    "pandas": by_pandas,
    "grouped": by_pandas,
    "duckdb": by_duckdb,
    "crm_ml": by_crm_ml,
    "partition": by_partition,
}


def measured(job: Job) -> Job:
    """Return seconds, the processor's seconds and the peak of this process's memory in GB."""
    import pyarrow as pa

    pa.set_cpu_count(job["cores"])
    run = WAYS[job["way"]](job)
    start, start_cpu = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {"seconds": seconds, "cpu": cpu, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2}


def made(job: Job) -> Job:
    """Make a shop and read its files once, so that the first way has no colder disk than the last."""
    from feature_shops import make_shop

    folder = Path(job["folder"])
    make_shop(folder, **job["shop"])
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    return {}


def compared(job: Job) -> Job:
    """Compare two outputs on the same sample of customers: all of them when there are few rows.

    Returns the largest |a − b| / max(1, |b|), NaN where rows or columns differ; whether the same values are missing;
    and how the first was written.
    """
    import duckdb
    import numpy as np

    connection = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    connection.execute("SET TimeZone = 'UTC'")
    files = [parts(Path(job[side])) for side in ("out", "reference")]
    rows = [connection.sql(f"SELECT count(*) FROM read_parquet({found})").fetchall()[0][0] for found in files]
    ours, theirs = (sampled(connection, found, buckets=1 + rows[0] // SAMPLE_ROWS) for found in files)
    keys = [name for name in ("customer_id", *MOMENTS) if name in theirs]
    same = rows[0] == rows[1] and [*ours] == [*theirs] and all(np.array_equal(ours[k], theirs[k]) for k in keys)
    answer = {"deviation": float("nan"), "missing": False, "written": written(files[0])}
    if same:
        a, b = (np.column_stack([*frame.values()]) for frame in (ours, theirs))
        answer["deviation"] = float(np.nanmax(np.abs(a - b) / np.maximum(1, np.abs(b))))
        answer["missing"] = bool((np.isnan(a) == np.isnan(b)).all())
    return answer


def sampled(connection: Any, files: list[str], *, buckets: int) -> dict[str, Any]:
    """Return an output's columns as floats for one of so many customers, in order of customer and cutoff."""
    columns = connection.sql(f"SELECT * FROM read_parquet({files})").columns
    wanted = ["customer_id::BIGINT::DOUBLE AS customer_id"]
    wanted += [f"epoch_us({name})::DOUBLE AS {name}" for name in MOMENTS if name in columns]
    wanted += [f"{name}::DOUBLE AS {name}" for name in sorted({*columns} - {"customer_id", *MOMENTS})]
    table = connection.sql(
        f"SELECT {', '.join(wanted)} FROM read_parquet({files}) "
        f"WHERE hash(customer_id::BIGINT) % {buckets} = 0 ORDER BY ALL"
    ).to_arrow_table()
    return {name: table[name].to_numpy() for name in table.column_names}


def parts(path: Path) -> list[str]:
    """Return the Parquet files of an output."""
    return [str(path)] if path.is_file() else sorted(map(str, path.rglob("*.parquet")))


def written(files: list[str]) -> str:
    """Return compression and encoding of an output's first column of features."""
    from pyarrow import parquet

    group = parquet.ParquetFile(files[0]).metadata.row_group(0)
    columns = (group.column(number) for number in range(group.num_columns))
    column = next(column for column in columns if column.path_in_schema == "recency_days")
    return f"{column.compression.lower()}, {'dictionary' if column.has_dictionary_page else 'plain'}"


def main() -> None:
    """Do the job given as JSON and print what came of it."""
    job = {"cores": 1, "memory_limit": None, "frames": "files"} | json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-job["cores"] :])
    tasks = {"make": made, "run": measured, "compare": compared}
    print(json.dumps(tasks[job["task"]](job)))  # noqa: T201


if __name__ == "__main__":
    main()
