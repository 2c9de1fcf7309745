"""How numbers are written: one rule per kind, the same decimals down a column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date
from typing import Literal

import pandas as pd

from crm_ml.plots.style import before_amount

__all__ = ["Kind", "kind_of", "write_column", "write_money"]

Kind = Literal["count", "date", "money", "number", "share", "text"]

MISSING = "–"


def write_money(amount: float, *, currency: str, decimals: int | None = None) -> str:
    r"""Write an amount of money; without `decimals`, cents show below 1,000 only.

    Examples
    --------
    >>> write_money(1234.5, currency="$"), write_money(-9.5, currency="R$"), write_money(12, currency="EUR")
    ('$1,234', '−R$9.50', 'EUR\xa012.00')
    """
    if decimals is None:
        decimals = 0 if abs(amount) >= 1000 else 2
    return _signed(amount, f"{before_amount(currency)}{abs(amount):,.{decimals}f}")


def write_column(values: Iterable[object], kind: Kind, *, currency: str) -> list[str]:
    """Write the cells of one column.

    Parameters
    ----------
    values : iterable
        The cells; missing ones are written as a dash.
    kind : Kind
        ``"share"`` is a fraction written as a percentage; ``"number"`` gets the decimals that show three
        significant digits of the largest.
    currency : str
        Sign before ``"money"``.

    Returns
    -------
    list of str
        One text per cell.

    Examples
    --------
    >>> write_column([0.1234, float("nan"), 1], "share", currency="$")
    ['12.3%', '–', '100.0%']
    >>> write_column([1234, -5.25], "money", currency="$")
    ['$1,234', '−$5']
    >>> write_column([0.8123, 12.5], "number", currency="$")
    ['0.8', '12.5']
    """
    cells = list(values)
    write = _writer([cell for cell in cells if not _missing(cell)], kind, currency)
    return [MISSING if _missing(cell) else write(cell) for cell in cells]


def kind_of(values: pd.Series) -> Kind:
    """Guess a column's kind from its dtype.

    Examples
    --------
    >>> kind_of(pd.Series([1, 2])), kind_of(pd.Series([0.5])), kind_of(pd.Series(["a"]))
    ('count', 'number', 'text')
    """
    if pd.api.types.is_bool_dtype(values.dtype):
        return "text"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "count"
    if pd.api.types.is_float_dtype(values.dtype):
        return "number"
    return "date" if pd.api.types.is_datetime64_any_dtype(values.dtype) else "text"


def _writer(present: list[object], kind: Kind, currency: str) -> Callable[[object], str]:
    if kind == "text":
        return str
    if kind == "date":
        return lambda cell: f"{pd.Timestamp(cell):%Y-%m-%d}"  # type: ignore[arg-type]
    largest = max((abs(_number(cell)) for cell in present), default=0.0)
    if kind == "money":
        decimals = 0 if largest >= 1000 else 2
        return lambda cell: write_money(_number(cell), currency=currency, decimals=decimals)
    if kind == "share":
        return lambda cell: _signed(_number(cell), f"{abs(_number(cell)):.1%}")
    decimals = 0 if kind == "count" else _decimals(largest)
    return lambda cell: _signed(_number(cell), f"{abs(_number(cell)):,.{decimals}f}")


def _decimals(largest: float) -> int:
    if largest == 0 or not math.isfinite(largest):
        return 0
    return min(max(2 - math.floor(math.log10(largest)), 0), 4)


def _signed(value: float, size: str) -> str:
    shows_zero = not any(digit in "123456789" for digit in size)
    return f"−{size}" if value < 0 and not shows_zero else size


def _number(cell: object) -> float:
    return float(cell)  # type: ignore[arg-type]


def _missing(cell: object) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, (float, date)) and bool(pd.isna(cell)))
