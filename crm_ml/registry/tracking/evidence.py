"""What a run holds beside the model: numbers, data lineage, figures, tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from crm_ml.features.panels.csv_file import write_csv
from crm_ml.registry.manifest import plain, render_manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from crm_ml.registry.tracking.dossier import Dossier

__all__ = ["Figure", "log_fingerprint", "log_numbers", "write_files"]


class Figure(Protocol):
    """What can be saved as an image: a matplotlib figure, without importing matplotlib here."""

    def savefig(self, fname: Any, /) -> object:
        """Write the image to a path."""


def log_numbers(client: MlflowClient, run_id: str, dossier: Dossier, *, model_id: str | None) -> None:
    """Log parameters and metrics in one batch.

    The metrics name the model they belong to; left open, MLflow would fill in the host's active model.
    """
    from mlflow.entities import Metric, Param

    at = round(dossier.created.timestamp() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, at, step, model_id=model_id) for name, step, value in dossier.metrics],
        params=[Param(name, value) for name, value in dossier.params.items()],
    )


def log_fingerprint(client: MlflowClient, run_id: str, fingerprint: Mapping[str, object]) -> None:
    """Log the data's fingerprint as tags to search by, and as the dataset the run read."""
    from mlflow.entities import Dataset, DatasetInput, RunTag

    profile = json.dumps(plain(fingerprint), sort_keys=True)
    client.log_batch(run_id, tags=[RunTag(f"data.{key}", str(value)) for key, value in fingerprint.items()])
    dataset = Dataset(
        name="customer_log",
        digest=hashlib.sha256(profile.encode()).hexdigest()[:8],
        source_type="crm_ml",
        source=json.dumps({}),
        profile=profile,
    )
    client.log_inputs(run_id, [DatasetInput(dataset)])


def write_files(
    folder: Path,
    *,
    figures: Mapping[str, Figure],
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]],
) -> None:
    """Write figures as PNG, frames as CSV, mappings as JSON."""
    for name, figure in figures.items():
        figure.savefig(_below(folder, "figures", f"{name}.png"))
    for name, table in tables.items():
        if isinstance(table, pd.DataFrame):
            write_csv(table, _below(folder, "tables", f"{name}.csv"))
        else:
            _below(folder, "tables", f"{name}.json").write_bytes(render_manifest(plain(table)))


def _below(folder: Path, kind: str, name: str) -> Path:
    (folder / kind).mkdir(parents=True, exist_ok=True)
    return folder / kind / name
