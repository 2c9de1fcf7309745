"""Arrays kept in memory up to a limit, and past it in one temporary file."""

from __future__ import annotations

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
            place = Shelved(self._end, array.dtype)
            self._file.seek(place.begin)
            self._file.write(np.ascontiguousarray(array).view(np.uint8).data)
            self._end += array.nbytes
            return place

    def take(self, kept: Array | Shelved, begin: int, out: Array) -> None:
        """Read `out` full, from element `begin` of a kept array on."""
        if not isinstance(kept, Shelved):
            out[:] = kept[begin : begin + len(out)]
            return
        with self._lock:
            self._file.seek(kept.begin + begin * kept.dtype.itemsize)
            read = self._file.readinto(out.view(np.uint8).data)
        if read < out.nbytes:
            raise EOFError("A temporary file ended early.")

    def close(self) -> None:
        """Give the file up."""
        if self._file is not None:
            self._file.close()
