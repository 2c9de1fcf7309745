"""Displays of decisions: what a budget buys, what an experiment found, whom an offer moves."""

from crm_ml.plots.decisions.budget import FrontierDisplay, GainDisplay, OffersDisplay, PlanDisplay

__all__ = ["FrontierDisplay", "GainDisplay", "OffersDisplay", "PlanDisplay"]
