"""Train the churn and value models on a log, keep them as bundles, track and register them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.evaluation import Backtest
from crm_ml.events.log import CustomerLog
from crm_ml.plots import CalibrationDisplay, GainsDisplay, TrackingDisplay
from crm_ml.registry import Figure, PendingRun, Store, TrackedRun, default_store, save_bundle, track
from crm_ml.scoring.assessment import Assessment

__all__ = ["Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """What a training left behind.

    Attributes
    ----------
    churn, clv : the fitted models.
    churn_run, clv_run : their MLflow runs and registered versions; where the store did not take one, what is kept
        for `crm_ml.registry.sync`.
    churn_bundle, clv_bundle : their bundles on disk.
    """

    churn: ChurnModel
    clv: CLVModel
    churn_run: TrackedRun | PendingRun
    clv_run: TrackedRun | PendingRun
    churn_bundle: Path
    clv_bundle: Path


def train(
    log: CustomerLog,
    assessment: Assessment,
    *,
    annual_discount_rate: float,
    margin: float,
    horizon_days: int = 30,
    value_horizon_days: float = 365,
    directory: str | Path = Path("models"),
    store: Store | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Fit both models on everything before the assessment's `as_of`; the first are champions, later ones challengers.

    A challenger becomes champion by `crm_ml.scoring.promote` alone. An MLflow store that does not answer delays a
    training by a minute or two and fails nothing: what it did not take is kept in ``<directory>/pending/``.

    Parameters
    ----------
    log : the log.
    assessment : the backtest of the same log; its measures, figures and moment go into the tracked runs.
    annual_discount_rate, margin, value_horizon_days : what whoever loads the value model through MLflow
        gets unless told otherwise.
    horizon_days : of churn.
    directory : where the bundles ``churn`` and ``clv`` of this training are kept.
    store : the MLflow store, by default `crm_ml.registry.default_store(directory)`.
    on_step : called with a short text before each step.

    Raises
    ------
    SchemaError, ConvergenceError
        The log is too short, or a likelihood has no maximum worth trusting.
    """
    as_of = assessment.as_of
    on_step("fit the churn model")
    churn = ChurnModel(horizon_days=horizon_days).fit(log, as_of=as_of)
    on_step("fit the value model")
    clv = CLVModel().fit(log, as_of=as_of)
    keep = partial(
        _keep,
        as_of=as_of,
        fingerprint=log.fingerprint(as_of=as_of),
        first=log.first,
        directory=Path(directory),
        store=store or default_store(directory),
    )
    on_step("track and register the churn model")
    churn_run, churn_bundle = keep(
        churn,
        assessment.churn,
        params={"horizon_days": horizon_days, "lookback_days": churn.lookback_days, "n_cutoffs": churn.n_cutoffs},
        figures={
            "gains": GainsDisplay(assessment.gains()).plot().figure_,
            "calibration": CalibrationDisplay(assessment.calibration()).plot().figure_,
        },
        evidence={"training": churn.training_},
        setting_defaults={},
    )
    on_step("track and register the value model")
    clv_run, clv_bundle = keep(
        clv,
        assessment.value,
        params={"process": type(clv.process_).__name__, "time_unit": clv.time_unit, **clv.params_},
        figures={"tracking": TrackingDisplay(assessment.weeks, assessment.fitted_until).plot().figure_},
        evidence={
            "diagnostics": clv.diagnostics_,
            "selection": clv.selection_,
            "backtest_choices": {"notes": list(assessment.choices)},
        },
        setting_defaults={
            "horizon_days": value_horizon_days,
            "annual_discount_rate": annual_discount_rate,
            "margin": margin,
        },
    )
    return Trained(churn, clv, churn_run, clv_run, churn_bundle, clv_bundle)


def _keep(
    model: ChurnModel | CLVModel,
    judged: Backtest,
    *,
    params: Mapping[str, object],
    figures: Mapping[str, Figure],
    evidence: Mapping[str, pd.DataFrame | Mapping[str, object]],
    setting_defaults: Mapping[str, float],
    as_of: pd.Timestamp,
    fingerprint: Mapping[str, int | str],
    first: pd.Timestamp,
    directory: Path,
    store: Store,
) -> tuple[TrackedRun | PendingRun, Path]:
    """Keep a model as a bundle under its kind's name, then track and register it."""
    measures = _measures(judged)
    window = {"first": first.isoformat(), "before": as_of.isoformat()}
    metadata = {"as_of": as_of.isoformat(), "training_window": window, "backtest": measures}
    bundle = save_bundle(model, directory / model.kind, metadata={**metadata, "data_fingerprint": fingerprint})
    run = track(
        store,
        model,
        directory=directory,
        register_as=model.kind,
        run_name=f"{model.kind} as of {as_of:%Y-%m-%d}",
        params={"as_of": as_of.isoformat(), **params},
        metrics=measures,
        data_fingerprint=fingerprint,
        figures=figures,
        tables={"backtest": judged.metrics, **evidence},
        bundle_metadata=metadata,
        setting_defaults=setting_defaults,
    )
    return run, bundle


def _measures(found: Backtest) -> dict[str, list[float]]:
    """Return each predictor's measures under one name, one number per cutoff."""
    tidy = found.metrics.drop(columns="customers").set_index(["predictor", "cutoff"])
    return {
        f"{re.sub('[^a-z0-9]+', '_', str(predictor).lower()).strip('_')}.{measure}": rows[measure].tolist()
        for predictor, rows in tidy.groupby("predictor", sort=False)
        for measure in tidy.columns
    }
