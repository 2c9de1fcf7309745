"""Planning an experiment and assigning customers to its arms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from crm_ml.decisions.experiments import (
    Baseline,
    design_experiment,
    experiment_power,
    minimum_detectable_effect,
    sample_size,
)
from crm_ml.decisions.experiments.comparison import compare
from crm_ml.decisions.experiments.intervals import FixedSample
from crm_ml.decisions.experiments.moments import Moments
from crm_ml.errors import CrmError, SchemaError

HALVES = {"control": 0.5, "coupon": 0.5}
THREE = {"control": 0.5, "coupon": 0.3, "call": 0.2}


def shop(count: int = 2_000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    segments = rng.choice(["loyal", "new", "at risk"], count, p=[0.6, 0.3, 0.1])
    index = pd.Index([f"c{i}" for i in range(count)], name="customer_id")
    return pd.DataFrame({"segment": segments, "web": rng.random(count) < 0.3}, index=index)


def of_rates(rng: np.random.Generator, n: int, rate: float) -> Moments:
    found = rng.binomial(n, rate, 20_000) / n
    return Moments(np.full(20_000, float(n)), found[:, None], (found * (1 - found) * n / (n - 1))[:, None, None])


@pytest.mark.parametrize("shares", [HALVES, {"control": 0.2, "coupon": 0.8}])
def test_power_of_a_mean_is_that_of_the_t_test(shares):
    baseline = Baseline(41.0, standard_deviation=80.0)
    ratio = shares["coupon"] / shares["control"]
    for n in (2_000, 20_000):
        exact = TTestIndPower().power(2.0 / 80.0, nobs1=n * shares["control"], ratio=ratio, alpha=0.05)
        assert experiment_power(baseline, 2.0, n, shares)["coupon"] == pytest.approx(exact, abs=5e-4)


@pytest.mark.parametrize(("rate", "effect"), [(0.6, 0.02), (0.6, -0.1), (0.05, 0.02)])
def test_experiments_of_the_size_planned_find_the_effect_as_often_as_planned(rate, effect):
    rng, n = np.random.default_rng(1), sample_size(Baseline(rate), effect, THREE)
    found = {}
    for arm in ("coupon", "call"):
        both = compare(of_rates(rng, round(n * THREE[arm]), rate + effect), of_rates(rng, n // 2, rate))
        p_value = FixedSample(both.degrees_of_freedom).p_value(both.effect / both.standard_error)
        found[arm] = np.mean(p_value < 0.05 / 2)
    assert found["call"] == pytest.approx(0.8, abs=0.015)
    planned = experiment_power(Baseline(rate), effect, n, THREE)
    assert found["coupon"] == pytest.approx(planned["coupon"], abs=0.015)
    assert planned.idxmin() == "call"


@given(
    rate=st.floats(0.02, 0.9),
    rho=st.floats(0.0, 0.9),
    customers=st.integers(2_000, 1_000_000),
    share=st.floats(0.1, 0.9),
)
def test_size_power_and_least_effect_agree(rate, rho, customers, share):
    arms = {"control": 1 - share, "coupon": share}
    for baseline in (
        Baseline(rate, covariate_correlation=rho),
        Baseline(rate, standard_deviation=3.0, covariate_correlation=rho),
    ):
        effect = minimum_detectable_effect(baseline, customers, arms)["coupon"]
        if math.isinf(effect):
            continue
        assert experiment_power(baseline, effect, customers, arms)["coupon"] == pytest.approx(0.8, abs=1e-6)
        assert abs(sample_size(baseline, effect, arms) - customers) <= 1 + 1e-9 * customers


def test_the_least_effect_is_corrected_for_several_arms():
    effects = minimum_detectable_effect(Baseline(0.6), 20_000, THREE)
    for arm, effect in effects.items():
        assert experiment_power(Baseline(0.6), effect, 20_000, THREE)[arm] == pytest.approx(0.8, abs=1e-6)


def test_a_covariate_leaves_one_less_its_squared_correlation_of_the_customers():
    plain, helped = (Baseline(41.0, standard_deviation=80.0, covariate_correlation=rho) for rho in (0.0, -0.6))
    assert sample_size(helped, 2.0, HALVES) == pytest.approx(0.64 * sample_size(plain, 2.0, HALVES), abs=1)


def test_no_rate_rises_beyond_one():
    assert math.isinf(minimum_detectable_effect(Baseline(0.99), 200, HALVES)["coupon"])
    assert minimum_detectable_effect(Baseline(0.99), 20_000, HALVES)["coupon"] < 0.01


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Baseline(0.0), "`mean` must lie between 0 and 1 where no"),
        (lambda: Baseline(1.0), "`mean` must lie between 0 and 1 where no"),
        (lambda: Baseline(math.nan, standard_deviation=1.0), "`mean` must be finite"),
        (lambda: Baseline(1.0, standard_deviation=0.0), "`standard_deviation` must be positive"),
        (lambda: Baseline(0.5, covariate_correlation=1.0), "`covariate_correlation` must lie between"),
        (lambda: sample_size(Baseline(0.5), 0.0, HALVES), "`effect` must be finite and other than 0"),
        (lambda: sample_size(Baseline(0.5), 0.6, HALVES), "`effect` must keep the rate 0.5 between 0 and 1"),
        (lambda: sample_size(Baseline(0.5), 0.1, HALVES, power=1.0), "`power` must lie between"),
        (lambda: sample_size(Baseline(0.5), 0.1, HALVES, power=0.05), "`power` must lie between"),
        (lambda: experiment_power(Baseline(0.5), 0.1, 0, HALVES), "`customers` must be positive"),
        (lambda: minimum_detectable_effect(Baseline(0.5), 9, HALVES, significance_level=0), "`significance_level`"),
        (lambda: sample_size(Baseline(0.5), 0.1, {"control": 0.5, "coupon": 0.4}), "`arms` must map two arms or more"),
        (lambda: sample_size(Baseline(0.5), 0.1, {"control": 1.0}), "`arms` must map two arms or more"),
        (lambda: sample_size(Baseline(0.5), 0.1, {"control": 1.0, "coupon": 0.0}), "`arms` must map two arms or more"),
        (lambda: sample_size(Baseline(0.5), 0.1, {"a": 0.5, "b": 0.5}), "need a arm `control`"),
    ],
)
def test_settings_outside_their_domain_are_refused(call, match):
    with pytest.raises(CrmError, match=match):
        call()


@pytest.mark.parametrize("stratify_by", [(), "segment", ["segment", "web"]])
def test_neither_order_nor_run_changes_an_arm(stratify_by):
    customers = shop()
    arm = design_experiment(customers, THREE, salt="spring", stratify_by=stratify_by).arm
    shuffled = design_experiment(
        customers.sample(frac=1, random_state=3), THREE, salt="spring", stratify_by=stratify_by
    ).arm
    pd.testing.assert_series_equal(shuffled.loc[arm.index], arm)


def test_without_strata_an_arm_depends_on_nobody_else():
    customers = shop()
    arm = design_experiment(customers, THREE, salt="spring").arm
    few = design_experiment(customers.iloc[::7], THREE, salt="spring").arm
    pd.testing.assert_series_equal(few, arm.iloc[::7])
    numbered = [design_experiment(pd.DataFrame(index=index), HALVES, salt="x").arm.tolist() for index in
                (pd.Index(range(99)), pd.Index([str(i) for i in range(99)]))]  # fmt: skip
    assert numbered[0] == numbered[1]


def test_every_stratum_is_shared_out_to_within_a_customer():
    design = design_experiment(shop(), THREE, salt="spring", stratify_by=["segment", "web"])
    exact = np.outer(design.balance.sum(axis=1), list(THREE.values()))
    assert (np.abs(design.balance.to_numpy() - exact) < 1).all()
    assert design.balance.index.names == ["segment", "web"]
    pd.testing.assert_series_equal(
        design.sizes, design.arm.value_counts()[list(THREE)], check_names=False, check_index=False
    )


def test_strata_of_one_are_shared_out_by_chance():
    customers = shop().assign(own=lambda frame: frame.index)
    sizes = design_experiment(customers, THREE, salt="spring", stratify_by="own").sizes
    assert stats.chisquare(sizes, 2_000 * np.array(list(THREE.values()))).pvalue > 0.001


def test_missing_values_are_a_stratum():
    customers = shop().assign(segment=lambda frame: frame["segment"].where(frame["segment"] != "new"))
    balance = design_experiment(customers, HALVES, salt="spring", stratify_by="segment").balance
    assert len(balance) == 3
    assert balance.to_numpy().sum() == 2_000
    assert (balance["control"] - balance["coupon"]).abs().max() <= 1


@pytest.mark.parametrize("stratify_by", [(), "segment"])
def test_another_salt_is_another_experiment(stratify_by):
    customers = shop(20_000)
    first, second = (
        design_experiment(customers, THREE, salt=salt, stratify_by=stratify_by).arm for salt in ("spring", "summer")
    )
    assert stats.chi2_contingency(pd.crosstab(first, second)).pvalue > 0.001


def test_a_design_says_what_it_can_find():
    baselines = {"retained": Baseline(0.6), "spend": Baseline(41.0, standard_deviation=80.0)}
    design = design_experiment(shop(), THREE, salt="spring", baselines=baselines)
    effects = design.minimum_detectable_effects.set_index(["metric", "arm"])
    assert len(effects) == 4
    expected = minimum_detectable_effect(baselines["spend"], 2_000, THREE)["call"]
    assert effects.loc[("spend", "call"), "effect"] == expected
    assert effects.loc[("spend", "call"), "relative_effect"] == expected / 41.0
    assert "spend, call: an increase of" in design.summary()
    assert repr(design).startswith("ExperimentDesign(control=")
    assert design.shares == THREE


def test_what_cannot_be_assigned_is_refused():
    customers = shop(10)
    with pytest.raises(SchemaError, match="column `region`"):
        design_experiment(customers, HALVES, salt="x", stratify_by="region")
    with pytest.raises(SchemaError, match="every customer once"):
        design_experiment(pd.concat([customers, customers]), HALVES, salt="x")
    with pytest.raises(SchemaError, match=r"Every arm must have customers; \['call'\] got none of 10"):
        design_experiment(customers, {"control": 0.999, "call": 0.001}, salt="x")
