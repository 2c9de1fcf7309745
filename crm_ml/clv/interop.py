"""Fitted models to and from the archived package ``lifetimes``, for those who move or compare."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.processes import (
    BetaGeoBetaBinomModel,
    BetaGeoModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
    bg_bb,
    bg_nbd,
    pareto_nbd,
)
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.clv.spend import GammaGammaModel, gamma_gamma
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.clv.summary import TimeUnit
from crm_ml.errors import ModelError, NotFittedError

__all__ = ["from_lifetimes", "import_lifetimes", "to_lifetimes"]

Array = NDArray[np.float64]

_MODELS: dict[str, type[PurchaseProcess | GammaGammaModel]] = {
    "BetaGeoFitter": BetaGeoModel,
    "ModifiedBetaGeoFitter": ModifiedBetaGeoModel,
    "ParetoNBDFitter": ParetoNBDModel,
    "BetaGeoBetaBinomFitter": BetaGeoBetaBinomModel,
    "GammaGammaFitter": GammaGammaModel,
}
_COLUMNS = ("frequency", "recency", "T", "n_periods", "monetary_value")
_LIKELIHOODS: dict[str, Callable[..., Array]] = {
    "BetaGeoFitter": bg_nbd.log_likelihood,
    "ModifiedBetaGeoFitter": partial(bg_nbd.log_likelihood, modified=True),
    "ParetoNBDFitter": pareto_nbd.log_likelihood,
    "BetaGeoBetaBinomFitter": bg_bb.log_likelihood,
    "GammaGammaFitter": gamma_gamma.log_likelihood,
}


def from_lifetimes(fitter: Any, *, time_unit: TimeUnit = "D") -> PurchaseProcess | GammaGammaModel:
    """Return the model of ours that predicts from the estimates of a ``lifetimes`` fitter.

    Nothing is searched for again: the estimates, their covariance and the likelihood are those of the fitter,
    and ``diagnostics_["notes"]`` says so. ``lifetimes`` does not tell how near to a maximum it stopped; fit
    the model anew to know.

    Parameters
    ----------
    fitter : lifetimes.BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter, BetaGeoBetaBinomFitter or GammaGammaFitter
        Fitted.
    time_unit : {"D", "W"}, default "D"
        Unit of the fitter's recency and T, of which it knows nothing. Without meaning for BG/BB and
        Gamma-Gamma, which measure no time.

    Returns
    -------
    BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel, BetaGeoBetaBinomModel or GammaGammaModel

    Raises
    ------
    NotFittedError
        If the fitter has no estimates.
    ModelError
        If the fitter is of another kind, or its estimates are not positive.

    Examples
    --------
    >>> fitter = import_lifetimes().BetaGeoFitter()
    >>> fitter.params_ = pd.Series({"r": 0.242594, "alpha": 4.413602, "a": 0.792922, "b": 2.425907})
    >>> model = from_lifetimes(fitter, time_unit="W")
    >>> model.expected_purchases_new_customer([1.0, 32.0]).round(4).tolist()  # Hardie's spreadsheet
    [0.0532, 1.0437]
    """
    kind = type(fitter).__name__
    if kind not in _MODELS:
        raise ModelError(f"The fitter must be one of {list(_MODELS)}; got {kind}.\nFit the model of ours that suits.")
    if not hasattr(fitter, "params_"):
        raise NotFittedError(f"{kind} must be fitted before it is taken over; it has no `params_`.\nCall fit first.")
    params = {"gamma" if name == "v" else name: float(value) for name, value in fitter.params_.items()}
    notes = ["Estimates taken over from lifetimes: how near they are to a maximum of the likelihood is not known."]
    if fitter.penalizer_coef > 0.0:
        notes.append("They maximise the likelihood less a penalty on large parameters.")
    log_covariance = _log_covariance(fitter)
    deviations = np.sqrt(np.diag(log_covariance))
    errors = np.where(deviations > 0.0, deviations * list(params.values()), np.inf)
    if not log_covariance.any():
        notes.append("They come without standard errors: intervals leave the uncertainty of the parameters out.")
    log_likelihood, customers = _evidence(fitter, kind, params)
    stored = StoredFit(
        params=params,
        standard_errors=dict(zip(params, errors.tolist(), strict=True)),
        log_likelihood=log_likelihood,
        log_covariance=log_covariance,
        diagnostics={"notes": notes, **customers},
    )
    model = _MODELS[kind]
    return model.from_dict({"model": model.__name__, "time_unit": time_unit, **stored.to_dict()})


def to_lifetimes(model: PurchaseProcess | GammaGammaModel) -> Any:
    """Return a ``lifetimes`` fitter that predicts from the estimates of a model of ours.

    It has ``params_``, ``predict`` and, but for Pareto/NBD, ``variance_matrix_``, ``standard_errors_`` and
    ``confidence_intervals_``. It has no ``data``, so those of its methods and plots that look at the customers
    it was fitted to are not available. Times are in the model's unit.

    Parameters
    ----------
    model : BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel, BetaGeoBetaBinomModel or GammaGammaModel
        Fitted.

    Raises
    ------
    NotFittedError
    ModelError
        If ``lifetimes`` has no such model.

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 2, 5], "recency": [0, 0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 30.0, 36.0, 31.0, 33.0]})
    >>> to_lifetimes(BetaGeoModel(time_unit="W").fit(rfm, weights=[400, 100, 200, 90, 20]))
    <lifetimes.BetaGeoFitter: a: 0.98, alpha: 5.45, b: 0.69, r: 0.25>
    """
    kinds = [kind for kind, ours in _MODELS.items() if type(model) is ours]
    if not kinds:
        known = ", ".join(ours.__name__ for ours in _MODELS.values())
        raise ModelError(f"lifetimes must have the model: {known}; got {type(model).__name__}.\nKeep it as it is.")
    check_fitted(model, "params_")
    fitter = getattr(import_lifetimes(), kinds[0])()
    spend = isinstance(model, GammaGammaModel)
    names = ["v" if name == "gamma" and spend else name for name in model.params_]
    fitter.params_ = pd.Series(list(model.params_.values()), index=names)
    if not spend:
        fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    if not isinstance(model, ParetoNBDModel):
        values = fitter.params_.to_numpy()
        covariance = model.log_covariance_ * np.outer(values, values)
        fitter.variance_matrix_ = pd.DataFrame(covariance, index=names, columns=names)
        fitter.standard_errors_ = pd.Series(list(model.standard_errors_.values()), index=names)
        fitter.confidence_intervals_ = fitter._compute_confidence_intervals()
    return fitter


def import_lifetimes() -> Any:
    """Import lifetimes and undo the pandas option its import sets, which pandas 3 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The 'mode.chained_assignment' option is deprecated")
        option = pd.get_option("mode.chained_assignment")
        import lifetimes

        pd.set_option("mode.chained_assignment", option)
    return lifetimes


