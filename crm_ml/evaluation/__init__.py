"""Measures, comparisons, audits, profit, splits by time and the rolling-origin backtest."""

from crm_ml.evaluation.backtest import Backtest, Predictor, backtest
from crm_ml.evaluation.campaigns.campaign import RetentionCampaign
from crm_ml.evaluation.campaigns.maximum_profit import MaximumProfit, expected_maximum_profit, maximum_profit
from crm_ml.evaluation.campaigns.profit import BestDepth, best_depth, profit_curve
from crm_ml.evaluation.comparison import paired_bootstrap
from crm_ml.evaluation.leakage.audit import audit_leakage, audit_panel
from crm_ml.evaluation.measures.curves import (
    by_predictor,
    calibration_bins,
    concentration_curve,
    gains_curve,
    lift_curve,
)
from crm_ml.evaluation.measures.metrics import churn_metrics, value_metrics
from crm_ml.evaluation.splits import PanelSplit, TrainingDesign, labels_known_by
from crm_ml.evaluation.stability.drift import drift
from crm_ml.evaluation.stability.profile import Counts, Profile

__all__ = [
    "Backtest",
    "BestDepth",
    "Counts",
    "MaximumProfit",
    "PanelSplit",
    "Predictor",
    "Profile",
    "RetentionCampaign",
    "TrainingDesign",
    "audit_leakage",
    "audit_panel",
    "backtest",
    "best_depth",
    "by_predictor",
    "calibration_bins",
    "churn_metrics",
    "concentration_curve",
    "drift",
    "expected_maximum_profit",
    "gains_curve",
    "labels_known_by",
    "lift_curve",
    "maximum_profit",
    "paired_bootstrap",
    "profit_curve",
    "value_metrics",
]
