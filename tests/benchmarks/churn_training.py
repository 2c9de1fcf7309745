"""How long training the churn model takes, beside plain XGBoost, and what it takes of memory.

python tests/benchmarks/churn_training.py table     # the sample and 100,000 customers, side by side
python tests/benchmarks/churn_training.py large     # 1,000,000 customers and twelve cutoffs within 8 GB

Run it on a quiet machine. The model is given the log: it builds the panel of its training cutoffs, trains and
calibrates. XGBoost, XGBClassifier with 300 trees of depth 4, is given the matrix of that panel, ready made. Both take
the threads they take by default, and turns; the quickest of some runs counts, after a first one that compiles.

The large shop is drawn to Parquet, 20 transactions and 60 interactions per customer in 730 days, and trained on in a
process of its own, which is ended once more than 8 GB of it are resident; peak is the most that ever was (VmHWM, so on
Linux only).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from feature_shops import make_shop

import crm_ml
from crm_ml.churn import ChurnModel
from crm_ml.evaluation import TrainingDesign

DAYS, HORIZON_DAYS, LOOKBACK_DAYS = 730, 30, 180
DESIGN = TrainingDesign(horizon_days=HORIZON_DAYS, lookback_days=LOOKBACK_DAYS)
LIMIT_GB = 8
LOG_MEMORY = "2GB"  # what is left of the limit is for the panel and the trees
WARM_UP, BETWEEN_LOOKS = 500, 0.05


def shop(folder: Path, *, customers: int) -> list[str]:
    """Draw a shop's files, or keep those that are there, and return their paths."""
    make_shop(folder, customers=customers, transactions=20 * customers, interactions=60 * customers, days=DAYS)
    return [str(folder / f"{name}.parquet") for name in ("transactions", "interactions")]


def churn_model() -> ChurnModel:
    return ChurnModel(horizon_days=HORIZON_DAYS, lookback_days=LOOKBACK_DAYS)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def side_by_side(log: crm_ml.CustomerLog, *, repeats: int) -> dict[str, float]:
    """Return rows and columns of the panel, and the seconds of each side."""
    from xgboost import XGBClassifier

    def panel() -> Any:
        return DESIGN.panel(log, as_of=log.end, features=churn_model().features)

    known = panel()
    matrix = known.drop(columns=list(crm_ml.features.LABEL_COLUMNS)).to_numpy()
    churned = known["churned"].to_numpy()
    sides: dict[str, Callable[[], object]] = {
        "fit": lambda: churn_model().fit(log, as_of=log.end),
        "panel": panel,
        "xgboost": lambda: XGBClassifier(n_estimators=300, max_depth=4, tree_method="hist").fit(matrix, churned),
    }
    turns = [{name: seconds(run) for name, run in sides.items()} for _ in range(repeats)]
    quickest = {name: min(turn[name] for turn in turns) for name in sides}
    return {"rows": len(matrix), "columns": matrix.shape[1]} | quickest


def table(asked: argparse.Namespace, work: Path) -> None:
    """Print both sides on the sample and on a shop."""
    sample = crm_ml.load_sample()
    churn_model().fit(sample, as_of=sample.end)
    logs = {
        "Complete Journey": lambda: sample,
        f"{asked.customers:,} customers": lambda: crm_ml.CustomerLog(*shop(work, customers=asked.customers)),
    }
    head("log", "rows", "features", "model, s", "of which panel", "XGBoost, s", "model ÷ XGBoost", "without panel")
    for name, opened in logs.items():
        found = side_by_side(opened(), repeats=asked.repeats)
        beyond = found["fit"] - found["panel"]
        row(
            name,
            f"{found['rows']:,}",
            f"{found['columns']}",
            *(f"{found[side]:.2f}" for side in ("fit", "panel", "xgboost")),
            *(f"{spent / found['xgboost']:.2f}" for spent in (found["fit"], beyond)),
        )


def large(asked: argparse.Namespace, work: Path) -> None:
    """Print seconds and peak memory of training on a large shop, or why it did not end."""
    small = shop(work / "small", customers=WARM_UP)
    paths = shop(asked.folder or work / "large", customers=asked.customers)
    child(small)
    head("customers", "rows", "cutoffs", "log, s", "model, s", "peak GB", "limit GB")
    done = child(paths)
    if "error" in done:
        row(f"{asked.customers:,}", done["error"], *"––––", f"{LIMIT_GB}")
        raise SystemExit(1)
    measured = (f"{done[name]:.3g}" for name in ("log", "fit", "gb"))
    row(f"{asked.customers:,}", f"{done['rows']:,}", f"{done['cutoffs']}", *measured, f"{LIMIT_GB}")


def child(paths: Sequence[str]) -> dict[str, Any]:
    """Return what training in a process of its own measured, or why it did not end as ``error``."""
    command = [sys.executable, __file__, "fit", *paths]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(command, stdout=said, stderr=complaint, text=True)
        while process.poll() is None:
            if peak_gb(process.pid) > LIMIT_GB:
                process.kill()
                process.wait()
                return {"error": f"ended after passing {LIMIT_GB} GB"}
            time.sleep(BETWEEN_LOOKS)
        said.seek(0)
        complaint.seek(0)
        if process.returncode:
            last = complaint.read().strip() or f"ended by signal {-process.returncode}"
            return {"error": last.splitlines()[-1]}
        answer: dict[str, Any] = json.loads(said.read().splitlines()[-1])
    return answer if answer["gb"] <= LIMIT_GB else {"error": f"passed {LIMIT_GB} GB: {answer['gb']:.3g}"}


def peak_gb(process: int | str) -> float:
    """Return the most that was ever resident of a process; 0 for one that has just ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM:"))


def fit(asked: argparse.Namespace) -> None:
    """Train, and print seconds and peak memory as JSON."""
    start = time.perf_counter()
    log = crm_ml.CustomerLog(*asked.paths, memory_limit=LOG_MEMORY)
    opened = time.perf_counter() - start
    found = {"log": opened, "fit": seconds(lambda: churn_model().fit(log, as_of=log.end)), "gb": peak_gb("self")}
    trained_on = DESIGN.panel(log, as_of=log.end, features=())
    found |= {"rows": len(trained_on), "cutoffs": trained_on.index.unique("cutoff").size}
    sys.stdout.write(json.dumps(found) + "\n")


def head(*cells: str) -> None:
    row(*cells)
    sys.stdout.write("|" + "---|" * len(cells) + "\n")


def row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    beside = modes.add_parser("table", help="both sides on the sample and on a shop")
    beside.add_argument("--customers", type=int, default=100_000)
    beside.add_argument("--repeats", type=int, default=3, help="runs, of which the quickest counts")
    within = modes.add_parser("large", help="seconds and peak memory on a large shop")
    within.add_argument("--customers", type=int, default=1_000_000)
    within.add_argument("--folder", type=Path, help="keep the shop here and use the one that is here")
    modes.add_parser("fit", help="the process that `large` starts").add_argument("paths", nargs=2)
    return parser.parse_args()


def main() -> None:
    """Print the table asked for."""
    asked = arguments()
    if asked.mode == "fit":
        fit(asked)
        return
    with tempfile.TemporaryDirectory(prefix="churn_training_") as temporary:
        {"table": table, "large": large}[asked.mode](asked, Path(temporary))


if __name__ == "__main__":
    main()
