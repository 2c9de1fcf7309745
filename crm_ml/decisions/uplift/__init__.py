"""Uplift: what an offer changes for each customer, learnt from experiments, and what a plan is really worth."""

from crm_ml.decisions.uplift.calibration import effect_groups
from crm_ml.decisions.uplift.cross_fitting import cross_fitted_uplift, plan_within_folds
from crm_ml.decisions.uplift.model import UpliftModel
from crm_ml.decisions.uplift.policy import PolicyValue, policy_value
from crm_ml.decisions.uplift.qini import auuc, qini, qini_curve

__all__ = [
    "PolicyValue",
    "UpliftModel",
    "auuc",
    "cross_fitted_uplift",
    "effect_groups",
    "plan_within_folds",
    "policy_value",
    "qini",
    "qini_curve",
]
