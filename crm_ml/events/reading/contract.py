"""The input contract: which columns a log has, what a valid row is, and how a broken rule is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crm_ml.errors import SchemaError, missing_column
from crm_ml.events.reading.sources import Source

__all__ = ["INTERACTIONS", "TRANSACTIONS", "Table", "check_mapping", "is_integer", "rename", "rules", "selection"]

_TEXT = ("VARCHAR", "ENUM")
_TIME = ("TIMESTAMP", "DATE", *_TEXT)
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_SIGNED = (*_WHOLE[:4], "UTINYINT", "USMALLINT", "UINTEGER")
_NUMBER = (*_WHOLE, *(f"U{kind}" for kind in _WHOLE), "FLOAT", "DOUBLE", "DECIMAL", *_TEXT)


@dataclass(frozen=True)
class Table:
    """One of the log's tables: its name and its columns, required and optional."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]


_DETAILS = ("order_id", "category", "quantity", "discount")

TRANSACTIONS = Table(
    "transactions", ("customer_id", "timestamp", "amount"), ("order_id", "category", "quantity", "discount")
)
INTERACTIONS = Table("interactions", ("customer_id", "timestamp", "event_type"), ("value",))

_OPTIONAL_NUMBERS = ("quantity", "discount", "value")

_RULES = {
    "customer_id": "`customer_id` must be given.",
    "timestamp": "`timestamp` must be a readable date and time.",
    "amount": "`amount` must be a number.",
    "amount_finite": "`amount` must be finite.",
    "event_type": "`event_type` must be given.",
    "quantity": "`quantity` must be a finite number or missing.",
    "discount": "`discount` must be a finite number of at least 0, or missing.",
    "value": "`value` must be a finite number or missing.",
    "late": "`timestamp` must not lie before the moment up to which events are known.",
    "future": "`timestamp` must lie before the log's `as_of`.",
}

_RULED = {
    "transactions": ("customer_id", "timestamp", "amount", "amount_finite", "quantity", "discount", "late", "future"),
    "interactions": ("customer_id", "timestamp", "event_type", "value", "late", "future"),
}


def check_mapping(columns: Mapping[str, str], sources: Mapping[Table, Source]) -> None:
    """Refuse a mapping with a target the contract lacks or a column no table has."""
    known = {column for table in (TRANSACTIONS, INTERACTIONS) for column in table.required + table.optional}
    for theirs, ours in columns.items():
        if ours not in known:
            raise SchemaError(
                f"`columns` maps {theirs!r} to {ours!r}, which no table has. Known names: {sorted(known)}.\n"
                "Write it as {your column: our name}."
            )
        present = [column for source in sources.values() for column in source.columns]
        if theirs not in present:
            raise SchemaError(
                missing_column(theirs, present, what="the tables named in `columns`", remedy="Correct the mapping.")
            )


def rename(source: Source, table: Table, columns: Mapping[str, str]) -> Source:
    """Return the source under the contract's names; a mapping to another table's column is passed over."""
    names = [
        columns[column] if columns.get(column) in table.required + table.optional else column
        for column in source.columns
    ]
    for column in table.required + table.optional:
        if names.count(column) > 1:
            raise SchemaError(
                f"{table.name} must have each column once. Columns that appear twice: [{column!r}].\n"
                "Rename or drop one, or correct `columns`."
            )
    for column in table.required:
        if column not in names:
            raise SchemaError(
                missing_column(
                    column,
                    names,
                    what=table.name,
                    remedy="Rename it, or pass columns={your column: our name}.",
                )
            )
    return replace(source, columns=tuple(names))


def selection(
    source: Source,
    table: Table,
    *,
    not_before: int | None,
    as_of: int | None,
    timezone: str,
    integer_customers: bool,
) -> str:
    """Return the query that reads a source in the contract's types and judges every row.

    Times become microseconds UTC, identifiers text (customers integers, if so wished). Rows without a zone
    are read in the zone of the connection, which is `timezone`. The column ``broken`` is the position in
    `rules` of the first rule a row breaks, counted from 1, and 0 for valid rows. Optional columns that the
    source lacks are left out.
    """
    present = [column for column in table.required + table.optional if column in source.columns]
    parsed = {column: _parse(source, column, timezone) for column in present}
    if integer_customers:
        parsed["customer_id"] = f"CAST({source.column('customer_id')[0]} AS BIGINT)"
    numbers = [column for column in present if column in _OPTIONAL_NUMBERS]
    given = [f"{_given(source, column)} AS given_{column}" for column in numbers]
    selected = ", ".join([*(f"{sql} AS {column}" for column, sql in parsed.items()), *given])
    cases = " ".join(
        f"WHEN {test} THEN {number}"
        for number, (column, test) in enumerate(_tests(table, not_before, as_of), start=1)
        if column in present
    )
    kept = ", ".join(f"coalesce({c}, 'nan'::DOUBLE) AS {c}" if c in numbers else c for c in present)
    return (
        f"SELECT {kept}, CAST(CASE {cases} ELSE 0 END AS TINYINT) AS broken FROM (SELECT {selected} FROM {source.scan})"
    )


