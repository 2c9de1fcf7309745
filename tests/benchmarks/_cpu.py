"""Fits of crm_ml and lifetimes side by side in one run: seconds, their ratio, and memory beyond the data.

python tests/benchmarks/fits.py cdnow 100000 1000000        # BG/NBD and Gamma-Gamma
python tests/benchmarks/fits.py cdnow 100000 --pareto       # with Pareto/NBD

Run it on a quiet machine, with one thread (OMP_NUM_THREADS=1). Ours is the best of several fits after a first one,
which loads compiled code; lifetimes is the best of three up to 10,000 customers and a single fit beyond. Memory is
the highest resident size of a fit less the one before it (Linux only).
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm

from crm_ml.clv import BetaGeoModel, GammaGammaModel, ParetoNBDModel

Fit = Callable[[pd.DataFrame], object]
LINE = "{:<12}{:>11}{:>11}{:>14}{:>8}{:>10}{:>12}"


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


def lifetimes_fits() -> dict[str, Fit]:
    """Return the fits of lifetimes, standard errors included where it has them."""
    import lifetimes

    def purchases(fitter: type) -> Fit:
        return lambda rfm: fitter().fit(rfm["frequency"], rfm["recency"], rfm["T"])

    def spend(rfm: pd.DataFrame) -> object:
        used = rfm[rfm["monetary_value"] > 0]
        return lifetimes.GammaGammaFitter().fit(used["frequency"], used["monetary_value"])

    return {
        "BG/NBD": purchases(lifetimes.BetaGeoFitter),
        "Gamma-Gamma": spend,
        "Pareto/NBD": purchases(lifetimes.ParetoNBDFitter),
    }


def resident(field: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at most since the last reset."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measured(fit: Fit, rfm: pd.DataFrame, repeats: int) -> tuple[float, float]:
    """Return the shortest time and the memory of a fit."""
    seconds = []
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what earlier fits freed is no longer ours
        Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    for _ in range(repeats):
        start = time.thread_time()
        fit(rfm)
        seconds.append(time.thread_time() - start)
    return min(seconds), resident("VmHWM") - before


def main() -> None:
    """Print one line per model and size."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["cdnow", "100000"], help="customers, or cdnow")
    parser.add_argument("--pareto", action="store_true", help="fit Pareto/NBD too; lifetimes takes long")
    asked = parser.parse_args()
    ours: dict[str, Fit] = {
        "BG/NBD": lambda rfm: BetaGeoModel(time_unit="W").fit(rfm),
        "Gamma-Gamma": lambda rfm: GammaGammaModel().fit(rfm),
        "Pareto/NBD": lambda rfm: ParetoNBDModel(time_unit="W").fit(rfm),
    }
    theirs = lifetimes_fits()
    print(LINE.format("model", "customers", "ours, s", "lifetimes, s", "ratio", "ours, MB", "theirs, MB"))  # noqa: T201
    for size in asked.sizes:
        rfm = cdnow_rfm() if size == "cdnow" else simulated(int(float(size)))
        for model in list(ours)[: 3 if asked.pareto else 2]:
            ours[model](rfm)
            seconds, memory = measured(ours[model], rfm, 50 if len(rfm) < 10_000 else 5)
            other, other_memory = measured(theirs[model], rfm, 3 if len(rfm) < 10_000 else 1)
            print(  # noqa: T201
                LINE.format(
                    model, f"{len(rfm):,}", f"{seconds:.4f}", f"{other:.3f}", f"{other / seconds:.0f}",
                    f"{memory:.0f}", f"{other_memory:.0f}",
                ),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
