"""Rules over features: thresholds, all of them, any of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.features.ragged import Float
from crm_ml.features.trees import feature_matrix

__all__ = [
    "BOUNDS",
    "AllOf",
    "AnyOf",
    "Bool",
    "Operator",
    "Rule",
    "Threshold",
    "all_of",
    "any_of",
    "crosses",
    "quantile_bound",
]

Bool = npt.NDArray[np.bool_]
Operator = Literal[">=", "<=", ">", "<"]

BOUNDS = ("value", "quantile", "mean")
"""The kinds of bound; all but the value are relative to the customers looked at."""

NOISE = 1e-12
"""What a value may differ from a bound and still equal it, in units of the bound and at least of 1.

The arithmetic of a feature leaves some 1e-15; one microsecond more is 1e-12 of a waiting time of 11 days.
"""


@dataclass(frozen=True)
class Threshold:
    """A feature against a number, or against a quantile or a multiple of the mean of the customers looked at.

    A missing value never fires. A value equals the bound if it lies within 1e-12 of it, relative to the bound or
    to 1, whichever is larger: so 13 / 10 − 1 and 1.3 − 1, which floating point puts on either side of 0.3, both
    do, and 12.9999999 / 10 − 1 does not.

    Parameters
    ----------
    feature : name of a column.
    operator : one of ``>=``, ``<=``, ``>``, ``<``.
    value : the bound.
    quantile : instead of the value, the share of the customers with a value, above 0 and below 1, that lies below
        the bound; the bound is always a value that occurs. ``>=`` at 0.9 fires for a tenth, rounded up to whole
        customers, and for all who tie with the last of them; ``<=`` at 0.1 likewise at the other end. ``<`` and
        ``>`` fire for all other customers with a value.
    mean : instead of either, a multiple, above 0, of the mean over the customers with a value: ``>`` at 1 fires for
        those above average.

    Raises
    ------
    SchemaError
        The operator is unknown, not exactly one of value, quantile and mean is given, or it is outside its domain.

    Examples
    --------
    >>> waits = pd.DataFrame({"recency_days": [3.0, 90.0, np.nan, 60.0]})
    >>> Threshold("recency_days", ">=", 60).fires(waits).tolist()
    [False, True, False, True]
    >>> Threshold("recency_days", ">=", quantile=0.9).fires(waits).tolist()
    [False, True, False, False]
    >>> Threshold("recency_days", ">", mean=1).fixed(waits)
    Threshold(feature='recency_days', operator='>', value=51.0, quantile=None, mean=None)
    """

    feature: str
    operator: Operator
    value: float | None = None
    quantile: float | None = field(default=None, kw_only=True)
    mean: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (isinstance(self.feature, str) and self.feature):
            raise SchemaError(out_of_range("feature", self.feature, "name a column"))
        if self.operator not in get_args(Operator):
            raise SchemaError(out_of_range("operator", self.operator, 'be one of ">=", "<=", ">" and "<"'))
        given = {name: getattr(self, name) for name in BOUNDS if getattr(self, name) is not None}
        if len(given) != 1:
            raise SchemaError(
                f"A threshold on `{self.feature}` must have a value, a quantile or a mean; got {given or 'none'}.\n"
                "Give one of them."
            )
        for name, bound in given.items():
            object.__setattr__(self, name, _number(name, bound))
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise SchemaError(out_of_range("quantile", self.quantile, "be above 0 and below 1"))
        if self.mean is not None and not self.mean > 0:
            raise SchemaError(out_of_range("mean", self.mean, "be above 0, a multiple of the mean"))

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The threshold itself."""
        return (self,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature."""
        return (self.feature,)

    def fires(self, customers: pd.DataFrame) -> Bool:
        """Return for whom the rule fires.

        Parameters
        ----------
        customers : (n, p) frame of features, numeric, one row for each customer looked at: quantiles are over them.

        Raises
        ------
        SchemaError
            The column is missing or not numeric.
        """
        values = feature_matrix(customers, [self.feature])[:, 0]
        return crosses(values, self.operator, self._bound(values))

    def fixed(self, customers: pd.DataFrame) -> Threshold:
        """Return the threshold with the number that its bound is among these customers.

        It fires for the same of these customers, and holds others against the same number.

        Raises
        ------
        SchemaError
            The bound is relative and no finite number: no customer has a value.
        """
        if self.value is not None:
            return self
        bound = self._bound(feature_matrix(customers, [self.feature])[:, 0])
        if not math.isfinite(bound):
            raise SchemaError(
                f"`{self.feature}` must have a finite value for some customer, so that a bound relative to them can be "
                f"fixed; of {len(customers):,} it has {bound} as bound.\nGive more customers, or a value as bound."
            )
        return Threshold(self.feature, self.operator, bound)

    def __str__(self) -> str:
        if self.quantile is not None:
            return f"{self.feature} {self.operator} quantile {self.quantile:g}"
        if self.mean is not None:
            return f"{self.feature} {self.operator} {self.mean:g} × mean"
        return f"{self.feature} {self.operator} {self.value:.6g}"

    def _bound(self, values: Float) -> float:
        if self.quantile is not None:
            return quantile_bound(values, self.operator, self.quantile)
        if self.mean is not None:
            return self.mean * _mean(values)
        return self.value  # type: ignore[return-value]  # one of the three is given


@dataclass(frozen=True)
class _Group:
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise SchemaError(out_of_range("rules", self.rules, "be one or more rules"))

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds of all rules, in order."""
        return tuple(threshold for rule in self.rules for threshold in rule.thresholds)

    @property
    def columns(self) -> tuple[str, ...]:
        """The features of all rules, each once."""
        return tuple(dict.fromkeys(threshold.feature for threshold in self.thresholds))

    def fixed(self, customers: pd.DataFrame) -> Self:
        """Return the same with the numbers that relative bounds are among these customers; see `Threshold.fixed`."""
        return dataclasses.replace(self, rules=tuple(rule.fixed(customers) for rule in self.rules))

    def _each(self, customers: pd.DataFrame) -> list[Bool]:
        return [rule.fires(customers) for rule in self.rules]

    def _joined(self, word: str) -> str:
        return word.join(str(rule) if isinstance(rule, Threshold) else f"({rule})" for rule in self.rules)


@dataclass(frozen=True)
class AllOf(_Group):
    """Fires where every one of its rules does; see `all_of`."""

    def fires(self, customers: pd.DataFrame) -> Bool:
        """Return for whom the rule fires; see `Threshold.fires`."""
        fires: Bool = np.logical_and.reduce(self._each(customers))
        return fires

    def __str__(self) -> str:
        return self._joined(" and ")


@dataclass(frozen=True)
class AnyOf(_Group):
    """Fires where at least one of its rules does; see `any_of`."""

    def fires(self, customers: pd.DataFrame) -> Bool:
        """Return for whom the rule fires; see `Threshold.fires`."""
        fires: Bool = np.logical_or.reduce(self._each(customers))
        return fires

    def __str__(self) -> str:
        return self._joined(" or ")


Rule = Threshold | AllOf | AnyOf


def all_of(*rules: Rule) -> AllOf:
    """Return the rule that fires where every one of these does.

    >>> rule = all_of(Threshold("interval_stretch", ">=", 0.3), Threshold("view_decline", "<=", -0.5))
    >>> rule.fires(pd.DataFrame({"interval_stretch": [0.3, 0.3], "view_decline": [-0.5, np.nan]})).tolist()
    [True, False]
    """
    return AllOf(rules)


def any_of(*rules: Rule) -> AnyOf:
    """Return the rule that fires where at least one of these does.

    >>> rule = any_of(Threshold("recency_days", ">", 60), Threshold("view_decline", "<=", -0.5))
    >>> rule.fires(pd.DataFrame({"recency_days": [60.0, 61.0], "view_decline": [0.0, np.nan]})).tolist()
    [False, True]
    >>> print(all_of(rule, Threshold("spend", ">=", quantile=0.9)))
    (recency_days > 60 or view_decline <= -0.5) and spend >= quantile 0.9
    """
    return AnyOf(rules)


def crosses(values: Float, operator: Operator, bound: float) -> Bool:
    """Return which values stand so to a bound; missing ones never do.

    >>> crosses(np.array([13 / 10 - 1, 1.3 - 1, 12.9999999 / 10 - 1, np.nan]), ">=", 0.3).tolist()
    [True, True, False, False]
    """
    noise = NOISE * max(1.0, abs(bound))
    if operator == ">=":
        return values >= bound - noise
    if operator == "<=":
        return values <= bound + noise
    if operator == ">":
        return values > bound + noise
    return values < bound - noise


def quantile_bound(values: Float, operator: Operator, quantile: float) -> float:
    """Return the value at a quantile, counted from the end that the operator's closed form takes; NaN if none is known.

    Parameters
    ----------
    values : (n,), NaN where missing.
    operator : ``>=`` and ``<`` count ``1 − quantile`` of the known values from the largest, ``<=`` and ``>``
        ``quantile`` of them from the smallest; both up to the next whole customer.
    quantile : above 0 and below 1.

    Examples
    --------
    >>> quantile_bound(np.arange(1.0, 11.0), ">=", 0.7), quantile_bound(np.arange(1.0, 11.0), "<=", 0.7)
    (8.0, 7.0)
    """
    known = np.sort(values[~np.isnan(values)])
    if len(known) == 0:
        return math.nan
    from_top = operator in (">=", "<")
    share = 1 - quantile if from_top else quantile
    taken = max(1, math.ceil(round(share * len(known), 6)))  # 0.3 × 10 customers are 3, whatever 1 − 0.7 is
    return float(known[-taken] if from_top else known[taken - 1])


def _mean(values: Float) -> float:
    known = np.sort(values[~np.isnan(values)])  # in whatever order the customers come, the sum is the same to the bit
    return float(known.mean()) if len(known) else math.nan


def _number(name: str, given: object) -> float:
    if isinstance(given, bool | str) or not math.isfinite(number := _as_float(given)):
        raise SchemaError(out_of_range(name, given, "be a finite number"))
    return number + 0.0  # −0.0 and 0.0 are one bound


def _as_float(given: object) -> float:
    try:
        return float(given)  # type: ignore[arg-type]  # what is no number is told
    except (TypeError, ValueError, OverflowError):
        return math.nan
