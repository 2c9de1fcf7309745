"""Displays: finished frames in, Axes out; nothing is computed here.

`from_predictions` asks `evaluation`, `from_estimator` the model.
"""

from crm_ml.plots.customers import (
    CadenceDisplay,
    CohortDisplay,
    CoverageDisplay,
    FlowsDisplay,
    HealthDisplay,
    LifecycleDisplay,
    MigrationDisplay,
    NextPurchaseDisplay,
    ScoreDisplay,
    SegmentSharesDisplay,
)
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
    "CadenceDisplay",
    "CalibrationDisplay",
    "CohortDisplay",
    "ConcentrationDisplay",
    "CoverageDisplay",
    "CustomersDisplay",
    "Display",
    "DistributionDisplay",
    "EffectsDisplay",
    "FlowsDisplay",
    "FrontierDisplay",
    "GainDisplay",
    "GainsDisplay",
    "HealthDisplay",
    "HoldoutDisplay",
    "ImportanceDisplay",
    "LifecycleDisplay",
    "LiftDisplay",
    "MatrixDisplay",
    "MigrationDisplay",
    "NextPurchaseDisplay",
    "OffersDisplay",
    "PartialDependenceDisplay",
    "PlanDisplay",
    "PolicyValueDisplay",
    "PowerDisplay",
    "ProfitDisplay",
    "QiniDisplay",
    "ReasonsDisplay",
    "ScoreDisplay",
    "SegmentSharesDisplay",
    "SegmentsDisplay",
    "TrackingDisplay",
    "UpliftCalibrationDisplay",
    "draw_svg",
]
