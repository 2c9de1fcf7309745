"""What the report of a very large shop is given: counts in the hundred millions, long and hostile names."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from crm_ml.decisions.health import METRICS
from crm_ml.decisions.lifecycle import LIFECYCLE_STAGES
from crm_ml.decisions.segments.migration import ARRIVED
from crm_ml.report import Headline, Note, PlanSummary, ReportContent

HOSTILE_ID = "<img src=x onerror=alert(1)>"
HOSTILE_OFFER = '"><svg onload=alert(2)>'
HOSTILE_EVENT = "<script>alert(3)</script>"
LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"
SPACED = "win-back voucher for lapsed members of the loyalty programme, second reminder by post"
CUSTOMERS = 128_400_512
CURRENCY = "CHF"


def large_content() -> ReportContent:
    """Return the content; every figure and table has something to show."""
    share = np.linspace(0, 1, 101)
    weeks = pd.date_range("2016-01-04", periods=520, freq="W-MON")
    bought = 2.1e6 * (1 + 0.3 * np.sin(np.arange(520) / 8.3)) + 1e5 * np.cos(np.arange(520) * 1.7)
    return ReportContent(
        title=f"{LONG} & Söhne <b>Handelsgesellschaft</b>",
        as_of="2026-01-01",
        made_by="crm_ml 0.1.0",
        period="2016-01-01 to 2025-12-31",
        currency=CURRENCY,
        headlines=_headlines(),
        data_counts=_counts(),
        dropped=pd.DataFrame(
            {"rows": [91_204_331, 12]},
            index=[f"interactions: `{LONG.lower()}` must be finite", "transactions: doubled"],
        ),
        fingerprint="9f86d081884c7d659a2feaa0c55ad015" * 2,
        backtest=_backtest(),
        gains=pd.concat(
            pd.DataFrame({"predictor": name, "contacted_share": share, "captured_share": share ** (0.3 + 0.1 * i)})
            for i, name in enumerate(_PREDICTORS)
        ),
        judged=_judged(),
        drift=_drift(),
        calibration=pd.DataFrame(
            {
                "predicted": np.linspace(0.05, 0.95, 10),
                "observed": np.linspace(0.06, 0.93, 10),
                "lower": np.linspace(0.0599, 0.9299, 10),
                "upper": np.linspace(0.0601, 0.9301, 10),
                "customers": 12_840_051,
            }
        ),
        tracking=pd.DataFrame({"actual": bought, "expected": np.roll(bought, 3)}, index=weeks),
        train_end=weeks[468],
        clv_holdout=pd.DataFrame(
            {
                "mae": [38_212.25, 39_950.5],
                "rmse": [912_400.1, 934_001.9],
                "bias": [-0.034, 0.21],
                "top_decile_capture": [0.517, 0.498],
                "gini": [0.84, 0.83],
            },
            index=["crm_ml CLV model", f"model and {LONG} blended"],
        ),
        changes=[f"{LONG} rose from 1,234,567 to 2,345,678 (usual change +1 ± 3)", HOSTILE_EVENT, SPACED],
        segments=_segments(),
        flows=_flows(),
        migration=_migration(),
        lifecycle=pd.DataFrame(
            {stage: CUSTOMERS // (number + 2) for number, stage in enumerate(LIFECYCLE_STAGES)},
            index=pd.date_range("2025-01-01", periods=13, freq="MS", tz="UTC"),
        ),
        health=_health(),
        cohorts=_cohorts(),
        concentration=pd.DataFrame({"customer_share": share, "value_share": 1 - (1 - share) ** 9}),
        contacts=_contacts(),
        plan=PlanSummary(
            budget=250_000_000,
            spend=249_999_999.99,
            expected_gain=612_345_678.9,
            upper_bound=612_345_700.0,
            gap=3.4e-8,
            contacts=41_250_318,
            value_basis={SPACED: "assumed", HOSTILE_OFFER: "estimated", LONG: "experiment"},
        ),
        comparison=pd.DataFrame(
            {
                "customers_contacted": [41_250_318, 125_000_000, 90_300_100, 77_000_000, 60_500_000],
                "spend": [249_999_999.99, 2.5e8, 2.5e8, 2.5e8, 2.5e8],
                "expected_gain": [612_345_678.9, -91_000_000.0, 200_500_000.0, -4_200_000.0, 540_000_000.0],
            },
            index=pd.Index(["plan", "everyone alike", "top churn risk", "top value", "top risk × value"], name="rule"),
        ),
        frontier=pd.DataFrame({"budget": 1e7 * np.arange(61), "expected_gain": 9e8 * (1 - 0.93 ** np.arange(61))}),
        notes=[Note(term=f"Value of {LONG}", text=f"{SPACED}. " * 12)],
    )


_PREDICTORS = ["crm_ml churn model", "recency alone", "logistic on RFM", "BG/NBD", f"shop's own: {SPACED}"]


def _headlines() -> list[Headline]:
    return [
        Headline(label="Customers", value=f"{CUSTOMERS:,}", note="92,200,117 bought within 30 days"),
        Headline(label="Expected to fall silent", value="23,450,910", note="of those active, within 30 days"),
        Headline(label="Expected value", value="CHF 98,412,345.67 M", note="margin of the next 365 days, discounted"),
        Headline(label=LONG, value="+1,234.5 %", note=SPACED),
    ]


def _counts() -> pd.DataFrame:
    names = ["transactions", HOSTILE_EVENT, *(f"{LONG}_{number}" for number in range(38))]
    return pd.DataFrame(
        {
            "rows": np.linspace(9.1e9, 3, 40).astype(int),
            "customers": np.linspace(CUSTOMERS, 1, 40).astype(int),
            "first": pd.Timestamp("2016-01-01"),
            "last": [*[pd.Timestamp("2025-12-31")] * 39, pd.NaT],
        },
        index=pd.Index(names, name="table"),
    )


def _backtest() -> pd.DataFrame:
    cutoffs = pd.date_range("2024-01-01", periods=24, freq="MS")
    rows = [
        {
            "predictor": name,
            "cutoff": cutoff,
            "customers": CUSTOMERS - 1_000 * j,
            "auc": 0.9 - 0.02 * i + 0.01 * np.sin(i + j),
            "average_precision": 0.6 - 0.03 * i,
            "brier": 0.09 + 0.01 * i,
            "calibration_error": 0.02,
            "lift_10": 3.9 - 0.1 * i,
        }
        for j, cutoff in enumerate(cutoffs)
        for i, name in enumerate(_PREDICTORS)
    ]
    return pd.DataFrame(rows)


SEGMENTS = ["champions", "loyal", LONG, SPACED, *(f"group {number} of members" for number in range(12))]


def _judged() -> pd.DataFrame:
    runs, share = 30, np.linspace(0.2, 0.4, 30)
    churn = {
        "prediction": "churn",
        "as_of": pd.date_range("2025-10-01", periods=runs, tz="UTC"),
        "horizon_days": 30.0,
        "customers": CUSTOMERS,
        "predicted": share,
        "churned": share[::-1],
        "auc": share + 0.4,
        "lift_10": 1 + share,
        "calibration_error": share / 10,
    }
    value = {
        "prediction": "clv",
        "as_of": pd.date_range("2025-01-01", periods=runs, tz="UTC"),
        "horizon_days": 365.0,
        "customers": CUSTOMERS,
        "expected_purchases": 412_345_678.9,
        "purchases": 398_765_432.0,
        "expected_spend": 1.23e11,
        "spend": 1.17e11,
        "spend_ratio": 1.05,
        "top_decile_capture": share,
    }
    return pd.concat([pd.DataFrame(churn), pd.DataFrame(value)], ignore_index=True)


def _drift() -> pd.DataFrame:
    names = [f"days_since_{LONG.lower()}", f"{LONG.lower()}_decayed", HOSTILE_EVENT, *(f"f{n}" for n in range(20))]
    why = "above 1.2e+05 and at most 9.9e+06 for 88.8%, in training for 10.0%; missing for 99.9%, in training for 0.1%"
    shifted = np.arange(len(names)) < 15
    columns = {"psi": 9.87, "psi_limit": 0.25, "missing_then": 0.001, "missing_now": 0.999}
    found = pd.DataFrame(columns, index=pd.Index(names, name="column"))
    return found.assign(shifted=shifted, why=np.where(shifted, why, ""))


def _segments() -> pd.DataFrame:
    weight = 0.7 ** np.arange(16)
    return pd.DataFrame(
        {
            "customers": (CUSTOMERS * weight[::-1] / weight.sum()).astype(int),
            "clv": 9.9e9 * weight,
            "churn_probability": np.linspace(0.01, 0.9, 16),
            "recency_days": np.linspace(1, 400, 16),
        },
        index=pd.Index(SEGMENTS, name="segment"),
    )


def _flows() -> pd.DataFrame:
    kind = pd.CategoricalDtype([*SEGMENTS, ARRIVED], ordered=True)
    months = pd.date_range("2025-10-01", periods=4, freq="MS", tz="UTC")
    moved = _migration()
    rows = [
        {"start": start, "end": end, "from": source, "to": target, "customers": moved.loc[source, target]}
        for start, end in itertools.pairwise(months)
        for source in moved.index
        for target in moved.columns
    ]
    return pd.DataFrame(rows).astype({"from": kind, "to": kind})


def _migration() -> pd.DataFrame:
    size = len(SEGMENTS)
    counts = np.full((size + 1, size), CUSTOMERS // 3_000) + np.eye(size + 1, size, dtype=int) * (CUSTOMERS // 20)
    return pd.DataFrame(
        counts, index=pd.Index([*SEGMENTS, ARRIVED], name="from"), columns=pd.Index(SEGMENTS, name="to")
    )


def _health() -> pd.DataFrame:
    months = pd.date_range("2024-12-01", periods=13, freq="MS", tz="UTC")
    size = {"count": 92_200_117.0, "money": 4.5e9, "days": 31.0, "share": 0.412, "ratio": 3.1}
    rows = [
        {"month": month, "segment": segment, "metric": metric.name, "value": size[metric.unit] * (1 + 0.01 * at)}
        for at, month in enumerate(months)
        for segment in ("all", *SEGMENTS, "no segment")
        for metric in METRICS
    ]
    change = {"change": 0.01, "change_share": 0.01}
    return pd.DataFrame(rows).assign(**change)


def _cohorts() -> pd.DataFrame:
    months = pd.date_range("2024-01-01", periods=24, freq="MS", tz="UTC")
    rows = [
        {"cohort": cohort, "age": age, "customers": CUSTOMERS // 24, "share": 0.9**age}
        for number, cohort in enumerate(months)
        for age in range(24 - number)
    ]
    return pd.DataFrame(rows)


def _contacts() -> pd.DataFrame:
    ids = [HOSTILE_ID, LONG, "0" * 64, *(f"customer-{number:012d}" for number in range(57))]
    return pd.DataFrame(
        {
            "offer": [SPACED, HOSTILE_OFFER, LONG] * 20,
            "cost": 1_234.5,
            "churn_probability": np.linspace(0.99, 0.1, 60),
            "clv": np.linspace(9_876_543, 12, 60),
            "expected_gain": np.linspace(1_234_567, 0.4, 60),
            "contact_on": pd.Timestamp("2026-01-02", tz="UTC"),
            "reason": [f"{HOSTILE_EVENT} {SPACED}", LONG, None] * 20,
        },
        index=pd.Index(ids, name="customer_id"),
    )
