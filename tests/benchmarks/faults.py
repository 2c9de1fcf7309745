"""What becomes of the nightly job when the night goes wrong: each fault many times, with counts.

python tests/benchmarks/faults.py

Every job runs in a process of its own on a small shop (1,500 customers, 15 buckets) and is held against the same job
undisturbed: the files' SHA-256, every customer once. A full disk is a real one, a tmpfs of a few kilobytes, which
takes root to mount.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import killed_jobs as jobs
import numpy as np
import pandas as pd
from markdown import show

from crm_ml.errors import CrmError
from crm_ml.scoring import published_runs, read_scores

KILLS, TIMES = 50, 10
MOUNT = shutil.which("mount") or ""


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, shop = Path(temporary), Path(temporary, "shop")
        jobs.make_shop(shop)
        jobs.undisturbed(shop, folder / "first")
        seconds, told = jobs.undisturbed(shop, folder / "undisturbed")
        show("kill -9 at a random moment, then run again", kills(shop, folder, seconds, told["files"]))
        rows = {name: fault(shop, folder / fault.__name__, told["files"]) for name, fault in FAULTS.items()}
        show("other faults", pd.DataFrame.from_dict(rows, orient="index").rename_axis("fault"))


def kills(shop: Path, folder: Path, seconds: float, files: dict[str, object]) -> pd.DataFrame:
    """Return how often a job was killed after each event, and what running it again gave."""
    at: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for number, moment in enumerate(jobs.moments(KILLS, seconds, seed=7)):
        out = folder / f"killed-{number}"
        last = jobs.killed(shop, out, after=moment)
        half = len(list(out.glob("*/manifest.json"))) != len(published_runs(out))
        _, again = jobs.undisturbed(shop, out)
        at[last] += 1
        same[last] += again["files"] == files and not half and once(out)
    return pd.DataFrame({"killed": at, "identical afterwards": same}).rename_axis("last event before the kill")


def once(out: Path) -> bool:
    """Whether the only run has every customer once."""
    (run,), scores = published_runs(out), read_scores(out)
    return run.customers == len(scores) == scores.index.nunique()


def full_disk(shop: Path, folder: Path, files: dict[str, object]) -> dict[str, int]:
    """Run on disks too small, then with room."""
    kept = 0
    for number, kilobytes in enumerate(np.linspace(80, 900, TIMES).astype(int)):
        out = folder / str(number)
        out.mkdir(parents=True)
        subprocess.run([MOUNT, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", out], check=True)
        try:
            process = jobs.spawn(shop, out)
            process.join()
            nothing = process.exitcode != 0 and published_runs(out) == []
            subprocess.run([MOUNT, "-o", "remount,size=64m", out], check=True)
            kept += nothing and jobs.undisturbed(shop, out)[1]["files"] == files
        finally:
            subprocess.run([f"{Path(MOUNT).parent}/umount", out], check=True)
    return {"times": TIMES, "as it should": kept}


def unreadable_input(shop: Path, folder: Path, files: dict[str, object]) -> dict[str, int]:
    """Cut an input file short, then put it right."""
    kept = 0
    for number, share in enumerate(np.linspace(0, 0.999, TIMES)):
        broken, out = folder / f"shop-{number}", folder / str(number)
        shutil.copytree(shop, broken)
        file = broken / "orders" / "1.parquet"
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        try:
            jobs.run(broken, out)
        except CrmError as error:
            named = "1.parquet" in str(error)
        file.write_bytes(whole)
        kept += named and published_runs(out) == [] and jobs.undisturbed(broken, out)[1]["files"] == files
    return {"times": TIMES, "as it should": kept}


def two_at_once(shop: Path, folder: Path, files: dict[str, object]) -> dict[str, int]:
    """Start two jobs together."""
    kept = 0
    for number in range(TIMES):
        out = folder / str(number)
        out.parent.mkdir(parents=True, exist_ok=True)
        both = [jobs.spawn(shop, out) for _ in range(2)]
        for process in both:
            process.join()
        kept += sorted(process.exitcode for process in both) == [0, 1] and jobs.manifest(out)["files"] == files
    return {"times": TIMES, "as it should": kept}


def flipped_bit(shop: Path, folder: Path, files: dict[str, object]) -> dict[str, int]:
    """Flip a bit of what was published, and read it."""
    folder.mkdir(parents=True)
    jobs.undisturbed(shop, folder / "out")
    rng, refused = np.random.default_rng(5), 0
    for _ in range(TIMES):
        file = Path(rng.choice(sorted(map(str, folder.glob("out/2*/*")))))
        whole = file.read_bytes()
        place, bit = rng.integers(len(whole)), rng.integers(8)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        try:
            read_scores(folder / "out")
        except CrmError:
            refused += 1
        file.write_bytes(whole)
    assert jobs.manifest(folder / "out")["files"] == files
    return {"times": TIMES, "as it should": refused}


FAULTS: dict[str, Callable[[Path, Path, dict[str, object]], dict[str, int]]] = {
    "input file cut short: its name is told, nothing is published, identical once it is whole": unreadable_input,
    "two started at once: one publishes, the other is refused": two_at_once,
    "a bit of what was published flipped: not read": flipped_bit,
}
if MOUNT and os.geteuid() == 0:
    FAULTS["disk full: nothing is published, identical once there is room"] = full_disk

if __name__ == "__main__":
    main()
