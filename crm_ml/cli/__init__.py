"""The `crm-ml` command."""

from crm_ml.cli import nightly
from crm_ml.cli.app import main

__all__ = ["main", "nightly"]
