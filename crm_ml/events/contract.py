"""The input contract: which columns a log has, what a valid row is, and how a broken rule is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from crm_ml.errors import SchemaError, missing_column, rows_break_rule
from crm_ml.events.sources import Source, unreadable

__all__ = ["INTERACTIONS", "TRANSACTIONS", "Table", "check_mapping", "rename", "stage"]

_TEXT = ("VARCHAR", "ENUM")
_TIME = ("TIMESTAMP", "DATE", *_TEXT)
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBER = (*_WHOLE, *(f"U{kind}" for kind in _WHOLE), "FLOAT", "DOUBLE", "DECIMAL", *_TEXT)


@dataclass(frozen=True)
class Table:
    """One of the log's tables: its name and its columns, required and optional."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]


TRANSACTIONS = Table("transactions", ("customer_id", "timestamp", "amount"), ("order_id",))
INTERACTIONS = Table("interactions", ("customer_id", "timestamp", "event_type"), ("value",))

_RULES = {
    "customer_id": "`customer_id` must be given.",
    "timestamp": "`timestamp` must be a readable date and time.",
    "amount": "`amount` must be a number.",
    "amount_finite": "`amount` must be finite.",
    "event_type": "`event_type` must be given.",
    "value": "`value` must be a finite number or missing.",
    "future": "`timestamp` must lie before the log's `as_of`.",
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
    return Source(tuple(names), source.types, source.scan)


def stage(
    connection: duckdb.DuckDBPyConnection, source: Source, table: Table, *, as_of: int | None, drop: bool
) -> dict[str, int]:
    """Read a source once into the table ``staged_<name>`` in the contract's types and judge every row.

    Times become microseconds UTC, identifiers text. Rows without a zone are read in the connection's
    time zone. The staged table's ``broken`` names the first rule a row breaks and is null for valid rows.

    Returns
    -------
    dict
        Rule to number of rows that break it. Unless `drop`, any such row raises.
    """
    parsed = {column: _parse(source, column) for column in table.required + table.optional}
    selected = ", ".join(f"{sql} AS {column}" for column, sql in parsed.items())
    given = _given_text(source, "value") if "value" in parsed else "NULL"
    checks = [("customer_id", "customer_id IS NULL"), ("timestamp", "timestamp IS NULL")]
    if table is TRANSACTIONS:
        checks += [("amount", "amount IS NULL OR isnan(amount)"), ("amount_finite", "isinf(amount)")]
    else:
        checks += [("event_type", "event_type IS NULL")]
        checks += [("value", "isinf(value) OR (value IS NULL AND given_value IS NOT NULL)")]
    if as_of is not None:
        checks += [("future", f"timestamp >= {as_of}")]
    cases = " ".join(f"WHEN {test} THEN '{rule}'" for rule, test in checks)
    query = (
        f"CREATE TEMP TABLE staged_{table.name} AS SELECT *, CASE {cases} END AS broken "
        f"FROM (SELECT {selected}, {given} AS given_value FROM {source.scan})"
    )
    try:
        connection.execute(query)
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise unreadable(table.name, error) from error
    return _judge(connection, table, drop=drop)


def _judge(connection: duckdb.DuckDBPyConnection, table: Table, *, drop: bool) -> dict[str, int]:
    total, valid = connection.execute(
        f"SELECT count(*), count(*) FILTER (broken IS NULL) FROM staged_{table.name}"
    ).fetchall()[0]
    counted = dict(
        connection.execute(
            f"SELECT broken, count(*) FROM staged_{table.name} WHERE broken IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    if counted and not drop:
        rule = next(rule for rule in _RULES if rule in counted)
        rows = connection.execute(
            f"SELECT rowid FROM staged_{table.name} WHERE broken = ? ORDER BY 1 LIMIT 3", [rule]
        ).fetchall()
        raise SchemaError(
            rows_break_rule(
                _RULES[rule],
                broken=counted[rule],
                total=total,
                rows=[row for (row,) in rows],
                what=table.name,
                remedy='Drop them, or pass on_invalid="drop" to have them dropped and counted.',
            )
        )
    if table is TRANSACTIONS and valid == 0:
        raise SchemaError(
            f"{table.name} must have at least one valid row; {total:,} given, {valid:,} valid.\n"
            "Check the path, the filter or the export that made it."
        )
    return {_RULES[rule]: counted[rule] for rule in _RULES if rule in counted}


def _parse(source: Source, column: str) -> str:
    """Return SQL that reads a column in the contract's type; unreadable values become null."""
    if column not in source.columns:
        return "NULL::DOUBLE" if column == "value" else "NULL::VARCHAR"
    name, kind = source.column(column)
    if column == "timestamp":
        _require(
            kind,
            _TIME,
            column,
            "be a date and time or text",
            'Convert epochs with pd.to_datetime(x, unit="s").',
        )
        instant = f"TRY_CAST({name} AS TIMESTAMPTZ)"
        return f"CASE WHEN {instant} BETWEEN '0001-01-02' AND '9999-12-30' THEN epoch_us({instant}) END"
    if column in ("amount", "value"):
        _require(kind, _NUMBER, column, "be a number", "Convert the column.")
        number = f"TRY_CAST({name} AS DOUBLE)"
        return f"CASE WHEN NOT isnan({number}) THEN {number} END"
    text = f"CAST({name} AS VARCHAR)"
    if kind in ("FLOAT", "DOUBLE"):
        integer = f"CASE WHEN {name} = trunc({name}) THEN CAST(TRY_CAST({name} AS HUGEINT) AS VARCHAR) END"
        return f"CASE WHEN isfinite({name}) THEN coalesce({integer}, {text}) END"
    return f"CASE WHEN trim({text}) <> '' THEN {text} END"


def _given_text(source: Source, column: str) -> str:
    """Return SQL that is null where an optional number was not given at all."""
    if column not in source.columns:
        return "NULL"
    name, kind = source.column(column)
    if kind in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN NOT isnan({name}) THEN 'given' END"
    return f"nullif(trim(CAST({name} AS VARCHAR)), '')"


def _require(kind: str, allowed: tuple[str, ...], column: str, rule: str, remedy: str) -> None:
    if kind != '"NULL"' and not kind.startswith(allowed):
        raise SchemaError(f"`{column}` must {rule}; the column's type is {kind}.\n{remedy}")