def rules(table: Table) -> list[str]:
    """Return the rules that a table's rows must keep, in words."""
    return [_RULES[rule] for rule in _RULED[table.name]]


def is_integer(source: Source, column: str) -> bool:
    """Whether a column holds integers that 64 bits can carry."""
    return column in source.columns and source.column(column)[1] in _SIGNED


def _tests(table: Table, not_before: int | None, as_of: int | None) -> list[tuple[str, str]]:
    """Return for each rule of a table the column it is about and the SQL that is true where it is broken."""
    tests = {
        "customer_id": ("customer_id", "customer_id IS NULL"),
        "timestamp": ("timestamp", "timestamp IS NULL"),
        "amount": ("amount", "amount IS NULL OR isnan(amount)"),
        "amount_finite": ("amount", "isinf(amount)"),
        "event_type": ("event_type", "event_type IS NULL"),
        "late": ("timestamp", "false" if not_before is None else f"timestamp < {not_before}"),
        "future": ("timestamp", "false" if as_of is None else f"timestamp >= {as_of}"),
    }
    for column in _OPTIONAL_NUMBERS:
        unreadable_number = f"isinf({column}) OR ({column} IS NULL AND given_{column})"
        tests[column] = (column, unreadable_number + (f" OR {column} < 0" if column == "discount" else ""))
    return [tests[rule] for rule in _RULED[table.name]]


def _parse(source: Source, column: str, timezone: str) -> str:
    """Return SQL that reads a column in the contract's type; unreadable values become null."""
    name, kind = source.column(column)
    if column == "timestamp":
        _require(
            kind,
            _TIME,
            column,
            "be a date and time or text",
            'Convert epochs with pd.to_datetime(x, unit="s").',
        )
        instant = name if kind.startswith("TIMESTAMP WITH") else _instant(name, kind, timezone)
        return f"CASE WHEN {instant} BETWEEN '0001-01-02' AND '9999-12-30' THEN epoch_us({instant}) END"
    if column in ("amount", *_OPTIONAL_NUMBERS):
        _require(kind, _NUMBER, column, "be a number", "Convert the column.")
        number = f"TRY_CAST({name} AS DOUBLE)"
        return f"CASE WHEN NOT isnan({number}) THEN {number} END"
    text = f"CAST({name} AS VARCHAR)"
    if kind in ("FLOAT", "DOUBLE"):
        integer = f"CASE WHEN {name} = trunc({name}) THEN CAST(TRY_CAST({name} AS HUGEINT) AS VARCHAR) END"
        return f"CASE WHEN isfinite({name}) THEN coalesce({integer}, {text}) END"
    if not kind.startswith(_TEXT):
        return text
    return f"CASE WHEN NOT ({text} = '' OR (starts_with({text}, ' ') AND trim({text}) = '')) THEN {text} END"


def _instant(name: str, kind: str, timezone: str) -> str:
    """Return SQL of a moment without a zone; in UTC it need not go through the calendar of zones."""
    utc = timezone == "UTC" and kind.startswith(("TIMESTAMP", "DATE")) and "TZ" not in kind
    return f"TRY_CAST({name} AS TIMESTAMP)" if utc else f"TRY_CAST({name} AS TIMESTAMPTZ)"


def _given(source: Source, column: str) -> str:
    """Return SQL that tells whether an optional number was given at all."""
    name, kind = source.column(column)
    if kind in ("FLOAT", "DOUBLE"):
        return f"{name} IS NOT NULL AND NOT isnan({name})"
    return f"coalesce(trim(CAST({name} AS VARCHAR)), '') <> ''"


def _require(kind: str, allowed: tuple[str, ...], column: str, rule: str, remedy: str) -> None:
    if kind != '"NULL"' and not kind.startswith(allowed):
        raise SchemaError(f"`{column}` must {rule}; the column's type is {kind}.\n{remedy}")
