"""Reading an experiment: what each arm changed, how sure that is, and nothing where the arms are not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_key, read_finite
from crm_ml.decisions.experiments.comparison import Comparison, compare, ratio_interval
from crm_ml.decisions.experiments.groups import REMEDY, code_arms, pair_moments
from crm_ml.decisions.experiments.intervals import AlwaysValid, FixedSample, Inference
from crm_ml.decisions.experiments.outcomes import OUTCOMES
from crm_ml.decisions.experiments.shares import SampleRatio, check_sample_ratio, sample_ratio
from crm_ml.errors import CrmError, SchemaError, out_of_range

__all__ = ["ExperimentReading", "Measured", "read_experiment"]

Floats = NDArray[np.float64]


class Measured(NamedTuple):
    """A number measured against the control.

    Attributes
    ----------
    estimate, standard_error, lower, upper : float
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False, repr=False)
class ExperimentReading:
    """What an experiment found.

    Attributes
    ----------
    effects : DataFrame
        One row per metric, group of customers and arm:

        - ``metric``, ``by`` (column of segments, or "all"), ``segment`` (its value, or "all"), ``arm``;
        - ``customers``, ``control_customers``;
        - ``control_mean``, ``arm_mean`` per customer, adjusted to the covariates' mean over both arms;
        - ``effect``, their difference, with ``standard_error``, ``lower``, ``upper``, ``p_value`` of this row alone;
        - ``adjusted_p_value`` after Holm, ``adjusted_lower`` and ``adjusted_upper`` after Bonferroni, over all rows of
          the metric: arms times groups of customers;
        - ``relative_effect``, over the control mean, with Fieller's ``relative_lower`` and ``relative_upper``;
        - ``variance_ratio``, the variance of the effect over that without covariates.

        NaN where neither arm varies, as where nobody bought.
    sample_ratio : SampleRatio
        Sizes of the arms beside those expected.
    control : str
    covariates : tuple of str
    significance_level : float
    sequential : bool
        Whether intervals and p-values hold at all looks together.
    """

    effects: pd.DataFrame
    sample_ratio: SampleRatio
    control: str
    covariates: tuple[str, ...]
    significance_level: float
    sequential: bool
    _found: dict[str, tuple[Comparison, Inference]] = field(repr=False)

    def effect(self, metric: str, arm: str, *, level: float = 0.90) -> Measured:
        """Return what an arm changed per customer, over all customers.

        Parameters
        ----------
        metric, arm : str
        level : float, default 0.90
            Of the interval, not corrected for other arms; 90 % is what budget plans use.

        Raises
        ------
        CrmError, SchemaError
            If the level is not between 0 and 1, or the reading has no such metric or arm.
        """
        found, reach = self._at(metric, arm, level)
        estimate, error = float(found.effect), float(found.standard_error)
        return Measured(estimate, error, estimate - reach * error, estimate + reach * error)

    def save_rate(self, arm: str, *, metric: str = "retained", level: float = 0.90) -> Measured:
        """Return the share of leaving customers whom an arm kept: 1 − churn of the arm / churn of the control.

        Parameters
        ----------
        arm : str
        metric : str
            The rate of customers kept.
        level : float, default 0.90
            Of the interval, after Fieller, not corrected for other arms.

        Returns
        -------
        Measured
            Its standard error is that of the delta method.

        Raises
        ------
        CrmError, SchemaError
            If the level is not between 0 and 1, the reading has no such metric or arm, or the metric is no rate.
        """
        found, reach = self._at(metric, arm, level)
        if not (0 <= float(found.arm_mean) <= 1 and 0 <= float(found.control_mean) < 1):
            means = f"{float(found.arm_mean):.4g} and {float(found.control_mean):.4g}"
            raise CrmError(
                f"A save rate needs a rate of customers kept, with some of the control lost; the means of {metric!r} "
                f"are {means}.\nName the column that is 1 for customers who stayed and 0 for the others."
            )
        ratio, lower, upper = (float(x) for x in ratio_interval(found, reach=np.asarray(reach), complement=True))
        gradient = np.array([-1.0, ratio]) / (1.0 - float(found.control_mean))
        error = float(np.sqrt(gradient @ found.covariance @ gradient))
        return Measured(1.0 - ratio, error, 1.0 - upper, 1.0 - lower)

    def _at(self, metric: str, arm: str, level: float) -> tuple[Comparison, float]:
        """Return the comparison of an arm over all customers, and the reach of its interval."""
        if not 0 < level < 1:
            raise CrmError(out_of_range("level", level, "lie between 0 and 1"))
        table = self.effects
        rows = table[table["metric"] == metric].reset_index(drop=True)
        chosen = rows.index[(rows["by"] == "all") & (rows["arm"] == arm)]
        if len(chosen) != 1:
            have = f"metrics {list(dict.fromkeys(table['metric']))} and arms {list(dict.fromkeys(table['arm']))}"
            raise SchemaError(
                f"The reading must hold metric {metric!r} and arm {arm!r}; it has {have}.\nName one of these."
            )
        found, inference = self._found[metric]
        at = int(chosen[0])
        reach = float(np.broadcast_to(inference.reach(1.0 - level), found.customers.shape)[at])
        return found[at], reach

    def summary(self) -> str:
        """Return the reading in a few lines of text."""
        level = 1.0 - self.significance_level
        kind = "always-valid intervals" if self.sequential else "intervals"
        by = f", adjusted by {', '.join(self.covariates)}" if self.covariates else ""
        sizes = ", ".join(f"{arm} {n:,}" for arm, n in self.sample_ratio.sizes["observed"].items())
        lines = [
            f"customers: {sizes}; as designed (p = {self.sample_ratio.p_value:.2g})",
            f"effects against {self.control!r}{by}; {level:.0%} {kind} and p corrected for all rows of a metric",
        ]
        for row in self.effects.itertuples():
            group = "" if row.by == "all" else f", {row.by} {row.segment}"
            interval = f"{row.adjusted_lower:.4g} to {row.adjusted_upper:.4g}"
            lines.append(
                f"  {row.metric}, {row.arm}{group}: {row.effect:+.4g} ({interval}) on {row.control_mean:.4g}, "
                f"p = {row.adjusted_p_value:.2g}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        observed = self.sample_ratio.sizes["observed"]
        metrics = list(dict.fromkeys(self.effects["metric"]))
        return f"ExperimentReading(customers={observed.sum():,}, arms={list(observed.index)}, metrics={metrics})"


def read_experiment(
    outcomes: pd.DataFrame,
    *,
    arm: str = "arm",
    control: str = "control",
    metrics: Sequence[str] = OUTCOMES,
    covariates: Sequence[str] = (),
    segments: str | Sequence[str] = (),
    expected_shares: Mapping[str, float] | None = None,
    significance_level: float = 0.05,
    sequential: bool = False,
    planned_customers: float = 10_000,
) -> ExperimentReading:
    """Return what each arm changed against the control, with confidence intervals.

    Nothing is read where the sizes of the arms are not those designed (p < 0.01): customers are then missing from
    some arm for a reason that may also be one for its outcome.

    Parameters
    ----------
    outcomes : DataFrame
        One row per customer, indexed by customer_id, such as from `experiment_outcomes`: everyone assigned.
    arm : str
        Column of arms.
    control : str
        The arm that the others are compared with.
    metrics : sequence of str
        Columns of outcomes, finite numbers; rates are columns of 0 and 1.
    covariates : sequence of str
        Columns known before the start, such as ``pre_purchases`` and ``pre_spend``, that take out of every outcome
        what they foretell of it (CUPED).
    segments : str or sequence of str
        Columns of groups of customers, known before the start, in which effects are read as well.
    expected_shares : mapping of arm to share, optional
        As designed (``design.shares``); by default equal shares of the arms there are.
    significance_level : float
        Intervals hold at 1 − this.
    sequential : bool
        Whether intervals, p-values and the check of sizes are to hold at all looks together, however often the
        experiment is read as customers enter it. They are about half as wide again.
    planned_customers : float
        With ``sequential``: customers of arm and control together at which intervals are narrowest. Fix it before the
        first look; a later change forfeits the guarantee.

    Returns
    -------
    ExperimentReading

    Raises
    ------
    SampleRatioError
        If the arms do not have the sizes they were designed with.
    SchemaError
        If the index is no key, a column is missing or holds what it must not, the control or every other arm is
        missing, or a group of customers is too small.
    CrmError
        If a setting is outside its domain.

    Notes
    -----
    A reading at one moment uses Welch's t-test on outcomes adjusted as in `crm_ml.decisions.experiments.comparison`, a
    sequential one the confidence sequence of `crm_ml.decisions.experiments.intervals`; both need means that are about
    normal, which rare outcomes are not in small groups: some ten events in each arm do. The sequence supposes customers
    who enter over time, each with a window of outcomes that has ended. Of a fixed set of customers whose windows grow
    day by day it still holds in simulations (see `tests/benchmarks/experiments.py`), without a theorem.

    Metrics are not corrected for one another: name the one that decides before the start.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before = rng.gamma(2.0, 20.0, 4_000)
    >>> arms = np.repeat(["control", "coupon"], 2_000)
    >>> spend = before + rng.gamma(2.0, 10.0, 4_000) + 2.0 * (arms == "coupon")
    >>> frame = pd.DataFrame({"arm": arms, "spend": spend, "pre_spend": before})
    >>> reading = read_experiment(frame, metrics=["spend"], covariates=["pre_spend"])
    >>> reading
    ExperimentReading(customers=4,000, arms=['control', 'coupon'], metrics=['spend'])
    >>> [round(float(x), 2) for x in reading.effect("spend", "coupon", level=0.95)]
    [2.45, 0.44, 1.58, 3.31]
    >>> round(float(reading.effects.loc[0, "variance_ratio"]), 2)
    0.19
    """
    columns = [segments] if isinstance(segments, str) else list(segments)
    _check_settings(outcomes, metrics, covariates, significance_level, planned_customers)
    names, codes = code_arms(outcomes, arm, control=control)
    ratio = sample_ratio(
        dict(zip(names, np.bincount(codes).tolist(), strict=True)),
        expected_shares or dict.fromkeys(names, 1.0 / len(names)),
        planned_customers=planned_customers if sequential else None,
    )
    check_sample_ratio(ratio)
    named = [*metrics, *covariates]
    values = np.column_stack([read_finite(outcomes, name, what="outcomes", remedy=REMEDY) for name in named])
    pairs, arms, controls = pair_moments(outcomes, values, codes, names, segments=columns, least=len(covariates) + 2)
    tables, found = [], {}
    for at, metric in enumerate(metrics):
        places = [at, *range(len(metrics), len(named))]
        beside = compare(arms.columns(places), controls.columns(places))
        inference: Inference = (
            AlwaysValid(beside.customers, planned_customers, significance_level)
            if sequential
            else FixedSample(beside.degrees_of_freedom)
        )
        found[metric] = beside, inference
        table = _effects(beside, inference, alpha=significance_level)
        tables.append(pd.concat([pairs, table], axis=1).assign(metric=metric)[["metric", *pairs, *table]])
    return ExperimentReading(
        effects=pd.concat(tables, ignore_index=True),
        sample_ratio=ratio,
        control=control,
        covariates=tuple(covariates),
        significance_level=significance_level,
        sequential=sequential,
        _found=found,
    )


def _check_settings(
    outcomes: pd.DataFrame,
    metrics: Sequence[str],
    covariates: Sequence[str],
    significance_level: float,
    planned_customers: float,
) -> None:
    check_key(outcomes, "outcomes")
    named = [*metrics, *covariates]
    if isinstance(metrics, str) or isinstance(covariates, str) or not metrics or len(set(named)) < len(named):
        rule = "be lists of different columns, at least one of them a metric"
        raise CrmError(out_of_range("metrics` and `covariates", (metrics, covariates), rule))
    if not 0 < significance_level < 1:
        raise CrmError(out_of_range("significance_level", significance_level, "lie between 0 and 1"))
    if not (np.isfinite(planned_customers) and planned_customers > 0):
        raise CrmError(out_of_range("planned_customers", planned_customers, "be positive and finite"))


def _effects(found: Comparison, inference: Inference, *, alpha: float) -> pd.DataFrame:
    """Return the columns of effects of one metric."""
    effect, error = found.effect, found.standard_error
    tests = int(np.count_nonzero(np.isfinite(error)))
    reach, wider = inference.reach(alpha), inference.reach(alpha / max(tests, 1))
    p_value = inference.p_value(effect / error)
    ratio, lower, upper = ratio_interval(found, reach=reach)
    columns = {
        "control_mean": found.control_mean,
        "arm_mean": found.arm_mean,
        "effect": effect,
        "standard_error": error,
        "lower": effect - reach * error,
        "upper": effect + reach * error,
        "p_value": p_value,
        "adjusted_p_value": _holm(p_value),
        "adjusted_lower": effect - wider * error,
        "adjusted_upper": effect + wider * error,
        "relative_effect": ratio - 1.0,
        "relative_lower": lower - 1.0,
        "relative_upper": upper - 1.0,
        "variance_ratio": found.variance_ratio,
    }
    return pd.DataFrame(columns)


def _holm(p_value: Floats) -> Floats:
    """Correct the p-values that there are, after Holm (1979).

    Of statsmodels' `multipletests`, which does the same, each call collects all of Python's garbage first.
    """
    order = np.argsort(p_value, kind="stable")[: np.count_nonzero(np.isfinite(p_value))]
    corrected = np.full_like(p_value, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_value[order] * np.arange(len(order), 0, -1)))
    return corrected
