"""The uplift model: finds effects, falls back to the mean where there are none, hands over to the budget, is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import lsq_linear
from statsmodels.regression.linear_model import WLS
from uplift_trials import simulate_spenders, simulate_trial

from crm_ml.decisions import allocate_budget
from crm_ml.decisions.uplift import UpliftModel, effect_groups, policy_value, qini
from crm_ml.decisions.uplift.calibration import combine_candidates
from crm_ml.decisions.uplift.learners import Lesson, learn_effect
from crm_ml.decisions.uplift.outcomes import arm_scores, expected_outcomes
from crm_ml.decisions.uplift.trial import Encoding, read_trial
from crm_ml.errors import CrmError, NotFittedError, SchemaError
from crm_ml.plots.decisions.uplift import PolicyValueDisplay, QiniDisplay, UpliftCalibrationDisplay


def fitted(trial, **settings):
    return UpliftModel(**{"n_folds": 3, **settings}).fit(trial.features, trial.arm, trial.outcome)


@pytest.fixture(scope="module")
def clear():
    """An experiment with two offers whose effects stand out."""
    return simulate_trial(np.random.default_rng(0), 2_000, noise=2.0, arms=("mail", "call"))


@pytest.fixture(scope="module")
def clear_model(clear):
    return fitted(clear)


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
def test_every_learner_finds_effects_that_are_there(clear, learner):
    model = fitted(clear, learner=learner)
    new = simulate_trial(np.random.default_rng(1), 2_000, arms=("mail", "call"))
    predicted = model.predict(new.features)
    for arm in ("mail", "call"):
        found, truth = predicted[f"uplift_{arm}"], new.effects[arm]
        assert np.corrcoef(found, truth)[0, 1] > 0.7
        assert ((found - truth) ** 2).mean() < 0.9 * truth.var()  # better than the mean effect for everyone


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
def test_without_signal_everyone_is_given_about_the_mean_effect(learner):
    spreads, areas = [], []
    for seed in range(4):
        trial = simulate_trial(np.random.default_rng(seed), 600, strength=0.0)
        model = fitted(trial, learner=learner, seed=seed)
        spreads.append(
            model.predict(trial.features)["uplift_mail"].std() / model.effects_.loc["mail", "standard_error"]
        )
        areas.append(qini(model.out_of_fold_["uplift_mail"], treated=trial.arm == "mail", outcome=trial.outcome))
    assert np.median(spreads) < 0.5
    values, errors = np.array(areas).T
    assert (np.abs(values) <= 3 * errors).all()


def test_predictions_are_calibrated_on_new_customers():
    predicted, truth, held = [], [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = fitted(simulate_trial(rng, 2_500, noise=4.0), seed=seed)
        new = simulate_trial(rng, 2_500)
        found = model.predict(new.features)
        by_group = (
            found.join(new.effects).groupby(pd.qcut(found["uplift_mail"].rank(method="first"), 5, labels=False)).mean()
        )
        held.append(
            (by_group["uplift_mail_lower"] <= by_group["mail"]) & (by_group["mail"] <= by_group["uplift_mail_upper"])
        )
        predicted.append(by_group["uplift_mail"])
        truth.append(by_group["mail"])
    slope = np.polyfit(np.concatenate(predicted), np.concatenate(truth), 1)[0]
    assert 0.75 < slope < 1.35
    assert abs(np.mean(predicted) - np.mean(truth)) < 0.15
    assert np.mean(held) >= 0.8


def test_one_candidate_is_weighed_by_least_squares_with_the_stated_shrinkage():
    rng = np.random.default_rng(2)
    above = rng.normal(size=500)
    above -= above.mean()
    scores = 2 + 0.7 * above + rng.normal(size=500) * (1 + above**2)
    found = combine_candidates(above[:, None], scores, np.zeros(500))
    slope = np.polyfit(above, scores, 1)[0]
    rest = scores - scores.mean() - slope * above
    error = np.sqrt(500 / 498 * (above**2 @ rest**2)) / (above @ above)  # White (1980), with HC1's factor
    assert found.effect == pytest.approx(scores.mean())
    assert found.estimated == pytest.approx([slope])
    assert found.covariance[1, 1] == pytest.approx(error**2)
    assert found.covariance[0, 0] == pytest.approx(scores.var() / 498)
    assert found.weights == pytest.approx([slope - error**2 / slope])


def noisy_candidates(rng, n=800):
    """Candidates of which the third is misleading, and scores twelve times as noisy where more is expected."""
    above = rng.normal(size=(n, 4))
    above[:, 3] += above[:, 0]
    expected = np.repeat([0.0, 1.0], n // 2)
    scores = 1 + above @ [0.6, 0.4, -0.5, 0.3] + rng.normal(size=n) * (1 + 11 * expected)
    return above - above.mean(axis=0), scores, expected


def test_several_candidates_are_weighed_by_bounded_weighted_least_squares():
    above, scores, expected = noisy_candidates(np.random.default_rng(3))
    found = combine_candidates(above, scores, expected)
    squared = pd.Series((scores - scores.mean()) ** 2)
    root = 1 / np.sqrt(squared.groupby(expected).transform("mean").to_numpy())  # isotonic: two levels
    design = np.column_stack([np.ones(len(scores)), above])
    bounds = np.array([-np.inf, 0, 0, 0, 0]), np.full(5, np.inf)
    known = lsq_linear(root[:, None] * design, root * scores, bounds, tol=1e-14).x
    np.testing.assert_allclose(found.estimated, known[1:], atol=1e-6)
    assert found.estimated[2] == 0
    used = [0, 1, 3]
    wls = WLS(scores, design[:, [0, *(1 + np.array(used))]], weights=root**2).fit(cov_type="HC1")
    covariance = found.covariance[np.ix_([1, 2, 4], [1, 2, 4])]
    np.testing.assert_allclose(covariance, wls.cov_params()[1:, 1:], rtol=1e-6)
    signal = wls.params[1:] @ np.linalg.solve(covariance, wls.params[1:])
    np.testing.assert_allclose(found.weights, found.estimated * (1 - 3 / signal))


def test_the_error_of_a_combination_is_its_spread_over_experiments():
    rng, asked, found = np.random.default_rng(4), np.array([[0.0, 0, 0, 0], [2.0, -1, 0, 1]]), []
    for _ in range(200):
        combination = combine_candidates(*noisy_candidates(rng, n=400))
        found.append(np.vstack([combination.effect + asked @ combination.estimated, combination.error(asked)]))
    values, errors = np.array(found).transpose(1, 0, 2)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), values.std(axis=0), rtol=0.15)


@pytest.mark.parametrize("slope", [-1.0, 0.0])
def test_a_slope_below_its_error_is_taken_for_0(slope):
    above = np.tile([-1.0, 1.0, -1.0, 1.0], 50)
    scores = slope * above + np.tile([5.0, 5.0, -5.0, -5.0], 50)
    assert combine_candidates(above[:, None], scores, np.zeros(200)).weights == 0.0


def test_candidates_that_say_nothing_or_the_same_leave_a_finite_effect():
    rng = np.random.default_rng(5)
    above, scores = rng.normal(size=200), rng.normal(size=200)
    none = combine_candidates(np.zeros((200, 2)), scores, np.zeros(200))
    assert none(np.zeros((3, 2))) == pytest.approx(scores.mean())
    above -= above.mean()
    one = combine_candidates(above[:, None], scores + above, np.zeros(200))
    two = combine_candidates(np.column_stack([above, above, 0 * above]), scores + above, np.zeros(200))
    assert two.estimated.sum() == pytest.approx(one.estimated.sum())
    assert np.isfinite(two.error(np.ones((1, 3)))).all()
    constant = combine_candidates(above[:, None], np.full(200, 2.0), above)
    assert (constant.effect, constant.weights.tolist()) == (2.0, [0.0])


def test_without_signal_many_candidates_are_not_believed():
    rng, moved = np.random.default_rng(6), []
    for _ in range(100):
        above = rng.normal(size=(300, 4))
        found = combine_candidates(above - above.mean(axis=0), rng.normal(size=300), np.zeros(300))
        moved.append(found.weights @ found.weights / found.covariance[0, 0])
    assert np.median(moved) < 0.2  # next to the squared error of the mean effect
    assert np.mean(moved) < 1.3


def squared_errors(seed, **settings):
    rng = np.random.default_rng(seed)
    model = fitted(simulate_spenders(rng, 1_000), seed=seed, n_folds=2, **settings)
    new = simulate_spenders(rng, 2_000)
    found, truth = model.predict(new.features), new.effects["mail"]
    held = (found["uplift_mail_lower"] <= truth) & (truth <= found["uplift_mail_upper"])
    return ((found["uplift_mail"] - truth) ** 2).mean() / truth.var(), held.mean()


def test_an_effect_that_grows_with_value_is_found_in_noise_that_does_too():
    without, shaped = (
        np.array([squared_errors(seed, shapes=shapes) for seed in range(6)]).mean(axis=0) for shapes in ((), ("clv",))
    )
    assert without[0] < 0.85
    assert shaped[0] < 0.85 * without[0]
    assert min(without[1], shaped[1]) >= 0.8


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.drop(columns="clv"), "shapes need a column `clv`"),
        (lambda f: f.assign(clv="much"), "`clv` must be numeric"),
        (lambda f: f.assign(clv=f["clv"].where(f["clv"] < 20)), "`clv` must be finite"),
    ],
)
def test_a_shape_is_a_number_for_every_customer(change, match):
    trial = simulate_spenders(np.random.default_rng(7), 60)
    with pytest.raises(SchemaError, match=match):
        UpliftModel(n_folds=2, shapes=("clv",)).fit(change(trial.features), trial.arm, trial.outcome)


def test_doubly_robust_scores_have_the_effect_as_their_mean(clear, clear_model):
    for arm in ("mail", "call"):
        scores = clear_model.effect_scores_[f"uplift_{arm}"]
        assert abs(scores.mean() - clear.effects[arm].mean()) < 3 * scores.sem()
        row = clear_model.effects_.loc[arm]
        assert row["effect"] == pytest.approx(scores.mean())
        assert row["standard_error"] == pytest.approx(scores.sem(), rel=0.02)


def lesson_of(trial, outcome):
    arms = read_trial(trial.features.index, trial.arm, outcome, control="control", propensity=None)
    fold = arms.folds(trial.features.index, n_folds=3, seed=0)
    matrix = Encoding.of(trial.features).matrix(trial.features)
    outcomes = expected_outcomes(matrix, arms, fold, seed=0)
    return Lesson(matrix, arms, fold, outcomes, arm_scores(outcomes.expected, arms))


@pytest.fixture(scope="module")
def before_and_after(clear):
    """What is learnt, and what would be had the first fold's outcomes been quite other ones."""
    before = lesson_of(clear, clear.outcome)
    first = before.fold == 0
    moved = np.where(first & (clear.features["days"] > 60), 1.0, -1.0) * 50.0
    return before, lesson_of(clear, clear.outcome.where(~first, clear.outcome + moved)), first


