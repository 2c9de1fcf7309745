"""Purchase processes with covariates for users: a frame of histories and covariates in, predictions out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from sklearn.base import BaseEstimator, clone

from crm_ml.clv.covariates.family import PROCESSES, family_of
from crm_ml.clv.covariates.objective import Designs, objective
from crm_ml.clv.covariates.standardised import Standard, check_l2, check_names
from crm_ml.clv.likelihood.newton import FitResult, maximise
from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_covariates, check_fitted, check_weights
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.errors import ModelError

__all__ = ["CovariateModel"]

Array = NDArray[np.float64]

_LARGEST_LOG_EFFECT = 20.0
"""A covariate may move a customer's parameter by a factor of at most e^20 from the average customer's."""


class CovariateModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A purchase process whose rates of buying and leaving depend on covariates fixed in time.

    With z a customer's covariates less their means over the customers fitted, g the coefficients
    ``purchase:...`` and d the coefficients ``dropout:...``:

    ================================  =====================  ====================
    process                           buying                 leaving
    ================================  =====================  ====================
    BG/NBD, MBG/NBD and their CNBD-k  alpha × exp(-g'z)      a × exp(d'z)
    Pareto/NBD                        alpha × exp(-g'z)      beta × exp(-d'z)
    BG/BB                             alpha × exp(g'z)       gamma × exp(d'z)
    ================================  =====================  ====================

    So a larger coefficient always means more purchases, or faster dropout. Proportional to exp(g'z) or exp(d'z)
    are the rates of buying and of leaving and, for Beta-distributed probabilities, the odds of their mean:
    a / b, gamma / delta, and BG/BB's alpha / beta. Fader and Hardie (2007) move both a and b of BG/NBD, each with
    coefficients of its own, as do CLVTools and pymc-marketing; this is their model with b left alone, in which
    one coefficient says whether customers leave faster.

    The process's parameters are those of a customer with average covariates, so adding a constant to a
    covariate changes nothing. Those at covariates of zero, as in the papers, follow from ``covariate_means_``:
    alpha × exp(g'means) for BG/NBD.

    Parameters
    ----------
    process : PurchaseProcess
        What the covariates are added to. An unknown k of BG/CNBD-k and MBG/CNBD-k is estimated without covariates.
    purchase, dropout : sequence of str, default ()
        Columns that move the rate of buying and of leaving; a column may be in both.
    l2 : float, default 0.0
        The total log-likelihood is reduced by 0.5 × l2 × the sum of squared coefficients of the standardised
        covariates (mean 0, standard deviation 1). Standard errors are then those of the penalised likelihood,
        around an estimate drawn towards 0.

    Attributes
    ----------
    params_ : dict of str to float
        The process's parameters, then ``purchase:<column>`` and ``dropout:<column>`` per unit of the column.
    standard_errors_ : dict of str to float
        Delta method; infinite where the data do not determine a parameter.
    log_likelihood_ : float
        Without the penalty.
    log_covariance_ : ndarray of shape (n_params, n_params)
        Asymptotic covariance of the logarithms of the process's parameters and of the coefficients.
    covariate_means_, covariate_scales_ : dict of str to float
        By coefficient.
    process_ : PurchaseProcess
        The same process fitted without covariates.
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words; ``log_likelihood_without_covariates`` is for comparison.
    time_unit_ : str

    References
    ----------
    Fader and Hardie (2007), Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models.

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5] * 2, "recency": [0, 4.0, 20.0, 30.0] * 2, "T": 36.0,
    ...                     "web": [0] * 4 + [1] * 4})
    >>> model = CovariateModel(BetaGeoModel(time_unit="W"), purchase=["web"])
    >>> model = model.fit(rfm, weights=[300, 60, 30, 10, 150, 60, 50, 40])
    >>> round(model.params_["purchase:web"], 3), round(model.standard_errors_["purchase:web"], 3)
    (1.162, 0.178)
    >>> model.expected_purchases(rfm, 52.0).round(3).tolist()
    [0.278, 0.44, 1.415, 4.003, 0.36, 0.34, 1.677, 5.141]
    """

    def __init__(
        self,
        process: PurchaseProcess,
        *,
        purchase: Sequence[str] = (),
        dropout: Sequence[str] = (),
        l2: float = 0.0,
    ) -> None:
        self.process = process
        self.purchase = purchase
        self.dropout = dropout
        self.l2 = l2

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the parameters and coefficients by maximum (penalised) likelihood.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            The columns the process reads, and the covariates.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row; fractions are allowed. One each by default.

        Raises
        ------
        CrmError
            If a setting is out of its domain.
        SchemaError
            If a history is impossible, or a covariate is missing, not finite or constant.
        ConvergenceError
            If nobody bought again, or the likelihood cannot be maximised.
        """
        family_of(self.process)
        roles, l2 = self._roles(), check_l2(self.l2)
        process = clone(self.process).fit(rfm, weights)
        history = process._columns(rfm)
        patterns, values = _merge(history, self._covariates(rfm, roles), check_weights(weights, len(rfm)))
        standard = Standard.of(values, patterns.weight, names=[name for names in roles.values() for name in names])
        stored = process._stored
        if values.shape[1]:
            fit = _fit(process, patterns, standard.of_rows(values), roles, l2=l2)
            notes = [*process._notes(patterns), *fit.notes, *_worth(fit, process, values.shape[1], l2=l2)]
            stored = StoredFit.of(_on_the_scale_of(standard, fit), notes=notes)
        self._take(process, stored, standard)
        self.diagnostics_["log_likelihood_without_covariates"] = process.log_likelihood_
        return self

    def probability_alive(self, rfm: pd.DataFrame, *, further_silence: float = 0.0) -> pd.Series:
        """Probability that each customer has not left; see `PurchaseProcess.probability_alive`."""
        (x, t_x, T), own = self._read(rfm)
        values = self.process_._bound.probability_alive(x, t_x, T + further_silence, **own)
        return pd.Series(values, index=rfm.index, name="probability_alive")

    def probability_no_purchase(self, rfm: pd.DataFrame, horizon: float) -> pd.Series:
        """Probability that each customer buys nothing within ``horizon``; see `PurchaseProcess`."""
        history, own = self._read(rfm)
        self.process_._check_horizon(horizon)
        values = self.process_._bound.probability_no_purchase(horizon, *history, **own)
        return pd.Series(values, index=rfm.index, name="probability_no_purchase")

    def expected_purchases(self, rfm: pd.DataFrame, horizon: float, *, discount_rate: float = 0.0) -> pd.Series:
        """Return expected purchases of each customer within ``horizon``; see `PurchaseProcess`.

        A customer's value depends on no other customer. With dropout covariates it is interpolated, at a
        relative error below 1e-10.
        """
        history, own = self._read(rfm)
        self.process_._check_horizon(horizon)
        values = self._family.expected(self.process_._bound, horizon, *history, discount_rate=discount_rate, **own)
        return pd.Series(values, index=rfm.index, name="expected_purchases")

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        check_fitted(self, "params_")
        return {
            "model": type(self).__name__,
            "process": self.process_.to_dict(),
            **{role: list(names) for role, names in self._roles().items()},
            "l2": float(self.l2),
            "covariate_means": list(self.covariate_means_.values()),
            "covariate_scales": list(self.covariate_scales_.values()),
            **self._stored.to_dict(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another model.
        """
        try:
            process = PROCESSES[stored["process"]["model"]].from_dict(stored["process"])
            model = cls(process, purchase=stored["purchase"], dropout=stored["dropout"], l2=stored["l2"])
            standard = Standard(*(np.array(stored[f"covariate_{part}"], dtype=float) for part in ("means", "scales")))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"A stored {cls.__name__} must hold its process and covariates; reading them: {error!r}.\n"
                "Store the model again."
            ) from error
        names = list(process.params_)
        fit = StoredFit.from_dict(stored, model=cls.__name__, names=names, signed=_coefficients(model._roles()))
        model._take(process, fit, standard)
        return model

    def _take(self, process: PurchaseProcess, stored: StoredFit, standard: Standard) -> None:
        coefficients = _coefficients(self._roles())
        self.process_, self.time_unit_ = process, process.time_unit_
        self._family, self._stored = family_of(process), stored
        self.params_ = dict(stored.params)
        self.standard_errors_ = stored.standard_errors
        self.log_likelihood_ = stored.log_likelihood
        self.log_covariance_ = stored.log_covariance
        self.diagnostics_ = stored.diagnostics
        self.covariate_means_ = dict(zip(coefficients, standard.means.tolist(), strict=True))
        self.covariate_scales_ = dict(zip(coefficients, standard.scales.tolist(), strict=True))

    def _roles(self) -> dict[str, tuple[str, ...]]:
        return {role: check_names(role, getattr(self, role)) for role in ("purchase", "dropout")}

    def _covariates(self, rfm: pd.DataFrame, roles: Mapping[str, tuple[str, ...]]) -> Array:
        return np.column_stack([check_covariates(rfm, names) for names in roles.values()])

    def _read(self, rfm: pd.DataFrame) -> tuple[tuple[Array, Array, Array], dict[str, Array]]:
        """Histories, and each customer's parameters where covariates move them."""
        check_fitted(self, "params_")
        roles = self._roles()
        history, values = self.process_._columns(rfm), self._covariates(rfm, roles)
        effects = (values - list(self.covariate_means_.values())) * [self.params_[n] for n in self.covariate_means_]
        own = {name: np.asarray(self.params_[name]) for name in self.process_.params_}
        first = 0
        for role, names in roles.items():
            moved, sign = self._family.moved[role]
            if names:
                own[moved] = own[moved] * np.exp(sign * effects[:, first : first + len(names)].sum(axis=1))
            first += len(names)
        return history, own


