"""Features as of a cutoff, labels after it, and panels of both."""

from crm_ml.features.builders.basket import Basket, Discounts
from crm_ml.features.builders.category import CategoryRFM
from crm_ml.features.builders.decline import ActivityDecline, InteractionDecline
from crm_ml.features.builders.event_counts import DayStreak, EventCount
from crm_ml.features.builders.horizon import PersonalHorizon
from crm_ml.features.builders.rfm import RFM, PurchaseRegularity, PurchaseSummary
from crm_ml.features.builders.season import Seasonality
from crm_ml.features.builders.stretch import IntervalStretch
from crm_ml.features.feature import Feature, FeatureBuilder, SweepingBuilder, register_builder
from crm_ml.features.feature_set import DEFAULT_FEATURES, GROUPS, FeatureSet, catalogue
from crm_ml.features.history import History
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.panels.panel import build_features, build_panel, iter_features
from crm_ml.features.panels.state import FeatureState
from crm_ml.features.panels.writing import write_features, write_panel
from crm_ml.features.past import Past
from crm_ml.features.rules import AllOf, AnyOf, Rule, Threshold, all_of, any_of, rule_from_toml, rule_to_toml

__all__ = [
    "DEFAULT_FEATURES",
    "GROUPS",
    "LABEL_COLUMNS",
    "RFM",
    "ActivityDecline",
    "AllOf",
    "AnyOf",
    "Basket",
    "CategoryRFM",
    "DayStreak",
    "Discounts",
    "EventCount",
    "Feature",
    "FeatureBuilder",
    "FeatureSet",
    "FeatureState",
    "History",
    "InteractionDecline",
    "IntervalStretch",
    "Past",
    "PersonalHorizon",
    "PurchaseRegularity",
    "PurchaseSummary",
    "Rule",
    "Seasonality",
    "SweepingBuilder",
    "Threshold",
    "all_of",
    "any_of",
    "build_features",
    "build_panel",
    "catalogue",
    "iter_features",
    "register_builder",
    "rule_from_toml",
    "rule_to_toml",
    "write_features",
    "write_panel",
]
