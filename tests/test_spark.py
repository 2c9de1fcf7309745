"""The Spark host: what the workers make is what the local host makes, in whatever zone the session stands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import crm_ml
from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.clv.purchase_patterns import PurchasePatterns
from crm_ml.errors import CrmError, SchemaError
from crm_ml.events import CustomerLog, simulate
from crm_ml.events.partition.hashing import hash_texts, mixed

pytest.importorskip("pyspark", reason="pyspark, of the spark extra, is not installed")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java, which is not here", allow_module_level=True)

from crm_ml.events.spark import SparkLog
from crm_ml.scoring import spark_tables as tables

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")

NEW_YORK = "America/New_York"
one_zone = pytest.mark.parametrize("log", [NEW_YORK], indirect=True)
BUSY_EVENTS = 200_000
CUTOFFS = ["2023-05-01", "2023-06-01"]
AS_OF = "2023-07-01"


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("crm_ml tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def events() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A shop with categories, quantities, missing values, and one customer who never rests."""
    shop = simulate(1_500, start="2023-01-01", days=210, seed=7)
    rng = np.random.default_rng(7)
    bought, acted = shop.transactions.copy(), shop.interactions.copy()
    bought["category"] = rng.choice(np.array(["tea", "cups", "Äpfel", None], dtype=object), len(bought))
    bought["quantity"] = rng.choice([1.0, 2.0, np.nan], len(bought))
    bought["discount"] = rng.choice([0.0, 0.5, np.nan], len(bought))
    moments = pd.Timestamp("2023-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 200 * 86_400, BUSY_EVENTS), "s")
    busy = pd.DataFrame({"customer_id": "the busy one", "timestamp": moments, "event_type": "view", "value": np.nan})
    half = BUSY_EVENTS // 2
    lines = pd.DataFrame(
        {"customer_id": "the busy one", "timestamp": moments[:half], "amount": rng.integers(1, 9, half).astype(float)}
    )
    return pd.concat([bought, lines], ignore_index=True), pd.concat([acted, busy[half:]], ignore_index=True)


def in_spark(spark: Any, frame: pd.DataFrame) -> Any:
    return spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


@pytest.fixture(scope="module")
def local(events: tuple[pd.DataFrame, pd.DataFrame]) -> CustomerLog:
    return CustomerLog(*events)


@pytest.fixture(scope="module", params=["UTC", NEW_YORK])
def log(request: pytest.FixtureRequest, spark: Any, events: tuple[pd.DataFrame, pd.DataFrame]) -> Iterator[SparkLog]:
    """The shop on Spark, in a session that stands in either zone while anything is computed from it."""
    spark.conf.set("spark.sql.session.timeZone", request.param)
    made = SparkLog(*(in_spark(spark, frame) for frame in events), n_buckets=5)
    yield made
    made.unpersist()
    spark.conf.set("spark.sql.session.timeZone", "UTC")


@pytest.fixture(scope="module")
def models(local: CustomerLog) -> tuple[ChurnModel, CLVModel]:
    churn = ChurnModel(n_cutoffs=3, history_days=60).fit(local, as_of=AS_OF)
    return churn, CLVModel(process="BetaGeo", level=None).fit(local, as_of=AS_OF)


def fetched(frame: Any, *keys: str) -> pd.DataFrame:
    return frame.toArrow().to_pandas().set_index(list(keys)).sort_index(level=list(reversed(keys)))


def test_a_log_on_spark_is_the_local_log(log: SparkLog, local: CustomerLog) -> None:
    assert log.fingerprint() == local.fingerprint()
    pd.testing.assert_frame_equal(log.counts(), local.counts())
    assert (log.first, log.last, log.end) == (local.first, local.last, local.end)
    assert (log.columns, log.event_types, log.dropped) == (local.columns, local.event_types, {})
    assert log.categories_before("2023-01-02") == local.categories_before("2023-01-02")
    assert repr(log) == repr(local).replace("CustomerLog", "SparkLog")


@one_zone
def test_each_table_is_shuffled_once_and_nothing_after(log: SparkLog) -> None:
    features = tables.spark_features(log, as_of=AS_OF, features="rfm")
    features.count()
    plan = features._jdf.queryExecution().toString().split("== Physical Plan ==")[1]
    assert "InMemoryTableScan" in plan
    above, below = plan.split("InMemoryRelation", 1)
    assert "Exchange" not in above
    initial = below.split("Initial Plan")[-1]
    assert initial.count("Exchange hashpartitioning(bucket") == 2
    assert initial.count("Exchange") == 2


def test_features_are_those_of_the_local_host_bit_for_bit(log: SparkLog, local: CustomerLog) -> None:
    found = fetched(tables.spark_features(log, as_of=AS_OF, features="all"), "customer_id")
    expected = crm_ml.build_features(local, as_of=AS_OF, features="all")
    assert {"gaps", "usual_gap_days"} < set(expected)
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_index_type=False)


