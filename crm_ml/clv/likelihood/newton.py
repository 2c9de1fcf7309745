"""Maximum likelihood by damped Newton steps on log parameters, and what the fit is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_ml.errors import ConvergenceError

__all__ = ["FitResult", "Objective", "maximise"]

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array, Array]]

GRADIENT_TOLERANCE = 1e-8
"""Largest accepted slope of the log-likelihood per customer and unit of a log parameter."""
STEP_TOLERANCE = 1e-6
"""Largest Newton step, in log units, that may be left where the curvature is positive."""
ROUNDING = 1e-13
"""Share of the log-likelihood below which a gain cannot be told from rounding."""
LONGEST_STEP = 2.0
MOST_STEPS = 200
RIDGE_DEVIATION = 1.0
"""A direction of the log parameters known no better than to a factor e is called a flat ridge."""
UNKNOWN_DEVIATION = 5.0
"""A direction known no better than to a factor e^5 is held fixed: its standard error is infinite."""


@dataclass(frozen=True)
class FitResult:
    """A maximised likelihood and the evidence for it.

    Attributes
    ----------
    params : mapping of str to float
        Estimates on their natural scale.
    log_likelihood : float
    gradient_norm : float
        Largest absolute slope per customer and unit of a log parameter, parameters held at the edge of
        their range aside.
    hessian : ndarray of shape (n_params, n_params)
        Second derivatives of the log-likelihood by the log parameters.
    log_covariance : ndarray of shape (n_params, n_params)
        Asymptotic covariance of the log parameters. Directions the data do not determine are held fixed.
    standard_errors : mapping of str to float
        On the natural scale by the delta method; infinite where the data do not determine a parameter.
    n_evaluations : int
        Evaluations of the likelihood with its derivatives over all starts.
    at_boundary : tuple of str
        Parameters that ran to the edge of their range.
    flat_ridge : bool
        Whether some combination of the parameters is known no better than to a factor of e.
    """

    params: Mapping[str, float]
    log_likelihood: float
    gradient_norm: float
    hessian: Array
    log_covariance: Array
    standard_errors: Mapping[str, float]
    n_evaluations: int
    at_boundary: tuple[str, ...]
    flat_ridge: bool

    @property
    def converged(self) -> bool:
        """Whether the maximum is a point inside the parameter space."""
        return not self.at_boundary

    @property
    def covariance(self) -> Array:
        """Asymptotic covariance on the natural scale (delta method), undetermined directions held fixed."""
        values = np.array(list(self.params.values()))
        return self.log_covariance * np.outer(values, values)

    @property
    def notes(self) -> list[str]:
        """What is doubtful about the fit, in words; empty for an ordinary one."""
        notes = []
        if self.at_boundary:
            names = ", ".join(f"`{name}` = {self.params[name]:.3g}" for name in self.at_boundary)
            notes.append(
                f"Boundary: {names} ran to the edge of the allowed range. The data are best explained by a "
                "limit of the model and not by a point inside it: predictions use the limit, but the "
                "parameters with infinite standard errors mean nothing by themselves."
            )
        if self.flat_ridge and not self.at_boundary:
            notes.append(
                "Flat ridge: some combination of the parameters is known no better than to a factor of e; "
                "judge the fit by its predictions and not by single parameters."
            )
        return notes


@dataclass(frozen=True)
class _Summit:
    theta: Array
    value: float
    hessian: Array
    gradient_norm: float
    held: NDArray[np.bool_]
    accepted: bool
    n_evaluations: int


def maximise(
    objective: Objective,
    starts: Sequence[Array],
    *,
    names: Sequence[str],
    lower: Array,
    upper: Array,
    total_weight: float,
    screen: tuple[Objective, float] | None = None,
) -> FitResult:
    """Climb from every start and return the best summit.

    Parameters
    ----------
    objective : callable
        Takes the log parameters; returns the log-likelihood, its gradient and its Hessian by them.
    starts : sequence of ndarray of shape (n_params,)
        Log parameters to start from.
    names : sequence of str
    lower, upper : ndarray of shape (n_params,)
        Range of the log parameters; a summit on its edge is reported as such.
    total_weight : float
        Customers behind the likelihood.
    screen : tuple of (callable, float), optional
        The likelihood of a subsample and its total weight. The starts are tried on it, and only the best
        summit is climbed again with `objective`.

    Raises
    ------
    ConvergenceError
        If no start ends where the gradient vanishes.

    Examples
    --------
    The rate of an exponential distribution is the number of events over their total time:

    >>> import numpy as np
    >>> def exponential(theta):
    ...     rate, n, time = np.exp(theta[0]), 50, 25.0
    ...     return n * theta[0] - rate * time, np.array([n - rate * time]), np.array([[-rate * time]])
    >>> fit = maximise(exponential, [np.zeros(1)], names=["rate"], lower=np.full(1, -9.0),
    ...                upper=np.full(1, 9.0), total_weight=50)
    >>> round(fit.params["rate"], 9), round(fit.standard_errors["rate"], 9)  # 2 and 2 / sqrt(50)
    (2.0, 0.282842712)
    """
    spent = 0
    if screen is not None:
        summits = [_climb(screen[0], start, lower, upper, screen[1]) for start in starts]
        starts = [max(summits, key=lambda summit: summit.value).theta]
        spent = sum(summit.n_evaluations for summit in summits)
    summits = [_climb(objective, start, lower, upper, total_weight) for start in starts]
    spent += sum(summit.n_evaluations for summit in summits)
    accepted = [summit for summit in summits if summit.accepted]
    if not accepted:
        best = max(summits, key=lambda summit: summit.value)
        reached = ", ".join(f"{n} = {v:.4g}" for n, v in zip(names, np.exp(best.theta), strict=True))
        raise ConvergenceError(
            f"The gradient of the log-likelihood must vanish at the estimates; after {spent} evaluations it "
            f"is {best.gradient_norm:.2g} per customer at {reached}.\n"
            "Look for impossible or extreme customers in the data, or fit more customers."
        )
    return _assess(max(accepted, key=lambda summit: summit.value), names, spent)


def _climb(f: Objective, theta: Array, lower: Array, upper: Array, total_weight: float) -> _Summit:
    theta = np.clip(theta, lower, upper)
    value, gradient, hessian = f(theta)
    n_evaluations, accepted = 1, False
    for _ in range(MOST_STEPS):
        held = ((theta <= lower) & (gradient < 0)) | ((theta >= upper) & (gradient > 0))
        slope = np.where(held, 0.0, gradient)
        step, curved = _newton_step(slope, hessian, held)
        flat = np.max(np.abs(slope)) <= GRADIENT_TOLERANCE * total_weight
        unseen = float(slope @ step) <= ROUNDING * abs(value)  # a ridge without an end: nothing left to climb
        settled = np.max(np.abs(step)) <= STEP_TOLERANCE if curved else held.any() or unseen
        accepted = bool(flat and settled)
        if accepted:
            break
        trial, shrink = None, 1.0
        while shrink > 1e-9:
            candidate = np.clip(theta + shrink * step, lower, upper)
            trial = f(candidate)
            n_evaluations += 1
            enough = value + 1e-4 * float(slope @ (candidate - theta)) - ROUNDING * abs(value)
            if np.isfinite(trial[0]) and trial[0] >= enough:
                break
            trial, shrink = None, shrink / 4
        if trial is None:
            break
        theta, (value, gradient, hessian) = candidate, trial
    norm = float(np.max(np.abs(slope)) / total_weight)
    if accepted:  # Newton doubles the digits: one step more leaves only rounding
        last = np.clip(theta + step, lower, upper)
        end_value, end_gradient, end_hessian = f(last)
        n_evaluations += 1
        end_norm = float(np.max(np.abs(np.where(held, 0.0, end_gradient))) / total_weight)
        if end_norm <= norm:
            theta, value, hessian, norm = last, end_value, end_hessian, end_norm
    return _Summit(theta, float(value), hessian, norm, held, accepted, n_evaluations)


def _newton_step(slope: Array, hessian: Array, held: NDArray[np.bool_]) -> tuple[Array, bool]:
    """Ascent step within the free parameters, and whether the likelihood is concave in them."""
    step = np.zeros_like(slope)
    free = np.flatnonzero(~held)
    if len(free) == 0:
        return step, True
    curvature, axes = np.linalg.eigh(-hessian[np.ix_(free, free)])
    floor = 1e-12 * max(float(np.abs(curvature).max()), 1e-300)
    step[free] = axes @ ((axes.T @ slope[free]) / np.maximum(np.abs(curvature), floor))
    return step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-300)), bool(curvature[0] > floor)


def _assess(summit: _Summit, names: Sequence[str], n_evaluations: int) -> FitResult:
    information, axes = np.linalg.eigh(-summit.hessian)
    unknown = information <= UNKNOWN_DEVIATION**-2
    variances = np.where(unknown, 0.0, 1.0 / np.where(unknown, 1.0, information))
    log_covariance = (axes * variances) @ axes.T
    values = np.exp(summit.theta)
    undetermined = summit.held | ((axes[:, unknown] ** 2).sum(axis=1) > 1e-4)
    errors = np.where(undetermined, np.inf, values * np.sqrt(np.diag(log_covariance)))
    return FitResult(
        params=dict(zip(names, values.tolist(), strict=True)),
        log_likelihood=summit.value,
        gradient_norm=summit.gradient_norm,
        hessian=summit.hessian,
        log_covariance=log_covariance,
        standard_errors=dict(zip(names, errors.tolist(), strict=True)),
        n_evaluations=n_evaluations,
        at_boundary=tuple(name for name, held in zip(names, summit.held, strict=True) if held),
        flat_ridge=bool(information[0] < RIDGE_DEVIATION**-2),
    )
