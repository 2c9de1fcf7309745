"""A model as a directory: its files and a manifest that vouches for every byte of them."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_ml.errors import ModelError
from crm_ml.registry.kinds import StorableModel, model_class
from crm_ml.registry.manifest import (
    MANIFEST,
    build_manifest,
    check_content,
    check_names,
    parse_manifest,
    render_manifest,
)

__all__ = ["Bundle", "load_bundle", "save_bundle"]


@dataclass(frozen=True)
class Bundle:
    """A model read from disk, with what its manifest says about it.

    Attributes
    ----------
    model
        The model.
    crm_ml_version
        Version of crm_ml that wrote the bundle.
    libraries
        Versions of the numerical libraries at that time, by distribution name.
    metadata
        What the caller of :func:`save_bundle` stated: training window, data fingerprint, metrics, ...
    """

    model: StorableModel
    crm_ml_version: str
    libraries: Mapping[str, str]
    metadata: Mapping[str, Any]


def save_bundle(model: StorableModel, path: str | Path, *, metadata: Mapping[str, object]) -> Path:
    """Write a fitted model as a directory of JSON and UBJ files; nothing in it is executable.

    The directory appears at `path` in one rename, complete or not at all. The same model and metadata
    give the same bytes.

    Parameters
    ----------
    model
        A fitted churn or CLV model.
    path
        Directory to write. An earlier bundle there is replaced; anything else there is left alone.
    metadata
        JSON-like facts about the training: window, data fingerprint, metrics. Numbers that are not finite
        are stored as null.

    Returns
    -------
    Path
        The directory written.

    Raises
    ------
    ModelError
        When `path` holds something that is not a bundle, when the model offers a file that is neither
        JSON nor UBJ, or when `metadata` holds what JSON cannot.

    Examples
    --------
    >>> from crm_ml.registry import load_bundle, save_bundle
    >>> save_bundle(model, "bundles/churn", metadata={"as_of": "2017-10-01"})  # doctest: +SKIP
    >>> load_bundle("bundles/churn").metadata["as_of"]  # doctest: +SKIP
    '2017-10-01'
    """
    target = Path(os.path.abspath(path))
    files = model.to_files()
    manifest = build_manifest(model.kind, files, metadata)
    if os.path.lexists(target) and not (target / MANIFEST).is_file():
        raise ModelError(
            f"A bundle must not overwrite anything but a bundle. '{target}' exists and is none.\n"
            "Choose another path, or remove what is there."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        fresh = Path(scratch, "fresh")
        for name, content in {**files, MANIFEST: render_manifest(manifest)}.items():
            file = fresh / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _swap(fresh, target, aside=Path(scratch, "previous"))
    return target


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle, verifying every byte of it before any of the model's files is parsed.

    The checksums tell damage and mix-ups, not forgery: whoever can write the bundle can write its
    manifest. Nothing in a bundle is executed, so a forged one can at worst predict nonsense.

    Parameters
    ----------
    path
        Directory written by :func:`save_bundle`.

    Raises
    ------
    ModelError
        When the directory or its manifest is missing, the manifest is altered or of an unknown schema,
        a file is missing, unlisted, truncated or altered, a name leads out of the bundle, a link stands in
        for a file, or a newer XGBoost than this one wrote it.
    """
    root = Path(path)
    if not (root / MANIFEST).is_file():
        found = "The directory has none" if root.is_dir() else "There is no such directory"
        raise ModelError(
            f"A bundle must be a directory with a `{MANIFEST}`. {found}: '{root}'.\n"
            "Pass the directory that save_bundle wrote."
        )
    present = _regular_files(root)
    manifest = parse_manifest((root / MANIFEST).read_bytes())
    check_names(manifest, present - {MANIFEST})
    if any(name.endswith(".ubj") for name in manifest["files"]):
        _check_xgboost(manifest["libraries"]["xgboost"])
    files: dict[str, bytes] = {}
    for name, entry in manifest["files"].items():
        size = (root / name).stat().st_size
        files[name] = (root / name).read_bytes() if size == entry["bytes"] else b""
        check_content(name, entry, files[name], size=size)
    model = model_class(manifest["kind"]).from_files(files)
    return Bundle(model, manifest["crm_ml"], manifest["libraries"], manifest["metadata"])


def _check_xgboost(wrote: str) -> None:
    """Refuse trees of a newer XGBoost: 3.0 reads those of 3.2 without a word, and scores wrong."""
    here = importlib.metadata.version("xgboost")
    if _release(wrote) > _release(here):
        raise ModelError(
            f"Trees must be read by an XGBoost at least as new as the one that wrote them. {wrote} did, this is "
            f"{here}.\n"
            "Upgrade xgboost."
        )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def _swap(fresh: Path, target: Path, *, aside: Path) -> None:
    """Rename `fresh` to `target`; a bundle already there is moved aside first, and back on failure."""
    if not target.exists():
        os.rename(fresh, target)
        return
    os.rename(target, aside)
    try:
        os.rename(fresh, target)
    except OSError:
        os.rename(aside, target)
        raise


def _regular_files(root: Path) -> set[str]:
    """Relative names of all files below `root`; a link or device among them is an error."""
    names: set[str] = set()
    for entry in root.rglob("*"):
        name = entry.relative_to(root).as_posix()
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise ModelError(
                f"A bundle must hold regular files only. '{name}' is a link or a device.\n"
                "Copy the bundle again, following links."
            )
        if entry.is_file():
            names.add(name)
    return names
