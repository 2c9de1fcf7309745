"""What a report shows: finished frames, numbers and strings, nothing that computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from crm_ml.errors import CrmError, out_of_range

__all__ = ["Headline", "Note", "PlanSummary", "ReportContent"]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One number of the overview.

    Parameters
    ----------
    label : str
        What the number is, such as ``"Active customers"``.
    value : str
        The number as it shall be read, such as ``"12,480"``.
    note : str
        One short line of context below it, such as ``"bought within 30 days"``.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A paragraph of the closing notes: a term or question, and its explanation."""

    term: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """The budget plan in numbers.

    Parameters
    ----------
    budget, spend, expected_gain, upper_bound : float
        Money; gains are net of the offers' cost. No plan within `budget` gains more than `upper_bound`.
    gap : float
        ``(upper_bound - expected_gain) / upper_bound``: how far from the best the plan can be, in [0, 1].
    contacts : int
        Customers who receive an offer.
    value_basis : mapping of str to {"assumed", "estimated", "experiment"}
        Offer name to where its effect is known from.

    Raises
    ------
    CrmError
        If a basis is none of the three.
    """

    budget: float
    spend: float
    expected_gain: float
    upper_bound: float
    gap: float
    contacts: int
    value_basis: Mapping[str, str]

    def __post_init__(self) -> None:
        for basis in self.value_basis.values():
            if basis not in ("assumed", "estimated", "experiment"):
                rule = "be 'assumed', 'estimated' or 'experiment'"
                raise CrmError(out_of_range("value_basis", basis, rule))


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportContent:
    """Everything a report shows. A frame left at None leaves its table or figure out.

    Frames may have further columns: tables show them all, figures draw the ones named here. Shares and
    probabilities are in [0, 1], money is in the shop's currency, dates are Timestamps.

    Parameters
    ----------
    title : str
        Name of the shop or of the report.
    as_of : str
        The date everything is computed as of.
    made_by : str
        Library and version, such as ``"crm_ml 0.1.0"``.
    period : str
        First and last day of the data.
    currency : str
        Sign or code written before amounts: ``"$"``, ``"R$"``, ``"EUR"``; empty for none.
    headlines : sequence of Headline
        The overview's numbers, the most important first.
    changes : sequence of str
        The numbers that changed most, a sentence each, the most unusual first.
    data_counts : DataFrame, optional
        Indexed by what was counted (``"transactions"``, ``"returns"``, ``"interactions: view"``); `rows`
        (count), `first` and `last` (date).
    dropped : DataFrame, optional
        Indexed by reason, `rows` (count): what was left out of the log and why.
    fingerprint : str, optional
        Fingerprint of the data.
    backtest : DataFrame, optional
        One row per predictor and cutoff: `predictor`, `cutoff` (date), a float column per metric; counts
        such as `customers` may stand among them. The first metric is also drawn.
    gains : DataFrame, optional
        `predictor`, `contacted_share`, `captured_share`; see `crm_ml.plots.GainsDisplay`.
    calibration : DataFrame, optional
        `predicted`, `observed`, `lower`, `upper`, `customers`; see `crm_ml.plots.CalibrationDisplay`.
    tracking : DataFrame, optional
        Indexed by week, `actual`, `expected`; see `crm_ml.plots.TrackingDisplay`. Needs `train_end`.
    train_end : Timestamp, optional
        End of the training period of `tracking`.
    clv_holdout : DataFrame, optional
        Indexed by model (ours and the peer), a column per error measure.
    judged : DataFrame, optional
        One row per past run and prediction, oldest first: `prediction` ("churn" or "clv"), `as_of` (date),
        `horizon_days`, `customers` (count); of churn `churned`, `predicted` (shares), `auc`, `lift_10`,
        `calibration_error`; of value `expected_purchases`, `purchases`, `expected_spend`, `spend`, `spend_ratio`,
        `top_decile_capture`. Columns may be left out where no run is of their kind.
    drift : DataFrame, optional
        Indexed by feature or score: `psi`, `psi_limit`, `missing_then`, `missing_now` (shares), `shifted` (bool),
        `why` (text); see `crm_ml.evaluation.drift`.
    segments : DataFrame, optional
        Indexed by segment, `customers` (count) and `spend` or `clv` (money, total of the segment).
    flows : DataFrame, optional
        `start`, `end`, `from`, `to`, `customers`; see `crm_ml.plots.FlowsDisplay`.
    migration : DataFrame, optional
        Customers from each segment to each in the last month; see `crm_ml.plots.MigrationDisplay`.
    lifecycle : DataFrame, optional
        Customers by moment and stage; see `crm_ml.plots.LifecycleDisplay`.
    health : DataFrame, optional
        `month`, `segment`, `metric`, `value`, `change`, `change_share`; see `crm_ml.plots.HealthDisplay`.
    cohorts : DataFrame, optional
        `cohort`, `age`, `customers`, `share`; see `crm_ml.plots.CohortDisplay`.
    concentration : DataFrame, optional
        `customer_share`, `value_share`; see `crm_ml.plots.ConcentrationDisplay`.
    contacts : DataFrame, optional
        The first rows of the plan, indexed by `customer_id`: `offer` (name), `cost` (money),
        `churn_probability`, `clv` (money), `expected_gain` (money), `contact_on` (date), `reason` (text).
    plan : PlanSummary, optional
        The plan in numbers.
    comparison : DataFrame, optional
        Indexed by rule, the plan first: `expected_gain`, `spend` (money).
    frontier : DataFrame, optional
        `budget`, `expected_gain` (money), ascending; the plan's own budget is marked. Needs `plan`.
    notes : sequence of Note
        Method and limits of this run: horizon, lookback, models, assumptions.
    language : str
        Language tag of the page; the fixed texts are English.

    Raises
    ------
    CrmError
        If `tracking` comes without `train_end`, or `frontier` without `plan`.
    """

    title: str
    as_of: str
    made_by: str
    period: str
    currency: str
    headlines: Sequence[Headline] = ()
    changes: Sequence[str] = ()
    data_counts: pd.DataFrame | None = None
    dropped: pd.DataFrame | None = None
    fingerprint: str | None = None
    backtest: pd.DataFrame | None = None
    gains: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    tracking: pd.DataFrame | None = None
    train_end: pd.Timestamp | None = None
    clv_holdout: pd.DataFrame | None = None
    judged: pd.DataFrame | None = None
    drift: pd.DataFrame | None = None
    segments: pd.DataFrame | None = None
    flows: pd.DataFrame | None = None
    migration: pd.DataFrame | None = None
    lifecycle: pd.DataFrame | None = None
    health: pd.DataFrame | None = None
    cohorts: pd.DataFrame | None = None
    concentration: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    plan: PlanSummary | None = None
    comparison: pd.DataFrame | None = None
    frontier: pd.DataFrame | None = None
    notes: Sequence[Note] = ()
    language: str = "en"

    def __post_init__(self) -> None:
        for given, needed in (("tracking", "train_end"), ("frontier", "plan")):
            if getattr(self, given) is not None and getattr(self, needed) is None:
                raise CrmError(f"`{given}` needs `{needed}`; it was None.\nGive `{needed}` or leave `{given}` out.")
