"""`RetentionTrigger`: the rule that shops use to notice who drifts away."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.events.clock import DAY, Moment, days, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature import Builder, to_spec
from crm_ml.features.panels.panel import build_features
from crm_ml.features.rules.rule_features import FALL, rule_features
from crm_ml.features.rules.rule_text import rule_to_toml
from crm_ml.features.rules.rules import Bool, Rule, Threshold, all_of

__all__ = ["RECENCY", "RetentionTrigger", "cooling", "last_purchases"]

RECENCY = "recency_days"


@dataclass(frozen=True, kw_only=True)
class RetentionTrigger:
    """Fires for customers who wait longer than they use to and do less than they used to, or by any other rule.

    The purchase interval is `interval_stretch` of `crm_ml.features.IntervalStretch`: days since the last purchase
    day over the customer's usual gap, − 1. Interactions are `interaction_decline` of
    `crm_ml.features.ActivityDecline`: those of all types in the last 30 days over the mean of the three windows
    before, − 1. A customer without interactions in the earlier windows, or ever, has nothing to fall from and does
    not fire. Both bounds belong to the rule: +30 % and −50 % fire; see `Threshold` for what equal means.

    Parameters
    ----------
    interval_stretch : least stretch of the interval, as a share; at least 0.
    interaction_decline : least fall of interactions, as a share; above 0 and at most 1.
    rule : instead of the two numbers, any rule over features.
    features : builders of columns that the rule names beside those of `crm_ml.features.GROUPS` and
        `ActivityDecline()`, whose place they may take: ``ActivityDecline(event_types=("view", "cart"))`` has
        only views and carts fall.
    lookback_days : only customers who bought within so many days before the moment are looked at; quantiles are
        over them. None for all who ever bought.
    cooldown_days : two alerts of a customer are at least so many days apart; 0 for no such rule.

    Raises
    ------
    SchemaError
        A setting is outside its domain, or both a rule and numbers are given.

    Examples
    --------
    >>> import crm_ml
    >>> log, trigger = crm_ml.load_sample(), RetentionTrigger()
    >>> alerts = trigger.fire(log, as_of="2017-10-01")
    >>> alerts[["interval_stretch", "interaction_decline"]].round(2).head(2).values.tolist()
    [[1.47, -1.0], [3.48, -1.0]]
    >>> len(trigger.fire(log, as_of="2017-10-02", earlier=alerts).index.intersection(alerts.index))
    0
    """

    interval_stretch: float = 0.30
    interaction_decline: float = 0.50
    rule: Rule | None = None
    features: Sequence[Builder] = ()
    lookback_days: float | None = 180
    cooldown_days: float = 30

    def __post_init__(self) -> None:
        if not 0 <= self.interval_stretch < math.inf:
            raise SchemaError(out_of_range("interval_stretch", self.interval_stretch, "be at least 0 and finite"))
        if not 0 < self.interaction_decline <= 1:
            rule = "be above 0 and at most 1, a share"
            raise SchemaError(out_of_range("interaction_decline", self.interaction_decline, rule))
        numbers = (self.interval_stretch, self.interaction_decline)
        if self.rule is not None and numbers != (type(self).interval_stretch, type(self).interaction_decline):
            raise SchemaError(
                f"A trigger must have either a rule or two numbers; got {self.rule} and {numbers}.\n"
                "Write the numbers into the rule as thresholds."
            )
        if self.lookback_days is not None:
            days(self.lookback_days, name="lookback_days")
        if not 0 <= self.cooldown_days < math.inf:
            raise SchemaError(out_of_range("cooldown_days", self.cooldown_days, "be at least 0 and finite"))
        object.__setattr__(self, "features", tuple(self.features))

    @property
    def condition(self) -> Rule:
        """The rule that fires: the one given, or that of the two numbers."""
        return self.rule or all_of(
            Threshold("interval_stretch", ">=", self.interval_stretch), Threshold(FALL, "<=", -self.interaction_decline)
        )

    def fire(self, log: CustomerLog, *, as_of: Moment, earlier: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the alerts at a moment, from events before it only.

        Parameters
        ----------
        log : the log.
        as_of : the moment.
        earlier : alerts of earlier moments, as this method returned them or joined by ``pandas.concat``, for the
            cooldown; of anyone's making, as long as they are indexed by ``customer_id`` and have a column ``as_of``.
            Later ones are passed over. None for no alerts so far.

        Returns
        -------
        DataFrame
            Indexed by customer_id in order: ``as_of``; ``alert_key``, which stays the same while the customer does
            not buy, whenever the trigger fires, and differs between customers, rules and builders;
            ``last_purchase``; and the value of each feature that the rule looks at.

        Raises
        ------
        SchemaError
            Nobody bought before `as_of`, the rule names a feature that cannot be built, or `earlier` lacks
            ``customer_id`` or ``as_of``.
        """
        known = self._known(log, as_of)
        fires = self._fires(known, as_of)
        if earlier is not None:
            fires &= ~known.index.isin(cooling(earlier, as_of=as_of, cooldown_days=self.cooldown_days))
        fired = known[fires]
        bought = last_purchases(fired[RECENCY], stamp(moment(as_of)))
        identity = (rule_to_toml(self.condition), *map(to_spec, self.features))
        keys = [_key(identity, customer, at) for customer, at in zip(fired.index, bought.asi8.tolist(), strict=True)]
        alerts = fired[list(self.condition.columns)]
        alerts.insert(0, "as_of", stamp(moment(as_of)))
        alerts.insert(1, "alert_key", pd.Series(keys, index=alerts.index, dtype="str"))
        alerts.insert(2, "last_purchase", bought)
        return alerts

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:  # noqa: ARG002  # a rule has nothing to learn
        """Return the trigger itself, for the backtest."""
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:  # noqa: ARG002  # a rule has no horizon
        """Return 1 where the rule fires, else 0, for everyone who bought before `as_of`, for the backtest."""
        known = self._known(log, as_of)
        return pd.Series(self._fires(known, as_of).astype(np.float64), index=known.index)

    def _known(self, log: CustomerLog, as_of: Moment) -> pd.DataFrame:
        """Return recency and the rule's features of everyone who bought before a moment."""
        columns = tuple(dict.fromkeys((RECENCY, *self.condition.columns)))
        features = rule_features(columns, log, first_cutoff=as_of, features=self.features)
        return build_features(log, as_of=as_of, features=features)

    def _fires(self, known: pd.DataFrame, as_of: Moment) -> Bool:
        fires = np.ones(len(known), dtype=bool)
        if self.lookback_days is not None:
            cutoff = moment(as_of)
            since = stamp(cutoff - days(self.lookback_days, name="lookback_days"))
            fires = last_purchases(known[RECENCY], stamp(cutoff)) >= since
        fires[fires] = self.condition.fires(known[fires])
        return fires


