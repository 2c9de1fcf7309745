"""Regenerate the README's pictures from the demo's report and plan: `make pictures`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import chromium
from PIL import Image

from crm_ml import load_sample
from crm_ml.cli.app import demo_job
from crm_ml.plots import FrontierDisplay

REPORT_WIDTH, REPORT_HEIGHT = 1180, 1240
FRONTIER_DPI = 150
COLOURS = 256


def main(folder: Path) -> int:
    """Write report.png and frontier.png into a folder; without a browser, say so and write nothing."""
    if chromium.find_browser() is None:
        sys.stderr.write(f"The picture of the report needs a browser to draw it; {chromium.NO_BROWSER}.\n")
        return 1
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        job = demo_job(load_sample(), directory=Path(scratch), on_step=lambda step: sys.stdout.write(f"{step}\n"))
        folder.mkdir(parents=True, exist_ok=True)
        report, frontier = folder / "report.png", folder / "frontier.png"
        with chromium.browser() as browser:
            page = browser.open(job.report_path, width=REPORT_WIDTH, height=REPORT_HEIGHT)
            page.screenshot(report, full_page=False)
        display = FrontierDisplay.from_plan(job.plan, currency="$").plot()
        display.figure_.savefig(frontier, dpi=FRONTIER_DPI, facecolor="white", metadata={"Software": None})
    for path in (report, frontier):
        shrink(path)
        sys.stdout.write(f"{path}  {path.stat().st_size / 1000:,.0f} kB\n")
    return 0


def shrink(path: Path) -> None:
    """Keep as many colours of a picture as its lines and letters need."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
