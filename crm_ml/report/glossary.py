"""What columns and metrics are called on the page, and what they mean."""

from __future__ import annotations

from typing import NamedTuple

from crm_ml.report.numbers import Kind

__all__ = ["COLUMNS", "METRICS", "Metric", "column_label"]


class Metric(NamedTuple):
    """A metric's name and kind, which direction is better (+1 higher, -1 lower, 0 near zero), its meaning."""

    label: str
    kind: Kind
    better: int
    meaning: str


COLUMNS: dict[str, tuple[str, Kind]] = {
    "active": ("Active", "count"),
    "average_order_value": ("Average order", "money"),
    "buyers": ("Buyers", "count"),
    "churn_probability": ("Churn probability", "share"),
    "churn_rate": ("Churn rate", "share"),
    "churned": ("Left", "share"),
    "clv": ("Expected value", "money"),
    "contact_on": ("Contact on", "date"),
    "cost": ("Cost", "money"),
    "customers": ("Customers", "count"),
    "customers_contacted": ("Contacted", "count"),
    "expected_gain": ("Expected gain", "money"),
    "expected_purchases": ("Expected purchases", "number"),
    "expected_spend": ("Expected spend", "money"),
    "first": ("First", "date"),
    "horizon_days": ("Horizon, days", "count"),
    "last": ("Last", "date"),
    "missing_now": ("Missing now", "share"),
    "missing_then": ("Missing in training", "share"),
    "offer": ("Offer", "text"),
    "predicted": ("Expected to leave", "share"),
    "psi": ("Shift (PSI)", "number"),
    "psi_limit": ("Limit", "number"),
    "purchases": ("Purchases", "count"),
    "reason": ("Why", "text"),
    "repurchase_rate": ("Repurchase rate", "share"),
    "revenue": ("Revenue", "money"),
    "rows": ("Rows", "count"),
    "share_of_plan": ("Share of plan's gain", "share"),
    "silence_days": ("Days since purchase", "count"),
    "sleepers_woken": ("Sleepers woken", "share"),
    "spend": ("Spend", "money"),
    "spend_ratio": ("Expected over actual", "share"),
    "value_at_stake": ("Value at stake", "money"),
    "value_share": ("Share of value", "share"),
    "why": ("What changed", "text"),
}

METRICS: dict[str, Metric] = {
    "auc": Metric("AUC", "number", 1, "How often a churner was ranked above a customer who stayed; 0.5 is chance."),
    "average_precision": Metric(
        "Average precision", "number", 1, "Precision averaged over lists of every length, riskiest first."
    ),
    "bias": Metric("Bias", "share", 0, "Total predicted over total actual, minus one; 0 is best."),
    "brier": Metric("Brier score", "number", -1, "Mean squared error of the probabilities."),
    "brier_discrimination": Metric("Discrimination", "number", 1, "What sorting customers gains in Brier score."),
    "brier_miscalibration": Metric("Miscalibration", "number", -1, "What recalibrating would gain in Brier score."),
    "calibration_bias": Metric("Calibration bias", "share", 0, "Mean predicted minus observed churn; 0 is best."),
    "calibration_error": Metric(
        "Calibration error", "share", -1, "Mean distance of predicted from observed churn over ten bins."
    ),
    "calibration_intercept": Metric("Calibration intercept", "number", 0, "Of the line that recalibrates; 0 is best."),
    "gini": Metric("Gini", "number", 1, "How well customers were ordered by value; 1 is the perfect order, 0 chance."),
    "lift_1": Metric("Lift, top 1%", "number", 1, "Churn among the riskiest 1%, relative to all."),
    "lift_5": Metric("Lift, top 5%", "number", 1, "Churn among the riskiest 5%, relative to all."),
    "lift_20": Metric("Lift, top 20%", "number", 1, "Churn among the riskiest 20%, relative to all."),
    "lift_10": Metric("Lift, top 10%", "number", 1, "Churn among the riskiest 10%, relative to all."),
    "log_loss": Metric("Log loss", "number", -1, "Mean surprise at the outcome, in nats."),
    "mae": Metric("Mean abs. error", "number", -1, "Mean distance between prediction and outcome."),
    "rmse": Metric("RMSE", "number", -1, "Root of the mean squared error; large misses weigh most."),
    "top_decile_capture": Metric(
        "Top 10% capture", "share", 1, "Share of all value that came from the 10% predicted most valuable."
    ),
}


def column_label(name: str) -> str:
    """Name a column on the page; an unknown one is spelled out.

    Examples
    --------
    >>> column_label("auc"), column_label("churn_rate"), column_label("days_since_visit")
    ('AUC', 'Churn rate', 'Days since visit')
    """
    if name in METRICS:
        return METRICS[name].label
    if name in COLUMNS:
        return COLUMNS[name][0]
    spelled = name.replace("_", " ").strip()
    return spelled[:1].upper() + spelled[1:]
