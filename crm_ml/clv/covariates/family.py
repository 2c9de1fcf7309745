"""Which parameters covariates move in each purchase process, and how it is evaluated with them moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.covariates import derivatives
from crm_ml.clv.covariates.expectation import Rows, after_head_start, in_cells
from crm_ml.clv.processes import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.errors import CrmError

__all__ = ["PROCESSES", "Family", "family_of"]

Array = NDArray[np.float64]

PROCESSES: Mapping[str, type[PurchaseProcess]] = {
    process.__name__: process
    for process in (
        BetaGeoBetaBinomModel,
        BetaGeoCNBDModel,
        BetaGeoModel,
        ModifiedBetaGeoCNBDModel,
        ModifiedBetaGeoModel,
        ParetoNBDModel,
    )
}


@dataclass(frozen=True)
class Family:
    """A process under covariates.

    Attributes
    ----------
    moved : mapping of {"purchase", "dropout"} to (str, float)
        The parameter that covariates move, and the sign in exp(sign × coefficients'z) that makes larger
        coefficients mean more purchases, or faster dropout.
    derivatives : callable
        See `crm_ml.clv.covariates.derivatives`.
    expected : callable
        Of (function, horizon, x, t_x, T, discount_rate=..., **parameters) where ``function`` is the process's
        `expected_purchases` and each parameter of shape () or (n,).
    """

    moved: Mapping[str, tuple[str, float]]
    derivatives: Callable[..., derivatives.RowDerivatives]
    expected: Callable[..., Array]


def family_of(process: PurchaseProcess) -> Family:
    """Return the family of a fitted process.

    Raises
    ------
    CrmError
        If the process is none of those in `PROCESSES`.

    Examples
    --------
    >>> family_of(BetaGeoModel()).moved
    {'purchase': ('alpha', -1.0), 'dropout': ('a', 1.0)}
    """
    if type(process).__name__ not in PROCESSES:
        raise CrmError(
            f"`process` must be one of {sorted(PROCESSES)}; got {type(process).__name__}.\nPass one of them."
        )
    if isinstance(process, ParetoNBDModel):
        moved = {"purchase": ("alpha", -1.0), "dropout": ("beta", -1.0)}
        return Family(moved, derivatives.pareto, _as_it_is)
    if isinstance(process, BetaGeoBetaBinomModel):
        moved = {"purchase": ("alpha", 1.0), "dropout": ("gamma", 1.0)}
        return Family(moved, derivatives.beta_geo_beta_binom, _beta_geo_beta_binom)
    moved = {"purchase": ("alpha", -1.0), "dropout": ("a", 1.0)}
    modified = isinstance(process, (ModifiedBetaGeoModel, ModifiedBetaGeoCNBDModel))
    rows = partial(derivatives.beta_geo, k=getattr(process, "k_", 1), modified=modified)
    return Family(moved, rows, _beta_geo)


def _as_it_is(function: Callable[..., Array], *history: Any, **settings: Any) -> Array:
    """Evaluate a function whose parameters broadcast."""
    return function(*history, **settings)


def _beta_geo(
    function: Callable[..., Array],
    horizon: float,
    x: Array,
    t_x: Array,
    T: Array,
    *,
    alpha: Array,
    a: Array,
    **others: Any,
) -> Array:
    def evaluate(rows: Rows, t_x: Array, T: Array, alpha: float) -> Array:
        def given(rows: Rows, a: float) -> Array:
            return function(horizon, x[rows], t_x[rows], T[rows], alpha=alpha, a=a, **others)

        return in_cells(given, a, rows)

    return after_head_start(evaluate, t_x, T, alpha)


def _beta_geo_beta_binom(
    function: Callable[..., Array],
    horizon: float,
    x: Array,
    t_x: Array,
    n: Array,
    *,
    alpha: Array,
    gamma: Array,
    **others: Any,
) -> Array:
    alpha = np.broadcast_to(alpha, x.shape)

    def given(rows: Rows, gamma: float) -> Array:
        return function(horizon, x[rows], t_x[rows], n[rows], alpha=alpha[rows], gamma=gamma, **others)

    return in_cells(given, gamma, np.arange(len(x)))
