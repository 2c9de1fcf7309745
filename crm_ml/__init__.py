"""Which customers are about to leave, what each one is worth, and where the next retention dollar goes."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crm_ml.churn import ChurnModel
    from crm_ml.clv import CLVModel
    from crm_ml.decisions import (
        BudgetConstraints,
        BudgetPlan,
        Lifecycle,
        MembershipScore,
        NextPurchaseModel,
        Offer,
        RFMSegments,
        Segment,
        SegmentPolicy,
        UpliftModel,
        allocate_budget,
        base_health,
        cohort_retention,
        design_experiment,
        experiment_outcomes,
        lifecycle_stages,
        policy_value,
        read_experiment,
        segment_history,
    )
    from crm_ml.evaluation import backtest
    from crm_ml.events import CustomerLog, SimulatedShop, load_sample, monthly_cutoffs, simulate
    from crm_ml.features import build_features, build_panel
    from crm_ml.scoring import customer_base, predict_churn, predict_clv, run_main_job

__all__ = [
    "BudgetConstraints",
    "BudgetPlan",
    "CLVModel",
    "ChurnModel",
    "CustomerLog",
    "Lifecycle",
    "MembershipScore",
    "NextPurchaseModel",
    "Offer",
    "RFMSegments",
    "Segment",
    "SegmentPolicy",
    "SimulatedShop",
    "UpliftModel",
    "allocate_budget",
    "backtest",
    "base_health",
    "build_features",
    "build_panel",
    "cohort_retention",
    "customer_base",
    "design_experiment",
    "experiment_outcomes",
    "lifecycle_stages",
    "load_sample",
    "monthly_cutoffs",
    "policy_value",
    "predict_churn",
    "predict_clv",
    "read_experiment",
    "run_main_job",
    "segment_history",
    "simulate",
]

_PACKAGES = ("events", "features", "evaluation", "clv", "churn", "decisions", "scoring")


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that importing the library itself takes no time."""
    if name in __all__:
        for package in _PACKAGES:
            module = import_module(f"crm_ml.{package}")
            if name in module.__all__:
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module 'crm_ml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
