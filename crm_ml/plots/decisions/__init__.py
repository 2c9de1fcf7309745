"""Displays of decisions: what a budget buys, what an experiment found, whom an offer moves."""

from crm_ml.plots.decisions.budget import FrontierDisplay, GainDisplay, OffersDisplay, PlanDisplay
from crm_ml.plots.decisions.experiments import EffectsDisplay, PowerDisplay
from crm_ml.plots.decisions.uplift import PolicyValueDisplay, QiniDisplay, UpliftCalibrationDisplay

__all__ = [
    "EffectsDisplay",
    "FrontierDisplay",
    "GainDisplay",
    "OffersDisplay",
    "PlanDisplay",
    "PolicyValueDisplay",
    "PowerDisplay",
    "QiniDisplay",
    "UpliftCalibrationDisplay",
]
