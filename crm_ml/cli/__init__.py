"""The `crm-ml` command."""

from crm_ml.cli.app import main

__all__ = ["main"]
