"""Real models of a small simulated shop, registered, with what a direct call answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import crm_ml
from crm_ml.clv import rfm_summary
from crm_ml.clv.choice.level import Level
from crm_ml.registry import Store, default_store, track
from crm_ml.registry.store import session

AS_OF = "2024-09-01"
SETTINGS = {"horizon_days": 365.0, "annual_discount_rate": 0.1, "margin": 0.3}
PASSED = {"churn": {}, "clv": {**SETTINGS, "horizon_days": 90.0}}


@dataclass(frozen=True)
class ServedShop:
    """A store with two versions of `churn` and one of `clv`; frames to score, with missing values for `churn`."""

    store: Store
    models: dict[str, Any]
    frames: dict[str, pd.DataFrame]
    paths: dict[str, str]

    def direct(self, kind: str) -> pd.DataFrame:
        """Score by the library itself, under `PASSED`."""
        found = self.models[kind].predict(self.frames[kind], **PASSED[kind])
        return found.assign(horizon_days=90.0) if kind == "clv" else found


def serve_shop(folder: Path) -> ServedShop:
    """Train, register and locate the models."""
    log = crm_ml.CustomerLog(crm_ml.simulate(250, days=300, seed=8).transactions, n_buckets=2)
    earlier, churn = (
        crm_ml.ChurnModel(horizon_days=days, features="rfm", n_cutoffs=2, calibration="sigmoid").fit(log, as_of=AS_OF)
        for days in (20, 30)
    )
    clv = crm_ml.CLVModel(process="BetaGeo", level=None).fit(log, as_of=AS_OF)
    clv.level_ = Level(months={str(month): 0.5 + month / 12 for month in range(1, 13)})
    features = crm_ml.build_features(log, as_of=AS_OF, features="rfm").head(60).copy()
    features.iloc[::7, 4] = float("nan")
    store = default_store(folder)
    shared: dict[str, Any] = {
        "directory": folder,
        "run_name": "served",
        "params": {},
        "metrics": {},
        "data_fingerprint": log.fingerprint(as_of=AS_OF),
    }
    runs = [
        track(store, earlier, register_as="churn", **shared),
        track(store, churn, register_as="churn", **shared),
        track(store, clv, register_as="clv", setting_defaults=SETTINGS, **shared),
    ]
    with session(store) as client:
        where = [client.get_model_version_download_uri(run.model_name, str(run.version)) for run in runs]
    return ServedShop(
        store=store,
        models={"earlier": earlier, "churn": churn, "clv": clv},
        frames={"churn": features, "clv": rfm_summary(log, as_of=AS_OF).head(60)},
        paths=dict(zip(["earlier", "churn", "clv"], (uri.removeprefix("file://") for uri in where), strict=True)),
    )
