"""The nightly job's time and memory as the shop grows: churn and value of every customer.

python tests/benchmarks/nightly.py [FOLDER] [CUSTOMERS ...]

FOLDER keeps the shops of `feature_shops`, eight purchases and eight interactions a customer over two years. The models
are trained on some fifty thousand of the smallest shop's customers. The job is the command itself, in a process of its
own, with a stated limit on its memory; the peak is that of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pandas as pd
from feature_shops import make_shop
from markdown import show

import crm_ml
from crm_ml.registry import save_bundle
from crm_ml.scoring import published_runs

SIZES = (1_000_000, 10_000_000)
EVENTS = 8
AS_OF = "2023-11-01"
LIMIT = "1GB"
TRAINED_ON = 50_000


def main() -> None:
    """Print the table."""
    given = sys.argv[1:]
    sizes = [int(text) for text in given[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given[0] if given else temporary)
        for size in sizes:
            events = EVENTS * size
            make_shop(folder / str(size), customers=size, transactions=events, interactions=events, days=730)
        train(folder / str(sizes[0]), folder / "models", share=TRAINED_ON / sizes[0])
        rows = [measured(folder, size) for size in sizes]
    show(f"crm-ml score --memory-limit {LIMIT}", pd.DataFrame(rows).set_index("customers"), digits=2)


def measured(folder: Path, size: int) -> dict[str, object]:
    """Return a row of the table."""
    seconds, peak, run = score(folder / str(size), folder / "models", folder / "out")
    return {
        "customers": f"{run.customers:,}",
        "events": f"{2 * EVENTS * size:,}",
        "s": seconds,
        "customers/s": f"{run.customers / seconds:,.0f}",
        "peak GiB": peak,
        "scores, GB": sum(file["bytes"] for file in run.manifest["files"].values()) / 1e9,
    }


def train(shop: Path, models: Path, *, share: float) -> None:
    """Fit both models on some of a shop's customers."""
    some = f"hash(customer_id) % 1000000 < {round(1e6 * share)}"
    tables = [duckdb.sql(f"SELECT * FROM '{shop}/{name}.parquet' WHERE {some}").to_arrow_table() for name in TABLES]
    log = crm_ml.CustomerLog(*tables)
    for model in (crm_ml.ChurnModel(horizon_days=30), crm_ml.CLVModel()):
        save_bundle(model.fit(log, as_of="2023-09-01"), models / model.kind, metadata={"as_of": "2023-09-01"})


TABLES = ("transactions", "interactions")


def score(shop: Path, models: Path, out: Path) -> tuple[float, float, crm_ml.scoring.PublishedRun]:
    """Run the command; return its seconds, its peak memory in GiB, and what it published."""
    shutil.rmtree(out, ignore_errors=True)
    files = [text for name in TABLES for text in (f"--{name}", str(shop / f"{name}.parquet"))]
    given = [text for kind in ("churn", "clv") for text in ("--model", str(models / kind))]
    money = ["--margin", "0.3", "--annual-discount-rate", "0.1"]
    command = Path(sys.executable).with_name("crm-ml")
    begun = time.perf_counter()
    process = subprocess.Popen(
        [command, "score", *files, *given, *money, "--as-of", AS_OF, "--out", str(out), "--memory-limit", LIMIT],
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"The command must succeed; it ended with {os.waitstatus_to_exitcode(status)}.")
    (run,) = published_runs(out)
    return time.perf_counter() - begun, used.ru_maxrss / 2**20, run


if __name__ == "__main__":
    main()
