"""The one place where colours, line styles and the look of an Axes are chosen.

Colours follow Okabe and Ito (2008), told apart with any common colour vision; every series also has its
own line style and marker, so that a plot printed in grey still reads. Styling is done on the artists, never
through ``matplotlib.rcParams``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from crm_ml.errors import SchemaError, missing_column

INK = "#1c2733"
MUTED = "#5b6773"
RULE = "#d5dbe1"
GRID = "#e9edf0"
PRIMARY = "#0b5394"
SECONDARY = "#d55e00"
PALE = "#a9c4de"

SHADES = LinearSegmentedColormap.from_list("shades", ["#f4f7fa", PALE, PRIMARY, "#06294b"])

TEXT_SIZE = 9.0
SMALL_TEXT_SIZE = 8.0
WIDTH_INCHES = 4.8
HEIGHT_INCHES = 3.3
LINE_INCHES = 0.17
KEY_CHARACTERS = 44
ROW_CHARACTERS = 22

SCALES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


class Mark(NamedTuple):
    """How one series is drawn: colour, line style, marker and line width in points."""

    colour: str
    linestyle: Any
    marker: str
    linewidth: float


MARKS = (
    Mark(PRIMARY, "-", "o", 2.2),
    Mark(SECONDARY, (0, (5, 1.6)), "s", 1.6),
    Mark("#009e73", (0, (1, 1.2)), "^", 1.8),
    Mark("#8a3b78", (0, (6, 1.5, 1, 1.5)), "D", 1.5),
    Mark("#6b7680", (0, (3, 2)), "v", 1.4),
    Mark("#b07d00", (0, (1, 2.4)), "P", 1.6),
    Mark("#3a9bd9", (0, (8, 2)), "X", 1.4),
)


def marks(names: Iterable[object]) -> dict[object, Mark]:
    """Give each distinct name its mark, in order of appearance.

    Parameters
    ----------
    names : iterable
        Names of the series; repeated ones count once. From the eighth on, marks repeat.

    Returns
    -------
    dict
        Name to `Mark`.

    Examples
    --------
    >>> [mark.marker for mark in marks(["churn model", "recency", "recency"]).values()]
    ['o', 's']
    """
    return {name: MARKS[i % len(MARKS)] for i, name in enumerate(dict.fromkeys(names))}


def require_columns(frame: pd.DataFrame, columns: Iterable[str], *, what: str) -> None:
    """Raise where a frame lacks a column a display draws.

    Raises
    ------
    SchemaError
        If a column is missing.
    """
    for column in columns:
        if column not in frame.columns:
            raise SchemaError(missing_column(column, map(str, frame.columns), what=what, remedy="Add or rename it."))


def new_axes(*, height_inches: float = HEIGHT_INCHES) -> Axes:
    """Make an Axes on a figure of its own, unknown to pyplot."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure.add_subplot()


