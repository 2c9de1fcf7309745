"""Measures, profit, splits by time and the rolling-origin backtest."""

from crm_ml.evaluation.backtest import Backtest, Predictor, backtest
from crm_ml.evaluation.campaign import RetentionCampaign
from crm_ml.evaluation.curves import by_predictor, calibration_bins, concentration_curve, gains_curve, lift_curve
from crm_ml.evaluation.maximum_profit import MaximumProfit, expected_maximum_profit, maximum_profit
from crm_ml.evaluation.metrics import churn_metrics, value_metrics
from crm_ml.evaluation.profit import BestDepth, best_depth, profit_curve
from crm_ml.evaluation.splits import TrainingDesign, labels_known_by

__all__ = [
    "Backtest",
    "BestDepth",
    "MaximumProfit",
    "Predictor",
    "RetentionCampaign",
    "TrainingDesign",
    "backtest",
    "best_depth",
    "by_predictor",
    "calibration_bins",
    "churn_metrics",
    "concentration_curve",
    "expected_maximum_profit",
    "gains_curve",
    "labels_known_by",
    "lift_curve",
    "maximum_profit",
    "profit_curve",
    "value_metrics",
]
