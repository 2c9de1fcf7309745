"""The `crm-ml` command."""

from crm_ml.cli import models
from crm_ml.cli.app import main

__all__ = ["main", "models"]
