"""Mean spend of customers against Gamma-Gamma, as in Fader and Hardie (2013), figure 1."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_ml.clv.diagnostics.bins import cut, edges_of_width
from crm_ml.clv.rfm_frame import check_fitted, check_spend
from crm_ml.clv.spend import GammaGammaModel, gamma_gamma

__all__ = ["spend_distribution"]


def spend_distribution(rfm: pd.DataFrame, model: GammaGammaModel, *, width: float) -> pd.DataFrame:
    """Return how many customers spend how much per repeat purchase, actual and expected.

    The expectation knows each customer's number of repeat purchases x and nothing else: it adds up the
    distributions of a mean over x purchases. Only customers that the model is fitted on count, with a repeat
    purchase and a positive mean spend.

    Parameters
    ----------
    rfm : DataFrame of shape (n_customers, ...)
        Columns ``frequency`` and ``monetary_value``.
    model : a fitted Gamma-Gamma model.
    width : float, > 0
        Width of a bin, in money.

    Returns
    -------
    DataFrame
        One row per bin of mean spend in (``above``, ``up_to``], ascending, the last one without an upper end
        and holding at most 1 % of the customers: ``actual`` and ``expected`` number of customers.

    Raises
    ------
    CrmError
        The width is not positive.

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 1, 1, 4, 4], "monetary_value": [0, 5, 20, 80, 15, 40]})
    >>> rfm = rfm.loc[np.repeat(rfm.index, [60, 30, 50, 20, 20, 20])]
    >>> spend_distribution(rfm, GammaGammaModel().fit(rfm), width=40).round(1)
       above  up_to  actual  expected
    0    0.0   40.0     120     111.6
    1   40.0   80.0      20      23.3
    2   80.0    inf       0       5.1
    """
    check_fitted(model, "params_")
    x, m = check_spend(rfm)
    used = (x > 0) & (m > 0)
    edges = edges_of_width(m[used], name="width", width=width)
    counts, customers = np.unique(x[used], return_counts=True)
    below = gamma_gamma.probability_of_spend_up_to(edges, counts[:, None], **model.params_)
    return cut(m[used], edges).assign(expected=customers @ np.diff(below, axis=1))
