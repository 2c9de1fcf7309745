"""The main job: from a log to churn scores, customer values, a budget plan and a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crm_ml.decisions import BudgetPlan, Offer, SegmentPolicy, allocate_budget
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.registry import Store
from crm_ml.scoring.assessment import Assessment, assess
from crm_ml.scoring.base import CustomerBase, customer_base
from crm_ml.scoring.predict import score_customers
from crm_ml.scoring.review import write_review
from crm_ml.scoring.training import Trained, train

__all__ = ["MainJob", "run_main_job"]


@dataclass(frozen=True)
class MainJob:
    """What the main job made and where it lies.

    Attributes
    ----------
    assessment : backtests of churn and value.
    trained : models, tracked runs, bundles.
    scores : churn, value and next purchase of every customer, indexed by customer_id.
    plan : the budget plan.
    base : segments, stages of life and health of the customer base.
    scores_path, plan_path : Parquet files of scores, with each customer's segment, and of assignments.
    policy_path : the segments' policy as TOML, to be given to the next month's job.
    report_path : the HTML page.
    """

    assessment: Assessment
    trained: Trained
    scores: pd.DataFrame
    plan: BudgetPlan
    base: CustomerBase
    scores_path: Path
    plan_path: Path
    policy_path: Path
    report_path: Path


def run_main_job(
    log: CustomerLog,
    *,
    as_of: Moment,
    offers: Sequence[Offer],
    budget: float,
    annual_discount_rate: float,
    margin: float,
    horizon_days: int = 30,
    value_horizon_days: float = 365,
    policy: SegmentPolicy | None = None,
    directory: str | Path = Path("models"),
    store: Store | None = None,
    title: str = "Customer review",
    currency: str = "",
    on_step: Callable[[str], None] = lambda _: None,
) -> MainJob:
    """Backtest, train, track and register, score, plan, report.

    Parameters
    ----------
    log : the log.
    as_of : the moment to stand at; nothing at or after it is used.
    offers, budget : what can be offered, and the money for it; see `crm_ml.allocate_budget`.
    annual_discount_rate, margin, value_horizon_days : of the value; see `crm_ml.predict_clv`.
    horizon_days : of churn.
    policy : the segments; see `crm_ml.customer_base`.
    directory : where bundles, scores, plan and report go, and the default MLflow store.
    store : the MLflow store, by default `crm_ml.registry.default_store(directory)`.
    title, currency : of the report.
    on_step : called with a short text before each step.

    Raises
    ------
    CrmError
        Whatever keeps a step from being done right.
    """
    folder = Path(directory)
    assessment = assess(log, as_of=as_of, horizon_days=horizon_days, on_step=lambda step: on_step(f"backtest: {step}"))
    trained = train(
        log,
        assessment,
        annual_discount_rate=annual_discount_rate,
        margin=margin,
        horizon_days=horizon_days,
        value_horizon_days=value_horizon_days,
        directory=folder,
        store=store,
        on_step=on_step,
    )
    on_step("score every customer")
    scores = score_customers(
        log,
        trained.churn,
        trained.clv,
        as_of=as_of,
        horizon_days=value_horizon_days,
        annual_discount_rate=annual_discount_rate,
        margin=margin,
    )
    on_step("allocate the budget")
    plan = allocate_budget(scores, offers, budget)
    on_step("look at segments and health")
    base = customer_base(log, as_of=as_of, policy=policy)
    on_step("write scores, plan, segments and report")
    scores_path, plan_path, policy_path = (
        folder / name for name in ("scores.parquet", "plan.parquet", "segments.toml")
    )
    scores.join(base.segments.latest).to_parquet(scores_path)
    plan.assignments.to_parquet(plan_path)
    policy_path.write_text(base.segments.policy.to_toml(), encoding="utf-8")
    report_path = write_review(
        folder / "report.html",
        log=log,
        assessment=assessment,
        base=base,
        churn=trained.churn,
        scores=scores,
        plan=plan,
        title=title,
        currency=currency,
        value_horizon_days=value_horizon_days,
    )
    return MainJob(assessment, trained, scores, plan, base, scores_path, plan_path, policy_path, report_path)
