"""Displays of decisions: what a budget buys, what an experiment found, whom an offer moves."""

from crm_ml.plots.decisions.budget import FrontierDisplay, PlanDisplay

__all__ = ["FrontierDisplay", "PlanDisplay"]
