"""Budget allocation: who gets which offer, and the proof of how good that is."""

from crm_ml.decisions.budget.constraints import BudgetConstraints
from crm_ml.decisions.budget.offers import Offer
from crm_ml.decisions.budget.plan import BudgetPlan, allocate_budget

__all__ = ["BudgetConstraints", "BudgetPlan", "Offer", "allocate_budget"]
