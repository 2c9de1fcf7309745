"""Measures against scikit-learn, scipy and brute force; splits that keep the future out; an honest backtest."""

from __future__ import annotations

import itertools
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from crm_ml import CustomerLog, build_panel
from crm_ml.errors import SchemaError
from crm_ml.evaluation import (
    TrainingDesign,
    backtest,
    by_predictor,
    calibration_bins,
    churn_metrics,
    concentration_curve,
    gains_curve,
    labels_known_by,
    lift_curve,
    value_metrics,
)
from crm_ml.features import RFM, build_features

DRAW = np.random.default_rng(5)
RISK = DRAW.random(203).round(2)
LEFT = (DRAW.random(203) < RISK).astype(float)
SPEND = np.where(DRAW.random(203) < 0.4, 0.0, DRAW.gamma(1.0, 40.0, 203))
GUESS = SPEND * 0.5 + DRAW.gamma(1.0, 10.0, 203).round()


def test_churn_measures_agree_with_scikit_learn() -> None:
    found = churn_metrics(LEFT, RISK)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(LEFT, RISK), abs=1e-15)
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(LEFT, RISK), abs=1e-15)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(LEFT, RISK), abs=1e-15)
    assert found["log_loss"] == pytest.approx(sk.log_loss(LEFT, np.clip(RISK, 1e-15, 1 - 1e-15)), rel=1e-12)
    assert found["calibration_bias"] == pytest.approx(sum(RISK) / 203 - sum(LEFT) / 203, abs=1e-15)


def test_churn_measures_by_hand() -> None:
    left = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    risk = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    found = churn_metrics(left, risk)
    assert found["lift_10"] == pytest.approx(1 / 0.3)
    assert found["calibration_error"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.4 + 0.5 + 0.4 + 0.3 + 0.2 + 0.1) / 10)


def random_order_mean(values: list[float], order_by: list[float], take: int) -> float:
    """Give the mean sum of the first `take` values over every order that `order_by` allows."""
    orders = [
        order
        for order in itertools.permutations(range(len(values)))
        if all(order_by[a] >= order_by[b] for a, b in itertools.pairwise(order))
    ]
    return sum(sum(values[at] for at in order[:take]) for order in orders) / len(orders)


def test_ties_count_at_their_mean() -> None:
    values, order_by = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.9, 0.5, 0.1, 0.1]
    curve = gains_curve(values, order_by, points=7)["captured_share"]
    brute = [random_order_mean(values, order_by, take) / 3 for take in range(7)]
    assert curve.tolist() == pytest.approx(brute, abs=1e-12)
    assert churn_metrics([1, 1, 0, 0], [0.5] * 4)["lift_10"] == 1.0
    found = value_metrics([9.0, 0.0, 0.0], [1.0] * 3)
    assert found["top_decile_capture"] == pytest.approx(1 / 3)
    assert found["gini"] == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_measures_and_curves_do_not_depend_on_row_order(seed: int) -> None:
    at = np.random.default_rng(seed).permutation(len(RISK))
    coarse = RISK.round(1)
    assert churn_metrics(LEFT[at], coarse[at]) == pytest.approx(churn_metrics(LEFT, coarse), rel=1e-12)
    assert value_metrics(SPEND[at], coarse[at]) == pytest.approx(value_metrics(SPEND, coarse), rel=1e-12)
    for frame in (gains_curve, lift_curve, calibration_bins):
        np.testing.assert_allclose(frame(LEFT[at], coarse[at]), frame(LEFT, coarse), rtol=1e-12)


def test_value_measures_agree_with_scikit_learn_and_brute_force() -> None:
    found = value_metrics(SPEND, GUESS)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(SPEND, GUESS), rel=1e-12)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(SPEND, GUESS), rel=1e-12)
    assert found["bias"] == pytest.approx(sum(GUESS) / sum(SPEND) - 1, rel=1e-12)
    distinct = GUESS + np.arange(203) * 1e-9
    best = sorted(range(203), key=lambda at: -distinct[at])[:20]
    capture = value_metrics(SPEND, distinct)["top_decile_capture"]
    assert capture == pytest.approx(sum(SPEND[at] for at in best) / sum(SPEND), rel=1e-12)
    assert value_metrics(SPEND, SPEND)["gini"] == pytest.approx(1.0)
    assert value_metrics(SPEND, -SPEND)["gini"] == pytest.approx(-1.0)


