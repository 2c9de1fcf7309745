"""Which customers are about to leave, what each one is worth, and where the next retention dollar goes."""

from crm_ml.events import CustomerLog, load_sample, monthly_cutoffs
from crm_ml.features import build_features, build_panel

__version__ = "0.1.0"

__all__ = ["CustomerLog", "build_features", "build_panel", "load_sample", "monthly_cutoffs"]
