"""Displays of the customer base."""

from crm_ml.plots.customers.timing import CadenceDisplay, CoverageDisplay, NextPurchaseDisplay

__all__ = ["CadenceDisplay", "CoverageDisplay", "NextPurchaseDisplay"]
