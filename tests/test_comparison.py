"""Differences between predictors, and intervals that hold what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_ml.errors import SchemaError
from crm_ml.evaluation import Backtest, churn_metrics, paired_bootstrap
from crm_ml.evaluation.comparison import Sorting, _counts
from crm_ml.evaluation.measures.metrics import CHURN_MEASURES

MEASURES = tuple(CHURN_MEASURES)
CUTOFFS = pd.to_datetime(["2024-01-01", "2024-02-01"], utc=True)


def predictions(seed: int, customers: int = 120, noise: float = 0.15) -> pd.DataFrame:
    """Make two predictors with ties; some customers are missing at one of the cutoffs."""
    draw = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(customers), CUTOFFS], names=["customer_id", "cutoff"])
    taste = np.repeat(draw.normal(0, 1, customers), 2)
    risk = 1 / (1 + np.exp(-taste - draw.normal(0, 0.3, len(index))))
    frame = pd.DataFrame({"actual": (draw.random(len(index)) < risk).astype(float)}, index=index)
    for name, spread in (("good", noise / 3), ("poor", noise)):
        frame[name] = np.clip(risk + draw.normal(0, spread, len(index)), 0.01, 0.99).round(2)
    return frame[draw.random(len(index)) < 0.9].sort_index(level=["cutoff", "customer_id"])


FRAME = predictions(3)


def repeated(frame: pd.DataFrame, times: np.ndarray) -> pd.DataFrame:
    return frame.loc[frame.index.repeat(times[pd.factorize(frame.index.get_level_values("customer_id"))[0]])]


def mean_over_cutoffs(frame: pd.DataFrame, name: str, measure: str) -> float:
    parts = [rows for _, rows in frame.groupby("cutoff")]
    return float(np.mean([churn_metrics(rows["actual"], rows[name])[measure] for rows in parts]))


def test_a_resample_is_its_customers_rows_repeated() -> None:
    n, seed, names = 25, 11, FRAME.index.get_level_values("customer_id").nunique()
    draw = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for _ in range(n):
        sample = repeated(FRAME, _counts(draw, names))
        for measure in MEASURES:
            drawn[measure].append(
                mean_over_cutoffs(sample, "good", measure) - mean_over_cutoffs(sample, "poor", measure)
            )
    found = paired_bootstrap(FRAME, reference="poor", measures=MEASURES, n=n, level=0.8, seed=seed)
    assert found["measure"].tolist() == list(MEASURES)
    for row in found.to_dict("records"):
        assert row["predictor"] == "good"
        assert row["lower"] == pytest.approx(np.quantile(drawn[row["measure"]], 0.1), abs=1e-12)
        assert row["upper"] == pytest.approx(np.quantile(drawn[row["measure"]], 0.9), abs=1e-12)
        point = mean_over_cutoffs(FRAME, "good", row["measure"]) - mean_over_cutoffs(FRAME, "poor", row["measure"])
        assert row["difference"] == pytest.approx(point, abs=1e-12)


def test_all_resamples_at_once_are_the_same_as_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paired_bootstrap(FRAME, reference="poor", n=40)
    monkeypatch.setattr("crm_ml.evaluation.comparison.CELLS_AT_A_TIME", 1)
    pd.testing.assert_frame_equal(paired_bootstrap(FRAME, reference="poor", n=40), whole)
    assert not paired_bootstrap(FRAME, reference="poor", n=40, seed=1).equals(whole)


def test_a_customer_is_drawn_with_all_rows() -> None:
    draw, drawn = np.random.default_rng(0), np.zeros(500)
    for _ in range(200):
        drawn[:] = _counts(draw, 500)
        assert drawn.sum() == 500
    assert drawn.var() == pytest.approx(1.0, abs=0.3)
    rows = Sorting.of(np.array([0.2, 0.1, 0.2]), np.array([1.0, 0.0, 0.0]), np.array([0, 1, 0]))
    tally = rows.tally(np.array([[3.0, 1.0]]))
    assert tally.prediction.tolist() == [0.1, 0.2]
    assert tally.churned.tolist() == [[0.0, 3.0]]
    assert tally.stayed.tolist() == [[1.0, 3.0]]


def test_the_interval_of_two_like_predictors_holds_nothing_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        frame = predictions(100 + seed, customers=150)
        draw = np.random.default_rng(seed)
        frame["like"] = frame["poor"].where(draw.random(len(frame)) < 0.5, frame["good"])
        frame["alike"] = frame["poor"].where(frame["like"] == frame["good"], frame["good"])
        found = paired_bootstrap(frame[["actual", "like", "alike"]], reference="like", measures=["brier"], n=200)
        held += int(found["lower"].iloc[0] <= 0 <= found["upper"].iloc[0])
    assert 47 <= held <= 60  # 54 of 60 expected


def test_errors_of_values_are_those_of_their_resamples() -> None:
    """A plain twin: draw the same customers, copy their rows, measure."""
    draw = np.random.default_rng(4)
    index = pd.MultiIndex.from_product([range(80), ["a", "b"]], names=["customer_id", "cutoff"])
    actual = draw.gamma(1, 50, len(index)) * (draw.random(len(index)) < 0.4)
    frame = pd.DataFrame({"actual": actual, "old": draw.gamma(1, 20, len(index)), "new": actual * 0.8 + 3}, index=index)
    found = paired_bootstrap(frame, reference="old", measures=["mae", "rmse"], n=50, level=0.8, seed=9)

    def by_hand(rows: pd.DataFrame, name: str) -> list[float]:
        errors = [part[name] - part["actual"] for _, part in rows.groupby("cutoff")]
        mae = sum(float(error.abs().mean()) for error in errors) / 2
        return [mae, sum(float((error**2).mean()) ** 0.5 for error in errors) / 2]

    again = np.random.default_rng(9)
    resamples = []
    for _ in range(50):
        rows = pd.concat([frame.loc[[customer]] for customer in again.integers(80, size=80)])
        resamples.append(np.subtract(by_hand(rows, "new"), by_hand(rows, "old")))
    np.testing.assert_allclose(found["difference"], np.subtract(by_hand(frame, "new"), by_hand(frame, "old")))
    np.testing.assert_allclose(found["lower"], np.quantile(resamples, 0.1, axis=0))
    np.testing.assert_allclose(found["upper"], np.quantile(resamples, 0.9, axis=0))


def test_a_backtest_compares_its_own_predictions() -> None:
    done = Backtest(FRAME, pd.DataFrame())
    found = done.compare("poor", measures=["auc"], n=50)
    pd.testing.assert_frame_equal(found, paired_bootstrap(FRAME, reference="poor", measures=["auc"], n=50))


@pytest.mark.parametrize(
    ("frame", "settings", "message"),
    [
        (FRAME, {"reference": "gud"}, "predictions need a column `gud`.*nearest: 'good'"),
        (FRAME, {"measures": ["aux"]}, "measures need a column `aux`.*nearest: 'auc'"),
        (FRAME, {"measures": ["mae", "auc"]}, "measures need a column `auc`"),
        (FRAME, {"n": 0}, "`n` must be at least 1; got 0"),
        (FRAME, {"level": 0.0}, "`level` must lie between 0 and 1; got 0.0"),
        (FRAME, {"level": 1.0}, "`level` must lie between 0 and 1; got 1.0"),
        (FRAME[["actual", "poor"]], {}, r"needs two predictors; the predictions are of \['poor'\]"),
        (FRAME.assign(good=np.nan), {}, r"must be finite; \d+ rows of \d+ are not"),
        (FRAME * 3, {}, r"1 or 0; \d+ outcomes of \d+ are not 1 or 0"),
        (FRAME.assign(actual=[1.0, *[0.0] * (len(FRAME) - 1)]), {}, r"must hold customers who left .* do not, as 1 of"),
    ],
)
def test_what_cannot_be_compared_is_told(frame: pd.DataFrame, settings: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"reference": "poor", "n": 20} | settings
    with pytest.raises(SchemaError, match=message):
        paired_bootstrap(frame, **given)
