"""Displays of the customer base."""

from crm_ml.plots.customers.health import CohortDisplay, HealthDisplay

__all__ = ["CohortDisplay", "HealthDisplay"]
