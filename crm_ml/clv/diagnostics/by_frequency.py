"""Customers by their number of repeat purchases: how many there are, and what they bought thereafter.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, figures 3 and 5.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_histories
from crm_ml.errors import SchemaError

__all__ = ["customers_by_frequency", "holdout_by_frequency"]

MOST_REPEATS = 7
"""Customers with so many repeat purchases or more make one group, as in the literature's tables."""


class CountsNewCustomers(Protocol):
    """A fitted process that knows how often new customers buy again."""

    def probability_of_purchases_new_customer(self, n: ArrayLike, t: ArrayLike) -> NDArray[np.float64]:
        """Probability of exactly ``n`` repeat purchases within ``t``; they broadcast."""
        ...


def customers_by_frequency(rfm: pd.DataFrame, model: CountsNewCustomers) -> pd.DataFrame:
    """Return how many customers made how many repeat purchases, actual and expected.

    The expectation knows each customer's ``T``, and nothing else.

    Parameters
    ----------
    rfm : DataFrame of shape (n_customers, ...)
        Columns ``frequency``, ``recency`` and ``T``.
    model : a fitted purchase process in continuous time.

    Returns
    -------
    DataFrame
        Indexed by ``frequency`` ("0" to "6" and "7+"): ``actual`` and ``expected`` number of customers.

    Raises
    ------
    SchemaError
        A history is impossible.

    Examples
    --------
    >>> class Poisson:  # at one purchase per unit of time
    ...     def probability_of_purchases_new_customer(self, n, t):
    ...         return stats.poisson.pmf(n, t)
    >>> from scipy import stats
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 9], "recency": [0, 2.0, 8.0], "T": [1.0, 2.0, 8.0]})
    >>> customers_by_frequency(rfm, Poisson()).round(3).loc[["0", "7+"]].to_numpy().tolist()
    [[1.0, 0.504], [1.0, 0.691]]
    """
    x, _, T = check_histories(rfm)
    ages, customers = np.unique(T, return_counts=True)
    few = np.arange(MOST_REPEATS)
    expected = customers @ model.probability_of_purchases_new_customer(few, ages[:, None])
    actual = np.bincount(np.minimum(x, MOST_REPEATS).astype(int), minlength=MOST_REPEATS + 1)
    labels = pd.Index([repeats_label(n) for n in range(MOST_REPEATS + 1)], name="frequency")
    return pd.DataFrame({"actual": actual, "expected": [*expected, len(rfm) - expected.sum()]}, index=labels)


def holdout_by_frequency(
    rfm: pd.DataFrame, holdout_purchases: pd.Series, model: PurchaseProcess, *, horizon: float
) -> pd.DataFrame:
    """Return mean purchases after calibration, actual and expected, by repeat purchases within it.

    Parameters
    ----------
    rfm : DataFrame of shape (n_customers, ...)
        Histories up to the end of calibration.
    holdout_purchases : Series of shape (n_customers,)
        Purchases of each customer within the ``horizon`` that follows; indexed like ``rfm``, in any order.
    model : a fitted purchase process.
    horizon : float, > 0
        Length of the holdout in the fit's unit of time.

    Returns
    -------
    DataFrame
        Indexed by ``frequency`` ("0" to "6" and "7+"; those that occur): ``customers``, and the means
        ``actual`` and ``expected``.

    Raises
    ------
    SchemaError
        A customer of ``rfm`` has no number of holdout purchases.

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 2, 9], "recency": [0, 0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 30.0, 36.0, 31.0, 33.0]}, index=list("abcde"))
    >>> model = BetaGeoModel(time_unit="W").fit(rfm, weights=[400, 100, 200, 90, 20])
    >>> later = pd.Series({"e": 6, "d": 1, "c": 0, "b": 0, "a": 1})
    >>> holdout_by_frequency(rfm, later, model, horizon=26).round(2).loc["7+"].tolist()
    [1.0, 6.0, 5.14]
    """
    actual = holdout_purchases.reindex(rfm.index)
    if actual.isna().any():
        raise SchemaError(
            f"Every customer needs a number of holdout purchases; {int(actual.isna().sum()):,} of {len(rfm):,} "
            "have none.\nIndex `holdout_purchases` like `rfm`, with 0 for those who bought nothing."
        )
    both = pd.DataFrame({"actual": actual, "expected": model.expected_purchases(rfm, horizon)})
    groups = both.groupby(rfm["frequency"].clip(upper=MOST_REPEATS).astype(int))
    table = pd.concat([groups.size().rename("customers"), groups.mean()], axis=1)
    return table.rename(index=repeats_label).rename_axis("frequency")


def repeats_label(n: int) -> str:
    """Name a group of customers by their repeat purchases.

    >>> repeats_label(6), repeats_label(7)
    ('6', '7+')
    """
    return f"{n}+" if n >= MOST_REPEATS else str(n)
