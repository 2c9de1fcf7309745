"""From log, assessment, scores and plan to the page a customer team reads every month."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crm_ml import __version__
from crm_ml.churn import ChurnModel
from crm_ml.decisions import BudgetPlan
from crm_ml.decisions.segments import flows, head_counts, migration
from crm_ml.evaluation import concentration_curve
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import iter_features
from crm_ml.report import Headline, Note, PlanSummary, ReportContent, write_report
from crm_ml.scoring.assessment import CHURN_MODEL, Assessment
from crm_ml.scoring.base import CustomerBase

__all__ = ["write_review"]

CONTACTS_SHOWN = 15
ACTIVE_DAYS = 30
FRONTIER_POINTS = 11
TABLES_SHOWN = 30
"""Kinds of events counted, at most, the most frequent first."""
FLOWS_SHOWN = 4
"""Moments between which flows are drawn."""


def write_review(
    path: str | Path,
    *,
    log: CustomerLog,
    assessment: Assessment,
    base: CustomerBase,
    churn: ChurnModel,
    scores: pd.DataFrame,
    plan: BudgetPlan,
    title: str,
    currency: str,
    value_horizon_days: float,
    ledger: pd.DataFrame | None = None,
    drift: pd.DataFrame | None = None,
) -> Path:
    """Write the monthly review as a self-contained HTML page.

    Parameters
    ----------
    path : of the page.
    log : the log.
    assessment : its backtest.
    base : its segments and health, as of the same moment.
    churn : the model behind the scores, which says why.
    scores : what `crm_ml.scoring.score_customers` made of every customer at the assessment's `as_of`.
    plan : the budget plan made from them.
    title : name of the shop or report.
    currency : sign or code written before amounts.
    value_horizon_days : the horizon of ``clv`` in `scores`.
    ledger : of past runs, see `crm_ml.scoring.published.ledger.read_ledger`.
    drift : of the customers scored, see `crm_ml.evaluation.drift`.
    """
    as_of = assessment.as_of
    content = ReportContent(
        title=title,
        as_of=f"{as_of:%Y-%m-%d}",
        made_by=f"crm_ml {__version__}",
        period=f"{log.first:%Y-%m-%d} to {log.last:%Y-%m-%d}",
        currency=currency,
        headlines=_headlines(scores, plan, currency, value_horizon_days),
        changes=base.changes(currency=currency)["words"].tolist(),
        data_counts=log.counts().nlargest(TABLES_SHOWN, "rows"),
        dropped=_dropped(log),
        fingerprint=str(log.fingerprint(as_of=as_of)["content_hash"]),
        backtest=assessment.churn.metrics[_SHOWN_MEASURES],
        gains=assessment.gains(),
        calibration=assessment.calibration(),
        tracking=assessment.weeks,
        train_end=assessment.fitted_until,
        clv_holdout=assessment.value.metrics.drop(columns=["cutoff", "customers"]).set_index("predictor"),
        judged=ledger,
        drift=drift,
        segments=_segments(base, scores),
        flows=flows(base.segments.segments.iloc[:, -FLOWS_SHOWN:]),
        migration=migration(base.segments.segments, start=base.months[-2], end=base.months[-1]),
        lifecycle=head_counts(base.lifecycle),
        health=base.health,
        cohorts=base.cohorts,
        concentration=concentration_curve(scores["clv"].clip(lower=0)),
        contacts=_contacts(log, churn, plan, scores, as_of),
        plan=PlanSummary(
            budget=plan.budget,
            spend=plan.spend,
            expected_gain=plan.expected_gain,
            upper_bound=plan.upper_bound,
            gap=plan.gap,
            contacts=len(plan.contacts),
            value_basis={offer.name: str(offer.value_basis) for offer in plan.offers},
        ),
        comparison=plan.comparison(),
        frontier=plan.frontier(points=FRONTIER_POINTS),
        notes=_notes(assessment, base, scores, value_horizon_days),
    )
    return write_report(content, path)


_SHOWN_MEASURES = [
    "predictor",
    "cutoff",
    "customers",
    "auc",
    "average_precision",
    "brier",
    "calibration_error",
    "lift_10",
]


def _headlines(scores: pd.DataFrame, plan: BudgetPlan, currency: str, horizon_days: float) -> Sequence[Headline]:
    active = scores["silence_days"] < ACTIVE_DAYS
    at_stake = scores["churn_probability"][active]
    days = int(scores["horizon_days"].iloc[0])
    return [
        Headline(
            label="Customers", value=f"{len(scores):,}", note=f"{active.sum():,} bought within {ACTIVE_DAYS} days"
        ),
        Headline(
            label="Expected to fall silent",
            value=f"{at_stake.sum():,.0f}",
            note=f"of those active, within {days} days",
        ),
        Headline(
            label="Expected value",
            value=_money(scores["clv"].sum(), currency),
            note=f"margin of the next {horizon_days:g} days, discounted",
        ),
        Headline(
            label="Plan",
            value=_money(plan.expected_gain, currency),
            note=f"expected gain from {_money(plan.spend, currency)}, if the assumed effects hold",
        ),
    ]


def _money(amount: float, currency: str) -> str:
    return f"{currency}{amount / 1e6:,.2f} M" if abs(amount) >= 1e6 else f"{currency}{amount:,.0f}"


def _dropped(log: CustomerLog) -> pd.DataFrame | None:
    rows = {f"{table}: {rule}": count for table, rules in log.dropped.items() for rule, count in rules.items()}
    if not rows:
        return None
    return pd.DataFrame({"rows": pd.Series(rows)}).rename_axis("reason")


def _segments(base: CustomerBase, scores: pd.DataFrame) -> pd.DataFrame:
    segment = base.segments.latest["segment"].reindex(scores.index)
    grouped = scores.groupby(segment, observed=True)
    return pd.DataFrame(
        {
            "customers": grouped.size(),
            "clv": grouped["clv"].sum(),
            "churn_probability": grouped["churn_probability"].mean(),
            "silence_days": grouped["silence_days"].median(),
        }
    )


def _contacts(
    log: CustomerLog, churn: ChurnModel, plan: BudgetPlan, scores: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    top = plan.contacts.nlargest(CONTACTS_SHOWN, "expected_gain")
    shown = top.join(scores[["churn_probability", "clv", "contact_on"]])
    parts = iter_features(log, as_of=as_of, features=churn.feature_set)
    features = pd.concat([part[part.index.isin(shown.index)] for part in parts])
    reason = churn.explain(features, top=1)["text"].reindex(shown.index) if len(features) else None
    return shown.assign(reason=reason)[
        ["offer", "cost", "churn_probability", "clv", "expected_gain", "contact_on", "reason"]
    ]


def _notes(assessment: Assessment, base: CustomerBase, scores: pd.DataFrame, horizon_days: float) -> Sequence[Note]:
    mean = assessment.churn.summary().loc[CHURN_MODEL]
    days = int(scores["horizon_days"].iloc[0])
    cutoffs = ", ".join(f"{cutoff:%Y-%m-%d}" for cutoff in np.unique(assessment.churn.metrics["cutoff"]))
    return [
        Note(term="Horizon", text=f"The churn of this report is no purchase in the {days} days after its date."),
        Note(
            term="How the models were judged",
            text=f"Refitted at {cutoffs} on what was known then, and compared with the {days} days that followed. "
            f"The churn model's mean AUC was {mean['auc']:.3f}, its Brier score {mean['brier']:.4f}.",
        ),
        Note(
            term="Segments",
            text=f"Of policy {base.segments.policy.version_}: "
            f"{', '.join(base.segments.policy.names)}; the first whose rule fires. Its quantiles are fixed numbers.",
        ),
        Note(
            term="Value",
            text=f"Expected margin of the next {horizon_days:g} days, discounted, under a purchase process "
            "and Gamma-Gamma. Under BG/NBD a customer with a single purchase is alive by construction, however "
            f"long ago it was. In the backtest: {' '.join(assessment.choices)}",
        ),
        Note(
            term="The plan's gain",
            text="Churn probability × save rate × value − cost. A save rate is an assumption until an experiment "
            "with a control group has measured it; nothing here shows that an offer works.",
        ),
    ]