def test_gini_of_a_yes_or_no_is_the_gini_of_the_auc() -> None:
    gini = value_metrics(LEFT, RISK)["gini"]
    assert gini == pytest.approx(2 * sk.roc_auc_score(LEFT, RISK) - 1, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 7, 10])
def test_calibration_bins_hold_clopper_pearson_intervals(bins: int) -> None:
    distinct = RISK + np.arange(203) * 1e-9
    found = calibration_bins(LEFT, distinct, bins=bins, level=0.95)
    parts = np.array_split(np.argsort(distinct), bins)
    assert sorted(found["customers"]) == sorted(len(part) for part in parts)
    parts = np.split(np.argsort(distinct), np.cumsum(found["customers"])[:-1])
    for row, part in zip(found.to_dict("records"), parts, strict=True):
        interval = binomtest(int(LEFT[part].sum()), len(part)).proportion_ci(0.95, method="exact")
        assert row["lower"] == pytest.approx(interval.low, abs=1e-12)
        assert row["upper"] == pytest.approx(interval.high, abs=1e-12)
        assert row["observed"] == pytest.approx(LEFT[part].mean())
        assert row["predicted"] == pytest.approx(distinct[part].mean())


def test_calibration_bins_never_cut_a_tie() -> None:
    risk = np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.7, 0.8])
    left = np.array([0, 1, 0, 0, 0, 0, 1, 1])
    found = calibration_bins(left, risk, bins=4)
    # even bins would end after 2, 4 and 6 customers; the first two ends lie within the tie and move to its end
    assert found["customers"].tolist() == [6, 2]
    assert found["observed"].tolist() == pytest.approx([1 / 6, 1.0])
    assert found["predicted"].tolist() == pytest.approx([1.1 / 6, 0.75])
    assert calibration_bins(left, np.full(8, 0.4), bins=4)["customers"].tolist() == [8]
    assert calibration_bins(left[:2], risk[:2], bins=10)["customers"].tolist() == [1, 1]


def test_calibration_bins_where_nobody_or_everybody_left() -> None:
    found = calibration_bins([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], bins=2, level=0.9)
    assert found["lower"].iloc[0] == 0.0
    assert found["upper"].iloc[1] == 1.0
    assert found["upper"].iloc[0] == pytest.approx(1 - 0.05 ** (1 / 3), abs=1e-12)
    assert found["lower"].iloc[1] == pytest.approx(0.05 ** (1 / 3), abs=1e-12)


def test_curves_agree_with_counting() -> None:
    distinct = RISK + np.arange(203) * 1e-9
    by_risk = sorted(range(203), key=lambda at: -distinct[at])
    gains = gains_curve(LEFT, distinct, points=204)
    assert gains["captured_share"].tolist() == pytest.approx(
        [sum(LEFT[at] for at in by_risk[:reached]) / sum(LEFT) for reached in range(204)], abs=1e-12
    )
    by_value = sorted(SPEND, reverse=True)
    held = concentration_curve(SPEND, points=204)
    assert held["value_share"].tolist() == pytest.approx(
        [sum(by_value[:reached]) / sum(SPEND) for reached in range(204)], abs=1e-12
    )
    assert held["customer_share"].tolist() == pytest.approx([reached / 203 for reached in range(204)])


def test_lift_is_the_churn_rate_among_the_contacted_over_that_of_all() -> None:
    distinct = RISK + np.arange(203) * 1e-9
    by_risk = sorted(range(203), key=lambda at: -distinct[at])
    found = lift_curve(LEFT, distinct, points=203)
    rates = [sum(LEFT[at] for at in by_risk[:reached]) / reached for reached in range(1, 204)]
    assert found["lift"].tolist() == pytest.approx([rate / LEFT.mean() for rate in rates], rel=1e-9)
    assert found["contacted_share"].tolist() == pytest.approx([reached / 203 for reached in range(1, 204)])
    tenth = lift_curve(np.tile(LEFT, 10), np.tile(RISK, 10), points=10)["lift"].iloc[0]
    assert tenth == pytest.approx(churn_metrics(np.tile(LEFT, 10), np.tile(RISK, 10))["lift_10"])


def test_lift_within_the_first_customer_is_that_of_the_first_customer() -> None:
    assert lift_curve([1, 0, 0, 0], [0.9, 0.5, 0.4, 0.1], points=100)["lift"].iloc[0] == pytest.approx(4.0)
    assert lift_curve([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5])["lift"].tolist() == pytest.approx([1.0] * 100)


