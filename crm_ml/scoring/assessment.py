"""How right the models are on the log itself, beside what one would use instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from crm_ml.churn import ChurnModel, LogisticBaseline, PurchaseProcessBaseline
from crm_ml.clv import (
    BlendedValue,
    CLVModel,
    LifetimesBaseline,
    PanelValueModel,
    SpendRateBaseline,
    weekly_purchases,
)
from crm_ml.errors import SchemaError
from crm_ml.evaluation import Backtest, Predictor, backtest, by_predictor, calibration_bins, gains_curve
from crm_ml.events.clock import DAY, Moment, days, moment, stamp
from crm_ml.events.log import CustomerLog, monthly_cutoffs

__all__ = ["BLEND", "CHALLENGER", "CHURN_MODEL", "VALUE_MODEL", "Assessment", "assess"]

CHURN_MODEL, VALUE_MODEL = "crm_ml churn model", "crm_ml CLV model"
"""Names under which the library's own models stand beside the others."""

CHALLENGER, BLEND = "XGBoost on the panel", "model and challenger blended"


@dataclass(frozen=True)
class Assessment:
    """Backtests of churn and value.

    Attributes
    ----------
    as_of : the moment nothing at or after which was used.
    churn : backtest of the churn model and its rivals at the last monthly cutoffs.
    value : backtest of spend over the holdout at the log's end.
    weeks : repeat purchases per week, actual and expected by the purchase process of that backtest.
    fitted_until : where the holdout begins.
    choices : which purchase process the value model chose there, and whether its challenger or a blend of both
        would have been better, in words.
    """

    as_of: pd.Timestamp
    churn: Backtest
    value: Backtest
    weeks: pd.DataFrame
    fitted_until: pd.Timestamp
    choices: tuple[str, ...]

    def gains(self) -> pd.DataFrame:
        """Return the gains curve of every churn predictor over all cutoffs, in one tidy frame."""
        found = self.churn.predictions
        predicted = {str(name): found[name] for name in found.columns.drop("actual")}
        return by_predictor(lambda probability: gains_curve(found["actual"], probability), predicted)

    def calibration(self) -> pd.DataFrame:
        """Return the calibration of the churn model over all cutoffs."""
        return calibration_bins(self.churn.predictions["actual"], self.churn.predictions[CHURN_MODEL])


def assess(
    log: CustomerLog,
    *,
    as_of: Moment,
    horizon_days: int = 30,
    n_cutoffs: int = 3,
    holdout_days: int = 92,
    on_step: Callable[[str], None] = lambda _: None,
) -> Assessment:
    """Backtest the default models out of time.

    Parameters
    ----------
    log : the log; nothing at or after `as_of` is used.
    as_of : the moment up to which labels are known.
    horizon_days : of churn.
    n_cutoffs : how many of the last month's beginnings churn is predicted at.
    holdout_days : length of the window in which spend is predicted.
    on_step : called with a short text before each fit.

    Raises
    ------
    SchemaError
        The log is too short.
    """
    end = moment(as_of)
    last = stamp(end - days(horizon_days, name="horizon_days"))
    churn_model = ChurnModel(horizon_days=horizon_days)
    design = churn_model.design
    history = design.history_days + 2 * horizon_days + design.step_days
    cutoffs = monthly_cutoffs(log, last=last, history_days=history)[-n_cutoffs:]
    if len(cutoffs) == 0:
        raise SchemaError(
            f"A backtest needs {history + horizon_days:g} days and the beginning of a month between the log's first "
            f"day {log.first} and {stamp(end)}.\nUse more of the past."
        )
    churn = backtest(
        log,
        {
            CHURN_MODEL: churn_model,
            "recency alone": LogisticBaseline(("recency_days",), design=design),
            "logistic on RFM": LogisticBaseline(design=design),
            "BG/NBD": PurchaseProcessBaseline(),
        },
        cutoffs=cutoffs,
        horizon_days=horizon_days,
        lookback_days=design.lookback_days,
        target="churned",
        on_step=on_step,
    )
    fitted_until = stamp(end - holdout_days * DAY)
    clv = CLVModel()
    challenge = _challenge(log, as_of=fitted_until, horizon_days=holdout_days)
    value = backtest(
        log,
        {
            VALUE_MODEL: clv,
            **challenge,
            "lifetimes": LifetimesBaseline(),
            "spend rate so far": SpendRateBaseline(),
        },
        cutoffs=[fitted_until],
        horizon_days=holdout_days,
        target="spend_ahead",
        on_step=on_step,
    )
    weeks = weekly_purchases(log, clv, as_of=stamp(end))
    blended = [found.note_ for found in challenge.values() if isinstance(found, BlendedValue)]
    notes = (clv.diagnostics_["notes"][0], clv.level_.note, *blended)
    return Assessment(stamp(end), churn, value, weeks, fitted_until, tuple(note for note in notes if note))


def _challenge(log: CustomerLog, *, as_of: pd.Timestamp, horizon_days: int) -> dict[str, Predictor]:
    """Return the value model's challenger and the blend of both; none where the log is too short for them."""
    challenger = PanelValueModel(horizon_days=horizon_days)
    try:
        challenger.design.cutoffs(log, as_of=as_of)
    except SchemaError:
        return {}
    return {CHALLENGER: challenger, BLEND: BlendedValue(CLVModel(), challenger, horizon_days=horizon_days)}
