"""What holds for every test: no screen, no network, the same examples each time, a core for each worker."""

from __future__ import annotations

import os

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many workers as cores already
os.environ["MPLBACKEND"] = "Agg"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")
