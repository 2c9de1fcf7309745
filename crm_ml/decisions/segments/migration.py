"""How customers move among segments: counts, shares, flows and rates of change of any history of segments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.errors import SchemaError
from crm_ml.events.clock import Moment, moment, stamp

__all__ = ["ARRIVED", "change_rates", "flows", "head_counts", "migration", "migration_shares"]

ARRIVED = "arrived"
"""Where customers come from who were not yet known."""


def migration(history: pd.DataFrame, *, start: Moment | None = None, end: Moment | None = None) -> pd.DataFrame:
    """Return how many customers moved from each segment to each between two cutoffs.

    Parameters
    ----------
    history : DataFrame
        One row per customer, one column per cutoff (UTC, ascending), all of the same ordered categorical, missing
        before a customer is known: as `segment_history` makes it, or `crm_ml.decisions.lifecycle`.
    start, end : moment, optional
        Two of its cutoffs, by default the last and the one before `end`.

    Returns
    -------
    DataFrame
        Counts, indexed by ``from``: the segments in order and last "arrived", customers not yet known at `start`; by
        ``to``: the segments. A row adds up to the customers who were there at `start`, a column to those at `end`.

    Raises
    ------
    SchemaError
        If the frame is no such history, a customer is lost again, or `start` and `end` are not cutoffs in order.

    Examples
    --------
    >>> tiers = pd.CategoricalDtype(["gold", "basic"], ordered=True)
    >>> months = pd.DatetimeIndex(["2024-01-01", "2024-02-01"], tz="UTC", name="cutoff")
    >>> history = pd.DataFrame([["basic", "gold"], ["basic", "basic"], [None, "basic"]], columns=months).astype(tiers)
    >>> moved = migration(history)
    >>> moved.loc["basic"].to_dict(), moved.loc["arrived"].to_dict()
    ({'gold': 1, 'basic': 1}, {'gold': 0, 'basic': 1})
    >>> migration_shares(moved).loc["basic"].to_dict()
    {'gold': 0.5, 'basic': 0.5}
    """
    dtype = _check(history)
    last = len(history.columns) - 1 if end is None else _position(history, end, "end")
    first = last - 1 if start is None else _position(history, start, "start")
    if not 0 <= first < last:
        told = [str(column) for column in history.columns]
        raise SchemaError(
            f"Customers move from one cutoff to a later one; `start` is {start}, `end` {end}, the cutoffs are {told}.\n"
            "Give two of them in order."
        )
    return _moves(history, first, last, dtype)


def migration_shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Return each count as a share of its row, so that rows sum to one; a row without customers is missing.

    Parameters
    ----------
    counts : DataFrame
        As `migration` returns it.
    """
    totals = counts.sum(axis=1)
    return counts.div(totals.where(totals > 0), axis=0)


def head_counts(history: pd.DataFrame) -> pd.DataFrame:
    """Return how many customers were in each segment: indexed by ``cutoff``, a column per segment.

    Parameters
    ----------
    history : DataFrame
        As for `migration`.
    """
    dtype = _check(history)
    counts = [np.bincount(_codes(history, at) + 1, minlength=len(dtype.categories) + 1)[1:] for at in _range(history)]
    return pd.DataFrame(counts, index=history.columns, columns=dtype.categories.rename("segment"))


def flows(history: pd.DataFrame) -> pd.DataFrame:
    """Return the moves between all neighbouring cutoffs, a row each.

    Parameters
    ----------
    history : DataFrame
        As for `migration`.

    Returns
    -------
    DataFrame
        ``start`` and ``end`` (UTC), ``from`` and ``to``, ordered categoricals with "arrived" last, and ``customers``,
        at least 1.

    Examples
    --------
    >>> tiers = pd.CategoricalDtype(["gold", "basic"], ordered=True)
    >>> months = pd.DatetimeIndex(["2024-01-01", "2024-02-01"], tz="UTC", name="cutoff")
    >>> flows(pd.DataFrame([["basic", "gold"], [None, "basic"]], columns=months).astype(tiers))[["from", "to"]]
          from     to
    0    basic   gold
    1  arrived  basic
    """
    dtype = _check(history)
    names = pd.CategoricalDtype([*dtype.categories, ARRIVED], ordered=True)
    parts = []
    for first, last in itertools.pairwise(_range(history)):
        counts = _moves(history, first, last, dtype).to_numpy()
        source, target = np.nonzero(counts)
        part = {
            "start": np.repeat(history.columns[[first]], len(source)),
            "end": np.repeat(history.columns[[last]], len(source)),
            "from": pd.Categorical.from_codes(source, dtype=names),
            "to": pd.Categorical.from_codes(target, dtype=names),
            "customers": counts[source, target],
        }
        parts.append(pd.DataFrame(part))
    if not parts:
        raise SchemaError(f"Customers move between two cutoffs; the history has {len(history.columns)}.\nAdd one.")
    return pd.concat(parts, ignore_index=True)


