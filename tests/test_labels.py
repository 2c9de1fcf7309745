"""Labels over windows of each customer's own length, against the twin in plain Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from plain_twin import gaps_of, labels, merged, own_horizon

from crm_ml import CustomerLog, build_features, build_panel, load_sample
from crm_ml.errors import SchemaError
from crm_ml.evaluation import TrainingDesign, labels_known_by
from crm_ml.features import DEFAULT_FEATURES, FeatureSet, IntervalStretch, PersonalHorizon, catalogue, write_panel

CUTOFF = pd.Timestamp("2024-03-01")
DAY = pd.Timedelta(days=1)
HORIZON = PersonalHorizon(multiple=1.0, shortest_days=25, longest_days=50)
SHOP = awkward_shop(17, cutoff=CUTOFF, n_customers=200)
CUTOFFS = [CUTOFF - 40 * DAY, CUTOFF]


@pytest.mark.parametrize("seed", [17, 18])
def test_each_customer_is_labelled_over_the_own_window(seed: int) -> None:
    bought, acted = awkward_shop(seed, cutoff=CUTOFF, n_customers=200)
    panel = build_panel(CustomerLog(bought, acted, n_buckets=3), cutoffs=CUTOFFS, horizon_days=HORIZON)
    whole = {str(name): merged(lines) for name, lines in bought.groupby("customer_id")}
    checked, lengths = 0, set()
    for cutoff in CUTOFFS:
        past = {name: [row for row in rows if row.time < cutoff] for name, rows in whole.items()}
        typical = float(np.median([gaps_of(rows)[-1] for rows in past.values() if gaps_of(rows)]))
        for name, rows in past.items():
            if not any(row.opens for row in rows):
                continue
            found = panel.loc[(name, cutoff.tz_localize("UTC"))]
            own = own_horizon(rows, typical, multiple=1.0, shortest=25, longest=50)
            assert found["horizon_days"] == pytest.approx(own, rel=1e-9)
            end = (cutoff + pd.Timedelta(own, "D").round("us")).tz_localize("UTC")
            assert abs(found["label_end"] - end) <= pd.Timedelta(1, "us")
            for column, value in labels(whole[name], cutoff, own).items():
                assert found[column] == pytest.approx(value, abs=1e-9), (name, column)
            lengths.add(round(own, 6))
            checked += 1
    assert checked == len(panel)
    assert {25.0, 50.0} < lengths
    assert len(lengths) > 30


def test_the_bounds_hold_at_equality() -> None:
    rows = [("a", day) for day in range(0, 70, 7)] + [("b", 60)]
    bought = pd.DataFrame(rows, columns=["customer_id", "day"])
    bought = bought.assign(timestamp=pd.Timestamp("2024-01-01") + bought["day"] * DAY, amount=1.0)
    log = CustomerLog(bought)
    as_of = pd.Timestamp("2024-01-01") + 64 * DAY
    for shortest, longest, own in ((7, 7, 7.0), (7, 90, 14.0), (14, 90, 14.0), (15, 90, 15.0), (1, 13, 13.0)):
        features = [PersonalHorizon(shortest_days=shortest, longest_days=longest)]
        assert build_features(log, as_of=as_of, features=features)["personal_horizon_days"].tolist() == [own, own]


def test_where_nobody_has_a_gap_the_window_is_the_longest() -> None:
    log = CustomerLog(pd.DataFrame({"customer_id": ["a", "b"], "timestamp": "2024-01-01", "amount": 1.0}))
    assert build_features(log, as_of=log.end, features=[HORIZON])["personal_horizon_days"].tolist() == [50.0, 50.0]


def test_one_long_absence_moves_the_median_less_than_the_mean() -> None:
    days = [0, 10, 20, 30, 40, 50, 60, 260]
    log = CustomerLog(
        pd.DataFrame(
            {"customer_id": "a", "timestamp": [pd.Timestamp("2023-01-01") + day * DAY for day in days]}
        ).assign(amount=1.0)
    )
    found = build_features(log, as_of=log.end, features=[PersonalHorizon(1.0, 1, 300), IntervalStretch()]).loc["a"]
    assert found["personal_horizon_days"] == pytest.approx(10 ** (7 / 9) * 200 ** (2 / 9))
    assert found["usual_gap_days"] == pytest.approx(10 ** (6 / 9) * 200 ** (3 / 9))


def test_the_feature_is_the_horizon_of_the_label_and_knows_nothing_of_the_future() -> None:
    log = CustomerLog(*SHOP)
    panel = build_panel(log, cutoffs=CUTOFFS, horizon_days=HORIZON, features=[HORIZON])
    assert (panel["personal_horizon_days"] == panel["horizon_days"]).all()
    assert (panel["label_end"] - panel.index.get_level_values("cutoff")).gt(pd.Timedelta(0)).all()
    cut = CustomerLog(SHOP[0][SHOP[0]["timestamp"] < CUTOFFS[0]])
    alone = build_features(cut, as_of=CUTOFFS[0], features=[HORIZON])["personal_horizon_days"]
    assert panel.loc[(slice(None), CUTOFFS[0].tz_localize("UTC")), "horizon_days"].tolist() == alone.tolist()


def test_it_is_kept_with_a_model_and_is_in_no_group() -> None:
    stored = FeatureSet((HORIZON,), ("personal_horizon_days",))
    assert FeatureSet.from_dict(json.loads(json.dumps(stored.to_dict()))) == stored
    assert "personal_horizon_days" not in catalogue("all", CustomerLog(*SHOP)).index
    assert "personal_horizon_days" not in catalogue(DEFAULT_FEATURES, CustomerLog(*SHOP)).index


def test_a_written_panel_has_the_same_windows(tmp_path: Path) -> None:
    log = CustomerLog(*SHOP, n_buckets=4)
    path = write_panel(log, tmp_path / "panel.parquet", cutoffs=CUTOFFS, horizon_days=HORIZON, features="rfm")
    found = pd.read_parquet(path).set_index(["customer_id", "cutoff"]).sort_index(level=["cutoff", "customer_id"])
    expected = build_panel(log, cutoffs=CUTOFFS, horizon_days=HORIZON, features="rfm")
    pd.testing.assert_frame_equal(found, expected, check_index_type=False, check_exact=True)


def test_the_longest_window_must_lie_within_the_log() -> None:
    log = load_sample()
    last = log.end - 50 * DAY
    assert len(build_panel(log, cutoffs=[last], horizon_days=HORIZON, features=()))
    with pytest.raises(SchemaError, match=r"Every label window must lie within the log, which ends 2018-01-02"):
        build_panel(log, cutoffs=[last + pd.Timedelta(1, "us")], horizon_days=HORIZON, features=())


def test_a_training_design_leaves_room_for_the_longest_window() -> None:
    log = load_sample()
    design = TrainingDesign(horizon_days=HORIZON, n_cutoffs=3, step_days=10)
    panel = design.panel(log, as_of="2017-10-01", features="rfm")
    assert panel.index.unique("cutoff").max() == pd.Timestamp("2017-08-12", tz="UTC")
    assert panel["label_end"].max() <= pd.Timestamp("2017-10-01", tz="UTC")
    known = labels_known_by(panel, "2017-09-05")
    assert 0 < known["label_end"].nunique() < panel["label_end"].nunique()
    assert known["label_end"].max() <= pd.Timestamp("2017-09-05", tz="UTC")
    design.check_horizon(HORIZON)
    with pytest.raises(SchemaError, match=r"must be the horizon trained for, PersonalHorizon\(multiple=1.0"):
        design.check_horizon(30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multiple": 0.0}, "`multiple` must be above 0 and finite; got 0.0"),
        ({"multiple": float("nan")}, "`multiple` must be above 0 and finite"),
        ({"multiple": float("inf")}, "`multiple` must be above 0 and finite"),
        ({"shortest_days": 0}, "`shortest_days` must be a positive number of days; got 0"),
        ({"longest_days": float("inf")}, "`longest_days` must be a positive number of days"),
        ({"shortest_days": 91}, "`shortest_days` must be at most `longest_days`, 90; got 91"),
    ],
)
def test_horizons_outside_their_domain_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        PersonalHorizon(**settings)
    PersonalHorizon(shortest_days=90, longest_days=90)
