"""Interaction decline: who looks, clicks and writes less than before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, count_per, last_per, sum_per

__all__ = ["InteractionDecline"]


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
    """

    window_days: int = 30
    earlier_windows: int = 3
    half_life_days: float = 30.0
    event_types: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("window_days", "earlier_windows", "half_life_days"):
            if not getattr(self, name) > 0:
                raise SchemaError(out_of_range(name, getattr(self, name), "be above 0"))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        w, earlier = self.window_days, self.earlier_windows
        return tuple(
            feature
            for kind in self.event_types or ()
            for feature in (
                Feature(f"{kind}_{w}d", "events", f"events in the last {w} days", "≥ 0"),
                Feature(
                    f"{kind}_decline",
                    "ratio",
                    f"last {w} days / usual count of the {earlier} windows before − 1",
                    "≥ −1",
                ),
                Feature(f"{kind}_decayed", "events", f"Σ 2^(−days ago / {self.half_life_days:g})", "≥ 0"),
                Feature(f"days_since_{kind}", "days", "cutoff − last event", "> 0", "never had one"),
            )
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature, for every event type."""
        absent = sorted(set(self.event_types or ()) - set(past.event_types))
        if absent:
            raise SchemaError(
                f"The log must hold the event types the features were made for. Absent: {absent}; "
                f"present: {list(past.event_types)}.\nAdd them, or train again without them."
            )
        columns: dict[str, Float] = {}
        for kind in self.event_types or ():
            columns |= self._build_type(past, kind)
        return columns

    def _build_type(self, past: Past, kind: str) -> dict[str, Float]:
        events = past.interactions.where(past.interactions.event_type == past.event_types.index(kind))
        ago = past.days_ago(events.time)
        recent = count_per(ago <= self.window_days, events.offsets)
        since = self.window_days * (1 + self.earlier_windows)
        earlier = count_per((ago > self.window_days) & (ago <= since), events.offsets)
        usual = (earlier + 1) / (self.earlier_windows + 1)
        return {
            f"{kind}_{self.window_days}d": recent,
            f"{kind}_decline": recent / usual - 1,
            f"{kind}_decayed": sum_per(np.exp2(-ago / self.half_life_days), events.offsets),
            f"days_since_{kind}": past.days_ago(last_per(events.time, events.offsets)),
        }
