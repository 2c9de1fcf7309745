"""A history: who was in which segment or stage at each of several moments, as one wide frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.events.clock import stamps

__all__ = ["history_frame"]


def history_frame(
    customers: Sequence[NDArray[np.object_]],
    codes: Sequence[NDArray[np.int8]],
    *,
    dtype: pd.CategoricalDtype,
    cutoffs: NDArray[np.int64],
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Return a history of customers who come in parts, and the order of its rows among them.

    Parameters
    ----------
    customers : (n,) identifiers of each part.
    codes : (c, n) positions in the categories, of each part; −1 where a customer was not yet known.
    dtype : the ordered categorical of every column.
    cutoffs : (c,) microseconds, ascending.

    Returns
    -------
    history : DataFrame
        Indexed by customer_id in order, everyone known at some cutoff, with one column per cutoff, named ``cutoff``.
    order : places of its rows in the parts put together.

    Examples
    --------
    >>> kind = pd.CategoricalDtype(["gold", "basic"], ordered=True)
    >>> parts = [np.array(["b", "a"], dtype=object)], [np.array([[0, -1], [1, -1]], dtype=np.int8)]
    >>> history, order = history_frame(*parts, dtype=kind, cutoffs=np.array([0, 1]))
    >>> history.loc["b"].tolist(), order.tolist()
    (['gold', 'basic'], [0])
    """
    names = pd.Index(np.concatenate(customers), name="customer_id", dtype="str")
    together = np.concatenate(codes, axis=1)
    known = np.flatnonzero((together >= 0).any(axis=0))
    order = known[names[known].argsort()]
    columns = {at: pd.Categorical.from_codes(row[order], dtype=dtype) for at, row in enumerate(together)}
    history = pd.DataFrame(columns, index=names[order])
    return history.set_axis(stamps(cutoffs).rename("cutoff"), axis=1), order
