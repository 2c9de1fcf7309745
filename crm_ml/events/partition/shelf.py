"""Arrays kept in memory up to a limit, and past it in one temporary file."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Shelf", "Shelved"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Shelved:
    """An array's place in the file."""

    begin: int
    dtype: np.dtype[Any]


class Shelf:
    """Keeps arrays to be read in parts; several threads may put and take.

    Parameters
    ----------
    folder : where the file may lie.
    limit : bytes held in memory.
    """

    def __init__(self, folder: str, *, limit: int) -> None:
        self._left = limit
        self._folder = folder
        self._end = 0
        self._file: Any = None
        self._lock = threading.Lock()

    def put(self, array: Array) -> Array | Shelved:
        """Keep an array; return what `take` wants."""
        with self._lock:
            self._left -= array.nbytes
            if self._left >= 0:
                return array
            self._file = self._file or tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # open until `close`
            begin, self._end = self._end, self._end + array.nbytes
        rest, at = _view(np.ascontiguousarray(array)), begin
        while len(rest):
            written = os.pwrite(self._file.fileno(), rest, at)
            rest, at = rest[written:], at + written
        return Shelved(begin, array.dtype)

    def take(self, kept: Array | Shelved, begin: int, out: Array) -> None:
        """Read `out` full, from element `begin` of a kept array on."""
        if not isinstance(kept, Shelved):
            out[:] = kept[begin : begin + len(out)]
            return
        rest, at = _view(out), kept.begin + begin * kept.dtype.itemsize
        while len(rest):
            read = os.preadv(self._file.fileno(), [rest], at)
            if read == 0:
                raise EOFError("A temporary file ended early.")
            rest, at = rest[read:], at + read

    def close(self) -> None:
        """Give the file up."""
        if self._file is not None:
            self._file.close()


def _view(array: Array) -> memoryview:
    """Return the bytes of an array; its memory, not a copy."""
    return array.view(np.uint8).data
