"""Counts of events of any type, as a team words them: weighted, and on how many days in a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.events.clock import DAY, days
from crm_ml.features.builders.words import counted, number, said
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, owner_of, sum_per

__all__ = ["DayStreak", "EventCount"]


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
        if self.absent == "error":
            _check_present(self.weights, past, name=self.name)
            if self.by_value and "value" not in past.columns:
                remedy = f'Add it, or pass absent="zero" to have `{self.name}` count nothing.'
                raise SchemaError(missing_column("value", sorted(past.columns), what="interactions", remedy=remedy))
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


@register_builder
@dataclass(frozen=True)
class DayStreak:
    """One number per customer: the longest run of consecutive days, in UTC, with an event of some types.

    Events are those in ``cutoff − window <= time < cutoff``. Interactions have no category, so a log that is to tell
    views of one kind of goods from others carries the kind in the event type, such as ``"view_premium"``.

    Parameters
    ----------
    name : of the column.
    event_types : the types that count, at least one.
    window_days : length of the window.
    absent : what an event type that the log does not have means: an error, or nothing to count.

    Examples
    --------
    >>> [feature.formula for feature in DayStreak("premium_streak", ("view_premium",)).describe()]
    ['longest run of days with an event of view_premium in the last 30 days']
    """

    name: str
    event_types: tuple[str, ...]
    window_days: float = 30
    absent: Literal["error", "zero"] = "error"

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise SchemaError(out_of_range("name", self.name, "name a column"))
        if isinstance(self.event_types, str) or not self.event_types:
            raise SchemaError(out_of_range("event_types", self.event_types, "be one or more names in a tuple"))
        days(self.window_days, name="window_days")
        if self.absent not in ("error", "zero"):
            raise SchemaError(out_of_range("absent", self.absent, 'be "error" or "zero"'))
        object.__setattr__(self, "event_types", tuple(self.event_types))

    @property
    def interaction_days(self) -> float:
        """How far back before the cutoff interactions are looked at."""
        return self.window_days

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of the feature."""
        types = " or ".join(self.event_types)
        formula = f"longest run of days with an event of {types} in the last {self.window_days:g} days"
        noun, within = self.name.replace("_", " "), f" in the last {self.window_days:g} days"
        words = said(f"{noun} of ", counted("day"), within)
        return (Feature(self.name, "days", formula, "≥ 0", words=words),)

    def build(self, past: Past) -> dict[str, Float]:
        """Return the feature.

        Raises
        ------
        SchemaError
            The log lacks an event type, and `absent` is "error".
        """
        if self.absent == "error":
            _check_present(self.event_types, past, name=self.name)
        events = past.interactions
        wanted = np.flatnonzero([kind in self.event_types for kind in past.event_types])
        since = past.cutoff - days(self.window_days, name="window_days")
        rows = np.flatnonzero(np.isin(events.event_type, wanted) & (events.time >= since))
        owner, day = owner_of(events.offsets)[rows], events.time[rows] // DAY
        first = np.diff(owner, prepend=-1) != 0
        since_last = np.diff(day, prepend=0)
        new = first | (since_last != 0)  # each day of a customer once
        begins = (first | (since_last != 1))[new]
        run = np.cumsum(begins) - 1
        longest = np.zeros(len(past))
        np.maximum.at(longest, owner[new][begins], np.bincount(run, minlength=1)[: begins.sum()].astype(np.float64))
        return {self.name: longest}


def _check_present(wanted: Iterable[str], past: Past, *, name: str) -> None:
    absent = sorted(set(wanted) - set(past.event_types))
    if absent:
        raise SchemaError(
            f"The log must hold the event types that `{name}` counts. Absent: {absent}; "
            f'present: {list(past.event_types)}.\nAdd them, or pass absent="zero" to count them as nothing.'
        )
