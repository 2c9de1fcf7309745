"""`crm-ml score`: the nightly job, with a bar on a terminal and a line of JSON per event elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
    ValueHorizon,
    console,
    renamed,
)

NOTHING_TO_DO = 99


@app.command()
def score(
    transactions: Transactions,
    as_of: AsOf,
    out: Annotated[str, typer.Option(help="Folder of published runs, here or on a file system such as s3://.")],
    interactions: Interactions = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Bundle path or MLflow address; once for churn, once for value.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Share of net spend that is earned; for a value model.")] = None,
    annual_discount_rate: Annotated[float | None, typer.Option(help="Such as 0.10; for a value model.")] = None,
    value_horizon_days: ValueHorizon = 365,
    column: Column = None,
    timezone: Timezone = "UTC",
    on_invalid: OnInvalid = "raise",
    memory_limit: Memory = None,
    threads: Annotated[int | None, typer.Option(help="By default all cores.")] = None,
    hash_ids: Annotated[
        bool, typer.Option("--hash-ids", help="Hash identifiers with the key in CRM_ML_ID_KEY or CRM_ML_ID_KEY_FILE.")
    ] = False,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Publish although customers have shifted since training.")
    ] = False,
    work: Annotated[Path | None, typer.Option(help="Folder for unfinished work, by default the output's.")] = None,
    directory: Directory = Path("models"),
) -> None:
    """Publish every customer's scores, whole or not at all; run again after a kill, it goes on where it was.

    Exit codes: 0 done, 2 the input or a setting, 3 the drift gate, 4 a model, 74 the machine (disk, files),
    75 another job is at work there, 99 nothing to do.
    """
    from crm_ml.events.keyed import read_id_key
    from crm_ml.registry import default_store
    from crm_ml.scoring import run_scoring_job

    with _events() as on_event:
        job = run_scoring_job(
            out,
            transactions,
            interactions,
            models=model or ["models:/churn@champion"],
            as_of=as_of,
            margin=margin,
            annual_discount_rate=annual_discount_rate,
            value_horizon_days=value_horizon_days,
            columns=renamed(column),
            timezone=timezone,
            on_invalid=on_invalid,  # type: ignore[arg-type]  # the log checks it
            memory_limit=memory_limit,
            threads=threads,
            id_key=read_id_key() if hash_ids else None,
            accept_drift=accept_drift,
            work=work,
            store=default_store(directory),
            on_event=on_event,
        )
    if job.nothing_to_do:
        raise typer.Exit(NOTHING_TO_DO)


@contextmanager
def _events() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show what happens: as a bar on a terminal, elsewhere as JSON lines on standard output."""
    if not sys.stdout.isatty():
        yield lambda event: print(json.dumps(event), file=sys.stdout, flush=True)  # noqa: T201  # for machines
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("read the log", total=None)

        def show(event: Mapping[str, Any]) -> None:
            if event["event"] == "scored":
                bar.update(task, description="score", completed=event["buckets"], total=event["of"])
            else:
                facts = {name: value for name, value in event.items() if name not in ("time", "seconds", "event")}
                bar.console.print(f"{event['seconds']:6.1f} s  {event['event']}  {facts or ''}", highlight=False)

        yield show
