"""The job that a scheduler may kill at any moment: stream, stage, publish, resume, watch."""

from crm_ml.scoring.nightly.job import ScoringJob, run_scoring_job

__all__ = ["ScoringJob", "run_scoring_job"]
