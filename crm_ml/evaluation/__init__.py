"""Measures, splits by time and the rolling-origin backtest."""

from crm_ml.evaluation.audit import audit_leakage, audit_panel
from crm_ml.evaluation.backtest import Backtest, Predictor, backtest
from crm_ml.evaluation.comparison import paired_bootstrap
from crm_ml.evaluation.curves import calibration_bins, concentration_curve, gains_curve
from crm_ml.evaluation.metrics import churn_metrics, value_metrics
from crm_ml.evaluation.splits import PanelSplit, TrainingDesign, labels_known_by

__all__ = [
    "Backtest",
    "PanelSplit",
    "Predictor",
    "TrainingDesign",
    "audit_leakage",
    "audit_panel",
    "backtest",
    "calibration_bins",
    "churn_metrics",
    "concentration_curve",
    "gains_curve",
    "labels_known_by",
    "paired_bootstrap",
    "value_metrics",
]
