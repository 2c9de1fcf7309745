"""Purchase histories of any number of customers in a small table: those alike share a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from crm_ml.clv.summary import TimeUnit, days_per_unit, iter_rfm_summary
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog

__all__ = ["KEYS", "SUMS", "PurchasePatterns", "pattern_sums"]

KEYS = ("of_spend", "frequency", "first_cell", "second_cell")
"""What customers of a row have in common: the cells of T and recency, or of the logarithm of mean spend."""

SUMS = ("weight", "recency", "T", "sum_log_gaps", "monetary_value")

SPEND_CELLS_PER_DOUBLING = 8
_NO_SPEND = -1_000_000


@dataclass(frozen=True)
class PurchasePatterns:
    """What purchase processes and Gamma-Gamma are fitted on, of a shop of any size.

    Customers share a row whose frequency is the same and whose ``T`` and ``recency`` fall into the same cells of
    so many days; a row holds the means of its customers. For spend they share one whose frequency is the same
    and whose mean spends differ by less than a ninth. As rows hold means, what the cells cost in a likelihood is
    of second order in their size; with cells of one day, nothing but rounding for the process.

    Attributes
    ----------
    histories : DataFrame with ``frequency``, ``recency``, ``T``, ``sum_log_gaps`` and ``weight`` (customers).
    spends : DataFrame with ``frequency``, ``monetary_value`` and ``weight``.
    time_unit : of the histories.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> patterns = PurchasePatterns.of(log, as_of="2017-10-01", cell_days=7)
    >>> int(patterns.histories["weight"].sum()), int(patterns.spends["weight"].sum())
    (2446, 2446)
    """

    histories: pd.DataFrame
    spends: pd.DataFrame
    time_unit: TimeUnit

    @classmethod
    def of(cls, log: CustomerLog, *, as_of: Moment, cell_days: int = 7, time_unit: TimeUnit = "D") -> Self:
        """Return the patterns of a log's customers.

        Parameters
        ----------
        log : the log.
        as_of : only events before it count.
        cell_days : width of the cells of ``T`` and ``recency``.
        time_unit : "D" or "W", of the result.
        """
        return cls.from_sums(pattern_sums(log, as_of=as_of, cell_days=cell_days), time_unit=time_unit)

    @classmethod
    def from_sums(cls, sums: pd.DataFrame, *, time_unit: TimeUnit) -> Self:
        """Return the patterns whose sums `pattern_sums` made, added up over parts of a log."""
        per_unit = days_per_unit(time_unit)
        ordered = sums.sort_values(list(KEYS), ignore_index=True)
        means = ordered[list(SUMS)].div(ordered["weight"], axis="index").assign(weight=ordered["weight"])
        means.insert(0, "frequency", ordered["frequency"])
        of_spend = ordered["of_spend"] == 1
        histories = means.loc[~of_spend, ["frequency", "recency", "T", "sum_log_gaps", "weight"]]
        histories[["recency", "T"]] /= per_unit
        histories["sum_log_gaps"] -= histories["frequency"] * np.log(per_unit)
        spends = means.loc[of_spend, ["frequency", "monetary_value", "weight"]]
        return cls(histories.reset_index(drop=True), spends.reset_index(drop=True), time_unit)


def pattern_sums(log: CustomerLog, *, as_of: Moment, cell_days: int) -> pd.DataFrame:
    """Return the sums over customers that share a cell, which may be added up over parts of a log.

    Returns
    -------
    DataFrame
        Columns `KEYS`, whole numbers, and `SUMS`; in days.

    Raises
    ------
    SchemaError
        `cell_days` is no whole number of at least 1.
    """
    if not (cell_days >= 1 and cell_days == int(cell_days)):
        raise SchemaError(out_of_range("cell_days", cell_days, "be a whole number of at least 1"))
    parts = [
        _sums(summary, cell_days) for summary in iter_rfm_summary(log, as_of=as_of, time_unit="D", sum_log_gaps=True)
    ]
    return pd.concat(parts).groupby(list(KEYS), as_index=False).sum()


def _sums(summary: pd.DataFrame, cell_days: int) -> pd.DataFrame:
    frame = summary.assign(weight=1.0)[["frequency", *SUMS]]
    spend = frame["monetary_value"].to_numpy()
    known = (frame["frequency"].to_numpy() > 0) & (spend > 0)
    doubling = np.floor(np.log2(spend, where=known, out=np.zeros(len(frame))) * SPEND_CELLS_PER_DOUBLING)
    histories = frame.assign(of_spend=0, first_cell=frame["T"] // cell_days, second_cell=frame["recency"] // cell_days)
    spends = frame.assign(of_spend=1, first_cell=np.where(known, doubling, _NO_SPEND), second_cell=0)
    both = pd.concat([histories, spends])
    keys = list(KEYS)
    both[keys] = both[keys].astype(np.int64)
    return both.groupby(keys, as_index=False)[list(SUMS)].sum()
