"""Weighted counts of events of any type, as a team words them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.events.clock import days
from crm_ml.features.builders.words import number, said
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, sum_per

__all__ = ["EventCount"]


@register_builder
@dataclass(frozen=True)
class EventCount:
    """One number per customer: a weighted count of events in a window before the cutoff.

    Σ weight over the events in ``cutoff − window <= time < cutoff``; times the event's value with
    `by_value`, where a missing value is 0; times 2^(−days ago / half-life) if a half-life is given.

    Parameters
    ----------
    name : of the column.
    weights : weight of an event by its type, of either sign; types not named count nothing.
    window_days : length of the window.
    half_life_days : half-life of an event's weight within the window; None means no decay.
    by_value : whether events count by their value.
    absent : what an event type (or, with `by_value`, the column `value`) that the log does not have
        means: an error, or nothing to count.

    Examples
    --------
    >>> [feature.formula for feature in EventCount("engagement", {"view": 1, "cart": 5}, window_days=30).describe()]
    ['Σ over the last 30 days of 1 × view + 5 × cart']
    """

    name: str
    weights: Mapping[str, float] = field(hash=False)
    window_days: float
    half_life_days: float | None = None
    by_value: bool = False
    absent: Literal["error", "zero"] = "error"

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise SchemaError(out_of_range("name", self.name, "name a column"))
        if not self.weights or not all(math.isfinite(weight) for weight in self.weights.values()):
            raise SchemaError(out_of_range("weights", dict(self.weights), "hold a finite weight per event type"))
        days(self.window_days, name="window_days")
        if self.half_life_days is not None:
            days(self.half_life_days, name="half_life_days")
        if self.absent not in ("error", "zero"):
            raise SchemaError(out_of_range("absent", self.absent, 'be "error" or "zero"'))
        object.__setattr__(self, "weights", {kind: float(weight) for kind, weight in self.weights.items()})

    @property
    def interaction_days(self) -> float:
        """How far back before the cutoff interactions are looked at."""
        return self.window_days

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of the feature."""
        terms = " + ".join(f"{weight:g} × {kind}" for kind, weight in self.weights.items())
        by_value = ", each times its value" if self.by_value else ""
        decay = "" if self.half_life_days is None else f", each times 2^(−days ago / {self.half_life_days:g})"
        unit = "weighted value" if self.by_value else "weighted events"
        signed = self.by_value or min(self.weights.values()) < 0
        formula = f"Σ over the last {self.window_days:g} days of {terms}{by_value}{decay}"
        words = said(f"{self.name.replace('_', ' ')} of ", number, f" in the last {self.window_days:g} days")
        return (Feature(self.name, unit, formula, "any" if signed else "≥ 0", words=words),)

    def build(self, past: Past) -> dict[str, Float]:
        """Return the feature.

        Raises
        ------
        SchemaError
            The log lacks an event type or the column `value`, and `absent` is "error".
        """
        self._check(past)
        events = past.interactions
        weight = np.array([self.weights.get(kind, 0.0) for kind in past.event_types], dtype=np.float64)
        since = past.cutoff - days(self.window_days, name="window_days")
        rows = np.flatnonzero(np.isin(events.event_type, np.flatnonzero(weight)) & (events.time >= since))
        counted = weight[events.event_type[rows]]
        if self.by_value:
            counted = counted * np.nan_to_num(events.value[rows], nan=0.0)
        if self.half_life_days is not None:
            counted = counted * np.exp2(-past.days_ago(events.time[rows]) / self.half_life_days)
        return {self.name: sum_per(counted, np.searchsorted(rows, events.offsets))}

    def _check(self, past: Past) -> None:
        if self.absent == "zero":
            return
        absent = sorted(set(self.weights) - set(past.event_types))
        if absent:
            raise SchemaError(
                f"The log must hold the event types that `{self.name}` weighs. Absent: {absent}; "
                f'present: {list(past.event_types)}.\nAdd them, or pass absent="zero" to count them as nothing.'
            )
        if self.by_value and "value" not in past.columns:
            remedy = f'Add it, or pass absent="zero" to have `{self.name}` count nothing.'
            raise SchemaError(missing_column("value", sorted(past.columns), what="interactions", remedy=remedy))
