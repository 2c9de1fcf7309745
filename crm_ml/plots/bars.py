"""Two bars to a row: the form shared by segments and plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from crm_ml.plots.style import INK, PALE, PRIMARY, SMALL_TEXT_SIZE, dress, key

__all__ = ["paired_bars"]

THICKNESS = 0.36


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
