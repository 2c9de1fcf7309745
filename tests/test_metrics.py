"""Brier decomposition, calibration line, lifts and weights against brute force and scikit-learn."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn import metrics as sk
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from crm_ml.errors import SchemaError
from crm_ml.evaluation import churn_metrics

DRAW = np.random.default_rng(8)
RISK = DRAW.random(301).round(2).clip(0.01, 0.99)
LEFT = (DRAW.random(301) < RISK**1.5).astype(float)


def parts(found: dict[str, float]) -> tuple[float, float, float]:
    return found["brier_miscalibration"], found["brier_discrimination"], found["brier_uncertainty"]


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), digits=st.integers(1, 12), size=st.integers(5, 400))
def test_the_parts_of_the_brier_score_add_up(seed: int, digits: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    risk = draw.random(size).round(digits)
    left = (draw.random(size) < draw.random() * risk).astype(float)
    left[:2] = 0, 1
    found = churn_metrics(left, risk)
    miscalibration, discrimination, uncertainty = parts(found)
    assert miscalibration - discrimination + uncertainty == pytest.approx(found["brier"], abs=1e-12)
    assert found["brier"] == pytest.approx(np.mean((risk - left) ** 2), abs=1e-14)
    assert uncertainty == pytest.approx(left.mean() * (1 - left.mean()), abs=1e-14)
    assert min(miscalibration, discrimination) > -1e-14
    calibrated = IsotonicRegression().fit(risk, left).predict(risk)
    assert miscalibration == pytest.approx(found["brier"] - np.mean((calibrated - left) ** 2), abs=1e-12)


def test_isotonic_recalibration_is_the_best_rising_one_of_all() -> None:
    left, risk = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0], [0.1, 0.2, 0.2, 0.4, 0.6, 0.9]
    counts = {0.1: (0, 1), 0.2: (1, 2), 0.4: (1, 1), 0.6: (0, 1), 0.9: (1, 1)}
    best = np.inf
    for cuts in itertools.product([False, True], repeat=4):  # every way to pool neighbours, rising or not
        pools: list[list[tuple[int, int]]] = [[]]
        for cut, count in zip((False, *cuts), counts.values(), strict=True):
            pools = [*pools, [count]] if cut else [*pools[:-1], [*pools[-1], count]]
        rates = [sum(c[0] for c in pool) / sum(c[1] for c in pool) for pool in pools]
        if all(a <= b for a, b in itertools.pairwise(rates)):
            best = min(
                best, sum(rate * (1 - rate) * sum(c[1] for c in p) for rate, p in zip(rates, pools, strict=True))
            )
    found = churn_metrics(left, risk)
    assert found["brier"] - found["brier_miscalibration"] == pytest.approx(best / 6, abs=1e-14)


def test_the_calibration_line_is_the_logistic_regression_on_the_log_odds() -> None:
    fitted = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(logit(RISK)[:, None], LEFT)
    found = churn_metrics(LEFT, RISK)
    assert found["calibration_slope"] == pytest.approx(fitted.coef_[0, 0], rel=1e-7)
    assert found["calibration_intercept"] == pytest.approx(fitted.intercept_[0], rel=1e-6)
    straight = expit(found["calibration_intercept"] + found["calibration_slope"] * logit(RISK))
    again = churn_metrics(LEFT, straight)
    assert again["calibration_slope"] == pytest.approx(1.0, abs=1e-9)
    assert again["calibration_intercept"] == pytest.approx(0.0, abs=1e-9)


def test_predictions_made_too_extreme_have_a_slope_that_undoes_it() -> None:
    one, other = churn_metrics(LEFT, RISK), churn_metrics(LEFT, expit(3 * logit(RISK) + 1))
    assert other["calibration_slope"] == pytest.approx(one["calibration_slope"] / 3, rel=1e-9)


@pytest.mark.parametrize(
    ("left", "risk", "slope"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], np.inf),
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4], np.inf),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], -np.inf),
        ([1, 0, 1, 0], [0.1, 0.3, 0.3, 0.4], -np.inf),
        ([0, 1, 1, 0], [0.3, 0.3, 0.3, 0.3], np.nan),
        ([0, 1], [0.0, 1.0], np.inf),
    ],
)
def test_where_no_line_is_the_best_it_is_said(left: list[int], risk: list[float], slope: float) -> None:
    found = churn_metrics(left, risk)
    np.testing.assert_equal(found["calibration_slope"], slope)
    assert np.isnan(found["calibration_intercept"])


def test_certain_predictions_that_were_wrong_still_have_a_line() -> None:
    found = churn_metrics([0, 1, 0, 1, 1, 0], [0.0, 0.0, 0.3, 0.6, 1.0, 1.0])
    p = np.clip([0.0, 0.0, 0.3, 0.6, 1.0, 1.0], 1e-15, 1 - 1e-15)
    fitted = LogisticRegression(C=np.inf, tol=1e-12).fit(logit(p)[:, None] / 10, [0, 1, 0, 1, 1, 0])
    assert found["calibration_slope"] == pytest.approx(fitted.coef_[0, 0] / 10, abs=1e-6)


@pytest.mark.parametrize("percent", [1, 5, 10, 20])
def test_lift_is_the_rate_among_the_riskiest(percent: int) -> None:
    distinct = RISK + np.arange(301) * 1e-9
    riskiest = np.argsort(-distinct)[: round(301 * percent / 100)]
    found = churn_metrics(LEFT, distinct)[f"lift_{percent}"]
    assert found == pytest.approx(LEFT[riskiest].mean() / LEFT.mean(), rel=1e-12)
    tied = [churn_metrics(LEFT[at], RISK[at] + np.arange(301) * 1e-9) for at in orders(800)]
    mean = np.mean([measures[f"lift_{percent}"] for measures in tied])
    assert churn_metrics(LEFT, RISK)[f"lift_{percent}"] == pytest.approx(mean, rel=0.03)


def orders(n: int) -> list[Any]:
    draw = np.random.default_rng(4)
    return [draw.permutation(301) for _ in range(n)]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_a_weight_is_the_row_repeated(seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, 301)
    repeated = churn_metrics(np.repeat(LEFT, weights), np.repeat(RISK, weights))
    assert churn_metrics(LEFT, RISK, weights=weights) == pytest.approx(repeated, rel=1e-9, abs=1e-12)


def test_weights_agree_with_scikit_learn() -> None:
    weights = DRAW.gamma(1.0, 2.0, 301)
    found = churn_metrics(LEFT, RISK, weights=weights)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(LEFT, RISK, sample_weight=weights), rel=1e-12)
    expected = sk.average_precision_score(LEFT, RISK, sample_weight=weights)
    assert found["average_precision"] == pytest.approx(expected, rel=1e-12)
    assert found["log_loss"] == pytest.approx(sk.log_loss(LEFT, RISK, sample_weight=weights), rel=1e-12)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(LEFT, RISK, sample_weight=weights), rel=1e-12)


@pytest.mark.parametrize(
    ("left", "weights", "message"),
    [
        ([0, 1], [1.0, -0.5], "`weights` must be at least 0; 1 of 2 are not"),
        ([0, 1], [1.0], r"one value per customer; got \(2,\) and \(1,\)"),
        ([0, 1], [1.0, np.nan], "`weights` and the truth must be finite; 1 and 0 values are not"),
        ([0, 1], [1.0, 0.0], "only where some left and some stayed"),
        ([0, 2], [1.0, 1.0], "only where some left and some stayed"),
    ],
)
def test_weights_that_cannot_be_are_told(left: list[int], weights: list[float], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        churn_metrics(left, [0.2, 0.7], weights=weights)
