"""Frames as figures of the page: an SVG, a caption, and the same told in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from crm_ml import plots
from crm_ml.decisions.segments.migration import ARRIVED
from crm_ml.report.glossary import column_label
from crm_ml.report.numbers import write_money

__all__ = [
    "Figure",
    "backtest_figure",
    "calibration_figure",
    "cohorts_figure",
    "concentration_figure",
    "flows_figure",
    "frontier_figure",
    "gains_figure",
    "health_figure",
    "lifecycle_figure",
    "migration_figure",
    "plan_figure",
    "segments_figure",
    "tracking_figure",
]


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its element, a short caption, and how to read it."""

    svg: Markup
    caption: str
    note: str


def gains_figure(curves: pd.DataFrame) -> Figure:
    """Draw the gains curves."""
    display = plots.GainsDisplay(curves)
    at_ten = [
        f"{name} {np.interp(0.1, curve['contacted_share'], curve['captured_share']):.0%}"
        for name, curve in curves.groupby("predictor", sort=False)
    ]
    return _figure(
        display,
        "gains",
        "Churners reached by contacting the riskiest customers first",
        "The higher a line, the fewer customers must be contacted to reach the same churners.",
        f"Share of churners reached with the riskiest 10% of customers: {', '.join(at_ten)}.",
    )


def calibration_figure(bins: pd.DataFrame) -> Figure:
    """Draw the calibration of the churn probabilities."""
    display = plots.CalibrationDisplay(bins)
    worst = (bins["observed"] - bins["predicted"]).abs().max()
    return _figure(
        display,
        "calibration",
        "Predicted and observed churn",
        "On the dotted line, 70 of 100 customers given 70% really churn. Bars show the uncertainty of the "
        "observed share, the panel below how many customers each point stands for.",
        f"{len(bins)} bins; the largest distance between predicted and observed churn is {worst:.1%}.",
    )


def backtest_figure(results: pd.DataFrame, metric: str) -> Figure:
    """Draw one metric over the cutoffs."""
    label = column_label(metric)
    display = plots.BacktestDisplay(results.rename(columns={metric: label}), label)
    means = results.groupby("predictor", sort=False)[metric].mean()
    told = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    return _figure(
        display,
        "backtest",
        f"{label} of each predictor at each cutoff",
        "Each dot is one date at which the predictor was trained on the past and judged on what followed. "
        "Differences smaller than the spread of a row's dots mean little.",
        f"Mean over the cutoffs: {told}.",
    )


def tracking_figure(weeks: pd.DataFrame, train_end: pd.Timestamp) -> Figure:
    """Draw actual and expected purchases."""
    display = plots.TrackingDisplay(weeks, train_end)
    after = weeks.loc[weeks.index >= train_end, ["actual", "expected"]].sum()
    return _figure(
        display,
        "tracking",
        "Repeat purchases, actual and expected",
        "Right of the dotted line the purchase model had seen nothing; there it shows whether it can look ahead.",
        f"After the end of training {after['actual']:,.0f} repeat purchases came; "
        f"{after['expected']:,.0f} were expected.",
    )


def segments_figure(segments: pd.DataFrame) -> Figure:
    """Draw the segments' shares of customers and value."""
    value = "spend" if "spend" in segments else "clv"
    named = "spend" if value == "spend" else "expected value"
    display = plots.SegmentsDisplay(segments.rename(columns={value: named}), value=named)
    shares = segments[value] / segments[value].sum()
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return _figure(
        display,
        "segments",
        f"Share of {named} and of customers by segment",
        "Where the dark bar is the longer, a segment is worth more than its size.",
        f"Share of {named}: {told}.",
    )


def flows_figure(flows: pd.DataFrame) -> Figure:
    """Draw how customers moved among segments."""
    display = plots.FlowsDisplay(flows)
    last = flows[flows["end"] == flows["end"].max()]
    known = last[last["from"] != ARRIVED]
    moved = known.loc[known["from"] != known["to"], "customers"].sum()
    arrived = last["customers"].sum() - known["customers"].sum()
    return _figure(
        display,
        "flows",
        "How customers moved among segments",
        "Each column of bars is one date. Bands show who changed: upwards, downwards, or newly arrived.",
        f"In the last step {moved:,} of {known['customers'].sum():,} customers changed segment; {arrived:,} arrived.",
    )


