"""Where a job's runs are published: a folder on this machine, or on any file system that fsspec knows."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import fsspec

from crm_ml.errors import OutputError

__all__ = ["MANIFEST", "Shelf", "write_durably"]

MANIFEST: Final = "manifest.json"
"""The file that makes a folder a run; whatever lies in a folder without it is nobody's business."""


class Shelf:
    """A folder of published runs.

    Parameters
    ----------
    out : path, or address with a scheme such as ``s3://bucket/scores``.
    """

    def __init__(self, out: str | Path) -> None:
        self._files, self._root = fsspec.core.url_to_fs(str(out))
        self.folder = Path(self._root) if "file" in _protocols(self._files) else None

    def names(self, folder: str = "") -> list[str]:
        """Return what lies in a folder, in order; nothing where there is none."""
        try:
            found = self._files.ls(self._at(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(posixpath.basename(str(path).rstrip("/")) for path in found)

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return bytes(self._files.cat_file(self._at(path)))

    def holds(self, path: str) -> bool:
        """Whether there is such a file."""
        return bool(self._files.isfile(self._at(path)))

    def put(self, path: str, content: bytes) -> None:
        """Write a small file, complete or not at all."""
        if self.folder is None:
            self._files.pipe_file(self._at(path), content)
        else:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_durably(self.folder / path, content)

    def publish(self, run: Path, name: str) -> None:
        """Move a finished run here: by one rename, or where that is not to be had with its manifest last.

        Raises
        ------
        OutputError
            Something else has the name.
        """
        if self.folder is None:
            self._upload(run, name)
            return
        try:
            os.rename(self._near(run, self.folder, name), self.folder / name)
        except OSError as error:
            if not (self.folder / name).exists():
                raise
            raise OutputError(
                f"A run must be published under a name of its own. {str(self.folder / name)!r} exists and is no run "
                "of this job.\nMove it away, and run the job again."
            ) from error
        _flush(self.folder)

    @staticmethod
    def _near(run: Path, folder: Path, name: str) -> Path:
        """Return the run, copied where it lies on another file system, which a rename cannot cross."""
        folder.mkdir(parents=True, exist_ok=True)
        if run.stat().st_dev == folder.stat().st_dev:
            return run
        copy = folder / f".{name}.partial"
        shutil.rmtree(copy, ignore_errors=True)
        return shutil.copytree(run, copy)

    def _upload(self, run: Path, name: str) -> None:
        files = sorted(path.name for path in run.iterdir())
        self._files.makedirs(self._at(name), exist_ok=True)
        for file in sorted(files, key=lambda file: file == MANIFEST):
            self._files.put_file(str(run / file), self._at(posixpath.join(name, file)))

    def _at(self, path: str) -> str:
        return posixpath.join(self._root, path) if path else str(self._root)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is there complete, or not at all, even when the power fails."""
    with _fresh(path) as fresh:
        fresh.write_bytes(content)


@contextmanager
def _fresh(path: Path) -> Iterator[Path]:
    """Give a path to write to, whose file takes the place of another in one rename."""
    fresh = path.with_name(f".{path.name}.partial")
    yield fresh
    with fresh.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(fresh, path)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    named = files.protocol
    return (named,) if isinstance(named, str) else tuple(named)
