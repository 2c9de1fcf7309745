"""Whether the challenger takes the champion's place: judged on customers and days that neither was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import numpy as np
import pandas as pd

from crm_ml.churn.horizons import Horizons
from crm_ml.errors import ModelError, SchemaError, TooEarlyError, missing_column, out_of_range
from crm_ml.evaluation import Predictor, backtest
from crm_ml.evaluation.comparison import VALUE_MEASURES
from crm_ml.evaluation.measures.metrics import CHURN_MEASURES
from crm_ml.events.clock import Moment, days, moment, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.registry import ResolvedModel, Store, default_store, resolve
from crm_ml.registry.aliases import CHALLENGER, CHAMPION, settle

__all__ = ["Promotion", "promote"]

VALUE_DAYS: Final = 92
"""Window in which spend is predicted, unless said otherwise: as in the backtest of `assess`."""

LEVEL: Final = 0.90
_LOWER_IS_BETTER = {"brier", "log_loss", *VALUE_MEASURES}


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A decision between champion and challenger, and its evidence.

    Attributes
    ----------
    name : the registered model.
    promoted : whether the challenger is champion now.
    champion, challenger : their versions when they were judged.
    metric : what was compared.
    margin : the least relative improvement asked for.
    champion_value, challenger_value : of the metric, mean over the cutoffs.
    improvement : relative to the champion's value, above 0 where the challenger is better.
    lower, upper : 90 % interval of the improvement, from the paired bootstrap of customers.
    cutoffs : moments at which both predicted.
    horizon_days : length of the window judged after each.
    customers : rows judged, over all cutoffs.
    """

    name: str
    promoted: bool
    champion: int
    challenger: int
    metric: str
    margin: float
    champion_value: float
    challenger_value: float
    improvement: float
    lower: float
    upper: float
    cutoffs: tuple[pd.Timestamp, ...]
    horizon_days: float
    customers: int

    @property
    def window(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First and last moment of what was judged."""
        return self.cutoffs[0], stamp(moment(self.cutoffs[-1]) + days(self.horizon_days, name="horizon_days"))

    @property
    def words(self) -> str:
        """Say it in a sentence or two."""
        begin, end = self.window
        outcome = (
            f"promoted: version {self.challenger} is champion instead of version {self.champion}"
            if self.promoted
            else f"kept: version {self.champion} stays champion, version {self.challenger} challenger"
        )
        return (
            f"{self.name} {outcome}. {self.metric} {self.challenger_value:.6g} against {self.champion_value:.6g}, "
            f"{self.improvement:+.2%} better (90 % interval {self.lower:+.2%} to {self.upper:+.2%}; above 0 and "
            f"{self.margin:.2%} at least asked for); {self.customers:,} predictions, {begin:%Y-%m-%d} to "
            f"{end:%Y-%m-%d}."
        )


def promote(
    log: CustomerLog,
    name: str = "churn",
    *,
    as_of: Moment,
    metric: str | None = None,
    margin: float = 0.01,
    horizon_days: float | None = None,
    store: Store | None = None,
) -> Promotion:
    """Make the challenger champion if it predicts better what neither saw.

    Both models, as they were trained, score the same customers at the same cutoffs. The first cutoff is at or after
    the `as_of` of both trainings and the last label ends by `as_of`; cutoffs lie a horizon apart, so that no day is
    judged twice. The challenger must be better by `margin`, and the 90 % interval of how much must lie above 0.
    The decision is a tag of both versions; aliases move after it.

    Train less often than the horizon is long, or no challenger is ever old enough to be judged.

    Parameters
    ----------
    log : the log.
    name : the registered model.
    as_of : the moment up to which labels are known.
    metric : of churn ``brier`` unless told otherwise, or another of
        `crm_ml.evaluation.measures.metrics.CHURN_MEASURES`; of value ``rmse``, which the expected spend minimises
        (Gneiting 2011), or ``mae``.
    margin : the least improvement relative to the champion, in [0, 1).
    horizon_days : by default the champion's first horizon; of a value model without one, 92.
    store : the MLflow store, by default `crm_ml.registry.default_store()`.

    Raises
    ------
    TooEarlyError
        No window since both trainings is over by `as_of`; the message names the first date at which one is.
    ModelError
        There is no champion or challenger, or one does not say when it was trained.
    SchemaError
        A setting is outside its domain, the log ends before `as_of`, or all or none of the customers left.

    Examples
    --------
    >>> promote(log, as_of="2017-12-01", metric="auc").promoted  # doctest: +SKIP
    False
    """
    if not 0 <= margin < 1:
        raise SchemaError(out_of_range("margin", margin, "be at least 0 and below 1"))
    where = store or default_store()
    found = {alias: resolve(f"models:/{name}@{alias}", store=where) for alias in (CHAMPION, CHALLENGER)}
    versions = {alias: cast(int, model.version) for alias, model in found.items()}
    if versions[CHAMPION] == versions[CHALLENGER]:
        raise ModelError(
            f"A challenger must be another version than the champion. Both are version {versions[CHAMPION]} of "
            f"'{name}'.\nTrain another."
        )
    terms = _Terms.of(found[CHAMPION].model, metric=metric, horizon_days=horizon_days)
    cutoffs = _cutoffs(list(found.values()), as_of=moment(as_of), horizon_days=terms.horizon_days)
    judged = _judge(log, found, terms=terms, cutoffs=cutoffs, margin=margin)
    promotion = Promotion(name=name, champion=versions[CHAMPION], challenger=versions[CHALLENGER], **judged)
    settle(
        where,
        name,
        champion=promotion.champion,
        challenger=promotion.challenger,
        promoted=promotion.promoted,
        evidence=_evidence(promotion),
    )
    return promotion


@dataclass(frozen=True)
class _Terms:
    """What is compared: the target, the measure of it, the window."""

    target: str
    metric: str
    horizon_days: float

    @classmethod
    def of(cls, model: Any, *, metric: str | None, horizon_days: float | None) -> Self:
        churn = model.kind == "churn"
        known: Mapping[str, object] = CHURN_MEASURES if churn else VALUE_MEASURES
        chosen = metric or ("brier" if churn else "rmse")
        if chosen not in known:
            raise SchemaError(missing_column(chosen, known, what="measures", remedy="Name one of these."))
        if horizon_days is None:
            horizon_days = Horizons.of(getattr(model, "horizon_days", VALUE_DAYS)).ends[0]
        return cls("churned" if churn else "spend_ahead", chosen, horizon_days)


class _AsTrained:
    """A model that stays as it was trained."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:  # noqa: ARG002  # the backtest's signature
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        found: pd.Series = self.model.forecast(log, as_of=as_of, horizon_days=horizon_days)
        return found


def _cutoffs(models: Sequence[ResolvedModel], *, as_of: int, horizon_days: float) -> pd.DatetimeIndex:
    horizon = days(horizon_days, name="horizon_days")
    unseen = max(_trained_as_of(model) for model in models)
    windows = (as_of - unseen) // horizon
    if windows < 1:
        raise TooEarlyError(
            f"A window must begin after both trainings and be over by `as_of`. They saw what was before "
            f"{stamp(unseen)}, a window has {horizon_days:g} days, and `as_of` is {stamp(as_of)}.\n"
            f"Judge from {stamp(unseen + horizon)} on."
        )
    return stamps(as_of - horizon * np.arange(windows, 0, -1))


def _trained_as_of(model: ResolvedModel) -> int:
    if "as_of" not in model.metadata:
        raise ModelError(
            f"A model that is judged must say when it was trained. '{model.source}' has no `as_of` in its bundle's "
            f"metadata, only {sorted(model.metadata)}.\nTrain and track it with crm_ml.scoring.train."
        )
    return moment(model.metadata["as_of"])


def _judge(
    log: CustomerLog,
    models: Mapping[str, ResolvedModel],
    *,
    terms: _Terms,
    cutoffs: pd.DatetimeIndex,
    margin: float,
) -> dict[str, Any]:
    """Return the fields of the promotion that the evidence fills."""
    lookbacks = [getattr(found.model, "lookback_days", None) for found in models.values()]
    done = backtest(
        log,
        {alias: cast(Predictor, _AsTrained(found.model)) for alias, found in models.items()},
        cutoffs=cutoffs,
        horizon_days=terms.horizon_days,
        target=cast(Any, terms.target),
        lookback_days=min((found for found in lookbacks if found is not None), default=None),
    )
    values = done.summary()[terms.metric]
    ((difference, lower, upper),) = done.compare(CHAMPION, measures=[terms.metric], level=LEVEL)[
        ["difference", "lower", "upper"]
    ].to_numpy()
    sign, base = (-1 if terms.metric in _LOWER_IS_BETTER else 1), float(values[CHAMPION]) or np.inf
    improvement, least, most = (float(sign * found / base) for found in (difference, lower, upper))
    least, most = sorted((least, most))
    return {
        "promoted": bool(improvement >= margin and least > 0),
        "metric": terms.metric,
        "margin": margin,
        "champion_value": float(values[CHAMPION]),
        "challenger_value": float(values[CHALLENGER]),
        "improvement": improvement,
        "lower": least,
        "upper": most,
        "cutoffs": tuple(cutoffs),
        "horizon_days": terms.horizon_days,
        "customers": len(done.predictions),
    }


def _evidence(found: Promotion) -> dict[str, object]:
    fields = ("metric", "margin", "champion_value", "challenger_value", "improvement", "lower", "upper")
    return {
        **{field: getattr(found, field) for field in fields},
        "cutoffs": [cutoff.isoformat() for cutoff in found.cutoffs],
        "horizon_days": found.horizon_days,
        "window": [end.isoformat() for end in found.window],
        "customers": found.customers,
    }
