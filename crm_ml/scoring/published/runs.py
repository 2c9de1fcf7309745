"""Runs that were published, and their scores: what a manifest vouches for, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.errors import OutputError
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.registry.manifest import unsealed
from crm_ml.scoring.published.shelf import MANIFEST, Shelf

__all__ = ["FORMAT", "PublishedRun", "published_runs", "read_scores"]

FORMAT = 1


@dataclass(frozen=True, repr=False)
class PublishedRun:
    """Scores of everyone at one moment.

    Attributes
    ----------
    shelf : where it lies.
    name : of its folder there.
    manifest : what it states: models and their versions, settings, row counts and hashes of every file, drift.
    """

    shelf: Shelf
    name: str
    manifest: Mapping[str, Any]

    @property
    def as_of(self) -> pd.Timestamp:
        """The moment that was predicted at; UTC."""
        return stamp(moment(self.manifest["as_of"]))

    @property
    def customers(self) -> int:
        """How many were scored."""
        return int(self.manifest["customers"])

    @property
    def drift(self) -> pd.DataFrame | None:
        """What `crm_ml.evaluation.drift` found; None where nothing was known of training."""
        stated = self.manifest["drift"]
        if stated is None:
            return None
        found = pd.DataFrame.from_dict(stated, orient="index").rename_axis("column")
        return found.astype({name: float for name in found.columns if name not in ("shifted", "why")})

    def __repr__(self) -> str:
        """Return a line that says what the run is."""
        return f"PublishedRun({self.name}: {self.customers:,} customers as of {self.as_of})"

    def tables(self) -> Iterator[pa.Table]:
        """Yield the scores of each bucket of customers in order, empty where nobody of it was scored.

        Raises
        ------
        OutputError
            A file is missing or not the one that was written.
        """
        files = {int(stated["bucket"]): file for file, stated in self.manifest["files"].items()}
        empty = self.table(min(files.values())).slice(0, 0)
        for bucket in range(self.manifest["buckets"]):
            yield self.table(files[bucket]) if bucket in files else empty

    def table(self, file: str) -> pa.Table:
        """Return the scores in one of the manifest's files; see `tables`."""
        stated = self.manifest["files"][file]
        try:
            content = self.shelf.read(f"{self.name}/{file}")
        except OSError as error:
            raise _altered(self.name, file, "it cannot be read") from error
        if len(content) != stated["bytes"] or hashlib.sha256(content).hexdigest() != stated["sha256"]:
            raise _altered(self.name, file, "its SHA-256 is not the one the manifest states")
        return pq.read_table(pa.BufferReader(content))


def published_runs(out: str | Path | Shelf) -> list[PublishedRun]:
    """Return the runs that were published in a folder, in order of their moment and then of publication.

    Parameters
    ----------
    out : the folder that the job was given, or its address on another file system.

    Raises
    ------
    OutputError
        A manifest is damaged, or of a format that this version does not know.
    """
    shelf = out if isinstance(out, Shelf) else Shelf(out)
    names = [name for name in shelf.names() if not name.startswith(".") and shelf.holds(f"{name}/{MANIFEST}")]
    runs = [PublishedRun(shelf, name, _manifest(shelf.read(f"{name}/{MANIFEST}"), name)) for name in names]
    return sorted(runs, key=lambda run: (run.as_of, run.manifest["sequence"]))


def read_scores(out: str | Path, *, as_of: Moment | None = None) -> pd.DataFrame:
    """Return the scores that were published last for a moment, verified.

    Parameters
    ----------
    out : the folder that the job was given, or its address on another file system.
    as_of : the moment; by default the latest there is.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order.

    Raises
    ------
    OutputError
        There is no such run, or it is damaged.
    """
    runs = published_runs(out)
    wanted = [run for run in runs if as_of is None or run.as_of == stamp(moment(as_of))]
    if not wanted:
        there = sorted({run.as_of.isoformat() for run in runs})
        raise OutputError(
            f"Scores must be published before they are read. {str(out)!r} holds none"
            f"{'' if as_of is None else f' as of {as_of}'}; it holds those as of {there}.\n"
            "Run the job, or choose one of these moments."
        )
    found: pd.DataFrame = pa.concat_tables(wanted[-1].tables()).to_pandas()
    return found.astype({"customer_id": "str"}).set_index("customer_id").sort_index()


def _manifest(content: bytes, name: str) -> Mapping[str, Any]:
    manifest = unsealed(content)
    if manifest is None:
        raise _altered(name, MANIFEST, "its seal does not match its content")
    if manifest["format"] != FORMAT:
        raise OutputError(
            f"A run must be of format {FORMAT}; {name!r} is of {manifest['format']!r}.\nRead it with a newer crm_ml."
        )
    return manifest


def _altered(run: str, file: str, evidence: str) -> OutputError:
    return OutputError(
        f"A published run's files must be those that were written. '{run}/{file}' is not: {evidence}.\n"
        "Move the run's folder away, and run the job for its moment again."
    )
