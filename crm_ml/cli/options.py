"""What the commands share: their options, how a log is opened, how progress is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crm_ml.events import CustomerLog

console = Console(width=None if sys.stdout.isatty() else 110)

Transactions = Annotated[
    list[str], typer.Option(help="Parquet or CSV path or glob; columns customer_id, timestamp, amount, order_id.")
]
Interactions = Annotated[
    list[str] | None, typer.Option(help="Parquet or CSV path or glob; columns customer_id, timestamp, event_type.")
]
Column = Annotated[list[str] | None, typer.Option(help="Rename a column: theirs=ours. May be repeated.")]
AsOf = Annotated[str, typer.Option(help="Date to stand at, in UTC; nothing at or after it is used.")]
Horizon = Annotated[int, typer.Option(help="Churn is no purchase within so many days.")]
ValueHorizon = Annotated[int, typer.Option(help="Days over which value is counted.")]
Margin = Annotated[float, typer.Option(help="Share of net spend that is earned.")]
Discount = Annotated[float, typer.Option(help="Annual discount rate, such as 0.10.")]
Directory = Annotated[Path, typer.Option(help="Folder of bundles, results and the default MLflow store.")]
Memory = Annotated[str | None, typer.Option(help='What the log may hold in memory, such as "2GB".')]
Timezone = Annotated[str, typer.Option(help="IANA zone in which times without one are read.")]
OnInvalid = Annotated[str, typer.Option(help='"raise" refuses rows that break a rule, "drop" counts them.')]
Model = Annotated[str, typer.Option(help="Bundle path or MLflow address.")]
OfferText = Annotated[list[str], typer.Option(help="name:cost:save_rate, the rate assumed. May be repeated.")]
Budget = Annotated[float, typer.Option(help="Money for the offers.")]


def renamed(column: list[str] | None) -> dict[str, str]:
    """Return the columns that options rename."""
    return {theirs: ours for theirs, _, ours in (text.partition("=") for text in column or [])}


def open_log(
    transactions: list[str],
    interactions: list[str] | None,
    column: list[str] | None,
    memory_limit: str | None,
    timezone: str,
    on_invalid: str,
) -> CustomerLog:
    """Open the log that the options name."""
    return CustomerLog(
        transactions,
        interactions,
        columns=renamed(column),
        timezone=timezone,
        on_invalid=on_invalid,  # type: ignore[arg-type]  # the log checks it
        memory_limit=memory_limit,
    )


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the step under way on a terminal; elsewhere print each on a line of its own."""
    begun = time.monotonic()

    def line(text: str) -> str:
        return f"{time.monotonic() - begun:6.1f} s  {text}"

    if not console.is_terminal:
        yield lambda text: console.print(line(text), highlight=False)
        return
    with console.status("read the log") as status:

        def step(text: str) -> None:
            console.print(line(text), highlight=False, style="dim")
            status.update(text)

        yield step
