"""Published runs are judged once, by what their customers then did, whatever the buckets were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import crm_ml
from crm_ml.errors import SchemaError
from crm_ml.evaluation import calibration_bins, churn_metrics, value_metrics
from crm_ml.events.keyed import keyed_ids
from crm_ml.features import PersonalHorizon
from crm_ml.features.feature import to_spec
from crm_ml.registry.manifest import sealed
from crm_ml.scoring.published.ledger import judge_runs, read_calibration, read_ledger
from crm_ml.scoring.published.outcome import hash_edges

AS_OF = pd.Timestamp("2025-06-01", tz="UTC")
DAY = pd.Timedelta(days=1)
SHOP = crm_ml.simulate(900, seed=4, acquisition_share=1.0)
ORDERS = SHOP.transactions


def log_of(orders: pd.DataFrame = ORDERS, n_buckets: int = 3) -> crm_ml.CustomerLog:
    return crm_ml.CustomerLog(orders, n_buckets=n_buckets)


def scores_at(as_of: pd.Timestamp, *, seed: int = 0) -> pd.DataFrame:
    """Make scores of everyone known by then, better than chance, without a model."""
    bought = ORDERS[(ORDERS["timestamp"] < as_of) & (ORDERS["amount"] >= 0)].groupby("customer_id")["timestamp"].max()
    rng = np.random.default_rng(seed)
    silent = (as_of - bought) / DAY
    risk = 1 / (1 + np.exp(-(silent / 40 - 1 + rng.normal(0, 0.7, len(silent)))))
    purchases = rng.gamma(2.0, 1.0, len(silent)) * (1 - risk)
    spend = rng.gamma(3.0, 10.0, len(silent))
    columns: dict[str, Any] = {
        "churn_probability": risk,
        "horizon_days": 30.0,
        "churn_probability_60d": risk * 0.9,
        "expected_purchases": purchases,
        "expected_spend_per_purchase": spend,
        "clv": 0.3 * purchases * spend,
    }
    return pd.DataFrame(columns, index=bought.index.astype(str)).assign(silent_days=silent)


def publish(out: Path, as_of: pd.Timestamp, scores: pd.DataFrame, *, parts: int = 5, **churn: Any) -> Path:
    """Write a run as the job does: parts are ranges of the customers' hash."""
    folder = out / f"{as_of:%Y-%m-%d}-0123abcd"
    folder.mkdir(parents=True)
    for number, names in enumerate(crm_ml.CustomerLog(ORDERS, n_buckets=parts).map(lambda bucket: bucket.customer_id)):
        part = scores[scores.index.isin(names)].rename_axis("customer_id").reset_index()
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / f"part-{number:05}.parquet")
    manifest = {
        "sequence": 1,
        "as_of": as_of.isoformat(),
        "models": {
            "churn": {"version": "7", "horizon_days": [30.0, 60.0], "lookback_days": None} | churn,
            "clv": {"version": "3", "horizon_days": 60.0},
        },
        "customers": len(scores),
        "buckets": parts,
        "hashed_ids": False,
        "files": {path.name: stated(path) for path in folder.glob("*.parquet")},
    }
    write_manifest(folder, manifest)
    return folder


