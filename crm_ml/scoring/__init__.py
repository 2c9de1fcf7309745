"""Scores for every customer, and the main job from log to report."""

from crm_ml.scoring.assessment import Assessment, assess
from crm_ml.scoring.base import CustomerBase, customer_base
from crm_ml.scoring.main_job import MainJob, run_main_job
from crm_ml.scoring.predict import predict_churn, predict_clv, score_customers, write_scores
from crm_ml.scoring.promotion import Promotion, promote
from crm_ml.scoring.review import write_review
from crm_ml.scoring.training import Trained, train

__all__ = [
    "Assessment",
    "CustomerBase",
    "MainJob",
    "Promotion",
    "Trained",
    "assess",
    "customer_base",
    "predict_churn",
    "predict_clv",
    "promote",
    "run_main_job",
    "score_customers",
    "train",
    "write_review",
    "write_scores",
]
