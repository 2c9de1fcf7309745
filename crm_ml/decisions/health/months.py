"""The months that health is told by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY, Moment, moment, stamp, stamps
from crm_ml.features.ragged import Int

__all__ = ["Months"]

MONTH = pd.DateOffset(months=1)


@dataclass(frozen=True)
class Months:
    """Consecutive months, and the one before the first.

    Attributes
    ----------
    edges : (m + 2,) int64, microseconds: month i of m lies in edges[i + 1]:edges[i + 2], the month before
        the first in edges[0]:edges[1].
    """

    edges: Int

    def __len__(self) -> int:
        return len(self.edges) - 2

    @classmethod
    def ending(cls, cutoffs: Sequence[Moment] | pd.DatetimeIndex) -> Self:
        """Return the months that end at some cutoffs.

        Raises
        ------
        SchemaError
            There is no cutoff, one is no midnight, or two neighbours are not a calendar month apart.

        Examples
        --------
        >>> Months.ending(["2017-05-01", "2017-06-01"]).starts.strftime("%Y-%m-%d").tolist()
        ['2017-04-01', '2017-05-01']
        """
        ends = [stamp(moment(cutoff, name="cutoffs")) for cutoff in cutoffs]
        apart = all(after == end + MONTH or end == after - MONTH for end, after in itertools.pairwise(ends))
        if not ends or not apart or any(moment(end) % DAY for end in ends):
            rule = "be one or more midnights UTC, each a calendar month after the one before"
            raise SchemaError(out_of_range("cutoffs", [str(end) for end in ends], rule))
        before = [ends[0] - MONTH - MONTH, ends[0] - MONTH]
        return cls(np.array([moment(edge) for edge in (*before, *ends)], dtype=np.int64))

    @property
    def starts(self) -> pd.DatetimeIndex:
        """The first moment of each month."""
        return stamps(self.edges[1:-1])

    @property
    def ends(self) -> pd.DatetimeIndex:
        """The first moment after each month."""
        return stamps(self.edges[2:])
