"""Displays of the customer base: segments and how customers move, stages of life, timing, health, scores."""

from crm_ml.plots.customers.health import CohortDisplay, HealthDisplay
from crm_ml.plots.customers.lifecycle import LifecycleDisplay
from crm_ml.plots.customers.score import ScoreDisplay
from crm_ml.plots.customers.segments import FlowsDisplay, MigrationDisplay, SegmentSharesDisplay
from crm_ml.plots.customers.timing import CadenceDisplay, CoverageDisplay, NextPurchaseDisplay

__all__ = [
    "CadenceDisplay",
    "CohortDisplay",
    "CoverageDisplay",
    "FlowsDisplay",
    "HealthDisplay",
    "LifecycleDisplay",
    "MigrationDisplay",
    "NextPurchaseDisplay",
    "ScoreDisplay",
    "SegmentSharesDisplay",
]
