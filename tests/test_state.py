"""Yesterday's state and today's events give today's features, as a log with all events does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop, with_details
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_ml import CustomerLog
from crm_ml.errors import ModelError, SchemaError
from crm_ml.features import (
    RFM,
    ActivityDecline,
    DayStreak,
    EventCount,
    Feature,
    FeatureState,
    InteractionDecline,
    Past,
    build_features,
)

CUTOFF = pd.Timestamp("2024-03-01")
BOUGHT, ACTED = awkward_shop(21, cutoff=CUTOFF, n_customers=60)
BOUGHT = with_details(BOUGHT, 22)
EVERYTHING: list[Any] = [
    "rfm", "interval", "season", "category", "basket", "discount",
    InteractionDecline(window_days=20, event_types=("view",)),
    InteractionDecline(window_days=7, earlier_windows=2, half_life_days=9.5, event_types=("cart",)),
    EventCount("score", {"view": 1, "cart": 5}, 45, by_value=True),
    DayStreak("streak", ("view", "cart"), window_days=45),
    ActivityDecline(window_days=20),
]  # fmt: skip


def between(frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    return frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)]


def started(folder: Path, as_of: pd.Timestamp, **how: Any) -> FeatureState:
    return FeatureState.start(CustomerLog(BOUGHT, ACTED, **how), folder / "start", as_of=as_of, features=EVERYTHING)


@settings(max_examples=3)
@given(steps=st.lists(st.integers(1, 90 * 24), min_size=1, max_size=5), n_buckets=st.integers(1, 5))
def test_day_by_day_is_all_at_once(steps: list[int], n_buckets: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("states")
    known = CUTOFF - pd.Timedelta(days=120)
    state = started(folder, known, n_buckets=n_buckets)
    log = CustomerLog(BOUGHT, ACTED)
    for number, hours in enumerate(steps):
        now = known + pd.Timedelta(hours=hours)
        today = (between(BOUGHT, known, now), between(ACTED, known, now))
        state = state.advance(folder / f"{number}", *today, as_of=now)
        whole = build_features(log, as_of=now, features=state.features)
        pd.testing.assert_frame_equal(state.build_features(), whole, check_exact=True)
        known = now
    again = FeatureState.open(state.folder)
    assert (again.as_of, again.features) == (now.tz_localize("UTC"), state.features)
    pd.testing.assert_frame_equal(again.build_features(), whole, check_exact=True)


def test_old_interactions_are_folded_and_the_future_is_left_out(tmp_path: Path) -> None:
    state = started(tmp_path, CUTOFF, n_buckets=1)
    (bucket,) = state.log.map(lambda bucket: bucket)
    assert bucket.interactions.time.min() >= (CUTOFF - pd.Timedelta(days=80)).value // 1000
    assert bucket.interactions.time.max() < CUTOFF.value // 1000
    assert bucket.transactions.time.max() < CUTOFF.value // 1000
    older = ACTED[ACTED["timestamp"] < CUTOFF - pd.Timedelta(days=80)]
    assert len(bucket.folded.time) == len(older.groupby(["customer_id", "event_type"]))
    assert len(bucket.folded.time) > 10
    assert bucket.half_lives_days == (9.5, 30.0)


def test_new_customers_types_and_categories_find_their_place(tmp_path: Path) -> None:
    first = pd.DataFrame({"customer_id": ["m"], "timestamp": ["2024-01-01"], "amount": [1.0], "category": ["m"]})
    log = CustomerLog(first, first.assign(event_type="m")[["customer_id", "timestamp", "event_type"]])
    features = [
        "category",
        InteractionDecline(event_types=("m",)),
        EventCount("n", {"a": 1, "z": 10}, 30, absent="zero"),
    ]
    state = FeatureState.start(log, tmp_path / "0", as_of="2024-01-02", features=features)
    names = ["a", "m", "z"]
    bought = pd.DataFrame({"customer_id": names, "timestamp": "2024-01-02", "amount": [5.0, 6, 7], "category": names})
    acted = pd.DataFrame({"customer_id": ["z", "m", "a"], "timestamp": "2024-01-02", "event_type": ["z", "m", "a"]})
    found = state.advance(tmp_path / "1", bought, acted, as_of="2024-01-03").build_features()
    assert found.index.tolist() == ["a", "m", "z"]
    assert found["n"].tolist() == [1.0, 0.0, 10.0]
    assert found["m_30d"].tolist() == [0.0, 2.0, 0.0]
    assert found["category_m_spend_90d"].tolist() == [0.0, 7.0, 0.0]


def test_a_later_line_of_an_old_order_is_no_new_purchase(tmp_path: Path) -> None:
    line = pd.DataFrame({"customer_id": ["a"], "timestamp": ["2020-01-01"], "amount": [50.0], "order_id": ["o1"]})
    state = FeatureState.start(CustomerLog(line), tmp_path / "0", as_of="2021-01-01", features="rfm")
    later = line.assign(timestamp="2021-01-01", amount=3.0)
    found = state.advance(tmp_path / "1", later, as_of="2021-02-01").build_features().loc["a"]
    assert (found["frequency"], found["orders_365d"], found["spend"]) == (0, 0, 53.0)


@pytest.mark.parametrize("returns", ["net", "ignore"])
def test_days_without_events_and_the_handling_of_returns_are_kept(returns: Any, tmp_path: Path) -> None:
    log = CustomerLog(BOUGHT, returns=returns)
    state = FeatureState.start(log, tmp_path / "0", as_of=CUTOFF, features=[RFM()])
    state = state.advance(tmp_path / "1", as_of=CUTOFF + pd.Timedelta(days=1))
    state = state.advance(tmp_path / "2", BOUGHT.head(0), ACTED.head(0), as_of=CUTOFF + pd.Timedelta(days=2))
    whole = build_features(
        CustomerLog(BOUGHT[BOUGHT["timestamp"] < CUTOFF], returns=returns), as_of=state.as_of, features=[RFM()]
    )
    pd.testing.assert_frame_equal(state.build_features(), whole, check_exact=True)


def test_features_are_written_too(tmp_path: Path) -> None:
    state = started(tmp_path, CUTOFF)
    written = pd.read_parquet(state.write_features(tmp_path / "features.parquet")).set_index("customer_id")
    pd.testing.assert_frame_equal(
        written.sort_index(), state.build_features(), check_index_type=False, check_exact=True
    )


def test_events_out_of_the_day_are_told_or_dropped_and_counted(tmp_path: Path) -> None:
    state = started(tmp_path, CUTOFF)
    one = BOUGHT.head(1)
    late, future = (one.assign(timestamp=CUTOFF + pd.Timedelta(days=days)) for days in (-1, 1))
    for rows, rule in (
        (late, "must not lie before the moment up to which"),
        (future, "must lie before the log's `as_of`"),
    ):
        with pytest.raises(
            SchemaError, match=rf"`timestamp` {rule}.*1 of 1 transactions break this, first rows: \[0\]"
        ):
            state.advance(tmp_path / "no", rows, as_of=CUTOFF + pd.Timedelta(days=1))
    on_time = one.assign(timestamp=CUTOFF)
    advanced = state.advance(
        tmp_path / "yes", pd.concat([late, on_time, future]), as_of=CUTOFF + pd.Timedelta(days=1), on_invalid="drop"
    )
    assert sum(advanced.dropped["transactions"].values()) == 2
    assert FeatureState.open(advanced.folder).dropped == advanced.dropped


def test_what_cannot_be_a_state_is_told(tmp_path: Path) -> None:
    state = started(tmp_path, CUTOFF)
    with pytest.raises(SchemaError, match=r"`as_of` must lie after the state's, 2024-03-01.*; got 2024-03-01"):
        state.advance(tmp_path / "1", as_of=CUTOFF)
    with pytest.raises(SchemaError, match=r"must be a new folder; it exists"):
        state.advance(state.folder, as_of=CUTOFF + pd.Timedelta(days=1))
    with pytest.raises(ModelError, match=r"must be a folder that holds a state; it is none"):
        FeatureState.open(tmp_path)
    description = state.folder / "state.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"format": 99}))
    with pytest.raises(ModelError, match=r"must be of format 1; it is of 99"):
        FeatureState.open(state.folder)


@dataclass(frozen=True)
class Boundless:
    """Looks at interactions of any age, and does not say how far back."""

    def describe(self) -> tuple[Feature, ...]:
        return (Feature("events", "events", "all events", "≥ 0"),)

    def build(self, past: Past) -> dict[str, Any]:
        return {"events": np.diff(past.interactions.offsets).astype(np.float64)}


def test_a_builder_that_may_look_back_for_ever_is_told(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"how far back they look at interactions; \['Boundless'\] do not"):
        FeatureState.start(CustomerLog(BOUGHT, ACTED), tmp_path / "0", as_of=CUTOFF, features=["rfm", Boundless()])


def test_what_was_cut_short_is_no_state_and_in_nobody_s_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = started(tmp_path, CUTOFF)
    day = CUTOFF + pd.Timedelta(days=1)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            state.advance(tmp_path / "1", as_of=day)
    assert not (tmp_path / "1").exists()
    again = state.advance(tmp_path / "1", as_of=day)
    assert again.as_of == day.tz_localize("UTC")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "start"]