def new_panels(*, heights: tuple[float, float], height_inches: float) -> tuple[Axes, Axes]:
    """Make two Axes, one above the other, that share their x axis; `heights` are their proportions."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    return upper, lower


def figure_of(ax: Axes) -> Figure:
    """Return the outermost figure of an Axes."""
    return cast(Figure, ax.get_figure(root=True))


def dress(ax: Axes, *, grid: str | None = "y") -> None:
    """Give an Axes the house look: two pale spines, quiet ticks, a grid along `grid` ("x", "y" or "both").

    Called last, when every text is there: it has them drawn as written.
    """
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(RULE)
    ax.tick_params(which="both", labelsize=TEXT_SIZE, labelcolor=INK, color=RULE, length=3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(size=TEXT_SIZE, color=MUTED)
        axis.get_offset_text().set(size=TEXT_SIZE, color=MUTED)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(True, axis=cast(Any, grid), color=GRID, linewidth=0.8)
    # names and currency signs are data, not mathematics
    for text in ax.findobj(Text):
        text.set_parse_math(False)


def key(ax: Axes, **placement: Any) -> None:
    """Add a frameless legend, placed by the keywords of ``Axes.legend``."""
    ax.legend(frameon=False, fontsize=TEXT_SIZE, labelcolor=INK, handlelength=2.6, borderaxespad=0.4, **placement)


def key_above(ax: Axes) -> None:
    """Add a key of the lines above an Axes, in as many columns as their names leave room for."""
    handles, labels = ax.get_legend_handles_labels()
    wrapped = _wrapped(labels)
    key(
        ax,
        handles=handles,
        labels=wrapped,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=_key_columns(wrapped),
        columnspacing=1.2,
    )


def key_height_inches(names: Sequence[str]) -> float:
    """Return how much taller a figure must be for a key of these names above its Axes."""
    wrapped = _wrapped(names)
    lines = sum(name.count("\n") + 1 for name in wrapped)
    return LINE_INCHES * math.ceil(lines / _key_columns(wrapped))


def _wrapped(names: Iterable[str]) -> list[str]:
    return [textwrap.fill(name, KEY_CHARACTERS) for name in names]


def _key_columns(names: Iterable[str]) -> int:
    longest = max(map(len, names), default=0)
    return next((columns for columns in (3, 2) if longest <= KEY_CHARACTERS // columns - 3), 1)


def row_names(names: Iterable[object]) -> list[str]:
    r"""Write the names of a plot's rows in two short lines at most, so that the bars beside them keep their room.

    Examples
    --------
    >>> row_names(["loyal", "lapsed members of the loyalty programme, second reminder by post"])
    ['loyal', 'lapsed members of the\nloyalty programme, …']
    """
    return ["\n".join(textwrap.wrap(str(name), ROW_CHARACTERS, max_lines=2, placeholder=" …")) for name in names]


def shortened(name: object, characters: int) -> str:
    """Cut a name off after so many characters.

    >>> shortened("gold", 6), shortened("members of the programme", 12)
    ('gold', 'members of…')
    """
    text = str(name)
    return text if len(text) <= characters else f"{text[: characters - 1].rstrip()}…"


def before_amount(currency: str) -> str:
    r"""Give a sign or code as it stands before an amount: letters keep a space, which no line breaks at.

    Examples
    --------
    >>> before_amount("$"), before_amount("EUR")
    ('$', 'EUR\xa0')
    """
    return f"{currency}\N{NO-BREAK SPACE}" if currency[-1:].isalpha() else currency


def shaded_cells(ax: Axes, shares: NDArray[np.float64], *, highest: float) -> QuadMesh:
    """Draw a table of shares as shaded cells, the first row on top; as shapes, not as a picture, for pages.

    Parameters
    ----------
    shares : (n, m), at least 0; NaN is left blank.
    highest : the share of the darkest shade.
    """
    rows, columns = shares.shape
    across, down = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    cells = ax.pcolormesh(across, down, shares, cmap=SHADES, vmin=0, vmax=highest, edgecolors="face", linewidth=0.3)
    ax.invert_yaxis()
    return cells


def short_number(value: float, *, prefix: str = "") -> str:
    """Write a number to three significant digits, as on an axis or at the end of a bar.

    Examples
    --------
    >>> short_number(12_500, prefix="$"), short_number(-40, prefix="€"), short_number(999_900)
    ('$12.5k', '−€40', '1M')
    """
    rounded = float(f"{abs(value):.3g}")
    prefix = before_amount(prefix)
    scale, suffix = next((pair for pair in SCALES if rounded >= pair[0]), (1, ""))
    return f"{'−' if value < 0 else ''}{prefix}{rounded / scale:.3g}{suffix}"


def number_axis(prefix: str = "") -> FuncFormatter:
    """Format ticks as short numbers, with a currency sign before them where there is one."""
    return FuncFormatter(lambda value, _: short_number(value, prefix=prefix))