def test_several_predictors_stand_one_below_the_other() -> None:
    found = by_predictor(lambda p: gains_curve(LEFT, p, points=5), {"b": RISK, "a": 1 - RISK})
    assert found.columns.tolist() == ["predictor", "contacted_share", "captured_share"]
    assert found["predictor"].tolist() == ["b"] * 5 + ["a"] * 5
    assert found.index.tolist() == list(range(10))
    assert found["captured_share"].tolist() == [
        *gains_curve(LEFT, RISK, points=5)["captured_share"],
        *gains_curve(LEFT, 1 - RISK, points=5)["captured_share"],
    ]
    assert by_predictor(lambda p: gains_curve(LEFT, p, points=5), RISK)["predictor"].unique().tolist() == ["model"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: churn_metrics([0, 0], [0.1, 0.2]), "only where some left and some stayed; 0 of 2 left"),
        (lambda: churn_metrics([1, 1], [0.1, 0.2]), "only where some left and some stayed; 2 of 2 left"),
        (lambda: churn_metrics([0, 1], [0.1]), r"one value per customer; got \(2,\) and \(1,\)"),
        (lambda: churn_metrics([], []), r"one value per customer; got \(0,\) and \(0,\)"),
        (lambda: churn_metrics([0, 1], [0.1, np.nan]), "must be finite; 1 and 0 values are not"),
        (lambda: value_metrics([0, np.inf], [1, 2]), "must be finite; 0 and 1 values are not"),
        (lambda: gains_curve([0, 0], [0.1, 0.2]), "values of at least 0 that do not add up to 0; 0 of 2"),
        (lambda: concentration_curve([1.0, -1.0]), "values of at least 0 that do not add up to 0; 1 of 2"),
        (lambda: concentration_curve([1.0, np.nan]), "values of at least 0 that do not add up to 0; 1 of 2"),
    ],
)
def test_what_cannot_be_judged_is_told(call: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        call()


def long_log(days: int = 400, start: str = "2023-01-01") -> CustomerLog:
    times = pd.date_range(start, periods=days, freq="D")
    return CustomerLog(pd.DataFrame({"customer_id": "a", "timestamp": times, "amount": 1.0}))


LONG = long_log()


@settings(max_examples=60)
@given(
    horizon=st.integers(1, 200),
    step=st.integers(1, 60),
    n=st.integers(1, 20),
    history=st.integers(0, 300),
    as_of=st.integers(1, 400),
    hours=st.integers(0, 23),
)
def test_no_label_ends_after_as_of(horizon: int, step: int, n: int, history: int, as_of: int, hours: int) -> None:
    day = pd.Timedelta(days=1)
    when = LONG.first + as_of * day - pd.Timedelta(hours=hours)
    design = TrainingDesign(horizon_days=horizon, n_cutoffs=n, step_days=step, history_days=history)
    expected = [when - (horizon + step * back) * day for back in reversed(range(n))]
    expected = [cutoff for cutoff in expected if cutoff >= LONG.first + history * day]
    if expected:
        found = design.cutoffs(LONG, as_of=when)
        assert found.tolist() == expected
        assert (found + horizon * day <= when).all()
    else:
        with pytest.raises(SchemaError, match=r"Training needs .* days of history and a label window"):
            design.cutoffs(LONG, as_of=when)


def test_a_design_makes_a_panel_of_its_settings() -> None:
    design = TrainingDesign(horizon_days=10, lookback_days=5, n_cutoffs=3, step_days=7, history_days=20)
    panel = design.panel(LONG, as_of="2023-06-01", features=[RFM()])
    assert panel["label_end"].max() == pd.Timestamp("2023-06-01", tz="UTC")
    assert [f"{cutoff:%Y-%m-%d}" for cutoff in panel.index.get_level_values("cutoff")] == [
        "2023-05-08",
        "2023-05-15",
        "2023-05-22",
    ]
    assert (panel["purchase_days_ahead"] == 10).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_cutoffs": 0}, "`n_cutoffs` must be at least 1; got 0"),
        ({"history_days": -1}, "`history_days` must be at least 0; got -1"),
        ({"step_days": 0}, "`step_days` must be a positive number of days"),
        ({"horizon_days": -1}, "`horizon_days` must be a positive number of days"),
    ],
)
def test_designs_outside_their_domain_are_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        TrainingDesign(**setting).cutoffs(LONG, as_of="2023-12-01")


def test_another_horizon_than_trained_for_is_refused() -> None:
    TrainingDesign(horizon_days=30).check_horizon(30.0)
    with pytest.raises(SchemaError, match="`horizon_days` must be the horizon trained for, 30; got 31"):
        TrainingDesign(horizon_days=30).check_horizon(31)


