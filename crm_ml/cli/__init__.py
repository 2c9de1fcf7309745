"""The `crm-ml` command."""

from crm_ml.cli import models, nightly
from crm_ml.cli.app import main

__all__ = ["main", "models", "nightly"]
