"""Scores for every customer, and the main job from log to report."""

from crm_ml.features.panels.csv_file import write_csv
from crm_ml.scoring.assessment import Assessment, assess
from crm_ml.scoring.base import CustomerBase, customer_base
from crm_ml.scoring.main_job import MainJob, run_main_job
from crm_ml.scoring.nightly import ScoringJob, run_scoring_job
from crm_ml.scoring.predict import predict_churn, predict_clv, score_customers
from crm_ml.scoring.promotion import Promotion, promote
from crm_ml.scoring.published import (
    PublishedRun,
    judge_runs,
    published_runs,
    read_calibration,
    read_ledger,
    read_scores,
)
from crm_ml.scoring.review import write_review
from crm_ml.scoring.training import Trained, train

__all__ = [
    "Assessment",
    "CustomerBase",
    "MainJob",
    "Promotion",
    "PublishedRun",
    "ScoringJob",
    "Trained",
    "assess",
    "customer_base",
    "judge_runs",
    "predict_churn",
    "predict_clv",
    "promote",
    "published_runs",
    "read_calibration",
    "read_ledger",
    "read_scores",
    "run_main_job",
    "run_scoring_job",
    "score_customers",
    "train",
    "write_csv",
    "write_review",
]
