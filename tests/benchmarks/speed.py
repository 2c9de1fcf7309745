"""crm_ml beside lifetimes and, where it is installed, pymc-marketing, in one run on one core: seconds and their ratio.

export OMP_NUM_THREADS=1 PYTHONPATH=tests
python tests/benchmarks/speed.py cdnow 100000 1000000    # customers, or cdnow
python tests/benchmarks/speed.py 10000000 --tasks fit    # of the tasks, those that begin so

Run it on a quiet machine. Every shop is simulated at a resolution of days but CDNOW. Ours is the best of several runs
after a first one, which loads compiled code; theirs is the best of three up to 10,000 customers and a single run
beyond. pymc-marketing fits by MAP. The bootstrap stands beside one fit of theirs. Memory is the highest resident size
of the run less the one before it (Linux only). A slow peer is left out of the larger shops: see `LARGEST`.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm

from crm_ml.clv import BetaGeoModel, GammaGammaModel, ParetoNBDModel, weighted_bootstrap
from crm_ml.clv.interop import import_lifetimes

LARGEST = {"lifetimes fit Pareto/NBD": 100_000, "pymc fit BG/NBD": 1_000_000}
"""Customers beyond which a peer's run takes hours, or more memory than there is."""

HEAD = (
    "task",
    "customers",
    "ours, s",
    "lifetimes, s",
    "ratio",
    "pymc-marketing, s",
    "ratio",
    "ours, MB",
    "lifetimes, MB",
)
WEEKS, MONTHS, MONTHLY_RATE = 52, 12, 0.01
WEEKLY_RATE = 12 / 52.18 * np.log1p(MONTHLY_RATE)

Task = Callable[[], object]


def simulated(n: int) -> pd.DataFrame:
    """Histories of a shop like CDNOW in weeks, at a resolution of days, with a mean spend."""
    rng = np.random.default_rng(n)
    T = rng.integers(7, 729, n).astype(float)
    pace, leave = rng.gamma(CDNOW["r"], 1 / CDNOW["alpha"], n) / 7, rng.beta(CDNOW["a"], CDNOW["b"], n)
    x, t_x = np.zeros((2, n))
    rows, clock = np.flatnonzero(pace > 0), 0.0
    while len(rows):
        clock = clock + rng.exponential(size=len(rows)) / pace[rows]
        within = clock <= T[rows]
        rows, clock = rows[within], clock[within]
        another = np.floor(clock) > t_x[rows]  # two purchases of one day are one
        x[rows] += another
        t_x[rows] = np.maximum(t_x[rows], np.floor(clock))
        stays = ~another | (rng.random(len(rows)) > leave[rows])
        rows, clock = rows[stays], clock[stays]
    nu = rng.gamma(CDNOW_SPEND["q"], 1 / CDNOW_SPEND["gamma"], n)
    many = np.maximum(x, 1.0)
    spend = np.where(x > 0, rng.gamma(CDNOW_SPEND["p"] * many) / nu / many, 0.0)
    return pd.DataFrame({"frequency": x, "recency": t_x / 7, "T": T / 7, "monetary_value": spend})


class Ours:
    """What crm_ml is asked to do; fits include standard errors and diagnostics."""

    def __init__(self, rfm: pd.DataFrame) -> None:
        self.rfm = rfm

    @cached_property
    def process(self) -> BetaGeoModel:
        return BetaGeoModel(time_unit="W").fit(self.rfm)

    @cached_property
    def spend(self) -> GammaGammaModel:
        return GammaGammaModel().fit(self.rfm)

    def tasks(self) -> dict[str, Task]:
        return {
            "fit BG/NBD": lambda: BetaGeoModel(time_unit="W").fit(self.rfm),
            "fit Gamma-Gamma": lambda: GammaGammaModel().fit(self.rfm),
            "fit Pareto/NBD": lambda: ParetoNBDModel(time_unit="W").fit(self.rfm),
            "expected purchases": lambda: self.process.expected_purchases(self.rfm, WEEKS),
            "discounted value": self.value,
            "bootstrap, 200 fits": lambda: weighted_bootstrap(
                self.process, self.rfm, rng=np.random.default_rng(0), n_replicates=200
            ),
        }

    def value(self) -> pd.Series:
        purchases = self.process.expected_purchases(self.rfm, WEEKS, discount_rate=WEEKLY_RATE)
        return self.spend.expected_spend(self.rfm) * purchases


