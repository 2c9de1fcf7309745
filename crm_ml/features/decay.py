"""Counts that decay: each event weighs 2^(−days ago / half-life).

The count is kept as of its last event, so that it depends on events only and not on when it is looked at.
Loops that are compiled with `with_event` and `decayed_since` may call both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crm_ml.events.clock import DAY

__all__ = ["NEVER", "decayed_since", "with_event"]

NEVER = np.iinfo(np.int64).min
"""Stands for a moment that has not come."""


def decayed_since(count: Any, last: Any, time: Any, half_life_days: Any) -> Any:
    """Return a count as of a moment after its last event.

    >>> float(decayed_since(3.0, 0, 20 * DAY, 10.0))
    0.75
    """
    return count * np.exp2(-(time - last) / DAY / half_life_days)


def with_event(count: Any, last: Any, time: Any, half_life_days: Any) -> Any:
    """Return a count as of a new event, which is counted; `last` may be `NEVER`.

    >>> float(with_event(1.0, 0, 10 * DAY, 10.0))
    1.5
    """
    if last == NEVER:
        return 1.0
    return count * np.exp2(-(time - last) / DAY / half_life_days) + 1.0
