"""Which segment each customer is in next."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.errors import SchemaError, missing_column
from crm_ml.events.clock import stamp

__all__ = ["next_segments", "read_since"]

Bool = NDArray[np.bool_]


def next_segments(
    fires: Bool,
    keeps: Bool,
    *,
    present: NDArray[np.int8],
    stayed: NDArray[np.int64],
    sources: Bool,
    minimum_stay: NDArray[np.int64],
) -> NDArray[np.int8]:
    """Return the segment of each customer, by position in a policy; see `SegmentPolicy`.

    Parameters
    ----------
    fires, keeps : (k, n) whether the rules of k segments fire for n customers, best segment first.
    present : (n,) the segments they are in: k for none of them, k + 1 for those not yet known.
    stayed : (n,) how long they have been in it, in the unit of `minimum_stay`.
    sources : (k, k + 2) whether a segment may be entered from each of the segments, none of them, or unknown.
    minimum_stay : (k,)

    Returns
    -------
    (n,) positions; k for none of the segments.

    Examples
    --------
    Two tiers: the first customer falls from the upper to the lower, which keeps whom it would not take; the second
    has not been in the upper for long enough to fall.

    >>> no, both = np.zeros((2, 2), dtype=bool), np.array([[False, False], [True, True]])
    >>> next_segments(no, both, present=np.zeros(2, dtype=np.int8), stayed=np.array([30, 29]),
    ...               sources=np.ones((2, 4), dtype=bool), minimum_stay=np.array([30, 0])).tolist()
    [1, 0]
    """
    found = np.full(len(present), len(fires), dtype=np.int8)
    for segment in reversed(range(len(fires))):
        allowed = sources[segment][found] | sources[segment][present]
        enters = (fires[segment] | (keeps[segment] & (present < segment))) & allowed
        stays = fires[segment] | keeps[segment] | (stayed < minimum_stay[segment])
        found[enters | ((present == segment) & stays)] = segment
    return found


def read_since(previous: pd.DataFrame, dtype: pd.CategoricalDtype, now: int) -> NDArray[np.int64]:
    """Return since when, in microseconds, the customers of an earlier result were in their segments; check it."""
    remedy = "Give what `transform` returned with `as_of`."
    for column in ("segment", "since"):
        if column not in previous.columns:
            raise SchemaError(missing_column(column, map(str, previous.columns), what="previous", remedy=remedy))
    if previous["segment"].dtype != dtype or previous.isna().to_numpy().any():
        kind = previous["segment"].dtype
        found = list(kind.categories) if isinstance(kind, pd.CategoricalDtype) else kind
        raise SchemaError(
            f"`previous` must hold a segment of this policy, {list(dtype.categories)}, for every customer; its "
            f"segments are {found}.\n{remedy}"
        )
    since = pd.DatetimeIndex(pd.to_datetime(previous["since"], utc=True)).as_unit("us").asi8
    if len(since) and since.max() > now:
        raise SchemaError(
            f"`previous` must not lie after `as_of`, {stamp(now)}; a customer is in a segment since "
            f"{stamp(since.max())}.\nGive the moments in order."
        )
    return since
