"""Models that earlier versions stored load in this one and answer what they answered then."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from packaging.version import Version

import crm_ml
from crm_ml.errors import ModelError
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


def skip_trees_of_a_newer_xgboost(path: Path) -> None:
    wrote = json.loads((path / BUNDLE_IN_MODEL / "manifest.json").read_bytes())
    newer = Version(wrote["libraries"]["xgboost"]) > Version(version("xgboost"))
    if newer and any(name.endswith(".ubj") for name in wrote["files"]):
        pytest.skip("trees of a newer XGBoost are refused")


@pytest.mark.parametrize("path", MODELS, ids=NAMES)
def test_a_bundle_answers_what_it_answered(path: Path) -> None:
    skip_trees_of_a_newer_xgboost(path)
    settings = json.loads(path.with_name(f"{path.name}_settings.json").read_text())
    model = load_bundle(path / BUNDLE_IN_MODEL).model
    expected = stored(path, "scores")
    found = model.predict(stored(path, "inputs"), **settings)
    assert list(found.columns[: expected.shape[1]]) == list(expected)
    np.testing.assert_allclose(found[list(expected)], expected, **CLOSE)


@pytest.mark.parametrize("path", MODELS, ids=NAMES)
def test_mlflow_loads_it_and_answers_the_same(path: Path) -> None:
    import mlflow.pyfunc

    skip_trees_of_a_newer_xgboost(path)
    expected = stored(path, "scores")
    found = mlflow.pyfunc.load_model(str(path), suppress_warnings=True).predict(stored(path, "inputs"))
    np.testing.assert_allclose(found[list(expected)], expected, **CLOSE)


def reseal(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Forge a manifest: change it and seal it again, independently of the library."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    del manifest["sha256"]
    seal = hashlib.sha256(rendered(manifest)).hexdigest()
    (bundle / "manifest.json").write_bytes(rendered(manifest | {"sha256": seal}))


def rendered(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def escape(bundle: Path) -> None:
    shutil.move(bundle / "booster_1.ubj", bundle.parent / "booster_1.ubj")
    reseal(bundle, lambda manifest: manifest["files"].update({"../booster_1.ubj": manifest["files"]["booster_1.ubj"]}))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte of the trees": (lambda bundle: flip(bundle / "booster_1.ubj"), "its SHA-256 is not the one"),
    "a flipped byte of the settings": (lambda bundle: flip(bundle / "model.json"), "its SHA-256 is not the one"),
    "a flipped byte of the manifest": (lambda bundle: flip(bundle / "manifest.json"), "'manifest.json' is not"),
    "truncated trees": (lambda bundle: truncate(bundle / "booster_1.ubj"), "its manifest states"),
    "a truncated manifest": (lambda bundle: truncate(bundle / "manifest.json"), "'manifest.json' is not"),
    "missing trees": (lambda bundle: (bundle / "booster_1.ubj").unlink(), r"Missing: \['booster_1.ubj'\]"),
    "an unknown schema": (
        lambda bundle: reseal(bundle, lambda manifest: manifest.update(schema=2)),
        r"schema must be 1\. This one states 2",
    ),
    "an unknown kind": (
        lambda bundle: reseal(bundle, lambda manifest: manifest.update(kind="chrun")),
        "Found 'chrun'",
    ),
    "a path out of the bundle": (escape, "relative names inside the bundle"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_before_xgboost_sees_a_byte(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import xgboost

    skip_trees_of_a_newer_xgboost(STORED / crm_ml.__version__ / "churn")
    seen: list[object] = []
    monkeypatch.setattr(xgboost.Booster, "load_model", lambda _booster, content: seen.append(content))
    shutil.copytree(STORED / crm_ml.__version__ / "churn" / BUNDLE_IN_MODEL, tmp_path / "bundle")
    spoil, message = DAMAGES[damage]
    load_bundle(tmp_path / "bundle")
    assert len(seen) == 2
    spoil(tmp_path / "bundle")
    with pytest.raises(ModelError, match=message):
        load_bundle(tmp_path / "bundle")
    assert len(seen) == 2
