"""The sorted buckets of a log, in memory up to a limit and past it in files, or all in a folder of the caller's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Store"]

Arrays = Mapping[str, npt.NDArray[Any]]


class Store:
    """Named arrays of each bucket, every bucket written once and whole.

    Parameters
    ----------
    folder : where files lie.
    limit : bytes held in memory.
    """

    def __init__(self, folder: str | Path, *, limit: int) -> None:
        self._folder = Path(folder)
        self._left = limit
        self._held: dict[int, Arrays] = {}
        self._lock = threading.Lock()

    def put(self, number: int, arrays: Arrays) -> None:
        """Keep a bucket."""
        with self._lock:
            self._left -= sum(array.nbytes for array in arrays.values())
            fits = self._left >= 0
        if fits:
            self._held[number] = arrays
        else:
            np.savez(self._path(number), **arrays)  # type: ignore[arg-type]  # taken for its flag

    def get(self, number: int) -> Arrays:
        """Return a bucket, whose arrays may be read from a file when they are asked for."""
        return self._held[number] if number in self._held else _Filed(self._path(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"bucket_{number}.npz"


class _Filed(Mapping[str, npt.NDArray[Any]]):
    """A bucket in a file, whose arrays are read when they are asked for.

    One array at a time: numpy parses the head of each as Python source, which CPython does not do safely in
    several threads (its issue 106905, "AST constructor recursion depth mismatch").
    """

    _reading: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._arrays = np.load(path, allow_pickle=False)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with self._reading:
            array: npt.NDArray[Any] = self._arrays[name]
            return array

    def __contains__(self, name: object) -> bool:
        return name in self._arrays.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays.files)

    def __len__(self) -> int:
        return len(self._arrays.files)
