"""Maximum likelihood by damped Newton steps on log parameters, and what the fit is worth."""

from __future__ import annotations

import itertools
import math
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
"""Share of the log-likelihood, or per customer, below which a gain cannot be told from rounding."""
SAMPLE_GAIN = 0.1
"""Twice the gain in log-likelihood below which a sample is not climbed further: its summit errs by more."""
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
    on_edge: NDArray[np.bool_]
    accepted: bool
    n_evaluations: int

    @property
    def beyond_doubt(self) -> bool:
        """Whether this is a point inside the range, and determined in every direction."""
        if not self.accepted or self.on_edge.any():
            return False
        return bool(np.linalg.eigvalsh(-self.hessian)[0] >= RIDGE_DEVIATION**-2)

    def confirms(self, other: _Summit | None) -> bool:
        """Whether part of the data ran to the same edge of the range."""
        return (
            other is not None
            and self.accepted
            and bool(self.on_edge.any())
            and np.array_equal(self.on_edge, other.on_edge)
        )


def maximise(
    objective: Objective,
    starts: Sequence[Sequence[Array]],
    *,
    names: Sequence[str],
    lower: Array,
    upper: Array,
    total_weight: float,
    samples: Sequence[tuple[Objective, float]] = (),
) -> FitResult:
    """Climb from one start after another of each group until a summit is beyond doubt, and return the best.

    Beyond doubt is a summit within the range and well determined in every direction. Where there are samples,
    the starts are for them, and the whole is climbed from the summit of the largest.

    Parameters
    ----------
    objective : callable
        Takes the log parameters; returns the log-likelihood, its gradient and its Hessian by them.
    starts : sequence of sequences of ndarray of shape (n_params,)
        Log parameters to start from; a group for each mountain the likelihood is known to have.
    names : sequence of str
    lower, upper : ndarray of shape (n_params,)
        Range of the log parameters; a summit on its edge is reported as such.
    total_weight : float
        Customers behind the likelihood.
    samples : sequence of (callable, float)
        Likelihoods of parts of the data and their total weights, from small to large.

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
    >>> fit = maximise(exponential, [[np.zeros(1)]], names=["rate"], lower=np.full(1, -9.0),
    ...                upper=np.full(1, 9.0), total_weight=50)
    >>> round(fit.params["rate"], 9), round(fit.standard_errors["rate"], 9)  # 2 and 2 / sqrt(50)
    (2.0, 0.282842712)
    """
    spent = 0

    def highest(f: Objective, weight: float, below: _Summit | None, enough: float) -> _Summit:
        nonlocal spent
        summits: list[_Summit] = []
        for group in starts if below is None else [[below.theta, *itertools.chain(*starts)]]:
            for start in group:
                summits.append(_climb(f, start, lower, upper, weight, enough=enough))
                if summits[-1].beyond_doubt or summits[-1].confirms(below):
                    break
        spent += sum(summit.n_evaluations for summit in summits)
        return max(summits, key=lambda summit: (summit.accepted, summit.value))

    below: _Summit | None = None
    for f, weight in samples:
        below = highest(f, weight, below, SAMPLE_GAIN)
    best = highest(objective, total_weight, below, 0.0)
    if not best.accepted:
        reached = ", ".join(f"{n} = {v:.4g}" for n, v in zip(names, np.exp(best.theta), strict=True))
        raise ConvergenceError(
            f"The gradient of the log-likelihood must vanish at the estimates; after {spent} evaluations it "
            f"is {best.gradient_norm:.2g} per customer at {reached}.\n"
            "Look for impossible or extreme customers in the data, or fit more customers."
        )
    return _assess(best, names, spent)


