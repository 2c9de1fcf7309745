"""Displays: finished frames in, Axes out; nothing is computed here."""

from crm_ml.plots.decision import FrontierDisplay, PlanDisplay
from crm_ml.plots.display import Display
from crm_ml.plots.prediction import BacktestDisplay, CalibrationDisplay, GainsDisplay
from crm_ml.plots.purchases import TrackingDisplay
from crm_ml.plots.svg import draw_svg
from crm_ml.plots.value import ConcentrationDisplay, SegmentsDisplay

__all__ = [
    "BacktestDisplay",
    "CalibrationDisplay",
    "ConcentrationDisplay",
    "Display",
    "FrontierDisplay",
    "GainsDisplay",
    "PlanDisplay",
    "SegmentsDisplay",
    "TrackingDisplay",
    "draw_svg",
]
