"""Displays: finished frames in, Axes out; nothing is computed here.

`from_predictions` asks `evaluation`, `from_estimator` the model.
"""

from crm_ml.plots.decisions import (
    EffectsDisplay,
    FrontierDisplay,
    GainDisplay,
    OffersDisplay,
    PlanDisplay,
    PolicyValueDisplay,
    PowerDisplay,
    QiniDisplay,
    UpliftCalibrationDisplay,
)
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
    "EffectsDisplay",
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
    "PolicyValueDisplay",
    "PowerDisplay",
    "ProfitDisplay",
    "QiniDisplay",
    "ReasonsDisplay",
    "SegmentsDisplay",
    "TrackingDisplay",
    "UpliftCalibrationDisplay",
    "draw_svg",
]
