"""Displays of the customer base: segments, and how customers move among them."""

from crm_ml.plots.customers.segments import FlowsDisplay, MigrationDisplay, SegmentSharesDisplay

__all__ = ["FlowsDisplay", "MigrationDisplay", "SegmentSharesDisplay"]
