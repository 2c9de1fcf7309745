"""What holds for every test: no screen, no network, the same examples each time, a core for each worker."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many workers as cores already
os.environ["MPLBACKEND"] = "Agg"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

collect_ignore_glob = ["stored_bundles/*"]  # models' own code, run by MLflow

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def databases_are_copies_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let MLflow's migrations, three seconds for every new database, run once; copies of the first serve the others."""
    from crm_ml.registry import store

    migrate, first = store._create_database, tmp_path_factory.mktemp("database") / "mlflow.db"

    def copy(database: Path) -> None:
        if not first.exists():
            migrate(first)
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mlflow-") as scratch:
            store._publish(Path(shutil.copy(first, scratch)), database)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "_create_database", copy)
        yield
