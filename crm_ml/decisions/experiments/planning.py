"""How many customers an experiment needs, and what it can find with those there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from crm_ml.decisions.experiments.shares import check_shares
from crm_ml.errors import CrmError, out_of_range

__all__ = ["Baseline", "experiment_power", "minimum_detectable_effect", "sample_size"]


@dataclass(frozen=True)
class Baseline:
    """What is known of an outcome before the experiment: a rate, or a mean with its standard deviation.

    Parameters
    ----------
    mean : float
        Mean per customer without treatment. Without a standard deviation it is a rate, from 0 to 1, such as retention.
    standard_deviation : float, optional
        Of the outcome among customers, such as spend, in the unit of the mean; above 0.
    covariate_correlation : float, default 0
        Correlation ρ with what is known before the start, between −1 and 1: for several covariates the multiple
        correlation. It leaves 1 − ρ² of the variance.

    Raises
    ------
    CrmError
        If a number is outside its domain.

    Examples
    --------
    >>> Baseline(0.62)
    Baseline(mean=0.62, standard_deviation=None, covariate_correlation=0.0)
    >>> Baseline(41.0, standard_deviation=80.0, covariate_correlation=0.6).variance()
    4096.0
    """

    mean: float
    _: KW_ONLY
    standard_deviation: float | None = None
    covariate_correlation: float = 0.0

    def __post_init__(self) -> None:
        spread = self.standard_deviation
        if spread is None and not 0 < self.mean < 1:
            rule = "lie between 0 and 1 where no `standard_deviation` is given, for then it is a rate"
            raise CrmError(out_of_range("mean", self.mean, rule))
        if not math.isfinite(self.mean):
            raise CrmError(out_of_range("mean", self.mean, "be finite"))
        if spread is not None and not (math.isfinite(spread) and spread > 0):
            raise CrmError(out_of_range("standard_deviation", spread, "be positive and finite"))
        if not -1 < self.covariate_correlation < 1:
            raise CrmError(out_of_range("covariate_correlation", self.covariate_correlation, "lie between −1 and 1"))

    def variance(self, effect: float = 0.0) -> float:
        """Return the variance that covariates leave, in an arm whose mean is `effect` higher; NaN beyond a rate."""
        moved = self.mean + effect
        if self.standard_deviation is not None:
            whole = self.standard_deviation**2
        else:
            whole = moved * (1.0 - moved) if 0 <= moved <= 1 else math.nan
        return whole * (1.0 - self.covariate_correlation**2)


def experiment_power(
    baseline: Baseline,
    effect: float,
    customers: int,
    arms: Mapping[str, float],
    *,
    control: str = "control",
    significance_level: float = 0.05,
) -> pd.Series[float]:
    """Return the probability with which each arm's effect is found.

    Parameters
    ----------
    baseline : Baseline
    effect : float
        Difference from the control, in the unit of the baseline's mean; of a rate in points, 0.02 for two percent.
    customers : int
        In all arms together.
    arms : mapping of arm to share
        Shares sum to 1, the control's among them.
    control : str
    significance_level : float
        Two-sided, for all arms together: each arm is tested at this over the number of arms (Bonferroni), which
        Holm's correction in `read_experiment` never falls behind.

    Returns
    -------
    Series
        Indexed by arm, without the control.

    Raises
    ------
    CrmError
        If a setting is outside its domain, or a rate moves beyond 0 or 1.

    See Also
    --------
    statsmodels.stats.power.normal_power_het : the formula, here with each arm's own variance.

    Notes
    -----
    Of a rate the arms' variances differ, and the reading uses both; an effect on the arcsine scale (Cohen's h)
    does not know that. With some tens of customers in an arm the power is less, by Student's t.

    Examples
    --------
    >>> halves = {"control": 0.5, "coupon": 0.5}
    >>> experiment_power(Baseline(0.60), 0.02, 20_000, halves).round(3).to_dict()
    {'coupon': 0.826}
    >>> experiment_power(Baseline(0.60, covariate_correlation=0.5), 0.02, 20_000, halves).round(3).to_dict()
    {'coupon': 0.918}
    """
    from statsmodels.stats.power import normal_power_het

    _check(arms, control=control, significance_level=significance_level)
    _check_customers(customers)
    alpha = significance_level / (len(arms) - 1)
    found = {
        arm: normal_power_het(effect, customers, alpha, std_null=_deviation(baseline, effect, arms[control], share))
        for arm, share in arms.items()
        if arm != control
    }
    return _by_arm(found)


def sample_size(
    baseline: Baseline,
    effect: float,
    arms: Mapping[str, float],
    *,
    control: str = "control",
    significance_level: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return how many customers, in all arms together, it takes to find an effect in every arm that has it.

    Parameters
    ----------
    power : float
        Probability with which the effect is found in the arm where that is hardest.

    The other parameters, what is raised and the notes are those of `experiment_power`.

    Examples
    --------
    >>> sample_size(Baseline(0.60), 0.02, {"control": 0.5, "coupon": 0.5})
    18665
    >>> sample_size(Baseline(41.0, standard_deviation=80.0), 2.0, {"control": 0.5, "coupon": 0.5})
    50233
    >>> sample_size(Baseline(41.0, standard_deviation=80.0, covariate_correlation=0.6), 2.0,
    ...             {"control": 0.5, "coupon": 0.5})
    32150
    """
    from statsmodels.stats.power import normal_sample_size_one_tail

    _check(arms, control=control, significance_level=significance_level, power=power)
    if not (math.isfinite(effect) and effect != 0):
        raise CrmError(out_of_range("effect", effect, "be finite and other than 0"))
    alpha = significance_level / (len(arms) - 1)
    needed: list[float] = [
        normal_sample_size_one_tail(abs(effect), power, alpha / 2.0, _deviation(baseline, effect, arms[control], share))
        for arm, share in arms.items()
        if arm != control
    ]
    return math.ceil(max(needed))


