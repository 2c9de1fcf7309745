"""Features as of one moment, and panels of features and labels at many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_ml.errors import SchemaError
from crm_ml.events.clock import DAY, Moment, days, moment, moments, stamp, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.events.partition.coding import in_text_order
from crm_ml.features.builders.horizon import Horizon, PersonalHorizon
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features
from crm_ml.features.labels import LABEL_COLUMNS, label_ends
from crm_ml.features.panels.sweep import Part, Sweep
from crm_ml.features.ragged import Int

__all__ = [
    "build_features",
    "build_panel",
    "feature_frame",
    "in_panel_order",
    "iter_features",
    "longest_horizon",
    "nobody_bought",
    "nobody_eligible",
    "panel_sweep",
]


def build_features(log: CustomerLog, *, as_of: Moment, features: Features = DEFAULT_FEATURES) -> pd.DataFrame:
    """Return the features of every customer who bought before `as_of`, from events before it only.

    Parameters
    ----------
    log : the log.
    as_of : the cutoff; a moment without a zone is UTC.
    features : builders, and names of groups (`crm_ml.features.GROUPS`, "all") or of single features, or the
        `FeatureSet` of a model. `crm_ml.features.catalogue` says what each column means. What needs columns
        that the log lacks is left out, and a log message says so.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order, one float64 column per feature.

    Raises
    ------
    SchemaError
        Nobody bought before `as_of`, a name is unknown, or a builder returns other than it describes.

    Examples
    --------
    >>> import crm_ml
    >>> found = build_features(crm_ml.load_sample(), as_of="2017-10-01", features="rfm")
    >>> found.loc["1", ["frequency", "orders_30d"]].tolist()
    [33.0, 7.0]
    """
    frames = [frame for frame in iter_features(log, as_of=as_of, features=features) if len(frame)]
    if not frames:
        raise nobody_bought(log, as_of)
    return pd.concat(frames).sort_index()


def iter_features(log: CustomerLog, *, as_of: Moment, features: Features = DEFAULT_FEATURES) -> Iterator[pd.DataFrame]:
    """Yield the frame of `build_features` in parts of bounded size, for logs that do not fit in memory.

    The parts hold the same customers whatever the features.
    """
    for part in Sweep.of(log, [moment(as_of)], features=features).parts(log):
        yield feature_frame(part)


def feature_frame(part: Part) -> pd.DataFrame:
    """Return a part of a sweep at one cutoff as `build_features` does."""
    return pd.DataFrame(part.columns, index=pd.Index(part.customers, name="customer_id", dtype="str"))


def build_panel(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None = None,
    features: Features = DEFAULT_FEATURES,
) -> pd.DataFrame:
    """Return features and labels of every customer at every cutoff.

    Parameters
    ----------
    log : the log.
    cutoffs : moments; features use events before each, labels those at or after it. Event types that occur
        only after the first cutoff get no columns.
    horizon_days : length of the label window, or a `crm_ml.features.PersonalHorizon` for each customer's own.
    lookback_days : only customers who bought within so many days before the cutoff; None means all who
        ever bought.
    features : as for `build_features`.

    Returns
    -------
    DataFrame
        Indexed by (customer_id, cutoff) in order of cutoff, then customer_id; the features, then
        ``horizon_days``, ``label_end`` (UTC), ``purchase_days_ahead``, ``spend_ahead`` (currency) and
        ``churned`` (1 or 0).

    Raises
    ------
    SchemaError
        A label window reaches past the log's end, cutoffs repeat or are missing, or no customer is
        eligible.

    Examples
    --------
    >>> import crm_ml
    >>> panel = build_panel(crm_ml.load_sample(), cutoffs=["2017-10-01", "2017-11-01"], horizon_days=30)
    >>> panel.groupby("cutoff")["churned"].size().tolist()
    [2446, 2452]
    """
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    parts = [part for part in sweep.parts(log) if len(part.customers)]
    if not parts:
        raise nobody_eligible(sweep)
    known, who, at, order = in_panel_order(parts)
    names = pd.Index(known.to_numpy(zero_copy_only=False), dtype="str")
    levels: Any = [names, stamps(sweep.cutoffs)]
    codes: Any = [who[order], at[order]]
    index = pd.MultiIndex(levels, codes, names=["customer_id", "cutoff"])
    columns: dict[str, Any] = {
        name: np.concatenate([part.columns[name] for part in parts])[order] for name in parts[0].columns
    }
    columns["label_end"] = stamps(label_ends(sweep.cutoffs[at[order]], columns["horizon_days"]))
    panel = pd.DataFrame(columns, index=index)
    return panel[[*sweep.features.columns, *LABEL_COLUMNS]]


def in_panel_order(parts: Sequence[Part]) -> tuple[pa.Array, Int, Int, Int]:
    """Return a panel's customers in order, each row's customer and cutoff, and the order of rows by both."""
    customers = pa.chunked_array([pa.array(part.customers, type=pa.string()) for part in parts]).dictionary_encode()
    coded = customers.combine_chunks()
    known, rank = in_text_order(coded.dictionary)
    who, at = rank[coded.indices.to_numpy()], np.concatenate([part.positions for part in parts])
    return known, who, at, np.argsort(at * len(rank) + who)


def panel_sweep(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None,
    features: Features,
) -> Sweep:
    """Return the sweep that makes a panel, its cutoffs and windows checked; see `build_panel`."""
    at = moments(cutoffs, name="cutoffs").tolist()
    horizon = longest_horizon(horizon_days)
    lookback = None if lookback_days is None else days(lookback_days, name="lookback_days")
    if at[-1] + horizon > moment(log.end):
        raise SchemaError(
            f"Every label window must lie within the log, which ends {log.end}; the window of cutoff "
            f"{stamp(at[-1])} ends {stamp(at[-1] + horizon)}.\nLeave it out or shorten `horizon_days`."
        )
    settled = horizon_days if isinstance(horizon_days, PersonalHorizon) else horizon / DAY
    return Sweep.of(log, at, horizon_days=settled, lookback=lookback, features=features)


def longest_horizon(horizon_days: Horizon) -> int:
    """Return the longest that a label window can be, in microseconds.

    >>> longest_horizon(PersonalHorizon(longest_days=60)) == longest_horizon(60) == 60 * DAY
    True
    """
    longest = horizon_days.longest_days if isinstance(horizon_days, PersonalHorizon) else horizon_days
    return days(longest, name="horizon_days")


def nobody_bought(log: CustomerLog, as_of: Moment, *, what: str = "Features") -> SchemaError:
    """Word that there is nobody to build something of."""
    return SchemaError(
        f"{what} need a purchase before `as_of` {stamp(moment(as_of))}; the log begins {log.first}.\n"
        "Choose a later moment."
    )


def nobody_eligible(sweep: Sweep) -> SchemaError:
    """Word that there is nobody to make a panel of."""
    within = "" if sweep.lookback is None else f" within {sweep.lookback / DAY:g} days"
    return SchemaError(
        f"A panel needs customers who bought before a cutoff; nobody did{within} of "
        f"{[str(stamp(cutoff)) for cutoff in sweep.cutoffs]}.\nChoose later cutoffs or a longer `lookback_days`."
    )