def change_rates(history: pd.DataFrame) -> pd.DataFrame:
    """Return how many customers changed their segment since the cutoff before.

    Parameters
    ----------
    history : DataFrame
        As for `migration`.

    Returns
    -------
    DataFrame
        Indexed by ``cutoff`` from the second on: ``customers`` known at the cutoff before, those of them who moved
        ``up`` and ``down`` in the order of segments, and ``change_rate``, the share of both.

    Examples
    --------
    >>> tiers = pd.CategoricalDtype(["gold", "basic"], ordered=True)
    >>> months = pd.DatetimeIndex(["2024-01-01", "2024-02-01"], tz="UTC", name="cutoff")
    >>> history = pd.DataFrame([["basic", "gold"], ["gold", "gold"], [None, "gold"]], columns=months).astype(tiers)
    >>> change_rates(history).to_dict("records")
    [{'customers': 2, 'up': 1, 'down': 0, 'change_rate': 0.5}]
    """
    dtype = _check(history)
    rows = []
    for first, last in itertools.pairwise(_range(history)):
        counts = _moves(history, first, last, dtype).to_numpy()[:-1]
        up, down, customers = int(np.tril(counts, -1).sum()), int(np.triu(counts, 1).sum()), int(counts.sum())
        rows.append((customers, up, down, (up + down) / customers if customers else float("nan")))
    return pd.DataFrame(rows, columns=["customers", "up", "down", "change_rate"], index=history.columns[1:])


def _moves(history: pd.DataFrame, first: int, last: int, dtype: pd.CategoricalDtype) -> pd.DataFrame:
    source, target = _codes(history, first), _codes(history, last)
    lost = int(np.count_nonzero((source >= 0) & (target < 0)))
    if lost:
        raise SchemaError(
            f"Customers once in a segment must be in one at later cutoffs too. {lost:,} of {len(history):,} are in one "
            f"at {history.columns[first]} and in none at {history.columns[last]}.\nGive them a segment."
        )
    size = len(dtype.categories)
    known = target >= 0
    source = np.where(source < 0, size, source)[known]
    counts = np.bincount(source * size + target[known], minlength=(size + 1) * size).reshape(size + 1, size)
    rows = pd.Index([*dtype.categories, ARRIVED], name="from", dtype="str")
    return pd.DataFrame(counts, index=rows, columns=dtype.categories.rename("to"))


def _codes(history: pd.DataFrame, at: int) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = history.iloc[:, at].cat.codes.to_numpy().astype(np.int64)
    return codes


def _range(history: pd.DataFrame) -> range:
    return range(len(history.columns))


def _position(history: pd.DataFrame, when: Moment, name: str) -> int:
    at = stamp(moment(when, name=name))
    if at not in history.columns:
        told = [str(column) for column in history.columns]
        raise SchemaError(f"`{name}` must be a cutoff of the history, {told}; got {at}.\nGive one of them.")
    return int(history.columns.get_loc(at))  # type: ignore[arg-type]  # columns differ


def _check(history: pd.DataFrame) -> pd.CategoricalDtype:
    """Return the categorical that all columns of a history are of, or say what is wrong with it."""
    columns: Any = history.columns
    if not (isinstance(columns, pd.DatetimeIndex) and columns.tz is not None and len(columns)):
        raise SchemaError(f"a history must have a column per cutoff, with a zone; it has {list(columns)}.\nName them.")
    if not (columns.is_monotonic_increasing and columns.is_unique):
        raise SchemaError(f"the cutoffs of a history must ascend; they are {list(map(str, columns))}.\nSort them.")
    dtype = history.dtypes.iloc[0]
    if not isinstance(dtype, pd.CategoricalDtype) or not dtype.ordered or (history.dtypes != dtype).any():
        kinds = sorted(set(map(str, history.dtypes)))
        raise SchemaError(
            f"the columns of a history must be of one ordered categorical; they are of {kinds}.\n"
            "Give what segment_history made, or convert them."
        )
    if ARRIVED in dtype.categories:
        raise SchemaError(f"no segment may be called {ARRIVED!r}, which names customers not yet known.\nRename it.")
    return dtype