def test_a_panel_is_that_of_the_local_host_bit_for_bit(log: SparkLog, local: CustomerLog) -> None:
    settings: Any = {"cutoffs": CUTOFFS, "horizon_days": 30, "lookback_days": 60}
    found = fetched(tables.spark_panel(log, **settings), "customer_id", "cutoff")
    expected = crm_ml.build_panel(local, **settings)
    assert found.index.to_list() == expected.index.to_list()
    assert (found["label_end"] == expected["label_end"]).all()
    for name in expected.columns.drop("label_end"):
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy(), err_msg=name)


def test_scores_are_those_of_the_local_host(
    log: SparkLog, local: CustomerLog, models: tuple[ChurnModel, CLVModel]
) -> None:
    churn, clv = models
    money = {"annual_discount_rate": 0.1, "margin": 0.3}
    for found, expected in (
        (tables.spark_churn(log, churn, as_of=AS_OF), crm_ml.predict_churn(local, churn, as_of=AS_OF)),
        (tables.spark_clv(log, clv, as_of=AS_OF, **money), crm_ml.predict_clv(local, clv, as_of=AS_OF, **money)),
    ):
        scores = fetched(found, "customer_id")
        assert list(scores) == list(expected)
        if "as_of" in expected:
            assert (scores.pop("as_of") == expected.pop("as_of")).all()
        pd.testing.assert_frame_equal(scores, expected, rtol=1e-12, atol=0, check_index_type=False)


@one_zone
def test_a_sample_is_drawn_by_hash_whatever_the_buckets(
    log: SparkLog, spark: Any, events: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    bought, acted = events
    everyone = pd.unique(pd.concat([bought["customer_id"], acted["customer_id"]]))
    draws = pd.Series(mixed(hash_texts(pa.array(everyone)) ^ np.uint64(0x9E3779B97F4A7C15)), index=everyone)
    for drawn, sample in (
        (draws.index[draws <= np.uint64(0.2 * 2**64)], log.sample(share=0.2)),
        (draws.nsmallest(100).index, log.sample(at_most=100)),
    ):
        by_hand = CustomerLog(*(frame[frame["customer_id"].isin(drawn)] for frame in events))
        assert sample.fingerprint() == by_hand.fingerprint()
        pd.testing.assert_frame_equal(sample.counts(), by_hand.counts())
        assert sample.event_types == by_hand.event_types
    assert 250 < len(drawn) + 200 < 400


@one_zone
def test_a_sample_can_be_trained_on(log: SparkLog) -> None:
    whole = log.sample(share=1.0)
    assert whole.fingerprint() == log.fingerprint()
    assert crm_ml.build_features(whole, as_of=AS_OF).shape[0] == int(log.arrangement.contents.customers[0])


@one_zone
def test_patterns_are_those_of_the_local_host(log: SparkLog, local: CustomerLog) -> None:
    found = tables.spark_patterns(log, as_of=AS_OF, cell_days=7, time_unit="W")
    expected = PurchasePatterns.of(local, as_of=AS_OF, cell_days=7, time_unit="W")
    pd.testing.assert_frame_equal(found.histories, expected.histories, rtol=1e-12, atol=1e-12)
    pd.testing.assert_frame_equal(found.spends, expected.spends, rtol=1e-12, atol=0)


def test_a_value_model_fitted_on_patterns_is_near_the_one_fitted_on_customers(local: CustomerLog) -> None:
    rfm = crm_ml.clv.rfm_summary(local, as_of=AS_OF, sum_log_gaps=True)
    exact = CLVModel(process="BetaGeo").fit_rfm(rfm)
    for cell_days, tolerance in ((1, 1e-6), (7, 0.02)):
        patterns = PurchasePatterns.of(local, as_of=AS_OF, cell_days=cell_days)
        assert patterns.histories["weight"].sum() == patterns.spends["weight"].sum() == len(rfm)
        fitted = CLVModel(process="BetaGeo").fit_patterns(patterns)
        for name in ("r", "alpha", "a", "b"):
            assert fitted.process_.params_[name] == pytest.approx(exact.process_.params_[name], rel=tolerance), name
        assert fitted.spend_.population_mean_ == pytest.approx(exact.spend_.population_mean_, rel=0.005)
    with pytest.raises(CrmError, match=r"patterns.time_unit` must be the model's, 'W'; got 'D'"):
        CLVModel(time_unit="W").fit_patterns(patterns)
    with pytest.raises(SchemaError, match=r"`cell_days` must be a whole number of at least 1; got 0"):
        PurchasePatterns.of(local, as_of=AS_OF, cell_days=0)


ORDERS = pd.DataFrame(
    {
        "customer_id": ["ann", "bob", None, "eve", " ", "dan"],
        "timestamp": ["2024-01-05 23:30", "2024-01-20", "2024-01-21", "2024-02-01", "2024-02-02", None],
        "amount": [20.0, 12.5, 3.0, np.inf, 4.0, 5.0],
        'a `strange" name': 1,
    }
)


def test_a_broken_row_is_told_as_the_local_host_tells_it(spark: Any) -> None:
    frame = in_spark(spark, ORDERS)
    with pytest.raises(SchemaError, match=r"`customer_id` must be given. 2 of 6 transactions break this.\nDrop them"):
        SparkLog(frame, n_buckets=3)
    kept = SparkLog(frame, on_invalid="drop", timezone=NEW_YORK, n_buckets=3)
    expected = CustomerLog(ORDERS, on_invalid="drop", timezone=NEW_YORK)
    assert kept.dropped == expected.dropped
    assert kept.fingerprint() == expected.fingerprint()
    assert kept.first == pd.Timestamp("2024-01-06 04:30", tz="UTC")
    with pytest.raises(SchemaError, match=r"`timestamp` must lie before the log's `as_of`. 1 of 6"):
        SparkLog(
            in_spark(
                spark,
                ORDERS.assign(customer_id="ann", amount=1.0, timestamp="2024-01-01")[:5].pipe(
                    lambda rows: pd.concat([rows, rows[:1].assign(timestamp="2024-03-01")])
                ),
            ),
            as_of="2024-02-20",
        )


def test_what_is_wrong_with_the_tables_is_told_before_they_are_read(spark: Any) -> None:
    frame = in_spark(spark, ORDERS)
    with pytest.raises(SchemaError, match=r"transactions need a column `amount`.*nearest: 'amuont'"):
        SparkLog(frame.withColumnRenamed("amount", "amuont"))
    with pytest.raises(SchemaError, match=r"transactions must have each column once.*\['amount'\]"):
        SparkLog(frame.select("*", "amount"))
    with pytest.raises(SchemaError, match=r"transactions must be a Spark data frame; got DataFrame"):
        SparkLog(ORDERS)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"`n_buckets` must be a whole number of at least 1; got 0"):
        SparkLog(frame, n_buckets=0)
    with pytest.raises(SchemaError, match=r"`timezone` must name an IANA time zone"):
        SparkLog(frame, timezone="Mars/Olympus")


