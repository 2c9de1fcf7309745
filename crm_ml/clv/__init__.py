"""What each customer is worth: purchase processes, spend, and customer lifetime value."""

from crm_ml.clv.baselines import LifetimesBaseline, SpendRateBaseline
from crm_ml.clv.choice.blend import BlendedValue
from crm_ml.clv.choice.panel_value import PanelValueModel
from crm_ml.clv.covariates import CovariateModel
from crm_ml.clv.diagnostics.by_frequency import customers_by_frequency, holdout_by_frequency
from crm_ml.clv.diagnostics.history import alive_history
from crm_ml.clv.diagnostics.interpurchase import interpurchase_times
from crm_ml.clv.diagnostics.matrices import expected_purchases_matrix, probability_alive_matrix
from crm_ml.clv.diagnostics.spend import spend_distribution
from crm_ml.clv.diagnostics.tracking import weekly_purchases
from crm_ml.clv.interop import from_lifetimes, to_lifetimes
from crm_ml.clv.model import CLVModel
from crm_ml.clv.processes import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.spend import GammaGammaModel, SpendRegression
from crm_ml.clv.summary import rfm_summary
from crm_ml.clv.uncertainty.bootstrap import weighted_bootstrap

__all__ = [
    "BetaGeoBetaBinomModel",
    "BetaGeoCNBDModel",
    "BetaGeoModel",
    "BlendedValue",
    "CLVModel",
    "CovariateModel",
    "GammaGammaModel",
    "LifetimesBaseline",
    "ModifiedBetaGeoCNBDModel",
    "ModifiedBetaGeoModel",
    "PanelValueModel",
    "ParetoNBDModel",
    "SpendRateBaseline",
    "SpendRegression",
    "alive_history",
    "customers_by_frequency",
    "expected_purchases_matrix",
    "from_lifetimes",
    "holdout_by_frequency",
    "interpurchase_times",
    "probability_alive_matrix",
    "rfm_summary",
    "spend_distribution",
    "to_lifetimes",
    "weekly_purchases",
    "weighted_bootstrap",
]
