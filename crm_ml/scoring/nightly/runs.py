"""Published runs, as the ledger sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["PublishedRun", "published_runs"]


@dataclass(frozen=True)
class PublishedRun:
    """A folder of scores and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def as_of(self) -> pd.Timestamp:
        """The moment it predicts at, UTC."""
        return pd.Timestamp(self.manifest["as_of"]).tz_convert("UTC")

    def tables(self) -> Iterator[pa.Table]:
        """Yield the parts in the order of the buckets."""
        for name in sorted(self.manifest["files"]):
            yield pq.read_table(self.folder / name)


def published_runs(out: Path) -> list[PublishedRun]:
    """Return the runs in order of their moment."""
    found = [PublishedRun(path.parent, json.loads(path.read_text())) for path in out.glob("*/manifest.json")]
    return sorted(found, key=lambda run: (run.as_of, run.manifest["sequence"]))
