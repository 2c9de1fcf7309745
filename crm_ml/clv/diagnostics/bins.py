"""Bins of equal width and an open one, in which what was seen stands beside what was expected."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.rfm_frame import check_positive

__all__ = ["cut", "edges_of_width"]

Array = NDArray[np.float64]

COVERED = 0.99
"""Share of what was seen that lies below the open bin, at least."""


def edges_of_width(seen: Array, *, name: str, width: float) -> Array:
    """Return 0, width, 2 width, … up to where at most 1 % lies beyond, and infinity.

    Raises
    ------
    CrmError
        The width is not positive.

    Examples
    --------
    >>> edges_of_width(np.array([1.0, 5.0, 13.0]), name="width", width=7.0).tolist()
    [0.0, 7.0, 14.0, inf]
    """
    check_positive(name, width)
    reach = np.quantile(seen, COVERED, method="higher") if len(seen) else width
    return np.append(np.arange(max(np.ceil(reach / width), 1.0) + 1.0) * width, np.inf)


def cut(seen: Array, edges: Array) -> pd.DataFrame:
    """Count what was seen in each bin (above, up_to].

    Examples
    --------
    >>> cut(np.array([7.0, 8.0, 30.0]), np.array([0.0, 7.0, 14.0, np.inf])).to_numpy().tolist()
    [[0.0, 7.0, 1.0], [7.0, 14.0, 1.0], [14.0, inf, 1.0]]
    """
    bin_of = np.searchsorted(edges, seen, side="left") - 1
    actual = np.bincount(bin_of, minlength=len(edges) - 1)
    return pd.DataFrame({"above": edges[:-1], "up_to": edges[1:], "actual": actual})
