"""How every purchase process is fitted and kept, whatever its mathematics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.likelihood.newton import FitResult, maximise
from crm_ml.clv.likelihood.patterns import Patterns, patterns_of, sample_sizes, thin
from crm_ml.clv.processes.outlook.mathematics import ProcessMathematics
from crm_ml.clv.processes.outlook.prediction import ProcessPredictions
from crm_ml.clv.rfm_frame import check_fitted, check_weights, refuse_without_repeats
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.clv.summary import TimeUnit, days_per_unit
from crm_ml.clv.uncertainty.bootstrap import Reweighted

__all__ = ["ProcessMathematics", "PurchaseProcess"]

Array = NDArray[np.float64]


class PurchaseProcess(ProcessPredictions):
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
        patterns = patterns_of(x, t_x, T, check_weights(weights, len(rfm)), as_rows=self._bound.COMPILED)
        again = patterns.total_weight - patterns.weight_of_count(0)
        refuse_without_repeats(again, len(rfm), what="a repeat purchase")
        fit = _fit(self._bound, patterns)
        self.time_unit_ = time_unit
        self._take(StoredFit.of(fit, notes=self._notes(patterns) + fit.notes))
        self.diagnostics_["customers"] = patterns.total_weight
        self.diagnostics_["repeat_customers"] = again
        return self

    def reweighted(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Reweighted:
        """Return the likelihood of a frame, to be maximised under other weights; for the bootstrap."""
        x, t_x, T = self._histories(rfm)
        mathematics = self._bound
        patterns = patterns_of(x, t_x, T, check_weights(weights, len(rfm)), as_rows=mathematics.COMPILED)
        return Reweighted(
            patterns.weight,
            lambda weight: mathematics.objective(dataclasses.replace(patterns, weight=weight)),
            lower=mathematics.log_lower,
            upper=mathematics.log_upper,
        )

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

    def _checked_unit(self) -> TimeUnit:
        days_per_unit(self.time_unit)
        return self.time_unit


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
