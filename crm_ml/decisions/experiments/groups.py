"""Arms, and groups of customers within them, as numbered groups and their moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.experiments.moments import Moments, grouped_moments
from crm_ml.errors import SchemaError, missing_column

__all__ = ["REMEDY", "code_arms", "pair_moments"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REMEDY = "crm_ml.decisions.experiments.experiment_outcomes makes a frame of outcomes; or join the column."


def code_arms(outcomes: pd.DataFrame, arm: str, *, control: str) -> tuple[list[str], Integers]:
    """Return the names of the arms, the control first, and each customer's position among them."""
    codes, names = _coded(outcomes, arm)
    if control not in names or len(names) < 2:
        raise SchemaError(
            f"`{arm}` must hold the control {control!r} and at least one other arm; it holds {names}.\n"
            "Name the control arm with control=..., and leave nobody out."
        )
    ordered = [control, *(name for name in names if name != control)]
    place = np.array([ordered.index(name) for name in names], dtype=np.int64)
    return ordered, place[codes]


def pair_moments(
    outcomes: pd.DataFrame,
    values: Floats,
    arms: Integers,
    names: Sequence[str],
    *,
    segments: Sequence[str],
    least: int,
) -> tuple[pd.DataFrame, Moments, Moments]:
    """Return which arm is compared within which customers, and the moments of the arm and of its control.

    Parameters
    ----------
    outcomes : DataFrame of n customers, with the columns of segments.
    values : (n, p) of which moments are wanted.
    arms : (n,) position of each customer's arm in `names`, the control's 0.
    names : (k,) arms.
    segments : columns of groups of customers.
    least : customers that a group must have.

    Raises
    ------
    SchemaError
        If a column is missing or has gaps, or some arm has fewer than `least` customers in some group.
    """
    tables, sides = [], []
    for by in (None, *segments):
        codes, labels = _coded(outcomes, by) if by is not None else (np.zeros_like(arms), ["all"])
        within = grouped_moments(values, codes * len(names) + arms, n_groups=len(labels) * len(names))
        _check_counts(within.count, labels, names, by=by, least=least)
        control = np.repeat(np.arange(len(labels)) * len(names), len(names) - 1)
        arm = control + np.tile(np.arange(1, len(names)), len(labels))
        sides.append((within[arm], within[control]))
        pairs: dict[str, Any] = {
            "by": "all" if by is None else by,
            "segment": np.repeat(np.array([str(label) for label in labels], dtype=object), len(names) - 1),
            "arm": np.array(names, dtype=object)[arm % len(names)],
            "customers": within.count[arm].astype(np.int64),
            "control_customers": within.count[control].astype(np.int64),
        }
        tables.append(pd.DataFrame(pairs))
    treated, controls = (Moments.concatenated(side) for side in zip(*sides, strict=True))
    return pd.concat(tables, ignore_index=True), treated, controls


def _check_counts(count: Floats, labels: Sequence[Any], names: Sequence[str], *, by: str | None, least: int) -> None:
    small = np.flatnonzero(count < least)
    if small.size:
        label, arm = labels[small[0] // len(names)], names[small[0] % len(names)]
        where = f"arm {arm!r}" + ("" if by is None else f" of `{by}` {label}")
        raise SchemaError(
            f"Every arm must have at least {least} customers in every group; {where} has {int(count[small[0]])}.\n"
            "Merge small segments, or read fewer."
        )


def _coded(outcomes: pd.DataFrame, column: str) -> tuple[Integers, list[Any]]:
    """Return the positions and the sorted values of a column that names groups of customers."""
    if column not in outcomes.columns:
        raise SchemaError(missing_column(column, map(str, outcomes.columns), what="outcomes", remedy=REMEDY))
    codes, values = pd.factorize(outcomes[column], sort=True)
    if missing := int(np.count_nonzero(codes < 0)):
        raise SchemaError(
            f"`{column}` must name a group for every customer; {missing:,} of {len(codes):,} have none.\n"
            "Fill it in; leaving customers out would compare other ones."
        )
    return codes.astype(np.int64), list(values)
