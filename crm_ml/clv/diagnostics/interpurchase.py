"""Time between purchases against the model's, both as seen through the end of observation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.diagnostics.bins import cut, edges_of_width
from crm_ml.clv.diagnostics.gap_density import gaps_with_exponential_dropout, gaps_with_geometric_dropout
from crm_ml.clv.processes import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.clv.summary import days_per_unit
from crm_ml.errors import CrmError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.past import Past

__all__ = ["interpurchase_times"]

Array = NDArray[np.float64]
GapDensity = Callable[[Array, Array], Array]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def interpurchase_times(
    log: CustomerLog, model: PurchaseProcess, *, as_of: Moment, width_days: float = 7.0
) -> pd.DataFrame:
    """Return how many gaps between consecutive purchases last how long, actual and expected.

    The expectation knows when each customer first bought, and nothing else. It is the exact number of gaps
    that customers of the process show *within their observation*: long gaps are as often cut off by the end
    of observation as in the data, so the two may be compared without correction.

    Parameters
    ----------
    log : CustomerLog
    model : a fitted purchase process in days or weeks: of the BG family or Pareto/NBD.
    as_of : date-like
        Only purchases before it count; observation ends with the last day before it.
    width_days : float, default 7.0
        Width of a bin. Gaps are whole days, so a whole number.

    Returns
    -------
    DataFrame
        One row per bin of gaps in (``above``, ``up_to``] days, ascending, the last one without an upper end
        and holding at most 1 % of the gaps: ``actual`` and ``expected`` number of gaps.

    Raises
    ------
    CrmError
        The width is not positive, or nothing is known of the gaps of such a process.

    Examples
    --------
    >>> import crm_ml
    >>> from crm_ml.clv import rfm_summary
    >>> log = crm_ml.load_sample()
    >>> model = BetaGeoModel().fit(rfm_summary(log, as_of="2017-07-01"))
    >>> gaps = interpurchase_times(log, model, as_of="2017-07-01")
    >>> gaps.head(3).round(0).to_numpy().astype(int).tolist()
    [[0, 7, 47760, 42524], [7, 14, 7481, 8524], [14, 21, 2248, 2880]]
    """
    density = _density(model)
    end = moment(as_of)
    ages, gaps = (np.concatenate(parts) for parts in zip(*log.map(partial(_observed, end=end)), strict=True))
    edges = edges_of_width(gaps, name="width_days", width=width_days)
    T, customers = np.unique(ages, return_counts=True)
    per_unit = days_per_unit(model.time_unit_)
    scale = model.params_["alpha"]
    expected = [
        float(customers @ _expected_within(density, above / per_unit, up_to / per_unit, T / per_unit, scale=scale))
        for above, up_to in pairwise(edges)
    ]
    return cut(gaps, edges).assign(expected=expected)


def _observed(bucket: Bucket, *, end: int) -> tuple[Array, Array]:
    """Days from first purchase to the end of observation, and the gaps in days."""
    past = Past(bucket, end)
    days = past.purchase_days
    buyers = np.diff(days.offsets) > 0
    last_day = (end - 1) // DAY
    return (last_day - days.day[days.offsets[:-1][buyers]]).astype(float), past.gaps.days


def _density(model: PurchaseProcess) -> GapDensity:
    check_fitted(model, "params_")
    modified = (ModifiedBetaGeoModel, ModifiedBetaGeoCNBDModel)
    if isinstance(model, ParetoNBDModel):
        return lambda g, T: gaps_with_exponential_dropout(g, T, **model.params_)
    if isinstance(model, (BetaGeoModel, BetaGeoCNBDModel, *modified)):
        k = model.k_ if isinstance(model, BetaGeoCNBDModel) else 1
        leaves_at_once = isinstance(model, modified)
        return lambda g, T: gaps_with_geometric_dropout(g, T, **model.params_, k=k, modified=leaves_at_once)
    raise CrmError(
        f"Gaps are known of the BG family and Pareto/NBD, in days or weeks; got {type(model).__name__}.\n"
        "Fit one of these."
    )


def _expected_within(density: GapDensity, above: float, up_to: float, T: Array, *, scale: float) -> Array:
    """Integrate the density over (above, up_to] within each T, in log(1 + g / scale) in which it is smooth."""
    result = np.zeros(len(T))
    long = above < T
    low, high = np.log1p(above / scale), np.log1p(np.minimum(up_to, T[long]) / scale)
    half = 0.5 * (high - low)[:, None]
    u = low + half * (1.0 + _NODES)
    g = scale * np.expm1(u)
    observed = np.broadcast_to(T[long, None], g.shape)
    values = density(g.ravel(), observed.ravel()).reshape(g.shape) * (scale + g)
    result[long] = (values * half) @ _WEIGHTS
    return result
