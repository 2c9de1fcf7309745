"""Histories are the policy applied month after month, know nothing of the future, and reconcile with head counts."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_ml import CustomerLog
from crm_ml.decisions.segments import (
    Segment,
    SegmentPolicy,
    change_rates,
    flows,
    head_counts,
    migration,
    migration_shares,
    segment_history,
)
from crm_ml.errors import NotFittedError, SchemaError
from crm_ml.features import DayStreak, Threshold, all_of
from crm_ml.plots.customers import FlowsDisplay, MigrationDisplay, SegmentSharesDisplay

END = pd.Timestamp("2024-03-01", tz="UTC")
CUTOFFS = pd.date_range(end=END, periods=6, freq="MS")
BOUGHT, ACTED = awkward_shop(31, cutoff=pd.Timestamp("2024-03-01"), n_customers=80)
POLICY = SegmentPolicy(
    [
        Segment(
            "best",
            all_of(Threshold("spend_365d", ">=", quantile=0.8), Threshold("recency_days", "<=", 60)),
            keep=Threshold("spend_365d", ">", mean=0.8),
            minimum_stay_days=45,
        ),
        Segment("busy", Threshold("streak", ">=", 1), only_from=("good", "others")),
        Segment("good", Threshold("orders_90d", ">=", 2), keep=Threshold("orders_90d", ">=", 1)),
        Segment("falling", Threshold("interaction_decline", "<=", -0.5), minimum_stay_days=31),
    ],
    features=[DayStreak("streak", ("view", "cart"), window_days=20)],
)


def fitted(log: CustomerLog) -> SegmentPolicy:
    policy = dataclasses.replace(POLICY)
    return policy.fit(policy.build_features(log, as_of=CUTOFFS[0]))


LOG = CustomerLog(BOUGHT, ACTED, n_buckets=3)
HISTORY = segment_history(LOG, fitted(LOG), cutoffs=CUTOFFS)


def test_a_history_is_the_policy_applied_month_after_month() -> None:
    policy, previous = fitted(LOG), None
    for cutoff in CUTOFFS:
        previous = policy.transform(policy.build_features(LOG, as_of=cutoff), previous=previous, as_of=cutoff)
        known = HISTORY.segments[cutoff].dropna()
        pd.testing.assert_series_equal(known, previous["segment"], check_names=False)
    pd.testing.assert_frame_equal(HISTORY.latest, previous)
    assert HISTORY.segments.index.equals(previous.index)
    assert HISTORY.segments.columns.equals(pd.DatetimeIndex(CUTOFFS.as_unit("us"), name="cutoff"))
    assert HISTORY.policy == policy
    assert HISTORY.segments.isna().any(axis=None)
    assert (head_counts(HISTORY.segments).sum() > 0).all()
    assert (change_rates(HISTORY.segments)[["up", "down"]].sum() > 5).all()
    bare = dataclasses.replace(POLICY, segments=[Segment(s.name, s.rule) for s in POLICY.segments])
    bare.fit(bare.build_features(LOG, as_of=CUTOFFS[0]))
    assert not segment_history(LOG, bare, cutoffs=CUTOFFS).segments.equals(HISTORY.segments)


@settings(max_examples=4)
@given(seed=st.integers(0, 10_000), which=st.integers(1, 5), n_buckets=st.integers(1, 9))
def test_nothing_at_or_after_a_cutoff_changes_what_was(seed: int, which: int, n_buckets: int) -> None:
    draw, cutoff = np.random.default_rng(seed), CUTOFFS[which].tz_localize(None)
    changed = []
    for frame in (BOUGHT, ACTED):
        past, future = frame[frame["timestamp"] < cutoff], frame[frame["timestamp"] >= cutoff]
        new = past.sample(20, random_state=seed).assign(timestamp=cutoff)
        changed.append(pd.concat([past, new, future.sample(frac=float(draw.random()), random_state=seed)]))
    log = CustomerLog(*changed, n_buckets=n_buckets)
    found = segment_history(log, fitted(log), cutoffs=CUTOFFS[: which + 1])
    before = HISTORY.segments[CUTOFFS[: which + 1]].dropna(how="all")
    pd.testing.assert_frame_equal(found.segments, before.set_axis(found.segments.columns, axis=1))


def test_what_has_no_history_is_refused() -> None:
    with pytest.raises(NotFittedError, match="quantiles or means that are not yet numbers"):
        segment_history(LOG, dataclasses.replace(POLICY), cutoffs=CUTOFFS)
    policy = fitted(LOG)
    with pytest.raises(SchemaError, match="`cutoffs` must be one or more different moments"):
        segment_history(LOG, policy, cutoffs=[END, END])
    with pytest.raises(SchemaError, match="`cutoffs` must be one or more different moments"):
        segment_history(LOG, policy, cutoffs=[])
    numbers = SegmentPolicy([Segment("recent", Threshold("recency_days", "<=", 30))])
    with pytest.raises(SchemaError, match="Segments need a purchase before `as_of` 2000-01-01"):
        segment_history(LOG, numbers, cutoffs=["2000-01-01"])
    with pytest.raises(SchemaError, match="need a column `churn_probability`"):
        segment_history(LOG, SegmentPolicy([Segment("a", Threshold("churn_probability", ">", 0.5))]), cutoffs=[END])


# --- moves ---

NAMES = ["gold", "silver", "rest"]
MONTHS = pd.date_range("2024-01-01", periods=4, freq="MS", tz="UTC", name="cutoff")


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.lists(st.lists(st.sampled_from(NAMES), min_size=4, max_size=4), min_size=1, max_size=30))
    known_from = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    rows = [[None] * first + row[first:] for row, first in zip(rows, known_from, strict=True)]
    index = pd.Index([f"c{number}" for number in range(len(rows))], name="customer_id")
    return pd.DataFrame(rows, columns=MONTHS, index=index).astype(pd.CategoricalDtype(NAMES, ordered=True))


@settings(max_examples=20)
@given(history=histories(), span=st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] < pair[1]))
def test_moves_are_those_of_every_customer_and_reconcile(history: pd.DataFrame, span: tuple[int, int]) -> None:
    start, end = MONTHS[span[0]], MONTHS[span[1]]
    counts = migration(history, start=start, end=end)
    assert counts.index.tolist() == [*NAMES, "arrived"]
    assert counts.columns.tolist() == NAMES
    pairs = list(zip(history[start].astype(object), history[end].astype(object), strict=True))
    for source in counts.index:
        for target in counts.columns:
            from_there = [to for was, to in pairs if (source == "arrived" if pd.isna(was) else was == source)]
            assert counts.loc[source, target] == from_there.count(target)
    heads = head_counts(history)
    assert counts.sum().tolist() == heads.loc[end].tolist()
    assert counts.iloc[:-1].sum(axis=1).tolist() == heads.loc[start].tolist()
    sums = migration_shares(counts).sum(axis=1, min_count=1)
    np.testing.assert_allclose(sums[counts.sum(axis=1) > 0], 1.0)
    assert sums[counts.sum(axis=1) == 0].isna().all()


@settings(max_examples=15)
@given(history=histories())
def test_flows_and_rates_agree_with_the_counts(history: pd.DataFrame) -> None:
    moved, rates = flows(history), change_rates(history)
    assert rates.index.equals(MONTHS[1:])
    assert (moved["customers"] > 0).all()
    for start, end in itertools.pairwise(MONTHS):
        counts = migration(history, start=start, end=end)
        step = moved[(moved["start"] == start) & (moved["end"] == end)]
        told = {(row["from"], row["to"]): row["customers"] for _, row in step.iterrows()}
        assert told == {(was, now): count for was, row in counts.iterrows() for now, count in row.items() if count}
        known = history[history[start].notna()]
        was, now = (known[month].cat.codes for month in (start, end))
        row = rates.loc[end]
        assert (row["customers"], row["up"], row["down"]) == (len(known), (now < was).sum(), (now > was).sum())
        np.testing.assert_equal(row["change_rate"], (now != was).mean())
    pd.testing.assert_frame_equal(migration(history), migration(history, start=MONTHS[2], end=MONTHS[3]))


def two() -> pd.DataFrame:
    dtype = pd.CategoricalDtype(NAMES, ordered=True)
    return pd.DataFrame([["gold", "rest"], [None, "gold"]], columns=MONTHS[:2]).astype(dtype)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: migration(two().set_axis(["a", "b"], axis=1)),
            r"a column per cutoff, with a zone; it has \['a', 'b'\]",
        ),
        (lambda: migration(two().tz_localize(None, axis=1)), "a column per cutoff, with a zone"),
        (lambda: migration(two()[MONTHS[[1, 0]]]), "the cutoffs of a history must ascend; they are .*2024-02-01"),
        (lambda: migration(two().astype(object)), r"be of one ordered categorical; they are of \['object'\]"),
        (lambda: migration(two().astype(pd.CategoricalDtype(NAMES))), "be of one ordered categorical"),
        (lambda: migration(two().astype(pd.CategoricalDtype([*NAMES, "arrived"], ordered=True))), "called 'arrived'"),
        (
            lambda: migration(two().iloc[:, [1, 0]].set_axis(MONTHS[1:3], axis=1)),
            r"1 of 2 are in one at 2024-02",
        ),
        (lambda: migration(two(), start=MONTHS[2]), "`start` must be a cutoff of the history, .* got 2024-03-01"),
        (lambda: migration(two(), end=MONTHS[2]), "`end` must be a cutoff of the history"),
        (lambda: migration(two(), start=MONTHS[1], end=MONTHS[0]), "from one cutoff to a later one"),
        (lambda: migration(two(), start=MONTHS[1]), "from one cutoff to a later one"),
        (lambda: migration(two().iloc[:, :1]), "from one cutoff to a later one"),
        (lambda: flows(two().iloc[:, :1]), "between two cutoffs; the history has 1"),
        (lambda: FlowsDisplay(flows(two()).drop(columns="end")), "flows need a column `end`"),
    ],
)
def test_what_is_no_history_is_told(make: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        make()


# --- displays ---


def test_displays_draw_what_their_frames_say() -> None:
    history = HISTORY.segments
    matrix = MigrationDisplay.from_history(history).plot()
    counts = migration(history)
    np.testing.assert_allclose(matrix.ax_.collections[0].get_array(), migration_shares(counts[counts.sum(axis=1) > 0]))
    assert len(matrix.ax_.texts) == (counts.to_numpy() > 0).sum()
    bands = FlowsDisplay.from_history(history).plot()
    moved = flows(history)
    assert len([patch for patch in bands.ax_.patches if type(patch).__name__ == "PathPatch"]) == len(moved)
    bars = [patch for patch in bands.ax_.patches if type(patch).__name__ == "Rectangle"]
    last = head_counts(history).iloc[-1]
    assert [bar.get_height() for bar in bars[-(last > 0).sum() :]] == last[last > 0].tolist()
    assert bars[-1].get_y() == 0
    shares = SegmentSharesDisplay.from_history(history).plot()
    heights = np.array([bar.get_height() for bar in shares.ax_.patches]).reshape(len(last), -1)
    heads = head_counts(history)
    np.testing.assert_allclose(heights.T, heads.div(heads.sum(axis=1), axis=0))
    assert [text.get_text().rpartition(" ")[0] for text in shares.ax_.texts] == last.index[last > 0].tolist()[::-1]


def test_bands_fill_the_bars_they_join() -> None:
    names = pd.CategoricalDtype([*NAMES, "arrived"], ordered=True)
    moved = pd.DataFrame(
        {
            "start": MONTHS[0],
            "end": MONTHS[1],
            "from": ["gold", "gold", "rest", "arrived"],
            "to": ["gold", "rest", "gold", "rest"],
            "customers": [6, 2, 3, 4],
        }
    ).astype({"from": names, "to": names})
    ax = FlowsDisplay(moved).plot().ax_
    bands = [patch.get_path().vertices for patch in ax.patches if type(patch).__name__ == "PathPatch"]
    assert [(band[0, 1], band[3, 1]) for band in bands] == [(15, 15), (9, 6), (7, 9), (4, 4)]
    assert [band[3, 1] - band[4, 1] for band in bands] == [6, 2, 3, 4]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["stayed", "rose", "fell", "arrived"]
