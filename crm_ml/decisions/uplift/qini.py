"""Qini: what treating the customers ranked first brings, beyond treating as many at random.

For a score, an experiment with treated share e, and customers sorted by score, highest first,

    gain(φ) = (1/n) Σ over the top φ·n customers of z,    z = (Y − c)·(T/e − (1 − T)/(1 − e)),

estimates the gain per customer of the base from treating the share φ with the highest scores: φ times the mean of the
treated less the mean of the control among them (Radcliffe 2007, *Direct Marketing Analytics Journal*; the per-customer
scale of Devriendt, Van Belle, Guns and Verbeke 2020, *IEEE TKDE* 34:4888). ``c = (1 − e)·(mean treated) + e·(mean
control)`` takes noise out and adds no bias. AUUC is the area under this curve from φ = 0 to 1, Qini that between it and
the straight line to gain(1), which targeting at random follows. Customers with the same score come in no order: the
curve is straight between them. All are in the unit of the outcome, per customer; none is divided by a perfect curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from crm_ml.errors import CrmError, SchemaError, out_of_range

__all__ = ["Area", "auuc", "qini", "qini_curve"]

Floats = NDArray[np.float64]


class Area(NamedTuple):
    """An area under or between curves, in the unit of the outcome per customer, and its standard error."""

    value: float
    standard_error: float


def qini(
    score: ArrayLike,
    *,
    treated: ArrayLike,
    outcome: ArrayLike,
    propensity: float | None = None,
    fold: ArrayLike | None = None,
) -> Area:
    """Return the area between the gain curve of a ranking and the line of targeting at random.

    Parameters
    ----------
    score : array of shape (n,)
        The higher, the earlier treated.
    treated : array of shape (n,)
        1 or 0, or True or False, drawn at random.
    outcome : array of shape (n,)
    propensity : float, optional
        Probability of being treated, by design; the observed share where it is not given.
    fold : array of shape (n,), optional
        For scores by several models, each of its own fold, as of `cross_fitted_uplift`: customers are ranked within
        their fold. Among all of them a fold where the effect came out high is ranked low, as the others that its
        model learnt from came out low, and Qini would be too low.

    Returns
    -------
    Area
        0 in expectation for a score that knows nothing. With u the share of customers ranked before one, it is the
        mean of ``z (1/2 − u)``; the standard error is that of its influence function,
        ``z (1/2 − u) + gain(u) − gain(1)/2``, less what an observed share, where it is not given, corrects.

    Raises
    ------
    SchemaError, CrmError
        If the arrays differ in length, hold what they must not or lack an arm; if the propensity is no probability.

    Examples
    --------
    Treating helps the first two customers, by 4, and they are ranked first:

    >>> qini([2, 2, 1, 1], treated=[1, 0, 1, 0], outcome=[5, 1, 0, 0]).value
    0.5
    """
    return _effects(score, treated, outcome, propensity, fold).area(0.5)


def auuc(
    score: ArrayLike,
    *,
    treated: ArrayLike,
    outcome: ArrayLike,
    propensity: float | None = None,
    fold: ArrayLike | None = None,
) -> Area:
    """Return the area under the gain curve of a ranking; half the mean effect for a score that knows nothing.

    Parameters, errors and standard error are those of `qini`: the mean of ``z (1 − u)``, with the influence function
    ``z (1 − u) + gain(u)``.

    Examples
    --------
    >>> auuc([2, 2, 1, 1], treated=[1, 0, 1, 0], outcome=[5, 1, 0, 0]).value
    1.5
    """
    return _effects(score, treated, outcome, propensity, fold).area(1.0)


def qini_curve(
    score: ArrayLike,
    *,
    treated: ArrayLike,
    outcome: ArrayLike,
    propensity: float | None = None,
    fold: ArrayLike | None = None,
    points: int = 101,
    level: float = 0.90,
) -> pd.DataFrame:
    """Return the gain curve of a ranking.

    Parameters
    ----------
    score, treated, outcome, propensity, fold
        As for `qini`.
    points : int
        Evenly spaced from 0 to 1; at least 2.
    level : float
        Of the band, normal at each point, for the customers ranked there as given.

    Returns
    -------
    DataFrame
        ``contacted_share``, ``gain`` per customer of the base, its ``lower`` and ``upper`` bound, and ``at_random``.

    Raises
    ------
    SchemaError, CrmError
        As for `qini`, or if a setting is outside its domain.

    Examples
    --------
    >>> qini_curve([2, 2, 1, 1], treated=[1, 0, 1, 0], outcome=[5, 1, 0, 0], points=5)[["gain", "at_random"]].T
                 0    1    2    3    4
    gain       0.0  1.0  2.0  2.0  2.0
    at_random  0.0  0.5  1.0  1.5  2.0
    """
    if points < 2:
        raise CrmError(out_of_range("points", points, "be at least 2"))
    if not 0 < level < 1:
        raise CrmError(out_of_range("level", level, "be between 0 and 1"))
    found = _effects(score, treated, outcome, propensity, fold)
    share = np.linspace(0.0, 1.0, points)
    gain, pull = found.cumulated(found.effect, share), found.cumulated(found.pull, share)
    squared = found.cumulated(found.effect**2, share) + pull**2 * (found.excess**2).mean()
    variance = squared - 2 * pull * found.cumulated(found.effect * found.excess, share) - gain**2
    away = norm.ppf((1 + level) / 2) * np.sqrt(np.maximum(variance, 0.0) / found.score.size)
    columns = {"contacted_share": share, "gain": gain, "lower": gain - away, "upper": gain + away}
    return pd.DataFrame({**columns, "at_random": share * gain[-1]})


@dataclass(frozen=True)
class _Effects:
    """Each customer's z and score; how z falls as the share treated is taken for larger; what was above that share."""

    effect: Floats
    score: Floats
    pull: Floats
    excess: Floats

    def cumulated(self, values: Floats, share: Floats) -> Floats:
        """Return the sum over the top shares of customers, over their number; straight between equal scores."""
        order = np.argsort(-self.score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(self.score[order])), order.size - 1) + 1
        sums = np.append(0.0, np.cumsum(values[order])[ends - 1]) / order.size
        found: Floats = np.interp(share, np.append(0, ends) / order.size, sums)
        return found

    def area(self, level: float) -> Area:
        """Return the mean of ``z (level − u)``, with u the share of customers ranked before one."""
        before = (rankdata(-self.score) - 0.5) / self.score.size
        of_rank = self.effect * (level - before)
        observed = (self.pull * (level - before)).mean() * self.excess
        influence = of_rank + self.cumulated(self.effect, before) - observed
        return Area(float(of_rank.mean()), float(influence.std(ddof=1) / np.sqrt(self.score.size)))


