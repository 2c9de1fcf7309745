"""What every display is: it draws itself, keeps what it drew, and shows itself in a notebook or on a page."""

from __future__ import annotations

import copy
import html
import io
import re
from abc import ABC, abstractmethod
from typing import Self

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["Display", "draw_svg"]

NOTEBOOK_DPI = 130
ROOM_POINTS = 10
"""To the right of a drawing on a page, for texts that a narrow page enlarges."""
SVG_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class Display(ABC):
    """A figure made of a finished frame.

    Attributes
    ----------
    data : pandas.DataFrame
        The frame that is drawn.
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn, after `plot`.
    """

    data: pd.DataFrame
    ax_: Axes
    figure_: Figure

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on a new figure."""

    def _repr_png_(self) -> bytes | None:
        """Show the display in a notebook, unless it was drawn on a figure that the notebook shows anyway."""
        drawn = getattr(self, "figure_", None)
        if drawn is not None and drawn.canvas.manager is not None:
            return None
        picture = io.BytesIO()
        copy.copy(self).plot().figure_.savefig(picture, format="png", dpi=NOTEBOOK_DPI, metadata={"Software": None})
        return picture.getvalue()


def draw_svg(display: Display, *, name: str, description: str) -> str:
    """Draw a display as an ``<svg>`` element for an HTML page.

    Text stays text, so the page's own font is used and the element stays small. Every id is prefixed with
    `name`, so that many figures can share a page; nothing in the element refers to another host.

    Parameters
    ----------
    display : Display
        What to draw. It is drawn under matplotlib's default settings, whatever the caller's are.
    name : str
        Prefix of the element's ids: a letter, then letters, digits and ``-``. Unique on the page.
    description : str
        What the figure shows, for whoever cannot see it. It is escaped here.

    Returns
    -------
    str
        The element; equal input gives equal text.

    Examples
    --------
    >>> from crm_ml.plots import FrontierDisplay
    >>> frontier = pd.DataFrame({"budget": [0, 100, 200], "expected_gain": [0.0, 80.0, 120.0]})
    >>> display = FrontierDisplay(frontier, budget=100)
    >>> element = draw_svg(display, name="frontier", description="Gain by budget")
    >>> element[:66]
    '<svg class="plot" role="img" aria-label="Gain by budget" viewBox="'
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none"})
        buffer = io.StringIO()
        display.plot().figure_.savefig(buffer, format="svg", transparent=True, metadata=SVG_METADATA)
    return _inline(buffer.getvalue(), name=name, description=description)


def _inline(document: str, *, name: str, description: str) -> str:
    size = re.search(r'viewBox="0 0 (\S+) (\S+)"', document)
    if size is None:
        raise AssertionError("matplotlib wrote an SVG without a viewBox")
    body = document[document.index(">", size.end()) + 1 :]
    body = re.sub(r"<!--.*?-->|<style.*?</style>|<defs>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = re.sub(r"<[^>]+>", lambda tag: _prefix_ids(tag.group(), name), body)
    body = re.sub(r"\n\s*", "\n", body)
    label = html.escape(description)
    width, height = float(size.group(1)) + ROOM_POINTS, size.group(2)
    return f'<svg class="plot" role="img" aria-label="{label}" viewBox="0 0 {width:g} {height}">{body.strip()}'


def _prefix_ids(tag: str, name: str) -> str:
    tag = tag.replace("xlink:href", "href")
    return re.sub(r'(\sid="|\shref="#|url\(#)', rf"\g<1>{name}-", tag)
