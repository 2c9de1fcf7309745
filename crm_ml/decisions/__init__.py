"""Decisions: who gets which offer within a budget, whether it worked, and who is in which segment."""

from crm_ml.decisions.budget import BudgetConstraints, BudgetPlan, Offer, allocate_budget
from crm_ml.decisions.experiments import (
    Baseline,
    ExperimentDesign,
    ExperimentReading,
    design_experiment,
    experiment_outcomes,
    experiment_power,
    minimum_detectable_effect,
    read_experiment,
    sample_ratio,
    sample_size,
)
from crm_ml.decisions.segments import RFMSegments
from crm_ml.decisions.uplift import (
    PolicyValue,
    UpliftModel,
    auuc,
    cross_fitted_uplift,
    effect_groups,
    plan_within_folds,
    policy_value,
    qini,
    qini_curve,
)

__all__ = [
    "Baseline",
    "BudgetConstraints",
    "BudgetPlan",
    "ExperimentDesign",
    "ExperimentReading",
    "Offer",
    "PolicyValue",
    "RFMSegments",
    "UpliftModel",
    "allocate_budget",
    "auuc",
    "cross_fitted_uplift",
    "design_experiment",
    "effect_groups",
    "experiment_outcomes",
    "experiment_power",
    "minimum_detectable_effect",
    "plan_within_folds",
    "policy_value",
    "qini",
    "qini_curve",
    "read_experiment",
    "sample_ratio",
    "sample_size",
]
