"""The local host: threads, bounded memory, a folder for what does not fit, and DuckDB to read with."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import duckdb

from crm_ml.errors import SchemaError, out_of_range

__all__ = ["LocalHost"]

Result = TypeVar("Result")

_CASTS_WHILE_READING = "type_pushdown"
"""What DuckDB 2.0 calls its making TRY_CAST of a CSV column a cast that fails, quoting the row, instead of null."""

LEAST_TO_READ = 128 << 20
"""Bytes below which DuckDB may fail to read a file."""


class LocalHost:
    """Threads, memory, a temporary folder and a private DuckDB.

    Parameters
    ----------
    memory_limit : what may be held in memory, such as "2GB": a quarter each for reading, for rows on their
        way into buckets, for sorted buckets, and for computing. By default four fifths of the machine's.
    threads : threads of reading and of `ordered`; by default all cores.
    timezone : IANA name of the zone in which times without one are read.
    scratch : where the folder for what does not fit is made; by default where the system keeps such.

    Attributes
    ----------
    folder : lives as long as the host; a killed process leaves it behind.
    quarter : bytes, a quarter of the limit.
    """

    def __init__(
        self, *, memory_limit: str | None, threads: int | None, timezone: str, scratch: Path | None = None
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="crm_ml_", dir=scratch)
        self._cleanup = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.connection = duckdb.connect(":memory:")
        with contextlib.suppress(duckdb.InvalidInputException):  # in Jupyter without widgets there is none
            self.connection.execute("SET enable_progress_bar = false")
        # A query never fetches code: what DuckDB needs is part of its package.
        self.connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        known = self.connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
        if (_CASTS_WHILE_READING,) in known:
            self.connection.execute(f"SET disabled_optimizers = '{_CASTS_WHILE_READING}'")
        self._set("temp_directory", self.folder, "name a writable folder")
        self._set("TimeZone", timezone, "name an IANA time zone such as 'Europe/Berlin'")
        if memory_limit is not None:
            self._set("memory_limit", memory_limit, "be a size such as '2GB'")
        if threads is not None:
            self._set("threads", threads, "be at least 1")
        self.memory_limit, self.timezone = memory_limit, timezone
        self.threads = int(self._setting("threads"))
        self.quarter = _bytes(self._setting("memory_limit")) // 4
        self._set("memory_limit", f"{max(self.quarter, LEAST_TO_READ)} bytes", "be a size such as '2GB'")

    def _setting(self, name: str) -> str:
        return str(self.connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0])

    def _set(self, setting: str, value: str | int, rule: str) -> None:
        quoted = "'" + str(value).replace("'", "''") + "'"
        try:
            self.connection.execute(f"SET {setting} = {quoted}")
        except duckdb.Error as error:
            raise SchemaError(out_of_range(setting.lower(), value, rule)) from error

    def ordered(self, run: Callable[[int], Result], count: int) -> Iterator[Result]:
        """Yield ``run(0)``, ``run(1)``, … ``run(count - 1)`` in order, computing on all threads.

        At most one result per thread is under way or waiting to be taken.
        """
        if min(self.threads, count) == 1:
            yield from (run(number) for number in range(count))
            return
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[Result]] = deque()
            for number in range(count):
                if len(waiting) == self.threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(run, number))
            while waiting:
                yield waiting.popleft().result()


def _bytes(size: str) -> int:
    """Return the bytes of a size as DuckDB writes it.

    >>> _bytes("1.5 GiB")
    1610612736
    """
    number, unit = size.split()
    return int(float(number) * 1024 ** ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit))
