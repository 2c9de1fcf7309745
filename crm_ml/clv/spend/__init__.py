"""What a customer spends per purchase."""

from crm_ml.clv.spend.gamma_gamma_model import GammaGammaModel
from crm_ml.clv.spend.regression import SpendRegression

__all__ = ["GammaGammaModel", "SpendRegression"]
