"""Decisions: who gets which offer within a budget, whether it worked, and who is in which segment."""

from crm_ml.decisions.budget import BudgetPlan, Offer, allocate_budget
from crm_ml.decisions.segments import RFMSegments

__all__ = ["BudgetPlan", "Offer", "RFMSegments", "allocate_budget"]
