"""Decisions: who gets which offer within a budget, and who is in which segment."""

from crm_ml.decisions.allocation import BudgetPlan, allocate_budget
from crm_ml.decisions.offers import Offer
from crm_ml.decisions.segments import RFMSegments

__all__ = ["BudgetPlan", "Offer", "RFMSegments", "allocate_budget"]
