"""Models that earlier versions stored load in this one and answer what they answered then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.registry import load_bundle
from crm_ml.registry.schema import BUNDLE_IN_MODEL

STORED = Path(__file__).parent / "stored_bundles"
MODELS = sorted(path for path in STORED.glob("*/*") if path.is_dir())
NAMES = [path.relative_to(STORED).as_posix() for path in MODELS]
CLOSE = {"rtol": 1e-6, "atol": 1e-9}
"""XGBoost adds in 32 bits, in an order that may differ by processor and release: a few times 6e-8, relative."""


def stored(path: Path, what: str) -> pd.DataFrame:
    return pd.read_csv(path.with_name(f"{path.name}_{what}.csv"))


def test_this_version_and_every_kind_are_among_them() -> None:
    ours = {path.name for path in MODELS if path.parent.name == crm_ml.__version__}
    assert ours == {"churn", "clv_beta_geo", "clv_pareto_nbd", "panel_value"}


@pytest.mark.parametrize("path", MODELS, ids=NAMES)
def test_a_bundle_answers_what_it_answered(path: Path) -> None:
    settings = json.loads(path.with_name(f"{path.name}_settings.json").read_text())
    model = load_bundle(path / BUNDLE_IN_MODEL).model
    expected = stored(path, "scores")
    found = model.predict(stored(path, "inputs"), **settings)
    assert list(found.columns[: expected.shape[1]]) == list(expected)
    np.testing.assert_allclose(found[list(expected)], expected, **CLOSE)


@pytest.mark.parametrize("path", MODELS, ids=NAMES)
def test_mlflow_loads_it_and_answers_the_same(path: Path) -> None:
    import mlflow.pyfunc

    expected = stored(path, "scores")
    found = mlflow.pyfunc.load_model(str(path), suppress_warnings=True).predict(stored(path, "inputs"))
    np.testing.assert_allclose(found[list(expected)], expected, **CLOSE)
