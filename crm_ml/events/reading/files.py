"""Files by path, glob or address: found, shown without credentials, made readable by DuckDB.

An address with a scheme (``s3://``, ``gs://``, ``abfs://``, ``https://``, ``memory://``) is read through fsspec.
DuckDB never sees it: it asks `crm_ml.events.reading.remote.Found` for ``<name>://<number>``, so it can open what was
found and nothing else, and its errors cannot quote credentials.
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

import duckdb
import pyarrow as pa

from crm_ml.errors import SchemaError

__all__ = [
    "CSV",
    "PARQUET",
    "File",
    "InputFile",
    "csv_text",
    "find_files",
    "input_files",
    "on_each",
    "scannable",
    "shown",
    "unreadable",
]

Result = TypeVar("Result")

PARQUET, CSV = (".parquet", ".pq"), (".csv", ".csv.gz")
CONNECTIONS = 16
_GLOB = re.compile(r"[*?[]")
_CHAINED = re.compile(r"[A-Za-z][\w+.-]*(?:://.*)?")
_CHANGED = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "modified", "created")


class InputFile(NamedTuple):
    """A file as it was found: its path without credentials, its size, and what changes when it is written again."""

    path: str
    bytes: int
    modified: str


@dataclass(frozen=True)
class File:
    """A file to read: on this machine, or of an fsspec file system.

    Attributes
    ----------
    path : absolute, or as the file system wants it.
    shown : for messages.
    system : the fsspec file system; None for a local file.
    """

    path: str
    shown: str
    system: Any = None

    def open(self) -> Any:
        """Open for reading bytes; whatever fails, then or later, is an OSError that quotes no credentials."""
        if self.system is None:
            return open(self.path, "rb")
        from crm_ml.events.reading.remote import Quiet, quietly

        return Quiet(quietly(self.system.open, self.shown)(self.path, "rb"), self.shown)

    def found(self) -> InputFile:
        """Look up size and time; OSError where the file is not to be had."""
        if self.system is None:
            stat = os.stat(self.path)
            return InputFile(self.shown, stat.st_size, str(stat.st_mtime_ns))
        from crm_ml.events.reading.remote import quietly

        info = quietly(self.system.info, self.shown)(self.path)
        modified = next((str(info[key]) for key in _CHANGED if info.get(key) is not None), "")
        return InputFile(self.shown, int(info["size"] or 0), modified)


def shown(path: str | Path) -> str:
    """Return a path as it may be printed: without the user, password, query or fragment of an address.

    >>> shown("s3://KEY:SEC/RET@bucket/orders/*.parquet?token=1"), shown("orders/*.parquet")
    ('s3://bucket/orders/*.parquet', 'orders/*.parquet')
    """
    text = str(path)
    if "://" not in text:
        return text
    parts = text.split("::")
    chained = all(_CHAINED.fullmatch(part) for part in parts)
    return "::".join(_without_credentials(part) for part in (parts if chained else [text]))


def _without_credentials(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    plain, *cut = re.split(r"[?#]", rest, maxsplit=1)
    user, _, host = plain.rpartition("@")
    if cut and "@" in cut[0]:  # a password that holds a question mark, or a query that holds an @
        plain = "..."
    elif "/" not in user or ":" in user:  # a secret key may hold a slash; a name in a folder an @
        plain = host
    return f"{scheme}{mark}{plain}"


def find_files(paths: str | Path | Sequence[str | Path], *, name: str) -> list[File]:
    """Return the files that paths, globs and addresses name, in order.

    Raises
    ------
    SchemaError
        None is named or found, or a file system does not answer.
    """
    files: list[File] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        try:
            found = _found(str(path))
        except ImportError as error:
            scheme = str(path).partition(":")[0]
            raise SchemaError(
                f"{name}: {shown(path)!r} needs a package that is not installed: {error}.\n"
                f"Install the fsspec file system of {scheme}://."
            ) from None
        except Exception as error:  # whatever a file system raises, perhaps with its credentials
            raise unreadable(name, f"{shown(path)}: {type(error).__name__}") from None
        if not found:
            raise SchemaError(f"{name}: no file matches {shown(path)!r}.\nGive a path or glob of Parquet or CSV files.")
        files += found
    if not files:
        raise SchemaError(f"{name}: the list of files is empty.\nGive a path or glob of Parquet or CSV files.")
    return files


def input_files(paths: str | Path | Sequence[str | Path], *, name: str) -> list[InputFile]:
    """Return the files that `find_files` finds, each with what tells whether it is still the same file.

    Raises
    ------
    SchemaError
        None is named or found, or one cannot be looked at.
    """
    return on_each(File.found, find_files(paths, name=name), name=name)


def on_each(look: Callable[[File], Result], files: Sequence[File], *, name: str) -> list[Result]:
    """Return what `look` returns for each file, in order; several at a time, as remote ones answer slowly.

    Raises
    ------
    SchemaError
        One cannot be opened or is damaged; the message names it.
    """

    def tell(file: File) -> Result:
        try:
            return look(file)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error, pa.ArrowException) as error:
            said = _one_line(str(error))
            raise unreadable(name, said if file.shown in said else f"{file.shown}: {said}") from None

    with ThreadPoolExecutor(min(CONNECTIONS, len(files))) as pool:
        return list(pool.map(tell, files))


def scannable(connection: duckdb.DuckDBPyConnection, files: Sequence[File], *, name: str) -> list[str]:
    """Return the paths under which DuckDB can read the files, each of them that file and no other."""
    paths = [
        _GLOB.sub(r"[\g<0>]", file.path) if file.system is None else f"{name}://{number}/{file.shown}"
        for number, file in enumerate(files)
    ]
    if any(file.system is not None for file in files):
        from crm_ml.events.reading.remote import Found

        if connection.filesystem_is_registered(name):
            connection.unregister_filesystem(name)
        held = {path.removeprefix(f"{name}://"): file for path, file in zip(paths, files, strict=True)}
        connection.register_filesystem(Found(name, held))
    return paths


def unreadable(name: str, said: str | Exception) -> SchemaError:
    """Word a failure to read: the reader's own words up to where they quote rows, and the file if that can be told."""
    text = str(said)
    words = re.sub(rf"\b{name}://[0-9]+/", "", _one_line(text))
    if blamed := re.findall(r"^ *file = (?:\w+://[0-9]+/(?=\w+://))?(.+)$", text, re.MULTILINE):
        words = f"{blamed[-1]}: {words}"  # the last: a row quoted before it may hold such a line
    return SchemaError(f"{name} could not be read: {words}\nGive readable Parquet files, or CSV files in UTF-8.")


def _one_line(text: str) -> str:
    """Return the telling line; DuckDB puts the traceback of a Python file system before its words."""
    lines = text.strip().split("\n")
    return lines[-1].partition(": ")[2] if lines[0].startswith("Traceback") else lines[0]


@contextmanager
def csv_text(file: File) -> Iterator[TextIO]:
    """Open a CSV file, compressed or not, as text."""
    with closing(file.open()) as opened:
        plain = gzip.GzipFile(fileobj=opened) if file.shown.endswith(".gz") else opened
        yield io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")


def _found(path: str) -> list[File]:
    if "://" in path:
        from crm_ml.events.reading.remote import find

        system, paths = find(path)
        if system is not None:
            return [File(each, shown(system.unstrip_protocol(each)), system) for each in paths]
        (path,) = paths
    found = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))
    return [File(os.path.abspath(each), each) for each in found]  # DuckDB would expand a leading ~
