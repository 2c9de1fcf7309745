"""A finished run as a folder: all that is to be recorded of it, kept until the store has it.

`<directory>/pending/<moment>-<id>/` holds `manifest.json`, `artifacts/` (figures and tables) and, of a training,
the model's `bundle/`. It appears in one rename and is taken away in one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from crm_ml.errors import ModelError
from crm_ml.registry.bundle import save_bundle
from crm_ml.registry.kinds import StorableModel
from crm_ml.registry.manifest import MANIFEST, plain, sealed, unsealed
from crm_ml.registry.tracking.evidence import Figure, write_files

__all__ = ["PENDING", "Dossier", "ModelPart", "only_one", "pending_dossiers", "read_dossier", "remove", "write_dossier"]

PENDING: Final = "pending"
FORMAT: Final = 1

_ARTIFACTS, _BUNDLE, _GONE = "artifacts", "bundle", ".gone-"


@dataclass(frozen=True)
class ModelPart:
    """What a training's dossier states about its model.

    Attributes
    ----------
    model : the fitted model.
    register_as : the registered model that gets a version.
    setting_defaults : default of each setting of its `predict`.
    metadata : of the bundle.
    """

    model: StorableModel
    register_as: str
    setting_defaults: Mapping[str, float]
    metadata: Mapping[str, object]


@dataclass(frozen=True)
class Dossier:
    """A dossier read from disk, every byte of it verified.

    Attributes
    ----------
    folder : where it lies.
    id : unlike that of any other; the run is found by it.
    created : when it was written, UTC.
    run_name, params, tags, fingerprint : as given to `track` or `record`; no fingerprint without a model.
    metrics : (name, step, value).
    register_as, setting_defaults : of the model; None and empty without one.
    """

    folder: Path
    id: str
    created: dt.datetime
    run_name: str
    params: Mapping[str, str]
    metrics: Sequence[tuple[str, int, float]]
    tags: Mapping[str, str]
    fingerprint: Mapping[str, object]
    register_as: str | None
    setting_defaults: Mapping[str, float]

    @property
    def artifacts(self) -> Path:
        """Folder of figures and tables; absent where there are none."""
        return self.folder / _ARTIFACTS

    @property
    def bundle(self) -> Path:
        """The model's bundle; absent without a model."""
        return self.folder / _BUNDLE


def write_dossier(
    directory: str | Path,
    *,
    run_name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | Sequence[float]],
    tags: Mapping[str, str],
    figures: Mapping[str, Figure],
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]],
    fingerprint: Mapping[str, object],
    part: ModelPart | None,
) -> Path:
    """Write a dossier below `directory`, complete or not at all."""
    now, own = dt.datetime.now(dt.UTC), uuid.uuid4().hex
    facts = {
        "format": FORMAT,
        "id": own,
        "created": now.isoformat(),
        "run_name": run_name,
        "params": {name: str(value) for name, value in params.items()},
        "metrics": [[name, step, _written(value)] for name, step, value in _steps(metrics)],
        "tags": dict(tags),
        "fingerprint": plain(fingerprint),
        "register_as": part and part.register_as,
        "setting_defaults": plain(part.setting_defaults) if part else {},
    }
    shelf = _shelf(directory)
    with tempfile.TemporaryDirectory(dir=shelf, prefix=".writing-") as scratch:
        fresh = Path(scratch, f"{now:%Y%m%dT%H%M%S.%fZ}-{own[:8]}")
        write_files(fresh / _ARTIFACTS, figures=figures, tables=tables)
        if part:
            save_bundle(part.model, fresh / _BUNDLE, metadata=part.metadata)
        fresh.mkdir(exist_ok=True)
        manifest = {**facts, "files": _sums(fresh)}
        (fresh / MANIFEST).write_bytes(sealed(manifest))
        os.rename(fresh, shelf / fresh.name)
    return shelf / fresh.name


def read_dossier(folder: Path) -> Dossier:
    """Read and verify a dossier.

    Raises
    ------
    ModelError
        A byte of it is not what was written.
    """
    try:
        stated = unsealed((folder / MANIFEST).read_bytes())
    except OSError:
        stated = None
    if stated is None or stated.get("format") != FORMAT or stated["files"] != _sums(folder):
        raise ModelError(
            f"A dossier must be as this crm_ml wrote it. '{folder}' is not.\n"
            "Restore it from a copy, or remove the folder: what it held is then not recorded."
        )
    facts = {name: value for name, value in stated.items() if name not in ("format", "files")}
    facts["created"] = dt.datetime.fromisoformat(facts["created"])
    facts["metrics"] = [(name, step, float(value)) for name, step, value in facts["metrics"]]
    return Dossier(folder, **facts)


def pending_dossiers(directory: str | Path) -> list[Path]:
    """Give the folders of all dossiers below `directory`, oldest first."""
    return sorted(found for found in _shelf(directory).iterdir() if found.is_dir() and found.name[0] != ".")


def remove(folder: Path) -> None:
    """Take a recorded dossier away; killed meanwhile, it is gone all the same."""
    gone = folder.with_name(_GONE + folder.name)
    os.rename(folder, gone)
    for left in folder.parent.glob(f"{_GONE}*"):
        shutil.rmtree(left)


@contextmanager
def only_one(directory: str | Path) -> Iterator[None]:
    """Wait until no other process records dossiers of this directory, and keep others waiting."""
    import fcntl  # not on Windows

    with (_shelf(directory) / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shelf(directory: str | Path) -> Path:
    shelf = Path(os.path.abspath(directory), PENDING)
    shelf.mkdir(parents=True, exist_ok=True)
    return shelf


def _steps(metrics: Mapping[str, float | Sequence[float]]) -> Iterator[tuple[str, int, float]]:
    for name, values in metrics.items():
        for step, value in enumerate(values if isinstance(values, Sequence) else [values]):
            yield name, step, float(value)


def _written(value: float) -> float | str:
    """JSON has no name for numbers that are not finite; `float` reads these words back."""
    return value if math.isfinite(value) else str(value)


def _sums(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
