"""Who will buy nothing in the days ahead."""

from crm_ml.churn.baselines import LogisticBaseline, PurchaseProcessBaseline
from crm_ml.churn.influence import importance, partial_dependence
from crm_ml.churn.model import ChurnModel

__all__ = ["ChurnModel", "LogisticBaseline", "PurchaseProcessBaseline", "importance", "partial_dependence"]