def test_what_is_expected_of_a_customer_owes_nothing_to_outcomes_of_the_own_fold(before_and_after):
    before, after, first = before_and_after
    np.testing.assert_array_equal(before.outcomes.expected[first], after.outcomes.expected[first])
    assert (before.outcomes.expected[~first] != after.outcomes.expected[~first]).mean() > 0.5


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
def test_the_effect_of_a_customer_owes_nothing_to_the_own_fold(before_and_after, learner):
    """Scores of other folds, of which DR-trees learn, hold outcomes expected by trees that did see it."""
    before, after, first = before_and_after
    after = replace(after, scores=np.where(first[:, None], after.scores, before.scores))
    was, now = (learn_effect(learner, lesson, arm=1, seed=0)[1] for lesson in (before, after))
    np.testing.assert_array_equal(was[first], now[first])
    assert (was[~first] != now[~first]).mean() > 0.5


def test_the_budget_takes_the_offers_as_measured_by_experiment(clear, clear_model):
    new = simulate_trial(np.random.default_rng(3), 500, arms=("mail", "call"))
    offers = clear_model.offers({"mail": 0.5, "call": 0.5})
    plan = allocate_budget(clear_model.predict(new.features), offers, budget=100)
    assert plan.spend <= 100
    assert set(plan.assignments["value_basis"]) == {"experiment"}
    assert set(plan.assignments["offer"]) == {"mail", "call"}
    gained = sum(new.effects.loc[who, offer] for who, offer in plan.assignments["offer"].items())
    assert gained - plan.spend > 0.6 * plan.expected_gain


