"""The one way by which a frame becomes CSV: no cell of it is a formula to the spreadsheet that opens it."""

from __future__ import annotations

import csv
import datetime as dt
import re
import unicodedata
from numbers import Number
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["write_csv"]

_BEGINS = ("=", "+", "-", "@", "\N{MINUS SIGN}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame with its index as CSV that a spreadsheet can open without running anything in it.

    A text that begins like a formula gets an apostrophe before it, in cells, index, headers and names: ``=``, ``+``,
    ``-`` or ``@``, also in other widths and after blanks or invisible characters, and whatever begins with a tab or a
    line break (OWASP, CSV Injection). To be told apart, so does a text that begins so after apostrophes of its own;
    taking one apostrophe away gives the text back. Texts that are plain numbers, such as ``-5``, and everything that
    is not text stay as they are. Texts are quoted, so that a separator or line break in one begins no cell.

    Parameters
    ----------
    frame : the frame, such as scores indexed by ``customer_id``.
    path : the file; it appears in one rename, complete or not at all.

    Returns
    -------
    Path
        Of what was written.

    Examples
    --------
    >>> import tempfile
    >>> scores = pd.DataFrame({"clv": [-1.5]}, index=pd.Index(["=1+1"], name="customer_id"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(write_csv(scores, f"{folder}/scores.csv").read_text(encoding="utf-8"))
    "customer_id","clv"
    "'=1+1",-1.5
    <BLANKLINE>
    """
    target = Path(path)
    staged = target.with_name(f".{target.name}.partial")
    levels = [pd.Series(frame.index.get_level_values(level)) for level in range(frame.index.nlevels)]
    columns = [frame.iloc[:, position].reset_index(drop=True) for position in range(frame.shape[1])]
    names = ["" if name is None else _text(str(name)) for name in (*frame.index.names, *frame.columns)]
    safe = pd.concat([_column(column) for column in levels + columns], axis=1).set_axis(names, axis=1)
    try:
        safe.to_csv(staged, index=False, quoting=csv.QUOTE_NONNUMERIC)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    return target


def _column(column: pd.Series) -> pd.Series:
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        return column
    return column.astype(object).map(_value)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, Number | dt.date) or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return value
    return _text(str(value))


def _text(text: str) -> str:
    bare = text.lstrip("'")
    visible = next((sign for sign in bare if unicodedata.category(sign)[0] not in "CZ"), "")
    formula = unicodedata.normalize("NFKC", visible)[:1] in _BEGINS
    control = unicodedata.category(bare[0]) == "Cc" if bare else False
    return f"'{text}" if (formula or control) and not _NUMBER.fullmatch(text) else text
