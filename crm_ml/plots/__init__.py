"""Displays: finished frames in, Axes out; nothing is computed here.

`from_predictions` asks `evaluation`, `from_estimator` the model.
"""

from crm_ml.plots.decisions import FrontierDisplay, GainDisplay, OffersDisplay, PlanDisplay
from crm_ml.plots.display import Display, draw_svg
from crm_ml.plots.prediction import BacktestDisplay, CalibrationDisplay
from crm_ml.plots.purchase_process import (
    AliveHistoryDisplay,
    CustomersDisplay,
    DistributionDisplay,
    HoldoutDisplay,
    MatrixDisplay,
)
from crm_ml.plots.purchases import TrackingDisplay
from crm_ml.plots.reasons import ImportanceDisplay, PartialDependenceDisplay, ReasonsDisplay
from crm_ml.plots.targeting import GainsDisplay, LiftDisplay, ProfitDisplay
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
    "GainDisplay",
    "GainsDisplay",
    "HoldoutDisplay",
    "ImportanceDisplay",
    "LiftDisplay",
    "MatrixDisplay",
    "OffersDisplay",
    "PartialDependenceDisplay",
    "PlanDisplay",
    "ProfitDisplay",
    "ReasonsDisplay",
    "SegmentsDisplay",
    "TrackingDisplay",
    "draw_svg",
]
