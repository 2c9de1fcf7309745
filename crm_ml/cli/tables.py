"""The tables that the command prints."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table

from crm_ml.registry import PendingRun, Synced, TrackedRun
from crm_ml.scoring import Assessment, MainJob, Trained

__all__ = ["print_assessment", "print_job", "print_synced", "print_trained"]

CHURN_MEASURES = ["auc", "brier", "calibration_error", "lift_10"]
VALUE_MEASURES = ["mae", "bias", "top_decile_capture"]


def print_job(console: Console, job: MainJob) -> None:
    """Print what the main job found and where everything lies."""
    print_assessment(console, job.assessment)
    rules = job.plan.comparison()
    _print(console, rules, title=f"Budget plan, {job.plan.budget:,.0f} to spend: expected gain against simple rules")
    console.print(
        f"gap to the upper bound {job.plan.upper_bound:,.2f}: {job.plan.gap:.4%}; the next dollar would bring "
        f"{job.plan.shadow_price:.2f}; every save rate is assumed, not measured",
        highlight=False,
    )
    print_trained(console, job.trained)
    for change in job.base.changes()["words"]:
        console.print(f"changed {change}", highlight=False, soft_wrap=True)
    paths = {"scores": job.scores_path, "plan": job.plan_path, "segments": job.policy_path, "report": job.report_path}
    for name, path in paths.items():
        console.print(f"{name:<9}{path}", highlight=False, soft_wrap=True)


def print_assessment(console: Console, assessment: Assessment) -> None:
    """Print both backtests."""
    churn = assessment.churn.metrics.assign(cutoff=lambda rows: rows["cutoff"].dt.strftime("%Y-%m-%d"))
    _print(
        console,
        churn.set_index("predictor")[["cutoff", "customers", *CHURN_MEASURES]],
        title="Churn, out of time: refitted at each cutoff, judged on what followed",
        section=churn["cutoff"].tolist(),
    )
    value = assessment.value.metrics.set_index("predictor")[["customers", *VALUE_MEASURES]]
    days = (assessment.as_of - assessment.fitted_until).days
    _print(
        console,
        value,
        title=f"Net spend per customer in the {days} days from {assessment.fitted_until:%Y-%m-%d}, out of time",
    )


def print_trained(console: Console, trained: Trained) -> None:
    """Print where the models are kept."""
    stores = []
    for run, bundle in ((trained.churn_run, trained.churn_bundle), (trained.clv_run, trained.clv_bundle)):
        if isinstance(run, PendingRun):
            told = f"not in MLflow yet, kept in {run.dossier}: crm-ml sync records it"
        else:
            told = _version_told(run)
            stores.append(run.tracking_uri)
        console.print(f"{bundle.name:<8}{told}; bundle {bundle}", highlight=False, soft_wrap=True)
    for store in dict.fromkeys(stores):
        console.print(f"{'MLflow':<8}{store}", highlight=False, soft_wrap=True)


def print_synced(console: Console, found: Synced) -> None:
    """Print what was recorded and what is still pending."""
    for run in found.recorded:
        told = f": {_version_told(run)}" if isinstance(run, TrackedRun) else ""
        console.print(f"recorded {run.run_name}{told}", highlight=False, soft_wrap=True)
    for kept in found.pending:
        console.print(f"pending  {kept.dossier}: {kept.reason}", highlight=False, soft_wrap=True, markup=False)
    if not found.recorded and not found.pending:
        console.print("nothing to record")


def _version_told(run: TrackedRun) -> str:
    """Say which version a training made, and what became of it."""
    if run.alias is None:
        return f"models:/{run.model_name}/{run.version}, older than champion or challenger"
    return f"models:/{run.model_name}@{run.alias} is version {run.version}"


def _print(console: Console, frame: pd.DataFrame, *, title: str, section: list[str] | None = None) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    table.add_column(str(frame.index.name))
    for column in frame.columns:
        table.add_column(str(column).replace("_", " "), justify="right")
    for number, (name, row) in enumerate(zip(frame.index, frame.itertuples(index=False), strict=True)):
        ends = section is not None and section[number] != section[min(number + 1, len(section) - 1)]
        table.add_row(str(name), *map(_text, row), end_section=ends)
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) >= 1:
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
