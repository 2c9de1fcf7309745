"""A frame as a Markdown table, its index among the columns."""

from __future__ import annotations

import sys

import pandas as pd


def show(title: str, frame: pd.DataFrame, *, digits: int = 3) -> None:
    """Write a heading and the frame beneath it."""
    flat = frame.reset_index()
    rows = [[str(name) for name in flat.columns], ["---"] * flat.shape[1]]
    rows += [
        [f"{x:.{digits}f}" if isinstance(x, float) else str(x) for x in row] for row in flat.astype(object).to_numpy()
    ]
    sys.stdout.write("\n".join([f"\n## {title}\n", *("| " + " | ".join(row) + " |" for row in rows), ""]))
    sys.stdout.flush()
