"""Scores for every customer, and the main job from log to report."""

from crm_ml.scoring.assessment import Assessment, assess
from crm_ml.scoring.main_job import MainJob, run_main_job
from crm_ml.scoring.predict import predict_churn, predict_clv, write_scores
from crm_ml.scoring.review import write_review
from crm_ml.scoring.training import Trained, train

__all__ = [
    "Assessment",
    "MainJob",
    "Trained",
    "assess",
    "predict_churn",
    "predict_clv",
    "run_main_job",
    "train",
    "write_review",
    "write_scores",
]
