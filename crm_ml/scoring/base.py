"""The customer base at a glance: segments, stages of life and health, month by month."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd

from crm_ml.decisions.health import base_health, cohort_retention, largest_changes
from crm_ml.decisions.lifecycle import Lifecycle, lifecycle_history
from crm_ml.decisions.segments import SegmentHistory, SegmentPolicy, head_counts, segment_history
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.log import CustomerLog, monthly_cutoffs
from crm_ml.notebook_summary import summary_html

__all__ = ["CustomerBase", "customer_base"]

HISTORY_DAYS = 28
"""Of a log, at least, before its first month ends."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CustomerBase:
    """What a customer team looks at every month.

    Attributes
    ----------
    as_of : Timestamp
        Nothing at or after it was used.
    months : DatetimeIndex
        The months' ends, ascending; the last is at `as_of` or before.
    segments : SegmentHistory
        At the months' ends and at `as_of`; its `policy` is fitted.
    lifecycle : DataFrame
        Stages at the same moments; see `crm_ml.decisions.lifecycle_history`.
    health : DataFrame
        Metrics by month and segment; see `crm_ml.decisions.base_health`.
    cohorts : DataFrame
        Retention; see `crm_ml.decisions.cohort_retention`.
    """

    as_of: pd.Timestamp
    months: pd.DatetimeIndex
    segments: SegmentHistory
    lifecycle: pd.DataFrame
    health: pd.DataFrame
    cohorts: pd.DataFrame

    def changes(self, n: int = 3, *, currency: str = "") -> pd.DataFrame:
        """Return the numbers that changed most in the last month; see `crm_ml.decisions.largest_changes`."""
        return largest_changes(self.health, n, currency=currency)

    def __repr__(self) -> str:
        return f"CustomerBase(as of {self.as_of:%Y-%m-%d}, {len(self.months):,} months, {self.segments!r})"

    def _repr_html_(self) -> str:
        """Show in a notebook what changed most, and the segments."""
        changed = {f"changed {rank}": words for rank, words in enumerate(self.changes()["words"], start=1)}
        facts = {"as of": self.as_of, "policy": self.segments.policy.version_, **changed}
        return summary_html("CustomerBase", facts, head_counts(self.segments.segments).iloc[::-1])


def customer_base(
    log: CustomerLog,
    *,
    as_of: Moment,
    policy: SegmentPolicy | None = None,
    lifecycle: Lifecycle | None = None,
    months: int = 13,
) -> CustomerBase:
    """Return segments, stages of life, health and retention of the last months, from events before `as_of` only.

    Parameters
    ----------
    log : the log.
    as_of : the moment to stand at.
    policy : the segments; by default `SegmentPolicy.preset("shop")` without what the log does not allow for. Unless
        it is fitted, its quantiles and means are those at `as_of`, for every month shown. Keep ``segments.policy`` of
        the result (`SegmentPolicy.to_toml`) and give it from then on, so that reports stay comparable.
    lifecycle : bounds of the stages; by default those of ``Lifecycle()``.
    months : how many months' ends to look at, at most; at least 2.

    Raises
    ------
    SchemaError
        The log holds fewer than two months' ends before `as_of`, or a rule looks at what it does not have.

    Examples
    --------
    >>> import crm_ml
    >>> base = crm_ml.customer_base(crm_ml.load_sample(), as_of="2017-10-15", months=3)
    >>> base.months.strftime("%Y-%m-%d").tolist(), base.segments.segments.shape
    (['2017-08-01', '2017-09-01', '2017-10-01'], (2451, 4))
    """
    if not months >= 2:
        raise SchemaError(out_of_range("months", months, "be at least 2"))
    ends = monthly_cutoffs(log, last=as_of, history_days=HISTORY_DAYS)[-months:]
    if len(ends) < 2:
        raise SchemaError(
            f"A month's change needs two months' ends between the log's first day {log.first} and {as_of}, with "
            f"{HISTORY_DAYS} days before them; there are {len(ends)}.\nUse more of the past."
        )
    now = stamp(moment(as_of))
    moments = ends.union([now])
    if policy is None:
        policy = SegmentPolicy.preset("shop").for_log(log, as_of=ends[0])
    if policy.fixed_ is None:
        policy = dataclasses.replace(policy).fit(policy.build_features(log, as_of=now))
    segments = segment_history(log, policy, cutoffs=moments)
    return CustomerBase(
        as_of=now,
        months=ends,
        segments=segments,
        lifecycle=lifecycle_history(log, cutoffs=moments, rules=lifecycle),
        health=base_health(log, cutoffs=ends, segments=segments.segments),
        cohorts=cohort_retention(log, as_of=now),
    )
