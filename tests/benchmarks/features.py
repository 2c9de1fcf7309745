"""crm_ml's default features beside pandas and DuckDB: seconds and peak memory from Parquet to Parquet.

python tests/benchmarks/features.py table --customers 1000000 --transactions 20000000 --interactions 60000000
python tests/benchmarks/features.py scaling --sizes 1000000 10000000 100000000
python tests/benchmarks/features.py frames --customers 50000 --transactions 1000000 --interactions 3000000

Run it on a quiet machine. All ways start from two Parquet files in order of time and write the features of every
customer with a purchase before the cutoff; from two cutoffs on, the labels of the next 30 days as well. Each runs in a
process of its own that is pinned to one core, or two where the row says so; what it imports is imported before the
clock starts, and a first run on a small shop has loaded compiled code. Cutoffs are the last firsts of a month with a
whole label window. Memory is the process's peak (ru_maxrss). Deviations are from pandas on a sample of customers,
|a − b| / max(1, |b|). The shop is drawn into a temporary folder, or into `--folder` and reused when it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

HORIZON_DAYS = 30
START = datetime(2022, 1, 1)  # of `feature_shops`, in UTC like all its times
DAYS = {"table": 730, "frames": 730, "scaling": 1096}
SMALL = {"customers": 500, "transactions": 10_000, "interactions": 20_000}
MANY_INTERACTIONS, FEWER_INTERACTIONS, LARGE = 3.0, 0.6, 100_000_000

Job = dict[str, Any]


class Way(NamedTuple):
    """A row of the table: what it is called and what its process is told."""

    label: str
    job: Job


WAYS = {
    "pandas": Way("pandas, accumulated once", {"way": "pandas"}),
    "grouped": Way("pandas, grouped at each cutoff", {"way": "grouped"}),
    "duckdb": Way("DuckDB SQL, a query per cutoff", {"way": "duckdb"}),
    "ours": Way("crm_ml", {"way": "crm_ml"}),
    "ours2": Way("crm_ml, two cores", {"way": "crm_ml", "cores": 2}),
    "ours_2gb": Way('crm_ml, memory_limit="2GB"', {"way": "crm_ml", "memory_limit": "2GB"}),
    "partition": Way("floor: reading and partitioning", {"way": "partition"}),
}


def child(job: Job) -> Job | None:
    """Return what a process of `feature_ways` says; its last words go to stderr where it fails."""
    threads = str(job.get("cores", 1))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    command = [sys.executable, str(Path(__file__).with_name("feature_ways.py")), json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"ended by signal {-done.returncode}").splitlines()[-1]
        print(f"{job.get('way', job['task'])}: {last}", file=sys.stderr, flush=True)  # noqa: T201
        return None
    answer: Job = json.loads(done.stdout.splitlines()[-1])
    return answer


def monthly(count: int, days: int) -> list[str]:
    """Return the last firsts of a month, with 30 days before the log's end."""
    firsts = [datetime(2022 + month // 12, month % 12 + 1, 1) for month in range(12 * (days // 365 + 1))]
    end = START + timedelta(days=days - HORIZON_DAYS)
    return [f"{first:%Y-%m-%d}" for first in firsts if START < first <= end][-count:]


def run(way: Way, folder: Path, out: Path, cutoffs: list[str], *, repeats: int = 1, **job: Any) -> Job | None:
    """Return the quickest of some runs, whose output is left in `out`."""
    best: Job | None = None
    for _ in range(repeats):
        remove(out)
        done = child({"task": "run", "folder": str(folder), "out": str(out), "cutoffs": cutoffs, **way.job, **job})
        if done is None:
            return None
        best = done if best is None or done["seconds"] < best["seconds"] else best
    return best


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def compared(way: Way, out: Path, reference: Path) -> Job:
    """Return how an output deviates from the reference, which is the first output there is; remove the output."""
    made: Job | None = None
    if way.job["way"] != "partition" and not reference.exists():
        out.rename(reference)
        made = child({"task": "compare", "out": str(reference), "reference": str(reference)})
    elif way.job["way"] != "partition":
        made = child({"task": "compare", "out": str(out), "reference": str(reference)})
    remove(out)
    return made or {"deviation": None, "missing": None, "written": "–"}


def row(*cells: object) -> None:
    """Print a row of a Markdown table, numbers with three digits or so."""
    shown = [
        ("–" if cell is None else f"{cell:.3g}" if isinstance(cell, float) and cell < 100 else f"{cell:,.0f}")
        if not isinstance(cell, str)
        else cell
        for cell in cells
    ]
    print(f"| {' | '.join(shown)} |", flush=True)  # noqa: T201


def head(*cells: str) -> None:
    """Print the head of a Markdown table."""
    print(f"\n| {' | '.join(cells)} |\n|{'---|' * len(cells)}", flush=True)  # noqa: T201


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a quotient where both are known."""
    return None if part is None or whole is None else float(part) / float(whole)


def table(asked: argparse.Namespace, folder: Path, work: Path) -> None:
    """Print every way at one cutoff and at several."""
    counts, base = [1, asked.cutoffs], dict[int, float]()
    head(
        "way",
        "one cutoff, s",
        f"{asked.cutoffs} cutoffs, s",
        "per further cutoff, s",
        "times pandas, one",
        f"times pandas, {asked.cutoffs}",
        "peak GB, one",
        f"peak GB, {asked.cutoffs}",
        "largest deviation",
        "same missing",
        "written as",
    )
    for way in (WAYS[name] for name in asked.ways):
        seconds, gb, checks = dict[int, float](), dict[int, float](), []
        for count in counts:
            if way.job["way"] == "partition" and count > 1:
                continue
            out, reference = work / "out.parquet", work / f"reference_{count}.parquet"
            done = run(way, folder, out, monthly(count, asked.days), repeats=asked.repeats)
            if done is not None:
                seconds[count], gb[count] = done["seconds"], done["gb"]
                checks.append(compared(way, out, reference))
        base = base or seconds
        one, many = (seconds.get(count) for count in counts)
        deviations = [check["deviation"] for check in checks if check["deviation"] is not None]
        row(
            way.label,
            one,
            many,
            None if one is None or many is None else (many - one) / (asked.cutoffs - 1),
            *(ratio(base.get(count), seconds.get(count)) for count in counts),
            *(gb.get(count) for count in counts),
            f"{max(deviations):.1e}" if deviations else "–",
            {True: "yes", False: "NO"}[all(check["missing"] for check in checks)] if deviations else "–",
            "; ".join(sorted({check["written"] for check in checks})) or "–",
        )


def frames(asked: argparse.Namespace, folder: Path, work: Path) -> None:
    """Print crm_ml from frames in memory, which were read before the clock started, and from files."""
    head("crm_ml from", "one cutoff, s", f"{asked.cutoffs} cutoffs, s", "of files, one", "peak GB, one", "same as files")
    base = None
    for kind in ("files", "pandas", "polars", "arrow"):
        done = {}
        for count in (1, asked.cutoffs):
            out = work / "out.parquet"
            done[count] = run(
                WAYS["ours"], folder, out, monthly(count, asked.days), repeats=asked.repeats, frames=kind
            )
            check = compared(WAYS["ours"], out, work / f"reference_{count}.parquet") if done[count] else {}
        one, many = ((done[count] or {}).get("seconds") for count in (1, asked.cutoffs))
        base = one if kind == "files" else base
        same = f"{check['deviation']:.1e}" if check else "–"
        row(kind, one, many, ratio(one, base), (done[1] or {}).get("gb"), same)


def scaling(asked: argparse.Namespace, work: Path) -> None:
    """Print seconds, and seconds per million events, of shops that grow and of panels that grow."""
    head("way", "transactions", "interactions", "cutoffs", "s", "s per million events", "peak GB")
    for size in asked.sizes:
        n_interactions = int(size * (FEWER_INTERACTIONS if size >= LARGE else MANY_INTERACTIONS))
        folder = (asked.folder or work) / f"{size}"
        shop = {"customers": max(size // 20, 100), "transactions": size, "interactions": n_interactions}
        make(folder, shop, asked.days)
        for way in (WAYS[name] for name in asked.ways):
            for count in asked.counts:
                out = work / "out.parquet"
                done = run(way, folder, out, monthly(count, asked.days), repeats=asked.repeats) or {}
                remove(out)
                seconds = done.get("seconds")
                per_million = ratio(seconds, (size + n_interactions) / 1e6)
                row(way.label, size, n_interactions, count, seconds, per_million, done.get("gb"))
        if asked.folder is None:
            shutil.rmtree(folder)


def make(folder: Path, shop: Job, days: int) -> None:
    """Have a shop made, or stop."""
    if child({"task": "make", "folder": str(folder), "shop": shop | {"days": days}}) is None:
        raise SystemExit(1)


def arguments() -> argparse.Namespace:
    """Return what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode in DAYS:
        options = modes.add_parser(mode)
        options.add_argument("--folder", type=Path, help="keep the shop here and use the one that is here")
        options.add_argument("--days", type=int, default=DAYS[mode], help="length of the log")
        options.add_argument("--repeats", type=int, default=1, help="runs, of which the quickest counts")
        default = list(WAYS) if mode == "table" else ["ours"]
        options.add_argument("--ways", nargs="+", choices=list(WAYS), default=default)
        if mode == "scaling":
            options.add_argument("--sizes", nargs="+", type=int, default=[1_000_000, 10_000_000, LARGE])
            options.add_argument("--counts", nargs="+", type=int, default=[1, 6, 12, 24], help="numbers of cutoffs")
            continue
        options.add_argument("--customers", type=int, default=50_000)
        options.add_argument("--transactions", type=int, default=1_000_000)
        options.add_argument("--interactions", type=int, default=3_000_000)
        options.add_argument("--cutoffs", type=int, default=12, help="number of cutoffs of the panel")
    return parser.parse_args()


def main() -> None:
    """Make the shop and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="features_") as temporary:
        work = Path(temporary)
        make(work / "small", SMALL, asked.days)
        tried = {
            name: all(run(WAYS[name], work / "small", work / "out.parquet", monthly(n, asked.days)) for n in (1, 2))
            for name in asked.ways
        }
        remove(work / "out.parquet")
        asked.ways = [name for name, ran in tried.items() if ran]
        if asked.mode == "scaling":
            scaling(asked, work)
            return
        folder = asked.folder or work / "shop"
        make(folder, {key: getattr(asked, key) for key in SMALL}, asked.days)
        {"table": table, "frames": frames}[asked.mode](asked, folder, work)


if __name__ == "__main__":
    main()
