"""One segment of a policy: its rule, what keeps a customer in it, and from where it is entered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Self

import pandas as pd

from crm_ml.errors import SchemaError, out_of_range
from crm_ml.features.rules.rules import Rule, Threshold

__all__ = ["Segment"]


@dataclass(frozen=True)
class Segment:
    """A segment of a `SegmentPolicy`, which says how these settings act together.

    Parameters
    ----------
    name : str
        How results refer to the segment.
    rule : Threshold, AllOf or AnyOf
        Whom the segment takes.
    keep : Threshold, AllOf or AnyOf, optional
        Whom it keeps once they are in it, usually a rule with lower bounds; by default the rule itself.
    only_from : tuple of str
        Segments further down, of which a customer must come to enter this one; empty for no such condition.
    minimum_stay_days : float
        For how many days at least a customer keeps the segment, unless promoted; at least 0.

    Raises
    ------
    SchemaError
        If a setting is outside its domain.

    Examples
    --------
    >>> gold = Segment("gold", Threshold("spend_365d", ">=", 1000), keep=Threshold("spend_365d", ">=", 700))
    >>> gold.columns
    ('spend_365d',)
    """

    name: str
    rule: Rule
    _: KW_ONLY
    keep: Rule | None = None
    only_from: tuple[str, ...] = ()
    minimum_stay_days: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise SchemaError(out_of_range("name", self.name, "name the segment"))
        if not isinstance(self.rule, Rule):
            raise SchemaError(out_of_range("rule", self.rule, f"be a rule, of segment {self.name!r}"))
        if not (self.keep is None or isinstance(self.keep, Rule)):
            raise SchemaError(out_of_range("keep", self.keep, f"be a rule or None, of segment {self.name!r}"))
        if isinstance(self.only_from, str):
            rule = f"be a tuple of names, of segment {self.name!r}"
            raise SchemaError(out_of_range("only_from", self.only_from, rule))
        stay = self.minimum_stay_days
        if isinstance(stay, bool | str) or not 0 <= stay < math.inf:
            rule = f"be at least 0 and finite, of segment {self.name!r}"
            raise SchemaError(out_of_range("minimum_stay_days", stay, rule))
        object.__setattr__(self, "only_from", tuple(self.only_from))
        object.__setattr__(self, "minimum_stay_days", float(stay))

    @property
    def rules(self) -> dict[str, Rule]:
        """The rules by their role: ``enter`` and, if there is one, ``keep``."""
        return {"enter": self.rule} | ({} if self.keep is None else {"keep": self.keep})

    @property
    def thresholds(self) -> tuple[tuple[str, Threshold], ...]:
        """The thresholds of both rules in order, each with the rule's role."""
        return tuple((role, threshold) for role, rule in self.rules.items() for threshold in rule.thresholds)

    @property
    def columns(self) -> tuple[str, ...]:
        """The features of both rules, each once."""
        return tuple(dict.fromkeys(threshold.feature for _, threshold in self.thresholds))

    def fixed(self, customers: pd.DataFrame) -> Self:
        """Return the segment with the numbers that relative bounds are among these customers."""
        keep = None if self.keep is None else self.keep.fixed(customers)
        return dataclasses.replace(self, rule=self.rule.fixed(customers), keep=keep)

    def bounded(self, bounds: Iterator[float]) -> Self:
        """Return the segment with these numbers instead of relative bounds, in the order of `thresholds`."""
        rule = _bounded(self.rule, bounds)
        return dataclasses.replace(self, rule=rule, keep=None if self.keep is None else _bounded(self.keep, bounds))


def _bounded(rule: Rule, bounds: Iterator[float]) -> Rule:
    if isinstance(rule, Threshold):
        return Threshold(rule.feature, rule.operator, next(bounds)) if rule.value is None else rule
    return dataclasses.replace(rule, rules=tuple(_bounded(part, bounds) for part in rule.rules))