def _climb(
    f: Objective, theta: Array, lower: Array, upper: Array, total_weight: float, *, enough: float = 0.0
) -> _Summit:
    theta = np.minimum(np.maximum(theta, lower), upper)
    value, gradient, hessian = f(theta)
    n_evaluations, accepted = 1, False
    for _ in range(MOST_STEPS):
        held = ((theta <= lower) & (gradient < 0)) | ((theta >= upper) & (gradient > 0))
        slope = np.where(held, 0.0, gradient)
        step, curved = _inner_step(slope, hessian, held, lower - theta, upper - theta)
        flat = abs(slope).max() <= GRADIENT_TOLERANCE * total_weight
        ahead, rounding = float(slope @ step), ROUNDING * (abs(value) + total_weight)
        unseen = ahead <= rounding  # a ridge without an end: nothing left to climb
        short = abs(step).max() <= STEP_TOLERANCE
        accepted = bool(flat and (short if curved else held.any() or unseen))
        accepted |= curved and ahead <= enough
        if accepted:
            break
        trial, shrink = None, 1.0
        while shrink > 1e-9:
            candidate = np.minimum(np.maximum(theta + shrink * step, lower), upper)
            trial = f(candidate)
            n_evaluations += 1
            least = value + 1e-4 * float(slope @ (candidate - theta)) - rounding
            if math.isfinite(trial[0]) and trial[0] >= least:
                break
            trial, shrink = None, shrink / 4
        if trial is None:
            break
        theta, (value, gradient, hessian) = candidate, trial
    norm = float(abs(slope).max() / total_weight)
    if accepted:  # Newton doubles the digits: one step more leaves only rounding
        last = np.minimum(np.maximum(theta + step, lower), upper)
        if curved:
            theta, value = last, value + 0.5 * ahead
        else:
            end_value, end_gradient, end_hessian = f(last)
            n_evaluations += 1
            end_norm = float(abs(np.where(held, 0.0, end_gradient)).max() / total_weight)
            if end_norm <= norm:
                theta, value, hessian, norm = last, end_value, end_hessian, end_norm
    on_edge = (theta <= lower) | (theta >= upper)
    return _Summit(theta, float(value), hessian, norm, on_edge, accepted, n_evaluations)


def _inner_step(slope: Array, hessian: Array, held: NDArray[np.bool_], down: Array, up: Array) -> tuple[Array, bool]:
    """Ascent step that ends at the first edge of the range it meets, and whether the likelihood is concave there.

    A parameter on its edge that the step would push beyond it is held, whatever its own slope.
    """
    step, curved = _newton_step(slope, hessian, held)
    if ((down <= step) & (step <= up)).all():
        return step, curved
    blocked = held | ((down >= 0.0) & (step < 0.0)) | ((up <= 0.0) & (step > 0.0))
    if (blocked & ~held).any():
        return _inner_step(np.where(blocked, 0.0, slope), hessian, blocked, down, up)
    room = np.where(step < 0.0, down, up)
    reach = np.divide(room, step, out=np.ones_like(step), where=step != 0.0).min()
    return step * min(1.0, float(reach)), curved


def _newton_step(slope: Array, hessian: Array, held: NDArray[np.bool_]) -> tuple[Array, bool]:
    """Ascent step within the free parameters, and whether the likelihood is concave in them."""
    if held.all():
        return np.zeros_like(slope), True
    if held.any():
        free = np.flatnonzero(~held)
        step = np.zeros_like(slope)
        step[free], curved = _newton_step(slope[free], hessian[np.ix_(free, free)], held[free])
        return step, curved
    curvature, axes = np.linalg.eigh(-hessian)
    least, most = curvature.item(0), curvature.item(-1)
    floor = 1e-12 * max(most, -least, 1e-300)
    step = axes @ ((slope @ axes) / np.maximum(abs(curvature), floor))
    return step * min(1.0, LONGEST_STEP / max(float(abs(step).max()), 1e-300)), least > floor


def _assess(summit: _Summit, names: Sequence[str], n_evaluations: int) -> FitResult:
    information, axes = np.linalg.eigh(-summit.hessian)
    unknown = information <= UNKNOWN_DEVIATION**-2
    variances = np.where(unknown, 0.0, 1.0 / np.where(unknown, 1.0, information))
    log_covariance = (axes * variances) @ axes.T
    values = np.exp(summit.theta)
    undetermined = summit.on_edge | ((axes[:, unknown] ** 2).sum(axis=1) > 1e-4)
    errors = np.where(undetermined, np.inf, values * np.sqrt(np.diag(log_covariance)))
    return FitResult(
        params=dict(zip(names, values.tolist(), strict=True)),
        log_likelihood=summit.value,
        gradient_norm=summit.gradient_norm,
        hessian=summit.hessian,
        log_covariance=log_covariance,
        standard_errors=dict(zip(names, errors.tolist(), strict=True)),
        n_evaluations=n_evaluations,
        at_boundary=tuple(name for name, edge in zip(names, summit.on_edge, strict=True) if edge),
        flat_ridge=bool(information[0] < RIDGE_DEVIATION**-2),
    )
