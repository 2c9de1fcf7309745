"""How soon categories are bought again, and which of them each customer is due to replenish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.timing.histories import last_day
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import DAY, Moment, moment, stamps
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.order_lines import line_column
from crm_ml.features.builders.stretch import usual_gap
from crm_ml.features.past import Past
from crm_ml.features.ragged import owner_of

__all__ = ["iter_replenishment_due", "replenishment", "replenishment_due"]

Array = NDArray[np.float64]
Int = NDArray[np.int64]

QUARTILES = (0.25, 0.5, 0.75)
CUSTOMERS_PER_PART = 50_000
REMEDY = "Add it, or name yours in CustomerLog(..., columns=...)."


def replenishment(log: CustomerLog, *, as_of: Moment) -> pd.DataFrame:
    """Return how long it takes until customers buy a category again.

    A line of amount ≥ 0 that names a category buys it; several on a day (UTC) are one purchase day. The days from
    each purchase day to the customer's next one of the category are its gaps; the last gap is open at `as_of`, and
    counts for as long as it lasted, by Kaplan and Meier's estimate.

    Parameters
    ----------
    log : CustomerLog
        With a ``category``.
    as_of : date-like
        Only events before it count.

    Returns
    -------
    DataFrame
        Indexed by ``category``, of those bought, in order of the alphabet:

        - ``customers``: who bought it; ``repeat_share``: of them, those who did on two days or more.
        - ``gaps``: closed ones; ``returning_share``: of the purchase days, those followed by another within the
          longest gap seen, by the estimate.
        - ``gap_lower``, ``gap_median``, ``gap_upper``: days by which a quarter, half and three quarters of the
          purchase days are followed by another; missing where fewer are, in the time seen.
        - ``usual_gap_days``: days by which half of the returning share has come back; missing without a gap.

    Raises
    ------
    SchemaError
        If the log has no column ``category``, or no line before `as_of` names one.

    References
    ----------
    Kaplan and Meier (1958), JASA 53.

    Examples
    --------
    >>> orders = pd.DataFrame({"customer_id": ["ann"] * 3 + ["bob"] * 2, "amount": 5.0, "category": "coffee",
    ...                        "timestamp": ["2024-01-01", "2024-01-08", "2024-01-17", "2024-01-01", "2024-01-10"]})
    >>> found = replenishment(CustomerLog(orders), as_of="2024-02-01").loc["coffee"]
    >>> found[["customers", "gaps", "gap_lower", "gap_median"]].tolist()
    [2.0, 3.0, 9.0, 9.0]
    """
    counts = _counted(log, as_of=as_of)
    codes, own = zip(*counts.groupby("category", sort=True), strict=True)
    names = pd.Index([log.arrangement.categories[int(code)] for code in codes], name="category")
    return pd.DataFrame([_cadence(rows) for rows in own], index=names).sort_index()


def replenishment_due(log: CustomerLog, *, as_of: Moment, prior_gaps: float = 2.0) -> pd.DataFrame:
    """Return when each customer is due to buy each category again that they bought.

    As in `crm_ml.features.IntervalStretch`, the usual gap is the geometric mean of the own gaps and of `prior_gaps`
    gaps of the category's ``usual_gap_days``, see `replenishment`: it is the category's after one purchase and
    becomes the customer's own.

    Parameters
    ----------
    log : CustomerLog
        With a ``category``.
    as_of : date-like
        Only events before it count.
    prior_gaps : float, > 0, default 2.0

    Returns
    -------
    DataFrame
        Indexed by ``customer_id`` and ``category``, in order: ``last_bought`` (day, UTC), ``purchase_days``,
        ``usual_gap_days``, ``due_on`` (day, UTC), and ``overdue_days``, whole days from ``due_on`` to the first day
        not over at `as_of`, negative before it is due. The last three are missing in a category that nobody
        bought again.

    Raises
    ------
    SchemaError
        As `replenishment` does, or if `prior_gaps` is not positive.
    """
    return pd.concat(iter_replenishment_due(log, as_of=as_of, prior_gaps=prior_gaps)).sort_index()


def iter_replenishment_due(log: CustomerLog, *, as_of: Moment, prior_gaps: float = 2.0) -> Iterator[pd.DataFrame]:
    """Yield the frame of `replenishment_due` in parts of bounded size, for logs that do not fit in memory."""
    if not (np.isfinite(prior_gaps) and prior_gaps > 0):
        raise SchemaError(out_of_range("prior_gaps", prior_gaps, "be above 0"))
    usual, names = replenishment(log, as_of=as_of)["usual_gap_days"], log.arrangement.categories
    prior, today = usual.reindex(list(names)).to_numpy(), last_day(as_of) + 1

    def due(bucket: Bucket) -> pd.DataFrame:
        bought = _category_days(bucket, as_of=as_of)
        first, last = bought.ends()
        own = np.add.reduceat(np.log(np.maximum(bought.gaps(), 1.0)), first) if len(first) else np.zeros(0)
        count, code = (last - first).astype(np.float64), bought.category[first]
        gap = usual_gap(own, count, np.log(prior[code]), prior_gaps)
        some = np.isfinite(gap)
        on = bought.day[last] + np.where(some, np.rint(gap), 0.0).astype(np.int64)
        keys = [
            pd.Index(bucket.customer_id[bought.owner[first]], dtype="str"),
            pd.Index(np.asarray(names, dtype=object)[code], dtype="str"),
        ]
        return pd.DataFrame(
            {
                "last_bought": stamps(bought.day[last] * DAY),
                "purchase_days": last - first + 1,
                "usual_gap_days": gap,
                "due_on": stamps(on * DAY).where(some),
                "overdue_days": np.where(some, today - on, np.nan),
            },
            index=pd.MultiIndex.from_arrays(keys, names=["customer_id", "category"]),
        )

    yield from log.map(due, at_most=CUSTOMERS_PER_PART, interactions=False)


@dataclass(frozen=True)
class _CategoryDays:
    """Days on which customers bought categories, each once, sorted by customer, category and day."""

    owner: Int
    category: Int
    day: Int

    def ends(self) -> tuple[Int, Int]:
        """Return the rows of the first and the last day of each customer and category."""
        new = np.flatnonzero((np.diff(self.owner, prepend=-1) != 0) | (np.diff(self.category, prepend=-1) != 0))
        return new, np.append(new[1:], len(self.day)) - 1 if len(new) else new

    def gaps(self) -> Array:
        """Return the days since the row before; 0 on the first day of each customer and category."""
        gaps = np.diff(self.day, prepend=0).astype(np.float64)
        gaps[self.ends()[0]] = 0.0
        return gaps


def _category_days(bucket: Bucket, *, as_of: Moment) -> _CategoryDays:
    past = Past(bucket, moment(as_of))
    named, lines = line_column(past, "category", remedy=REMEDY), past.lines
    buys = (named >= 0) & (lines.amount >= 0)
    keys = np.stack([lines.time[buys] // DAY, named[buys].astype(np.int64), owner_of(lines.offsets)[buys]])
    day, category, owner = keys[:, np.lexsort(keys)]
    again = (np.diff(day, prepend=-1) == 0) & (np.diff(category, prepend=-1) == 0) & (np.diff(owner, prepend=-1) == 0)
    return _CategoryDays(owner[~again], category[~again], day[~again])


def _counted(log: CustomerLog, *, as_of: Moment) -> pd.DataFrame:
    """Count gaps by category, length and whether closed, and the customers who had none closed."""

    def count(bucket: Bucket) -> pd.DataFrame:
        bought = _category_days(bucket, as_of=as_of)
        first, last = bought.ends()
        closed = np.ones(len(bought.day), dtype=bool)
        closed[first] = False
        rows = {
            "category": np.concatenate([bought.category[closed], bought.category[last]]),
            "days": np.concatenate([bought.gaps()[closed], (last_day(as_of) - bought.day[last]).astype(np.float64)]),
            "closed": np.repeat([True, False], [int(closed.sum()), len(last)]),
            "again": np.concatenate([np.zeros(int(closed.sum()), dtype=bool), last > first]),
        }
        frame = pd.DataFrame(rows)
        return frame.groupby(list(rows)).size().rename("count").reset_index()

    counted = pd.concat(list(log.map(count, at_most=CUSTOMERS_PER_PART, interactions=False)))
    if counted.empty:
        raise SchemaError(f"Some line before `as_of` {as_of} must name a category; none does.\nChoose a later moment.")
    keys = ["category", "days", "closed", "again"]
    return counted.groupby(keys)["count"].sum().reset_index()


def _cadence(counts: pd.DataFrame) -> dict[str, float]:
    """Return a category's row from the counts of its gaps."""
    from statsmodels.duration.survfunc import SurvfuncRight

    weight, closed = counts["count"].to_numpy(), counts["closed"].to_numpy()
    customers, again = int(weight[~closed].sum()), int(weight[counts["again"].to_numpy()].sum())
    levels, returning, usual = [np.nan] * len(QUARTILES), 0.0, np.nan
    if closed.any():
        found = SurvfuncRight(
            counts["days"].to_numpy(), closed.astype(np.int64), freq_weights=weight.astype(np.float64)
        )
        came, days = 1.0 - found.surv_prob, found.surv_times
        returning = float(came[-1])
        levels = [_reached(came, days, share) for share in QUARTILES]
        usual = _reached(came, days, 0.5 * returning)
    return {
        "customers": customers,
        "repeat_share": again / customers,
        "gaps": int(weight[closed].sum()),
        "returning_share": returning,
        **dict(zip(("gap_lower", "gap_median", "gap_upper"), levels, strict=True)),
        "usual_gap_days": usual,
    }


def _reached(came: Array, days: Array, share: float) -> float:
    """Return the first of the days by which so many came; NaN if never. A share reached but for rounding counts."""
    at = int(np.searchsorted(came, share - 1e-12))
    return float(days[at]) if at < len(days) else np.nan
