"""Bundles on disk, MLflow tracking, the registered models."""

from crm_ml.registry.aliases import Rollback, rollback
from crm_ml.registry.bundle import Bundle, load_bundle, save_bundle
from crm_ml.registry.kinds import StorableModel
from crm_ml.registry.resolve import ResolvedModel, resolve
from crm_ml.registry.store import Store, default_store
from crm_ml.registry.tracking import Figure, PendingRun, RecordedRun, Synced, TrackedRun, record, sync, track

__all__ = [
    "Bundle",
    "Figure",
    "PendingRun",
    "RecordedRun",
    "ResolvedModel",
    "Rollback",
    "StorableModel",
    "Store",
    "Synced",
    "TrackedRun",
    "default_store",
    "load_bundle",
    "record",
    "resolve",
    "rollback",
    "save_bundle",
    "sync",
    "track",
]
