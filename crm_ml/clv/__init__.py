"""What each customer is worth: purchase processes, spend, and customer lifetime value."""

from crm_ml.clv.baselines import LifetimesBaseline, SpendRateBaseline
from crm_ml.clv.choice.blend import BlendedValue
from crm_ml.clv.choice.panel_value import PanelValueModel
from crm_ml.clv.diagnostics.tracking import weekly_purchases
from crm_ml.clv.model import CLVModel
from crm_ml.clv.processes import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.spend import GammaGammaModel
from crm_ml.clv.summary import rfm_summary

__all__ = [
    "BetaGeoBetaBinomModel",
    "BetaGeoCNBDModel",
    "BetaGeoModel",
    "BlendedValue",
    "CLVModel",
    "GammaGammaModel",
    "LifetimesBaseline",
    "ModifiedBetaGeoCNBDModel",
    "ModifiedBetaGeoModel",
    "PanelValueModel",
    "ParetoNBDModel",
    "SpendRateBaseline",
    "rfm_summary",
    "weekly_purchases",
]
