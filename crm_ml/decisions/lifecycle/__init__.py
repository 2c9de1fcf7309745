"""Lifecycle: how far along each customer is, who has gone silent, and who came back."""

from crm_ml.decisions.lifecycle.rules import LIFECYCLE_STAGES, Lifecycle
from crm_ml.decisions.lifecycle.stages import lifecycle_history, lifecycle_stages

__all__ = ["LIFECYCLE_STAGES", "Lifecycle", "lifecycle_history", "lifecycle_stages"]
