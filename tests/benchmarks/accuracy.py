"""The largest error of each mathematical function on its grid of references, as a Markdown table.

Run from the repository's root with ``PYTHONPATH=tests python tests/benchmarks/accuracy.py``.
"""

from __future__ import annotations

import sys

from test_grids import CASES, errors


def main() -> None:
    """Print the table."""
    lines = ["| model | function | points | largest error | median |", "|---|---|---|---|---|"]
    for model, name in CASES:
        off = errors(model, name)
        lines.append(f"| {model} | {name} | {len(off):,} | {off.max():.1e} | {off.median():.1e} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
