"""Spend per purchase from covariates, for when it is not independent of how often a customer buys."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgWarning
from sklearn.base import BaseEstimator

from crm_ml.clv.covariates.standardised import Standard, check_l2, check_names
from crm_ml.clv.rfm_frame import check_covariates, check_fitted, check_spend, check_weights, refuse_without_repeats
from crm_ml.clv.spend.credibility import credibility, variance_components
from crm_ml.clv.spend.evidence import spend_evidence, spend_notes, telling
from crm_ml.errors import ConvergenceError, CrmError, ModelError

__all__ = ["SpendRegression"]

Array = NDArray[np.float64]

FREQUENCY = "log(1 + frequency)"


class SpendRegression(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Gamma regression of mean repeat spend, and the customer's own mean as far as it can be believed.

    The mean spend m of a customer's x repeat purchases has expectation mu = exp(intercept + coefficients'z),
    fitted by scikit-learn's `GammaRegressor` with x as the weight. The forecast is Z m + (1 - Z) mu with the
    credibility Z = between / (between + within / x), where m / mu has variance between + within / x over
    customers; see `crm_ml.clv.spend.credibility`.

    Customers without a repeat purchase, or whose mean repeat spend is not positive (returns), are left out of the
    fit, counted in ``diagnostics_``, and predicted the regression's mean for their covariates.

    Parameters
    ----------
    covariates : sequence of str, default ()
    use_frequency : bool, default True
        Whether log(1 + frequency) is a covariate too: Gamma-Gamma takes its coefficient for 0.
    l2 : float, default 0.0
        Half the total deviance, weighted by purchases, is increased by 0.5 × l2 × the sum of squared coefficients of
        the standardised covariates (mean 0, standard deviation 1).

    Attributes
    ----------
    params_ : dict of str to float
        ``mean_spend`` (money): of a customer with average covariates; ``spend:<column>``: per unit of the column
        on the logarithm of spend; ``between``, ``within``: variances relative to the mean, of customers around the
        regression and of a customer's single purchases.
    covariate_means_, covariate_scales_ : dict of str to float
        Over the purchases fitted, by coefficient.
    population_mean_ : float
        Mean spend per repeat purchase of all customers fitted.
    diagnostics_ : dict
        ``frequency_spend_correlation``, counts of customers, and ``notes`` that say what is doubtful, in words.

    References
    ----------
    Ohlsson (2008), Combining Generalized Linear Models and Credibility Models in Practice, Scandinavian Actuarial
    Journal 2008(4); Bühlmann and Straub (1970), Glaubwürdigkeit für Schadensätze.

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [1, 1, 2, 2, 4, 4], "monetary_value": [10.0, 30, 15, 45, 40, 80]})
    >>> model = SpendRegression().fit(rfm, weights=[50, 50, 30, 30, 20, 20])
    >>> round(model.params_["spend:log(1 + frequency)"], 3)
    1.218
    >>> model.expected_spend(rfm).round(1).tolist()
    [16.5, 22.5, 24.0, 37.8, 47.0, 72.2]
    """

    def __init__(self, covariates: Sequence[str] = (), *, use_frequency: bool = True, l2: float = 0.0) -> None:
        self.covariates = covariates
        self.use_frequency = use_frequency
        self.l2 = l2

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the regression and the credibility of a customer's own mean.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency``, ``monetary_value`` (the mean spend per repeat purchase) and the covariates.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row. One each by default.

        Raises
        ------
        CrmError
            If a setting is out of its domain, or there is nothing to regress on.
        SchemaError
            If a column is missing or not finite, or a covariate is constant.
        ConvergenceError
            If no customer has repeat spend, or the regression cannot be solved.
        """
        names, l2 = self._names(), check_l2(self.l2)
        if not names:
            raise CrmError("A spend regression needs a covariate; it has none.\nName some, or use GammaGammaModel.")
        (x, m), values = check_spend(rfm), self._values(rfm)
        weight = check_weights(weights, len(rfm))
        rows = telling(x, m, weight)
        refuse_without_repeats(int(rows.sum()), len(rfm), what="a repeat purchase of positive mean spend")
        used, purchases = (x[rows], m[rows], weight[rows]), weight[rows] * x[rows]
        standard = Standard.of(values[rows], purchases, names=names)
        log_mean, slopes = _gamma_regression(standard.of_rows(values[rows]), m[rows], purchases, l2=l2)
        relative = m[rows] / np.exp(log_mean + standard.of_rows(values[rows]) @ slopes)
        components = variance_components(x[rows], relative, weight[rows])
        params = {
            "mean_spend": float(np.exp(log_mean)),
            **{f"spend:{name}": value for name, value in zip(names, (slopes / standard.scales).tolist(), strict=True)},
            "between": components.between,
            "within": components.within,
        }
        evidence = spend_evidence(x, m, weight, used=used)
        notes = [*spend_notes(evidence, remedy=None), *components.notes]
        mean = float(purchases @ m[rows] / purchases.sum())
        self._take(params, standard, mean, {**evidence, "notes": notes})
        return self

    def expected_spend(self, rfm: pd.DataFrame) -> pd.Series:
        """Return expected spend per purchase of each customer, always positive.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency``, ``monetary_value`` and the covariates.
        """
        check_fitted(self, "params_")
        (x, m), values = check_spend(rfm), self._values(rfm)
        means, slopes = list(self.covariate_means_.values()), [self.params_[n] for n in self.covariate_means_]
        regression = self.params_["mean_spend"] * np.exp((values - means) @ slopes)
        known = np.where(m > 0, x, 0.0)
        own = credibility(known, between=self.params_["between"], within=self.params_["within"])
        spend = own * m + (1.0 - own) * regression
        return pd.Series(spend, index=rfm.index, name="expected_spend_per_purchase")

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        check_fitted(self, "params_")
        return {
            "model": type(self).__name__,
            "covariates": list(self.covariates),
            "use_frequency": bool(self.use_frequency),
            "l2": float(self.l2),
            "params": dict(self.params_),
            "covariate_means": list(self.covariate_means_.values()),
            "covariate_scales": list(self.covariate_scales_.values()),
            "population_mean": self.population_mean_,
            "diagnostics": dict(self.diagnostics_),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another model.
        """
        if stored.get("model") != cls.__name__:
            raise ModelError(
                f"A stored {cls.__name__} must say so; this one says {stored.get('model')!r}.\n"
                "Load it with the class that stored it."
            )
        try:
            model = cls(stored["covariates"], use_frequency=stored["use_frequency"], l2=stored["l2"])
            names = ["mean_spend", *(f"spend:{name}" for name in model._names()), "between", "within"]
            params = {name: float(stored["params"][name]) for name in names}
            standard = Standard(*(np.array(stored[f"covariate_{part}"], dtype=float) for part in ("means", "scales")))
            model._take(params, standard, float(stored["population_mean"]), dict(stored["diagnostics"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"A stored {cls.__name__} must hold its estimates; reading them: {error!r}.\nStore the model again."
            ) from error
        return model

    def _take(self, params: dict[str, float], standard: Standard, mean: float, diagnostics: dict[str, Any]) -> None:
        coefficients = [name for name in params if name.startswith("spend:")]
        self.params_, self.population_mean_, self.diagnostics_ = params, mean, diagnostics
        self.covariate_means_ = dict(zip(coefficients, standard.means.tolist(), strict=True))
        self.covariate_scales_ = dict(zip(coefficients, standard.scales.tolist(), strict=True))

    def _names(self) -> tuple[str, ...]:
        return (*check_names("covariates", self.covariates), *((FREQUENCY,) if self.use_frequency else ()))

    def _values(self, rfm: pd.DataFrame) -> Array:
        values = check_covariates(rfm, check_names("covariates", self.covariates))
        log_frequency = np.log1p(rfm["frequency"].to_numpy(dtype=float))
        return np.column_stack([values, log_frequency]) if self.use_frequency else values


def _gamma_regression(z: Array, m: Array, purchases: Array, *, l2: float) -> tuple[float, Array]:
    """Fit log E[m] = intercept + slopes'z with the mean spend as the unit of money."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import GammaRegressor

    unit, total = float(purchases @ m / purchases.sum()), float(purchases.sum())
    regression = GammaRegressor(alpha=l2 / total, solver="newton-cholesky", tol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("error", LinAlgWarning)
        try:
            regression.fit(z, m / unit, sample_weight=purchases)
        except (ConvergenceWarning, LinAlgWarning) as warning:
            raise ConvergenceError(
                f"The spend regression must have one solution; scikit-learn says: {str(warning).splitlines()[0]}\n"
                "Leave out covariates that others determine, or give a positive l2."
            ) from warning
    return float(np.log(unit) + regression.intercept_), np.asarray(regression.coef_, dtype=float)
