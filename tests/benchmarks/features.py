"""crm_ml's default features beside pandas and DuckDB: seconds and peak memory from Parquet to Parquet.

python tests/benchmarks/features.py table --customers 1000000 --transactions 20000000 --interactions 60000000
python tests/benchmarks/features.py scaling --sizes 1000000 10000000 100000000
python tests/benchmarks/features.py frames --customers 50000 --transactions 1000000 --interactions 3000000

Run it on a quiet machine. All ways start from two Parquet files in order of time and write the features of every
customer with a purchase before the cutoff; from two cutoffs on, the labels of the next 30 days as well. Each runs in a
process of its own that is pinned to one core, or two where the row says so; what it imports is imported before the
clock starts, and a first run on a small shop has compiled what is compiled. All write with crm_ml's
writer. Cutoffs are the last firsts of a month with a
whole label window. Memory is the process's peak (ru_maxrss). Deviations are from pandas on a sample of customers,
|a − b| / max(1, |b|). Of the two pandas ways, the faster at a number of cutoffs is what the others are compared to.
The shop is drawn into a temporary folder, or into `--folder`
and reused when it is there.
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
FRAMES = ("files", "pandas", "polars", "arrow")
MANY_INTERACTIONS, FEWER_INTERACTIONS, LARGE, MOST_CUSTOMERS = 3.0, 0.6, 100_000_000, 1_000_000

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


def output(way: Way, work: Path) -> Path:
    """Return where a way writes: several cores write a folder side by side, one a file."""
    return work / ("out" if way.job.get("cores", 1) > 1 else "out.parquet")


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


def agreement(found: list[Job]) -> list[str | None]:
    """Return the largest deviation of some outputs and whether the same values are missing in all."""
    checks = [each for each in found if each.get("deviation") is not None]
    if not checks:
        return [None, None]
    # a NaN, which stands for other rows or columns, is larger than any
    largest = max((check["deviation"] for check in checks), key=lambda deviation: (deviation != deviation, deviation))
    return [f"{largest:.1e}", "yes" if all(check["missing"] for check in checks) else "NO"]


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
    return None if part is None or whole is None else part / whole


def table(asked: argparse.Namespace, folder: Path, work: Path) -> None:
    """Print every way at one cutoff and at several."""
    counts, done = (1, asked.cutoffs), dict[tuple[str, int], Job]()
    for name in asked.ways:
        for count in counts[: 1 if name == "partition" else 2]:
            out, reference = output(WAYS[name], work), work / f"reference_{count}.parquet"
            made = run(WAYS[name], folder, out, monthly(count, asked.days), repeats=asked.repeats)
            if made is not None:
                done[name, count] = made | compared(WAYS[name], out, reference)
                print(f"{WAYS[name].label}, {count}: {done[name, count]}", file=sys.stderr, flush=True)  # noqa: T201
    fastest = {
        n: min((done[way, n]["seconds"] for way in ("pandas", "grouped") if (way, n) in done), default=None)
        for n in counts
    }
    head(
        "way",
        *(f"{n} cutoff{'s' * (n > 1)}, s" for n in counts),
        "a further cutoff, s",
        *(f"× as fast as pandas, {n}" for n in counts),
        *(f"peak GB, {n}" for n in counts),
        "largest deviation",
        "same missing",
        "written as",
    )
    for name in asked.ways:
        one, many = (done.get((name, n), {}) for n in counts)
        seconds = [each.get("seconds") for each in (one, many)]
        row(
            WAYS[name].label,
            *seconds,
            (many["seconds"] - one["seconds"]) / (asked.cutoffs - 1) if one and many else None,
            *(ratio(fastest[n], spent) for n, spent in zip(counts, seconds, strict=True)),
            *(each.get("gb") for each in (one, many)),
            *agreement([one, many]),
            "; ".join(sorted({each["written"] for each in (one, many) if each})) or None,
        )


def frames(asked: argparse.Namespace, folder: Path, work: Path) -> None:
    """Print crm_ml from files and from frames, which were read before the clock started and count as memory."""
    counts, base = (1, asked.cutoffs), dict[int, float]()
    columns = [f"{what}, {n}" for what in ("s", "× as fast as from files", "peak GB") for n in counts]
    head("way", "from", *columns, "largest deviation", "same missing")
    for way in (WAYS[name] for name in asked.ways):
        for kind in FRAMES if way.job["way"] == "crm_ml" else FRAMES[:1]:
            found = []
            for n in counts:
                out = output(way, work)
                made = run(way, folder, out, monthly(n, asked.days), repeats=asked.repeats, frames=kind)
                found.append(made | compared(way, out, work / f"reference_{n}.parquet") if made else {})
            seconds = [each.get("seconds") for each in found]
            base = base or {n: spent for n, spent in zip(counts, seconds, strict=True) if spent is not None}
            row(
                way.label,
                kind,
                *seconds,
                *(ratio(base.get(n), spent) for n, spent in zip(counts, seconds, strict=True)),
                *(each.get("gb") for each in found),
                *agreement(found),
            )


def scaling(asked: argparse.Namespace, work: Path) -> None:
    """Print seconds, and seconds per million events, of shops that grow and of panels that grow."""
    head("way", "transactions", "interactions", "cutoffs", "s", "s per million events", "peak GB")
    for size in asked.sizes:
        n_interactions = int(size * (FEWER_INTERACTIONS if size >= LARGE else MANY_INTERACTIONS))
        folder = (asked.folder or work) / f"{size}"
        shop = {
            "customers": min(max(size // 20, 100), MOST_CUSTOMERS),
            "transactions": size,
            "interactions": n_interactions,
        }
        make(folder, shop, asked.days)
        for way in (WAYS[name] for name in asked.ways):
            for count in asked.counts:
                out = output(way, work)
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
            name: all(run(WAYS[name], work / "small", output(WAYS[name], work), monthly(n, asked.days)) for n in (1, 2))
            for name in asked.ways
        }
        for name in asked.ways:
            remove(output(WAYS[name], work))
        asked.ways = [name for name, ran in tried.items() if ran]
        if asked.mode == "scaling":
            scaling(asked, work)
            return
        folder = asked.folder or work / "shop"
        make(folder, {key: getattr(asked, key) for key in SMALL}, asked.days)
        {"table": table, "frames": frames}[asked.mode](asked, folder, work)


if __name__ == "__main__":
    main()
