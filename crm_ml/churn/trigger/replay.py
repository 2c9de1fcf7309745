"""Alarms replayed at past moments, each knowing only what was known then, at equal volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_ml.churn.trigger.measures import alarm_measures
from crm_ml.churn.trigger.retention import RECENCY, RetentionTrigger, cooling, last_purchases
from crm_ml.errors import SchemaError
from crm_ml.evaluation.backtest import Predictor, aligned
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import build_panel

__all__ = ["Alarm", "AlarmReplay", "compare_alarms", "replay_alarms"]

Alarm = RetentionTrigger | Predictor
SECONDS_PER_DAY = 86_400

Choose = Callable[[pd.Timestamp, pd.Index, pd.DataFrame], pd.Index]
"""Whom to alert: of a moment, the customers who can be, and the alerts so far."""


@dataclass(frozen=True)
class AlarmReplay:
    """Who was alerted when, and what came of it.

    Attributes
    ----------
    alerts : DataFrame, one row per alert: ``alarm``, ``customer_id``, ``as_of``, ``last_purchase``, ``churned`` (1
        if nothing was bought in the horizon from `as_of`, else 0) and ``lead_days``, from the alert to the moment
        at which the silence since the last purchase has lasted for the horizon; negative where it had already.
    judged : DataFrame indexed by (customer_id, cutoff), everyone who could have been alerted: ``churned``,
        ``last_purchase``.
    alarms : names in the order given.
    """

    alerts: pd.DataFrame
    judged: pd.DataFrame
    alarms: tuple[str, ...]

    def summary(self) -> pd.DataFrame:
        """Return the measures of each alarm, indexed by ``alarm`` in the order given; see `compare_alarms`."""
        customer = self.judged.index.get_level_values("customer_id")
        silence = self.judged.groupby([customer, "last_purchase"]).ngroup()
        base_rate = self.judged.groupby("cutoff")["churned"].transform("mean")
        departures = int(silence[self.judged["churned"] == 1].nunique())
        row = self.judged.index.get_indexer(pd.MultiIndex.from_frame(self.alerts[["customer_id", "as_of"]]))
        known = self.alerts.assign(silence=silence.to_numpy()[row], base_rate=base_rate.to_numpy()[row])
        weeks = _weeks(self.judged.index.unique("cutoff"))
        measures = []
        for name in self.alarms:
            own = known[known["alarm"] == name]
            columns = (own[column].to_numpy() for column in ("churned", "lead_days", "silence", "base_rate"))
            measures.append(alarm_measures(*columns, departures=departures, weeks=weeks))
        return pd.DataFrame(measures, index=pd.Index(self.alarms, name="alarm"))


def compare_alarms(
    log: CustomerLog,
    alarms: Mapping[str, Alarm],
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: float,
    lookback_days: float,
) -> pd.DataFrame:
    """Return how right, how complete and how early alarms were at the same number of alerts.

    Parameters
    ----------
    log, alarms, cutoffs, horizon_days, lookback_days : see `replay_alarms`.

    Returns
    -------
    DataFrame
        Indexed by ``alarm``: ``alerts``; ``alerts_per_week``, NaN for a single cutoff; ``precision``, the share of
        alerts after which nothing was bought for the horizon; ``base_rate``, the precision of as many alerts drawn by
        lot at each cutoff; ``lift``, the one over the other; ``departures``, silences that lasted for the horizon
        from a cutoff at which the customer could be alerted; ``recall``, the share of them with an alert that came
        true; ``lead_days``, the median over these of the days from the first such alert to the moment at which
        the silence since the last purchase had lasted for the horizon and everyone knew.

    Examples
    --------
    >>> import crm_ml
    >>> from crm_ml.churn import PurchaseProcessBaseline
    >>> mondays = pd.date_range("2017-08-07", "2017-10-30", freq="7D")
    >>> found = compare_alarms(crm_ml.load_sample(), {"rule": RetentionTrigger(), "BG/NBD": PurchaseProcessBaseline()},
    ...                        cutoffs=mondays, horizon_days=60, lookback_days=60)
    >>> found[["alerts", "precision", "lift", "recall", "lead_days"]].round(2).rename_axis(None)
            alerts  precision  lift  recall  lead_days
    rule    1491.0       0.03  0.53    0.10      38.06
    BG/NBD  1491.0       0.19  3.47    0.58      39.06
    """
    return replay_alarms(log, alarms, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days).summary()


def replay_alarms(
    log: CustomerLog,
    alarms: Mapping[str, Alarm],
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: float,
    lookback_days: float,
) -> AlarmReplay:
    """Let triggers and predictors raise their alarms at each of many moments, one after the other.

    At each cutoff a trigger alerts whom it fires for. The first trigger also sets the pace: a predictor alerts as
    many customers as it does at that cutoff, those of the highest forecast, in order of customer_id where forecasts
    tie, and keeps the first trigger's cooldown; it alerts fewer only where nobody else is left. A predictor is fitted
    once, on what was known at the first cutoff, as a shop would that trains a model and then lives with it; whoever
    refits each month calls this for each month.

    Parameters
    ----------
    log : the log.
    alarms : name to trigger, or to predictor of the probability of churn; at least one trigger.
    cutoffs : moments, such as every Monday; labels must lie within the log.
    horizon_days : churn is no purchase for so many days from the alert.
    lookback_days : only customers who bought within so many days before a cutoff can be alerted. With no more than the
        horizon, none of them has been silent for the horizon already, and no alert comes too late.

    Raises
    ------
    SchemaError
        There is no trigger, a predictor leaves out or repeats a customer, or a cutoff is unfit; see `build_panel`.
    """
    triggers = {name: alarm for name, alarm in alarms.items() if isinstance(alarm, RetentionTrigger)}
    if not triggers:
        raise SchemaError(
            "Alarms are compared at the number of alerts of a trigger, so one of them must be a RetentionTrigger; "
            f"got {sorted(alarms)}.\nAdd one."
        )
    judged = _judged(
        build_panel(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=[RECENCY])
    )
    raised = {name: _alert(judged, _by_trigger(log, trigger)) for name, trigger in triggers.items()}
    name, trigger = next(iter(triggers.items()))
    pace, first = raised[name]["as_of"].value_counts(), judged.index.unique("cutoff")[0]
    for name, alarm in alarms.items():
        if not isinstance(alarm, RetentionTrigger):
            fitted = alarm.fit(log, as_of=first)
            ranked = _by_rank(log, fitted, horizon_days, pace=pace, cooldown_days=trigger.cooldown_days, name=name)
            raised[name] = _alert(judged, ranked)
    alerts = pd.concat([raised[name].assign(alarm=name) for name in alarms]).reset_index()
    row = judged.index.get_indexer(pd.MultiIndex.from_frame(alerts[["customer_id", "as_of"]]))
    alerts = alerts[["alarm", "customer_id", "as_of"]].assign(
        last_purchase=judged["last_purchase"].array[row], churned=judged["churned"].to_numpy()[row]
    )
    silent_days = (alerts["as_of"] - alerts["last_purchase"]).dt.total_seconds() / SECONDS_PER_DAY
    return AlarmReplay(alerts.assign(lead_days=horizon_days - silent_days), judged, tuple(alarms))


def _judged(panel: pd.DataFrame) -> pd.DataFrame:
    cutoff = pd.DatetimeIndex(panel.index.get_level_values("cutoff"))
    return panel[["churned"]].assign(last_purchase=last_purchases(panel[RECENCY], cutoff))


def _alert(judged: pd.DataFrame, choose: Choose) -> pd.DataFrame:
    """Return the alerts of all cutoffs, each chosen with those before it in view."""
    nobody = pd.Index([], name="customer_id", dtype="str")
    parts = [pd.DataFrame({"as_of": pd.Series(index=nobody, dtype="datetime64[us, UTC]")})]
    customer, at = (judged.index.get_level_values(level) for level in ("customer_id", "cutoff"))
    for cutoff in at.unique():
        who = choose(cutoff, customer[at == cutoff], pd.concat(parts))
        parts.append(pd.DataFrame({"as_of": pd.Series(cutoff, index=who, dtype="datetime64[us, UTC]")}))
    return pd.concat(parts)


def _by_trigger(log: CustomerLog, trigger: RetentionTrigger) -> Choose:
    def choose(cutoff: pd.Timestamp, eligible: pd.Index, earlier: pd.DataFrame) -> pd.Index:
        return eligible[eligible.isin(trigger.fire(log, as_of=cutoff, earlier=earlier).index)]

    return choose


def _by_rank(
    log: CustomerLog, fitted: Predictor, horizon_days: float, *, pace: pd.Series, cooldown_days: float, name: str
) -> Choose:
    def choose(cutoff: pd.Timestamp, eligible: pd.Index, earlier: pd.DataFrame) -> pd.Index:
        free = eligible[~eligible.isin(cooling(earlier, as_of=cutoff, cooldown_days=cooldown_days))]
        found = fitted.forecast(log, as_of=cutoff, horizon_days=horizon_days)
        order = np.argsort(-aligned(found, free, name=name), kind="stable")
        return free[order[: pace.get(cutoff, 0)]]

    return choose


def _weeks(cutoffs: pd.Index) -> float:
    """Return the weeks that evenly spaced cutoffs stand for, each for the time until the next."""
    if len(cutoffs) < 2:
        return float("nan")
    return float((cutoffs[-1] - cutoffs[0]) / pd.Timedelta(days=7) * len(cutoffs) / (len(cutoffs) - 1))
