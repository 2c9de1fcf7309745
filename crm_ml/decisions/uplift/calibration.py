"""From what trees say of an effect to what it really is: the best linear predictor, and groups to check it by.

Chernozhukov, Demirer, Duflo and Fernández-Val (2018, NBER 24678): regress the doubly robust scores, whose mean given
the features is the effect, on what was predicted out of fold; the intercept is the mean effect, the slope says how
much of the predicted difference between customers is real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from crm_ml.errors import CrmError, out_of_range

__all__ = ["EffectLine", "best_linear_predictor", "effect_groups"]

Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""Predictions that differ by no more than this share of the scores' deviation are taken for equal."""


@dataclass(frozen=True)
class EffectLine:
    """The mean effect and how much of the predicted differences is believed.

    Attributes
    ----------
    effect : float
        Mean effect.
    slope : float
        What a predicted difference of 1 is taken for.
    estimated_slope : float
        Before shrinkage.
    covariance : ndarray of shape (2, 2)
        Of the mean effect and the estimated slope, robust to unequal variance.
    """

    effect: float
    slope: float
    estimated_slope: float
    covariance: Floats

    def __call__(self, above: Floats) -> Floats:
        """Return the effect of customers seen so far above average: (n,)."""
        return self.effect + self.slope * above

    def error(self, above: Floats, spread: Floats) -> Floats:
        """Return the standard error, of the line and of a prediction known to within `spread`: (n,)."""
        (level, both), (_, slope) = self.covariance
        found: Floats = np.sqrt(level + 2 * above * both + above**2 * slope + (self.slope * spread) ** 2)
        return found


def best_linear_predictor(above: Floats, scores: Floats) -> EffectLine:
    """Regress scores of the effect on predictions made without them.

    The slope b, of standard error s, is shrunk to ``max(0, b − s² / b)``: to 0 where it is not even s, and by little
    where it is well known (the positive-part rule of James and Stein 1961 in one dimension). A model that sees
    differences where there are none so falls back to the mean effect for everyone.

    Parameters
    ----------
    above : ndarray of shape (n,)
        Predicted effect, out of fold, less its mean.
    scores : ndarray of shape (n,)
        Unbiased for each customer's effect.

    Returns
    -------
    EffectLine

    Examples
    --------
    >>> above, noise = np.tile([-1.0, 1.0], 50), np.repeat([-2.0, 2.0], 50)
    >>> line = best_linear_predictor(above, 3 + 0.8 * above + noise)
    >>> round(line.effect, 3), round(line.estimated_slope, 3), round(line.slope, 3)
    (3.0, 0.8, 0.749)
    """
    from statsmodels.regression.linear_model import OLS

    if above.std() <= ROUNDING * scores.std():
        fit = OLS(scores, np.ones((len(scores), 1))).fit(cov_type="HC1")
        covariance = np.diag([float(fit.cov_params()[0, 0]), 0.0])
        return EffectLine(float(fit.params[0]), 0.0, 0.0, covariance)
    fit = OLS(scores, np.column_stack([np.ones(len(above)), above])).fit(cov_type="HC1")
    effect, slope = (float(value) for value in fit.params)
    covariance = np.asarray(fit.cov_params(), dtype=np.float64)
    shrunk = max(0.0, slope - float(covariance[1, 1]) / slope) if slope > 0 else 0.0
    return EffectLine(effect, shrunk, slope, covariance)


def effect_groups(predicted: Floats, scores: Floats, *, groups: int = 10, level: float = 0.9) -> pd.DataFrame:
    """Return predicted and estimated effect in groups of about equal size, by what was predicted.

    Parameters
    ----------
    predicted : ndarray of shape (n,)
        Predicted without the customer's own outcome.
    scores : ndarray of shape (n,)
        Unbiased for each customer's effect.
    groups : int
        At most so many, at least 1; customers predicted alike stay together.
    level : float
        Of the normal interval of a group's mean score.

    Returns
    -------
    DataFrame
        One row per group, lowest first: ``predicted`` (mean), ``estimated`` with ``lower`` and ``upper``, and
        ``customers`` (count).

    Raises
    ------
    CrmError
        If a setting is outside its domain.

    Examples
    --------
    >>> effect_groups(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0.0, 2.0, 2.0, 6.0]), groups=2).round(2)
       predicted  estimated  lower  upper  customers
    0        1.0        1.0  -0.64   2.64          2
    1        3.0        4.0   0.71   7.29          2
    """
    if groups < 1:
        raise CrmError(out_of_range("groups", groups, "be at least 1"))
    if not 0 < level < 1:
        raise CrmError(out_of_range("level", level, "be between 0 and 1"))
    frame = pd.DataFrame({"predicted": predicted, "score": scores})
    share = frame["predicted"].rank(method="average", pct=True)
    by_group = frame.groupby(np.ceil(share * groups).clip(1, groups).astype(int))
    found = by_group.agg(
        predicted=("predicted", "mean"),
        estimated=("score", "mean"),
        error=("score", "sem"),
        customers=("score", "size"),
    ).reset_index(drop=True)
    away = norm.ppf((1 + level) / 2) * found.pop("error")
    found.insert(2, "lower", found["estimated"] - away)
    found.insert(3, "upper", found["estimated"] + away)
    return found
