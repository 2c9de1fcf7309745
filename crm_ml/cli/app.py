"""The `crm-ml` command: parse, call one library function, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from crm_ml.cli.options import (
    AsOf,
    Budget,
    Column,
    Directory,
    Discount,
    Horizon,
    Interactions,
    Margin,
    Memory,
    Model,
    OfferText,
    OnInvalid,
    Timezone,
    Transactions,
    ValueHorizon,
    console,
    open_log,
    progress,
)
from crm_ml.cli.tables import print_job
from crm_ml.decisions import Offer, allocate_budget
from crm_ml.errors import BusyError, CrmError, DriftError, ModelError, TooEarlyError
from crm_ml.events import CustomerLog, load_sample

if TYPE_CHECKING:
    from crm_ml.churn import ChurnModel
    from crm_ml.clv import CLVModel
    from crm_ml.scoring import MainJob

app = typer.Typer(
    help="Which customers are about to leave, what each one is worth, where the next retention dollar goes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def demo(directory: Directory = Path("models")) -> None:
    """Run the main job on the sample: a year of baskets at a grocer."""
    log = load_sample()
    console.print(f"{log}\nMargin 25 %, discount 10 % a year, and the offers' costs and save rates are assumed.")
    with progress() as step:
        job = demo_job(log, directory=directory, on_step=step)
    print_job(console, job)


def demo_job(log: CustomerLog, *, directory: Path, on_step: Callable[[str], None]) -> MainJob:
    """Run the main job with the demo's assumptions."""
    from crm_ml.scoring import run_main_job

    return run_main_job(
        log,
        as_of="2018-01-01",
        offers=[
            Offer("coupon", cost=1.00, save_rate=0.04),
            Offer("call", cost=6.00, save_rate=0.12),
        ],
        budget=500,
        annual_discount_rate=0.10,
        margin=0.25,
        directory=directory,
        title="The Complete Journey",
        currency="$",
        on_step=on_step,
    )


@app.command()
def train(
    transactions: Transactions,
    as_of: AsOf,
    margin: Margin,
    annual_discount_rate: Discount,
    interactions: Interactions = None,
    column: Column = None,
    horizon_days: Horizon = 30,
    value_horizon_days: ValueHorizon = 365,
    directory: Directory = Path("models"),
    memory_limit: Memory = None,
    timezone: Timezone = "UTC",
    on_invalid: OnInvalid = "raise",
) -> None:
    """Backtest and fit both models and track them in MLflow: the first as champions, later ones as challengers."""
    from crm_ml.cli.tables import print_assessment, print_trained
    from crm_ml.scoring import assess
    from crm_ml.scoring import train as train_models

    with progress() as step:
        log = open_log(transactions, interactions, column, memory_limit, timezone, on_invalid)
        assessment = assess(log, as_of=as_of, horizon_days=horizon_days, on_step=step)
        trained = train_models(
            log,
            assessment,
            annual_discount_rate=annual_discount_rate,
            margin=margin,
            horizon_days=horizon_days,
            value_horizon_days=value_horizon_days,
            directory=directory,
            on_step=step,
        )
    console.print(log)
    print_assessment(console, assessment)
    print_trained(console, trained)


@app.command()
def report(
    transactions: Transactions,
    as_of: AsOf,
    margin: Margin,
    annual_discount_rate: Discount,
    offer: OfferText,
    budget: Budget,
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
    interactions: Interactions = None,
    column: Column = None,
    churn: Model = "models:/churn@champion",
    clv: Model = "models:/clv@champion",
    title: Annotated[str, typer.Option(help="Name of the shop.")] = "Customer review",
    currency: Annotated[str, typer.Option(help="Sign or code before amounts.")] = "",
    segments: Annotated[Path | None, typer.Option(help="TOML file of the segment policy.")] = None,
    runs: Annotated[str | None, typer.Option(help="Folder of crm-ml score, to show how right past runs were.")] = None,
    horizon_days: Horizon = 30,
    value_horizon_days: ValueHorizon = 365,
    directory: Directory = Path("models"),
    memory_limit: Memory = None,
    timezone: Timezone = "UTC",
    on_invalid: OnInvalid = "raise",
) -> None:
    """Backtest the log, score it with the given models, plan the budget and write the HTML report."""
    from crm_ml.decisions import SegmentPolicy
    from crm_ml.registry import default_store, resolve
    from crm_ml.scoring import (
        assess,
        customer_base,
        published_runs,
        read_ledger,
        score_customers,
        write_review,
    )

    policy = None if segments is None else SegmentPolicy.from_toml(segments.read_text(encoding="utf-8"))
    store, published = default_store(directory), [] if runs is None else published_runs(runs)
    with progress() as step:
        log = open_log(transactions, interactions, column, memory_limit, timezone, on_invalid)
        assessment = assess(log, as_of=as_of, horizon_days=horizon_days, on_step=step)
        step("score every customer")
        scorer = cast("ChurnModel", resolve(churn, kind="churn", store=store).model)
        valuer = cast("CLVModel", resolve(clv, kind="clv", store=store).model)
        scores = score_customers(
            log,
            scorer,
            valuer,
            as_of=as_of,
            horizon_days=value_horizon_days,
            annual_discount_rate=annual_discount_rate,
            margin=margin,
        )
        step("look at segments and health")
        base = customer_base(log, as_of=as_of, policy=policy)
        step("allocate the budget and write the report")
        path = write_review(
            out,
            log=log,
            assessment=assessment,
            base=base,
            churn=scorer,
            scores=scores,
            plan=allocate_budget(scores, [_offer(text) for text in offer], budget),
            title=title,
            currency=currency,
            value_horizon_days=value_horizon_days,
            ledger=None if runs is None else read_ledger(runs),
            drift=published[-1].drift if published else None,
        )
    console.print(f"report  {path}")


def main() -> None:
    """Run the command; an error ends it with its message and an exit code that a scheduler can act on."""
    try:
        app()
    except (CrmError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        sys.exit(exit_code(error))


def exit_code(error: CrmError | OSError) -> int:
    """Return 3 for the drift gate, 4 for a model, 74 for the machine, 75 where it is to be tried later, otherwise 2."""
    codes: dict[type[Exception], int] = {DriftError: 3, ModelError: 4, OSError: 74, BusyError: 75, TooEarlyError: 75}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 2)


def _offer(text: str) -> Offer:
    try:
        name, cost, save_rate = text.rsplit(":", 2)
        return Offer(name, cost=float(cost), save_rate=float(save_rate))
    except ValueError as error:
        raise typer.BadParameter(f"an offer is name:cost:save_rate, such as coupon:2:0.05; got {text!r}") from error
