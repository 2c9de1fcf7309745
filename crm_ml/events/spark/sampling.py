"""Some customers of a log, drawn by a hash of their identifier that no partitioning changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from crm_ml.errors import SchemaError
from crm_ml.events.arrangement import EVENTS_PER_BUCKET, Arrangement, Contents, contents
from crm_ml.events.host import LocalHost
from crm_ml.events.keeping import recoded
from crm_ml.events.log import CustomerLog
from crm_ml.events.partition.arrange import Columns, chosen, merged
from crm_ml.events.partition.coding import stored_customers
from crm_ml.events.partition.hashing import Hashes, hash_texts, mixed
from crm_ml.events.partition.store import Store

__all__ = ["at_most_customers", "sampled_bucket", "sampled_log"]

SALT = np.uint64(0x9E3779B97F4A7C15)
"""Keeps the draw apart from the cells of `crm_ml.events.partition.scatter`, which are made of the same hash."""


def sampled_bucket(columns: Columns, share: float) -> Columns:
    """Return a sorted bucket with a share of its customers."""
    limit = np.uint64(min(int(share * 2**64), 2**64 - 1))
    return chosen(columns, _draws(columns) <= limit)


def at_most_customers(parts: Sequence[Columns], at_most: int) -> list[Columns]:
    """Return sorted buckets without the customers drawn last, so that no more remain than so many."""
    draws = [_draws(part) for part in parts]
    drawn = np.concatenate(draws)
    if len(drawn) <= at_most:
        return list(parts)
    last = np.partition(drawn, at_most - 1)[at_most - 1]
    return [chosen(part, draw <= last) for part, draw in zip(parts, draws, strict=True)]


def sampled_log(
    host: LocalHost, parts: Sequence[Columns], of: Arrangement, *, returns: Literal["net", "ignore"]
) -> CustomerLog:
    """Return the log of sampled buckets, with the event types and categories that occur in it.

    Parameters
    ----------
    of : facts of all buckets, whose names the codes point to.
    """
    events = sum(len(part["t_timestamp"]) + len(part["i_timestamp"]) for part in parts)
    count = min(len(parts), 1 + events // EVENTS_PER_BUCKET)
    edges = [len(parts) * number // max(count, 1) for number in range(count + 1)]
    buckets = [merged(parts[begin:end]) for begin, end in itertools.pairwise(edges)]
    sizes = {"n_types": len(of.event_types), "n_categories": len(of.categories)}
    found = [contents(bucket, **sizes) for bucket in buckets]
    if not sum(int(held.rows[0]) for held in found):
        raise SchemaError("A sample needs a customer who has bought; nobody drawn has.\nDraw more customers.")
    held = sum(found[1:], start=found[0])
    seen, bought = held.rows[1:] > 0, held.category_first < np.iinfo(np.int64).max
    rows = np.concatenate([[True], seen])
    types = tuple(np.array(of.event_types, dtype=object)[seen])
    categories = tuple(np.array(of.categories, dtype=object)[bought])
    store = Store(host.folder, limit=host.quarter)
    for number, bucket in enumerate(buckets):
        store.put(number, recoded(of, bucket, types, categories))
    arrangement = Arrangement(
        store=store,
        customers=tuple(len(bucket["customer_begins"]) - 1 for bucket in buckets),
        event_types=types,
        categories=categories,
        columns=of.columns,
        contents=Contents(
            held.rows[rows], held.customers[rows], held.first[rows], held.last[rows], held.category_first[bought]
        ),
        dropped={},
    )
    return CustomerLog.of_arrangement(host, arrangement, returns=returns)


def _draws(columns: Columns) -> Hashes:
    draws: Hashes = mixed(hash_texts(stored_customers(columns)) ^ SALT)
    return draws
