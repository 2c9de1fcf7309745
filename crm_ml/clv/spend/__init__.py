"""What a customer spends per purchase."""

from crm_ml.clv.spend.gamma_gamma_model import GammaGammaModel

__all__ = ["GammaGammaModel"]
