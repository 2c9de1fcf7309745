"""The ledger: each published run judged once by what its customers then did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crm_ml.churn.horizons import Horizons
from crm_ml.errors import SchemaError
from crm_ml.events.clock import DAY, Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.scoring.published.outcome import Prediction, outcomes
from crm_ml.scoring.published.runs import PublishedRun, published_runs
from crm_ml.scoring.published.shelf import Shelf
from crm_ml.scoring.published.tallies import ChurnTally, ValueTally

__all__ = ["judge_runs", "read_calibration", "read_ledger"]

JUDGED = "judged"
CHURN, CLV = "churn", "clv"
CLV_VALUES = ("expected_purchases", "expected_spend_per_purchase")


def judge_runs(
    log: CustomerLog, out: str | Path | Shelf, *, as_of: Moment, id_key: bytes | None = None
) -> pd.DataFrame:
    """Judge every published run whose horizon has passed, by the log's purchases, and return the ledger.

    A customer left who bought nothing in ``run.as_of <= time < run.as_of + horizon``, as in training. Churn is judged
    for those who had bought within the model's lookback before the run (``lookback_days`` of the manifest's churn
    model; everyone scored where it says nothing), value for everyone scored. A run of several horizons is judged for
    each when its window has passed. A record is written once and never again: what arrives late changes none.

    Memory does not grow with customers: parts and buckets are ranges of the same hash, and what is kept are counts by
    prediction, told apart to a thousandth of the log odds.

    Parameters
    ----------
    log : purchases up to the end of the windows to be judged; a window past the log's end is left for later.
    out : where the runs are published.
    as_of : now.
    id_key : with which runs of hashed identifiers were written; without it they are left for later.

    Raises
    ------
    SchemaError
        The log knows none of a run's customers.
    """
    shelf, now = out if isinstance(out, Shelf) else Shelf(out), min(moment(as_of), moment(log.end))
    for run in published_runs(shelf):
        key = id_key if run.manifest["hashed_ids"] else None
        due = [each for each in _predictions(run) if _end(run, each) <= now and not shelf.holds(_path(run, each))]
        if due and (key is not None or not run.manifest["hashed_ids"]):
            for prediction, found in _judged(log, run, due, key).items():
                record = {"judged_as_of": stamp(now).isoformat()} | found
                shelf.put(_path(run, prediction), json.dumps(record, indent=1, allow_nan=False).encode())
    return read_ledger(shelf)


def read_ledger(out: str | Path | Shelf) -> pd.DataFrame:
    """Return the records of all judged runs.

    Returns
    -------
    DataFrame
        In order of ``as_of``, then horizon, a row per run and prediction: ``run``, ``prediction`` ("churn" or "clv"),
        ``as_of`` and ``judged_as_of`` (UTC), ``horizon_days`` (NaN where each customer has an own), ``model`` (its
        version), ``scored`` (customers of the run that the log knows), ``unknown`` (those it does not), ``customers``
        (judged). Of churn ``churned``, ``predicted`` (shares) and the measures of `crm_ml.evaluation.churn_metrics`;
        of value ``expected_purchases`` and ``purchases``, ``expected_spend`` and ``spend``, their ratios
        ``purchases_ratio`` and ``spend_ratio`` (expected over actual), ``top_decile_capture``. The calibration
        bins are in `read_calibration`.
    """
    found = pd.DataFrame([{k: v for k, v in record.items() if k != "bins"} for record in _records(out)])
    if not len(found):
        return pd.DataFrame(columns=["run", "prediction", "as_of", "judged_as_of", "horizon_days"])
    for column in ("as_of", "judged_as_of"):
        found[column] = pd.to_datetime(found[column], utc=True)
    found["horizon_days"] = found["horizon_days"].astype(np.float64)
    return found.sort_values(["as_of", "run", "prediction", "horizon_days"], ignore_index=True)


def read_calibration(out: str | Path | Shelf) -> pd.DataFrame:
    """Return the calibration of every judged run's churn probabilities, bin by bin, for `CalibrationDisplay`.

    Returns
    -------
    DataFrame
        The columns of `crm_ml.evaluation.calibration_bins` and ``predictor``: the run's day and the horizon.
    """
    frames = [
        pd.DataFrame(record["bins"]).assign(predictor=f"{record['as_of'][:10]}, {_length(record['horizon_days'])}")
        for record in _records(out)
        if "bins" in record
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["predictor"])


def _length(horizon_days: float | None) -> str:
    return "own horizons" if horizon_days is None else f"{horizon_days:g} days"


def _records(out: str | Path | Shelf) -> list[dict[str, Any]]:
    shelf = out if isinstance(out, Shelf) else Shelf(out)
    names = [name for name in shelf.names(JUDGED) if not name.startswith(".")]
    return [json.loads(shelf.read(f"{JUDGED}/{name}")) for name in names]


def _predictions(run: PublishedRun) -> list[Prediction]:
    models = run.manifest["models"]
    found = [Prediction(CLV, float(models[CLV]["horizon_days"]), own=False)] if CLV in models else []
    if CHURN not in models:
        return found
    stored = models[CHURN]["horizon_days"]
    horizons = Horizons.of(stored if isinstance(stored, (int, float)) else Horizons.from_plain(stored))
    return found + [
        Prediction("churn_probability" + horizons.suffix(number), end, own=horizons.personal is not None)
        for number, end in enumerate(horizons.ends)
    ]


def _end(run: PublishedRun, prediction: Prediction) -> int:
    return moment(run.as_of) + round(prediction.horizon_days * DAY)


def _path(run: PublishedRun, prediction: Prediction) -> str:
    return f"{JUDGED}/{run.name}.{prediction.name}.json"


def _judged(
    log: CustomerLog, run: PublishedRun, due: Sequence[Prediction], key: bytes | None
) -> dict[Prediction, dict[str, Any]]:
    """Return the record of each prediction."""
    models, known = run.manifest["models"], 0
    churn, value = {each: ChurnTally() for each in due if each.name != CLV}, ValueTally()
    spends = any(each.name == CLV for each in due)
    found = outcomes(
        log,
        run.tables(),
        run.manifest["buckets"],
        as_of=run.as_of,
        predictions=due,
        values=CLV_VALUES if spends else (),
        lookback_days=models.get(CHURN, {}).get("lookback_days"),
        id_key=key,
    )
    for met in found:
        known += len(met.active)
        for each, tally in churn.items():
            tally.add(met.scores[each.name][met.active], met.purchases[each.name][met.active] == 0)
        if spends:
            purchases, each_spend = (met.scores[name] for name in CLV_VALUES)
            value.add(met.scores[CLV], purchases, purchases * each_spend, met.purchases[CLV], met.spend[CLV])
    if not known:
        raise SchemaError(
            f"The log must know the customers of a run to judge it; of {run.name}, with "
            f"{run.manifest['customers']:,}, it knows none.\nGive the log that was scored, and the same `id_key`."
        )
    records = {}
    for each in due:
        model = CLV if each.name == CLV else CHURN
        records[each] = {
            "run": run.name,
            "prediction": model,
            "as_of": run.as_of.isoformat(),
            "horizon_days": None if each.own else each.horizon_days,
            "model": models[model]["version"],
            "scored": known,
            "unknown": run.manifest["customers"] - known,
        } | (value if each.name == CLV else churn[each]).record()
    return records
