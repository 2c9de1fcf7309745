"""Nothing at or after a cutoff changes a bit of any feature at that cutoff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop, with_details
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_ml import CustomerLog
from crm_ml.features import (
    LABEL_COLUMNS,
    ActivityDecline,
    DayStreak,
    EventCount,
    InteractionDecline,
    PurchaseSummary,
    build_features,
    build_panel,
)

CUTOFF = pd.Timestamp("2024-03-01")
CUTOFFS = [CUTOFF - pd.Timedelta(days=45), CUTOFF - pd.Timedelta(days=15), CUTOFF]
BOUGHT, ACTED = awkward_shop(11, cutoff=CUTOFF, n_customers=48)
SHOP = (with_details(BOUGHT, 12), ACTED)
EVERYTHING = [
    "all",
    EventCount("score", {"view": 1, "cart": 5}, 45, by_value=True),
    DayStreak("streak", ("view", "cart")),
    ActivityDecline(),
]

Frames = tuple[pd.DataFrame, pd.DataFrame]
Bits = tuple[tuple[str, ...], tuple[str, ...], bytes]


def bits(frame: pd.DataFrame) -> Bits:
    """Give columns, index and the raw bytes of every number."""
    return tuple(frame.columns), tuple(frame.index.get_level_values(0)), frame.to_numpy(dtype=np.float64).tobytes()


def features_at(shop: Frames, cutoff: pd.Timestamp = CUTOFF, **how: Any) -> list[Bits]:
    log = CustomerLog(*shop, **how)
    return [bits(build_features(log, as_of=cutoff, features=f)) for f in (EVERYTHING, [PurchaseSummary()])]


def panel_features(shop: Frames, cutoffs: list[pd.Timestamp], **how: Any) -> list[Bits]:
    panel = build_panel(CustomerLog(*shop, **how), cutoffs=cutoffs, horizon_days=1, features=EVERYTHING)
    parts = panel.drop(columns=list(LABEL_COLUMNS)).groupby(level="cutoff")
    return [bits(part) for _, part in parts]


def tampered(shop: Frames, cutoff: pd.Timestamp, seed: int) -> Frames:
    """Change, delete, double and add events at and after a cutoff; leave those before it alone."""
    draw = np.random.default_rng(seed)
    made = []
    for frame in shop:
        future = frame["timestamp"] >= cutoff
        later = frame[future].copy()
        for column in later.columns.difference(["timestamp"]):
            values = later[column].to_numpy(dtype=object)
            later[column] = values[draw.permutation(len(values))]
        kept = later.sample(frac=float(draw.random()), random_state=seed)
        new = pd.concat([kept.sample(frac=0.5, random_state=seed), frame[~future].sample(9, random_state=seed)])
        new["customer_id"] = draw.choice([*frame["customer_id"].unique(), "a new one", "c000a", "zz"], len(new))
        days_later = [60, *draw.choice([0, 0, 1, 40], len(new) - 1)]  # the log ends late whatever is deleted
        new["timestamp"] = [cutoff + pd.Timedelta(int(days), "D") for days in days_later]
        if "amount" in new:
            new["amount"] = draw.normal(0, 1e6, len(new))
        else:
            new["event_type"] = draw.choice(["view", "a type never seen", "zebra"], len(new))
        made.append(pd.concat([frame[~future], kept, kept, new]).astype(frame.dtypes.to_dict()))
    return made[0], made[1]


def test_the_tampering_is_real() -> None:
    bought, acted = tampered(SHOP, CUTOFF, 1)
    past, future = bought["timestamp"] < CUTOFF, SHOP[0]["timestamp"] >= CUTOFF
    pd.testing.assert_frame_equal(bought[past], SHOP[0][~future])
    assert future.sum() > 20
    assert not bought[~past].equals(SHOP[0][future])
    assert "zebra" in set(acted["event_type"])
    assert (bought["timestamp"] == CUTOFF).any()
    after = CUTOFF + pd.Timedelta(days=20)
    assert features_at((bought, acted), after) != features_at(SHOP, after)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), n_buckets=st.integers(1, 9), threads=st.integers(1, 2))
def test_features_know_nothing_of_the_future(seed: int, n_buckets: int, threads: int) -> None:
    assert features_at(tampered(SHOP, CUTOFF, seed), n_buckets=n_buckets, threads=threads) == features_at(SHOP)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), which=st.integers(0, 2), n_buckets=st.integers(1, 5))
def test_each_cutoff_of_a_panel_knows_nothing_of_its_future(seed: int, which: int, n_buckets: int) -> None:
    changed = tampered(SHOP, CUTOFFS[which], seed)
    found = panel_features(changed, CUTOFFS, n_buckets=n_buckets)
    assert found[: which + 1] == panel_features(SHOP, CUTOFFS)[: which + 1]


@settings(max_examples=12)
@given(st.data())
def test_one_event_more_less_or_other_at_or_after_the_cutoff_changes_nothing(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from([0, 1]), label="table")
    frame = SHOP[table]
    later = frame.index[frame["timestamp"] >= CUTOFF].tolist()
    row = data.draw(st.sampled_from(later), label="row")
    what = data.draw(st.sampled_from(["delete", "double", "move", "give to another", "change"]), label="what")
    one = frame.loc[[row]]
    if what == "move":
        one = one.assign(timestamp=CUTOFF + pd.Timedelta(data.draw(st.integers(0, 10**13), label="us"), "us"))
    elif what == "give to another":
        one = one.assign(customer_id=data.draw(st.sampled_from(sorted(frame["customer_id"])), label="other"))
    elif what == "change" and table == 0:
        one = one.assign(amount=data.draw(st.floats(-1e9, 1e9), label="amount"), order_id=None, quantity=1e6)
    elif what == "change":
        one = one.assign(event_type="view", value=data.draw(st.floats(-1e9, 1e9), label="value"))
    parts = [frame.drop(index=row)] + ([] if what == "delete" else [one] * (2 if what == "double" else 1))
    changed = pd.concat(parts)
    assert features_at((changed, SHOP[1]) if table == 0 else (SHOP[0], changed)) == features_at(SHOP)


def test_a_future_that_never_comes_changes_nothing() -> None:
    cut = tuple(frame[frame["timestamp"] < CUTOFF] for frame in SHOP)
    assert features_at((cut[0], cut[1])) == features_at(SHOP)


def test_a_panel_has_the_columns_known_at_its_first_cutoff() -> None:
    bought, acted = SHOP
    late = acted.assign(event_type=acted["event_type"].mask(acted["timestamp"] >= CUTOFFS[1], "a late type"))
    log = CustomerLog(bought, late)
    assert "a late type" in log.event_types
    panel = build_panel(log, cutoffs=CUTOFFS, horizon_days=1)
    assert not [column for column in panel.columns if "late" in column]
    assert "a late type_30d" in build_features(log, as_of=CUTOFF).columns
    closed = [InteractionDecline(event_types=("a late type", "view"))]
    assert build_features(log, as_of=CUTOFFS[0], features=closed)["a late type_30d"].eq(0).all()


@settings(max_examples=5)
@given(seed=st.integers(0, 10_000), n_buckets=st.integers(1, 12), threads=st.integers(1, 2))
def test_row_order_buckets_and_threads_leave_no_trace(seed: int, n_buckets: int, threads: int) -> None:
    shuffled = (SHOP[0].sample(frac=1, random_state=seed), SHOP[1].sample(frac=1, random_state=seed))
    assert features_at(shuffled, n_buckets=n_buckets, threads=threads) == features_at(SHOP)
    assert panel_features(shuffled, CUTOFFS, n_buckets=n_buckets, threads=threads) == panel_features(SHOP, CUTOFFS)


@pytest.mark.parametrize("parts", [1, 7])
def test_the_split_into_files_leaves_no_trace(parts: int, tmp_path: Path) -> None:
    for frame, name in zip(SHOP, ("orders", "events"), strict=True):
        for number, rows in enumerate(np.array_split(np.random.default_rng(parts).permutation(len(frame)), parts)):
            frame.iloc[rows].to_parquet(tmp_path / f"{name}{number}.parquet")
    log = CustomerLog(tmp_path / "orders*.parquet", tmp_path / "events*.parquet")
    assert bits(build_features(log, as_of=CUTOFF, features=EVERYTHING)) == features_at(SHOP)[0]


def test_an_event_a_microsecond_before_the_cutoff_is_known() -> None:
    bought, acted = SHOP
    name = build_features(CustomerLog(bought, acted), as_of=CUTOFF).index[0]
    for shift, known in ((-1, True), (0, False)):
        time = CUTOFF + pd.Timedelta(shift, "us")
        extra = bought.head(1).assign(customer_id=name, timestamp=time, amount=5.0, order_id="new")
        changed = features_at((pd.concat([bought, extra]), acted)) != features_at(SHOP)
        assert changed is known
