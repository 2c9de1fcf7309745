"""Bundles: what is written is what is read, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_model import ToyChurn, ToyCLV

from crm_ml.errors import ModelError
from crm_ml.registry import StorableModel, load_bundle, resolve, save_bundle
from crm_ml.registry.kinds import KINDS, check_settings, setting_names


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "churn", ("toy_model", "ToyChurn"))
    monkeypatch.setitem(KINDS, "clv", ("toy_model", "ToyCLV"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(ToyChurn(slope=0.1), tmp_path / "churn", metadata={"as_of": "2017-10-01"})


def reseal(bundle: Path, **changes: Any) -> None:
    """Forge a manifest: change fields and compute the seal again, independently of the library."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest.update(changes)
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    (bundle / "manifest.json").write_text(text)


def entry(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when a model's files are parsed."""

    def parse(files: object) -> None:
        pytest.fail("the model's files were parsed before the bundle was verified")

    monkeypatch.setattr(ToyChurn, "from_files", parse)


def test_round_trip_gives_the_same_scores(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    frame = ToyChurn(slope=0.1).synthetic_example()
    pd.testing.assert_frame_equal(loaded.model.predict(frame), ToyChurn(slope=0.1).predict(frame))
    assert loaded.metadata == {"as_of": "2017-10-01"}
    assert loaded.libraries["numpy"] == np.__version__
    assert isinstance(loaded.model, StorableModel)


def test_manifest_states_size_and_checksum_of_every_file(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()} - {"manifest.json"}
    assert files == {"model.json", "trees/booster.ubj"}
    assert manifest["files"] == {name: entry((bundle / name).read_bytes()) for name in files}
    assert (manifest["schema"], manifest["kind"]) == (1, "churn")


def test_same_model_same_bytes(tmp_path: Path) -> None:
    first, second = (save_bundle(ToyCLV(rate=0.5), tmp_path / n, metadata={"b": 1, "a": 2}) for n in "ab")
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_metadata_of_numpy_and_dates_becomes_json(tmp_path: Path) -> None:
    stated = {
        "auc": np.float64(0.75),
        "customers": np.int64(7),
        "window": (pd.Timestamp("2017-01-01"), None),
        "lift": float("nan"),
        "array": np.arange(2),
        "day": np.datetime64("2017-01-01"),
    }
    path = save_bundle(ToyCLV(rate=0.5), tmp_path / "clv", metadata=stated)
    assert load_bundle(path).metadata == {
        "auc": 0.75,
        "customers": 7,
        "window": ["2017-01-01T00:00:00", None],
        "lift": None,
        "array": [0, 1],
        "day": "2017-01-01",
    }


def test_metadata_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="It holds a object"):
        save_bundle(ToyCLV(rate=0.5), tmp_path / "clv", metadata={"what": object()})
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_bundle_is_replaced_and_nothing_is_left_behind(bundle: Path) -> None:
    save_bundle(ToyCLV(rate=0.5), bundle, metadata={})
    assert isinstance(load_bundle(bundle).model, ToyCLV)
    assert not (bundle / "trees").exists()
    assert list(bundle.parent.iterdir()) == [bundle]


def test_anything_but_a_bundle_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").touch()
    with pytest.raises(ModelError, match="exists and is none"):
        save_bundle(ToyCLV(rate=0.5), tmp_path / "data", metadata={})
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["orders.csv"]


def test_a_failed_write_leaves_the_earlier_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def fail_on_fresh(source: Path, target: Path) -> None:
        if Path(source).name == "fresh":
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_on_fresh)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(ToyCLV(rate=0.5), bundle, metadata={})
    assert isinstance(load_bundle(bundle).model, ToyChurn)
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize(
    "name",
    ["model.pkl", "../model.json", "/model.json", "a/../model.json", ".x.json", "a\\b.json", "manifest.json"],
)
def test_a_model_may_offer_only_named_json_and_ubj(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyCLV, "to_files", lambda _self: {name: b"{}"})
    with pytest.raises(ModelError, match="relative names inside the bundle"):
        save_bundle(ToyCLV(rate=0.5), tmp_path / "clv", metadata={})


