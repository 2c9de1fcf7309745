"""Gamma-Gamma for users: a frame of mean repeat spend in, expected spend per purchase out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from crm_ml.clv.compiled.compiler import MANY_ROWS
from crm_ml.clv.likelihood.newton import FitResult, maximise
from crm_ml.clv.likelihood.patterns import chosen_rows, sample_sizes
from crm_ml.clv.rfm_frame import check_fitted, check_spend, check_weights, refuse_without_repeats
from crm_ml.clv.spend import gamma_gamma
from crm_ml.clv.spend.evidence import spend_evidence, spend_notes, telling
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.clv.uncertainty.bootstrap import Reweighted
from crm_ml.errors import ConvergenceError

__all__ = ["GammaGammaModel"]

Array = NDArray[np.float64]

_REMEDY = "crm_ml.clv.SpendRegression lets spend follow frequency and covariates."


class GammaGammaModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Gamma-Gamma: spend per purchase, varying around a mean of each customer's own.

    Customers without a repeat purchase, or whose mean repeat spend is not positive (returns), are left out of the
    fit, counted in ``diagnostics_``, and predicted to spend the population mean. A fit with q <= 1 is refused: its
    population mean is infinite. The model takes spend to be independent of how often a customer buys;
    ``diagnostics_["frequency_spend_correlation"]`` says how far the data agree, and from 0.2 on, if significant at
    the 1 % level, ``notes`` say so: `SpendRegression` is the alternative.

    Attributes
    ----------
    params_ : dict of str to float
        ``p``, ``q``, ``gamma`` (money).
    standard_errors_ : dict of str to float
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (3, 3)
    population_mean_ : float
        Mean spend per purchase of a customer about whom nothing is known.
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words.

    References
    ----------
    Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value.

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 1, 1, 4, 4], "monetary_value": [0, 5, 20, 80, 15, 40]})
    >>> model = GammaGammaModel().fit(rfm, weights=[60, 30, 50, 20, 20, 20])
    >>> model.diagnostics_["customers_without_repeat_spend"]
    60.0
    >>> model.expected_spend(rfm).round(1).tolist()
    [27.6, 23.5, 26.3, 37.1, 21.7, 33.4]
    """

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the parameters by maximum likelihood.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency`` and ``monetary_value``, the mean spend per repeat purchase.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row. One each by default.

        Raises
        ------
        SchemaError
            If a column is missing or not finite.
        ConvergenceError
            If no customer has repeat spend, the likelihood cannot be maximised, or the fitted spend has no
            finite mean (q <= 1).
        """
        x, m = check_spend(rfm)
        weight = check_weights(weights, len(rfm))
        used = chosen_rows(telling(x, m, weight), x, m, weight)
        refuse_without_repeats(len(used[0]), len(rfm), what="a repeat purchase of positive mean spend")
        fit = _fit(*used, many=len(rfm) >= MANY_ROWS)
        _refuse_infinite_mean(fit.params)
        evidence = spend_evidence(x, m, weight, used=used)
        self._take(StoredFit.of(fit, notes=[*fit.notes, *spend_notes(evidence, remedy=_REMEDY)]))
        self.diagnostics_ |= evidence
        return self

    def expected_spend(self, rfm: pd.DataFrame) -> pd.Series:
        """Return expected spend per purchase of each customer, never negative.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency`` and ``monetary_value``.
        """
        check_fitted(self, "params_")
        x, m = check_spend(rfm)
        values = gamma_gamma.expected_spend(x, m, **self.params_)
        return pd.Series(values, index=rfm.index, name="expected_spend_per_purchase")

    def reweighted(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Reweighted:
        """Return the likelihood of a frame, to be maximised under other weights; for the bootstrap."""
        x, m = check_spend(rfm)
        weight = check_weights(weights, len(rfm))
        x, m, weight = chosen_rows(telling(x, m, weight), x, m, weight)
        many = len(rfm) >= MANY_ROWS
        return Reweighted(
            weight,
            lambda weight: gamma_gamma.objective(x, m, weight, many=many),
            lower=gamma_gamma.log_lower,
            upper=gamma_gamma.log_upper,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        check_fitted(self, "params_")
        return {"model": type(self).__name__, **self._stored.to_dict()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another model.
        """
        model = cls()
        model._take(StoredFit.from_dict(stored, model=cls.__name__, names=gamma_gamma.NAMES))
        return model

    def _take(self, stored: StoredFit) -> None:
        self._stored = stored
        self.params_ = stored.params
        self.standard_errors_ = stored.standard_errors
        self.log_likelihood_ = stored.log_likelihood
        self.log_covariance_ = stored.log_covariance
        self.diagnostics_ = stored.diagnostics
        self.population_mean_ = gamma_gamma.population_mean(**stored.params)


def _fit(x: Array, m: Array, weight: Array, *, many: bool) -> FitResult:
    """Fit with the mean spend as the unit of money, and return to the caller's unit."""
    total_weight = float(weight.sum())
    unit = float(weight @ m) / total_weight
    scaled, samples = m / unit, []
    for size in sample_sizes(len(x)):
        part = [np.ascontiguousarray(column[:: len(x) // size]) for column in (x, scaled, weight)]
        samples.append((gamma_gamma.objective(*part, many=many), float(part[-1].sum())))
    fit = maximise(
        gamma_gamma.objective(x, scaled, weight, many=many),
        [gamma_gamma.starts()],
        names=gamma_gamma.NAMES,
        lower=gamma_gamma.log_lower,
        upper=gamma_gamma.log_upper,
        total_weight=total_weight,
        samples=samples,
    )
    return dataclasses.replace(
        fit,
        params={**fit.params, "gamma": fit.params["gamma"] * unit},
        standard_errors={**fit.standard_errors, "gamma": fit.standard_errors["gamma"] * unit},
        log_likelihood=fit.log_likelihood - total_weight * float(np.log(unit)),
    )


def _refuse_infinite_mean(params: Mapping[str, float]) -> None:
    if params["q"] <= 1.0:
        raise ConvergenceError(
            f"Expected spend is finite only for q > 1; the fit has q = {params['q']:.3g}.\n"
            "A few customers spend too much for this model: look at the largest amounts, or cap them."
        )
