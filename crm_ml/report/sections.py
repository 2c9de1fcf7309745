"""The sections of the page, in reading order; one without content is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_ml.decisions.health.groups import ALL
from crm_ml.report import figures
from crm_ml.report.content import Headline, Note, PlanSummary, ReportContent
from crm_ml.report.figures import Figure
from crm_ml.report.glossary import COLUMNS, METRICS, column_label
from crm_ml.report.numbers import kind_of, write_money
from crm_ml.report.tables import Table, backtest_table, table

__all__ = ["Section", "sections"]

VALUE_BASIS = {
    "assumed": "assumed: someone stated it, and no control group has measured it. The expected gain is as "
    "good as that statement.",
    "estimated": "estimated from past campaigns without a randomised control group. It may be credited with "
    "customers who would have stayed anyway.",
    "experiment": "measured against a randomised control group.",
}

SHOWN_METRICS = (
    "active",
    "buyers",
    "repurchase_rate",
    "sleepers_woken",
    "revenue",
    "average_order_value",
)

JUDGED = {
    "churn": (
        "Churn: expected, and what came",
        ("horizon_days", "customers", "predicted", "churned", "auc", "lift_10", "calibration_error"),
    ),
    "clv": (
        "Value: expected, and what came",
        (
            "horizon_days",
            "customers",
            "expected_purchases",
            "purchases",
            "expected_spend",
            "spend",
            "spend_ratio",
            "top_decile_capture",
        ),
    ),
}

RUNS_SHOWN, COLUMNS_SHOWN = 24, 12
"""Past runs, and columns that drift is told of, at most unless more have shifted."""

DRIFT_READING = (
    Note(
        term="Shift (PSI)",
        text="The population stability index: 0 where values are spread as in training, above 0.25 usually called a "
        "large shift. The limit is higher where chance, or training's own months, differ by more.",
    ),
)

READING = (
    Note(
        term="As of",
        text="Every number was computed from events before this date only. Nothing at or after it was used.",
    ),
    Note(
        term="Churn",
        text="A customer churns when no purchase falls within the horizon after the date. A shop without "
        "contracts never sees a customer leave; this is the observable stand-in.",
    ),
    Note(
        term="Expected value",
        text="The average outcome over many customers with the same history. Single customers will differ "
        "widely from it; sums over groups are more reliable than any row.",
    ),
    Note(
        term="Backtest",
        text="Each predictor was trained on the past of several earlier dates and judged on what then "
        "happened. It says how right the predictions were, not that the future resembles the past.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page; `beside` sets its only figure next to its table or its text."""

    id: str
    title: str
    lead: str
    cards: Sequence[Headline] = ()
    changes: Sequence[str] = ()
    callout: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[Note] = ()
    beside: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show below the title."""
        return not (self.cards or self.changes or self.figures or self.tables or self.notes)


def sections(content: ReportContent) -> list[Section]:
    """Return the sections that have something to show."""
    made = (
        _overview(content),
        _segments(content),
        _health(content),
        _concentration(content),
        _accuracy(content),
        _judged(content),
        _drift(content),
        _contacts(content),
        _plan(content),
        _data(content),
        _method(content),
    )
    return [section for section in made if not section.empty]


def _overview(content: ReportContent) -> Section:
    return Section(
        id="overview",
        title="Overview",
        lead=f"The shop as of {content.as_of}.",
        cards=content.headlines,
        changes=content.changes,
    )


def _data(content: ReportContent) -> Section:
    tables = []
    if content.data_counts is not None:
        tables.append(_table(content.data_counts, "What the log holds", "Kind", content))
    if content.dropped is not None and len(content.dropped):
        tables.append(_table(content.dropped, "Rows left out, and why", "Reason", content))
    marked = [Note(term="Fingerprint", text=content.fingerprint)] if content.fingerprint else []
    return Section(
        id="data",
        title="What the data is",
        lead=f"Period of the data: {content.period}. Every number below comes from these rows.",
        tables=tables,
        notes=marked,
    )


def _accuracy(content: ReportContent) -> Section:
    drawn, tables, notes = [], [], []
    if content.gains is not None:
        drawn.append(figures.gains_figure(content.gains))
    if content.calibration is not None:
        drawn.append(figures.calibration_figure(content.calibration))
    if content.backtest is not None:
        metrics = _metrics(content.backtest)
        drawn += [figures.backtest_figure(content.backtest, metric) for metric in metrics[:1]]
        caption = "Backtest: the best of each group is set in bold"
        tables.append(backtest_table(content.backtest, caption=caption, currency=content.currency))
        notes += _meanings(metrics)
    if content.tracking is not None and content.train_end is not None:
        drawn.append(figures.tracking_figure(content.tracking, content.train_end))
    if content.clv_holdout is not None:
        caption = "Customer value in a holdout period, beside the peer"
        tables.append(_table(content.clv_holdout, caption, "Model", content))
        notes += [note for note in _meanings(list(content.clv_holdout.columns)) if note not in notes]
    return Section(
        id="accuracy",
        title="How right the models were",
        lead="Predictions made at earlier dates, compared with what then happened.",
        figures=drawn,
        tables=tables,
        notes=notes,
    )


def _segments(content: ReportContent) -> Section:
    frame, drawn = content.segments, []
    if content.flows is not None:
        drawn.append(figures.flows_figure(content.flows))
    if content.migration is not None:
        drawn.append(figures.migration_figure(content.migration))
    if frame is not None:
        drawn.append(figures.segments_figure(frame))
    if content.lifecycle is not None:
        drawn.append(figures.lifecycle_figure(content.lifecycle))
    return Section(
        id="segments",
        title="Segments and flows",
        lead="Who is in which segment, who moved, and how far along customers are.",
        figures=drawn,
        tables=[] if frame is None else [_table(frame, "Segments in numbers", "Segment", content)],
    )


def _health(content: ReportContent) -> Section:
    drawn, tables = [], []
    if content.health is not None:
        drawn.append(figures.health_figure(content.health, currency=content.currency, changes=content.changes))
        tables.append(_months_table(content.health, content))
        by_segment = _by_segment(content.health)
        if len(by_segment):
            tables.append(_table(by_segment, "The last month by segment held at its start", "Segment", content))
    if content.cohorts is not None:
        drawn.append(figures.cohorts_figure(content.cohorts))
    return Section(
        id="health",
        title="Health",
        lead="Whether customers come back, how often, and for how much, over complete calendar months (UTC).",
        figures=drawn,
        tables=tables,
    )


def _concentration(content: ReportContent) -> Section:
    curve = content.concentration
    return Section(
        id="concentration",
        title="Value concentration",
        lead="How much of the value rests on how few customers.",
        figures=[] if curve is None else [figures.concentration_figure(curve)],
        tables=[] if curve is None else [_shares_table(curve, content)],
        beside=True,
    )


def _judged(content: ReportContent) -> Section:
    tables = []
    for prediction, (caption, shown) in JUDGED.items():
        runs = None if content.judged is None else content.judged[content.judged["prediction"] == prediction]
        if runs is not None and len(runs):
            runs = runs.iloc[-RUNS_SHOWN:][::-1]
            dates = pd.Index([f"{as_of:%Y-%m-%d}" for as_of in runs["as_of"]])
            tables.append(_table(runs.set_index(dates).reindex(columns=list(shown)), caption, "Scored as of", content))
    return Section(
        id="judged",
        title="Past predictions, judged",
        lead="What earlier runs said of customers before it could be known, beside what those customers then did. "
        "Where “expected to leave” stays above or below “left” run after run, the model wants retraining.",
        tables=tables,
        notes=_meanings([name for name in JUDGED["churn"][1] if tables]),
    )


def _drift(content: ReportContent) -> Section:
    tables, told = [], []
    if content.drift is not None:
        order = content.drift.sort_values(["shifted", "psi"], ascending=False, kind="stable")
        names, shifted = [column_label(str(name)) for name in order.index], int(order["shifted"].sum())
        shown = order.set_index(pd.Index(names))[["psi", "psi_limit", "missing_then", "missing_now", "why"]]
        rows = max(COLUMNS_SHOWN, shifted)
        tables.append(_table(shown.iloc[:rows], f"The largest of {len(order):,}, shifted ones first", "What", content))
        told = [f"{shifted:,} of {len(order):,} shifted. Check the data feeds first; if they are right, retrain."]
    return Section(
        id="drift",
        title="Drift",
        lead="Whether the customers scored now still look like those the churn model learned from. A shift does not "
        "say that a prediction is wrong, but that the model has not seen such customers.",
        callout=told if content.drift is not None and content.drift["shifted"].any() else (),
        tables=tables,
        notes=DRIFT_READING if tables else (),
    )


def _contacts(content: ReportContent) -> Section:
    frame = content.contacts
    caption = "" if frame is None else f"The first {len(frame):,} customers of the plan"
    return Section(
        id="contacts",
        title="Who to contact and why",
        lead="The customers for whom an offer is expected to gain the most, what made the churn model expect them to "
        "leave, and when their next purchase is due.",
        tables=[] if frame is None else [_table(frame, caption, "Customer", content)],
    )


def _plan(content: ReportContent) -> Section:
    drawn, tables = [], []
    if content.comparison is not None:
        drawn.append(figures.plan_figure(content.comparison, currency=content.currency))
        tables.append(_table(content.comparison, "The plan beside simple rules, in numbers", "Rule", content))
    if content.frontier is not None and content.plan is not None:
        budget = content.plan.budget
        drawn.append(figures.frontier_figure(content.frontier, budget, currency=content.currency))
    return Section(
        id="plan",
        title="The plan",
        lead="Where the budget goes, and how close to the best possible that is.",
        cards=() if content.plan is None else _plan_cards(content.plan, content.currency),
        callout=() if content.plan is None else _value_basis(content.plan),
        figures=drawn,
        tables=tables,
    )


def _method(content: ReportContent) -> Section:
    return Section(
        id="method",
        title="How to read this",
        lead="What the words mean, how the numbers were made, and what they cannot say.",
        notes=[*READING, *content.notes],
    )


def _plan_cards(plan: PlanSummary, currency: str) -> list[Headline]:
    def money(amount: float) -> str:
        return write_money(amount, currency=currency)

    return [
        Headline(label="Spend", value=money(plan.spend), note=f"of a budget of {money(plan.budget)}"),
        Headline(label="Customers contacted", value=f"{plan.contacts:,}"),
        Headline(label="Expected gain", value=money(plan.expected_gain), note="net of the offers' cost"),
        Headline(label="Upper bound", value=money(plan.upper_bound), note="of any plan within the budget"),
        Headline(label="Gap", value=f"{plan.gap:.2%}", note="at most this far from the best plan"),
    ]


def _value_basis(plan: PlanSummary) -> list[str]:
    by_basis: dict[str, list[str]] = {}
    for offer, basis in plan.value_basis.items():
        by_basis.setdefault(basis, []).append(f"“{offer}”")
    return [f"The effect of {', '.join(names)} is {VALUE_BASIS[basis]}" for basis, names in by_basis.items()]


def _shares_table(curve: pd.DataFrame, content: ReportContent) -> Table:
    shares = np.array([0.01, 0.05, 0.1, 0.2, 0.5])
    held = np.interp(shares, curve["customer_share"], curve["value_share"])
    frame = pd.DataFrame({"value_share": held}, index=[f"top {share:.0%}" for share in shares])
    return _table(frame, "Read off the curve", "Customers", content)


def _months_table(health: pd.DataFrame, content: ReportContent) -> Table:
    """Return the last months of the main metrics, one row per month, the latest first."""
    own = _metrics_across(health[health["segment"] == ALL], by="month").sort_index(ascending=False)
    months = pd.Index([f"{month:%Y-%m}" for month in own.index])
    return _table(own.set_axis(months), "Month by month", "Month", content)


def _by_segment(health: pd.DataFrame) -> pd.DataFrame:
    last = health[(health["month"] == health["month"].max()) & (health["segment"] != ALL)]
    return _metrics_across(last, by="segment").reindex(last["segment"].unique())


def _metrics_across(health: pd.DataFrame, *, by: str) -> pd.DataFrame:
    shown = health[health["metric"].isin(SHOWN_METRICS)]
    found: pd.DataFrame = shown.set_index([by, "metric"])["value"].unstack("metric")  # noqa: PD010  # one value each
    return found[[name for name in SHOWN_METRICS if name in found]]


def _metrics(results: pd.DataFrame) -> list[str]:
    names = [name for name in results.columns if name not in ("predictor", "cutoff") and name not in COLUMNS]
    return [str(name) for name in names if kind_of(results[name]) == "number"]


def _meanings(names: Sequence[str]) -> list[Note]:
    return [Note(term=METRICS[name].label, text=METRICS[name].meaning) for name in names if name in METRICS]


def _table(frame: pd.DataFrame, caption: str, index: str, content: ReportContent) -> Table:
    return table(frame, caption=caption, index=index, currency=content.currency)
