"""Purchase processes: each is a file of mathematics and a class around it."""

from crm_ml.clv.processes.beta_geo import BetaGeoModel

__all__ = ["BetaGeoModel"]
