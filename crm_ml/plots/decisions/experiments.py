"""What an experiment can find, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crm_ml.decisions.experiments import Baseline, ExperimentReading, minimum_detectable_effect
from crm_ml.errors import SchemaError
from crm_ml.plots.display import Display
from crm_ml.plots.style import (
    INK,
    MUTED,
    dress,
    figure_of,
    key_above,
    key_height_inches,
    marks,
    new_axes,
    number_axis,
    require_columns,
    short_number,
)

__all__ = ["EffectsDisplay", "PowerDisplay"]

ROW_INCHES = 0.22
FEWEST, MOST, POINTS = 0.2, 2.0, 55
"""Sizes drawn, as shares of the size asked about."""


class EffectsDisplay(Display):
    """Effects of arms with their intervals, over all customers and by segment, and where no effect would be.

    A thick line is the interval of one effect, the thin one beyond it that of all effects drawn together.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per arm and group of customers, as `effects` of a reading: `arm`, `by` and `segment` ("all" for all
        customers), `effect`, `lower`, `upper`, `adjusted_lower` and `adjusted_upper`.
    metric : str
        What the effect is on.
    control : str
        What it is measured against.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> data = pd.DataFrame({"arm": "coupon", "by": ["all", "channel"], "segment": ["all", "web"],
    ...                      "effect": [0.02, 0.03], "lower": [0.01, 0.0], "upper": [0.03, 0.06],
    ...                      "adjusted_lower": [0.005, -0.01], "adjusted_upper": [0.035, 0.07]})
    >>> ax = EffectsDisplay(data, metric="retained").plot().ax_
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['all customers', 'channel web']
    """

    def __init__(self, data: pd.DataFrame, *, metric: str, control: str = "control") -> None:
        columns = ("arm", "by", "segment", "effect", "lower", "upper", "adjusted_lower", "adjusted_upper")
        require_columns(data, columns, what="effects")
        self.data = data
        self.metric = metric
        self.control = control

    @classmethod
    def from_reading(cls, reading: ExperimentReading, *, metric: str) -> Self:
        """Return the display of one metric of a reading.

        Raises
        ------
        SchemaError
            If the reading has no such metric.
        """
        data = reading.effects[reading.effects["metric"] == metric]
        if data.empty:
            have = list(dict.fromkeys(reading.effects["metric"]))
            raise SchemaError(f"The reading must hold metric {metric!r}; it has {have}.\nName one of these.")
        return cls(data.reset_index(drop=True), metric=metric, control=reading.control)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a row per group of customers, the first on top, and in it a point with its intervals per arm."""
        names = [
            "all customers" if by == "all" else f"{by} {segment}"
            for by, segment in zip(self.data["by"], self.data["segment"], strict=True)
        ]
        rows, groups = pd.factorize(pd.Index(names))
        drawn = marks(self.data["arm"])
        if ax is None:
            room = 0.9 + key_height_inches([str(arm) for arm in drawn])
            ax = new_axes(height_inches=room + ROW_INCHES * len(groups) * max(len(drawn), 1.5))
        step = 0.7 / len(drawn)
        ax.axvline(0, color=INK, linewidth=0.8)
        for place, (arm, mark) in enumerate(drawn.items()):
            own = (self.data["arm"] == arm).to_numpy()
            at, chosen = rows[own] + (place - (len(drawn) - 1) / 2) * step, self.data[own]
            ax.hlines(at, chosen["adjusted_lower"], chosen["adjusted_upper"], color=mark.colour, linewidth=0.9)
            ax.hlines(at, chosen["lower"], chosen["upper"], color=mark.colour, linewidth=2.6)
            ax.plot(
                chosen["effect"], at, color=mark.colour, marker=mark.marker, markersize=5, linestyle="none", label=arm
            )
        ax.set_yticks(range(len(groups)), list(groups))
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.set_xlabel(f"effect on {self.metric} per customer, against {self.control}")
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.xaxis.set_major_formatter(number_axis())
        key_above(ax)
        dress(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self


class PowerDisplay(Display):
    """The least effect that an experiment finds, by its size, with one size marked.

    Parameters
    ----------
    data : pandas.DataFrame
        One row per arm and size: `arm`, `customers` (in all arms together, ascending) and `effect`.
    customers : int
        The size to mark, one of the sizes drawn or between them.
    metric : str
        What the effect is on.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> display = PowerDisplay.from_baseline(Baseline(0.60), {"control": 0.5, "coupon": 0.5}, customers=18_665)
    >>> display.plot().ax_.get_legend().get_texts()[0].get_text()
    'coupon: 0.02 with 18.7k customers'
    """

    def __init__(self, data: pd.DataFrame, *, customers: int, metric: str = "outcome") -> None:
        require_columns(data, ("arm", "customers", "effect"), what="detectable effects")
        self.data = data
        self.customers = customers
        self.metric = metric

    @classmethod
    def from_baseline(
        cls,
        baseline: Baseline,
        arms: Mapping[str, float],
        *,
        customers: int,
        metric: str = "outcome",
        control: str = "control",
        significance_level: float = 0.05,
        power: float = 0.8,
    ) -> Self:
        """Return the display for an outcome, from a fifth of a size to twice it.

        The settings are those of `crm_ml.decisions.experiments.minimum_detectable_effect`.
        """
        sizes = np.rint(customers * np.linspace(FEWEST, MOST, POINTS)).astype(int)
        effects = [
            minimum_detectable_effect(
                baseline, size, arms, control=control, significance_level=significance_level, power=power
            )
            for size in sizes.tolist()
        ]
        table = pd.concat(effects, keys=sizes, names=["customers"]).rename("effect").reset_index()
        return cls(table, customers=customers, metric=metric)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a line per arm, and the effect at the size marked."""
        drawn = marks(self.data["arm"])
        written = short_number(self.customers)
        labels = {arm: f"{arm}: {short_number(self._effect(arm))} with {written} customers" for arm in drawn}
        ax = new_axes(height_inches=3.1 + key_height_inches(list(labels.values()))) if ax is None else ax
        for arm, mark in drawn.items():
            own = self.data[self.data["arm"] == arm]
            ax.plot(
                own["customers"],
                own["effect"].replace(np.inf, np.nan),
                color=mark.colour,
                linestyle=mark.linestyle,
                linewidth=mark.linewidth,
                label=labels[arm],
            )
            ax.plot([self.customers], [self._effect(arm)], color=mark.colour, marker=mark.marker, markersize=6)
        ax.axvline(self.customers, color=MUTED, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
        ax.set(xlim=(0, None), ylim=(0, None), xlabel="customers in all arms", ylabel=f"least effect on {self.metric}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6))
            axis.set_major_formatter(number_axis())
        key_above(ax)
        dress(ax, grid="both")
        self.ax_, self.figure_ = ax, figure_of(ax)
        return self

    def _effect(self, arm: object) -> float:
        own = self.data[self.data["arm"] == arm]
        return float(np.interp(self.customers, own["customers"], own["effect"]))
