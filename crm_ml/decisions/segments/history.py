"""Who was in which segment at many moments, each knowing only what was known then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.decisions.history_frame import history_frame
from crm_ml.decisions.segments.migration import head_counts
from crm_ml.decisions.segments.policy import SegmentPolicy
from crm_ml.events.clock import Moment, moments, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.decay import NEVER
from crm_ml.features.history import History
from crm_ml.features.panels.panel import nobody_bought
from crm_ml.features.panels.sweep import Sweep
from crm_ml.features.rules.rule_features import rule_features
from crm_ml.notebook_summary import summary_html

__all__ = ["SegmentHistory", "segment_history"]


@dataclass(frozen=True, eq=False, repr=False)
class SegmentHistory:
    """The segments of all customers over time.

    Attributes
    ----------
    segments : DataFrame
        Indexed by customer_id in order, a column for each cutoff in order (UTC): an ordered categorical in the order
        of the policy, missing before the customer first bought.
    latest : DataFrame
        ``segment`` and ``since`` at the last cutoff: the `previous` of `SegmentPolicy.transform` at the next.
    policy : SegmentPolicy
        The policy they are of.
    """

    segments: pd.DataFrame
    latest: pd.DataFrame
    policy: SegmentPolicy

    def __repr__(self) -> str:
        customers, cutoffs = self.segments.shape
        return f"SegmentHistory({customers:,} customers, {cutoffs:,} cutoffs, policy {self.policy.version_})"

    def _repr_html_(self) -> str:
        """Show in a notebook how many customers each segment had."""
        facts = {"customers": len(self.segments), "policy": self.policy.version_}
        return summary_html("SegmentHistory", facts, head_counts(self.segments).iloc[::-1])


def segment_history(
    log: CustomerLog, policy: SegmentPolicy, *, cutoffs: Sequence[Moment] | pd.DatetimeIndex
) -> SegmentHistory:
    """Return the segments that a policy put customers into at each cutoff, the one before being the previous.

    Events at or after a cutoff change nothing up to it. Every cutoff is held against the same bounds, so a policy with
    quantiles or means must have been fitted: on ``policy.build_features(log, as_of=cutoffs[0])``, for example. A
    builder that looks at all event types or categories looks at those that had occurred by the first cutoff.

    Parameters
    ----------
    log : CustomerLog
        The log.
    policy : SegmentPolicy
        Its rules look at features only.
    cutoffs : sequence of moments
        Different ones, at least one; such as `crm_ml.monthly_cutoffs` gives.

    Raises
    ------
    NotFittedError
        A bound is relative and the policy is not fitted.
    SchemaError
        Nobody bought before the last cutoff, a cutoff is given twice, or a column is no feature the log allows for.

    Examples
    --------
    >>> import crm_ml
    >>> log, cutoffs = crm_ml.load_sample(), ["2017-10-01", "2017-11-01", "2017-12-01"]
    >>> policy = SegmentPolicy.preset("shop")
    >>> history = segment_history(log, policy.fit(policy.build_features(log, as_of=cutoffs[0])), cutoffs=cutoffs)
    >>> history.segments.loc["1"].tolist()
    ['core', 'core', 'others']
    """
    at = moments(cutoffs, name="cutoffs")
    policy.version_  # noqa: B018  # raises unless every bound is a number
    settled = rule_features(policy.columns, log, first_cutoff=stamps(at)[0], features=policy.features)
    sweep = Sweep.of(log, at.tolist(), features=settled)
    parts = [part for part in sweep.map(log, lambda history: _follow(history, sweep, policy)) if len(part.customers)]
    if not parts:
        raise nobody_bought(log, stamps(at)[-1], what="Segments")
    wide, order = history_frame(
        [part.customers for part in parts], [part.codes for part in parts], dtype=policy.dtype, cutoffs=at
    )
    since = stamps(np.concatenate([part.entered for part in parts])[order])
    latest = pd.DataFrame({"segment": wide.iloc[:, -1], "since": since}, index=wide.index)
    return SegmentHistory(wide, latest, policy)


class _Part(NamedTuple):
    """Some customers: their segments by position at every cutoff, −1 before they are known, and since when the last."""

    customers: npt.NDArray[np.object_]
    codes: npt.NDArray[np.int8]
    entered: npt.NDArray[np.int64]


def _follow(history: History, sweep: Sweep, policy: SegmentPolicy) -> _Part:
    known = history.last_purchase != NEVER
    built = sweep.features.build(history)
    fires, keeps = policy.judge(pd.DataFrame({name: values[known] for name, values in built.items()}))
    unknown = len(policy.names)
    present = np.full(len(history), unknown, dtype=np.int8)
    entered = np.zeros(len(history), dtype=np.int64)
    codes = np.full(history.shape, -1, dtype=np.int8)
    begin = 0
    for at, (cutoff, who) in enumerate(zip(history.cutoffs, known, strict=True)):
        rows = slice(begin, begin := begin + int(who.sum()))
        before = present[who]
        stayed = cutoff - entered[who]
        after = policy.move(fires[:, rows], keeps[:, rows], present=before, stayed=stayed)
        entered[who] = np.where(after == before, entered[who], cutoff)
        present[who] = codes[at, who] = after
    seen = known[-1]
    return _Part(history.bucket.customer_id[seen], codes[:, seen], entered[seen])
