"""From log, assessment, scores and plan to the page a customer team reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crm_ml import __version__
from crm_ml.decisions import BudgetPlan, RFMSegments
from crm_ml.evaluation import concentration_curve
from crm_ml.events.log import CustomerLog
from crm_ml.features import RFM, build_features
from crm_ml.report import Headline, Note, PlanSummary, ReportContent, write_report
from crm_ml.scoring.assessment import CHURN_MODEL, Assessment

__all__ = ["write_review"]

CONTACTS_SHOWN = 15


def write_review(
    path: str | Path,
    *,
    log: CustomerLog,
    assessment: Assessment,
    scores: pd.DataFrame,
    plan: BudgetPlan,
    title: str,
    currency: str,
    value_horizon_days: float,
) -> Path:
    """Write the self-contained HTML report.

    Parameters
    ----------
    path : of the page.
    log : the log.
    assessment : its backtest.
    scores : churn and value of every customer at the assessment's `as_of`, joined.
    plan : the budget plan made from them.
    title : name of the shop or report.
    currency : sign or code written before amounts.
    value_horizon_days : the horizon of ``clv`` in `scores`.
    """
    as_of = assessment.as_of
    features = build_features(log, as_of=as_of, features=[RFM()])
    counts = log.counts()
    content = ReportContent(
        title=title,
        as_of=f"{as_of:%Y-%m-%d}",
        made_by=f"crm_ml {__version__}",
        period=f"{log.first:%Y-%m-%d} to {log.last:%Y-%m-%d}",
        currency=currency,
        headlines=_headlines(features, scores, plan, currency, value_horizon_days),
        data_counts=counts,
        dropped=_dropped(log),
        fingerprint=str(log.fingerprint(as_of=as_of)["content_hash"]),
        backtest=assessment.churn.metrics[_SHOWN_MEASURES],
        gains=assessment.gains(),
        calibration=assessment.calibration(),
        tracking=assessment.weeks,
        train_end=assessment.fitted_until,
        clv_holdout=assessment.value.metrics.drop(columns=["cutoff", "customers"]).set_index("predictor"),
        segments=_segments(features, scores),
        concentration=concentration_curve(scores["clv"].clip(lower=0)),
        contacts=_contacts(plan, scores),
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
        frontier=plan.frontier(),
        notes=_notes(assessment, scores, value_horizon_days),
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


def _headlines(
    features: pd.DataFrame, scores: pd.DataFrame, plan: BudgetPlan, currency: str, horizon_days: float
) -> Sequence[Headline]:
    active = features["recency_days"] <= 30
    at_stake = scores["churn_probability"][active]
    days = int(scores["horizon_days"].iloc[0])
    return [
        Headline(label="Customers", value=f"{len(features):,}", note=f"{active.sum():,} bought within 30 days"),
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


def _segments(features: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    named = RFMSegments().fit(features).transform(features)
    joined = features.join(scores).assign(segment=named["segment"])
    grouped = joined.groupby("segment", observed=True)
    found = pd.DataFrame(
        {
            "customers": grouped.size(),
            "spend": grouped["spend"].sum(),
            "clv": grouped["clv"].sum(),
            "churn_probability": grouped["churn_probability"].mean(),
            "recency_days": grouped["recency_days"].median(),
        }
    )
    return found.sort_values("spend", ascending=False)


def _contacts(plan: BudgetPlan, scores: pd.DataFrame) -> pd.DataFrame:
    top = plan.contacts.nlargest(CONTACTS_SHOWN, "expected_gain")
    return top.join(scores[["churn_probability", "clv"]])[
        ["offer", "cost", "churn_probability", "clv", "expected_gain"]
    ]


def _notes(assessment: Assessment, scores: pd.DataFrame, horizon_days: float) -> Sequence[Note]:
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
