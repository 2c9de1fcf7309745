"""Displays: finished frames in, Axes out; nothing is computed here."""

from crm_ml.plots.decision import FrontierDisplay, PlanDisplay
from crm_ml.plots.display import Display
from crm_ml.plots.prediction import BacktestDisplay, CalibrationDisplay, GainsDisplay
from crm_ml.plots.purchase_process import (
    AliveHistoryDisplay,
    CustomersDisplay,
    DistributionDisplay,
    HoldoutDisplay,
    MatrixDisplay,
)
from crm_ml.plots.purchases import TrackingDisplay
from crm_ml.plots.svg import draw_svg
from crm_ml.plots.value import ConcentrationDisplay, SegmentsDisplay

__all__ = [
    "AliveHistoryDisplay",
    "BacktestDisplay",
    "CalibrationDisplay",
    "ConcentrationDisplay",
    "CustomersDisplay",
    "Display",
    "DistributionDisplay",
    "FrontierDisplay",
    "GainsDisplay",
    "HoldoutDisplay",
    "MatrixDisplay",
    "PlanDisplay",
    "SegmentsDisplay",
    "TrackingDisplay",
    "draw_svg",
]
