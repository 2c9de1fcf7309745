"""Displays of the customer base: who is where in life, and what the members' scores are made of."""

from crm_ml.plots.customers.lifecycle import LifecycleDisplay
from crm_ml.plots.customers.score import ScoreDisplay

__all__ = ["LifecycleDisplay", "ScoreDisplay"]
