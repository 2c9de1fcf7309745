"""The health of a customer base, month by month and segment by segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crm_ml.decisions.health import loops
from crm_ml.decisions.health.groups import ALL, Groups, Worth
from crm_ml.decisions.health.metrics import METRICS, Metric
from crm_ml.decisions.health.months import Months
from crm_ml.decisions.health.tally import Tally
from crm_ml.errors import SchemaError
from crm_ml.events.clock import Moment, days, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.ragged import Float

__all__ = ["base_health"]


def base_health(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    segments: pd.DataFrame | None = None,
    dormant_days: float = 90,
    complaint_events: Sequence[str] | None = None,
    return_events: Sequence[str] | None = None,
    clv: pd.Series[float] | pd.DataFrame | None = None,
    acquisition_cost: float | pd.Series[float] | None = None,
) -> pd.DataFrame:
    """Return every metric of the customer base by month and segment, with its change on the month before.

    Each cutoff ends a month; an event counts in the month it falls in, and nothing at or after the last cutoff is
    looked at. `crm_ml.decisions.health.METRICS` says what each metric is.

    A customer counts under the segment held when the month begins: by that at its end, whoever bought would be in
    a better one for it, and every segment's rates would tell of the sorting. Who has none then, as the month's new
    customers have, counts under "no segment"; counts and money add up over the segments to "all".

    Months that begin less than `dormant_days` after the log does have fewer dormant customers than there were, and a
    month whose events have not all arrived looks like a bad one.

    Parameters
    ----------
    log : CustomerLog
        Read bucket by bucket, once. In memory stay 10 bytes for each customer and month with a purchase.
    cutoffs : sequence of moments
        Ends of months: midnights UTC, each a calendar month after the one before; `crm_ml.monthly_cutoffs`.
    segments : DataFrame, optional
        Indexed by customer_id, one column per cutoff, each a categorical of the same segments, best first; missing
        where the customer was not yet known. Months without a column at their start have the segment "all" only:
        the first of them, where the cutoffs are the same.
    dormant_days : float
        Days without a purchase from which on a customer is dormant.
    complaint_events, return_events : sequence of str, optional
        Event types that are a complaint, or a return; by default "complaint" and "return" where the log has them.
    clv : Series or DataFrame, optional
        Value by customer_id as expected at the last cutoff, of which only the last month knows; or one column per
        cutoff. Where it is missing the customer is left out of the ratio.
    acquisition_cost : float or Series, optional
        What a customer cost to acquire, or each did, by customer_id, in the money of `clv`.

    Returns
    -------
    DataFrame
        Columns ``month`` (its first moment, UTC), ``segment``, ``metric``, ``value``, ``change`` (value less that of
        the month before, NaN in the first) and ``change_share`` (change relative to the size of that value). A ratio
        to nothing is NaN. `return_rate` is there only if any money was given back, `returns_per_order` and
        `complaint_rate` only if there was such an event, `clv_per_acquisition_cost` only if both are given.

    Raises
    ------
    SchemaError
        The cutoffs are not ends of consecutive months, a frame is not as described, or the log has no event of a
        type that was named.
    CrmError
        Only one of `clv` and `acquisition_cost` is given, or a cost is outside its domain.

    Examples
    --------
    >>> import crm_ml
    >>> found = base_health(crm_ml.load_sample(), cutoffs=["2017-09-01", "2017-10-01", "2017-11-01"])
    >>> rate = found[found["metric"] == "repurchase_rate"]
    >>> rate["value"].round(3).tolist(), rate["change"].round(3).tolist()
    ([0.895, 0.898, 0.914], [nan, 0.003, 0.016])
    """
    months = Months.ending(cutoffs)
    groups, worth = Groups.of(segments, months), Worth.of(clv, acquisition_cost, months)
    known = log.event_types_before(stamp(months.edges[-1]))
    events = [
        _types(named, default, known) for named, default in ((complaint_events, "complaint"), (return_events, "return"))
    ]
    tally = Tally.of(
        log, months, groups=groups, worth=worth, dormant=days(dormant_days, name="dormant_days"), events=events
    )
    absent = {
        "return_rate": not tally.money[..., loops.GIVEN_BACK].any(),
        "returns_per_order": not events[1],
        "complaint_rate": not events[0],
        "clv_per_acquisition_cost": worth is None,
    }
    told = [metric for metric in METRICS if not absent.get(metric.name, False)]
    return _frame(np.stack([metric.of(tally) for metric in told]), told, months, groups)


def _types(named: Sequence[str] | None, default: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if named is None:
        return (default,) if default in known else ()
    absent = sorted(set(named) - set(known))
    if absent:
        raise SchemaError(
            f"The log must have events of the types named before the last cutoff. Absent: {absent}; "
            f"present: {list(known)}.\nName others, or none."
        )
    return tuple(named)


def _frame(values: Float, told: Sequence[Metric], months: Months, groups: Groups) -> pd.DataFrame:
    """Make (metrics, m, 1 + groups) values rows in order of month, segment and metric."""
    segmented = np.array([codes is not None for codes in groups.codes])
    values[:, ~segmented, 1:] = np.nan
    shown = np.ones(values.shape[1:], dtype=bool)
    shown[~segmented, 1:] = False
    before = np.concatenate([np.full_like(values[:, :1], np.nan), values[:, :-1]], axis=1)
    change = values - before
    share = np.divide(change, np.abs(before), out=np.full_like(values, np.nan), where=before != 0)
    month, group = np.nonzero(shown)
    rows = len(told)
    return pd.DataFrame(
        {
            "month": months.starts[month.repeat(rows)],
            "segment": np.array([ALL, *groups.names], dtype=object)[group.repeat(rows)],
            "metric": np.tile([metric.name for metric in told], len(month)),
            "value": values[:, month, group].T.ravel(),
            "change": change[:, month, group].T.ravel(),
            "change_share": share[:, month, group].T.ravel(),
        }
    ).astype({"segment": "str", "metric": "str"})
