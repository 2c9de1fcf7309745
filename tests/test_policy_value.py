"""The value of plans on customers held out: unbiased, with honest intervals, and never of those learnt from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from uplift_trials import simulate_trial

from crm_ml.decisions import Offer, allocate_budget
from crm_ml.decisions.uplift import UpliftModel, cross_fitted_uplift, plan_within_folds, policy_value
from crm_ml.errors import CrmError, SchemaError

COSTS = {"mail": 0.5, "call": 1.0}
PROPENSITY = {"control": 1 / 3, "mail": 1 / 3, "call": 1 / 3}


def valued(trial, policies, **settings):
    outcomes = pd.DataFrame({"arm": trial.arm, "margin": trial.outcome})
    given = {"costs": COSTS, "learnt_from": None, "features": trial.features, **settings}
    return policy_value(policies, outcomes, outcome="margin", **given)


def two_arms(seed, n, **settings):
    return simulate_trial(np.random.default_rng(seed), n, arms=("mail", "call"), **settings)


def by_orders(trial):
    return pd.Series(np.where(trial.features["orders"] >= 3, "mail", "call"), index=trial.features.index)


def true_values(trial):
    orders, effects = by_orders(trial), trial.effects
    chosen = np.where(orders == "mail", effects["mail"] - 0.5, effects["call"] - 1.0)
    drawn = 0.25 * (effects["mail"] - 0.5) + 0.25 * (effects["call"] - 1.0)
    return {
        "nobody": trial.baseline.mean(),
        "by orders": (trial.baseline + chosen).mean(),
        "drawn": (trial.baseline + drawn).mean(),
    }


@pytest.fixture(scope="module")
def repeated():
    """Values over 40 experiments, and the truth over many customers."""
    truth = true_values(two_arms(999, 200_000))
    found = []
    for seed in range(40):
        trial = two_arms(seed, 400)
        drawn = pd.DataFrame(0.25, index=trial.features.index, columns=["mail", "call"])
        value = valued(trial, {"by orders": by_orders(trial), "drawn": drawn}, propensity=PROPENSITY, n_folds=2)
        found.append(value.estimates.join(value.differences.add_suffix(" of difference")))
    return truth, pd.concat(found, keys=range(40), names=["experiment"])


def test_intervals_hold_the_truth_as_often_as_they_say(repeated):
    truth, found = repeated
    values = found.index.get_level_values("policy").map(truth).to_numpy(dtype=float)
    for bounds, known in (
        (("lower", "upper"), values),
        (("lower of difference", "upper of difference"), values - truth["nobody"]),
    ):
        held = (found[bounds[0]] <= known) & (known <= found[bounds[1]])
        for estimator, rows in held.groupby("estimator"):
            assert rows.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 40)), estimator


def test_values_are_right_on_average_and_their_errors_their_spread(repeated):
    truth, found = repeated
    for (policy, estimator), rows in found.groupby(["policy", "estimator"]):
        spread = rows["value"].std()
        assert abs(rows["value"].mean() - truth[policy]) < 3.5 * spread / np.sqrt(40), (policy, estimator)
        assert rows["standard_error"].mean() == pytest.approx(spread, rel=0.3), (policy, estimator)


def test_the_doubly_robust_value_is_the_tighter(repeated):
    _, found = repeated
    errors = (
        found.loc[found.index.get_level_values("policy") == "by orders", "standard_error"].groupby("estimator").mean()
    )
    assert errors["doubly robust"] < 0.95 * errors["inverse propensity"]


def test_inverse_propensity_is_the_weighted_mean_of_those_who_got_what_the_policy_gives():
    trial = two_arms(3, 400)
    shares = {"control": 0.5, "mail": 0.25, "call": 0.25}
    value = valued(trial, {"by orders": by_orders(trial)}, propensity=shares, n_folds=2)
    policy = by_orders(trial)
    same = policy == trial.arm
    expected = np.average(trial.outcome[same], weights=1 / trial.arm[same].map(shares)) - policy.map(COSTS).mean()
    row = value.estimates.loc[("by orders", "inverse propensity")]
    assert row["value"] == pytest.approx(expected)
    assert row["cost"] == pytest.approx(policy.map(COSTS).mean())
    assert row["contacted_share"] == 1.0


def test_equal_policies_differ_by_nothing_and_nobody_is_always_there():
    trial = two_arms(4, 300)
    twice = {"one": by_orders(trial), "other": by_orders(trial).sample(frac=1.0, random_state=1)}
    value = valued(trial, twice, reference="one", n_folds=2)
    assert list(value.estimates.index.unique("policy")) == ["nobody", "one", "other"]
    assert value.estimates.loc["nobody", "cost"].eq(0).all()
    assert (value.differences.loc["other"] == 0).all(axis=None)


def test_a_plan_is_valued_by_what_happened_and_not_by_what_it_expected():
    trial = two_arms(5, 600)
    boast = pd.DataFrame({"gain": 1e6}, index=trial.features.index)
    plan = allocate_budget(boast, [Offer("mail", 0.5, gain="gain", value_basis="assumed")], budget=100)
    mailed = pd.Series("control", index=trial.features.index)
    mailed[plan.assignments.index] = "mail"
    value = valued(trial, {"plan": plan, "by hand": mailed}, n_folds=2)
    assert value.estimates.loc["plan"].equals(value.estimates.loc["by hand"])
    assert value.estimates.loc["plan", "value"].max() < 20


def test_customers_learnt_from_are_refused():
    trial = simulate_trial(np.random.default_rng(6), 400)
    half = trial.features.index[:200]
    model = UpliftModel(n_folds=2).fit(trial.features.loc[half], trial.arm[half], trial.outcome[half])
    everyone = {"all": pd.Series("mail", index=trial.features.index)}
    with pytest.raises(SchemaError, match="200 of 400 customers are in `learnt_from`"):
        valued(trial, everyone, costs={"mail": 0.5}, learnt_from=model.customers_)
    rest = trial.features.index[200:]
    outcomes = pd.DataFrame({"arm": trial.arm, "margin": trial.outcome}).loc[rest]
    found = policy_value(
        everyone,
        outcomes,
        outcome="margin",
        costs={"mail": 0.5},
        learnt_from=model.customers_,
        features=trial.features,
        n_folds=2,
    )
    assert found.customers == 200


def test_cross_fitted_plans_keep_to_the_budget_and_never_see_the_customers_they_are_for():
    trial = simulate_trial(np.random.default_rng(7), 600, noise=1.0)
    model = UpliftModel(n_folds=2)
    uplift = cross_fitted_uplift(model, trial.features, trial.arm, trial.outcome, n_folds=3)
    plan = plan_within_folds(
        uplift, [Offer("mail", 0.5, gain="uplift_mail", value_basis="experiment")], budget=60, control="control"
    )
    assert (plan == "mail").groupby(uplift["fold"]).sum().tolist() == [40, 40, 40]
    changed = trial.outcome.where(uplift["fold"] != 1, 1000.0)
    again = cross_fitted_uplift(model, trial.features, trial.arm, changed, n_folds=3)
    pd.testing.assert_frame_equal(again[uplift["fold"] == 1], uplift[uplift["fold"] == 1])
    assert not again[uplift["fold"] == 0].equals(uplift[uplift["fold"] == 0])
    assert not hasattr(model, "customers_")


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        (lambda index: pd.Series("letter", index=index), r"it gives \['letter'\] too"),
        (lambda index: pd.Series("mail", index=index[1:]), "must cover every customer. 1 of 300"),
        (lambda index: pd.Series("mail", index=index.append(index[:1])), "must hold every customer once"),
        (lambda index: pd.DataFrame({"mail": 0.7, "call": 0.4}, index=index), "sum to at most 1. 300 of 300"),
        (lambda index: pd.DataFrame({"mail": -0.1}, index=index), "must give probabilities"),
    ],
)
def test_policies_must_be_what_they_should(policy, match):
    trial = two_arms(8, 300)
    with pytest.raises(SchemaError, match=match):
        valued(trial, {"wrong": policy(trial.features.index)})


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"costs": {"mail": 1.0}}, "`costs` must name the arms"),
        ({"costs": {"mail": 1.0, "call": -1.0}}, "`costs` must be finite and at least 0"),
        ({"reference": "ours"}, "`reference` must be one of"),
        ({"significance_level": 0.0}, "`significance_level` must be between 0 and 1"),
        ({"propensity": {"control": 0.5, "mail": 0.5}}, "`propensity` must name the arms"),
        ({"propensity": {"control": 0.5, "mail": 0.5, "call": 0.5}}, "`propensity` must be above 0 and sum to 1"),
        ({"control": "none"}, "`arm` must hold the control arm 'none'"),
        ({"arm": "group"}, "outcomes need a column `group`"),
    ],
)
def test_settings_have_their_domain(setting, match):
    trial = two_arms(9, 300)
    with pytest.raises(CrmError, match=match):
        valued(trial, {}, **setting)
