"""The rolling-origin backtest that every predictor is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import pandas as pd

from crm_ml.errors import SchemaError
from crm_ml.evaluation.comparison import paired_bootstrap
from crm_ml.evaluation.measures.metrics import churn_metrics, value_metrics
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import build_panel

__all__ = ["Backtest", "Predictor", "aligned", "backtest"]

Target = Literal["churned", "spend_ahead", "purchase_days_ahead"]

_METRICS: dict[Target, Callable[[Any, Any], dict[str, float]]] = {
    "churned": churn_metrics,
    "spend_ahead": value_metrics,
    "purchase_days_ahead": value_metrics,
}


class Predictor(Protocol):
    """What the backtest asks of a model."""

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Learn from events before `as_of`."""
        ...

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the target for each customer who bought before `as_of`, indexed by customer_id."""
        ...


@dataclass(frozen=True)
class Backtest:
    """What was predicted, what happened, and how far apart they were.

    Attributes
    ----------
    predictions : DataFrame indexed by (customer_id, cutoff); column ``actual`` and one per predictor.
    metrics : DataFrame with columns ``predictor``, ``cutoff``, ``customers`` and one per measure.
    """

    predictions: pd.DataFrame
    metrics: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Return the mean of each measure over the cutoffs, indexed by predictor in the order given."""
        return self.metrics.drop(columns="cutoff").groupby("predictor", sort=False).mean()

    def compare(
        self,
        reference: str,
        *,
        measures: Sequence[str] = ("auc", "average_precision", "brier", "log_loss", "lift_10"),
        n: int = 1000,
        level: float = 0.90,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return each predictor's difference from another, with an interval; see `paired_bootstrap`."""
        return paired_bootstrap(self.predictions, reference=reference, measures=measures, n=n, level=level, seed=seed)


def backtest(
    log: CustomerLog,
    predictors: Mapping[str, Predictor],
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: float,
    target: Target,
    lookback_days: float | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Backtest:
    """Refit every predictor at every cutoff on what was known then, and compare with what came.

    Parameters
    ----------
    log : the log.
    predictors : name to predictor.
    cutoffs : moments; labels must lie within the log.
    horizon_days : length of the window predicted.
    target : ``churned`` (predictors give its probability), ``spend_ahead`` (net spend) or
        ``purchase_days_ahead``.
    lookback_days : judge only customers who bought within so many days before the cutoff.
    on_step : called with a short text before each fit.

    Raises
    ------
    SchemaError
        A predictor leaves out a customer it is judged on, or repeats one.
    """
    panel = build_panel(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=())
    predictions = panel[[target]].rename(columns={target: "actual"})
    for cutoff in panel.index.unique("cutoff"):
        judged = predictions.index[predictions.index.get_level_values("cutoff") == cutoff]
        customers = judged.get_level_values("customer_id")
        for name, predictor in predictors.items():
            on_step(f"{name}, {cutoff:%Y-%m-%d}")
            found = predictor.fit(log, as_of=cutoff).forecast(log, as_of=cutoff, horizon_days=horizon_days)
            predictions.loc[judged, name] = aligned(found, customers, name=name)
    metrics = [
        {"predictor": name, "cutoff": cutoff, "customers": len(rows)} | _METRICS[target](rows["actual"], rows[name])
        for cutoff, rows in predictions.groupby("cutoff")
        for name in predictors
    ]
    return Backtest(predictions, pd.DataFrame(metrics))


def aligned(found: pd.Series, customers: pd.Index, *, name: str) -> Any:
    """Return a predictor's forecasts of the customers it is judged on, (n,) in their order.

    Raises
    ------
    SchemaError
        The predictor, called `name`, repeats a customer or leaves one out.
    """
    repeated = int(found.index.duplicated().sum())
    if repeated:
        raise SchemaError(
            f"A predictor must forecast each customer once; {name!r} repeated {repeated:,}.\n"
            "Return one row per customer_id."
        )
    absent = customers.difference(found.index)
    if len(absent):
        raise SchemaError(
            f"A predictor must forecast every customer it is judged on; {name!r} left out {len(absent):,} of "
            f"{len(customers):,}, first: {list(absent[:3])}.\nForecast everyone who bought before `as_of`."
        )
    return found.loc[customers].to_numpy()
