"""Bundles on disk, MLflow tracking, the registered models."""

from crm_ml.registry.bundle import Bundle, load_bundle, save_bundle
from crm_ml.registry.evidence import Figure
from crm_ml.registry.kinds import StorableModel
from crm_ml.registry.resolve import ResolvedModel, resolve
from crm_ml.registry.store import Store, default_store
from crm_ml.registry.tracking import TrackedRun, track

__all__ = [
    "Bundle",
    "Figure",
    "ResolvedModel",
    "StorableModel",
    "Store",
    "TrackedRun",
    "default_store",
    "load_bundle",
    "resolve",
    "save_bundle",
    "track",
]
