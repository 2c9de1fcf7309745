"""When customers buy next, and what they are due to replenish."""

from crm_ml.decisions.timing.coverage import coverage_curve, interval_coverage, purchase_outcomes
from crm_ml.decisions.timing.model import NextPurchaseModel
from crm_ml.decisions.timing.replenishment import iter_replenishment_due, replenishment, replenishment_due

__all__ = [
    "NextPurchaseModel",
    "coverage_curve",
    "interval_coverage",
    "iter_replenishment_due",
    "purchase_outcomes",
    "replenishment",
    "replenishment_due",
]
