"""Where the membership scores lie, and what each tier's are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crm_ml.decisions.segments.score import MembershipScore
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    LINE_INCHES,
    MUTED,
    PALE,
    SECONDARY,
    SMALL_TEXT_SIZE,
    dress,
    figure_of,
    key_above,
    key_height_inches,
    marks,
    new_panels,
    number_axis,
    require_columns,
    shortened,
)

__all__ = ["ScoreDisplay"]

BIN_POINTS = 25
LONGEST_NAME, LONGEST_LINE = 24, 18
SUFFIX = "_points"


class ScoreDisplay(Display):
    r"""How many customers have which score, with the tiers' bounds, and each tier's mean points by part.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per customer: `score`, `tier` (categorical, best first) and one column ending in ``_points`` per
        part, as `crm_ml.decisions.MembershipScore.transform` gives it.
    tiers : mapping of str to float
        The least score of each tier.

    Attributes
    ----------
    tiers_ax_ : matplotlib Axes or None
        The panel of the tiers, where one was drawn.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> scored = pd.DataFrame({"score": [900, 100], "tier": pd.Categorical(["gold", "rest"]),
    ...                        "spend_points": [600, 100], "frequency_points": [300, 0]})
    >>> drawn = ScoreDisplay(scored, tiers={"gold": 500, "rest": 0}).plot()
    >>> [text.get_text() for text in drawn.tiers_ax_.get_yticklabels()]
    ['gold\n50% of customers', 'rest\n50% of customers']
    """

    tiers_ax_: Axes | None

    def __init__(self, data: pd.DataFrame, *, tiers: Mapping[str, float]) -> None:
        require_columns(data, ("score", "tier"), what="scores")
        self.data = data
        self.tiers = tiers

    @classmethod
    def from_score(cls, score: MembershipScore, features: pd.DataFrame) -> Self:
        """Score customers and take the tiers of a fitted score."""
        return cls(score.transform(features), tiers=score.tiers)

    def plot(self, ax: Axes | None = None, *, tiers_ax: Axes | None = None) -> Self:
        """Draw the distribution and, below or on `tiers_ax`, the tiers.

        Without `ax` both panels are made; with `ax` alone only the distribution is drawn.
        """
        if ax is None:
            lines = sum(textwrap.fill(name, LONGEST_LINE).count("\n") + 3 for name in self.tiers)
            below = 0.3 + LINE_INCHES * lines
            above = key_height_inches([name.removesuffix(SUFFIX) for name in self._parts()])
            ax, tiers_ax = new_panels(heights=(2.2, below), height_inches=2.9 + below + above)
        self._draw_scores(ax)
        if tiers_ax is not None:
            self._draw_tiers(tiers_ax)
        else:
            ax.set_xlabel("score")
        self.ax_, self.tiers_ax_, self.figure_ = ax, tiers_ax, figure_of(ax)
        return self

    def _parts(self) -> list[str]:
        return [name for name in map(str, self.data.columns) if name.endswith(SUFFIX)]

    def _draw_scores(self, ax: Axes) -> None:
        edges = np.arange(0, 1000 + BIN_POINTS, BIN_POINTS)
        ax.hist(self.data["score"], bins=list(edges), color=PALE, edgecolor="white", linewidth=0.5)
        for name, bound in self.tiers.items():
            if bound > 0:
                ax.axvline(bound, color=SECONDARY, linewidth=1.2, linestyle=(0, (4, 2)))
                ax.annotate(
                    shortened(name, LONGEST_NAME),
                    (bound, 1),
                    (1, -2),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    rotation=90,
                    ha="right",
                    va="top",
                    color=INK,
                    size=SMALL_TEXT_SIZE,
                )
        ax.set(xlim=(0, 1000), ylabel="customers")
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_formatter(number_axis())
        dress(ax)

    def _draw_tiers(self, ax: Axes) -> None:
        parts = self._parts()
        means = self.data.groupby("tier", observed=False)[parts].mean().reindex(list(self.tiers)).fillna(0.0)
        shares = self.data["tier"].value_counts(normalize=True).reindex(list(self.tiers)).fillna(0.0)
        at, base = np.arange(len(means)), np.zeros(len(means))
        for part, mark in marks(parts).items():
            points = means[part].to_numpy()
            label = str(part).removesuffix(SUFFIX)
            ax.barh(at, points, left=base, height=0.6, color=mark.colour, label=label, edgecolor="white")
            for row in np.flatnonzero(points >= 40):
                middle, text = base[row] + points[row] / 2, f"{points[row]:.0f}"
                ax.text(middle, at[row], text, ha="center", va="center", color="white", size=SMALL_TEXT_SIZE)
            base += points
        names = [textwrap.fill(name, LONGEST_LINE) for name in self.tiers]
        ax.set_yticks(at, [f"{name}\n{share:.0%} of customers" for name, share in zip(names, shares, strict=True)])
        ax.invert_yaxis()
        ax.set_xlabel("score, and mean points of each part")
        key_above(ax)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0, labelcolor=MUTED)
