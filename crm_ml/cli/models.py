"""The commands that record trainings late and choose the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_ml.cli.app import app
from crm_ml.cli.options import (
    AsOf,
    Column,
    Directory,
    Interactions,
    Memory,
    OnInvalid,
    Timezone,
    Transactions,
    console,
    open_log,
    progress,
)

__all__ = ["promote", "rollback", "sync"]

Name = Annotated[str, typer.Option(help="Registered model: churn or clv.")]


@app.command()
def promote(
    transactions: Transactions,
    as_of: AsOf,
    interactions: Interactions = None,
    column: Column = None,
    name: Name = "churn",
    metric: Annotated[str | None, typer.Option(help="Of churn, brier unless told otherwise; of value, rmse.")] = None,
    margin: Annotated[float, typer.Option(help="Least relative improvement, such as 0.01.")] = 0.01,
    horizon_days: Annotated[float | None, typer.Option(help="Window judged, by default the champion's.")] = None,
    directory: Directory = Path("models"),
    memory_limit: Memory = None,
    timezone: Timezone = "UTC",
    on_invalid: OnInvalid = "raise",
) -> None:
    """Make the challenger champion if it is better on days that neither was trained on."""
    from crm_ml.registry import default_store
    from crm_ml.scoring import promote as promote_model

    with progress() as step:
        log = open_log(transactions, interactions, column, memory_limit, timezone, on_invalid)
        step("judge champion and challenger")
        found = promote_model(
            log,
            name,
            as_of=as_of,
            metric=metric,
            margin=margin,
            horizon_days=horizon_days,
            store=default_store(directory),
        )
    console.print(found.words, highlight=False, soft_wrap=True)


@app.command()
def rollback(name: Name = "churn", directory: Directory = Path("models")) -> None:
    """Make the version champion again that the present champion replaced."""
    from crm_ml.registry import default_store
    from crm_ml.registry import rollback as roll_back

    console.print(roll_back(name, store=default_store(directory)).words, highlight=False, soft_wrap=True)


@app.command()
def sync(directory: Directory = Path("models")) -> None:
    """Record in MLflow what it did not take before; exit code 4 if something is still not recorded."""
    from crm_ml.cli.tables import print_synced
    from crm_ml.registry import default_store
    from crm_ml.registry import sync as sync_runs

    found = sync_runs(default_store(directory), directory=directory)
    print_synced(console, found)
    if found.pending:
        raise typer.Exit(4)
