"""What was published, and what became of it."""

from crm_ml.scoring.published.ledger import judge_runs, read_calibration, read_ledger
from crm_ml.scoring.published.runs import PublishedRun, published_runs, read_scores

__all__ = ["PublishedRun", "judge_runs", "published_runs", "read_calibration", "read_ledger", "read_scores"]
