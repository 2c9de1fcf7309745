"""When customers buy next, and what they replenish."""

from crm_ml.decisions.timing.coverage import coverage_curve, interval_coverage, purchase_outcomes
from crm_ml.decisions.timing.model import NextPurchaseModel
from crm_ml.decisions.timing.replenishment import replenishment, replenishment_due

__all__ = [
    "NextPurchaseModel",
    "coverage_curve",
    "interval_coverage",
    "purchase_outcomes",
    "replenishment",
    "replenishment_due",
]
