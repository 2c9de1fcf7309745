"""Features as of a cutoff, labels after it, and panels of both."""

from crm_ml.features.builders.decline import InteractionDecline
from crm_ml.features.builders.rfm import RFM, PurchaseRegularity, PurchaseSummary
from crm_ml.features.builders.stretch import IntervalStretch
from crm_ml.features.feature import Feature, FeatureBuilder, catalogue, register_builder
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.panel import DEFAULT_FEATURES, build_features, build_panel, iter_features
from crm_ml.features.past import Past

__all__ = [
    "DEFAULT_FEATURES",
    "LABEL_COLUMNS",
    "RFM",
    "Feature",
    "FeatureBuilder",
    "InteractionDecline",
    "IntervalStretch",
    "Past",
    "PurchaseRegularity",
    "PurchaseSummary",
    "build_features",
    "build_panel",
    "catalogue",
    "iter_features",
    "register_builder",
]
