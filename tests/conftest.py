"""What holds for every test: no screen, no network, the same examples each time."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")