def _key(identity: Sequence[Any], customer: str, last_purchase: int) -> str:
    told = json.dumps([*identity, customer, last_purchase], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def last_purchases(recency_days: pd.Series, cutoff: pd.Timestamp | pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the moments of the last purchase before a cutoff, or before one each, to the microsecond.

    A float64 of days holds 35 years of microseconds exactly.

    >>> last_purchases(pd.Series([0.25, 1e-6 / 86_400]), pd.Timestamp("2024-01-02", tz="UTC")).astype(str).tolist()
    ['2024-01-01 18:00:00.000000+00:00', '2024-01-01 23:59:59.999999+00:00']
    """
    ago = pd.to_timedelta(np.rint(recency_days.to_numpy() * DAY).astype(np.int64), unit="us")
    return pd.DatetimeIndex(cutoff - ago).as_unit("us")


def cooling(earlier: pd.DataFrame, *, as_of: Moment, cooldown_days: float) -> pd.Index:
    """Return the customers who were alerted at `as_of` or less than so many days before it.

    Parameters
    ----------
    earlier : alerts indexed by ``customer_id`` with a column ``as_of``, in which a moment without a zone is UTC.

    Raises
    ------
    SchemaError
        `earlier` lacks the one or the other.

    Examples
    --------
    >>> alerts = pd.DataFrame({"as_of": ["2024-01-01", "2024-01-02"]}, index=pd.Index(["a", "b"], name="customer_id"))
    >>> cooling(alerts, as_of="2024-01-08", cooldown_days=7).tolist()
    ['b']
    """
    remedy = "Give the frames that `fire` returned, joined by pandas.concat."
    if "as_of" not in earlier.columns:
        raise SchemaError(missing_column("as_of", earlier.columns, what="earlier alerts", remedy=remedy))
    if earlier.index.name != "customer_id":
        raise SchemaError(
            f"Earlier alerts must be indexed by customer_id; their index is named {earlier.index.name!r}.\n{remedy}"
        )
    ago = stamp(moment(as_of)) - pd.to_datetime(earlier["as_of"], utc=True)
    recent = (ago >= pd.Timedelta(0)) & (ago < pd.Timedelta(round(cooldown_days * DAY), "us"))
    return earlier.index[recent].astype("str")
