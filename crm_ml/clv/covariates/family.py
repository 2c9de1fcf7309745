"""Which parameters covariates move in each purchase process, and how it is evaluated with them moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess
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
        Of (mathematics, horizon, x, t_x, T, discount_rate=..., **parameters), each parameter of shape () or (n,).
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
        return Family(moved, derivatives.pareto, _pareto)
    if isinstance(process, BetaGeoBetaBinomModel):
        moved = {"purchase": ("alpha", 1.0), "dropout": ("gamma", 1.0)}
        return Family(moved, derivatives.beta_geo_beta_binom, _beta_geo_beta_binom)
    moved = {"purchase": ("alpha", -1.0), "dropout": ("a", 1.0)}
    modified = isinstance(process, (ModifiedBetaGeoModel, ModifiedBetaGeoCNBDModel))
    rows = partial(derivatives.beta_geo, k=getattr(process, "k_", 1), modified=modified)
    return Family(moved, rows, _beta_geo)


def _pareto(mathematics: ProcessMathematics, horizon: float, *history: Array, **settings: Any) -> Array:
    """Evaluate as it is: the parameters broadcast."""
    return mathematics.expected_purchases(horizon, *history, **settings)


def _beta_geo(
    mathematics: ProcessMathematics, horizon: float, x: Array, t_x: Array, T: Array, *, alpha: Array, **settings: Any
) -> Array:
    def evaluate(rows: Rows, t_x: Array, T: Array, alpha: float) -> Array:
        return _along("a", mathematics, horizon, (x[rows], t_x[rows], T[rows]), rows, alpha=alpha, **settings)

    return after_head_start(evaluate, t_x, T, alpha)


def _beta_geo_beta_binom(
    mathematics: ProcessMathematics, horizon: float, x: Array, t_x: Array, n: Array, **settings: Any
) -> Array:
    return _along("gamma", mathematics, horizon, (x, t_x, n), np.arange(len(x)), **settings)


def _along(
    name: str,
    mathematics: ProcessMathematics,
    horizon: float,
    history: tuple[Array, ...],
    rows: Rows,
    *,
    discount_rate: float,
    **own: ArrayLike,
) -> Array:
    """Interpolate in one parameter what is expected of an alive customer; P(alive) is each customer's own."""
    params = {n: v if np.ndim(v) == 0 else np.asarray(v)[rows] for n, v in own.items()}
    parameter = np.asarray(params.pop(name))
    if parameter.ndim == 0:
        return mathematics.expected_purchases(
            horizon, *history, discount_rate=discount_rate, **params, **{name: float(parameter)}
        )

    def if_alive(chosen: Rows, value: float) -> Array:
        of_chosen = {n: v if np.ndim(v) == 0 else np.asarray(v)[chosen] for n, v in params.items()}
        given = (*(column[chosen] for column in history),), {**of_chosen, name: value}
        alive = mathematics.probability_alive(*given[0], **given[1])
        expected = mathematics.expected_purchases(horizon, *given[0], discount_rate=discount_rate, **given[1])
        return np.divide(expected, alive, out=np.zeros_like(expected), where=alive > 0)

    return in_cells(if_alive, parameter) * mathematics.probability_alive(*history, **params, **{name: parameter})
