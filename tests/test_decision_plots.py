"""The displays of plans, experiments and uplift draw what their frames say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_experiment_plots import THREE, reading

from crm_ml.decisions import Baseline, BudgetConstraints, Offer, allocate_budget
from crm_ml.errors import SchemaError
from crm_ml.plots import (
    EffectsDisplay,
    FrontierDisplay,
    GainDisplay,
    OffersDisplay,
    PlanDisplay,
    PolicyValueDisplay,
    PowerDisplay,
    QiniDisplay,
    UpliftCalibrationDisplay,
)

OFFERS = pd.DataFrame(
    {
        "customers": [90, 0],
        "spend": [450.0, 0.0],
        "expected_gain": [800.0, 0.0],
        "value_basis": ["assumed", "estimated"],
    },
    index=["coupon", "call"],
)
DOUBT = pd.DataFrame({"lower": [60.0, 55.0], "upper": [110.0, 112.0]}, index=["churn", "together"])
FRONTIER = pd.DataFrame(
    {"budget": [0.0, 1000.0, 2000.0], "expected_gain": [0.0, 900.0, 1300.0], "shadow_price": [1.2, 0.5, 0.3]}
)
GROUPS = pd.DataFrame({"predicted": [0.2, 1.1], "estimated": [0.3, 1.0], "lower": [-0.1, 0.6], "upper": [0.7, 1.4]})
VALUES = pd.DataFrame(
    {"value": [0.6, 0.9], "lower": [0.4, 0.7], "upper": [0.8, 1.1]},
    index=pd.MultiIndex.from_product([["nobody", "our plan"], ["doubly robust"]], names=["policy", "estimator"]),
)

DISPLAYS = {
    "offers": lambda: OffersDisplay(OFFERS, currency="$"),
    "gain": lambda: GainDisplay(DOUBT, expected_gain=90.0, upper_bound=91.0, currency="$"),
    "frontier with its next dollar": lambda: FrontierDisplay(FRONTIER, 1000.0, currency="$"),
    "effects": lambda: EffectsDisplay.from_reading(reading(), metric="spend"),
    "power": lambda: PowerDisplay.from_baseline(Baseline(0.6), THREE, customers=20_000),
    "qini": lambda: QiniDisplay.from_predictions([2, 2, 1, 1], treated=[1, 0, 1, 0], outcome=[5, 1, 0, 0], points=3),
    "uplift calibration": lambda: UpliftCalibrationDisplay(GROUPS),
    "policy value": lambda: PolicyValueDisplay(VALUES),
}


@pytest.fixture(scope="module")
def plan():
    rng = np.random.default_rng(0)
    customers = pd.DataFrame(
        {"churn_probability": rng.beta(1, 2, 500), "clv": rng.lognormal(5.0, 1.0, 500)}, index=np.arange(500)
    )
    customers["churn_lower"], customers["churn_upper"] = 0.9 * customers["churn_probability"], 1.0
    offers = [Offer("coupon", 5, save_rate=0.06, interval=(0.03, 0.08)), Offer("call", 25, save_rate=0.2)]
    return allocate_budget(customers, offers, 500, constraints=BudgetConstraints(holdout_share=0.1, salt="x"))


def test_offers_of_a_plan_add_up_to_it(plan):
    ax = OffersDisplay.from_plan(plan).plot().ax_
    gains, spends = np.array([bar.get_width() for bar in ax.patches]).reshape(2, -1)
    assert gains.sum() == pytest.approx(plan.expected_gain)
    assert spends.sum() == pytest.approx(plan.spend)
    assert len(gains) == len(plan.offers)


def test_a_gain_s_bars_reach_from_end_to_end(plan):
    drawn = GainDisplay.from_plan(plan).plot()
    spans = {
        label.get_text(): (bar.get_x(), bar.get_x() + bar.get_width())
        for label, bar in zip(drawn.ax_.get_yticklabels(), drawn.ax_.patches, strict=True)
    }
    assert list(spans) == ["churn", "effect", "together"]
    assert spans["together"] == pytest.approx((plan.expected_gain_lower, plan.expected_gain_upper))
    assert spans["churn"] == pytest.approx(tuple(plan.expected_gain + plan.uncertainty.loc["churn"]))
    verticals = [line.get_xdata()[0] for line in drawn.ax_.lines]
    assert verticals == [plan.expected_gain, plan.upper_bound]


def test_a_frontier_follows_its_next_dollars():
    ax = FrontierDisplay(FRONTIER, 1000.0, currency="$").plot().ax_
    next_dollars = ax.lines[-1]
    np.testing.assert_allclose(next_dollars.get_xydata(), [[1000.0, 900.0], [1240.0, 1020.0]])
    assert next_dollars.get_label() == "the next $1 brings $0.5"


def test_a_frontier_from_a_plan_marks_its_budget(plan):
    display = FrontierDisplay.from_plan(plan, points=5)
    mark = display.plot().ax_.lines[1].get_xydata()[0]
    np.testing.assert_allclose(mark, [500.0, plan.expected_gain])


def test_a_plan_stands_above_the_rules(plan):
    labels = PlanDisplay.from_plan(plan).plot().ax_.get_yticklabels()
    assert [label.get_text() for label in labels] == ["plan", *plan.simple_rules.index]


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (lambda: OffersDisplay(OFFERS.drop(columns="value_basis")), "value_basis"),
        (lambda: GainDisplay(DOUBT.drop(columns="upper"), expected_gain=1.0, upper_bound=1.0), "upper"),
    ],
)
def test_a_missing_column_is_named(make, column):
    with pytest.raises(SchemaError, match=f"need a column `{column}`"):
        make()
