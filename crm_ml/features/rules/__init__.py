"""Rules over features, as a shop words them: thresholds, composed, kept as TOML."""

from crm_ml.features.rules.rule_features import rule_features
from crm_ml.features.rules.rule_text import rule_from_toml, rule_to_toml
from crm_ml.features.rules.rules import AllOf, AnyOf, Rule, Threshold, all_of, any_of

__all__ = [
    "AllOf",
    "AnyOf",
    "Rule",
    "Threshold",
    "all_of",
    "any_of",
    "rule_features",
    "rule_from_toml",
    "rule_to_toml",
]
