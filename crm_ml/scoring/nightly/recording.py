"""A night in MLflow: what was scored, how it differs from training, and how right past nights were."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from crm_ml.registry import Store, record
from crm_ml.scoring.nightly.request import Request
from crm_ml.scoring.published.runs import PublishedRun

__all__ = ["record_judgements", "record_run"]

SCORE: Final = "churn_probability"
NOT_MEASURES: Final = ("run", "prediction", "as_of", "judged_as_of", "horizon_days", "model")


def record_run(store: Store, directory: Path, request: Request, run: PublishedRun) -> None:
    """Record what was published."""
    metrics: dict[str, float] = {"customers": run.customers}
    if run.drift is not None:
        metrics["drift_columns_shifted"] = float(run.drift["shifted"].sum())
        metrics["drift_psi_max"] = float(run.drift["psi"].max())
        metrics["drift_psi_churn_probability"] = float(run.drift["psi"].get(SCORE, np.nan))
    record(
        store,
        directory=directory,
        run_name=f"scores as of {request.as_of:%Y-%m-%d}",
        params={"as_of": request.as_of.isoformat(), "run": run.name, **_models(run)},
        metrics=_finite(metrics),
    )


def record_judgements(store: Store, directory: Path, judged: pd.DataFrame) -> None:
    """Record how right past runs were, a row of the ledger each."""
    for row in judged.to_dict("records"):
        record(
            store,
            directory=directory,
            run_name=f"{row['prediction']} of {row['as_of']:%Y-%m-%d}, judged",
            params={name: row[name] for name in NOT_MEASURES},
            metrics=_finite({f"judged_{name}": row[name] for name in row if name not in NOT_MEASURES}),
        )


def _models(run: PublishedRun) -> dict[str, str]:
    return {f"{kind}_model": str(model["source"]) for kind, model in run.manifest["models"].items()}


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value)}
