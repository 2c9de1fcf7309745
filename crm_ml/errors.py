"""What can go wrong, worded once: the rule, the evidence, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "BusyError",
    "ConvergenceError",
    "CrmError",
    "DriftError",
    "ModelError",
    "NotFittedError",
    "OutputError",
    "SampleRatioError",
    "SchemaError",
    "TooEarlyError",
]


class CrmError(ValueError):
    """Base of every error this library raises on purpose."""


class SchemaError(CrmError):
    """The data given breaks a rule of the input contract."""


class ConvergenceError(CrmError):
    """A likelihood could not be maximised to a point worth trusting."""


class NotFittedError(CrmError, AttributeError):
    """A model was asked for something only a fitted one has."""


class SampleRatioError(CrmError):
    """The arms of an experiment are not of the sizes they were designed with, so it cannot be read."""


class ModelError(CrmError):
    """A stored model is missing, damaged or of another kind than asked for."""


class BusyError(CrmError):
    """Another process is doing the same work."""


class DriftError(CrmError):
    """The customers of today are not those that the model was trained on."""


class OutputError(CrmError):
    """What a job published is missing or damaged, or its place is taken."""


class TooEarlyError(CrmError):
    """A decision was asked for before there is anything to base it on."""


def rows_break_rule(rule: str, *, broken: int, total: int, rows: Sequence[int], what: str, remedy: str) -> str:
    """Word a broken rule about rows, with their positions, where they have any, as evidence.

    >>> print(rows_break_rule("`amount` must be finite.", broken=3, total=1204, rows=[17, 88, 402],
    ...                       what="transactions", remedy="Drop them."))
    `amount` must be finite. 3 of 1,204 transactions break this, first rows: [17, 88, 402].
    Drop them.
    """
    shown = f", first rows: [{', '.join(str(int(row)) for row in rows)}]" if len(rows) else ""
    return f"{rule} {broken:,} of {total:,} {what} break this{shown}.\n{remedy}"


def missing_column(column: str, present: Iterable[str], *, what: str, remedy: str) -> str:
    """Word a missing column: what was there, the nearest name, the remedy.

    >>> print(missing_column("amount", ["customer", "amuont"], what="transactions", remedy="Rename it."))
    transactions need a column `amount`. Columns present: ['customer', 'amuont']; nearest: 'amuont'.
    Rename it.
    """
    names = list(present)
    near = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
    nearest = f"; nearest: {near[0]!r}" if near else ""
    return f"{what} need a column `{column}`. Columns present: {names}{nearest}.\n{remedy}"


def out_of_range(name: str, value: object, rule: str) -> str:
    """Word a setting outside its domain.

    >>> out_of_range("horizon_days", -3, "be at least 1")
    '`horizon_days` must be at least 1; got -3.'
    """
    return f"`{name}` must {rule}; got {value!r}."
