"""Where a run is prepared: under a lock, bucket by bucket, so that whoever comes after a kill goes on from there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_ml.errors import BusyError
from crm_ml.events.log import CustomerLog
from crm_ml.scoring.nightly.request import Request
from crm_ml.scoring.published.shelf import write_durably

__all__ = ["Staging", "alone"]

_NAMED = re.compile("[0-9a-f]{16}")
"""A job's folder: the beginning of its key."""


@contextlib.contextmanager
def alone(work: Path) -> Iterator[None]:
    """Hold the work folder's lock, which the system takes back from a process that dies.

    Raises
    ------
    BusyError
        Another process holds it.
    """
    import fcntl

    work.mkdir(parents=True, exist_ok=True)
    with (work / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"Only one job may work in a folder at a time; another one is at work in {str(work)!r}.\n"
                "Wait until it has ended, and run this one again."
            ) from error
        yield


@dataclass(frozen=True)
class Staging:
    """The folder of one job's unfinished work: the sorted log, the files of the run, and a note of each.

    Attributes
    ----------
    folder : named after the job's key, so that nothing of another job is ever taken for this one's.
    """

    folder: Path

    @staticmethod
    def left(work: Path, key: str) -> bool:
        """Whether the job has unfinished work."""
        return (work / key[:16]).exists()

    @classmethod
    def of(cls, work: Path, key: str) -> Staging:
        """Return the job's folder, all leavings of other jobs and of killed processes removed."""
        folder = work / key[:16]
        for left in (path for path in work.iterdir() if _NAMED.fullmatch(path.name) and path != folder):
            shutil.rmtree(left)
        for made in (folder / "run", folder / "notes"):
            made.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            if left.name not in ("log", "run", "notes"):
                shutil.rmtree(left)
        return cls(folder)

    @property
    def run(self) -> Path:
        """Where the run's files are."""
        return self.folder / "run"

    def log(self, request: Request, *, memory_limit: str | None, threads: int | None) -> CustomerLog:
        """Return the log, read and sorted once."""
        folder = self.folder / "log"
        if not folder.exists():
            CustomerLog(*request.tables, **request.reading, folder=folder, memory_limit=memory_limit, threads=threads)
        return CustomerLog.open(folder, memory_limit=memory_limit, threads=threads)

    def done(self, bucket: int) -> dict[str, Any] | None:
        """Return the note of a bucket whose file is there to the last byte, or None."""
        try:
            note: dict[str, Any] = json.loads(self._note(bucket).read_bytes())
            if note["rows"] and _digest(self._file(bucket).read_bytes()) != note["sha256"]:
                return None
        except (OSError, ValueError, KeyError):
            return None
        return note

    def keep(self, bucket: int, frames: Sequence[pd.DataFrame], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the scores of a bucket and then a note of them."""
        filled = [frame for frame in frames if len(frame)]
        note: dict[str, Any] = {"rows": sum(map(len, filled)), **facts}
        if filled:
            content = _parquet(filled)
            write_durably(self._file(bucket), content)
            named = {"file": self._file(bucket).name, "bucket": bucket}
            note |= {**named, "bytes": len(content), "sha256": _digest(content)}
        write_durably(self._note(bucket), json.dumps(note).encode())
        return note

    def discard(self) -> None:
        """Remove it all."""
        shutil.rmtree(self.folder)

    def _file(self, bucket: int) -> Path:
        return self.run / f"part-{bucket:05}.parquet"

    def _note(self, bucket: int) -> Path:
        return self.folder / "notes" / f"{bucket:05}.json"


def _parquet(frames: Sequence[pd.DataFrame]) -> bytes:
    sink = pa.BufferOutputStream()
    tables = [pa.Table.from_pandas(frame.reset_index(), preserve_index=False) for frame in frames]
    with pq.ParquetWriter(sink, tables[0].schema.remove_metadata()) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(None))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
