"""Features as of one moment, and panels of features and labels at many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, days, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.decline import InteractionDecline
from crm_ml.features.builders.rfm import RFM
from crm_ml.features.builders.stretch import IntervalStretch, population_gap_days
from crm_ml.features.feature import FeatureBuilder, apply, for_event_types
from crm_ml.features.labels import active_since, labels_after
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float

__all__ = ["DEFAULT_FEATURES", "build_features", "build_panel", "iter_features"]

DEFAULT_FEATURES: tuple[FeatureBuilder, ...] = (RFM(), IntervalStretch(), InteractionDecline())


def build_features(
    log: CustomerLog, *, as_of: Moment, features: Sequence[FeatureBuilder] = DEFAULT_FEATURES
) -> pd.DataFrame:
    """Return the features of every customer who bought before `as_of`, from events before it only.

    Parameters
    ----------
    log : the log.
    as_of : the cutoff; a moment without a zone is UTC.
    features : builders; see `crm_ml.features.catalogue` for what each column means.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order, one float64 column per feature.

    Raises
    ------
    SchemaError
        Nobody bought before `as_of`, or a builder returns other than it describes.

    Examples
    --------
    >>> import crm_ml
    >>> found = build_features(crm_ml.load_sample(), as_of="2017-10-01", features=[RFM()])
    >>> found.loc["1", ["frequency", "orders_30d"]].tolist()
    [33.0, 7.0]
    """
    frames = [frame for frame in iter_features(log, as_of=as_of, features=features) if len(frame)]
    if not frames:
        raise SchemaError(
            f"Features need a purchase before `as_of` {stamp(moment(as_of))}; the log begins {log.first}.\n"
            "Choose a later moment."
        )
    return pd.concat(frames).sort_index()


def iter_features(
    log: CustomerLog, *, as_of: Moment, features: Sequence[FeatureBuilder] = DEFAULT_FEATURES
) -> Iterator[pd.DataFrame]:
    """Yield the frame of `build_features` bucket by bucket, for logs that do not fit in memory."""
    cutoff = moment(as_of)
    builders = for_event_types(features, log.event_types_before(stamp(cutoff)))
    gap = float(population_gap_days(log, [cutoff])[0])

    def kernel(bucket: Bucket) -> pd.DataFrame:
        past = Past(bucket, cutoff, population_gap_days=gap)
        return _frame(past, apply(builders, past), active_since(past, None))

    yield from log.map(kernel)


def build_panel(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: float,
    lookback_days: float | None = None,
    features: Sequence[FeatureBuilder] = DEFAULT_FEATURES,
) -> pd.DataFrame:
    """Return features and labels of every customer at every cutoff.

    Parameters
    ----------
    log : the log.
    cutoffs : moments; features use events before each, labels those at or after it. Event types that occur
        only after the first cutoff get no columns.
    horizon_days : length of the label window.
    lookback_days : only customers who bought within so many days before the cutoff; None means all who
        ever bought.
    features : builders.

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
    at = sorted({moment(cutoff, name="cutoffs") for cutoff in cutoffs})
    horizon = days(horizon_days, name="horizon_days")
    lookback = None if lookback_days is None else days(lookback_days, name="lookback_days")
    if len(at) != len(cutoffs) or not at:
        raise SchemaError(out_of_range("cutoffs", list(cutoffs), "be one or more different moments"))
    if at[-1] + horizon > moment(log.end):
        raise SchemaError(
            f"Every label window must lie within the log, which ends {log.end}; the window of cutoff "
            f"{stamp(at[-1])} ends {stamp(at[-1] + horizon)}.\nLeave it out or shorten `horizon_days`."
        )
    builders = for_event_types(features, log.event_types_before(stamp(at[0])))
    gaps = population_gap_days(log, at)

    def kernel(bucket: Bucket) -> list[pd.DataFrame]:
        return [
            _labelled(bucket, cutoff, horizon, lookback, builders, float(gap))
            for cutoff, gap in zip(at, gaps, strict=True)
        ]

    frames = [frame for made in log.map(kernel) for frame in made if len(frame)]
    if not frames:
        raise SchemaError(
            f"A panel needs customers who bought before a cutoff; nobody did within {lookback_days} days of "
            f"{[str(stamp(cutoff)) for cutoff in at]}.\nChoose later cutoffs or a longer `lookback_days`."
        )
    return pd.concat(frames).sort_index(level=["cutoff", "customer_id"])


def _labelled(
    bucket: Bucket,
    cutoff: int,
    horizon: int,
    lookback: int | None,
    builders: Sequence[FeatureBuilder],
    gap: float,
) -> pd.DataFrame:
    past = Past(bucket, cutoff, population_gap_days=gap)
    chosen = active_since(past, None if lookback is None else cutoff - lookback)
    frame = _frame(past, apply(builders, past), chosen)
    ahead = {name: array[chosen] for name, array in labels_after(bucket, cutoff, horizon=horizon).items()}
    labelled = frame.assign(
        cutoff=stamp(cutoff), horizon_days=horizon / DAY, label_end=stamp(cutoff + horizon), **ahead
    )
    return labelled.set_index("cutoff", append=True)


def _frame(past: Past, columns: dict[str, Float], chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    index = pd.Index(past.customer_id[chosen], name="customer_id", dtype="str")
    return pd.DataFrame({name: array[chosen] for name, array in columns.items()}, index=index)
