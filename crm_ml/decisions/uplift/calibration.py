"""From candidates for an effect to the effect: how much of each is believed, and groups to check it by.

Doubly robust scores have the effect as their mean given the features. Regressing them on candidates, with no weight
below 0, is stacking (Nie and Wager 2021, *Biometrika* 108:299, section 4.2; Lan and Syrgkanis 2023, arXiv 2310.16945);
with one candidate it is the best linear predictor of Chernozhukov, Demirer, Duflo and Fernández-Val (2018, NBER
24678). Scores of customers who spend much are the noisier by far, so each counts by the inverse of its variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import pinvh
from scipy.optimize import nnls
from scipy.stats import norm

from crm_ml.errors import CrmError, out_of_range

__all__ = ["Combination", "combine_candidates", "effect_groups"]

Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""Candidates that move by no more than this share of the scores' deviation are taken for constant."""

LEAST_VARIANCE = 0.02
"""No score is taken for less noisy than this share of the mean variance."""


@dataclass(frozen=True)
class Combination:
    """The mean effect, and how much of what each candidate says beyond it is believed.

    Attributes
    ----------
    effect : float
        Mean effect.
    estimated : ndarray of shape (k,)
        Least squares weights, at least 0.
    believed : float
        Share of them that is believed, from 0 to 1.
    covariance : ndarray of shape (1 + k, 1 + k)
        Of the mean effect and the estimated weights, robust to unequal variance; 0 for a weight at its bound.
    """

    effect: float
    estimated: Floats
    believed: float
    covariance: Floats

    @property
    def weights(self) -> Floats:
        """What a candidate's difference of 1 is taken for: (k,)."""
        return self.believed * self.estimated

    def __call__(self, above: Floats) -> Floats:
        """Return the effect of customers of whom the candidates, last axis, are so far above average."""
        found: Floats = self.effect + above @ self.weights
        return found

    def error(self, above: Floats) -> Floats:
        """Return the standard error that mean effect and weights bring, for candidates (n, k): (n,)."""
        asked = np.column_stack([np.ones(len(above)), above])
        found: Floats = np.sqrt(np.einsum("ni,ij,nj->n", asked, self.covariance, asked))
        return found


def combine_candidates(above: Floats, scores: Floats, expected: Floats) -> Combination:
    """Regress scores of the effect on candidates made without them, with weights of at least 0.

    The ``k`` weights b above 0, of covariance V, are shrunk together, by ``max(0, 1 − k / bᵀV⁻¹b)``: to 0 where they
    are no larger than noise would make them, and by little where they are well known (the positive-part rule of
    James and Stein 1961; for one weight of standard error s, ``b − s² / b``). Candidates that see differences where
    there are none so fall back to the mean effect for everyone. That is the plain mean of the scores, which is right
    whatever the candidates are; only the differences are weighed by precision.

    Parameters
    ----------
    above : ndarray of shape (n, k)
        Candidates, each less its mean.
    scores : ndarray of shape (n,)
        Unbiased for each customer's effect.
    expected : ndarray of shape (n,)
        What each customer is expected to bring; the scores' variance is taken to rise with it, if it does.

    Returns
    -------
    Combination

    Examples
    --------
    >>> above, noise = np.tile([-1.0, 1.0], 50), np.repeat([-2.0, 2.0], 50)
    >>> found = combine_candidates(np.column_stack([above, -above]), 3 + 0.8 * above + noise, np.zeros(100))
    >>> round(found.effect, 3), found.estimated.round(3), found.weights.round(3)
    (3.0, array([0.8, 0. ]), array([0.749, 0.   ]))
    """
    n, effect, precision = len(scores), float(scores.mean()), _precision(scores, expected)
    estimated = np.zeros(above.shape[1])
    moving = np.flatnonzero(above.std(axis=0) > ROUNDING * scores.std())
    beyond = above[:, moving] - np.average(above[:, moving], axis=0, weights=precision)
    target = scores - np.average(scores, weights=precision)
    if moving.size:
        scale, root = beyond.std(axis=0), np.sqrt(precision)
        estimated[moving] = nnls(root[:, None] * beyond / scale, root * target)[0] / scale
    positive = estimated[moving] > 0
    beyond, used = beyond[:, positive], moving[positive]
    rest = precision * (target - beyond @ estimated[used])
    influence = np.zeros((n, 1 + above.shape[1]))
    influence[:, 0] = (scores - effect) / n
    influence[:, 1 + used] = rest[:, None] * beyond @ pinvh(beyond.T @ (precision[:, None] * beyond))
    covariance = n / (n - 1 - used.size) * influence.T @ influence
    signal = float(estimated[used] @ pinvh(covariance[np.ix_(1 + used, 1 + used)]) @ estimated[used])
    believed = max(0.0, 1.0 - used.size / signal) if signal > 0 else 0.0
    return Combination(effect, estimated, believed, covariance)


def _precision(scores: Floats, expected: Floats) -> Floats:
    """Return the inverse variance of scores by isotonic regression of squared deviations on the outcome to expect."""
    from sklearn.isotonic import IsotonicRegression

    squared = (scores - scores.mean()) ** 2
    if not squared.any():
        return np.ones(len(scores))
    variance = IsotonicRegression().fit_transform(expected, squared)
    found: Floats = 1.0 / np.maximum(variance, LEAST_VARIANCE * squared.mean())
    return found


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