@pytest.mark.usefixtures("unparsed")
def test_every_flipped_byte_is_found(bundle: Path) -> None:
    flipped = 0
    for file in (p for p in bundle.rglob("*") if p.is_file()):
        content = file.read_bytes()
        for position in range(len(content)):
            file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            with pytest.raises(ModelError, match=r"must be those that were written|schema must be"):
                load_bundle(bundle)
            flipped += 1
        file.write_bytes(content)
    assert flipped > 500


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("name", ["manifest.json", "model.json"])
def test_a_truncated_file_is_found(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-1])
    with pytest.raises(ModelError, match=f"'{name}' is not"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
def test_a_missing_file_is_found(bundle: Path) -> None:
    (bundle / "model.json").unlink()
    with pytest.raises(ModelError, match=r"Missing: \['model.json'\]; not listed: \[\]"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
def test_an_unlisted_file_is_found(bundle: Path) -> None:
    (bundle / "trees" / "extra.json").write_bytes(b"{}")
    with pytest.raises(ModelError, match=r"Missing: \[\]; not listed: \['trees/extra.json'\]"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("name", ["model.json", "manifest.json"])
def test_a_link_is_refused_even_to_the_right_bytes(bundle: Path, name: str) -> None:
    elsewhere = bundle.parent / "elsewhere.json"
    (bundle / name).rename(elsewhere)
    (bundle / name).symlink_to(elsewhere)
    with pytest.raises(ModelError, match=f"'{name}' is a link"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
def test_a_linked_directory_is_refused(bundle: Path) -> None:
    (bundle / "trees").rename(bundle.parent / "trees")
    (bundle / "trees").symlink_to(bundle.parent / "trees", target_is_directory=True)
    with pytest.raises(ModelError, match="'trees' is a link"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("absolute", [True, False])
def test_a_forged_manifest_cannot_name_a_file_outside(bundle: Path, absolute: bool) -> None:
    outside = bundle.parent / "outside.json"
    outside.write_bytes(b"{}")
    name = str(outside) if absolute else "../outside.json"
    reseal(bundle, files={name: entry(b"{}")})
    with pytest.raises(ModelError, match="relative names inside the bundle"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("schema", [0, 2, None, "1"])
def test_another_schema_is_refused(bundle: Path, schema: object) -> None:
    reseal(bundle, schema=schema)
    with pytest.raises(ModelError, match=r"schema must be 1\. This one states"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize(
    "changes",
    [{"files": []}, {"files": {"model.json": 3}}, {"kind": ["churn"]}, {"extra": 1}, {"metadata": 3}],
)
def test_a_malformed_manifest_is_refused(bundle: Path, changes: dict[str, object]) -> None:
    reseal(bundle, **changes)
    with pytest.raises(ModelError, match=r"'manifest.json' is not"):
        load_bundle(bundle)


@pytest.mark.usefixtures("unparsed")
def test_trees_of_a_newer_xgboost_are_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    reseal(bundle, libraries=manifest["libraries"] | {"xgboost": "99.1.0"})
    with pytest.raises(ModelError, match=r"at least as new as the one that wrote them\. 99\.1\.0 did"):
        load_bundle(bundle)


def test_an_unknown_kind_names_the_nearest(bundle: Path) -> None:
    reseal(bundle, kind="chrun")
    with pytest.raises(ModelError, match=r"Found 'chrun', known: \['churn', 'clv', 'panel_value'\]; nearest: 'churn'"):
        load_bundle(bundle)


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no such directory"):
        load_bundle(tmp_path / "none")
    with pytest.raises(ModelError, match="The directory has none"):
        load_bundle(tmp_path)


def test_resolve_takes_a_model_or_a_path(bundle: Path) -> None:
    model = ToyChurn(slope=0.2)
    assert resolve(model, kind="churn").model is model
    resolved = resolve(str(bundle), kind="churn")
    assert (resolved.source, resolved.version) == (str(bundle), None)
    assert resolved.metadata["as_of"] == "2017-10-01"


def test_resolve_refuses_another_kind(bundle: Path) -> None:
    with pytest.raises(ModelError, match=r"must be of kind 'clv'\. .* is of kind 'churn'"):
        resolve(bundle, kind="clv")
    with pytest.raises(ModelError, match="'ToyCLV' is of kind 'clv'"):
        resolve(ToyCLV(rate=0.5), kind="churn")


def test_resolve_refuses_what_is_no_model() -> None:
    with pytest.raises(ModelError, match="Got a DataFrame"):
        resolve(pd.DataFrame())  # type: ignore[arg-type]


def test_settings_must_be_named_exactly() -> None:
    model = ToyCLV(rate=0.5)
    assert setting_names(model) == ("horizon_days", "annual_discount_rate", "margin")
    assert setting_names(ToyChurn(slope=0.1)) == ()
    with pytest.raises(ModelError, match=r"Missing: \['margin'\]; unknown: \['marign'\]"):
        check_settings(model, {"horizon_days": 1, "annual_discount_rate": 0, "marign": 1}, what="`params`")