class Lifetimes:
    """The same asked of lifetimes."""

    def __init__(self, rfm: pd.DataFrame) -> None:
        self.peer, self.spent = import_lifetimes(), rfm[rfm["monetary_value"] > 0]
        self.columns = [rfm[column] for column in ("frequency", "recency", "T")]
        self.monetary_value = rfm["monetary_value"]

    @cached_property
    def process(self) -> Any:
        return self.peer.BetaGeoFitter().fit(*self.columns)

    @cached_property
    def spend(self) -> Any:
        return self.peer.GammaGammaFitter().fit(self.spent["frequency"], self.spent["monetary_value"])

    def tasks(self) -> dict[str, Task]:
        process = self.peer.BetaGeoFitter
        return {
            "fit BG/NBD": lambda: process().fit(*self.columns),
            "fit Gamma-Gamma": lambda: self.peer.GammaGammaFitter().fit(
                self.spent["frequency"], self.spent["monetary_value"]
            ),
            "fit Pareto/NBD": lambda: self.peer.ParetoNBDFitter().fit(*self.columns),
            "expected purchases": lambda: self.process.conditional_expected_number_of_purchases_up_to_time(
                WEEKS, *self.columns
            ),
            "discounted value": lambda: self.spend.customer_lifetime_value(
                self.process, *self.columns, self.monetary_value, time=MONTHS, discount_rate=MONTHLY_RATE, freq="W"
            ),
            "bootstrap, 200 fits": lambda: process().fit(*self.columns),
        }


class Pymc:
    """The same asked of pymc-marketing, by maximum a posteriori."""

    def __init__(self, rfm: pd.DataFrame) -> None:
        from pymc_marketing import clv

        logging.getLogger("pymc").setLevel(logging.ERROR)
        self.clv, self.rfm = clv, rfm.assign(customer_id=np.arange(len(rfm)))
        self.spent = self.rfm[self.rfm["monetary_value"] > 0]

    @cached_property
    def process(self) -> Any:
        return self.fit_process()

    @cached_property
    def spend(self) -> Any:
        return self.fit_spend()

    def fit_process(self) -> Any:
        model = self.clv.BetaGeoModel(data=self.rfm.drop(columns="monetary_value"))
        model.fit(method="map", progressbar=False)
        return model

    def fit_spend(self) -> Any:
        model = self.clv.GammaGammaModel(data=self.spent[["customer_id", "monetary_value", "frequency"]])
        model.fit(method="map", progressbar=False)
        return model

    def tasks(self) -> dict[str, Task]:
        return {
            "fit BG/NBD": self.fit_process,
            "fit Gamma-Gamma": self.fit_spend,
            "expected purchases": lambda: self.process.expected_purchases(self.rfm, future_t=WEEKS),
            "discounted value": lambda: self.spend.expected_customer_lifetime_value(
                self.process, self.rfm, future_t=MONTHS, discount_rate=MONTHLY_RATE, time_unit="W"
            ),
        }


def resident(field: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at most since the last reset."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measured(task: Task, repeats: int) -> tuple[float, float]:
    """Return the shortest time and the memory of a task."""
    seconds = []
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what earlier tasks freed is no longer ours
        Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return min(seconds), resident("VmHWM") - before


def lines(rfm: pd.DataFrame, wanted: list[str]) -> Iterator[list[str]]:
    """One row of the table per task."""
    n, ours, lifetimes = len(rfm), Ours(rfm).tasks(), Lifetimes(rfm).tasks()
    pymc = Pymc(rfm).tasks() if importlib.util.find_spec("pymc_marketing") and n <= LARGEST["pymc fit BG/NBD"] else {}
    for task in [task for task in ours if any(task.startswith(begin) for begin in wanted)]:
        ours[task]()
        heavy = n >= 1_000_000 and task.startswith("bootstrap")
        seconds, memory = measured(ours[task], 1 if heavy else 5 if n > 100_000 else 50 if n > 10_000 else 200)
        row, theirs_memory = [task, f"{n:,}", f"{seconds:.4f}"], float("nan")
        for name, peer in (("lifetimes", lifetimes), ("pymc", pymc)):
            if task not in peer or n > LARGEST.get(f"{name} {task}", n):
                row += ["–", "–"]
                continue
            if not task.startswith(("fit", "bootstrap")):
                peer[task]()  # its own fit is not part of the task
            other, used = measured(peer[task], 3 if n <= 10_000 else 1)
            row += [f"{other:.3f}", f"{other / seconds:.0f}"]
            theirs_memory = used if name == "lifetimes" else theirs_memory
        yield [*row, f"{memory:.0f}", f"{theirs_memory:.0f}"]


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["cdnow", "100000"], help="customers, or cdnow")
    parser.add_argument("--tasks", nargs="+", default=[""], help="the tasks whose names begin so")
    asked = parser.parse_args()
    beside = ["lifetimes", *(["pymc-marketing"] if importlib.util.find_spec("pymc_marketing") else [])]
    print("Beside", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in beside), "\n")  # noqa: T201
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")  # noqa: T201
    for size in asked.sizes:
        rfm = cdnow_rfm() if size == "cdnow" else simulated(int(float(size)))
        for row in lines(rfm, asked.tasks):
            print(f"| {' | '.join(row)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
