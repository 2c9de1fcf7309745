"""What a process says of every history there can be, over frequency and recency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_positive, check_whole

__all__ = ["expected_purchases_matrix", "probability_alive_matrix"]


def probability_alive_matrix(model: PurchaseProcess, *, T: float, max_frequency: int) -> pd.DataFrame:
    """Return P(alive) at age ``T`` over recency and frequency.

    Parameters
    ----------
    model : a fitted purchase process in continuous time.
    T : float, > 0
        Time since the first purchase, in the fit's unit.
    max_frequency : int, >= 1
        Repeat purchases in the last column.

    Returns
    -------
    DataFrame of shape (floor(T) + 1, max_frequency + 1)
        Indexed by ``recency`` 0, 1, …; columns ``frequency`` 0, 1, …. NaN where there can be no such
        history: without a repeat purchase the recency is 0, and with one it is not.

    Raises
    ------
    CrmError
        ``T`` is not positive, or ``max_frequency`` no whole number of at least 1.

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5], "recency": [0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 36.0, 31.0, 33.0]})
    >>> model = BetaGeoModel(time_unit="W").fit(rfm, weights=[500, 200, 90, 20])
    >>> probability_alive_matrix(model, T=3, max_frequency=2).round(3).to_numpy().tolist()
    [[1.0, nan, nan], [nan, 0.33, 0.477], [nan, 0.372, 0.56], [nan, 0.41, 0.63]]
    """
    return _over_histories(model.probability_alive, T=T, max_frequency=max_frequency)


def expected_purchases_matrix(model: PurchaseProcess, *, horizon: float, T: float, max_frequency: int) -> pd.DataFrame:
    """Return expected purchases within the next ``horizon`` at age ``T``, over recency and frequency.

    Parameters
    ----------
    model : a fitted purchase process in continuous time.
    horizon : float, > 0
        In the fit's unit of time.
    T, max_frequency : as in `probability_alive_matrix`.

    Returns
    -------
    DataFrame
        As from `probability_alive_matrix`.

    Raises
    ------
    CrmError
        ``horizon`` or ``T`` is not positive, or ``max_frequency`` no whole number of at least 1.

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5], "recency": [0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 36.0, 31.0, 33.0]})
    >>> model = BetaGeoModel(time_unit="W").fit(rfm, weights=[500, 200, 90, 20])
    >>> matrix = expected_purchases_matrix(model, horizon=26, T=38, max_frequency=9)
    >>> matrix.loc[[12, 36], [1, 9]].round(2).to_numpy().tolist()
    [[0.11, 0.01], [0.24, 3.74]]
    """
    return _over_histories(
        lambda histories: model.expected_purchases(histories, horizon), T=T, max_frequency=max_frequency
    )


def _over_histories(value: Callable[[pd.DataFrame], pd.Series], *, T: float, max_frequency: int) -> pd.DataFrame:
    check_positive("T", T)
    check_whole("max_frequency", max_frequency, least=1)
    recency, frequency = np.indices((int(T) + 1, max_frequency + 1))
    possible = (recency > 0) == (frequency > 0)
    histories = pd.DataFrame({"frequency": frequency[possible], "recency": recency[possible], "T": float(T)})
    values = np.full(possible.shape, np.nan)
    values[possible] = value(histories)
    rows, columns = (
        pd.RangeIndex(n, name=name) for n, name in zip(values.shape, ("recency", "frequency"), strict=True)
    )
    return pd.DataFrame(values, index=rows, columns=columns)
