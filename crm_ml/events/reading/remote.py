"""Files of other file systems, through fsspec, as DuckDB asks for them; imported only when there are any."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from fsspec import AbstractFileSystem, url_to_fs
from fsspec.implementations.local import LocalFileSystem

__all__ = ["Found", "Quiet", "find", "quietly"]


def find(address: str) -> tuple[Any, list[str]]:
    """Return the file system of an address and the paths in it; None and a local path for ``file://``."""
    system, path = url_to_fs(address)
    if isinstance(system, LocalFileSystem):
        return None, [path]
    return system, [path] if system.exists(path) else sorted(system.glob(path))


def quietly(call: Callable[..., Any], shown: str) -> Callable[..., Any]:
    """Return the function with every error made an OSError: an fsspec error may quote credentials."""

    def quiet(*arguments: Any, **settings: Any) -> Any:
        try:
            return call(*arguments, **settings)
        except Exception as error:
            raise OSError(f"{shown}: {type(error).__name__}") from None

    return quiet


class Quiet:
    """An open file that quotes no credentials when reading fails."""

    def __init__(self, file: Any, shown: str) -> None:
        self._file, self._shown = file, shown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        return quietly(found, self._shown) if callable(found) else found


class Found(AbstractFileSystem):  # type: ignore[misc]  # fsspec counts as untyped
    """The files that were found, under made-up paths, as a file system that holds nothing else."""

    cachable = False

    def __init__(self, name: str, files: Mapping[str, Any]) -> None:
        super().__init__()
        self.protocol = name
        self._files = files

    def _held(self, path: str) -> Any:
        held = self._files.get(path.partition("://")[2] or path)
        if held is None:
            raise FileNotFoundError(path)
        return held

    def open(self, path: str, *_: Any, **__: Any) -> Any:
        """Open for reading, whatever the mode."""
        return self._held(path).open()

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the size."""
        return {"name": path, "size": self._held(path).found().bytes, "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the path: patterns were resolved before."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether it was found."""
        return (path.partition("://")[2] or path) in self._files

    def modified(self, _: str) -> dt.datetime:
        """Return when the files were found; DuckDB wants to know."""
        return dt.datetime.fromtimestamp(0, dt.UTC)