def minimum_detectable_effect(
    baseline: Baseline,
    customers: int,
    arms: Mapping[str, float],
    *,
    control: str = "control",
    significance_level: float = 0.05,
    power: float = 0.8,
) -> pd.Series[float]:
    """Return the least increase that is found with the power wanted, for each arm.

    The parameters, what is raised and the notes are those of `sample_size` and `experiment_power`.

    Returns
    -------
    Series
        Indexed by arm, without the control; in the unit of the baseline's mean. ``inf`` where even a rate of 1
        would not be told from the baseline.

    Examples
    --------
    >>> minimum_detectable_effect(Baseline(0.60), 18_665, {"control": 0.5, "coupon": 0.5}).round(6).to_dict()
    {'coupon': 0.02}
    """
    _check(arms, control=control, significance_level=significance_level, power=power)
    _check_customers(customers)
    reach = float(ndtri(1.0 - significance_level / (len(arms) - 1) / 2.0) + ndtri(power))
    in_control = customers * arms[control]
    return _by_arm(
        {
            arm: _least_effect(baseline, reach, in_control, customers * share)
            for arm, share in arms.items()
            if arm != control
        }
    )


def _least_effect(baseline: Baseline, reach: float, in_control: float, in_arm: float) -> float:
    """Solve ``δ² = reach² (variance / in_control + variance(δ) / in_arm)``, for a rate a quadratic equation."""
    variance = baseline.variance()
    if baseline.standard_deviation is not None:
        return reach * math.sqrt(variance / in_control + variance / in_arm)
    per_arm = reach**2 * (1.0 - baseline.covariate_correlation**2) / in_arm
    half = per_arm * (0.5 - baseline.mean)
    last = reach**2 * (variance / in_control + variance / in_arm)
    effect = (half + math.sqrt(half**2 + (1.0 + per_arm) * last)) / (1.0 + per_arm)
    return effect if baseline.mean + effect <= 1 else math.inf


def _deviation(baseline: Baseline, effect: float, control_share: float, share: float) -> float:
    """Return the standard error of the difference, times the root of all customers."""
    moved = baseline.variance(effect)
    if math.isnan(moved):
        raise CrmError(out_of_range("effect", effect, f"keep the rate {baseline.mean} between 0 and 1"))
    return math.sqrt(baseline.variance() / control_share + moved / share)


def _by_arm(values: Mapping[str, float]) -> pd.Series[float]:
    return pd.Series(list(values.values()), index=pd.Index(list(values), name="arm"), dtype=np.float64)


def _check(arms: Mapping[str, float], *, control: str, significance_level: float, power: float = 0.8) -> None:
    check_shares(arms, control=control)
    if not 0 < significance_level < 1:
        raise CrmError(out_of_range("significance_level", significance_level, "lie between 0 and 1"))
    if not significance_level < power < 1:
        raise CrmError(out_of_range("power", power, "lie between `significance_level` and 1"))


def _check_customers(customers: int) -> None:
    if not (math.isfinite(customers) and customers > 0):
        raise CrmError(out_of_range("customers", customers, "be positive and finite"))
