"""The membership score: its parts add up, its scales are fitted once, and more of a good thing never costs points."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop, with_details
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_ml import CustomerLog
from crm_ml.decisions.segments.score import TIERS, WEIGHTS, MembershipScore, membership_features
from crm_ml.errors import ModelError, NotFittedError, SchemaError
from crm_ml.plots.customers import ScoreDisplay

NAN = float("nan")
GOOD = ("spend_365d", "orders_365d", "categories_365d")
BAD = ("returned_share", "complaints")
POINTS = ["spend_points", "frequency_points", "breadth_points", "reputation_points"]
LEVELS = [step / 20 for step in range(20)] + [0.99, 1.0]


def customers(count: int = 1000, *, seed: int = 0) -> pd.DataFrame:
    """Give skewed customers: most bought once, in one category, and have never complained."""
    draw = np.random.default_rng(seed)
    orders = np.where(draw.random(count) < 0.8, 1, draw.integers(2, 12, count))
    return pd.DataFrame(
        {
            "spend_365d": np.round(orders * draw.lognormal(3, 1, count), 2),
            "orders_365d": orders.astype(float),
            "categories_365d": np.minimum(orders, draw.integers(1, 6, count)).astype(float),
            "returned_share": np.where(draw.random(count) < 0.9, 0.0, draw.random(count)),
            "complaints": (draw.random(count) < 0.05) * draw.integers(1, 4, count).astype(float),
        },
        index=pd.Index([f"c{number:04d}" for number in range(count)], name="customer_id"),
    )


REFERENCE = customers()
SCORE = MembershipScore().fit(REFERENCE)


def with_values(**values: float) -> pd.DataFrame:
    return REFERENCE.head(1).assign(**values)


# --- the scales ---


def share_of(value: float, reference: list[float]) -> float:
    """Give the share of a value on a scale where more is better, knot by knot as it is documented."""
    ordered, value = sorted(max(x, 0.0) for x in reference), max(value, 0.0)
    at: dict[float, list[float]] = {}
    for level in LEVELS:
        rank = max(1, math.ceil(round(level * len(ordered), 9)))
        at.setdefault(ordered[rank - 1], []).append(level)
    knots = sorted(at)
    shares = [sum(at[knot]) / len(at[knot]) for knot in knots]
    shares[0], shares[-1] = 0.0, 1.0
    if value <= knots[0]:
        return float(value == knots[0] == knots[-1])
    if value >= knots[-1]:
        return 1.0
    upper = next(place for place, knot in enumerate(knots) if knot > value)
    way = (value - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    return shares[upper - 1] + way * (shares[upper] - shares[upper - 1])


@settings(max_examples=50)
@given(
    reference=st.lists(st.integers(-2, 8) | st.integers(0, 10_000), min_size=1, max_size=80),
    value=st.integers(-2, 10_002),
)
def test_more_is_better_along_the_quantiles_of_the_reference(reference: list[int], value: int) -> None:
    score = MembershipScore(weights={"spend": 1}).fit(pd.DataFrame({"spend_365d": [float(x) for x in reference]}))
    found = score.transform(pd.DataFrame({"spend_365d": [float(value), *map(float, reference)]}))["score"]
    expected = [1000 * share_of(x, list(map(float, reference))) for x in (value, *reference)]
    np.testing.assert_allclose(found, expected, atol=0.5 + 1e-9)


def test_where_most_bought_once_one_purchase_earns_nothing_and_two_more_than_most() -> None:
    reference = pd.DataFrame({"orders_365d": [1.0] * 80 + [2.0] * 10 + [5.0] * 10})
    score = MembershipScore(weights={"frequency": 1}).fit(reference)
    assert score.transform(reference)["score"].unique().tolist() == [0, 875, 1000]  # two: the mean of 85 and 90 %


def test_reputation_falls_linearly_from_no_returns_and_no_complaints() -> None:
    reference = pd.DataFrame(
        {"spend_365d": 1.0, "returned_share": [0.0] * 90 + [0.2] * 8 + [0.8, 5.0], "complaints": [0.0] * 99 + [4.0]}
    )
    score = MembershipScore(weights={"spend": 0.0, "reputation": 1.0}).fit(reference)
    cases = {(0.0, 0.0): 1000, (0.2, 0.0): 875, (0.8, 0.0): 500, (5.0, 0.0): 500, (0.0, 1.0): 875, (0.8, 9.0): 0}
    asked = pd.DataFrame(list(cases), columns=["returned_share", "complaints"])
    assert score.transform(asked)["score"].tolist() == list(cases.values())  # worst: 0.8, as 1 in 100 passes it, and 4


def test_without_any_complaint_in_the_reference_the_first_one_takes_all() -> None:
    score = MembershipScore(weights={"reputation": 1}).fit(pd.DataFrame({"complaints": [0.0, 0.0]}))
    assert score.transform(pd.DataFrame({"complaints": [0.0, 0.5, 1.0, NAN]}))["score"].tolist() == [1000, 0, 0, 1000]


def test_a_missing_return_or_complaint_counts_as_none() -> None:
    none, missing = (
        SCORE.transform(with_values(returned_share=value, complaints=value))["reputation_points"].iloc[0]
        for value in (0.0, NAN)
    )
    assert none == missing == 100


def test_scales_are_of_the_reference_whatever_is_scored() -> None:
    later = customers(seed=1) * 3
    whole = SCORE.transform(later)
    pd.testing.assert_frame_equal(SCORE.transform(later.tail(7)), whole.tail(7))
    assert SCORE.scales_.loc["spend", "value"].iloc[[0, -1]].tolist() == [
        REFERENCE["spend_365d"].min(),
        REFERENCE["spend_365d"].max(),
    ]
    assert SCORE.scales_.loc["spend", "share"].iloc[[0, -1]].tolist() == [0, 1]


# --- the score ---


def test_parts_add_up_and_are_whole() -> None:
    scored = SCORE.transform(REFERENCE)
    assert scored.columns.tolist() == ["score", "tier", *POINTS]
    assert (scored[["score", *POINTS]].dtypes == np.int64).all()
    assert (scored[POINTS].sum(axis=1) == scored["score"]).all()
    assert (scored[POINTS] <= [400, 300, 200, 100]).all(axis=None)
    assert scored.index.equals(REFERENCE.index)


def test_nothing_and_a_thousand_are_both_reached() -> None:
    ends = {name: [REFERENCE[name].min(), REFERENCE[name].max()] for name in GOOD}
    ends |= {name: [REFERENCE[name].max(), 0.0] for name in BAD}
    assert SCORE.transform(pd.DataFrame(ends))["score"].tolist() == [0, 1000]


ROWS = st.tuples(*(st.floats(-50, 2000) for _ in GOOD), *(st.floats(0, 5) | st.just(0.0) for _ in BAD))


@settings(max_examples=50)
@given(row=ROWS, column=st.sampled_from([*GOOD, *BAD]), step=st.floats(0, 500))
def test_the_score_is_monotone_in_every_column(row: tuple[float, ...], column: str, step: float) -> None:
    before = pd.DataFrame([row], columns=[*GOOD, *BAD])
    after = before.assign(**{column: before[column] + step})
    scores = [SCORE.transform(frame)["score"].iloc[0] for frame in (before, after)]
    assert scores == sorted(scores, reverse=column in BAD)
    assert 0 <= scores[0] <= 1000


def test_row_order_leaves_no_trace() -> None:
    mixed = REFERENCE.sample(frac=1, random_state=3)
    again = MembershipScore().fit(mixed)
    pd.testing.assert_frame_equal(again.scales_, SCORE.scales_, check_exact=True)
    pd.testing.assert_frame_equal(again.transform(mixed).loc[REFERENCE.index], SCORE.transform(REFERENCE))


@settings(max_examples=50)
@given(weights=st.lists(st.floats(0, 100), min_size=4, max_size=4).filter(lambda given: max(given) > 1e-3))
def test_points_are_whole_and_in_proportion_to_weights(weights: list[float]) -> None:
    named = dict(zip(WEIGHTS, weights, strict=True))
    points = MembershipScore(weights=named).fit(REFERENCE).points_
    exact = pd.Series(named)[points.index] / sum(weights) * 1000
    assert points.sum() == 1000
    assert (points - exact).abs().max() < 1
    assert set(points.index) == {part for part, weight in named.items() if weight > 0}


# --- what is missing ---


@pytest.mark.parametrize(
    ("lacking", "points", "left_out"),
    [
        ([], {"spend": 400, "frequency": 300, "breadth": 200, "reputation": 100}, set()),
        (["categories_365d"], {"spend": 500, "frequency": 375, "reputation": 125}, {"breadth"}),
        (["complaints"], {"spend": 400, "frequency": 300, "breadth": 200, "reputation": 100}, {"complaints"}),
        (
            ["complaints", "returned_share", "categories_365d"],
            {"spend": 571, "frequency": 429},
            {"breadth", "returns", "complaints", "reputation"},
        ),
    ],
)
def test_what_the_log_lacks_is_left_out_and_said(
    lacking: list[str], points: dict[str, int], left_out: set[str]
) -> None:
    score = MembershipScore().fit(REFERENCE.drop(columns=lacking))
    assert score.points_.to_dict() == points
    assert set(score.left_out_) == left_out
    scored = score.transform(REFERENCE)
    assert scored["score"].max() <= 1000
    assert [name for name in scored if name.endswith("_points")] == [f"{part}_points" for part in points]


def test_a_column_that_was_fitted_must_be_there() -> None:
    with pytest.raises(SchemaError, match=r"scores need a column `complaints`(.|\n)*membership_features"):
        SCORE.transform(REFERENCE.drop(columns="complaints"))


# --- tiers ---


def test_a_score_at_a_bound_belongs_to_the_tier() -> None:
    reference = pd.DataFrame({"spend_365d": [0.0, 1000.0]})
    score = MembershipScore(weights={"spend": 1}, tiers={"best": 800.5, "good": 400, "rest": 0}).fit(reference)
    knots = score.scales_
    asked = pd.DataFrame({"spend_365d": [0.0, 1000.0]})
    assert score.transform(asked)["tier"].tolist() == ["rest", "best"]
    middle = pd.DataFrame({"spend_365d": np.arange(0.0, 1001.0)})
    found = score.transform(middle)
    expected = ["best" if s >= 801 else "good" if s >= 400 else "rest" for s in found["score"]]
    assert found["tier"].tolist() == expected
    assert {399, 400, 800, 801} <= set(found["score"]), knots
    assert found["tier"].dtype == pd.CategoricalDtype(["best", "good", "rest"], ordered=True)


def test_tiers_are_those_stated() -> None:
    assert dict(TIERS) == MembershipScore().tiers == {"platinum": 800, "gold": 600, "silver": 400, "bronze": 0}


# --- kept ---


@pytest.mark.parametrize("lacking", [[], ["categories_365d", "returned_share"]])
def test_a_stored_score_is_the_same_to_the_last_bit(lacking: list[str]) -> None:
    frame = REFERENCE.drop(columns=lacking).rename(columns={"spend_365d": "spend"})
    score = MembershipScore(spend="spend", weights={"spend": 1 / 3, "reputation": 0.7}).fit(frame / 7)
    content = json.loads(json.dumps(score.to_dict()))
    again = MembershipScore.from_dict(content)
    assert again.to_dict() == score.to_dict()
    for found, kept in ((again.scales_, score.scales_), (again.transform(frame), score.transform(frame))):
        pd.testing.assert_frame_equal(found, kept, check_exact=True)
    pd.testing.assert_series_equal(again.points_, score.points_)
    assert (again.left_out_, again.weights, again.tiers) == (score.left_out_, score.weights, score.tiers)


@pytest.mark.parametrize("content", [{}, [], {"weights": {}, "tiers": {}}])
def test_what_is_no_stored_score_is_told(content: Any) -> None:
    with pytest.raises(ModelError, match=r"A stored membership score must hold \['columns', 'left_out', 'points'"):
        MembershipScore.from_dict(content)


# --- features of a log ---


def test_features_come_from_the_log_and_its_past() -> None:
    cutoff = pd.Timestamp("2024-06-01")
    bought, acted = awkward_shop(5, cutoff=cutoff, n_customers=80)
    bought = with_details(bought, 6)
    found = membership_features(CustomerLog(bought, acted), as_of=cutoff, complaint_types=["cart", "view"])
    assert found.columns.tolist() == ["spend_365d", "orders_365d", "categories_365d", "returned_share", "complaints"]
    year = cutoff - pd.Timedelta(days=365)
    lines = bought[(bought["timestamp"] < cutoff) & (bought["timestamp"] >= year)]
    paid = lines.groupby("customer_id")["amount"].sum().reindex(found.index, fill_value=0.0)
    kinds = lines[lines["amount"] >= 0].groupby("customer_id")["category"].nunique()
    told = acted[acted["event_type"].isin(["cart", "view"]) & (acted["timestamp"] < cutoff)]
    told = told[told["timestamp"] >= year].groupby("customer_id").size()
    np.testing.assert_allclose(found["spend_365d"], paid, atol=1e-9)
    np.testing.assert_array_equal(found["categories_365d"], kinds.reindex(found.index, fill_value=0))
    np.testing.assert_array_equal(found["complaints"], told.reindex(found.index, fill_value=0))
    cut = CustomerLog(bought[bought["timestamp"] < cutoff], acted[acted["timestamp"] < cutoff])
    again = membership_features(cut, as_of=cutoff, complaint_types=["view", "cart"])
    pd.testing.assert_frame_equal(again, found, check_exact=True)


def test_a_complaint_to_come_makes_no_column() -> None:
    bought = pd.DataFrame({"customer_id": ["ann"], "timestamp": ["2024-01-01"], "amount": [5.0]})
    acted = pd.DataFrame({"customer_id": ["ann"], "timestamp": ["2024-02-01"], "event_type": ["complaint"]})
    log = CustomerLog(bought, acted)
    known = [membership_features(log, as_of=day).columns.tolist() for day in ("2024-02-01", "2024-02-02")]
    assert known == [[*GOOD[:2], "returned_share"], [*GOOD[:2], *BAD]]


# --- the display ---


def test_the_display_shows_the_scores_and_what_tiers_are_made_of() -> None:
    drawn = ScoreDisplay.from_score(SCORE, REFERENCE).plot()
    scored = SCORE.transform(REFERENCE)
    counts = [bar.get_height() for bar in drawn.ax_.patches]
    assert counts == np.histogram(scored["score"], bins=40, range=(0, 1000))[0].tolist()
    assert [line.get_xdata()[0] for line in drawn.ax_.lines] == [800, 600, 400]
    widths = np.array([bar.get_width() for bar in drawn.tiers_ax_.patches]).reshape(4, 4)
    for row, tier in enumerate(TIERS):
        mine = scored[scored["tier"] == tier]
        np.testing.assert_allclose(widths[:, row], mine[POINTS].mean())
        assert drawn.tiers_ax_.get_yticklabels()[row].get_text() == f"{tier}\n{len(mine) / 1000:.0%} of customers"
    assert drawn.figure_ is drawn.tiers_ax_.figure


def test_the_display_draws_tiers_without_customers_and_long_names() -> None:
    tiers = {"a name that is longer than any line": 990, "rest": 0}
    score = MembershipScore(tiers=tiers).fit(REFERENCE)
    drawn = ScoreDisplay(score.transform(REFERENCE.head(0)), tiers=tiers).plot()
    drawn.figure_.canvas.draw()
    written = drawn.ax_.texts[0].get_text()
    assert written.startswith("a name that is longer")
    assert (len(written), written[-1]) == (24, "…")
    labels = [text.get_text() for text in drawn.tiers_ax_.get_yticklabels()]
    assert labels == ["a name that is\nlonger than any\nline\n0% of customers", "rest\n0% of customers"]
    alone = ScoreDisplay(score.transform(REFERENCE), tiers=tiers).plot(drawn.ax_)
    assert alone.tiers_ax_ is None


def test_the_display_needs_scores_and_tiers() -> None:
    with pytest.raises(SchemaError, match="scores need a column `tier`"):
        ScoreDisplay(pd.DataFrame({"score": [1]}), tiers=TIERS)


# --- errors ---


@pytest.mark.parametrize(
    ("given_settings", "told"),
    [
        ({"weights": {"spend": -0.1}}, r"`weights\['spend'\]` must be finite and at least 0; got -0.1"),
        ({"weights": {"spend": NAN}}, r"`weights\['spend'\]` must be finite and at least 0"),
        ({"weights": {"spend": 0.0}}, "`weights` must hold one above 0"),
        ({"weights": {}}, "`weights` must hold one above 0"),
        ({"weights": {"monetary": 1}}, r"`weights` must name parts out of \['breadth', 'frequency'"),
        ({"tiers": {}}, "`tiers` must hold least scores that fall from at most 1000 to 0"),
        ({"tiers": {"gold": 1001, "rest": 0}}, "`tiers` must hold least scores"),
        ({"tiers": {"gold": 500, "rest": 1}}, "`tiers` must hold least scores"),
        ({"tiers": {"gold": 500, "silver": 500, "rest": 0}}, "`tiers` must hold least scores"),
        ({"tiers": {"gold": NAN, "rest": 0}}, "`tiers` must hold least scores"),
    ],
)
def test_settings_are_checked(given_settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        MembershipScore(**given_settings)


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(SchemaError, match="must hold at least one customer"):
        MembershipScore().fit(REFERENCE.head(0))
    with pytest.raises(SchemaError, match="scores need a column `spend_365d`"):
        MembershipScore().fit(pd.DataFrame({"spend": [1.0]}))
    with pytest.raises(SchemaError, match="`spend_365d` must be finite"):
        MembershipScore().fit(REFERENCE.assign(spend_365d=NAN))
    with pytest.raises(SchemaError, match="`returned_share` must be at least 0"):
        MembershipScore().fit(REFERENCE.assign(returned_share=-0.1))
    with pytest.raises(SchemaError, match="`complaints` must be finite"):
        MembershipScore().fit(REFERENCE.assign(complaints=np.inf))


def test_an_unfitted_score_says_so() -> None:
    for call in (lambda: MembershipScore().transform(REFERENCE), MembershipScore().to_dict):
        with pytest.raises(NotFittedError, match="MembershipScore has no scales yet"):
            call()
