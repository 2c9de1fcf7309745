"""How the numbers of one customer are said: whole counts, days, money, shares, multiples.

A feature's words are made of fixed parts and of ways to write its value::

    said("last purchase ", duration, " ago")
    said(counted("order"), " in the last 30 days")

What needs other features of the same customer is a function of the value and of all of them by name. It must
do without any of them, since a feature can be chosen alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from crm_ml.features.feature import Words

__all__ = [
    "Write",
    "counted",
    "duration",
    "lately",
    "money",
    "number",
    "percent",
    "plural",
    "said",
    "spent",
    "times",
    "together",
]

Write = Callable[[float], str]
"""Writes a number, which is not missing."""

LARGEST_WRITTEN_OUT = 1e12


def said(*parts: str | Write) -> Words:
    """Return the words made of fixed parts and of ways to write the value.

    >>> said("last purchase ", duration, " ago")(43.2, {})
    'last purchase 43 days ago'
    """
    return lambda value, _: "".join(part if isinstance(part, str) else part(value) for part in parts)


def together(row: Mapping[str, float], *names: str) -> tuple[float, ...] | None:
    """Return a customer's values of the features named, or None unless all are there and known."""
    values = tuple(row.get(name, math.nan) for name in names)
    return None if any(map(math.isnan, values)) else values


def number(value: float) -> str:
    """Write a number to two digits, those before the point always.

    >>> [number(value) for value in (1389.7, 18.2, 2.44, 0.0301, 3.0, -0.5, 0.0004)]
    ['1,390', '18', '2.4', '0.03', '3', '−0.5', '0']
    """
    size = abs(value)
    if size >= LARGEST_WRITTEN_OUT:
        text = f"{size:.2g}"
    elif size >= 9.95:
        text = f"{size:,.0f}"
    elif size >= 0.995:
        text = f"{size:.1f}".removesuffix(".0")
    else:
        text = f"{size:.2f}".rstrip("0").removesuffix(".")
    return f"−{text}" if value < 0 and text != "0" else text


def counted(one: str, many: str = "") -> Write:
    """Return the way to write how many of something there are; `many` is its plural where `plural` errs.

    >>> [counted("order")(value) for value in (0, 1, 2, 1.3)]
    ['no orders', '1 order', '2 orders', '1.3 orders']
    """

    def write(value: float) -> str:
        text = number(value)
        return f"no {several}" if value == 0 else f"{text} {one if text == '1' else several}"

    several = many or plural(one)
    return write


def lately(noun: str, half_life_days: float) -> Words:
    """Return the words for a decayed count.

    >>> [lately("order", 14)(value, {}) for value in (0.57, 0.0001, 0)]
    ['0.57 orders of late (one of 14 days ago counts half)', 'next to no orders of late', 'no orders so far']
    """

    def say(value: float, _: Mapping[str, float]) -> str:
        if number(value) == "0":
            return f"next to no {plural(noun)} of late" if value else f"no {plural(noun)} so far"
        return f"{counted(noun)(value)} of late (one of {half_life_days:g} days ago counts half)"

    return say


def plural(noun: str) -> str:
    """Return the plural of a noun, or what ends like a plural as it is.

    >>> [plural(noun) for noun in ("order", "delivery", "day", "search", "mails")]
    ['orders', 'deliveries', 'days', 'searches', 'mails']
    """
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    if noun.endswith(("ch", "sh", "x", "ss")):
        return f"{noun}es"
    return noun if noun.endswith("s") else f"{noun}s"


def duration(value: float) -> str:
    """Write a stretch of time.

    >>> [duration(value) for value in (0.4, 1.2, 43.4)]
    ['less than a day', '1 day', '43 days']
    """
    return "less than a day" if value < 1 else counted("day")(round(value))


def money(value: float) -> str:
    """Write an amount, whose currency a log does not know, with cents below 100.

    >>> [money(value) for value in (1389.741, 35.2, -12)]
    ['1,390', '35.20', '−12.00']
    """
    size = abs(value)
    text = f"{size:.2f}" if size < 99.995 else number(size)
    return f"−{text}" if value < 0 and text != "0.00" else text


def spent(value: float) -> str:
    """Write net spend.

    >>> [spent(value) for value in (23.4, 0, -12)]
    ['23.40 spent', 'nothing spent', '12.00 more returned than spent']
    """
    if money(abs(value)) == "0.00":
        return "nothing spent"
    return f"{money(value)} spent" if value > 0 else f"{money(-value)} more returned than spent"


def percent(share: float) -> str:
    """Write a share of one; only none and all are written as 0% and 100%.

    >>> [percent(share) for share in (0, 0.001, 0.354, 0.999, 1)]
    ['0%', 'less than 1%', '35%', 'more than 99%', '100%']
    """
    if 0 < share < 0.005:
        return "less than 1%"
    return "more than 99%" if 0.995 < share < 1 else f"{number(round(100 * share))}%"


def times(ratio: float) -> str:
    """Write a multiple.

    >>> [times(ratio) for ratio in (2.44, 18.3, 0.96, 0.001)]
    ['2.4 ×', '18 ×', '0.96 ×', 'less than 0.01 ×']
    """
    return f"{number(ratio)} ×" if ratio >= 0.005 else "less than 0.01 ×"
