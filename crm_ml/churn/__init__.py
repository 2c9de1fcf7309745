"""Who will buy nothing in the days ahead."""

from crm_ml.churn.baselines import LogisticBaseline, PurchaseProcessBaseline
from crm_ml.churn.influence import importance, partial_dependence
from crm_ml.churn.model import ChurnModel
from crm_ml.churn.trigger.replay import AlarmReplay, compare_alarms, replay_alarms
from crm_ml.churn.trigger.retention import RetentionTrigger
from crm_ml.churn.trigger.rule_text import rule_from_toml, rule_to_toml
from crm_ml.churn.trigger.rules import AllOf, AnyOf, Threshold, all_of, any_of

__all__ = [
    "AlarmReplay",
    "AllOf",
    "AnyOf",
    "ChurnModel",
    "LogisticBaseline",
    "PurchaseProcessBaseline",
    "RetentionTrigger",
    "Threshold",
    "all_of",
    "any_of",
    "compare_alarms",
    "importance",
    "partial_dependence",
    "replay_alarms",
    "rule_from_toml",
    "rule_to_toml",
]
