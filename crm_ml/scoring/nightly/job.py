"""The nightly job: every customer's scores, published whole or not at all, however often it is killed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from crm_ml.errors import OutputError, SchemaError
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment
from crm_ml.events.keyed import keyed_ids
from crm_ml.events.log import CustomerLog
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS
from crm_ml.features.panels.panel import nobody_bought
from crm_ml.features.panels.sweep import ROWS_PER_PART
from crm_ml.registry import StorableModel, Store, default_store
from crm_ml.registry.manifest import plain, sealed
from crm_ml.scoring.nightly.gate import close_gate, counted, shifts_since_training
from crm_ml.scoring.nightly.recording import record_judgements, record_run
from crm_ml.scoring.nightly.request import Paths, Request
from crm_ml.scoring.nightly.staging import Staging, alone
from crm_ml.scoring.published.ledger import judge_runs, read_ledger
from crm_ml.scoring.published.runs import FORMAT, PublishedRun, published_runs
from crm_ml.scoring.published.shelf import MANIFEST, Shelf, write_durably
from crm_ml.scoring.scorer import Scorer

__all__ = ["ScoringJob", "run_scoring_job"]

STAGING = ".staging"
STATED_OF_FILES = ("bucket", "rows", "bytes", "sha256")

OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class ScoringJob:
    """What a job came to.

    Attributes
    ----------
    run : the published run.
    nothing_to_do : whether it had been published before, so that nothing was written.
    """

    run: PublishedRun
    nothing_to_do: bool


def run_scoring_job(
    out: str | Path,
    transactions: Paths,
    interactions: Paths | None = None,
    *,
    models: Sequence[StorableModel | str | Path] = ("models:/churn@champion",),
    as_of: Moment,
    margin: float | None = None,
    annual_discount_rate: float | None = None,
    value_horizon_days: float = 365,
    columns: Mapping[str, str] | None = None,
    timezone: str = "UTC",
    returns: Literal["net", "ignore"] = "net",
    on_invalid: Literal["raise", "drop"] = "raise",
    memory_limit: str | None = None,
    threads: int | None = None,
    id_key: bytes | None = None,
    accept_drift: bool = False,
    work: str | Path | None = None,
    directory: str | Path = Path("models"),
    store: Store | None = None,
    on_event: OnEvent = lambda _: None,
) -> ScoringJob:
    """Score everyone who bought before `as_of` and publish the scores, within bounded memory.

    The log is read and sorted once and scored bucket by bucket on all cores. A job that was killed goes on where it
    was when it is run again with the same models, files and settings; one that is done writes nothing. What is
    published is a folder ``<day>-<key>`` of Parquet files with a manifest, which appears in one rename (on other file
    systems: whose manifest is written last); read it with `read_scores`.

    Parameters
    ----------
    out : folder of runs, or its address on a file system that fsspec knows, such as ``s3://bucket/scores``.
    transactions, interactions : paths or globs of Parquet or CSV files, here or elsewhere.
    models : a churn model, a value model, or one of each: fitted, the path of a bundle, or an MLflow address, whose
        alias is looked up once.
    as_of : the moment to predict at; nothing at or after it is used.
    margin, annual_discount_rate, value_horizon_days : of the value; see `crm_ml.predict_clv`.
    columns, timezone, returns, on_invalid, memory_limit, threads : as for `crm_ml.CustomerLog`.
    id_key : key by which every ``customer_id`` is replaced with a pseudonym, see `crm_ml.events.keyed_ids`.
    accept_drift : whether to publish although customers have shifted since the churn model's training; see
        `crm_ml.evaluation.drift`. What was scored before the gate closed is not scored again.
    work : folder on this machine that gets the folder ``.staging`` for unfinished work, about as large as the log; by
        default `out`.
    store : where MLflow addresses are looked up, by default `crm_ml.registry.default_store(directory)`. Where a model
        comes from there, the run is recorded there, and so is what became of earlier ones.
    directory : what MLflow does not take is kept in its folder ``pending``; see `crm_ml.registry.sync`.
    on_event : called with what happens, as plain data without identifiers: ``event`` names it.

    Raises
    ------
    SchemaError
        The input breaks its contract, or a setting is missing.
    ModelError
        A model is not found, damaged or of another kind.
    DriftError
        Features, scores or missing values have shifted, and `accept_drift` is not set. Nothing is published.
    BusyError
        Another job works in the same folder.
    OutputError
        The place of the run is taken.
    OSError
        The disk is full or unreadable. Nothing is published; the same job goes on once that is mended.

    Examples
    --------
    >>> import crm_ml
    >>> job = crm_ml.scoring.run_scoring_job(  # doctest: +SKIP
    ...     "scores", "orders/*.parquet", "events/*.parquet", as_of="2017-12-01", memory_limit="2GB"
    ... )
    >>> crm_ml.scoring.read_scores("scores").shape  # doctest: +SKIP
    (2463, 5)
    """
    tracking = store or default_store(directory)
    reading = {"columns": dict(columns or {}), "timezone": timezone, "returns": returns, "on_invalid": on_invalid}
    request = Request.of(
        {TRANSACTIONS.name: transactions, INTERACTIONS.name: interactions},
        models=models,
        as_of=as_of,
        settings={
            "horizon_days": value_horizon_days,
            "annual_discount_rate": annual_discount_rate,
            "margin": margin,
        },
        reading=reading,
        id_key=id_key,
        store=tracking,
    )
    shelf, tell = Shelf(out), _told(on_event)
    folder = _work_folder(shelf, work)
    if (run := _published(shelf, request)) is not None and not Staging.left(folder, request.key):
        tell("nothing to do", run=run.name)
        return ScoringJob(run, nothing_to_do=True)
    with alone(folder):
        staging = Staging.of(folder, request.key)
        tell("started", run=request.name, as_of=request.as_of.isoformat(), models=request.stated["models"])
        log = staging.log(request, memory_limit=memory_limit, threads=threads)
        tell("read", transactions=log.n_transactions, interactions=log.n_interactions, customers=log.n_customers)
        if (run := _published(shelf, request)) is None:
            notes = _score(log, request, staging, tell)
            shifts = _compare(request, notes, tell, accept=accept_drift)
            run = _publish(shelf, request, staging, log, notes, shifts)
            tell("published", run=run.name, customers=run.customers)
        judged = _judge(log, shelf, request, tell)
        if request.from_mlflow:
            record_run(tracking, Path(directory), request, run)
            record_judgements(tracking, Path(directory), judged)
        staging.discard()
    return ScoringJob(run, nothing_to_do=False)


def _score(log: CustomerLog, request: Request, staging: Staging, tell: Callable[..., None]) -> list[dict[str, Any]]:
    """Score every bucket that is not done yet; return the notes of all."""
    profile = None if request.churn is None else request.churn.profile_
    scorer = Scorer.of(log, as_of=request.as_of, churn=request.churn, clv=request.clv, settings=request.settings)

    def score(number: int) -> dict[str, Any]:
        if (note := staging.done(number)) is not None:
            return note
        scored = [scorer(piece) for piece in _pieces(log, number, interactions=scorer.looks_at_interactions)]
        counts = None if profile is None else counted(profile, scored)
        return staging.keep(number, [_named(part.scores, request.id_key) for part in scored], {"counts": counts})

    notes: list[dict[str, Any]] = []
    for note in log.host.ordered(score, len(log.arrangement.customers)):
        notes.append(note)
        tell("scored", buckets=len(notes), of=len(log.arrangement.customers), customers=note["rows"])
    if not any(note["rows"] for note in notes):
        raise nobody_bought(log, request.as_of, what="Scores")
    return notes


def _compare(
    request: Request, notes: Sequence[Mapping[str, Any]], tell: Callable[..., None], *, accept: bool
) -> pd.DataFrame | None:
    """Return the drift since training, refused unless it is accepted; None where nothing is known of training."""
    shifts = shifts_since_training(request.churn, notes)
    if shifts is not None:
        tell("compared with training", shifted=shifts.index[shifts["shifted"]].tolist())
        if not accept:
            close_gate(shifts)
    return shifts


def _pieces(log: CustomerLog, number: int, *, interactions: bool) -> Iterator[Bucket]:
    bucket = log.bucket(number, interactions=interactions)
    for begin in range(0, len(bucket.customer_id), ROWS_PER_PART):
        yield bucket.of_customers(begin, min(begin + ROWS_PER_PART, len(bucket.customer_id)))


def _named(scores: pd.DataFrame, id_key: bytes | None) -> pd.DataFrame:
    if id_key is None:
        return scores
    return scores.set_axis(pd.Index(keyed_ids(scores.index, id_key).to_pylist(), name="customer_id", dtype="str"))


def _publish(
    shelf: Shelf,
    request: Request,
    staging: Staging,
    log: CustomerLog,
    notes: Sequence[Mapping[str, Any]],
    shifts: pd.DataFrame | None,
) -> PublishedRun:
    """Write the manifest and publish the run."""
    filled = [note for note in notes if note["rows"]]
    manifest = {
        "format": FORMAT,
        "key": request.key,
        "sequence": 1 + max((run.manifest["sequence"] for run in published_runs(shelf)), default=0),
        **request.stated,
        "customers": sum(note["rows"] for note in filled),
        "buckets": len(notes),
        "dropped": log.dropped,
        "drift": None if shifts is None else plain(shifts.to_dict("index")),
        "files": {
            note["file"]: {name: note[name] for name in ("bucket", "rows", "bytes", "sha256")} for note in filled
        },
    }
    write_durably(staging.run / MANIFEST, sealed(manifest))
    shelf.publish(staging.run, request.name)
    return PublishedRun(shelf, request.name, manifest)


def _judge(log: CustomerLog, shelf: Shelf, request: Request, tell: Callable[..., None]) -> pd.DataFrame:
    """Judge the runs whose horizon has passed and return the new records.

    That a run cannot be judged spoils no night.
    """
    keys = ["run", "prediction", "horizon_days"]
    known = pd.MultiIndex.from_frame(read_ledger(shelf)[keys])
    try:
        judge_runs(log, shelf, as_of=request.as_of, id_key=request.id_key)
    except (SchemaError, OutputError) as error:
        tell("not judged", why=str(error))
    ledger = read_ledger(shelf)
    judged = ledger[~pd.MultiIndex.from_frame(ledger[keys]).isin(known)]
    tell("judged", records=len(judged))
    return judged


def _published(shelf: Shelf, request: Request) -> PublishedRun | None:
    return next((run for run in published_runs(shelf) if run.manifest["key"] == request.key), None)


def _work_folder(shelf: Shelf, work: str | Path | None) -> Path:
    if work is not None:
        return Path(work, STAGING)
    if shelf.folder is None:
        raise SchemaError("`work` must name a folder on this machine where `out` is on another file system.")
    return shelf.folder / STAGING


def _told(on_event: OnEvent) -> Callable[..., None]:
    """Return what tells of an event, with the moment and the seconds since the job began."""
    begun = time.monotonic()

    def tell(event: str, **facts: object) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        on_event({"time": now, "seconds": round(time.monotonic() - begun, 2), "event": event, **facts})

    return tell
