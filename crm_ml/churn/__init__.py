"""Who will buy nothing in the days ahead."""

from crm_ml.churn.baselines import LogisticBaseline, PurchaseProcessBaseline
from crm_ml.churn.influence import importance, partial_dependence
from crm_ml.churn.model import ChurnModel
from crm_ml.churn.trigger.replay import AlarmReplay, compare_alarms, replay_alarms
from crm_ml.churn.trigger.retention import RetentionTrigger

__all__ = [
    "AlarmReplay",
    "ChurnModel",
    "LogisticBaseline",
    "PurchaseProcessBaseline",
    "RetentionTrigger",
    "compare_alarms",
    "importance",
    "partial_dependence",
    "replay_alarms",
]
