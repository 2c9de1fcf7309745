"""A random number for every customer that neither the run nor the company they are in changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from crm_ml.events.partition.hashing import hash_integers, hash_texts, mixed

__all__ = ["salted_draws"]


def salted_draws(customers: pd.Index, *, salt: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each identifier, as if drawn at random.

    Parameters
    ----------
    customers : Index of shape (n_customers,)
        Identifiers; 17 and "17" are one customer.
    salt : str
        Another salt gives unrelated numbers.

    Returns
    -------
    ndarray of shape (n_customers,)

    Examples
    --------
    >>> salted_draws(pd.Index(["ann", "bob"]), salt="spring").round(3)
    array([0.437, 0.463])
    """
    if pd.api.types.is_integer_dtype(customers.dtype) and not customers.hasnans:
        hashes = hash_integers(customers.to_numpy(dtype=np.int64))
    else:
        hashes = hash_texts(pa.array(customers.astype(str), type=pa.large_string()))
    salted: NDArray[np.uint64] = mixed(hashes ^ hash_texts(pa.array([salt], type=pa.large_string())))
    return (salted >> np.uint64(11)).astype(np.float64) * 2.0**-53
