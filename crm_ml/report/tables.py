"""Frames as tables of texts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from crm_ml.plots.style import require_columns
from crm_ml.report.glossary import COLUMNS, METRICS, column_label
from crm_ml.report.numbers import Kind, kind_of, write_column

__all__ = ["Cell", "Column", "Group", "Table", "backtest_table", "table"]

DIRECTIONS = {1: "↑ better", -1: "↓ better", 0: "0 best"}


@dataclass(frozen=True)
class Column:
    """A heading, whether its cells are numbers, and a small hint below it."""

    label: str
    numeric: bool
    hint: str = ""


@dataclass(frozen=True)
class Cell:
    """The text of one cell; `best` marks the best of its column."""

    text: str
    best: bool = False


Rows = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Group:
    """Rows under one heading; the first cell of a row names it."""

    heading: str
    rows: Rows


@dataclass(frozen=True)
class Table:
    """A table ready for the page."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]

    @property
    def short(self) -> bool:
        """Whether it may be kept on one sheet when printed."""
        return sum(1 + len(group.rows) for group in self.groups) <= 16


def table(frame: pd.DataFrame, *, caption: str, index: str, currency: str) -> Table:
    """Turn a frame into a table, its index as the first column.

    Parameters
    ----------
    frame : pandas.DataFrame
        Known columns are labelled and written by the glossary, others by name and dtype.
    caption : str
        What the table shows.
    index : str
        Heading of the first column.
    currency : str
        Sign before money.

    Returns
    -------
    Table
        One group without heading.

    Examples
    --------
    >>> made = table(pd.DataFrame({"rows": [12480]}, index=["returns"]), caption="Counts", index="What",
    ...              currency="$")
    >>> [cell.text for cell in made.groups[0].rows[0]]
    ['returns', '12,480']
    """
    columns, rows = _write(frame, index=index, currency=currency)
    return Table(caption, columns, (Group("", rows),))


def backtest_table(results: pd.DataFrame, *, caption: str, currency: str) -> Table:
    """Turn tidy backtest results into a table: the means over all cutoffs first, then each cutoff.

    Within each group the best value of a metric whose direction is known is marked.

    Parameters
    ----------
    results : pandas.DataFrame
        `predictor`, `cutoff` and the metrics, one row per predictor and cutoff.
    caption, currency : str
        As for `table`.

    Returns
    -------
    Table
        One group for the means where there are several cutoffs, then one per cutoff, the latest first.

    Raises
    ------
    SchemaError
        If `predictor` or `cutoff` is missing.
    """
    require_columns(results, ("predictor", "cutoff"), what="backtest results")
    cutoffs = sorted(results["cutoff"].unique(), reverse=True)
    frames = {
        f"Cutoff {pd.Timestamp(cutoff):%Y-%m-%d}": results[results["cutoff"] == cutoff]
        .drop(columns="cutoff")
        .set_index("predictor")
        for cutoff in cutoffs
    }
    if len(cutoffs) > 1:
        means = results.drop(columns="cutoff").groupby("predictor", sort=False).mean()
        counts = {str(name): 0 for name in results.select_dtypes("integer").columns}
        means = means.round(counts).astype(dict.fromkeys(counts, int))
        frames = {f"Mean over {len(cutoffs)} cutoffs": means} | frames
    columns, rows = _write(pd.concat(frames.values()), index="Predictor", currency=currency)
    groups, start = [], 0
    for heading, frame in frames.items():
        groups.append(Group(heading, _mark_best(rows[start : start + len(frame)], frame)))
        start += len(frame)
    return Table(caption, columns, tuple(groups))


def _write(frame: pd.DataFrame, *, index: str, currency: str) -> tuple[tuple[Column, ...], Rows]:
    kinds = {str(name): _kind(frame[name]) for name in frame.columns}
    columns = (Column(index, numeric=False), *(_column(name, kind) for name, kind in kinds.items()))
    written = [write_column(frame.index, "text", currency=currency)]
    written += [write_column(frame[name], kinds[str(name)], currency=currency) for name in frame.columns]
    return columns, tuple(tuple(map(Cell, row)) for row in zip(*written, strict=True))


def _mark_best(rows: Rows, frame: pd.DataFrame) -> Rows:
    """Mark the best of each metric, and whatever reads the same."""
    best: dict[int, str] = {}
    for at, name in enumerate(frame.columns, start=1):
        if name in METRICS and METRICS[name].better and len(frame) > 1 and frame[name].notna().any():
            signed = frame[name].to_numpy(dtype=float) * METRICS[name].better
            best[at] = rows[int(np.nanargmax(signed))][at].text
    return tuple(tuple(replace(cell, best=cell.text == best.get(at)) for at, cell in enumerate(row)) for row in rows)


def _kind(values: pd.Series) -> Kind:
    name = str(values.name)
    if name in METRICS:
        return METRICS[name].kind
    return COLUMNS[name][1] if name in COLUMNS else kind_of(values)


def _column(name: str, kind: Kind) -> Column:
    hint = DIRECTIONS.get(METRICS[name].better, "") if name in METRICS else ""
    return Column(column_label(name), kind not in ("text", "date"), hint)
