"""Write this version's models, what they are given and what they answer: `python tests/stored_bundles/write.py`.

Run it once for each release; what earlier ones left stays, and tests/test_stored_bundles.py loads them all.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlflow.models import Model

import crm_ml
from crm_ml.clv import PanelValueModel, rfm_summary
from crm_ml.registry import save_bundle
from crm_ml.registry.schema import write_mlflow_model

FOLDER = Path(__file__).parent / crm_ml.__version__
SETTINGS = {"horizon_days": 90.0, "annual_discount_rate": 0.1, "margin": 0.3}
FEATURES = ["rfm"]
ROWS = 8
TREES = 20  # of however many were grown: the files stay small, and the scores are those of the trees kept


def models(log: crm_ml.CustomerLog) -> dict[str, Any]:
    as_of = log.last
    churn = crm_ml.ChurnModel(horizon_days=(14, 28), features=FEATURES, n_cutoffs=3, calibration="sigmoid")
    churn.fit(log, as_of=as_of)
    churn.windows_ = [dataclasses.replace(window, booster=window.booster[:TREES]) for window in churn.windows_]
    panel_value = PanelValueModel(horizon_days=28, features=FEATURES, n_cutoffs=1).fit(log, as_of=as_of)
    panel_value.booster_ = panel_value.booster_[:TREES]
    return {
        "churn": churn,
        "clv_beta_geo": crm_ml.CLVModel(process="BetaGeo").fit(log, as_of=as_of),
        "clv_pareto_nbd": crm_ml.CLVModel(process="ParetoNBD", time_unit="W", level=None).fit(log, as_of=as_of),
        "panel_value": panel_value,
    }


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    log = crm_ml.CustomerLog(crm_ml.simulate(120, days=200, seed=3).transactions)
    for name, model in models(log).items():
        settings = SETTINGS if model.kind == "clv" else {}
        if model.kind == "clv":
            frame = rfm_summary(log, as_of=log.last, time_unit=model.time_unit)
        else:
            frame = crm_ml.build_features(log, as_of=log.last, features=model.feature_set)
        frame = frame[list(model.input_columns)].head(ROWS).reset_index(drop=True)
        with tempfile.TemporaryDirectory() as scratch:
            bundle = save_bundle(model, Path(scratch, "bundle"), metadata={"as_of": log.last})
            FOLDER.mkdir(exist_ok=True)
            write_mlflow_model(model, bundle, FOLDER / name, identity=Model(), setting_defaults=settings)
        frame.to_csv(FOLDER / f"{name}_inputs.csv", index=False)
        model.predict(frame, **settings).to_csv(FOLDER / f"{name}_scores.csv", index=False)
        (FOLDER / f"{name}_settings.json").write_text(json.dumps(settings) + "\n")


if __name__ == "__main__":
    main()
