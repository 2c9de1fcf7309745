"""One training, one MLflow run and one version; one scoring run or judgement, one MLflow run.

Each is written as a dossier first and recorded from it, so that a store that fails loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from crm_ml.registry.kinds import StorableModel, check_settings
from crm_ml.registry.store import Store
from crm_ml.registry.tracking.dossier import ModelPart, write_dossier
from crm_ml.registry.tracking.evidence import Figure
from crm_ml.registry.tracking.outage import PendingRun, record_or_keep
from crm_ml.registry.tracking.recording import RecordedRun, TrackedRun

__all__ = ["record", "track"]


def track(
    store: Store,
    model: StorableModel,
    *,
    directory: str | Path,
    register_as: str,
    run_name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | Sequence[float]],
    data_fingerprint: Mapping[str, object],
    tags: Mapping[str, str] | None = None,
    figures: Mapping[str, Figure] | None = None,
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]] | None = None,
    bundle_metadata: Mapping[str, object] | None = None,
    setting_defaults: Mapping[str, float] | None = None,
) -> TrackedRun | PendingRun:
    """Record one training and register its model: as champion if it is the first, else as challenger.

    No global MLflow setting of the process is read or changed: neither its tracking address nor its
    experiment, active run or autologging. A store that cannot be reached or fails in the middle keeps nobody
    waiting longer than a minute or two and loses nothing: the training is kept in `<directory>/pending/`, a
    warning is logged, and :func:`sync` records it later.

    Parameters
    ----------
    store
        Where to record; an embedded store is created where there is none.
    model
        Fitted model.
    directory
        Where it is kept until it is recorded.
    register_as
        Registered model that gets a new version.
    run_name
        Name of the run.
    params
        Settings of the training.
    metrics
        Name -> number, or name -> one number per cutoff, recorded as steps 0, 1, ...
    data_fingerprint
        Content hash, row counts, cutoff, ... of the data; recorded as tags `data.<key>`, as the run's input
        dataset and in the bundle's metadata.
    tags
        Further tags of the run.
    figures
        Name -> matplotlib figure, stored as `figures/<name>.png`.
    tables
        Name -> frame, stored as `tables/<name>.csv`, or -> mapping, stored as `tables/<name>.json`.
    bundle_metadata
        Further metadata of the bundle, as for :func:`crm_ml.registry.save_bundle`.
    setting_defaults
        Default of every setting of the model's `predict`, for those who load it through MLflow.

    Raises
    ------
    ModelError
        When `setting_defaults` does not name exactly the settings of the model's `predict`.
    OSError
        When `directory` cannot be written to.

    Examples
    --------
    >>> from crm_ml.registry import default_store, track
    >>> run = track(  # doctest: +SKIP
    ...     default_store(), model, directory="models", register_as="churn", run_name="churn 2017-10-01",
    ...     params={"horizon_days": 30}, metrics={"auc": [0.81, 0.82]},
    ...     data_fingerprint={"content_hash": "9f2c", "transactions": 1204},
    ... )
    >>> run.model_uri, run.alias  # doctest: +SKIP
    ('models:/churn/1', 'champion')
    """
    defaults = setting_defaults or {}
    check_settings(model, defaults, what="`setting_defaults`")
    metadata = {**(bundle_metadata or {}), "data_fingerprint": data_fingerprint}
    dossier = write_dossier(
        directory,
        run_name=run_name,
        params=params,
        metrics=metrics,
        tags=tags or {},
        figures=figures or {},
        tables=tables or {},
        fingerprint=data_fingerprint,
        part=ModelPart(model, register_as, defaults, metadata),
    )
    return cast("TrackedRun | PendingRun", record_or_keep(store, dossier))


def record(
    store: Store,
    *,
    directory: str | Path,
    run_name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | Sequence[float]],
    tags: Mapping[str, str] | None = None,
    tables: Mapping[str, pd.DataFrame | Mapping[str, object]] | None = None,
) -> RecordedRun | PendingRun:
    """Record one finished scoring run or judgement; parameters are those of :func:`track`.

    The tables are uploaded as they are: give none that names a customer.
    """
    dossier = write_dossier(
        directory,
        run_name=run_name,
        params=params,
        metrics=metrics,
        tags=tags or {},
        figures={},
        tables=tables or {},
        fingerprint={},
        part=None,
    )
    return record_or_keep(store, dossier)
