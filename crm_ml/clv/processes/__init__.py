"""Purchase processes: each is a file of mathematics and a class around it."""

from crm_ml.clv.processes.beta_geo import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
)
from crm_ml.clv.processes.beta_geo_beta_binom import BetaGeoBetaBinomModel
from crm_ml.clv.processes.pareto import ParetoNBDModel

__all__ = [
    "BetaGeoBetaBinomModel",
    "BetaGeoCNBDModel",
    "BetaGeoModel",
    "ModifiedBetaGeoCNBDModel",
    "ModifiedBetaGeoModel",
    "ParetoNBDModel",
]
