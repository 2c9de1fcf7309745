"""Forms that several displays share: two bars to a row, and names beside stacked bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from crm_ml.plots.style import INK, LINE_INCHES, PALE, PRIMARY, SMALL_TEXT_SIZE, dress, figure_of, key

__all__ = ["name_stack", "paired_bars"]

THICKNESS = 0.36
SHRINK = {"shrinkA": 2, "shrinkB": 0}


def paired_bars(
    ax: Axes,
    rows: Sequence[str],
    *,
    upper: tuple[str, np.ndarray],
    lower: tuple[str, np.ndarray],
    write: Callable[[float], str],
) -> None:
    """Draw two horizontal bars for each row, the first row on top.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    rows : sequence of str
        Row names, shape ``(n,)``.
    upper, lower : (str, ndarray of shape (n,))
        Name and lengths of the dark and of the pale, outlined bar.
    write : callable
        Turns a length into the text at the end of its bar.
    """
    at = np.arange(len(rows))
    fills: tuple[dict[str, Any], ...] = (
        {"facecolor": PRIMARY},
        {"facecolor": PALE, "edgecolor": PRIMARY, "linewidth": 0.6},
    )
    for (name, lengths), fill, offset in zip((upper, lower), fills, (-0.5, 0.5), strict=True):
        bars = ax.barh(at + offset * THICKNESS, lengths, height=THICKNESS * 0.92, label=name, **fill)
        labels = [write(length) for length in lengths]
        ax.bar_label(bars, labels=labels, padding=3, size=SMALL_TEXT_SIZE, color=INK)
    ax.set_yticks(at, rows)
    ax.invert_yaxis()
    ax.margins(x=0.2)
    key(ax, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    ax.axvline(0, color=INK, linewidth=0.8)
    dress(ax, grid=None)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xticks([])


def name_stack(ax: Axes, middles: Mapping[str, float], texts: Mapping[str, str], colours: Mapping[str, str]) -> None:
    """Write a name beside each part of the last stacked bar, as near to its middle as the other names let it.

    Called when the limits are set.

    Parameters
    ----------
    middles : of the parts, from below, in units of the y axis.
    texts, colours : what to write of each part, and the colour of the line that leads to it.
    """
    low, high = ax.get_ylim()
    at = (np.array(list(middles.values())) - low) / (high - low)
    nearest = LINE_INCHES * 0.9 / (ax.get_position().height * figure_of(ax).get_figheight())
    for name, middle, place in zip(middles, at, _apart(at, nearest=nearest), strict=True):
        ax.annotate(
            texts[name],
            (1, middle),
            xycoords="axes fraction",
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            color=INK,
            size=SMALL_TEXT_SIZE,
            arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 2.4, "relpos": (0, 0.5)} | SHRINK,
        )


def _apart(places: NDArray[np.float64], *, nearest: float) -> NDArray[np.float64]:
    """Return ascending places moved up, then down from the top, until all are at least so far from each other.

    >>> _apart(np.array([0.1, 0.1, 0.98]), nearest=0.1).round(2).tolist()
    [0.1, 0.2, 0.98]
    """
    moved = np.array(places, dtype=float)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + nearest)
    moved[-1] = min(moved[-1], 1.0)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - nearest)
    return moved
