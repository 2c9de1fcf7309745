"""What every display is: it draws itself, keeps what it drew, and shows itself in a notebook."""

from __future__ import annotations

import copy
import io
from abc import ABC, abstractmethod
from typing import Self

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["Display"]

NOTEBOOK_DPI = 130


class Display(ABC):
    """A figure made of finished frames.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn, after `plot`.
    """

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
