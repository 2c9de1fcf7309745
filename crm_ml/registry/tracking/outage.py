"""Recording now or, where the store does not let us, later."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from crm_ml.errors import ModelError
from crm_ml.registry.store import EXPERIMENT, Store, session
from crm_ml.registry.tracking.dossier import only_one, pending_dossiers, read_dossier, remove
from crm_ml.registry.tracking.recording import RecordedRun, record_dossier

__all__ = ["PendingRun", "Synced", "record_or_keep", "sync"]

logger = logging.getLogger("crm_ml")


@dataclass(frozen=True)
class PendingRun:
    """A run that the store did not take; :func:`sync` records it later.

    Attributes
    ----------
    dossier
        Folder that holds all of it.
    reason
        What kept it from being recorded.
    """

    dossier: Path
    reason: str


@dataclass(frozen=True)
class Synced:
    """What a sync did.

    Attributes
    ----------
    recorded
        Runs recorded, oldest first.
    pending
        What is still not recorded.
    """

    recorded: tuple[RecordedRun, ...]
    pending: tuple[PendingRun, ...]


def record_or_keep(store: Store, dossier: Path) -> RecordedRun | PendingRun:
    """Record a dossier, or say in a warning that it is kept."""
    with only_one(dossier.parents[1]):
        found = _attempt(store, dossier)
    if isinstance(found, PendingRun):
        logger.warning(
            "Not recorded in MLflow; kept in '%s' for `crm-ml sync`. %s", dossier, found.reason.replace("\n", " ")
        )
    return found


def sync(store: Store, *, directory: str | Path = Path("models")) -> Synced:
    """Record every pending dossier, oldest first, each once; of several at a time, one works and the others wait.

    One that the store refuses stays and the next is tried, unless the store has stopped to answer.

    Parameters
    ----------
    store
        Where to record; an embedded store is created where there is none.
    directory
        The `directory` that :func:`track` or :func:`record` was given.

    Examples
    --------
    >>> from crm_ml.registry import default_store, sync
    >>> len(sync(default_store(), directory="models").pending)  # doctest: +SKIP
    0
    """
    recorded: list[RecordedRun] = []
    pending: list[PendingRun] = []
    with only_one(directory):
        waiting = pending_dossiers(directory)
        for dossier in waiting:
            found = _attempt(store, dossier)
            if isinstance(found, RecordedRun):
                recorded.append(found)
                continue
            pending.append(found)
            if not _answers(store):
                pending += [PendingRun(later, found.reason) for later in waiting[waiting.index(dossier) + 1 :]]
                break
    return Synced(tuple(recorded), tuple(pending))


def _attempt(store: Store, folder: Path) -> RecordedRun | PendingRun:
    try:
        dossier = read_dossier(folder)
        with session(store, create=True, repeat=False) as client:
            recorded = record_dossier(client, store, dossier)
        remove(folder)
    except (ModelError, OSError) as error:
        return PendingRun(folder, str(error))
    return recorded


def _answers(store: Store) -> bool:
    try:
        with session(store, repeat=False) as client:
            client.get_experiment_by_name(EXPERIMENT)
    except (ModelError, OSError):
        return False
    return True
