"""The job that a scheduler may kill at any moment: stream, stage, publish, resume, watch, judge."""

from crm_ml.scoring.nightly.job import ScoringJob, run_scoring_job
from crm_ml.scoring.nightly.ledger import judge_runs, read_ledger
from crm_ml.scoring.nightly.runs import PublishedRun, published_runs, read_scores

__all__ = [
    "PublishedRun",
    "ScoringJob",
    "judge_runs",
    "published_runs",
    "read_ledger",
    "read_scores",
    "run_scoring_job",
]
