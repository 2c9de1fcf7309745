"""What sets the stages of a customer's life apart."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import days

__all__ = ["LIFECYCLE_STAGES", "Lifecycle"]

LIFECYCLE_STAGES = ("prospect", "new", "growing", "mature", "declining", "dormant", "churned")
"""The stages in the order of a life."""


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """The ages and silences at which a customer's stage changes.

    Age is the time since the first purchase, silence the time since the last one. Silence wins over age, and the
    longer silence over the shorter: who has been silent long enough is churned, dormant or declining whatever the
    age, and only who is not is new, growing or mature. Somebody who bought once, 70 days ago, is declining and not
    growing: the stage says what to do next, and a team that nurtures "growing" customers must find them there.
    Every bound belongs to the later stage: 30 days after the first purchase a customer is growing.

    Silence is judged by one of two clocks. ``"calendar"`` takes the same days for everyone. ``"own"`` takes multiples
    of the customer's usual gap between purchases, `usual_gap_days` of `crm_ml.features.IntervalStretch`: half a
    year without a purchase is then nothing in one who buys twice a year, and much in one who buys weekly. That gap
    is drawn towards the population's by the weight of two gaps, so it is the population's for whoever bought once,
    new customers among them, and becomes the customer's own with every purchase. Where nobody has bought twice
    there is no usual gap, and nobody is silent by that clock.

    Parameters
    ----------
    basis : the clock that decides on silence; the bounds of the other are not looked at.
    new_days, growing_days : age at which a customer is no longer new, and no longer growing.
    declining_days, dormant_days, churned_days : silence by the calendar: two months without a purchase, a quarter
        (from which shops commonly call a customer asleep) and a year.
    declining_gaps, dormant_gaps, churned_gaps : silence in usual gaps. Of customers who stay and buy at random
        moments, who are the least regular, 33, 11 and 1 % have at any time been silent for 2, 4 and 8 of them;
        of regular ones far fewer. The 1.3 of a retention trigger would be passed by 48 %: it is made to go
        together with a fall of interactions.
    woken_days : how long ago, at most, a purchase that ended a dormant silence makes its customer a woken one.

    Raises
    ------
    SchemaError
        The basis is unknown, or a number is not above 0 and finite or does not rise with the stage.

    Examples
    --------
    >>> Lifecycle(basis="own", churned_gaps=12).dormant_gaps
    4
    >>> Lifecycle(declining_days=120)
    Traceback (most recent call last):
    ...
    crm_ml.errors.SchemaError: `dormant_days` must be above `declining_days`, 120; got 90.
    """

    basis: Literal["calendar", "own"] = "calendar"
    new_days: float = 30
    growing_days: float = 180
    declining_days: float = 60
    dormant_days: float = 90
    churned_days: float = 365
    declining_gaps: float = 2
    dormant_gaps: float = 4
    churned_gaps: float = 8
    woken_days: float = 30

    def __post_init__(self) -> None:
        if self.basis not in ("calendar", "own"):
            raise SchemaError(out_of_range("basis", self.basis, 'be "calendar" or "own"'))
        stages = ("declining", "dormant", "churned")
        for name in ("new_days", "growing_days", *(f"{stage}_days" for stage in stages), "woken_days"):
            days(getattr(self, name), name=name)
        for stage in stages:
            gaps = getattr(self, f"{stage}_gaps")
            if not (math.isfinite(gaps) and gaps > 0):
                raise SchemaError(out_of_range(f"{stage}_gaps", gaps, "be above 0 and finite"))
        rising = [("new_days", "growing_days")]
        rising += [(f"{a}_{unit}", f"{b}_{unit}") for unit in ("days", "gaps") for a, b in itertools.pairwise(stages)]
        for earlier, later in rising:
            if not getattr(self, earlier) < getattr(self, later):
                rule = f"be above `{earlier}`, {getattr(self, earlier):g}"
                raise SchemaError(out_of_range(later, getattr(self, later), rule))

    @property
    def silences(self) -> tuple[float, float, float]:
        """Silence from which a customer is declining, dormant and churned: in days, or in usual gaps of the own."""
        if self.basis == "own":
            return self.declining_gaps, self.dormant_gaps, self.churned_gaps
        return self.declining_days, self.dormant_days, self.churned_days
