"""Interaction decline: who looks, clicks and writes less than before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY
from crm_ml.features.builders.words import counted, duration, lately, number, percent, plural, said, together
from crm_ml.features.decay import NEVER, decayed_since, with_event
from crm_ml.features.feature import Feature, Words, register_builder
from crm_ml.features.history import History
from crm_ml.features.ragged import Float, Int

__all__ = ["ActivityDecline", "InteractionDecline"]

PRIOR_WINDOWS = 1
"""Windows of one event each that the usual count of a type is drawn towards."""


@register_builder
@dataclass(frozen=True)
class InteractionDecline:
    """Per event type, the recent window against the windows before it.

    The decline is recent count / usual count − 1. The usual count is the mean of the earlier windows,
    drawn towards one event by one window's weight, so that rare events do not cry wolf. Whoever has
    nothing in the recent window stands at −1, that is −100 %.

    Parameters
    ----------
    window_days : length of a window.
    earlier_windows : number of windows before the recent one.
    half_life_days : half-life of the decayed count.
    event_types : the types to build for; None means those that had occurred by the first cutoff.
    absent : what it means that the log has no event of a type: an error, or nothing to count.
    """

    window_days: int = 30
    earlier_windows: int = 3
    half_life_days: float = 30.0
    event_types: tuple[str, ...] | None = None
    absent: Literal["error", "zero"] = "error"

    def __post_init__(self) -> None:
        for name in ("window_days", "earlier_windows", "half_life_days"):
            if not getattr(self, name) > 0:
                raise SchemaError(out_of_range(name, getattr(self, name), "be above 0"))
        if self.absent not in ("error", "zero"):
            raise SchemaError(out_of_range("absent", self.absent, 'be "error" or "zero"'))

    @property
    def interaction_days(self) -> float:
        """How far before the cutoff interactions are looked at one by one."""
        return self.window_days * (1 + self.earlier_windows)

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return tuple(feature for kind in self.event_types or () for feature in self._describe_one(kind))

    def _describe_one(self, kind: str) -> tuple[Feature, ...]:
        w, earlier, noun = self.window_days, self.earlier_windows, kind.replace("_", " ")
        pace = self._say_pace(kind, noun)
        return (
            Feature(f"{kind}_{w}d", "events", f"events in the last {w} days", "≥ 0", theme=noun, words=pace),
            Feature(
                f"{kind}_decline",
                "ratio",
                f"events in the last {w} days / ((events in the {w * earlier} before + 1) / {earlier + 1}) − 1",
                "≥ −1",
                theme=noun,
                words=pace,
            ),
            Feature(
                f"{kind}_decayed",
                "events",
                f"Σ 2^(−days ago / {self.half_life_days:g})",
                "≥ 0",
                theme=noun,
                words=lately(noun, self.half_life_days),
            ),
            Feature(
                f"days_since_{kind}",
                "days",
                "cutoff − last event",
                "> 0",
                f"no {noun} ever",
                theme=noun,
                words=said(f"last {noun} ", duration, " ago"),
            ),
        )

    def _say_pace(self, kind: str, noun: str) -> Words:
        """Return the words for the recent window beside the earlier ones, whose count the decline gives back."""
        w, earlier = self.window_days, self.earlier_windows

        def say(value: float, row: Mapping[str, float]) -> str:
            recent, decline = (row.get(name, math.nan) for name in (f"{kind}_{w}d", f"{kind}_decline"))
            if math.isnan(recent):
                return f"{percent(abs(value))} {'fewer' if value < 0 else 'more'} {plural(noun)} than usual"
            told = f"{counted(noun)(recent)} in the last {w} days"
            if recent > 0 and decline > -1:
                before = round(recent / (decline + 1) * (earlier + 1) - 1)
                return f"{told}, {number(before)} in the {w * earlier} before"
            known = together(row, f"days_since_{kind}")
            return f"{told}, the last {duration(known[0])} ago" if recent == 0 and known else told

        return say

    def sweep(self, history: History) -> dict[str, Float]:
        """Return one array per feature, by cutoff and customer, for every event type."""
        present, wanted = history.bucket.event_types, self.event_types or ()
        if self.absent == "error":
            _check_present(wanted, present, remedy='Add them, train again without them, or choose absent="zero".')
        places = np.array([wanted.index(name) if name in wanted else -1 for name in present], dtype=np.int64)
        columns = np.empty((4 * len(wanted), *history.shape))
        acts = history.bucket.interactions
        compiled(_sweep, calls=(with_event, decayed_since))(
            acts.offsets,
            acts.time,
            acts.event_type,
            places,
            history.cutoffs,
            round(self.window_days * DAY),
            self.earlier_windows,
            PRIOR_WINDOWS,
            float(self.half_life_days),
            *self._folded(history.bucket),
            columns,
        )
        return dict(zip((feature.name for feature in self.describe()), columns, strict=True))

    def _folded(self, bucket: Bucket) -> tuple[Int, Int, npt.NDArray[np.int16], Float]:
        """Return what happened before the interactions held: customers, last moments, types and decayed counts."""
        folded = bucket.folded
        place = bucket.half_lives_days.index(self.half_life_days) if bucket.half_lives_days else 0
        decayed = folded.decayed[:, place].copy() if bucket.half_lives_days else np.zeros(len(folded.time))
        return folded.offsets, folded.time, folded.event_type, decayed


@register_builder
@dataclass(frozen=True)
class ActivityDecline:
    """All interactions together, the recent window against the mean of the windows before it.

    Events of every type count alike and nothing is drawn towards a prior: this is the fall that a marketer
    finds with a calculator, 5 events after three windows of 10 being −50 %. Whoever did nothing in the
    earlier windows, a customer without any interaction among them, has nothing to fall from. It is in no group, as
    the declines by type tell a model more; `crm_ml.churn.RetentionTrigger` looks at it.

    Parameters
    ----------
    window_days : length of a window.
    earlier_windows : number of windows before the recent one.
    event_types : the types that count; None means those that had occurred by the first cutoff.

    Examples
    --------
    >>> [feature.name for feature in ActivityDecline(window_days=14).describe()]
    ['interactions_14d', 'interaction_decline']
    """

    window_days: int = 30
    earlier_windows: int = 3
    event_types: tuple[str, ...] | None = None

    needs: ClassVar[tuple[str, ...]] = ("interactions",)

    def __post_init__(self) -> None:
        for name in ("window_days", "earlier_windows"):
            if not getattr(self, name) > 0:
                raise SchemaError(out_of_range(name, getattr(self, name), "be above 0"))

    @property
    def interaction_days(self) -> float:
        """How far before the cutoff interactions are looked at."""
        return self.window_days * (1 + self.earlier_windows)

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        w, earlier = self.window_days, self.earlier_windows
        types = " or ".join(self.event_types) if self.event_types else "any type"
        return (
            Feature(f"interactions_{w}d", "events", f"events of {types} in the last {w} days", "≥ 0"),
            Feature(
                "interaction_decline",
                "ratio",
                f"events of {types} in the last {w} days / (those in the {w * earlier} before / {earlier}) − 1",
                "≥ −1",
                f"none in the {w * earlier} days before the last {w}",
            ),
        )

    def sweep(self, history: History) -> dict[str, Float]:
        """Return one array per feature, by cutoff and customer."""
        present = history.bucket.event_types
        wanted = present if self.event_types is None else self.event_types
        _check_present(wanted, present, remedy="Add them, or do not name them.")
        acts, columns = history.bucket.interactions, np.empty((4, *history.shape))
        compiled(_sweep, calls=(with_event, decayed_since))(
            acts.offsets,
            acts.time,
            acts.event_type,
            np.array([0 if name in wanted else -1 for name in present], dtype=np.int64),
            history.cutoffs,
            round(self.window_days * DAY),
            self.earlier_windows,
            0,
            1.0,  # the decayed count is of no interest here
            np.zeros(len(history) + 1, dtype=np.int64),
            acts.time[:0],
            acts.event_type[:0],
            np.zeros(0),
            columns,
        )
        return dict(zip((feature.name for feature in self.describe()), columns[:2], strict=True))


def _check_present(wanted: tuple[str, ...], present: tuple[str, ...], *, remedy: str) -> None:
    absent = sorted(set(wanted) - set(present))
    if absent:
        raise SchemaError(
            f"The log must hold the event types the features were made for. Absent: {absent}; "
            f"present: {list(present)}.\n{remedy}"
        )


def _sweep(
    offsets: Any,
    time: Any,
    event_type: Any,
    places: Any,
    cutoffs: Any,
    window: Any,
    earlier_windows: Any,
    prior_windows: Any,
    half_life: Any,
    folded_offsets: Any,
    folded_time: Any,
    folded_type: Any,
    folded_decayed: Any,
    columns: Any,
) -> None:
    """Fold each customer's events up to every cutoff, and let two edges follow: the windows' ends in the past."""
    n_types = len(columns) // 4
    recent, earlier = np.zeros(n_types, dtype=np.int64), np.zeros(n_types, dtype=np.int64)
    decayed, last = np.zeros(n_types), np.full(n_types, NEVER)
    for customer in range(len(offsets) - 1):
        end = offsets[customer + 1]
        row = near_edge = far_edge = offsets[customer]
        recent[:], earlier[:], decayed[:], last[:] = 0, 0, 0.0, NEVER
        for fold in range(folded_offsets[customer], folded_offsets[customer + 1]):
            place = places[folded_type[fold]]
            if place >= 0:
                decayed[place], last[place] = folded_decayed[fold], folded_time[fold]
        for at in range(len(cutoffs)):
            cutoff = cutoffs[at]
            while row < end and time[row] < cutoff:
                place = places[event_type[row]]
                if place >= 0:
                    recent[place] += 1
                    decayed[place] = with_event(decayed[place], last[place], time[row], half_life)
                    last[place] = time[row]
                row += 1
            while near_edge < row and time[near_edge] < cutoff - window:
                place = places[event_type[near_edge]]
                if place >= 0:
                    recent[place] -= 1
                    earlier[place] += 1
                near_edge += 1
            while far_edge < near_edge and time[far_edge] < cutoff - window * (1 + earlier_windows):
                place = places[event_type[far_edge]]
                if place >= 0:
                    earlier[place] -= 1
                far_edge += 1
            for place in range(n_types):
                columns[4 * place, at, customer] = recent[place]
                columns[4 * place + 1, at, customer] = np.nan
                if earlier[place] + prior_windows > 0:
                    usual = (earlier[place] + prior_windows) / (earlier_windows + prior_windows)
                    columns[4 * place + 1, at, customer] = recent[place] / usual - 1
                if last[place] == NEVER:
                    columns[4 * place + 2, at, customer] = 0.0
                    columns[4 * place + 3, at, customer] = np.nan
                else:
                    columns[4 * place + 2, at, customer] = decayed_since(decayed[place], last[place], cutoff, half_life)
                    columns[4 * place + 3, at, customer] = (cutoff - last[place]) / DAY