def stated(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bucket": int(path.stem[5:]), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    facts = {name: value for name, value in manifest.items() if name != "sha256"} | {"format": 1}
    (folder / "manifest.json").write_bytes(sealed(facts))


def bought_within(days: pd.Series | float, names: pd.Index, as_of: pd.Timestamp = AS_OF) -> np.ndarray:
    """Tell by plain pandas who bought in the days from a moment on."""
    length = pd.Series(days, index=names).rename("days")
    rows = ORDERS[ORDERS["amount"] >= 0].assign(customer_id=lambda frame: frame["customer_id"].astype(str))
    rows = rows.join(length, on="customer_id")
    inside = (rows["timestamp"] >= as_of) & (rows["timestamp"] < as_of + pd.to_timedelta(rows["days"], unit="D"))
    return names.isin(rows.loc[inside, "customer_id"].unique())


@pytest.mark.parametrize(("parts", "buckets"), [(5, 3), (1, 4), (7, 1), (3, 3)])
def test_a_run_is_judged_by_what_then_happened(tmp_path: Path, parts: int, buckets: int) -> None:
    scores = scores_at(AS_OF)
    publish(tmp_path, AS_OF, scores, parts=parts)
    found = judge_runs(log_of(n_buckets=buckets), tmp_path, as_of="2025-12-01").set_index(
        ["prediction", "horizon_days"]
    )
    assert len(found) == 3
    for days, column in ((30.0, "churn_probability"), (60.0, "churn_probability_60d")):
        row, left = found.loc[("churn", days)], ~bought_within(days, scores.index)
        assert row[["scored", "unknown", "customers", "model"]].tolist() == [len(scores), 0, len(scores), "7"]
        assert row["churned"] == pytest.approx(left.mean(), rel=1e-12)
        assert row["predicted"] == pytest.approx(scores[column].mean(), rel=1e-12)
        exact = churn_metrics(left.astype(float), scores[column])
        for name in ("auc", "brier", "log_loss", "lift_10", "calibration_error", "calibration_bias"):
            # predictions within a thousandth of the log odds are counted together
            assert row[name] == pytest.approx(exact[name], rel=2e-3, abs=1e-6), name


def test_the_record_holds_the_calibration_bins(tmp_path: Path) -> None:
    scores = scores_at(AS_OF)
    publish(tmp_path, AS_OF, scores)
    judge_runs(log_of(), tmp_path, as_of="2025-12-01")
    record = json.loads((tmp_path / "judged" / "2025-06-01-0123abcd.churn_probability.json").read_text())
    left = ~bought_within(30, scores.index)
    expected = calibration_bins(left.astype(float), scores["churn_probability"])
    found = pd.DataFrame(record["bins"])
    told = read_calibration(tmp_path).set_index("predictor")
    assert set(told.index) == {"2025-06-01, 30 days", "2025-06-01, 60 days"}
    pd.testing.assert_frame_equal(told.loc["2025-06-01, 30 days"].reset_index(drop=True), found)
    assert found["customers"].sum() == len(scores)
    np.testing.assert_allclose(found["predicted"], expected["predicted"], rtol=2e-2)
    np.testing.assert_allclose(found["customers"], expected["customers"], atol=2)


def test_value_is_judged_beside_churn(tmp_path: Path) -> None:
    scores = scores_at(AS_OF)
    publish(tmp_path, AS_OF, scores)
    row = judge_runs(log_of(), tmp_path, as_of="2025-12-01").set_index("prediction").loc["clv"]
    inside = ORDERS[(ORDERS["timestamp"] >= AS_OF) & (ORDERS["timestamp"] < AS_OF + 60 * DAY)]
    inside = inside[inside["customer_id"].astype(str).isin(scores.index)]
    spend = inside.groupby(inside["customer_id"].astype(str))["amount"].sum().reindex(scores.index, fill_value=0.0)
    days = inside[inside["amount"] >= 0].assign(day=lambda frame: frame["timestamp"].dt.floor("D"))
    assert row["purchases"] == len(days[["customer_id", "day"]].drop_duplicates())
    assert row["spend"] == pytest.approx(spend.sum(), rel=1e-9)
    assert row["expected_purchases"] == pytest.approx(scores["expected_purchases"].sum(), rel=1e-9)
    expected = scores["expected_purchases"] * scores["expected_spend_per_purchase"]
    assert row["spend_ratio"] == pytest.approx(expected.sum() / spend.sum(), rel=1e-9)
    assert row["purchases_ratio"] == pytest.approx(row["expected_purchases"] / row["purchases"], rel=1e-9)
    capture = value_metrics(spend, scores["clv"])["top_decile_capture"]
    assert row["top_decile_capture"] == pytest.approx(capture, rel=0.02)


def test_each_horizon_is_judged_when_its_window_has_passed_and_no_sooner(tmp_path: Path) -> None:
    publish(tmp_path, AS_OF, scores_at(AS_OF))
    log = log_of()
    assert len(judge_runs(log, tmp_path, as_of=AS_OF + 30 * DAY - pd.Timedelta(microseconds=1))) == 0
    assert judge_runs(log, tmp_path, as_of=AS_OF + 30 * DAY)["horizon_days"].tolist() == [30.0]
    assert judge_runs(log, tmp_path, as_of=AS_OF + 60 * DAY)["horizon_days"].tolist() == [30.0, 60.0, 60.0]


def test_a_window_past_the_logs_end_is_left_for_later(tmp_path: Path) -> None:
    publish(tmp_path, AS_OF, scores_at(AS_OF))
    short = log_of(ORDERS[ORDERS["timestamp"] < AS_OF + 29 * DAY])
    assert len(judge_runs(short, tmp_path, as_of="2025-12-01")) == 0


def test_what_arrives_late_changes_no_record(tmp_path: Path) -> None:
    publish(tmp_path, AS_OF, scores_at(AS_OF))
    first = judge_runs(log_of(), tmp_path, as_of="2025-12-01")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "judged").iterdir()}
    late = ORDERS.assign(timestamp=ORDERS["timestamp"].mask(ORDERS["timestamp"] >= AS_OF, AS_OF + 400 * DAY))
    again = judge_runs(log_of(late), tmp_path, as_of="2026-12-01")
    pd.testing.assert_frame_equal(again, first)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "judged").iterdir()} == files


