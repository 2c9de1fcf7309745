"""The health of a customer base: its metrics by month and segment, retention by cohort, what changed most."""

from crm_ml.decisions.health.changes import largest_changes
from crm_ml.decisions.health.cohorts import cohort_retention
from crm_ml.decisions.health.metrics import METRICS, Metric
from crm_ml.decisions.health.monthly import base_health

__all__ = ["METRICS", "Metric", "base_health", "cohort_retention", "largest_changes"]
