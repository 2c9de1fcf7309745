"""Many experiments at once: customers who differ in how much they buy, in arms that do not differ unless told to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_ml.decisions.experiments.comparison import Comparison, compare
from crm_ml.decisions.experiments.intervals import AlwaysValid, FixedSample
from crm_ml.decisions.experiments.moments import Moments

Floats = NDArray[np.float64]

METRICS = ("retained", "purchases", "spend")
COVARIATES = ("pre_purchases", "pre_spend")
PURCHASES, HETEROGENEITY, SPEND_SHAPE, SPEND_SCALE = 1.2, 0.7, 1.5, 25.0


def buyers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw (..., 5) outcomes and covariates: gamma-mixed Poisson purchases of gamma amounts, before and after."""
    rate = rng.gamma(HETEROGENEITY, PURCHASES / HETEROGENEITY, shape)
    after, before = rng.poisson(rate), rng.poisson(rate)
    spend, pre_spend = (SPEND_SCALE * rng.standard_gamma(SPEND_SHAPE * bought) for bought in (after, before))
    return np.stack([after > 0, after, spend, before, pre_spend], axis=-1).astype(np.float64)


def bought_by_day(rng: np.random.Generator, shape: tuple[int, ...], *, n_days: int) -> Floats:
    """Draw (..., n_days, 5): outcomes of the same customers up to each day, and covariates of as many days before."""
    rate = rng.gamma(HETEROGENEITY, PURCHASES / HETEROGENEITY, shape)
    daily = rng.poisson(rate[..., None] / n_days, (*shape, n_days))
    after, before = np.cumsum(daily, axis=-1), rng.poisson(rate)
    spend = SPEND_SCALE * np.cumsum(rng.standard_gamma(SPEND_SHAPE * daily), axis=-1)
    known = (before, SPEND_SCALE * rng.standard_gamma(SPEND_SHAPE * before))
    fixed = [np.broadcast_to(x[..., None], after.shape) for x in known]
    return np.stack([after > 0, after, spend, *fixed], axis=-1).astype(np.float64)


def moments_of(values: Floats) -> Moments:
    """Return the moments over the last axis but one of (..., n, p)."""
    count = np.full(values.shape[:-2], float(values.shape[-2]))
    centre = values.mean(axis=tuple(range(values.ndim - 1)))
    away = values - centre
    return Moments.from_sums(count, away.sum(axis=-2), np.swapaxes(away, -1, -2) @ away, centre=centre)


def moments_so_far(values: Floats, *, per_look: int) -> Moments:
    """Return the moments of (..., n, p) after each `per_look` customers, looks as the last axis of groups."""
    *outer, n, p = values.shape
    centre = values.mean(axis=tuple(range(values.ndim - 1)))
    away = (values - centre).reshape(*outer, n // per_look, per_look, p)
    count = np.broadcast_to(np.arange(per_look, n + 1, per_look, dtype=np.float64), (*outer, n // per_look))
    products = np.cumsum(np.swapaxes(away, -1, -2) @ away, axis=-3)
    return Moments.from_sums(count, np.cumsum(away.sum(axis=-2), axis=-2), products, centre=centre)


def compared(arm: Moments, control: Moments, metric: str, *, adjusted: bool) -> Comparison:
    """Compare arms on a metric of `buyers`."""
    places = [METRICS.index(metric), *([3, 4] if adjusted else [])]
    return compare(arm.columns(places), control.columns(places))


def alarms(found: Comparison, *, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Say which effects a reading at one moment finds."""
    return FixedSample(found.degrees_of_freedom).p_value(found.effect / found.standard_error) < alpha


def sequential_alarms(found: Comparison, *, planned: float, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Say which effects an always-valid reading finds; an effect that is not known yet is not found."""
    known = np.nan_to_num(found.effect / found.standard_error)
    return AlwaysValid(found.customers, planned, alpha).p_value(known) < alpha