def test_churn_is_judged_for_who_had_bought_within_the_lookback(tmp_path: Path) -> None:
    scores = scores_at(AS_OF)
    publish(tmp_path, AS_OF, scores, lookback_days=60.0)
    found = judge_runs(log_of(), tmp_path, as_of="2025-12-01")
    active = scores["silent_days"] <= 60
    row = found[found["horizon_days"] == 30].iloc[0]
    assert (row["scored"], row["customers"]) == (len(scores), active.sum())
    assert row["churned"] == pytest.approx((~bought_within(30, scores.index))[active].mean(), rel=1e-12)


def test_each_customer_is_given_the_own_horizon(tmp_path: Path) -> None:
    scores = scores_at(AS_OF)
    own = pd.Series(np.where(np.arange(len(scores)) % 2, 15.0, 45.0), index=scores.index)
    publish(tmp_path, AS_OF, scores.assign(horizon_days=own), horizon_days=to_spec(PersonalHorizon(longest_days=50)))
    log = log_of()
    assert len(judge_runs(log, tmp_path, as_of=AS_OF + 49 * DAY)) == 0
    row = judge_runs(log, tmp_path, as_of=AS_OF + 50 * DAY).iloc[0]
    assert np.isnan(row["horizon_days"])
    assert row["churned"] == pytest.approx((~bought_within(own, scores.index)).mean(), rel=1e-12)


def test_runs_stand_in_order_of_their_moment(tmp_path: Path) -> None:
    for as_of in (AS_OF, AS_OF - 31 * DAY):
        publish(tmp_path, as_of, scores_at(as_of))
    found = judge_runs(log_of(), tmp_path, as_of="2025-12-01")
    assert found["as_of"].is_monotonic_increasing
    assert found.groupby("run").size().tolist() == [3, 3]
    pd.testing.assert_frame_equal(read_ledger(tmp_path), found)


def test_hashed_identifiers_are_hashed_before_they_are_met(tmp_path: Path) -> None:
    scores = scores_at(AS_OF)
    folder = publish(tmp_path, AS_OF, scores)
    plain = judge_runs(log_of(), tmp_path, as_of="2025-12-01").iloc[0]
    for path in (tmp_path / "judged").iterdir():
        path.unlink()
    key = b"a key of at least thirty-two bytes, say"
    for path in folder.glob("*.parquet"):
        part = pq.read_table(path)
        hidden = keyed_ids(part["customer_id"].combine_chunks().cast(pa.string()), key)
        pq.write_table(part.set_column(part.schema.get_field_index("customer_id"), "customer_id", hidden), path)
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.name: stated(path) for path in folder.glob("*.parquet")}
    write_manifest(folder, manifest | {"hashed_ids": True, "files": files})
    assert len(judge_runs(log_of(), tmp_path, as_of="2025-12-01")) == 0
    with pytest.raises(SchemaError, match=r"of 2025-06-01-0123abcd, with \d+, it knows none.\nGive the log"):
        judge_runs(log_of(), tmp_path, as_of="2025-12-01", id_key=key[::-1])
    found = judge_runs(log_of(), tmp_path, as_of="2025-12-01", id_key=key).iloc[0]
    pd.testing.assert_series_equal(found, plain)


def test_where_everyone_left_there_are_counts_only(tmp_path: Path) -> None:
    publish(tmp_path, AS_OF, scores_at(AS_OF))
    gone = pd.concat([ORDERS[ORDERS["timestamp"] < AS_OF], ORDERS.tail(1).assign(timestamp=AS_OF + 99 * DAY)])
    found = judge_runs(log_of(gone), tmp_path, as_of="2025-12-01")
    assert found.loc[found["prediction"] == "churn", "churned"].tolist() == [1.0, 1.0]
    assert "auc" not in found or found["auc"].isna().all()


def test_an_empty_shelf_has_an_empty_ledger(tmp_path: Path) -> None:
    assert len(read_ledger(tmp_path)) == 0


@pytest.mark.parametrize(("few", "many"), [(1, 1), (3, 5), (7, 4096)])
def test_edges_cover_every_cell_once(few: int, many: int) -> None:
    for count in (few, many):
        edges = hash_edges(count)
        assert (edges[0], edges[-1], len(edges)) == (0, 4096, count + 1)
        assert (np.diff(edges) > 0).all()
