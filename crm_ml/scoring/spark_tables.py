"""Features, panels, scores and purchase patterns of a `SparkLog` that stay on the cluster, as Spark data frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd
import pyarrow as pa

from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.clv.purchase_patterns import KEYS, SUMS, PurchasePatterns, pattern_sums
from crm_ml.clv.summary import TimeUnit, iter_rfm_summary
from crm_ml.events.clock import Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.panels.panel import feature_frame, panel_sweep
from crm_ml.features.panels.sweep import Sweep
from crm_ml.features.panels.writing import feature_table, panel_table
from crm_ml.registry import Store, resolve
from crm_ml.registry.kinds import StorableModel, model_class
from crm_ml.scoring.scorer import churn_scores, clv_scores

if TYPE_CHECKING:
    from crm_ml.events.spark import SparkLog
    from crm_ml.events.spark.log import DataFrame

__all__ = ["spark_churn", "spark_clv", "spark_features", "spark_panel", "spark_patterns"]

_UTC = pa.timestamp("us", "UTC")
_CUSTOMER = pa.field("customer_id", pa.string())


def spark_features(log: SparkLog, *, as_of: Moment, features: Features = DEFAULT_FEATURES) -> DataFrame:
    """Return the features of `crm_ml.build_features`, with ``customer_id`` as a column, in no order."""
    sweep = Sweep.of(log, [moment(as_of)], features=features)
    schema = pa.schema([_CUSTOMER, *((name, pa.float64()) for name in sweep.features.columns)])

    def tables(bucket: CustomerLog) -> Iterator[pa.Table]:
        return (feature_table(part) for part in sweep.parts(bucket))

    return log.frame(tables, schema, interactions=sweep.features.interaction_days > 0)


def spark_panel(
    log: SparkLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None = None,
    features: Features = DEFAULT_FEATURES,
) -> DataFrame:
    """Return the panel of `crm_ml.build_panel`, with ``customer_id`` and ``cutoff`` as columns, in no order."""
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    numbers = {name: pa.float64() for name in (*sweep.features.columns, *LABEL_COLUMNS)}
    schema = pa.schema([_CUSTOMER, ("cutoff", _UTC), *(numbers | {"label_end": _UTC}).items()])

    def tables(bucket: CustomerLog) -> Iterator[pa.Table]:
        return (panel_table(sweep, part) for part in sweep.parts(bucket))

    return log.frame(tables, schema, interactions=sweep.features.interaction_days > 0)


def spark_churn(
    log: SparkLog, model: ChurnModel | str | Path, *, as_of: Moment, store: Store | None = None
) -> DataFrame:
    """Return the scores of `crm_ml.predict_churn`, with ``customer_id`` as a column, in no order."""
    fitted = cast(ChurnModel, resolve(model, kind="churn", store=store).model)
    sweep = Sweep.of(log, [moment(as_of)], features=fitted.feature_set)
    schema = _schema(churn_scores(fitted.synthetic_example(), fitted, as_of=as_of))
    scorer = _carried(fitted)

    def tables(bucket: CustomerLog) -> Iterator[pa.Table]:
        model = cast(ChurnModel, scorer())
        return _tables(churn_scores(feature_frame(part), model, as_of=as_of) for part in sweep.parts(bucket))

    return log.frame(tables, schema, interactions=sweep.features.interaction_days > 0)


def spark_clv(
    log: SparkLog,
    model: CLVModel | str | Path,
    *,
    as_of: Moment,
    annual_discount_rate: float,
    margin: float,
    horizon_days: float = 365,
    store: Store | None = None,
) -> DataFrame:
    """Return the values of `crm_ml.predict_clv`, with ``customer_id`` as a column, in no order."""
    fitted = cast(CLVModel, resolve(model, kind="clv", store=store).model)
    settings = {"horizon_days": horizon_days, "annual_discount_rate": annual_discount_rate, "margin": margin}
    schema = _schema(clv_scores(fitted.synthetic_example(), fitted, as_of=as_of, **settings))
    valuer, time_unit = _carried(fitted), fitted.time_unit

    def tables(bucket: CustomerLog) -> Iterator[pa.Table]:
        model = cast(CLVModel, valuer())
        summaries = iter_rfm_summary(bucket, as_of=as_of, time_unit=time_unit)
        return _tables(clv_scores(summary, model, as_of=as_of, **settings) for summary in summaries)

    return log.frame(tables, schema, interactions=False)


def spark_patterns(log: SparkLog, *, as_of: Moment, cell_days: int = 7, time_unit: TimeUnit = "D") -> PurchasePatterns:
    """Return `PurchasePatterns` of all customers; nothing but its small table reaches the driver."""
    schema = pa.schema([*((key, pa.int64()) for key in KEYS), *((name, pa.float64()) for name in SUMS)])

    def tables(bucket: CustomerLog) -> Iterator[pa.Table]:
        yield pa.Table.from_pandas(pattern_sums(bucket, as_of=as_of, cell_days=cell_days), preserve_index=False)

    cells = log.frame(tables, schema, interactions=False).groupBy(*KEYS).sum(*SUMS).toArrow()
    sums = cells.rename_columns([*KEYS, *SUMS]).to_pandas()
    return PurchasePatterns.from_sums(sums, time_unit=time_unit)


def _schema(example: pd.DataFrame) -> pa.Schema:
    """Return the schema of scores, given those of made-up customers."""
    return pa.schema([_CUSTOMER, *pa.Schema.from_pandas(example, preserve_index=False)])


def _tables(scores: Iterable[pd.DataFrame]) -> Iterator[pa.Table]:
    return (pa.Table.from_pandas(part.reset_index(), preserve_index=False) for part in scores if len(part))


def _carried(model: StorableModel) -> Callable[[], StorableModel]:
    """Return what makes the model anew wherever it is called, carrying its files there."""
    kind, files = model.kind, tuple(model.to_files().items())
    return lambda: _rebuilt(kind, files)


@lru_cache(maxsize=2)
def _rebuilt(kind: str, files: tuple[tuple[str, bytes], ...]) -> StorableModel:
    return model_class(kind).from_files(dict(files))
