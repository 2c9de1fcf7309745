"""Who will buy nothing in the days ahead."""

from crm_ml.churn.baselines import LogisticBaseline, PurchaseProcessBaseline
from crm_ml.churn.model import ChurnModel

__all__ = ["ChurnModel", "LogisticBaseline", "PurchaseProcessBaseline"]
