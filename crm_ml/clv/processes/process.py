"""What every purchase process does with a frame of histories, whatever its mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from crm_ml.clv.likelihood.newton import FitResult, Objective, maximise
from crm_ml.clv.likelihood.patterns import Patterns, patterns_of, sample_sizes, thin
from crm_ml.clv.rfm_frame import (
    check_fitted,
    check_histories,
    check_positive,
    check_weights,
    refuse_without_repeats,
)
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.clv.summary import TimeUnit, days_per_unit
from crm_ml.clv.uncertainty.interval import CountDraw, Futures, parameter_draws

__all__ = ["ProcessMathematics", "PurchaseProcess"]

Array = NDArray[np.float64]


class ProcessMathematics(Protocol):
    """The pure functions a process is made of; a module that has them will do."""

    @property
    def NAMES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Parameters, in the order of the vector of their logarithms."""

    @property
    def TIME_NAMES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Parameters measured in the unit of time."""

    @property
    def COMPILED(self) -> bool:  # noqa: N802 - a module's constant
        """Whether the objective has compiled sums for large shops."""

    @property
    def log_lower(self) -> Array:
        """Lower end of the log parameters' range."""

    @property
    def log_upper(self) -> Array:
        """Upper end of the log parameters' range."""

    @property
    def objective(self) -> Callable[[Patterns], Objective]:
        """Likelihood of patterns with its derivatives."""

    @property
    def starts(self) -> Callable[[Patterns], list[Array]]:
        """Log parameters to start from."""

    @property
    def probability_alive(self) -> Callable[..., Array]:
        """Of (x, t_x, T, **params)."""

    @property
    def probability_no_purchase(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, **params)."""

    @property
    def expected_purchases(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, discount_rate=0.0, **params)."""

    @property
    def drawn_purchases(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, futures=..., **parameter draws)."""

    @property
    def expected_purchases_new_customer(self) -> Callable[..., Array]:
        """Of (t, **params)."""


class PurchaseProcess(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Base of the purchase processes; a process names its mathematics and its own caveats.

    Parameters
    ----------
    time_unit : {"D", "W"}, default "D"
        Unit of ``recency`` and ``T``: days or weeks. Carried with the fit.

    Attributes
    ----------
    params_ : dict of str to float
    standard_errors_ : dict of str to float
        Delta method; infinite where the data do not determine a parameter.
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (n_params, n_params)
        Asymptotic covariance of the logarithms of the parameters.
    diagnostics_ : dict
        Evidence for the fit, and under ``notes`` whatever is doubtful about it, in words.
    time_unit_ : str
        The unit the parameters are in.
    """

    _mathematics: ClassVar[ProcessMathematics]

    def __init__(self, *, time_unit: TimeUnit = "D") -> None:
        self.time_unit = time_unit

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the parameters by maximum likelihood.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency`` (repeat purchases), ``recency`` (time from the first to the last purchase)
            and ``T`` (time from the first purchase to the end of observation); others are ignored.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row; fractions are allowed. One each by default.

        Raises
        ------
        SchemaError
            If a history is impossible.
        ConvergenceError
            If nobody bought again, or the likelihood cannot be maximised.
        """
        time_unit = self._checked_unit()
        x, t_x, T = self._columns(rfm)
        patterns = patterns_of(x, t_x, T, check_weights(weights, len(rfm)), compiled=self._bound.COMPILED)
        again = patterns.total_weight - patterns.weight_of_count(0)
        refuse_without_repeats(again, len(rfm), what="a repeat purchase")
        fit = _fit(self._bound, patterns)
        self.time_unit_ = time_unit
        self._take(StoredFit.of(fit, notes=self._notes(patterns) + fit.notes))
        self.diagnostics_["customers"] = patterns.total_weight
        self.diagnostics_["repeat_customers"] = again
        return self

    def probability_alive(self, rfm: pd.DataFrame, *, further_silence: float = 0.0) -> pd.Series:
        """Probability that each customer has not left.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        further_silence : float, default 0.0
            Time without a purchase after ``T``, in the fit's unit.
        """
        x, t_x, T = self._histories(rfm)
        values = self._bound.probability_alive(x, t_x, T + further_silence, **self.params_)
        return pd.Series(values, index=rfm.index, name="probability_alive")

    def probability_no_purchase(self, rfm: pd.DataFrame, horizon: float) -> pd.Series:
        """Probability that each customer buys nothing within the next ``horizon`` (the fit's unit of time).

        This is the probability of churn within the horizon: gone already, or alive and silent.

        Raises
        ------
        CrmError
            If the horizon is not positive.
        """
        x, t_x, T = self._histories(rfm)
        self._check_horizon(horizon)
        values = self._bound.probability_no_purchase(horizon, x, t_x, T, **self.params_)
        return pd.Series(values, index=rfm.index, name="probability_no_purchase")

    def expected_purchases(self, rfm: pd.DataFrame, horizon: float, *, discount_rate: float = 0.0) -> pd.Series:
        """Return expected purchases of each customer within the next ``horizon``.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        horizon : float, > 0
            In the fit's unit of time.
        discount_rate : float, default 0.0
            Continuous rate per unit of time; a purchase after s counts exp(-discount_rate × s).

        Raises
        ------
        CrmError
            If the horizon is not positive.
        """
        x, t_x, T = self._histories(rfm)
        self._check_horizon(horizon)
        values = self._bound.expected_purchases(horizon, x, t_x, T, discount_rate=discount_rate, **self.params_)
        return pd.Series(values, index=rfm.index, name="expected_purchases")

    def expected_purchases_new_customer(self, t: ArrayLike) -> Array:
        """Return expected repeat purchases of a new customer within ``t`` of the first one, E[X(t)].

        Parameters
        ----------
        t : array_like of float, >= 0
            In the fit's unit of time.
        """
        check_fitted(self, "params_")
        return self._bound.expected_purchases_new_customer(t, **self.params_)

    def count_draw(self, rfm: pd.DataFrame, horizon: float) -> CountDraw:
        """Return a function that draws the purchases of some of the customers in common futures.

        Parameters come from their asymptotic distribution, one draw per future.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        horizon : float, > 0
            In the fit's unit of time.
        """
        x, t_x, T = self._histories(rfm)

        def draw(futures: Futures, rows: NDArray[np.intp]) -> Array:
            params = parameter_draws(self.params_, self.log_covariance_, futures.normals[: len(self.params_)])
            return self._bound.drawn_purchases(horizon, x[rows], t_x[rows], T[rows], futures=futures, **params)

        return draw

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        check_fitted(self, "params_")
        return {"model": type(self).__name__, "time_unit": self.time_unit_, **self._stored.to_dict()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another model.
        """
        fit = StoredFit.from_dict(stored, model=cls.__name__, names=cls._mathematics.NAMES)
        model = cls(time_unit=stored["time_unit"])
        model.time_unit_ = model.time_unit
        model._take(fit)
        return model

    @property
    def _bound(self) -> ProcessMathematics:
        """The mathematics of this fit; a process with a whole-number parameter binds it here."""
        return self._mathematics

    def _notes(self, patterns: Patterns) -> list[str]:  # noqa: ARG002  # a process with a caveat looks at them
        """Return caveats of this process on these data, in words; none unless a process has its own."""
        return []

    def _take(self, stored: StoredFit) -> None:
        self._stored = stored
        self.params_ = stored.params
        self.standard_errors_ = stored.standard_errors
        self.log_likelihood_ = stored.log_likelihood
        self.log_covariance_ = stored.log_covariance
        self.diagnostics_ = stored.diagnostics

    def _histories(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        check_fitted(self, "params_")
        return self._columns(rfm)

    def _columns(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        """Take x, t_x and T out of the frame this process reads."""
        return check_histories(rfm)

    def _checked_unit(self) -> TimeUnit:
        days_per_unit(self.time_unit)
        return self.time_unit

    def _check_horizon(self, horizon: float) -> None:
        check_positive("horizon", horizon)


def _fit(mathematics: ProcessMathematics, patterns: Patterns) -> FitResult:
    """Fit with a range of the parameters that is relative to the mean length of observation.

    A process without parameters of time counts it in steps, which have no other unit.
    """
    parts = [*(thin(patterns, at_most=size) for size in sample_sizes(len(patterns.x))), patterns]
    timed = np.array([name in mathematics.TIME_NAMES for name in mathematics.NAMES])
    unit = timed * math.log(patterns.total_T / patterns.total_weight)
    *samples, (whole, total_weight) = ((mathematics.objective(part), part.total_weight) for part in parts)
    return maximise(
        whole,
        mathematics.starts(parts[0]),
        names=mathematics.NAMES,
        lower=mathematics.log_lower + unit,
        upper=mathematics.log_upper + unit,
        total_weight=total_weight,
        samples=samples,
    )
