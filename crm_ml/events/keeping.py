"""Sorted buckets kept in a folder, to be opened again by a later process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crm_ml.errors import ModelError, SchemaError
from crm_ml.events.arrangement import Arrangement, Contents, contents
from crm_ml.events.host import LocalHost
from crm_ml.events.partition.arrange import Columns, merged
from crm_ml.events.partition.store import Store

__all__ = ["describe", "keep", "new_folder", "recoded", "reopen"]

FORMAT = 1
_DESCRIPTION = "state.json"


def keep(
    host: LocalHost,
    arrangements: Sequence[Arrangement],
    folder: Path,
    *,
    change: Callable[[Columns, int], Columns],
    half_lives_days: tuple[float, ...],
    note: Mapping[str, Any],
) -> None:
    """Write the buckets of several arrangements as one; the folder appears in one rename, complete or not at all.

    Parameters
    ----------
    arrangements : with equally many buckets, earlier rows first.
    change : what becomes of each bucket, given its columns and the number of event types.
    note : plain data to be kept beside the buckets.

    Raises
    ------
    SchemaError
        The folder exists.
    """
    types = tuple(sorted({name for held in arrangements for name in held.event_types}))
    categories = tuple(sorted({name for held in arrangements for name in held.categories}))
    with new_folder(folder) as staged:
        store = Store(staged, limit=0)

        def write(number: int) -> tuple[int, Contents]:
            columns = merged([recoded(held, held.store.get(number), types, categories) for held in arrangements])
            columns = change(columns, len(types))
            store.put(number, columns)
            held = contents(columns, n_types=len(types), n_categories=len(categories))
            return len(columns["customer_begins"]) - 1, held

        customers, found = zip(*host.ordered(write, len(arrangements[0].customers)), strict=True)
        whole = Arrangement(
            store=store,
            customers=customers,
            event_types=types,
            categories=categories,
            columns=frozenset().union(*(held.columns for held in arrangements)),
            contents=sum(found[1:], start=found[0]),
            dropped={},
            half_lives_days=half_lives_days,
        )
        describe(whole, staged, note)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes its name in one rename when all went well.

    Raises
    ------
    SchemaError
        The folder exists.
    """
    if folder.exists():
        raise SchemaError(f"{str(folder)!r} must be a new folder; it exists.\nName another one, or remove it first.")
    staged = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def describe(held: Arrangement, folder: Path, note: Mapping[str, Any]) -> None:
    """Write what `reopen` needs beside the buckets of an arrangement that lie in a folder."""
    description = {"format": FORMAT, **held.to_plain(), "note": note}
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")


def reopen(folder: Path) -> tuple[Arrangement, dict[str, Any]]:
    """Return the arrangement that was described in a folder, and its note.

    Raises
    ------
    ModelError
        The folder holds nothing that `describe` of this version wrote.
    """
    try:
        stored = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        known = stored["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{str(folder)!r} must be a folder that holds a state; it is none.\nName another.") from error
    if not known:
        raise ModelError(
            f"The state in {str(folder)!r} must be of format {FORMAT}; it is of {stored['format']!r}.\n"
            "Start it again with this version."
        )
    return Arrangement.from_plain(Store(folder, limit=0), {"dropped": {}, **stored}), stored["note"]


def recoded(
    held: Arrangement, bucket: Mapping[str, npt.NDArray[Any]], types: tuple[str, ...], categories: tuple[str, ...]
) -> Columns:
    """Return the columns of one of an arrangement's buckets with codes that point to other names.

    A name that is not among the others must not occur in the bucket.
    """
    columns = dict(bucket)
    for column, own, names in (
        ("i_event_type", held.event_types, types),
        ("f_event_type", held.event_types, types),
        ("t_category", held.categories, categories),
    ):
        if column in columns:
            place = {name: position for position, name in enumerate(names)}
            places = np.array([*(place.get(name, -1) for name in own), -1], dtype=columns[column].dtype)
            columns[column] = places[columns[column]]
    return columns
