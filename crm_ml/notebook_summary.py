"""How an object shows itself in a notebook: a title, facts, and the first rows of a table; small, and escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from numbers import Real

import numpy as np
import pandas as pd

__all__ = ["summary_html"]

ROWS, COLUMNS, FACTS = 20, 12, 24
NAME_CHARACTERS, FACT_CHARACTERS = 60, 300

# Colours are the notebook's own, dark or light: lines and pale text are made from the text's colour.
LEFT = "text-align:left;padding:.15em 1em .15em 0;border-bottom:1px solid rgba(128,128,128,.3)"
RIGHT = LEFT.replace("left", "right", 1)


def summary_html(title: str, facts: Mapping[str, object], table: pd.DataFrame | None = None) -> str:
    """Write a summary as a piece of HTML, without script, style sheet or colours of its own.

    At most 24 facts, 20 rows and 12 columns are shown, a fact in at most 300 characters and anything else in 60,
    and what is left out is counted; so the piece stays below 200 kB, whatever it is given.

    Parameters
    ----------
    title : str
        What it is.
    facts : mapping of str to object
        Name to value; numbers get thousands separators, floats six digits, midnights are dates.
    table : DataFrame, optional
        Shown with its index, first rows first.

    Returns
    -------
    str
        One ``<div>``; equal input gives equal text.

    Examples
    --------
    >>> made = summary_html("Plan <1>", {"customers": 12480})
    >>> "<strong>Plan &lt;1&gt;</strong>" in made, ">12,480</td>" in made
    (True, True)
    """
    shown = list(facts.items())[:FACTS]
    lines = [
        f'<tr><th scope="row" style="{LEFT};font-weight:normal;opacity:.8;white-space:nowrap">{_text(name)}</th>'
        f'<td style="{LEFT}">{_text(value, FACT_CHARACTERS)}</td></tr>'
        for name, value in shown
    ]
    parts = [f'<div style="overflow-x:auto;line-height:1.4"><strong>{_text(title)}</strong>']
    if lines:
        parts += [_OPEN, *lines, "</table>"]
    if len(facts) > len(shown):
        parts.append(_rest(f"{len(facts) - len(shown):,} more"))
    if table is not None:
        parts += _table(table)
    return "\n".join(parts) + "</div>"


_OPEN = '<table style="border-collapse:collapse;margin:.4em 0">'


def _table(table: pd.DataFrame) -> list[str]:
    shown = table.iloc[:ROWS, :COLUMNS]
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in shown.dtypes]
    styles = [LEFT, *(RIGHT if number else LEFT for number in numeric)]
    names = [table.index.name if table.index.name is not None else "", *shown.columns]
    heads = "".join(
        f'<th scope="col" style="{style}">{_text(name)}</th>' for name, style in zip(names, styles, strict=True)
    )
    parts = [_OPEN, f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    for name, *cells in shown.itertuples(name=None):
        row = "".join(f'<td style="{style}">{_text(cell)}</td>' for cell, style in zip(cells, styles[1:], strict=True))
        parts.append(f'<tr><th scope="row" style="{LEFT};font-weight:normal">{_text(name)}</th>{row}</tr>')
    parts.append("</tbody></table>")
    counted = zip(table.shape, shown.shape, ("rows", "columns"), strict=True)
    more = [f"{there - here:,} more {what}" for there, here, what in counted if there > here]
    return [*parts, _rest(", ".join(more))] if more else parts


def _rest(text: str) -> str:
    return f'<div style="opacity:.8">{escape(text)}</div>'


def _text(value: object, characters: int = NAME_CHARACTERS) -> str:
    """Write a value in at most so many characters, escaped."""
    written = _written(value)
    short = written if len(written) <= characters else f"{written[: characters - 1]}…"
    return escape(short)


def _written(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        number = float(value)
        return f"{number:,.0f}" if number.is_integer() else f"{number:,.6g}"
    return str(value)
