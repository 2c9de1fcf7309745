"""How far parameters would move had other customers been seen: the weighted bootstrap.

A replicate gives every customer a random weight and maximises the weighted likelihood again. The weights are
exponential with mean 1, so that n customers of one history weigh Gamma(n) together: one gamma number per
pattern replaces n draws, a fractional weight is no special case, and no customer ever drops out, which keeps
small shops from replicates without a repeat purchase. Newton starts at the estimates, a distance of about
1 / sqrt(n) from the replicate's maximum, and is there within a few passes.

Source: Rubin (1981), The Bayesian Bootstrap, Annals of Statistics 9(1); Newton and Raftery (1994), Approximate
Bayesian Inference with the Weighted Likelihood Bootstrap, Journal of the Royal Statistical Society B 56(1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.likelihood.newton import Objective, maximise
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.errors import ConvergenceError, CrmError, out_of_range

__all__ = ["Bootstrap", "Reweighted", "weighted_bootstrap"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reweighted:
    """A likelihood whose customers can be weighted anew.

    Attributes
    ----------
    weight : ndarray of shape (n_patterns,)
        Customers behind each history.
    objective : callable
        Takes weights of that shape; returns the likelihood under them.
    lower, upper : ndarray of shape (n_params,)
        Range of the log parameters.
    """

    weight: Array
    objective: Callable[[Array], Objective]
    lower: Array
    upper: Array


class _Fitted(Protocol):
    params_: dict[str, float]

    def reweighted(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Reweighted: ...


@dataclass(frozen=True)
class Bootstrap:
    """Parameters of every replicate.

    Attributes
    ----------
    draws : DataFrame of shape (n_replicates, n_params)
        On the natural scale; NaN where a replicate's likelihood could not be maximised.
    n_failed : int
        Replicates that are NaN.
    n_at_boundary : int
        Replicates whose maximum is at the edge of a parameter's range; they count, at the edge.
    """

    draws: pd.DataFrame
    n_failed: int
    n_at_boundary: int

    @property
    def notes(self) -> list[str]:
        """What is doubtful about the draws, in words; empty for ordinary ones."""
        notes = []
        if self.n_failed:
            notes.append(
                f"{self.n_failed:,} of {len(self.draws):,} replicates could not be maximised and are NaN: intervals "
                "come from the others, and may be too narrow."
            )
        if self.n_at_boundary:
            notes.append(
                f"{self.n_at_boundary:,} of {len(self.draws):,} replicates ran to the edge of a parameter's range: "
                "an interval that ends there has no end on that side."
            )
        return notes

    def intervals(self, *, level: float = 0.90) -> pd.DataFrame:
        """Return percentile intervals of the parameters; the same on any monotone scale.

        Parameters
        ----------
        level : float in (0, 1), default 0.90

        Returns
        -------
        DataFrame of shape (n_params, 2)
            Indexed by parameter: ``lower``, ``upper``.

        Raises
        ------
        CrmError
            If the level is no probability, or less than one replicate lies beyond each end.
        """
        if not 0.0 < level < 1.0:
            raise CrmError(out_of_range("level", level, "lie between 0 and 1"))
        logs, tail = np.log(self.draws.dropna().to_numpy()), (1.0 - level) / 2.0
        needed = int(np.ceil(1.0 / tail - 1e-9))
        if len(logs) < needed:
            raise CrmError(
                f"A {level:.0%} interval needs {needed:,} replicates, one beyond each end; {len(logs):,} were "
                "maximised.\nAsk for more replicates or a lower level."
            )
        bounds = np.exp(np.quantile(logs, [tail, 1.0 - tail], axis=0))
        return pd.DataFrame(bounds.T, index=self.draws.columns.rename("parameter"), columns=["lower", "upper"])

    def per_future(self, n_futures: int) -> dict[str, Array]:
        """Deal the draws out to futures, each as often as any other give or take one.

        Parameters
        ----------
        n_futures : int

        Returns
        -------
        dict of str to ndarray of shape (n_futures,)
        """
        whole = self.draws.dropna()
        return {str(name): np.resize(whole[name].to_numpy(), n_futures) for name in whole}


def weighted_bootstrap(
    model: _Fitted,
    rfm: pd.DataFrame,
    weights: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    n_replicates: int = 200,
) -> Bootstrap:
    """Fit a purchase process or Gamma-Gamma again and again under random weights of the customers.

    Whatever a fit chose beside its parameters, such as the k of CNBD-k, is held.

    Parameters
    ----------
    model : PurchaseProcess or GammaGammaModel
        Fitted.
    rfm : DataFrame of shape (n_customers, ...)
        The frame it was fitted on.
    weights : array_like of shape (n_customers,), optional
        The weights it was fitted with.
    rng : numpy.random.Generator
    n_replicates : int, default 200

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    CrmError
        If ``n_replicates`` is not a positive whole number.
    ConvergenceError
        If not one replicate can be maximised.

    Examples
    --------
    >>> from crm_ml.clv import BetaGeoModel
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 2, 5], "recency": [0, 0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 30.0, 36.0, 31.0, 33.0]})
    >>> many = [400, 100, 200, 90, 20]
    >>> model = BetaGeoModel(time_unit="W").fit(rfm, many)
    >>> bootstrap = weighted_bootstrap(model, rfm, many, rng=np.random.default_rng(1))
    >>> bootstrap.intervals(level=0.9).loc["r"].round(2).tolist()
    [0.22, 0.28]
    """
    check_fitted(model, "params_")
    if not 1 <= n_replicates < np.inf or n_replicates != int(n_replicates):
        raise CrmError(out_of_range("n_replicates", n_replicates, "be a whole number, 1 or more"))
    likelihood = model.reweighted(rfm, weights)
    names, start = list(model.params_), np.log(list(model.params_.values()))
    draws = np.full((int(n_replicates), len(names)), np.nan)
    n_at_boundary, failure = 0, None
    for draw in draws:
        weight = rng.standard_gamma(likelihood.weight)
        try:
            fit = maximise(
                likelihood.objective(weight),
                [[start]],
                names=names,
                lower=np.minimum(likelihood.lower, start),
                upper=np.maximum(likelihood.upper, start),
                total_weight=float(weight.sum()),
            )
        except ConvergenceError as error:
            failure = error
            continue
        draw[:] = list(fit.params.values())
        n_at_boundary += not fit.converged
    n_failed = int(np.isnan(draws[:, 0]).sum())
    if failure is not None and n_failed == len(draws):
        raise failure
    return Bootstrap(pd.DataFrame(draws, columns=names), n_failed=n_failed, n_at_boundary=n_at_boundary)
