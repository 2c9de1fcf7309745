"""Scoring jobs in processes of their own, to be killed: forked from one that has everything loaded."""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import crm_ml
from crm_ml.registry import save_bundle
from crm_ml.scoring import run_scoring_job

AS_OF = "2025-08-20"
MONEY = {"margin": 0.3, "annual_discount_rate": 0.1}


def make_shop(folder: Path, *, customers: int = 1500) -> None:
    """Write a small shop's files and both models."""
    shop = crm_ml.simulate(customers, days=600, seed=4)
    for name, frame in (("orders", shop.transactions), ("events", shop.interactions)):
        half = len(frame) // 2
        for number, part in enumerate((frame.iloc[:half], frame.iloc[half:])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            part.to_parquet(folder / name / f"{number}.parquet")
    log = crm_ml.CustomerLog(shop.transactions, shop.interactions)
    churn = crm_ml.ChurnModel(horizon_days=30).fit(log, as_of="2025-08-01")
    clv = crm_ml.CLVModel(process="BetaGeo", level=None).fit(log, as_of="2025-08-01")
    save_bundle(churn, folder / "churn", metadata={"as_of": "2025-08-01"})
    save_bundle(clv, folder / "clv", metadata={"as_of": "2025-08-01"})


def run(folder: Path, out: Path, **settings: Any) -> Any:
    """Run the job on a small shop, by default for churn alone, leaving its events in ``<out>.events``."""
    events = Path(f"{out}.events")

    def tell(event: Mapping[str, Any]) -> None:
        with events.open("a", encoding="utf-8") as told:
            told.write(json.dumps(event) + "\n")

    given = {"models": [folder / "churn"], "as_of": AS_OF, "memory_limit": "8MB", **settings}
    return run_scoring_job(out, f"{folder}/orders/*.parquet", f"{folder}/events/*.parquet", on_event=tell, **given)


def _quietly(folder: Path, out: Path, settings: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    run(folder, out, **settings)


def spawn(folder: Path, out: Path, **settings: Any) -> Any:
    """Start the job in a process of its own."""
    process = _SERVER.Process(target=_quietly, args=(folder, out, settings))
    process.start()
    return process


def killed(folder: Path, out: Path, *, after: float) -> str:
    """Start a job, kill it after so many seconds, and return the last event that it told of."""
    process = spawn(folder, out)
    process.join(after)
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return last_event(out) if process.exitcode else "done before"


def last_event(out: Path) -> str:
    """Return what the last event in the file of events was."""
    lines = Path(f"{out}.events").read_text(encoding="utf-8").splitlines() if Path(f"{out}.events").exists() else []
    return json.loads(lines[-1])["event"] if lines else "nothing yet"


def undisturbed(folder: Path, out: Path) -> tuple[float, dict[str, Any]]:
    """Run a job to its end; return its seconds and its manifest."""
    begun = time.monotonic()
    process = spawn(folder, out)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - begun, manifest(out)


def manifest(out: Path) -> dict[str, Any]:
    """Return the manifest of the only run."""
    (found,) = out.glob("*/manifest.json")
    return json.loads(found.read_text())


def moments(count: int, seconds: float, *, seed: int) -> list[float]:
    """Return so many random moments in a job's life."""
    return np.random.default_rng(seed).uniform(0, seconds, count).tolist()


_SERVER = mp.get_context("forkserver")
_SERVER.set_forkserver_preload(["crm_ml.scoring", "xgboost", "numba"])
