"""Reading an experiment every day: intervals, p-values and the check of sizes hold at all looks together."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from experiment_trials import METRICS, alarms, bought_by_day, buyers, compared, moments_of, moments_so_far
from experiment_trials import sequential_alarms as rings
from scipy import integrate, stats
from scipy.optimize import minimize_scalar

from crm_ml.decisions.experiments import read_experiment, sample_ratio
from crm_ml.decisions.experiments.intervals import AlwaysValid, mixture_weight

HALVES = {"control": 0.5, "coupon": 0.5}


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_interval_is_narrowest_at_the_planned_size(alpha):
    found = minimize_scalar(lambda log: (1 + math.exp(-log)) * math.log((1 + math.exp(log)) / alpha**2))
    assert mixture_weight(alpha) == pytest.approx(math.exp(found.x), rel=1e-5)


@pytest.mark.parametrize("z", [0.0, 1.5, -3.2, 5.0])
@pytest.mark.parametrize("customers", [50.0, 1_000.0, 40_000.0])
def test_the_p_value_is_the_reciprocal_of_the_mixture(z, customers):
    sequence = AlwaysValid(np.array(customers), planned_customers=1_000, tuned_for=0.05)
    spread = math.sqrt(customers * mixture_weight(0.05) / 1_000)
    likelihood = integrate.quad(
        lambda x: stats.norm.pdf(z, x) / stats.norm.pdf(z) * stats.norm.pdf(x, scale=spread), -60, 60, points=[0, z]
    )[0] if spread < 8 else stats.norm.pdf(z, scale=math.sqrt(1 + spread**2)) / stats.norm.pdf(z)  # fmt: skip
    assert float(sequence.p_value(np.array(z))) == pytest.approx(min(1.0, 1 / likelihood), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.1])
def test_interval_and_p_value_meet(alpha):
    sequence = AlwaysValid(np.array([50.0, 1_000.0, 40_000.0]), planned_customers=1_000, tuned_for=0.05)
    np.testing.assert_allclose(sequence.p_value(sequence.reach(alpha)), alpha, rtol=1e-10)


@pytest.mark.parametrize("growing", [False, True])
def test_daily_looks_raise_few_false_alarms(growing):
    always: dict[str, list[bool]] = {metric: [] for metric in METRICS}
    often = []
    for part in range(25):
        rng = np.random.default_rng([2, part])
        arm, control = (
            moments_of(np.swapaxes(bought_by_day(rng, (20, 300), n_days=28), -2, -3))
            if growing
            else moments_so_far(buyers(rng, (20, 20 * 28)), per_look=20)
            for _ in range(2)
        )
        for metric in METRICS:
            found = compared(arm, control, metric, adjusted=True)
            always[metric].extend(rings(found, planned=600).any(axis=-1))
            often.extend(alarms(found).any(axis=-1))
    assert {metric: np.mean(each) for metric, each in always.items() if np.mean(each) > 0.05} == {}
    assert np.mean(often) > 0.15


def test_a_sequential_reading_is_that_of_its_sequence():
    frame = pd.DataFrame(buyers(np.random.default_rng(0), (3_000,))[:, [2, 4]], columns=["spend", "pre_spend"])
    frame["arm"] = np.resize(["control", "coupon"], len(frame))
    settings = {"metrics": ["spend"], "covariates": ["pre_spend"]}
    once = read_experiment(frame, **settings).effects.iloc[0]
    reading = read_experiment(frame, sequential=True, planned_customers=3_000, **settings)
    row = reading.effects.iloc[0]
    assert row["effect"] == once["effect"]
    assert row["standard_error"] == once["standard_error"]
    # 3.0351 = sqrt((1 + 1/w) log((1 + w) / 0.05²)) at w = 8.2120, its least
    assert (row["upper"] - row["effect"]) / row["standard_error"] == pytest.approx(3.0351, abs=1e-4)
    assert "always-valid intervals" in reading.summary()
    with_default = read_experiment(frame, sequential=True, **settings).effects.iloc[0]
    assert with_default["upper"] > row["upper"]


def test_the_sequential_check_of_sizes_is_a_beta_mixture():
    a, planned = 560, 1_000.0
    weight = planned / mixture_weight(0.01) / 2
    factor = integrate.quad(
        lambda x: stats.beta.pdf(x, weight, weight) * math.exp(a * math.log(2 * x) + 440 * math.log(2 - 2 * x)),
        0.3,
        0.8,
    )[0]
    found = sample_ratio({"control": 440, "coupon": a}, HALVES, planned_customers=planned)
    assert found.p_value == pytest.approx(1 / factor, rel=1e-6)
    assert sample_ratio({"control": 500, "coupon": 500}, HALVES, planned_customers=planned).p_value == 1.0


def test_daily_checks_of_sizes_block_few_sound_experiments():
    rng, blocked = np.random.default_rng(1), []
    for _ in range(120):
        coupon, entered = np.cumsum(rng.binomial(100, 0.5, 40)), 100 * np.arange(1, 41)
        looks = zip(coupon.tolist(), (entered - coupon).tolist(), strict=True)
        found = [
            sample_ratio({"coupon": a, "control": b}, HALVES, planned_customers=4_000).p_value < 0.01 for a, b in looks
        ]
        blocked.append(any(found))
    assert np.mean(blocked) <= 0.02
