"""What became of the customers of a published run, a bucket of the log and the parts beside it at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, moment
from crm_ml.events.keyed import keyed_ids
from crm_ml.events.log import CustomerLog
from crm_ml.events.partition.scatter import CELL_BITS
from crm_ml.features.history import History
from crm_ml.features.labels import labels_after

__all__ = ["Outcome", "Prediction", "hash_edges", "outcomes"]

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


class Prediction(NamedTuple):
    """A column of a run's parts, and the days until it can be judged for all.

    Where each customer has an `own` horizon, it is in the parts' column ``horizon_days`` and at most so long.
    """

    name: str
    horizon_days: float
    own: bool


class Outcome(NamedTuple):
    """Customers of one part and one bucket, with what they did; (n,) each.

    Attributes
    ----------
    scores : the part's columns asked for.
    active : whether they had bought within the lookback.
    purchases, spend : by prediction, days with a purchase and net money within its horizon.
    """

    scores: dict[str, Float]
    active: npt.NDArray[np.bool_]
    purchases: dict[str, Float]
    spend: dict[str, Float]


def hash_edges(count: int) -> Int:
    """Return where each of so many buckets begins among the cells that customers are hashed to, and the end."""
    edges: Int = np.arange(count + 1) * (1 << CELL_BITS) // count
    return edges


def outcomes(
    log: CustomerLog,
    parts: Iterator[pa.Table],
    n_parts: int,
    *,
    as_of: pd.Timestamp,
    predictions: Sequence[Prediction],
    values: Sequence[str] = (),
    lookback_days: float | None,
    id_key: bytes | None,
) -> Iterator[Outcome]:
    """Yield what the customers of a run did, of those that the log knows.

    Buckets and parts are ranges of one hash of the customer, both in its order, so a bucket meets only the parts that
    overlap it, and no more is held at a time.

    Parameters
    ----------
    parts : the run's, in order; `n_parts` of them in all.
    as_of : of the run.
    predictions : to be judged.
    values : further columns of the parts that are wanted.
    lookback_days : who is active; None for all.
    id_key : with which the run's identifiers were hashed.
    """
    cutoff = moment(as_of)
    begins, ends = hash_edges(len(log.arrangement.customers)), hash_edges(n_parts)
    held: deque[tuple[int, pa.Table]] = deque()
    taken = 0
    for number, bucket in enumerate(log.map(lambda bucket: bucket, interactions=False)):
        first, last = begins[number], begins[number + 1]
        while taken < n_parts and ends[taken] < last:
            held.append((int(ends[taken + 1]), next(parts)))
            taken += 1
        while held and held[0][0] <= first:
            held.popleft()
        names = _identifiers(bucket, id_key)
        for _, part in held:
            yield _met(bucket, names, part, cutoff, predictions, values, lookback_days)


def _identifiers(bucket: Bucket, key: bytes | None) -> pa.Array:
    names = pa.array(bucket.customer_id, type=pa.string())
    return names if key is None else keyed_ids(names, key)


def _met(
    bucket: Bucket,
    names: pa.Array,
    part: pa.Table,
    cutoff: int,
    predictions: Sequence[Prediction],
    values: Sequence[str],
    lookback_days: float | None,
) -> Outcome:
    place = pc.index_in(names, part["customer_id"].combine_chunks().cast(pa.string()))
    known = place.is_valid().to_numpy(zero_copy_only=False)
    rows = place.drop_null().to_numpy()
    history = History(bucket, np.array([cutoff]), np.full(1, np.nan))
    start = cutoff - round((lookback_days or 0) * DAY)
    active = np.ones(len(rows), dtype=bool) if lookback_days is None else history.last_purchase[0, known] >= start
    purchases, spend = {}, {}
    for each in predictions:
        horizon = np.full((1, len(known)), each.horizon_days)
        if each.own:
            horizon[0, known] = _numbers(part, "horizon_days")[rows]
        came = labels_after(history, horizon_days=horizon)
        purchases[each.name] = came["purchase_days_ahead"][0, known]
        spend[each.name] = came["spend_ahead"][0, known]
    wanted = (*(each.name for each in predictions), *values)
    return Outcome({name: _numbers(part, name)[rows] for name in wanted}, active, purchases, spend)


def _numbers(part: pa.Table, column: str) -> Float:
    found: Float = part[column].to_numpy().astype(np.float64)
    return found