def migration_figure(counts: pd.DataFrame) -> Figure:
    """Draw where the customers of each segment were a month later."""
    display = plots.MigrationDisplay(counts)
    known = counts.loc[counts.index != ARRIVED]
    stayed = {str(name): known.loc[name, name] / known.loc[name].sum() for name in known.index if known.loc[name].sum()}
    told = ", ".join(f"{name} {share:.0%}" for name, share in stayed.items())
    return _figure(
        display,
        "migration",
        "Where the customers of each segment were a month later",
        "Each row sums to 100%. On the diagonal are those who stayed; those who arrived had not been known before.",
        f"Share of each segment that stayed: {told}.",
    )


def lifecycle_figure(counts: pd.DataFrame) -> Figure:
    """Draw the customers by stage of life."""
    display = plots.LifecycleDisplay(counts)
    told = ", ".join(f"{stage} {customers:,}" for stage, customers in counts.iloc[-1].items())
    return _figure(
        display,
        "lifecycle",
        "Customers by stage of life",
        "New, growing and mature go by the time since the first purchase; whoever has been silent for long is "
        "declining, dormant or churned instead. Prospects have not bought yet.",
        f"At the last date: {told}.",
    )


def health_figure(health: pd.DataFrame, *, currency: str, changes: Sequence[str]) -> Figure:
    """Draw the main metrics over the months; `changes` say in words what changed most."""
    display = plots.HealthDisplay(health, currency=currency)
    return _figure(
        display,
        "health",
        "The main numbers, month by month",
        "Beside each name stands the last month's value and its change on the month before.",
        f"Changed most: {'; '.join(changes)}." if changes else "Nothing changed in the last month.",
    )


def cohorts_figure(cohorts: pd.DataFrame) -> Figure:
    """Draw retention by cohort."""
    display = plots.CohortDisplay(cohorts)
    first = cohorts[cohorts["age"] == 1]
    mean = first["share"].mul(first["customers"]).sum() / first["customers"].sum()
    return _figure(
        display,
        "cohorts",
        "Who buys again, by month of the first purchase",
        "A row is the customers who first bought in that month; read it from left to right. Compare rows in the "
        "same column. The log's first cohort also holds whoever was a customer before.",
        f"{mean:.0%} of customers bought in the month after that of their first purchase.",
    )


def concentration_figure(curve: pd.DataFrame) -> Figure:
    """Draw the concentration of value."""
    display = plots.ConcentrationDisplay(curve)
    return _figure(
        display,
        "concentration",
        "Share of value held by the most valuable customers",
        "If every customer were worth the same, the line would follow the dotted diagonal. The steeper it "
        "starts, the more depends on keeping few customers.",
        "The most valuable 10% of customers hold "
        f"{np.interp(0.1, curve['customer_share'], curve['value_share']):.0%} of the value.",
    )


def plan_figure(comparison: pd.DataFrame, *, currency: str) -> Figure:
    """Draw the plan beside simple rules."""
    display = plots.PlanDisplay(comparison, currency=currency)
    gains = comparison["expected_gain"].items()
    told = ", ".join(f"{rule} {write_money(gain, currency=currency)}" for rule, gain in gains)
    return _figure(
        display,
        "plan",
        "The plan beside simple rules",
        "Every rule may spend the same budget and is valued by the same predictions.",
        f"Expected gain: {told}.",
    )


def frontier_figure(frontier: pd.DataFrame, budget: float, *, currency: str) -> Figure:
    """Draw the expected gain over the budget."""
    display = plots.FrontierDisplay(frontier, budget, currency=currency)
    gain = float(np.interp(budget, frontier["budget"], frontier["expected_gain"]))
    return _figure(
        display,
        "frontier",
        "What a larger or smaller budget would gain",
        "Where the line flattens, another unit of money buys little.",
        f"At a budget of {write_money(budget, currency=currency)} the expected gain is "
        f"{write_money(gain, currency=currency)}.",
    )


def _figure(display: plots.Display, name: str, caption: str, note: str, told: str) -> Figure:
    svg = plots.draw_svg(display, name=name, description=f"{caption}. {told}")
    return Figure(Markup(svg), caption, note)  # noqa: S704 -- draw_svg escapes what comes from data
