"""The penalised log-likelihood of customers whose log parameters are linear in covariates.

A customer's j-th log parameter is the j-th row of a design times coefficients, so the chain rule is a product
of matrices: with X_j the design of parameter j and LL_j, LL_jl the derivatives of single customers, the
gradient is X_jᵀ LL_j and a block of the Hessian X_jᵀ diag(LL_jl) X_l.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.covariates.derivatives import RowDerivatives
from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns

__all__ = ["Designs", "objective"]

Array = NDArray[np.float64]

_CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Designs:
    """How each of the four log parameters is made of the log parameters of the average customer and coefficients.

    Attributes
    ----------
    columns : tuple of ndarray of shape (n, 1 + n_own)
        A column of ones and the signed covariates that move the parameter.
    positions : tuple of ndarray of int of shape (1 + n_own,)
        Where in the vector of unknowns their factors are: first the four log parameters, then coefficients.
    """

    columns: tuple[Array, ...]
    positions: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, moved: Sequence[tuple[int, float, Array]], n: int) -> Designs:
        """Build designs from blocks of coefficients: the parameter moved, the sign, and standardised covariates."""
        columns, positions = [np.ones((n, 1)) for _ in range(4)], [np.array([j]) for j in range(4)]
        first = 4
        for j, sign, values in moved:
            columns[j] = np.column_stack([columns[j], sign * values])
            positions[j] = np.append(positions[j], first + np.arange(values.shape[1]))
            first += values.shape[1]
        return cls(tuple(columns), tuple(positions))


def objective(
    patterns: Patterns, designs: Designs, derivatives: Callable[..., RowDerivatives], names: Sequence[str], *, l2: float
) -> Objective:
    """Log-likelihood less the penalty, with gradient and Hessian.

    Parameters
    ----------
    patterns : Patterns
    designs : Designs
        For the rows of the patterns.
    derivatives : callable
        Takes x, t_x, T and by ``names`` the four parameters, all of shape (n,).
    names : sequence of str
    l2 : float, >= 0
        The penalty is 0.5 × l2 × the sum of squared coefficients of standardised covariates.

    Returns
    -------
    callable
        Takes four log parameters and the coefficients; returns value, gradient and Hessian by all of them.
    """
    blocks = [
        (np.ix_(one, other), j, m)
        for j, one in enumerate(designs.positions)
        for m, other in enumerate(designs.positions)
    ]

    def evaluate(theta: Array) -> tuple[float, Array, Array]:
        penalty = np.where(np.arange(len(theta)) < 4, 0.0, l2)
        value, gradient, hessian = -0.5 * float(penalty @ theta**2), -penalty * theta, np.diag(-penalty)
        for first in range(0, len(patterns.x), _CHUNK_ROWS):
            rows = slice(first, first + _CHUNK_ROWS)
            columns = [column[rows] for column in designs.columns]
            own = [np.exp(column @ theta[at]) for column, at in zip(columns, designs.positions, strict=True)]
            history = (patterns.x[rows], patterns.t_x[rows], patterns.T[rows])
            each, weight = derivatives(*history, **dict(zip(names, own, strict=True))), patterns.weight[rows]
            value += float(weight @ each.value)
            for column, at, slope in zip(columns, designs.positions, each.slopes, strict=True):
                gradient[at] += column.T @ (weight * slope)
            for block, j, m in blocks:
                hessian[block] += columns[j].T @ ((weight * each.bends[j, m])[:, None] * columns[m])
        return value, gradient, hessian

    return evaluate
