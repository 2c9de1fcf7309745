"""Shops of any size as two time-sorted Parquet files, drawn in chunks so that memory stays below 2 GB."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400_000_000
START = int(np.datetime64("2022-01-01", "us").astype(np.int64))
CHUNK, ROW_GROUP = 2_000_000, 1_000_000
RETURNS = 0.03
REDRAWS = 4
KINDS = {
    "view": 0.50,
    "cart": 0.14,
    "wishlist": 0.06,
    "email_open": 0.15,
    "email_click": 0.06,
    "support": 0.02,
    "complaint": 0.01,
    "review": 0.02,
    "coupon": 0.04,
}


class Customers:
    """Who buys how often (gamma rates), from when, and for how long (exponential lifetimes)."""

    def __init__(self, n: int, days: int, rng: np.random.Generator) -> None:
        weights = np.cumsum(rng.gamma(0.9, 1, n))
        self.share, self.begin = weights / weights[-1], rng.uniform(-365, 0.9 * days, n)
        self.end = self.begin + rng.exponential(500, n)
        self.rng = rng

    def draw(self, day: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return a customer for each event; one who is not there on the day is mostly drawn again."""
        who = self._any(len(day))
        for _ in range(REDRAWS):
            absent = np.flatnonzero((day < self.begin[who]) | (day > self.end[who]))
            who[absent] = self._any(len(absent))
        return who

    def _any(self, n: int) -> npt.NDArray[np.int64]:
        return np.searchsorted(self.share, self.rng.random(n), side="right").astype(np.int64)


def chunks(customers: Customers, name: str, n: int, days: int) -> Iterator[pa.Table]:
    """Yield a table's rows in order of time."""
    rng, edges = customers.rng, np.linspace(0, n, 1 + -(-n // CHUNK)).astype(np.int64)
    for begin, end in pairwise(edges):
        day = np.sort(rng.uniform(days * begin / n, days * end / n, end - begin))
        stamps = (START + (day * DAY).astype(np.int64)).astype("datetime64[us]")
        columns = {"customer_id": pa.array(customers.draw(day) * 7 + 10_000_019), "timestamp": pa.array(stamps)}
        if name == "transactions":
            amount = np.round(rng.gamma(2, 20, len(day)), 2)
            amount[rng.random(len(day)) < RETURNS] *= -1
            columns["amount"] = pa.array(amount)
        else:
            codes = rng.choice(len(KINDS), len(day), p=list(KINDS.values())).astype(np.int8)
            columns["event_type"] = pa.DictionaryArray.from_arrays(pa.array(codes), list(KINDS)).cast(pa.string())
        yield pa.table(columns)


def make_shop(folder: Path, *, customers: int, transactions: int, interactions: int, days: int, seed: int = 1) -> None:
    """Write ``transactions.parquet`` and ``interactions.parquet``, or keep those that are there.

    Parameters
    ----------
    folder : is made when absent.
    customers, transactions, interactions : how many; a customer who is never drawn is in neither file.
    days : length of the log, from 2022-01-01.
    seed : of everything.

    Raises
    ------
    ValueError
        The folder holds files with other numbers of rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    people = Customers(customers, days, np.random.default_rng(seed))
    for name, n in (("transactions", transactions), ("interactions", interactions)):
        path = folder / f"{name}.parquet"
        if path.exists():
            if (found := pq.ParquetFile(path).metadata.num_rows) != n:
                raise ValueError(f"{path} must hold {n:,} rows; it holds {found:,}.\nName another folder.")
            continue
        partial = path.with_suffix(".partial")
        writer = None
        for chunk in chunks(people, name, n, days):
            writer = writer or pq.ParquetWriter(partial, chunk.schema)
            writer.write_table(chunk, row_group_size=ROW_GROUP)
        if writer:
            writer.close()
        partial.rename(path)
