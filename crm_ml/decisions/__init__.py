"""Decisions: who gets which offer within a budget, whether it worked, and who is in which segment."""

from crm_ml.decisions.budget import BudgetConstraints, BudgetPlan, Offer, allocate_budget
from crm_ml.decisions.segments import RFMSegments

__all__ = ["BudgetConstraints", "BudgetPlan", "Offer", "RFMSegments", "allocate_budget"]
