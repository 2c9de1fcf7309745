"""A label window of each customer's own length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY, days
from crm_ml.features.feature import Feature, register_builder
from crm_ml.features.history import History
from crm_ml.features.ragged import Float

__all__ = ["Horizon", "PersonalHorizon"]

PRIOR_GAPS = 2.0
"""Weight of the population's median gap, in gaps: that of `IntervalStretch`'s usual gap by default."""


@register_builder
@dataclass(frozen=True)
class PersonalHorizon:
    """A horizon in proportion to the customer's own rhythm, for `build_panel` and as a feature.

    The window is `multiple` × the shrunken median gap, and never shorter or longer than stated. The shrunken
    median gap is the geometric mean of the median of the own gaps between purchase days, which weighs as many
    as there are, and of the population's median, which weighs two. With few gaps it is near the population's,
    and one long absence moves it less than it moves a mean. Given to `build_panel` as `horizon_days` it sets
    the labels; given among the features it makes the same number known to a model when it predicts.

    Parameters
    ----------
    multiple : window in shrunken median gaps.
    shortest_days, longest_days : bounds of the window. Where no customer has a gap yet it is the longest.

    Raises
    ------
    SchemaError
        A setting is not above 0 and finite, or the shortest window is longer than the longest.

    Examples
    --------
    >>> import crm_ml
    >>> panel = crm_ml.build_panel(
    ...     crm_ml.load_sample(), cutoffs=["2017-09-01"], horizon_days=PersonalHorizon(multiple=4), features="rfm"
    ... )
    >>> panel["horizon_days"].quantile([0.1, 0.5, 0.9]).round(1).tolist()
    [14.0, 24.0, 59.2]
    """

    multiple: float = 2.0
    shortest_days: float = 14
    longest_days: float = 90

    interaction_days: ClassVar[float] = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.multiple) and self.multiple > 0):
            raise SchemaError(out_of_range("multiple", self.multiple, "be above 0 and finite"))
        if days(self.shortest_days, name="shortest_days") > days(self.longest_days, name="longest_days"):
            rule = f"be at most `longest_days`, {self.longest_days:g}"
            raise SchemaError(out_of_range("shortest_days", self.shortest_days, rule))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of the feature."""
        p = f"{PRIOR_GAPS:g}"
        formula = (
            f"{self.multiple:g} × exp((gaps × log median gap + {p} log m) / (gaps + {p})), m the population's median "
            f"latest gap; clipped to {self.shortest_days:g} … {self.longest_days:g}"
        )
        return (Feature("personal_horizon_days", "days", formula, f"{self.shortest_days:g} … {self.longest_days:g}"),)

    def sweep(self, history: History) -> dict[str, Float]:
        """Return the length of the window in days, whole to the microsecond, by cutoff and customer."""
        gap, bought = np.empty(history.shape), history.purchase_days
        prior = np.log(history.population_gap_days)
        compiled(_shrunken_median_gap)(bought.offsets, bought.day, bought.time, history.cutoffs, prior, PRIOR_GAPS, gap)
        wanted = np.clip(self.multiple * gap, self.shortest_days, self.longest_days)
        return {"personal_horizon_days": np.rint(np.where(np.isnan(gap), self.longest_days, wanted) * DAY) / DAY}


Horizon = float | PersonalHorizon
"""A length of the label window in days: one for all, or each customer's own."""


def _shrunken_median_gap(
    offsets: Any, day: Any, time: Any, cutoffs: Any, prior: Any, prior_gaps: Any, shrunken: Any
) -> None:
    """Keep each customer's gaps in order as they accrue, and look at their middle at every cutoff."""
    ordered = np.empty(len(day), dtype=np.int64)
    for customer in range(len(offsets) - 1):
        begin, row, n = offsets[customer], offsets[customer], 0
        for at in range(len(cutoffs)):
            while row < offsets[customer + 1] and time[row] < cutoffs[at]:
                if row > begin:
                    gap, place = day[row] - day[row - 1], n
                    while place > 0 and ordered[place - 1] > gap:
                        ordered[place] = ordered[place - 1]
                        place -= 1
                    ordered[place] = gap
                    n += 1
                row += 1
            own = 0.0
            if n > 0:
                own = n * np.log((ordered[(n - 1) // 2] + ordered[n // 2]) / 2.0)
            shrunken[at, customer] = np.exp((own + prior_gaps * prior[at]) / (n + prior_gaps))
