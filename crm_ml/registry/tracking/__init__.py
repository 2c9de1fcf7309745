"""Trainings and scoring runs in MLflow, whether or not it answers."""

from crm_ml.registry.tracking.evidence import Figure
from crm_ml.registry.tracking.outage import PendingRun, Synced, sync
from crm_ml.registry.tracking.recording import RecordedRun, TrackedRun
from crm_ml.registry.tracking.track import record, track

__all__ = ["Figure", "PendingRun", "RecordedRun", "Synced", "TrackedRun", "record", "sync", "track"]