def test_whole_numbers_meet_their_text_and_an_empty_table_is_none(spark: Any) -> None:
    bought = pd.DataFrame({"who": [10, 2, 30], "timestamp": "2024-01-05 20:00", "amount": [1.0, 2.0, 3.0]})
    acted = pd.DataFrame({"who": ["10", "2", "4"], "timestamp": "2024-01-04", "event_type": "view"})
    named: Any = {"columns": {"who": "customer_id"}, "timezone": NEW_YORK}
    everyone = CustomerLog(bought, acted, **named)
    for kind in ("int", "double"):
        orders = in_spark(spark, bought).selectExpr(f"cast(who as {kind}) as who", "timestamp", "amount")
        log = SparkLog(orders, in_spark(spark, acted), n_buckets=7, **named)
        assert log.fingerprint() == everyone.fingerprint()
        assert log.arrangement.contents.customers.tolist() == [3, 3]
        assert sum(log.arrangement.customers) == 4
    without_zone = in_spark(spark, bought).selectExpr("who", "cast(timestamp as timestamp_ntz) as timestamp", "amount")
    none = SparkLog(without_zone, in_spark(spark, acted).limit(0), **named)
    assert none.fingerprint() == CustomerLog(bought, acted[:0], **named).fingerprint()
    assert none.first == pd.Timestamp("2024-01-06 01:00", tz="UTC")
    assert crm_ml.build_features(none, as_of="2024-01-07").index.tolist() == ["10", "2", "30"]


def test_a_typed_error_of_a_kernel_reaches_the_driver(spark: Any) -> None:
    log = SparkLog(in_spark(spark, ORDERS[:2]), n_buckets=2)

    def refuse(_: object) -> None:
        raise CrmError("This kernel must not be run.")

    with pytest.raises(CrmError, match="This kernel must not be run"):
        list(log.map(refuse))


@one_zone
@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({}, "either `share` or `at_most`"),
        ({"share": 0.5, "at_most": 1}, "either `share` or `at_most`"),
        ({"share": 0.0}, r"`share` must be in \(0, 1\]; got 0.0"),
        ({"share": 1.1}, r"`share` must be in \(0, 1\]; got 1.1"),
        ({"at_most": 0}, "`at_most` must be a whole number of at least 1; got 0"),
    ],
)
def test_a_sample_needs_one_sensible_size(log: SparkLog, settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(SchemaError, match=rule):
        log.sample(**settings)
