"""The manifest of a bundle: what it states, and the rules a bundle is held to by it."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Set
from typing import Any, Final

import numpy as np

from crm_ml import __version__
from crm_ml.errors import ModelError

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "build_manifest",
    "check_content",
    "check_names",
    "parse_manifest",
    "plain",
    "render_manifest",
    "seal",
    "sealed",
    "unsealed",
]

MANIFEST: Final = "manifest.json"
SCHEMA: Final = 1

_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)*[A-Za-z0-9_][A-Za-z0-9._-]*\.(?:json|ubj)")
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "xgboost")
_FIELDS = {"crm_ml", "files", "kind", "libraries", "metadata", "schema", "sha256"}


def build_manifest(kind: str, files: Mapping[str, bytes], metadata: Mapping[str, object]) -> dict[str, Any]:
    """State kind, versions, size and SHA-256 of every file, the caller's metadata, and a seal over it all.

    >>> manifest = build_manifest("churn", {"model.json": b"{}"}, {"as_of": "2017-10-01"})
    >>> manifest["files"]["model.json"]["bytes"], manifest["files"]["model.json"]["sha256"][:16]
    (2, '44136fa355b3678a')
    """
    for name in files:
        _check_name(name)
    manifest = {
        "schema": SCHEMA,
        "kind": kind,
        "crm_ml": __version__,
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in sorted(files.items())
        },
        "metadata": plain(metadata),
    }
    return {**manifest, "sha256": seal(manifest)}


def render_manifest(manifest: Mapping[str, object]) -> bytes:
    """Give the one byte sequence that stands for a manifest.

    >>> render_manifest({"schema": 1}).decode().split()
    ['{', '"schema":', '1', '}']
    """
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def parse_manifest(content: bytes) -> dict[str, Any]:
    """Read a manifest, refusing one of another schema and one with any byte altered.

    Raises
    ------
    ModelError
        When it is not JSON, of an unknown schema, or not what was written.
    """
    try:
        manifest = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _altered(MANIFEST, "it is not valid JSON") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise ModelError(
            f"A bundle's schema must be {SCHEMA}. This one states {found!r}.\n"
            "Read it with the crm_ml that wrote it, or upgrade crm_ml."
        )
    unsealed = {key: value for key, value in manifest.items() if key != "sha256"}
    if set(manifest) != _FIELDS or manifest["sha256"] != seal(unsealed):
        raise _altered(MANIFEST, "its seal does not match its content")
    if render_manifest(manifest) != content or not _is_well_formed(manifest):
        raise _altered(MANIFEST, "it is not laid out as save_bundle writes it")
    return manifest


def check_names(manifest: Mapping[str, Any], present: Set[str]) -> None:
    """Raise ModelError unless exactly the manifest's files are present, and none lies outside the bundle."""
    listed = set(manifest["files"])
    for name in listed:
        _check_name(name)
    if listed != present:
        raise ModelError(
            f"A bundle must hold exactly the files its manifest lists. Missing: {sorted(listed - present)}; "
            f"not listed: {sorted(present - listed)}.\n"
            "Copy the bundle again, or store the model anew."
        )


def check_content(name: str, entry: Mapping[str, Any], content: bytes, *, size: int) -> None:
    """Raise ModelError unless `content` has the size and the SHA-256 that the manifest's `entry` states."""
    if size != entry["bytes"]:
        raise _altered(name, f"it has {size:,} bytes, its manifest states {entry['bytes']:,}")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _altered(name, "its SHA-256 is not the one its manifest states")


def plain(value: object) -> Any:
    """Turn numpy scalars and arrays, dates, tuples and non-finite numbers into what JSON can hold.

    >>> plain({"brier": np.float64(0.25), "lift": float("nan"), "cutoffs": (dt.date(2017, 10, 1),)})
    {'brier': 0.25, 'lift': None, 'cutoffs': ['2017-10-01']}
    """
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ModelError(
        f"`metadata` must be made of mappings, lists, text, numbers and dates. "
        f"It holds a {type(value).__name__}.\nTurn it into one of these."
    )


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None or name == MANIFEST:
        raise ModelError(
            "A bundle's files must have relative names inside the bundle and end in .json or .ubj. "
            f"Found {name!r}.\nStore the model anew with save_bundle."
        )


def _is_well_formed(manifest: Mapping[str, Any]) -> bool:
    files = manifest["files"]
    return (
        isinstance(manifest["kind"], str)
        and isinstance(manifest["metadata"], dict)
        and isinstance(manifest["libraries"], dict)
        and isinstance(files, dict)
        and all(isinstance(entry, dict) and set(entry) == {"bytes", "sha256"} for entry in files.values())
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def sealed(facts: Mapping[str, object]) -> bytes:
    """Give the bytes of a manifest with its seal.

    >>> unsealed(sealed({"format": 1})), unsealed(sealed({"format": 1}).replace(b"1", b"2"))
    ({'format': 1}, None)
    """
    return render_manifest({**facts, "sha256": seal(facts)})


def unsealed(content: bytes) -> dict[str, Any] | None:
    """Read what :func:`sealed` gave; None where it is anything else."""
    try:
        facts = json.loads(content)
        stated = facts.pop("sha256")
    except (ValueError, LookupError, AttributeError, TypeError):
        return None
    return facts if stated == seal(facts) else None


def seal(unsealed: Mapping[str, object]) -> str:
    """Give the SHA-256 that vouches for a manifest's other fields."""
    return hashlib.sha256(render_manifest(unsealed)).hexdigest()


def _altered(name: str, evidence: str) -> ModelError:
    return ModelError(
        f"A bundle's files must be those that were written. '{name}' is not: {evidence}.\n"
        "Copy the bundle again, or store the model anew."
    )
