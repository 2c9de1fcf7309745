"""What a training leaves in its run beside the model: numbers, data lineage, figures, tables."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from crm_ml.features.panels.csv_file import write_csv
from crm_ml.registry.manifest import plain, render_manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Figure", "log_files", "log_fingerprint", "log_numbers"]


class Figure(Protocol):
    """What can be saved as an image: a matplotlib figure, without importing matplotlib here."""

    def savefig(self, fname: Any, /) -> object:
        """Write the image to a path."""


def log_numbers(
    client: MlflowClient,
    run_id: str,
    *,
    model_id: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | Sequence[float]],
) -> None:
    """Log parameters and metrics in one batch; a sequence becomes steps 0, 1, ...

    The metrics name the model they belong to; left open, MLflow would fill in the host's active model.
    """
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, float(value), now, step, model_id=model_id)
            for name, values in metrics.items()
            for step, value in enumerate(values if isinstance(values, Sequence) else [values])
        ],
        params=[Param(name, str(value)) for name, value in params.items()],
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


def log_files(
    client: MlflowClient,
    run_id: str,
    *,
    figures: Mapping[str, Figure],
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]],
) -> None:
    """Upload figures as PNG, frames as CSV, mappings as JSON, in one go."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, figure in figures.items():
            figure.savefig(_below(scratch, "figures", f"{name}.png"))
        for name, table in tables.items():
            if isinstance(table, pd.DataFrame):
                write_csv(table, _below(scratch, "tables", f"{name}.csv"))
            else:
                _below(scratch, "tables", f"{name}.json").write_bytes(render_manifest(plain(table)))
        if figures or tables:
            client.log_artifacts(run_id, scratch)


def _below(scratch: str, folder: str, name: str) -> Path:
    Path(scratch, folder).mkdir(exist_ok=True)
    return Path(scratch, folder, name)
