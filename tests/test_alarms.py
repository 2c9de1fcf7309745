"""Alarms replayed at past moments agree with a plain replay of the same events, one alert at a time."""

from __future__ import annotations

import statistics
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from crm_ml import CustomerLog, simulate
from crm_ml.churn import PurchaseProcessBaseline, RetentionTrigger, compare_alarms, replay_alarms
from crm_ml.churn.trigger.measures import alarm_measures
from crm_ml.errors import SchemaError
from crm_ml.features import Threshold, any_of

DAY = pd.Timedelta(days=1)
SHOP = simulate(250, days=400, start="2024-01-01", seed=11, n_campaigns=0, purchase_scale_days=20.0)
LOG = CustomerLog(SHOP.transactions, SHOP.interactions)
MONDAYS = pd.date_range("2024-08-05", "2024-11-25", freq="7D", tz="UTC")
HOW: dict[str, Any] = {"cutoffs": MONDAYS, "horizon_days": 40, "lookback_days": 60}
RULE = any_of(Threshold("recency_days", ">", 25), Threshold("recency_days", "<=", 2))
TRIGGER = RetentionTrigger(rule=RULE, cooldown_days=21)
EVENTS = SHOP.transactions[SHOP.transactions["amount"] >= 0]
BOUGHT = {str(name): sorted(times) for name, times in EVENTS.groupby("customer_id")["timestamp"]}


