"""The same weeks of earlier years: who buys at this time of the year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import DAY, days
from crm_ml.features.builders.words import counted, said, spent, times, together
from crm_ml.features.feature import Feature, Words, register_builder
from crm_ml.features.past import Past
from crm_ml.features.ragged import Float, count_per, first_per, sum_per

__all__ = ["Seasonality"]

YEAR_DAYS = 364
"""52 weeks, so that weekdays match."""


@register_builder
@dataclass(frozen=True)
class Seasonality:
    """What a customer bought in earlier years in the weeks that now lie ahead.

    With a year of 364 days (52 weeks), the weeks ahead as they were y years ago are
    ``cutoff − 364 y <= time < cutoff − 364 y + window_days``, widened at both ends by `tolerance_days`.
    They are compared with as many days just before them. Only events before the cutoff are used.

    Parameters
    ----------
    window_days : length of the window that lies ahead, best the horizon of the labels. With the
        tolerance at most 364 times the nearest of `years`.
    tolerance_days : how many days a season may move from year to year, as Easter does.
    years : how many years back, each with features of its own.
    """

    window_days: int = 30
    tolerance_days: float = 0.0
    years: tuple[int, ...] = (1,)

    needs: ClassVar[tuple[str, ...]] = ()
    interaction_days: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not self.years or not all(year >= 1 and year == int(year) for year in self.years):
            raise SchemaError(out_of_range("years", self.years, "hold whole numbers of at least 1"))
        if not 0 <= self.tolerance_days < np.inf:
            raise SchemaError(out_of_range("tolerance_days", self.tolerance_days, "be at least 0 and finite"))
        days(self.window_days, name="window_days")
        longest = YEAR_DAYS * min(self.years) - self.tolerance_days
        if self.window_days > longest:
            rule = f"be at most {longest:g}, so that the window of earlier years ends before the cutoff"
            raise SchemaError(out_of_range("window_days", self.window_days, rule))

    def describe(self) -> tuple[Feature, ...]:
        """Return the documentation of each feature."""
        return tuple(feature for year in self.years for feature in self._describe_one(int(year)))

    def _describe_one(self, y: int) -> tuple[Feature, ...]:
        w, slack = self.window_days, f" ± {self.tolerance_days:g}" if self.tolerance_days else ""
        ahead = f"the {w}{slack} days ahead, {YEAR_DAYS * y} days ago"
        ago = "a year ago" if y == 1 else f"{y} years ago"
        name, same, short = f"{w}d_{y}y", f"in the same {w}{slack} days {ago}", f"no customer yet {ago}"

        def feature(what: str, unit: str, formula: str, where: str, missing: str, words: Words) -> Feature:
            return Feature(f"season_{what}_{name}", unit, formula, where, missing, theme="season", words=words)

        return (
            feature(
                "known",
                "1 or 0",
                f"first purchase ≤ cutoff − {YEAR_DAYS * y} d",
                "0 or 1",
                "never",
                lambda known, _: f"{'already a' if known else 'no'} customer {'' if known else 'yet '}{ago}",
            ),
            feature("orders", "orders", f"orders in {ahead}", "≥ 0", short, said(counted("order"), f" {same}")),
            feature("spend", "currency", f"net spend in {ahead}", "any", short, said(spent, f" {same}")),
            feature(
                "before",
                "orders",
                f"orders in as many days before {ahead}",
                "≥ 0",
                short,
                said(counted("order"), f" in as many days before the same {w}{slack} days {ago}"),
            ),
            feature(
                "lift",
                "ratio",
                f"(orders in {ahead} + 1) / (orders in as many days before + 1)",
                "> 0",
                short,
                _say_lift(name, same),
            ),
        )

    def build(self, past: Past) -> dict[str, Float]:
        """Return one array per feature; all but `season_known` are missing for whom a year ago was too early."""
        bought, money = past.purchases, past.transactions
        first = first_per(bought.time, bought.offsets)
        slack = round(self.tolerance_days * DAY)
        length = days(self.window_days, name="window_days") + 2 * slack
        columns: dict[str, Float] = {}
        for y in self.years:
            year_ago = past.cutoff - YEAR_DAYS * DAY * int(y)
            start = year_ago - slack
            known = first <= year_ago
            within = (start <= bought.time) & (bought.time < start + length)
            before = (start - length <= bought.time) & (bought.time < start)
            paid = (start <= money.time) & (money.time < start + length)
            orders, earlier = count_per(within, bought.offsets), count_per(before, bought.offsets)
            spend = sum_per(np.where(paid, money.amount, 0.0), money.offsets)
            name = f"{self.window_days}d_{y}y"
            columns[f"season_known_{name}"] = known.astype(np.float64)
            columns[f"season_orders_{name}"] = np.where(known, orders, np.nan)
            columns[f"season_spend_{name}"] = np.where(known, spend, np.nan)
            columns[f"season_before_{name}"] = np.where(known, earlier, np.nan)
            columns[f"season_lift_{name}"] = np.where(known, (orders + 1) / (earlier + 1), np.nan)
        return columns


def _say_lift(name: str, same: str) -> Words:
    def say(lift: float, row: Mapping[str, float]) -> str:
        known = together(row, f"season_orders_{name}", f"season_before_{name}")
        if known is None:
            return f"{times(lift)} the orders {same} as in as many days before"
        orders, before = known
        return f"{counted('order')(orders)} {same}, {counted('order')(before)} in as many days before"

    return say
