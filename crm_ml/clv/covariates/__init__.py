"""Purchase processes whose parameters depend on what is known of a customer."""

from crm_ml.clv.covariates.model import CovariateModel

__all__ = ["CovariateModel"]