class Silence:
    """Forecasts churn from whole weeks of silence, so that many customers tie."""

    fitted: tuple[pd.Timestamp, ...] = ()

    def fit(self, log: CustomerLog, *, as_of: Any) -> Self:
        assert log is LOG
        self.fitted = (*self.fitted, as_of)
        return self

    def forecast(self, log: CustomerLog, *, as_of: Any, horizon_days: float) -> pd.Series:
        assert log is LOG
        assert horizon_days == 40
        known = {name: last(name, as_of) for name in reversed(BOUGHT) if last(name, as_of) is not None}
        return pd.Series({name: float((as_of - when) // (7 * DAY)) for name, when in known.items()})


def last(customer: str, cutoff: pd.Timestamp) -> Any:
    return max((time for time in BOUGHT[customer] if time < cutoff), default=None)


def churned(customer: str, cutoff: pd.Timestamp) -> bool:
    return not any(cutoff <= time < cutoff + 40 * DAY for time in BOUGHT[customer])


def eligible(cutoff: pd.Timestamp) -> list[str]:
    return [name for name in sorted(BOUGHT) if (when := last(name, cutoff)) is not None and when >= cutoff - 60 * DAY]


def rule_fires(customer: str, cutoff: pd.Timestamp) -> bool:
    waited = cutoff - last(customer, cutoff)
    return waited > 25 * DAY or waited <= 2 * DAY


def plain_replay(which: str) -> list[tuple[str, pd.Timestamp]]:
    """Alert customer by customer."""
    last_alert: dict[str, dict[str, pd.Timestamp]] = {"rule": {}, "silence": {}}
    raised: dict[str, list[tuple[str, pd.Timestamp]]] = {"rule": [], "silence": []}
    for cutoff in MONDAYS:
        free = {
            alarm: [c for c in eligible(cutoff) if c not in seen or cutoff - seen[c] >= 21 * DAY]
            for alarm, seen in last_alert.items()
        }
        fired = [customer for customer in free["rule"] if rule_fires(customer, cutoff)]
        ranked = sorted(free["silence"], key=lambda c: (-((cutoff - last(c, cutoff)) // (7 * DAY)), c))
        for alarm, chosen in (("rule", fired), ("silence", ranked[: len(fired)])):
            raised[alarm] += [(customer, cutoff) for customer in chosen]
            last_alert[alarm] |= dict.fromkeys(chosen, cutoff)
    return raised[which]


def plain_measures(alerts: list[tuple[str, pd.Timestamp]]) -> dict[str, float]:
    rows = [(customer, cutoff) for cutoff in MONDAYS for customer in eligible(cutoff)]
    rates = {
        cutoff: statistics.fmean(churned(customer, cutoff) for customer, at in rows if at == cutoff)
        for cutoff in MONDAYS
    }
    departures = {(customer, last(customer, cutoff)) for customer, cutoff in rows if churned(customer, cutoff)}
    leads: dict[Any, float] = {}
    for customer, cutoff in alerts:
        if churned(customer, cutoff):
            begun = last(customer, cutoff)
            leads.setdefault((customer, begun), (begun + 40 * DAY - cutoff) / DAY)
    precision = statistics.fmean(churned(*alert) for alert in alerts)
    by_lot = statistics.fmean(rates[cutoff] for _, cutoff in alerts)
    return {
        "alerts": len(alerts),
        "alerts_per_week": len(alerts) / len(MONDAYS),
        "precision": precision,
        "base_rate": by_lot,
        "lift": precision / by_lot,
        "departures": len(departures),
        "recall": len(leads) / len(departures),
        "lead_days": statistics.median(leads.values()),
    }


def test_the_replay_agrees_with_a_plain_one() -> None:
    silence = Silence()
    replay = replay_alarms(LOG, {"silence": silence, "rule": TRIGGER}, **HOW)
    assert silence.fitted == (MONDAYS[0],)
    assert replay.alarms == ("silence", "rule")
    for name in ("rule", "silence"):
        expected = plain_replay(name)
        own = replay.alerts[replay.alerts["alarm"] == name]
        assert list(zip(own["customer_id"], own["as_of"], strict=True)) == expected
        assert own["last_purchase"].tolist() == [last(*alert) for alert in expected]
        assert own["churned"].tolist() == [float(churned(*alert)) for alert in expected]
        lead = [(last(*alert) + 40 * DAY - alert[1]) / DAY for alert in expected]
        np.testing.assert_allclose(own["lead_days"], lead, rtol=0, atol=1e-9)
        found = replay.summary().loc[name].to_dict()
        assert found == pytest.approx(plain_measures(expected), rel=1e-12)
    assert replay.alerts.groupby(["alarm", "customer_id"]).size().max() > 2
    assert (replay.alerts["lead_days"] < 0).any()  # the lookback is longer than the horizon


def test_the_comparison_is_the_replays_summary_at_equal_volume() -> None:
    alarms = {"rule": TRIGGER, "BG/NBD": PurchaseProcessBaseline()}
    how = HOW | {"lookback_days": 40}
    table = compare_alarms(LOG, alarms, **how)
    pd.testing.assert_frame_equal(table, replay_alarms(LOG, alarms, **how).summary())
    replay = replay_alarms(LOG, alarms, **how)
    volume = replay.alerts.groupby("alarm")["as_of"].value_counts()
    assert volume["rule"].sort_index().equals(volume["BG/NBD"].sort_index())
    assert (replay.alerts["lead_days"] >= 0).all()
    assert table.index.tolist() == ["rule", "BG/NBD"]


def test_the_first_trigger_sets_the_pace() -> None:
    few = RetentionTrigger(rule=Threshold("recency_days", ">", 35), cooldown_days=100)
    found = compare_alarms(LOG, {"silence": Silence(), "few": few, "many": TRIGGER}, **HOW)
    assert found.loc["silence", "alerts"] == found.loc["few", "alerts"] < found.loc["many", "alerts"]
    alone = compare_alarms(LOG, {"many": TRIGGER}, **HOW)
    pd.testing.assert_frame_equal(alone, found.loc[["many"]])


def test_a_predictor_alerts_fewer_only_where_nobody_is_left() -> None:
    anyone = RetentionTrigger(rule=Threshold("recency_days", ">", 0), cooldown_days=0, lookback_days=60)
    found = replay_alarms(LOG, {"all": anyone, "silence": Silence()}, **HOW)
    sizes = found.alerts["alarm"].value_counts()
    assert sizes["all"] == sizes["silence"] == len(found.judged)


def test_without_alerts_there_is_nothing_to_measure() -> None:
    never = RetentionTrigger(rule=Threshold("recency_days", "<", 0))
    found = compare_alarms(LOG, {"never": never, "silence": Silence()}, **HOW)
    assert found["alerts"].tolist() == [0, 0]
    assert found["recall"].tolist() == [0, 0]
    assert found[["precision", "base_rate", "lift", "lead_days"]].isna().all(axis=None)
    assert found["departures"].gt(0).all()


def test_a_single_cutoff_has_no_alerts_per_week() -> None:
    found = compare_alarms(LOG, {"rule": TRIGGER}, **(HOW | {"cutoffs": MONDAYS[:1]}))
    assert found["alerts_per_week"].isna().all()
    assert found["alerts"].item() > 0


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(SchemaError, match=r"one of them must be a RetentionTrigger; got \['silence'\]\.\nAdd one"):
        compare_alarms(LOG, {"silence": Silence()}, **HOW)
    with pytest.raises(SchemaError, match="Every label window must lie within the log"):
        compare_alarms(LOG, {"rule": TRIGGER}, **(HOW | {"cutoffs": [LOG.end]}))

    class Half(Silence):
        def forecast(self, log: CustomerLog, *, as_of: Any, horizon_days: float) -> pd.Series:
            return super().forecast(log, as_of=as_of, horizon_days=horizon_days).iloc[::2]

    with pytest.raises(SchemaError, match="must forecast every customer it is judged on; 'half' left out"):
        compare_alarms(LOG, {"rule": TRIGGER, "half": Half()}, **HOW)


def test_measures_by_hand() -> None:
    found = alarm_measures(
        np.array([1.0, 0.0, 1.0, 1.0, 0.0]),
        np.array([12.0, 40.0, 30.0, 9.0, 2.0]),
        np.array([4, 5, 6, 6, 4]),
        np.array([0.2, 0.2, 0.4, 0.4, 0.3]),
        departures=5,
        weeks=2.5,
    )
    assert found == pytest.approx(
        {
            "alerts": 5,
            "alerts_per_week": 2.0,
            "precision": 0.6,
            "base_rate": 0.3,
            "lift": 2.0,
            "departures": 5,
            "recall": 0.4,
            "lead_days": 21.0,
        }
    )
