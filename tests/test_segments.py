"""RFM segments: every code named once, documented bins on skewed data, thresholds fitted once."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from crm_ml.decisions import RFMSegments
from crm_ml.decisions.segments import SEGMENT_TABLE, TiedScoresWarning
from crm_ml.decisions.segments.rfm import name_segments
from crm_ml.errors import NotFittedError, SchemaError

CODES = np.array(list(itertools.product(range(1, 6), repeat=3)))


TIES = pytest.mark.filterwarnings("ignore::crm_ml.decisions.segments.TiedScoresWarning")
"""For tests in which most customers bought once."""


def make_features(count: int = 1_000, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frequency = np.where(np.arange(count) < 0.8 * count, 1, rng.integers(2, 9, count))
    frame = pd.DataFrame(
        {
            "recency_days": rng.integers(0, 700, count),
            "frequency": frequency,
            "monetary": frequency * rng.lognormal(4, 1, count),
        },
        index=pd.Index([f"c{i}" for i in range(count)], name="customer_id"),
    )
    return frame.sample(frac=1, random_state=seed)


def test_every_code_is_covered_exactly_once():
    for r, f, m in CODES:
        takers = [
            rule.segment
            for rule in SEGMENT_TABLE
            if rule.r_lowest <= r <= rule.r_highest and rule.fm_lowest <= (f + m) / 2 <= rule.fm_highest
        ]
        assert len(takers) == 1, (r, f, m, takers)
    named = name_segments(*CODES.T)
    assert len(named) == 125
    assert set(named) == {rule.segment for rule in SEGMENT_TABLE}
    assert len(set(named)) == len(SEGMENT_TABLE) == 11


@pytest.mark.parametrize(
    ("code", "segment"),
    [
        ((5, 5, 5), "champions"),
        ((5, 4, 4), "champions"),
        ((4, 5, 5), "loyal"),
        ((3, 4, 4), "loyal"),
        ((5, 3, 4), "potential loyalists"),
        ((4, 2, 2), "potential loyalists"),
        ((5, 1, 2), "new customers"),
        ((4, 1, 1), "promising"),
        ((3, 3, 3), "needs attention"),
        ((3, 2, 3), "about to sleep"),
        ((1, 5, 5), "cannot lose them"),
        ((2, 4, 5), "cannot lose them"),
        ((2, 4, 4), "at risk"),
        ((1, 3, 3), "at risk"),
        ((2, 2, 3), "hibernating"),
        ((1, 1, 1), "lost"),
    ],
)
def test_corners_of_the_table(code, segment):
    assert name_segments(*np.array(code)[:, None]).to_list() == [segment]


def test_distinct_values_fall_into_five_equal_bins():
    features = pd.DataFrame({name: np.arange(100.0) for name in ("recency_days", "frequency", "monetary")})
    scores = RFMSegments().fit(features).transform(features)
    assert scores["r_score"].to_list() == list(np.repeat([5, 4, 3, 2, 1], 20))
    assert scores["f_score"].to_list() == scores["m_score"].to_list() == list(np.repeat([1, 2, 3, 4, 5], 20))


def test_equal_values_share_a_score_where_most_bought_once():
    features = make_features()
    told = r"80% of 1,000 customers have the frequency 1, so .* from the smallest value up, only \[1, 5\] are used"
    with pytest.warns(TiedScoresWarning, match=told):
        scores = RFMSegments().fit(features).transform(features)
    once = features["frequency"] == 1
    assert once.mean() == 0.8
    assert (scores.loc[once, "f_score"] == 1).all()
    assert (scores.loc[~once, "f_score"] == 5).all()
    for column, score in (("recency_days", "r_score"), ("frequency", "f_score"), ("monetary", "m_score")):
        assert scores.groupby(features[column])[score].nunique().max() == 1


@TIES
def test_a_value_on_a_threshold_belongs_with_the_smaller():
    segments = RFMSegments().fit(make_features())
    for column, score, above, on in (
        ("recency_days", "r_score", (4, 3, 2, 1), (5, 4, 3, 2)),
        ("monetary", "m_score", (2, 3, 4, 5), (1, 2, 3, 4)),
    ):
        edges = segments.thresholds_[column].to_numpy()
        frame = pd.DataFrame({"recency_days": 1.0, "frequency": 1.0, "monetary": 1.0}, index=range(4))
        assert segments.transform(frame.assign(**{column: edges}))[score].to_list() == list(on)
        beyond = frame.assign(**{column: np.nextafter(edges.astype(float), np.inf)})
        assert segments.transform(beyond)[score].to_list() == list(above)


def test_one_value_for_all_is_one_bin():
    features = pd.DataFrame({"recency_days": [3.0] * 4, "frequency": [1] * 4, "monetary": [9.0] * 4})
    with pytest.warns(TiedScoresWarning) as warned:
        scores = RFMSegments().fit(features).transform(features)
    assert [str(warning.message).split(",")[0] for warning in warned] == [
        "100% of 4 customers have the recency_days 3",
        "100% of 4 customers have the frequency 1",
        "100% of 4 customers have the monetary 9",
    ]
    assert all("only [1] are used" in str(warning.message) for warning in warned)
    assert scores.drop_duplicates().iloc[0, :3].to_list() == [5, 1, 1]
    assert len(scores.drop_duplicates()) == 1


def test_a_warning_names_the_bins_that_are_used_and_distinct_thresholds_bring_none():
    counts = [1] * 5 + [2, 3, 7, 8, 9]
    frame = pd.DataFrame({"recency_days": range(10), "frequency": counts, "monetary": range(10)})
    with pytest.warns(TiedScoresWarning, match=r"50% of 10 customers have the frequency 1, .*only \[1, 3, 4, 5\] are"):
        scores = RFMSegments().fit(frame).transform(frame)
    assert sorted(set(scores["f_score"])) == [1, 3, 4, 5]
    RFMSegments().fit(frame.assign(frequency=[1, 1, 1, 2, 2, 3, 7, 8, 9, 9]))


@TIES
def test_thresholds_are_values_that_occurred():
    features = make_features()
    segments = RFMSegments().fit(features)
    assert segments.thresholds_.index.to_list() == [0.2, 0.4, 0.6, 0.8]
    for column in segments.thresholds_:
        assert segments.thresholds_[column].isin(features[column]).all()
        shares = [(features[column] <= edge).mean() for edge in segments.thresholds_[column]]
        assert (np.array(shares) >= [0.2, 0.4, 0.6, 0.8]).all()


@TIES
def test_other_customers_are_held_against_the_stored_thresholds():
    features, others = make_features(), make_features(seed=1)
    segments = RFMSegments().fit(features)
    before = segments.thresholds_.copy()
    together = segments.transform(pd.concat([features, others]))
    pd.testing.assert_frame_equal(segments.transform(others), together.iloc[len(features) :])
    pd.testing.assert_frame_equal(segments.thresholds_, before)
    richest = others.assign(monetary=1e9)
    assert (segments.transform(richest)["m_score"] == 5).all()


@TIES
def test_result_is_indexed_like_the_input_and_rows_do_not_matter():
    features = make_features()
    scores = RFMSegments().fit(features).transform(features)
    assert scores.index.equals(features.index)
    assert scores.columns.to_list() == ["r_score", "f_score", "m_score", "segment"]
    shuffled = features.sample(frac=1, random_state=5)
    again = RFMSegments().fit(shuffled).transform(shuffled)
    pd.testing.assert_frame_equal(again.loc[scores.index], scores)
    assert RFMSegments().fit(features).transform(features.iloc[:0]).empty


@TIES
def test_columns_can_be_named_and_others_are_not_looked_at():
    features = make_features()
    renamed = features.rename(columns={"recency_days": "days", "frequency": "orders", "monetary": "spend"})
    renamed["note"] = "text"
    segments = RFMSegments(recency="days", frequency="orders", monetary="spend").fit(renamed)
    expected = RFMSegments().fit(features).transform(features)
    pd.testing.assert_frame_equal(segments.transform(renamed), expected)


@TIES
def test_what_cannot_be_scored_is_refused():
    features = make_features(10)
    with pytest.raises(NotFittedError, match="Call fit"):
        RFMSegments().transform(features)
    with pytest.raises(SchemaError, match="at least one customer"):
        RFMSegments().fit(features.iloc[:0])
    with pytest.raises(SchemaError, match=r"need a column `monetary`.*nearest: 'monetory'"):
        RFMSegments().fit(features.rename(columns={"monetary": "monetory"}))
    features["frequency"] = features["frequency"].astype(float)
    features.iloc[3, 1] = np.nan
    with pytest.raises(SchemaError, match=r"`frequency` must be finite. 1 of 10 customers .* rows: \[3\]"):
        RFMSegments().fit(features)
