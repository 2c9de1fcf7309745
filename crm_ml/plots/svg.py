"""A display as an SVG element that can stand inside an HTML page, the same bytes every time."""

from __future__ import annotations

import html
import io
import re

import matplotlib as mpl

from crm_ml.plots.display import Display

__all__ = ["draw_svg"]

_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


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
    >>> import pandas as pd
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
        display.plot().figure_.savefig(buffer, format="svg", transparent=True, metadata=_METADATA)
    return _inline(buffer.getvalue(), name=name, description=description)


def _inline(document: str, *, name: str, description: str) -> str:
    size = re.search(r'viewBox="([^"]*)"', document)
    if size is None:
        raise AssertionError("matplotlib wrote an SVG without a viewBox")
    body = document[document.index(">", size.end()) + 1 :]
    body = re.sub(r"<!--.*?-->|<style.*?</style>|<defs>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = re.sub(r"<[^>]+>", lambda tag: _prefix_ids(tag.group(), name), body)
    body = re.sub(r"\n\s*", "\n", body)
    label = html.escape(description)
    return f'<svg class="plot" role="img" aria-label="{label}" viewBox="{size.group(1)}">{body.strip()}'


def _prefix_ids(tag: str, name: str) -> str:
    tag = tag.replace("xlink:href", "href")
    return re.sub(r'(\sid="|\shref="#|url\(#)', rf"\g<1>{name}-", tag)