def _coefficients(roles: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [f"{role}:{name}" for role, names in roles.items() for name in names]


def _merge(history: tuple[Array, ...], values: Array, weight: Array) -> tuple[Patterns, Array]:
    """Merge customers of equal history and covariates, sorted, and drop those of weight zero."""
    rows = np.column_stack([*history, values])[weight > 0]
    merged = pd.Series(weight[weight > 0]).groupby(list(rows.T), sort=True).sum()
    x, t_x, T, *columns = (merged.index.get_level_values(level).to_numpy() for level in range(rows.shape[1]))
    patterns = Patterns(x=x, t_x=t_x, T=T, weight=np.asarray(merged, dtype=float))
    return patterns, np.stack(columns, axis=1) if columns else np.empty((len(x), 0))


def _fit(
    process: PurchaseProcess, patterns: Patterns, z: Array, roles: Mapping[str, tuple[str, ...]], *, l2: float
) -> FitResult:
    """Fit with the mean length of observation as the unit of time, from the optimum without covariates and another.

    Coefficients are those of standardised covariates, and the log-likelihood is without the penalty.
    """
    mathematics, family = process._bound, family_of(process)
    names = mathematics.NAMES
    timed = np.array([name in mathematics.TIME_NAMES for name in names])
    unit = float(patterns.weight @ patterns.T) / patterns.total_weight if timed.any() else 1.0
    scaled = patterns.in_units_of(unit)
    n_purchase = len(roles["purchase"])
    blocks = zip(("purchase", "dropout"), (z[:, :n_purchase], z[:, n_purchase:]), strict=True)
    moved = [(names.index(family.moved[role][0]), family.moved[role][1], block) for role, block in blocks]
    f = objective(scaled, Designs.of(moved, len(z)), family.derivatives, names, l2=l2)
    units = np.where(timed, unit, 1.0)
    none, reach = np.zeros(z.shape[1]), _LARGEST_LOG_EFFECT / np.abs(z).max(axis=0)
    plain = np.append(np.log([process.params_[name] for name in names]) - np.log(units), none)
    fit = maximise(
        f,
        [[plain, np.append(mathematics.starts(scaled)[0][0], none)]],
        names=[*names, *_coefficients(roles)],
        lower=np.append(mathematics.log_lower, -reach),
        upper=np.append(mathematics.log_upper, reach),
        total_weight=scaled.total_weight,
    )
    theta = np.log(list(fit.params.values()))
    gain = fit.log_likelihood + 0.5 * l2 * float(theta[4:] @ theta[4:]) - f(plain)[0]
    return dataclasses.replace(
        fit,
        params=_by_name(fit, np.append(np.exp(theta[:4]) * units, theta[4:])),
        standard_errors=_by_name(fit, _errors(fit) * np.append(units, np.exp(-theta[4:]))),
        log_likelihood=process.log_likelihood_ + gain,
    )


def _on_the_scale_of(standard: Standard, fit: FitResult) -> FitResult:
    """Return a fit with coefficients per unit of the covariates instead of per standard deviation."""
    scales = np.append(np.ones(4), standard.scales)
    return dataclasses.replace(
        fit,
        params=_by_name(fit, np.array(list(fit.params.values())) / scales),
        standard_errors=_by_name(fit, _errors(fit) / scales),
        log_covariance=fit.log_covariance / np.outer(scales, scales),
    )


def _errors(fit: FitResult) -> Array:
    return np.array(list(fit.standard_errors.values()))


def _by_name(fit: FitResult, values: Array) -> dict[str, float]:
    return dict(zip(fit.params, values.tolist(), strict=True))


def _worth(fit: FitResult, process: PurchaseProcess, n_coefficients: int, *, l2: float) -> list[str]:
    """Say where an unpenalised fit is no better than chance would make it."""
    gain = fit.log_likelihood - process.log_likelihood_
    chance = float(chi2.sf(2.0 * gain, n_coefficients))
    if l2 > 0.0 or chance <= 0.05:
        return []
    return [
        f"Covariates add little: {n_coefficients} coefficients raise the log-likelihood by {gain:.2f}, which "
        f"covariates without any effect do with a probability of {chance:.0%}; the process without them will do."
    ]