def test_text_is_taken_as_categories_and_unknown_ones_as_none(clear, clear_model):
    new = clear.features.head(3).assign(channel=["web", "fax", None])
    assert np.isfinite(clear_model.predict(new)).all(axis=None)
    as_category = clear.features.assign(channel=clear.features["channel"].astype("category"))
    pd.testing.assert_frame_equal(clear_model.predict(as_category), clear_model.predict(clear.features))


def test_rows_and_columns_may_come_in_any_order(clear, clear_model):
    mixed = clear.features.sample(frac=1.0, random_state=0)[["channel", "orders", "days"]]
    pd.testing.assert_frame_equal(
        clear_model.predict(mixed).reindex(clear.features.index), clear_model.predict(clear.features)
    )


def test_the_fit_is_the_same_again(clear, clear_model):
    pd.testing.assert_frame_equal(fitted(clear).out_of_fold_, clear_model.out_of_fold_)


def test_groups_hold_everyone_once():
    rng = np.random.default_rng(4)
    predicted, scores = np.round(rng.normal(size=1_001), 1), rng.normal(size=1_001)
    groups = effect_groups(predicted, scores, groups=10)
    assert groups["customers"].sum() == 1_001
    assert np.average(groups["estimated"], weights=groups["customers"]) == pytest.approx(scores.mean())
    assert groups["predicted"].is_monotonic_increasing


