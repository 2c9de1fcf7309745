"""Churn and value models as one kernel: what becomes of some customers at a moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pandas as pd

from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.clv.summary import in_units
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import PurchaseSummary
from crm_ml.features.feature_set import FeatureSet
from crm_ml.features.panels.panel import feature_frame
from crm_ml.features.panels.sweep import Sweep

__all__ = ["Scored", "Scorer", "churn_scores", "clv_scores"]


@dataclass(frozen=True)
class Scored:
    """Some customers' scores, and the churn model's features that they came from; None without such a model."""

    scores: pd.DataFrame
    features: pd.DataFrame | None


@dataclass(frozen=True)
class Scorer:
    """What scores a bucket; the same from any thread and whatever the bucket.

    Attributes
    ----------
    as_of : UTC; nothing at or after it is looked at.
    sweep : over the churn model's features, or without one over the purchase histories.
    churn, clv : fitted models, or None.
    settings : of the value model's `predict`.
    reasons : how many reasons each customer gets.
    """

    as_of: pd.Timestamp
    sweep: Sweep
    churn: ChurnModel | None
    clv: CLVModel | None
    settings: Mapping[str, float]
    reasons: int

    @classmethod
    def of(
        cls,
        log: CustomerLog,
        *,
        as_of: Moment,
        churn: ChurnModel | None = None,
        clv: CLVModel | None = None,
        settings: Mapping[str, float] | None = None,
        reasons: int = 0,
    ) -> Self:
        """Return the scorer of a log's customers."""
        at = moment(as_of)
        sweep = Sweep.of(log, [at], features=_HISTORIES if churn is None else churn.feature_set)
        return cls(stamp(at), sweep, churn, clv, settings or {}, reasons)

    @property
    def looks_at_interactions(self) -> bool:
        """Whether buckets must come with their interactions."""
        return self.sweep.looks_at_interactions

    def __call__(self, bucket: Bucket) -> Scored:
        """Score everyone in a bucket who bought before the moment."""
        history = self.sweep.history(bucket)
        features = feature_frame(self.sweep.part(history))
        frames = []
        if self.churn is not None:
            frames.append(churn_scores(features, self.churn, as_of=self.as_of))
        if self.churn is not None and self.reasons:
            frames.append(_reasons(self.churn, features, self.reasons))
        if self.clv is not None:
            histories = feature_frame(dataclasses.replace(self.sweep, features=_HISTORIES).part(history))
            summary = in_units(histories, self.clv.time_unit)
            frames.append(clv_scores(summary, self.clv, as_of=self.as_of, **self.settings))
        return Scored(pd.concat(frames, axis=1), None if self.churn is None else features)


def churn_scores(features: pd.DataFrame, model: ChurnModel, *, as_of: Moment) -> pd.DataFrame:
    """Return the scores of `predict_churn` of some customers, given their features at `as_of`."""
    return model.predict(features).assign(as_of=stamp(moment(as_of)))


def clv_scores(summary: pd.DataFrame, model: CLVModel, *, as_of: Moment, **settings: float) -> pd.DataFrame:
    """Return the values of `predict_clv` of some customers, given their purchases before `as_of`."""
    return model.predict(summary.assign(as_of=stamp(moment(as_of))), **settings)


_HISTORIES = FeatureSet((PurchaseSummary(),), tuple(feature.name for feature in PurchaseSummary().describe()))


def _reasons(churn: ChurnModel, features: pd.DataFrame, count: int) -> pd.DataFrame:
    told = churn.explain(features, top=count).pivot_table("text", "customer_id", "rank", aggfunc="first")
    return told.reindex(index=features.index, columns=range(1, count + 1)).add_prefix("reason_")