def _effects(
    score: ArrayLike, treated: ArrayLike, outcome: ArrayLike, propensity: float | None, fold: ArrayLike | None
) -> _Effects:
    """Return z of each customer and the score, or else the rank in the fold, checked."""
    scores, arm, values = (
        _finite(name, array) for name, array in (("score", score), ("treated", treated), ("outcome", outcome))
    )
    if not scores.shape == arm.shape == values.shape:
        shapes = [scores.shape, arm.shape, values.shape]
        raise SchemaError(f"score, treated and outcome must have one length; they have {shapes}.\nAlign them.")
    if not (np.isin(arm, (0.0, 1.0)).all() and 0 < arm.sum() < arm.size):
        found = np.unique(arm)[:5].tolist()
        raise SchemaError(f"`treated` must hold 1 and 0, both; it holds {found}.\nLeave out what is neither.")
    share = float(arm.mean()) if propensity is None else propensity
    if not 0 < share < 1:
        raise CrmError(out_of_range("propensity", propensity, "be between 0 and 1"))
    if fold is not None:
        scores = np.asarray(pd.Series(scores).groupby(np.asarray(fold)).rank(pct=True), dtype=np.float64)
    centre = (1 - share) * values[arm == 1].mean() + share * values[arm == 0].mean()
    beyond = values - centre
    effect = beyond * (arm / share - (1 - arm) / (1 - share))
    pull = beyond * (arm / share**2 + (1 - arm) / (1 - share) ** 2)
    excess = arm - share if propensity is None else np.zeros_like(arm)
    return _Effects(effect, scores, pull, excess)


def _finite(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise SchemaError(f"`{name}` must be a finite number for each customer.\nCorrect or drop the others.")
    return array