def test_an_unfitted_model_says_so():
    with pytest.raises(NotFittedError, match="the uplift model is not fitted"):
        UpliftModel().predict(pd.DataFrame())
    with pytest.raises(NotFittedError, match="the uplift model is not fitted"):
        UpliftModel().offers({})


def test_offers_are_of_arms_of_the_experiment(clear_model):
    with pytest.raises(CrmError, match="`costs` must name arms of the experiment"):
        clear_model.offers({"letter": 1.0})


@pytest.mark.parametrize(
    ("setting", "match"),
    [({"learner": "s"}, "`learner` must be one of"), ({"n_folds": 1}, "`n_folds` must be at least 2")],
)
def test_settings_have_their_domain(clear, setting, match):
    with pytest.raises(CrmError, match=match):
        fitted(clear, **setting)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f, a, y: (f, a.iloc[1:], y), "every customer must have an entry in `arm`. 1 of"),
        (lambda f, a, y: (f, a, y.where(y.index != y.index[2])), "`outcome` must be finite. 1 of"),
        (lambda f, a, y: (f, a.where(a.index != a.index[2]), y), "`arm` must not be missing. 1 of"),
        (lambda f, a, y: (pd.concat([f, f.head(1)]), a, y), "the index must hold every customer once"),
        (lambda f, a, y: (f, a, pd.concat([y, y.head(1)])), "`outcome` must hold every customer once"),
        (lambda f, a, y: (f, a.replace("control", "none"), y), "must hold the control arm 'control'"),
        (lambda f, a, y: (f, a.replace({"mail": "control", "call": "control"}), y), "and one beside it"),
        (lambda f, a, y: (f.head(12), a, y), "every arm must have at least 6 customers"),
    ],
)
def test_an_experiment_must_be_what_it_should(clear, change, match):
    with pytest.raises(SchemaError, match=match):
        UpliftModel(n_folds=3).fit(*change(clear.features, clear.arm, clear.outcome))


def test_everything_is_drawn(clear, clear_model):
    two = clear.arm != "call"
    score = {"model": clear_model.out_of_fold_.loc[two, "uplift_mail"], "orders": -clear.features.loc[two, "orders"]}
    curve = QiniDisplay.from_predictions(score, treated=(clear.arm == "mail")[two], outcome=clear.outcome[two])
    assert [line.get_label() for line in curve.plot().ax_.get_lines()][-2:] == ["model", "orders"]
    calibration = UpliftCalibrationDisplay.from_estimator(clear_model, currency="$").plot()
    assert [text.get_text() for text in calibration.ax_.get_legend().get_texts()] == ["call", "mail"]
    outcomes = pd.DataFrame({"arm": clear.arm, "margin": clear.outcome})
    value = policy_value(
        {"mail all": pd.Series("mail", index=clear.arm.index)},
        outcomes,
        outcome="margin",
        costs={"mail": 0.5, "call": 1.0},
        learnt_from=None,
        features=clear.features,
        n_folds=2,
    )
    for frame, label in ((value.estimates, "value per customer"), (value.differences, "difference per customer")):
        assert PolicyValueDisplay(frame).plot().ax_.get_xlabel() == label


@pytest.mark.parametrize("display", [QiniDisplay, UpliftCalibrationDisplay, PolicyValueDisplay])
def test_a_display_says_which_column_it_lacks(display):
    with pytest.raises(SchemaError, match="need a column"):
        display(pd.DataFrame({"gain": [1.0]}))