def _log_covariance(fitter: Any) -> Array:
    """Covariance of the logarithms of the estimates; zeros where the fitter has none that can be one.

    lifetimes multiplies the covariance of the logarithms by the square of the *column's* parameter. The product
    of mirrored entries is that of the covariance all the same, and of one that is right as well.
    """
    values = fitter.params_.to_numpy(dtype=float)
    nothing = np.zeros((len(values), len(values)))
    if not hasattr(fitter, "variance_matrix_"):
        return nothing
    matrix = fitter.variance_matrix_.to_numpy(dtype=float)
    if not (np.isfinite(matrix).all() and (np.diag(matrix) >= 0.0).all() and (matrix * matrix.T >= 0.0).all()):
        return nothing
    return np.asarray(np.sign(matrix) * np.sqrt(matrix * matrix.T) / np.outer(values, values))


def _evidence(fitter: Any, kind: str, params: dict[str, float]) -> tuple[float, dict[str, float]]:
    """Log-likelihood and number of the customers the fitter has kept; NaN where it has kept none."""
    if not hasattr(fitter, "data"):
        return np.nan, {}
    columns = [name for name in _COLUMNS if name in fitter.data]
    weight = fitter.data["weights"].to_numpy(dtype=float)
    each = _LIKELIHOODS[kind](*(fitter.data[name].to_numpy(dtype=float) for name in columns), **params)
    return float(weight @ each), {"customers": float(weight.sum())}