def test_known_labels_end_at_or_before_the_moment() -> None:
    panel = build_panel(LONG, cutoffs=["2023-03-01", "2023-03-11", "2023-03-12"], horizon_days=10, features=())
    known = labels_known_by(panel, "2023-03-21")
    assert [f"{cutoff:%m-%d}" for cutoff in known.index.get_level_values("cutoff")] == ["03-01", "03-11"]


CUTOFF = pd.Timestamp("2024-03-01")
SHOP = awkward_shop(9, cutoff=CUTOFF, n_customers=60)
TIMES = [CUTOFF - pd.Timedelta(days=30), CUTOFF]


class Spy:
    """Predicts from recency, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, pd.Timestamp, float]] = []

    def fit(self, log: CustomerLog, *, as_of: Any) -> Self:
        assert log.n_transactions
        self.asked.append(("fit", as_of, 0.0))
        return self

    def forecast(self, log: CustomerLog, *, as_of: Any, horizon_days: float) -> pd.Series:
        self.asked.append(("forecast", as_of, horizon_days))
        recency = build_features(log, as_of=as_of, features=[RFM()])["recency_days"]
        return (recency / (recency + 60)).sample(frac=1, random_state=1)


def test_the_backtest_asks_at_each_cutoff_and_never_beyond() -> None:
    spy = Spy()
    steps: list[str] = []
    done = backtest(
        CustomerLog(*SHOP), {"spy": spy}, cutoffs=TIMES, horizon_days=30, target="churned", on_step=steps.append
    )
    at = [time.tz_localize("UTC") for time in TIMES]
    assert spy.asked == [(what, when, days) for when in at for what, days in (("fit", 0.0), ("forecast", 30))]
    assert steps == ["spy, 2024-01-31", "spy, 2024-03-01"]
    assert done.metrics["cutoff"].tolist() == at
    assert done.metrics["customers"].sum() == len(done.predictions)


def test_the_backtest_compares_with_what_came() -> None:
    log = CustomerLog(*SHOP)
    done = backtest(log, {"spy": Spy()}, cutoffs=TIMES, horizon_days=30, lookback_days=100, target="churned")
    panel = build_panel(log, cutoffs=TIMES, horizon_days=30, lookback_days=100)
    assert done.predictions["actual"].tolist() == panel["churned"].tolist()
    expected = panel["recency_days"] / (panel["recency_days"] + 60)
    assert done.predictions["spy"].tolist() == expected.tolist()
    last = panel.index.get_level_values("cutoff") == TIMES[1].tz_localize("UTC")
    assert done.metrics["auc"].iloc[1] == pytest.approx(sk.roc_auc_score(panel["churned"][last], expected[last]))
    assert done.summary().loc["spy", "auc"] == pytest.approx(done.metrics["auc"].mean())


def test_a_prediction_stands_whatever_comes_after_it() -> None:
    bought, acted = SHOP
    changed = bought.assign(amount=bought["amount"].mask(bought["timestamp"] >= TIMES[1], 1e6))
    changed = pd.concat([changed, changed[changed["timestamp"] >= TIMES[1]].assign(customer_id="c001")])
    one, other = (
        backtest(
            CustomerLog(b, acted), {"spy": Spy()}, cutoffs=TIMES, horizon_days=30, target="spend_ahead"
        ).predictions
        for b in (bought, changed)
    )
    assert one["spy"].equals(other["spy"])
    assert not one["actual"].equals(other["actual"])


class Careless(Spy):
    """Leaves some out, repeats some, or knows nothing of some."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forecast(self, log: CustomerLog, *, as_of: Any, horizon_days: float) -> pd.Series:
        found = super().forecast(log, as_of=as_of, horizon_days=horizon_days).sort_index()
        careless = {"short": found.iloc[2:], "twice": pd.concat([found, found.iloc[:1]]), "unknown": found * np.nan}
        return pd.Series(careless[self.fault])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("short", r"'careless' left out 2 of \d+, first: \['.+', .+\]"),
        ("twice", "must forecast each customer once; 'careless' repeated 1"),
        ("unknown", r"must be finite; \d+ and 0 values are not"),
    ],
)
def test_a_careless_predictor_is_told(fault: str, message: str) -> None:
    log = CustomerLog(*SHOP)
    with pytest.raises(SchemaError, match=message):
        backtest(log, {"careless": Careless(fault)}, cutoffs=TIMES, horizon_days=30, target="churned")
