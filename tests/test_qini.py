"""Qini and the area under the gain curve: definition, reference values, error, and nothing for random scores."""

from __future__ import annotations

import numpy as np
import pytest

from crm_ml.decisions.uplift import auuc, qini, qini_curve
from crm_ml.errors import CrmError, SchemaError


def noisy_trial(rng, n, *, share=0.5):
    """Return what helps, who was treated and what came of it."""
    x = rng.random(n)
    treated = (rng.random(n) < share).astype(float)
    return x, treated, 2 + 3 * x + treated * 2 * x + rng.normal(size=n)


def pairs(rng, n):
    """Return a trial in which one treated and one control customer share each score."""
    score = np.repeat(rng.permutation(n).astype(float), 2)
    treated = np.tile([1.0, 0.0], n)
    return score, treated, rng.poisson(2 + treated * score / n)


def test_the_curve_is_that_of_scikit_uplift_where_arms_are_balanced_in_every_group():
    """Values of scikit-uplift 0.5.1: `uplift_curve` is the gain of all customers; `qini_curve` that of the treated.

    uplift_curve(y, s, t) and qini_curve(y, s, t) of sklift.metrics for the six pairs below.
    """
    score = np.repeat([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 2)
    treated = np.tile([1, 0], 6)
    outcome = np.array([1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0])
    curve = qini_curve(score, treated=treated, outcome=outcome, points=7)
    np.testing.assert_allclose(12 * curve["gain"], SKLIFT_UPLIFT, atol=1e-12)
    np.testing.assert_allclose(6 * curve["gain"], SKLIFT_QINI, atol=1e-12)


SKLIFT_UPLIFT = [0.0, 2.0, 2.0, 4.0, 4.0, 2.0, 4.0]
SKLIFT_QINI = [0.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0]


def test_the_curve_is_share_times_difference_in_means_by_brute_force():
    score, treated, outcome = pairs(np.random.default_rng(0), 50)
    curve = qini_curve(score, treated=treated, outcome=outcome, points=51)
    for share, gain in curve[["contacted_share", "gain"]].to_numpy()[1:]:
        top = score >= np.sort(score)[::-1][round(share * 100) - 1]
        difference = outcome[top & (treated == 1)].mean() - outcome[top & (treated == 0)].mean()
        assert gain == pytest.approx(share * difference, abs=1e-12)


def test_areas_are_those_under_the_drawn_curve():
    x, treated, outcome = noisy_trial(np.random.default_rng(1), 500)
    curve = qini_curve(x, treated=treated, outcome=outcome, points=501)
    area = np.trapezoid(curve["gain"], curve["contacted_share"])
    assert auuc(x, treated=treated, outcome=outcome).value == pytest.approx(area, abs=1e-12)
    assert qini(x, treated=treated, outcome=outcome).value == pytest.approx(
        area - curve["gain"].iloc[-1] / 2, abs=1e-12
    )


def test_the_whole_curve_ends_at_the_difference_in_means():
    x, treated, outcome = noisy_trial(np.random.default_rng(2), 300, share=0.2)
    difference = outcome[treated == 1].mean() - outcome[treated == 0].mean()
    assert qini_curve(x, treated=treated, outcome=outcome)["gain"].iloc[-1] == pytest.approx(difference)


def test_equal_scores_are_averaged_over_their_orders():
    rng = np.random.default_rng(3)
    x, treated, outcome = noisy_trial(rng, 200)
    coarse = np.round(x * 4)
    orders = [qini(coarse + 1e-6 * rng.random(200), treated=treated, outcome=outcome).value for _ in range(1500)]
    tied = qini(coarse, treated=treated, outcome=outcome).value
    assert tied == pytest.approx(np.mean(orders), abs=4 * np.std(orders) / np.sqrt(1500))


def test_a_score_that_is_the_same_for_all_is_nothing():
    _, treated, outcome = noisy_trial(np.random.default_rng(4), 100)
    assert qini(np.zeros(100), treated=treated, outcome=outcome) == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_random_targeting_has_qini_0(share):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        _, treated, outcome = noisy_trial(rng, 400, share=share)
        found.append(qini(rng.random(400), treated=treated, outcome=outcome, propensity=share))
    values, errors = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(400)
    assert (np.abs(values) < 3 * errors).mean() > 0.985
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.12)


@pytest.mark.parametrize("propensity", [0.5, None])
@pytest.mark.parametrize("area", [qini, auuc])
def test_the_standard_error_is_the_spread_over_experiments(area, propensity):
    rng = np.random.default_rng(6)
    found = []
    for _ in range(400):
        x, treated, outcome = noisy_trial(rng, 400)
        found.append(area(x, treated=treated, outcome=outcome, propensity=propensity))
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)
    truth = {"qini": 2 * (1 / 3 - 1 / 4), "auuc": 2 / 3}[area.__name__]  # E[2x(x − 1/2)] and E[2x·x]
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(400)


@pytest.mark.parametrize("propensity", [0.5, None])
def test_the_band_holds_the_gain_as_often_as_it_says(propensity):
    rng = np.random.default_rng(8)
    held = []
    for _ in range(400):
        x, treated, outcome = noisy_trial(rng, 400)
        point = qini_curve(x, treated=treated, outcome=outcome, propensity=propensity, points=3).iloc[1]
        held.append(point["lower"] <= 0.75 <= point["upper"])  # the integral of 2x from 1/2 to 1
    assert np.mean(held) == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 400))


def test_scores_of_several_models_are_ranked_within_their_folds():
    """Each fold is scored by the others' mean effect: it knows nothing, but ranks the better folds last."""
    rng = np.random.default_rng(7)
    pooled, within = [], []
    for _ in range(120):
        _, treated, outcome = noisy_trial(rng, 250)
        fold = np.arange(250) % 5
        score = np.empty(250)
        for held in range(5):
            out = fold != held
            score[~out] = outcome[out & (treated == 1)].mean() - outcome[out & (treated == 0)].mean()
        pooled.append(qini(score, treated=treated, outcome=outcome).value)
        within.append(qini(score, treated=treated, outcome=outcome, fold=fold).value)
    assert np.mean(pooled) < -5 * np.std(pooled) / np.sqrt(120)
    assert np.mean(within) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"score": [1.0, np.nan, 0.0, 0.0]}, "`score` must be a finite number"),
        ({"outcome": [1.0, 2.0]}, "must have one length"),
        ({"treated": [1, 1, 1, 1]}, "must hold 1 and 0, both"),
        ({"treated": [1, 2, 0, 0]}, "must hold 1 and 0, both"),
    ],
)
def test_arrays_must_be_what_they_should(changed, match):
    given = {"score": [1.0, 2.0, 3.0, 4.0], "treated": [1, 0, 1, 0], "outcome": [1.0, 0.0, 2.0, 0.0], **changed}
    with pytest.raises(SchemaError, match=match):
        qini(given.pop("score"), **given)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"propensity": 0.0}, "`propensity` must be between 0 and 1"),
        ({"propensity": 1.0}, "`propensity` must be between 0 and 1"),
        ({"points": 1}, "`points` must be at least 2"),
        ({"level": 1.0}, "`level` must be between 0 and 1"),
    ],
)
def test_settings_have_their_domain(setting, match):
    with pytest.raises(CrmError, match=match):
        qini_curve([1.0, 0.0], treated=[1, 0], outcome=[1.0, 0.0], **setting)
