"""How many customers are in each stage of their life, month by month."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crm_ml.decisions.lifecycle import LIFECYCLE_STAGES
from crm_ml.errors import SchemaError
from crm_ml.plots.bars import name_stack
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    MARKS,
    PALE,
    PRIMARY,
    RULE,
    SECONDARY,
    dress,
    figure_of,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["LifecycleDisplay"]

FILLS: Mapping[str, str] = {
    "prospect": RULE,
    "new": MARKS[6].colour,
    "growing": PALE,
    "mature": PRIMARY,
    "declining": MARKS[5].colour,
    "dormant": SECONDARY,
    "churned": MARKS[4].colour,
}
MOST_MONTHS, MOST_DATES = 5, 4


class LifecycleDisplay(Display):
    """Customers by stage of life over time, one bar per moment, the stages in the order of a life from below.

    Parameters
    ----------
    data : pandas.DataFrame
        Indexed by moment (Timestamp, ascending), at least one; one column per stage of
        `crm_ml.decisions.lifecycle.LIFECYCLE_STAGES`: counts of customers.

    Raises
    ------
    SchemaError
        If a stage or every row is missing.

    Examples
    --------
    >>> import crm_ml
    >>> from crm_ml.decisions.lifecycle import lifecycle_history
    >>> log = crm_ml.load_sample()
    >>> display = LifecycleDisplay.from_history(lifecycle_history(log, cutoffs=crm_ml.monthly_cutoffs(log)))
    >>> display.data["dormant"].tolist()
    [45, 69, 93, 97, 119, 132, 144, 140, 144]
    """

    def __init__(self, data: pd.DataFrame) -> None:
        require_columns(data, LIFECYCLE_STAGES, what="counts by stage")
        if data.empty:
            raise SchemaError("Counts by stage must have at least one row; they have none.\nGive at least one cutoff.")
        self.data = data

    @classmethod
    def from_history(cls, history: pd.DataFrame) -> Self:
        """Count the customers of `crm_ml.decisions.lifecycle.lifecycle_history`, each column a moment."""
        counts = {moment: history[moment].value_counts(sort=False) for moment in history}
        return cls(pd.DataFrame(counts, index=list(LIFECYCLE_STAGES)).T.set_axis(history.columns))

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the bars, with each stage's name and latest count beside the last."""
        ax = new_axes() if ax is None else ax
        at, base = np.arange(len(self.data)), np.zeros(len(self.data))
        middles = {}
        for stage in LIFECYCLE_STAGES:
            counts = self.data[stage].to_numpy(dtype=float)
            ax.bar(at, counts, bottom=base, width=0.86, color=FILLS[stage], edgecolor="white", linewidth=0.5)
            middles[stage] = float(base[-1] + counts[-1] / 2)
            base += counts
        top = float(base.max()) or 1.0
        ax.set(ylim=(0, 1.02 * top), xlim=(-0.6, len(at) - 0.4), ylabel="customers")
        latest = self.data.iloc[-1]
        name_stack(ax, middles, {stage: f"{stage} {short_number(float(latest[stage]))}" for stage in middles}, FILLS)
        monthly = bool((pd.DatetimeIndex(self.data.index).day == 1).all())
        shown = at[:: -math.ceil(len(at) / (MOST_MONTHS if monthly else MOST_DATES))]
        ax.set_xticks(shown, [f"{self.data.index[place]:{'%Y-%m' if monthly else '%Y-%m-%d'}}" for place in shown])
        ax.yaxis.set_major_formatter(number_axis())
        dress(ax)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self
