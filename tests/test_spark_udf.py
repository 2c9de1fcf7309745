"""The registered model behind `mlflow.pyfunc.spark_udf`, in Spark's local mode."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from served_shop import PASSED, ServedShop, serve_shop

sql = pytest.importorskip("pyspark.sql", reason="the extra `spark` is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
    pytest.mark.filterwarnings("ignore"),  # Spark's and MLflow's own, about pandas and sockets
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedShop]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        root = Path(__file__).parents[1]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root / "tests"), str(root)]))
        yield serve_shop(tmp_path_factory.mktemp("spark"))


@pytest.fixture(scope="module")
def spark(shop: ServedShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    made.sparkContext.setLogLevel("ERROR")
    yield made
    made.stop()


def scored(spark: Any, shop: ServedShop, kind: str, params: dict[str, float], **added: object) -> pd.DataFrame:
    import mlflow.pyfunc

    frame = shop.frames[kind].assign(**added).reset_index()
    columns = list(frame.columns[1:])
    udf = mlflow.pyfunc.spark_udf(spark, shop.paths[kind], params=params)
    given = spark.createDataFrame(frame)
    found = given.select("customer_id", udf(sql.functions.struct(*columns)).alias("scores"))
    return found.select("customer_id", "scores.*").toPandas().set_index("customer_id").loc[shop.frames[kind].index]


@pytest.mark.parametrize("kind", ["churn", "clv"])
def test_spark_gives_the_direct_scores(spark: Any, shop: ServedShop, kind: str) -> None:
    expected = shop.direct(kind)
    found = scored(spark, shop, kind, PASSED[kind])
    assert list(found) == list(expected)
    np.testing.assert_allclose(found.to_numpy(dtype=float), expected.to_numpy(dtype=float), rtol=1e-9, atol=1e-12)


def test_a_moment_column_in_spark(spark: Any, shop: ServedShop) -> None:
    at = pd.Timestamp("2024-03-01", tz="UTC")
    expected = shop.models["clv"].predict(shop.frames["clv"].assign(as_of=at), **PASSED["clv"])
    found = scored(spark, shop, "clv", PASSED["clv"], as_of=at)
    np.testing.assert_allclose(found["clv"], expected["clv"], rtol=1e-9)


def test_where_mlflow_drops_an_unknown_parameter_the_horizon_column_tells(spark: Any, shop: ServedShop) -> None:
    """`spark_udf` drops it before the model is loaded; should a release of MLflow refuse it, so much the better."""
    assert set(scored(spark, shop, "clv", {"horizon_day": 90.0})["horizon_days"]) == {365.0}
