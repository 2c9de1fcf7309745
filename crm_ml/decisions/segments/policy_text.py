"""Policies as TOML, with the bounds they were fitted to."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from crm_ml.decisions.segments.segment import Segment
from crm_ml.errors import CrmError, SchemaError
from crm_ml.features.feature import Builder, from_spec, to_spec
from crm_ml.features.rules.rule_text import quoted, rule_from_table, rule_to_toml
from crm_ml.features.rules.rules import BOUNDS

__all__ = ["PolicyText", "read_policy", "version_of", "write_policy"]

KEYS = {"otherwise", "segments", "features", "fitted"}
SEGMENT_KEYS = {"name", "rule", "keep", "only_from", "minimum_stay_days"}


class PolicyText(NamedTuple):
    """What a policy's text holds; `fixed` are the segments with the bounds of a fit, None without one."""

    segments: tuple[Segment, ...]
    otherwise: str
    features: tuple[Builder, ...]
    fixed: tuple[Segment, ...] | None


def write_policy(policy: PolicyText) -> str:
    """Return the text of a policy; the bounds of a fit are written where there are relative ones."""
    bounds = list(_bounds(policy))
    if not bounds:
        return _body(policy)
    rows = "".join(f"    {row},\n" for row in bounds)
    return f'{_body(policy)}\n[fitted]\nversion = "{version_of(policy)}"\nbounds = [\n{rows}]\n'


def version_of(policy: PolicyText) -> str:
    """Return what tells fitted policies apart: 12 hexadecimal digits of a hash of the text and the bounds."""
    return hashlib.sha256("\n".join([_body(policy), *_bounds(policy)]).encode()).hexdigest()[:12]


def read_policy(text: str) -> PolicyText:
    """Return what a policy's text holds.

    Raises
    ------
    SchemaError
        The text is not TOML or no policy, or was changed after the policy was fitted.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SchemaError(f"A policy must be TOML: {error}.\nSee `SegmentPolicy.to_toml` for an example.") from error
    _check_keys(table, KEYS, needed={"segments"}, place="the text")
    segments = tuple(_segment(part, f"segments[{at}]") for at, part in enumerate(_tables(table, "segments")))
    features = tuple(_builder(part, f"features[{at}]") for at, part in enumerate(_tables(table, "features")))
    unfitted = PolicyText(segments, table.get("otherwise", "others"), features, None)
    if "fitted" not in table:
        return unfitted
    _check_keys(table["fitted"], {"version", "bounds"}, needed={"version", "bounds"}, place="fitted")
    fitted = unfitted._replace(fixed=_fixed(unfitted, table["fitted"]["bounds"]))
    if version_of(fitted) != table["fitted"]["version"]:
        raise SchemaError(
            f"A fitted policy must be as it was fitted: its version is {version_of(fitted)!r}, fitted.version says "
            f"{table['fitted']['version']!r}.\nUndo the change, or remove the table `fitted` and fit again."
        )
    return fitted


def _body(policy: PolicyText) -> str:
    parts = [f"otherwise = {quoted(policy.otherwise)}\n"]
    for segment in policy.segments:
        lines = [f"[[segments]]\nname = {quoted(segment.name)}\n"]
        if segment.only_from:
            lines.append(f"only_from = {_value(segment.only_from)}\n")
        if segment.minimum_stay_days:
            lines.append(f"minimum_stay_days = {segment.minimum_stay_days!r}\n")
        lines.append(f"[segments.rule]\n{rule_to_toml(segment.rule)}")
        if segment.keep is not None:
            lines.append(f"[segments.keep]\n{rule_to_toml(segment.keep)}")
        parts.append("".join(lines))
    parts += [f"[[features]]\n{_spec(builder)}" for builder in policy.features]
    return "\n".join(parts)


def _spec(builder: Builder) -> str:
    spec = to_spec(builder)
    settings = {name: value for name, value in spec["settings"].items() if value is not None}
    text = f'builder = "{spec["builder"]}"\nsettings = {_value(settings)}\n'
    if _builder(tomllib.loads(text), "features") != builder:
        raise SchemaError(
            f"A policy's builders must be the same when read again; {builder} is not.\n"
            "Give it settings of text, numbers, lists and tables, and None only by default."
        )
    return text


def _value(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(part)}' for key, part in value.items())} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value) if isinstance(value, bool | int) else repr(float(value))


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if plain else quoted(name)


def _bounds(policy: PolicyText) -> Iterator[str]:
    """Yield a row for each relative bound: where it stands, and the number it has been fixed at."""
    for segment, fixed in zip(policy.segments, policy.fixed or (), strict=policy.fixed is not None):
        for (role, given), (_, bound) in zip(segment.thresholds, fixed.thresholds, strict=True):
            if given.value is None:
                row = {"segment": segment.name, "role": role, "feature": given.feature, "operator": given.operator}
                kinds = {kind: getattr(given, kind) for kind in BOUNDS if getattr(given, kind) is not None}
                yield _value(row | kinds | {"bound": bound.value})


def _fixed(policy: PolicyText, rows: Any) -> tuple[Segment, ...]:
    given = [threshold for segment in policy.segments for _, threshold in segment.thresholds]
    relative = sum(threshold.value is None for threshold in given)
    tables = rows if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows) else []
    found = [row["bound"] for row in tables if isinstance(row.get("bound"), float)]
    if len(found) != relative:
        raise SchemaError(
            f"fitted.bounds must have a row with a number as `bound` for each of {relative} relative bounds; "
            f"it has {rows!r}.\nRemove the table `fitted` and fit again."
        )
    bounds = map(float, found)
    fixed = tuple(segment.bounded(bounds) for segment in policy.segments)
    written = [tomllib.loads(f"row = {row}")["row"] for row in _bounds(policy._replace(fixed=fixed))]
    for at, (row, expected) in enumerate(zip(rows, written, strict=True)):
        if row != expected:
            raise SchemaError(
                f"fitted.bounds[{at}] must be {expected}, as the segments have it; it is {row}.\n"
                "Undo the change, or remove the table `fitted` and fit again."
            )
    return fixed


def _segment(table: Any, place: str) -> Segment:
    _check_keys(table, SEGMENT_KEYS, needed={"name", "rule"}, place=place)
    rules = {role: rule_from_table(table[role], place=f"{place}.{role}") for role in ("rule", "keep") if role in table}
    try:
        return Segment(**(table | rules))
    except (CrmError, TypeError) as error:
        raise SchemaError(f"{place} is not a segment: {error}\nCorrect it.") from error


def _builder(table: Any, place: str) -> Builder:
    _check_keys(table, {"builder", "settings"}, needed={"builder", "settings"}, place=place)
    try:
        return from_spec(table)
    except (CrmError, TypeError, AttributeError) as error:
        raise SchemaError(f"{place} is not a builder: {error}\nCorrect it.") from error


def _tables(table: Mapping[str, Any], name: str) -> list[Any]:
    found = table.get(name, [])
    if not isinstance(found, list):
        raise SchemaError(f"`{name}` must be a list of tables; it is {found!r}.\nWrite [[{name}]] above each.")
    return found


def _check_keys(table: Any, known: set[str], *, needed: set[str], place: str) -> None:
    if not isinstance(table, Mapping) or not needed <= table.keys() <= known:
        found = sorted(table) if isinstance(table, Mapping) else table
        optional = sorted(known - needed)
        also = f" and may have {optional}" if optional else ""
        raise SchemaError(f"{place} must have {sorted(needed)}{also}, and nothing else; it has {found!r}.\nCorrect it.")
