"""`SegmentPolicy`: ordered rules that put every customer into exactly one segment, month after month."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from importlib import resources
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_key
from crm_ml.decisions.segments.moves import next_segments, read_since
from crm_ml.decisions.segments.policy_text import PolicyText, read_policy, version_of, write_policy
from crm_ml.decisions.segments.segment import Segment
from crm_ml.errors import NotFittedError, SchemaError, missing_column, out_of_range
from crm_ml.events.clock import DAY, Moment, moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature import Builder
from crm_ml.features.panels.panel import build_features
from crm_ml.features.rules.rule_features import buildable, rule_features
from crm_ml.features.rules.rules import BOUNDS
from crm_ml.notebook_summary import summary_html

__all__ = ["SegmentPolicy"]

PRESETS = ("loyalty", "shop")
MOST_SEGMENTS = 125

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class SegmentPolicy:
    """Segments in order, best first: a customer is in the first whose rule fires, or else in `otherwise`.

    Rules look at any numeric columns, features or scores; a missing value never fires. Quantiles and means in rules
    are over the customers of `fit`, which turns them into numbers once; later customers are held against the same
    numbers. A policy whose rules have only numbers needs no fit.

    Given the `previous` result, customers move as follows. One who was not in it is in the first segment whose rule
    fires. All others are promoted at once to the first segment before their own whose rule fires. Where there is
    none, they stay while their segment's rule or `keep` rule fires, and in any case while they have been in it for
    less than `minimum_stay_days`. Else they fall to the first segment after their own of which the rule or the
    `keep` rule fires. A segment with `only_from` is entered only by customers who were in one of these segments in
    `previous`, or would be in one now if the segment did not exist.

    Parameters
    ----------
    segments : sequence of Segment
        At least one and at most 125, with different names.
    otherwise : str
        The segment of all others, last in order.
    features : sequence of builders
        Builders of columns that the rules name beside those of `crm_ml.features.GROUPS` and
        `crm_ml.features.ActivityDecline()`, whose place they may take.

    Attributes
    ----------
    thresholds_ : DataFrame
        Every bound, in order: ``segment``, ``role`` of the rule ("enter" or "keep"), ``feature``, ``operator``,
        ``kind`` ("value", "quantile" or "mean"), ``given``, and ``bound``, the number it stands for.
    version_ : str
        12 hexadecimal digits that change with anything in the policy or its bounds.

    Raises
    ------
    SchemaError
        If names repeat, or `only_from` names a segment that does not come later.

    Examples
    --------
    A potential customer who looks at a premium category on three days in a row becomes core-potential; the log tells
    such views by their event type.

    >>> from crm_ml.features import DayStreak, Threshold
    >>> policy = SegmentPolicy(
    ...     [Segment("core", Threshold("spend", ">=", quantile=0.8), keep=Threshold("spend", ">=", quantile=0.6)),
    ...      Segment("core-potential", Threshold("premium_streak", ">=", 3), only_from=("potential",)),
    ...      Segment("potential", Threshold("spend", ">=", quantile=0.4))],
    ...     features=[DayStreak("premium_streak", ("view_premium",))])
    >>> customers = pd.DataFrame({"spend": [90.0, 70.0, 50.0, 30.0, 10.0], "premium_streak": [0, 0, 3, 3, 0]},
    ...                          index=pd.Index(list("abcde"), name="customer_id"))
    >>> january = policy.fit(customers).transform(customers, as_of="2024-01-01")
    >>> january["segment"].tolist()
    ['core', 'potential', 'core-potential', 'others', 'others']
    >>> customers["spend"] = [70.0, 95.0, 50.0, 30.0, 10.0]
    >>> february = policy.transform(customers, previous=january, as_of="2024-02-01")
    >>> february["segment"].tolist(), february["since"].dt.month.tolist()
    (['core', 'core', 'core-potential', 'others', 'others'], [1, 2, 1, 1, 1])
    """

    segments: Sequence[Segment]
    _: KW_ONLY
    otherwise: str = "others"
    features: Sequence[Builder] = ()

    fixed_: tuple[Segment, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.segments, self.features = tuple(self.segments), tuple(self.features)
        if not 1 <= len(self.segments) <= MOST_SEGMENTS or not all(isinstance(s, Segment) for s in self.segments):
            raise SchemaError(out_of_range("segments", self.segments, f"be 1 to {MOST_SEGMENTS} segments"))
        if not (isinstance(self.otherwise, str) and self.otherwise):
            raise SchemaError(out_of_range("otherwise", self.otherwise, "name a segment"))
        names = list(self.names)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SchemaError(f"Segments must have different names; given more than once: {twice}.\nRename them.")
        for at, segment in enumerate(self.segments):
            wrong = [name for name in segment.only_from if name not in names[at + 1 :]]
            if wrong:
                raise SchemaError(
                    f"`only_from` must name segments that come after its own; {segment.name!r} names {wrong}, after it "
                    f"come {names[at + 1 :]}.\nCorrect the names or the order."
                )

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a policy in common use, not fitted; its text says what each segment means.

        Parameters
        ----------
        name : {"loyalty", "shop"}
            "loyalty" are tiers by the orders and spend of the last 365 days, held for half a year; "shop" are the
            groups that customer teams act on, among them those at risk, for which the log needs interactions; see
            `for_log`.

        Examples
        --------
        >>> SegmentPolicy.preset("shop").names
        ('core', 'at risk', 'sleeping', 'high value', 'new', 'potential', 'others')
        """
        if name not in PRESETS:
            raise SchemaError(out_of_range("name", name, f"be one of {list(PRESETS)}"))
        folder = resources.files("crm_ml.decisions.segments").joinpath("presets")
        return cls.from_toml(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Return the policy that a TOML text describes, fitted if the text holds the bounds of a fit.

        Raises
        ------
        SchemaError
            The text is no policy, or was changed after the policy was fitted; the message says where.
        """
        read = read_policy(text)
        policy = cls(read.segments, otherwise=read.otherwise, features=read.features)
        policy.fixed_ = read.fixed
        return policy

    def to_toml(self) -> str:
        """Return the policy as the TOML text that `from_toml` reads.

        Examples
        --------
        >>> from crm_ml.features import Threshold
        >>> print(SegmentPolicy([Segment("woken", Threshold("recency_days", "<=", 30))]).to_toml())
        otherwise = "others"
        <BLANKLINE>
        [[segments]]
        name = "woken"
        [segments.rule]
        feature = "recency_days"
        operator = "<="
        value = 30.0
        <BLANKLINE>
        """
        return write_policy(self._text(self.fixed_))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all segments in order, `otherwise` last."""
        return (*(segment.name for segment in self.segments), self.otherwise)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rules look at, each once."""
        return tuple(dict.fromkeys(column for segment in self.segments for column in segment.columns))

    def build_features(self, log: CustomerLog, *, as_of: Moment) -> pd.DataFrame:
        """Return the features that the rules look at, of everyone who bought before `as_of`.

        Raises
        ------
        SchemaError
            Nobody did, or a column is no feature that the log allows for.
        """
        features = rule_features(self.columns, log, first_cutoff=as_of, features=self.features)
        return build_features(log, as_of=as_of, features=features)

    def for_log(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Return the policy, not fitted, without the segments that look at what the log does not have.

        Such as segments that look at interactions, where there are none; a log message names them.
        """
        able = set(buildable(self.columns, log, first_cutoff=as_of, features=self.features))
        kept: list[Segment] = []
        for segment in reversed(self.segments):
            there = {self.otherwise, *(other.name for other in kept)}
            only_from = tuple(name for name in segment.only_from if name in there)
            if able.issuperset(segment.columns) and bool(only_from) == bool(segment.only_from):
                kept.insert(0, dataclasses.replace(segment, only_from=only_from))
            else:
                logger.warning("Segment %r is left out: the log has not what it looks at.", segment.name)
        return dataclasses.replace(self, segments=kept)

    def fit(self, features: pd.DataFrame) -> Self:
        """Turn quantiles and means into the numbers they are among these customers.

        Parameters
        ----------
        features : DataFrame
            One row per customer, at least one, indexed by customer_id, with the columns that rules look at.

        Raises
        ------
        SchemaError
            If there is no customer, a column is missing or not numeric, or nobody has a value to fix a bound by.
        """
        self._check(features)
        if features.empty:
            raise SchemaError("`features` must hold at least one customer; it holds none.\nFit on the past.")
        self.fixed_ = tuple(segment.fixed(features) for segment in self.segments)
        return self

    def transform(
        self, features: pd.DataFrame, *, previous: pd.DataFrame | None = None, as_of: Moment | None = None
    ) -> pd.DataFrame:
        """Put every customer into a segment.

        Parameters
        ----------
        features : DataFrame
            As for `fit`, of any customers.
        previous : DataFrame, optional
            The result at an earlier moment. Its customers who are not in `features` are passed over.
        as_of : moment, optional
            The moment of the features; needed with `previous`.

        Returns
        -------
        DataFrame
            Indexed like `features`: ``segment``, an ordered categorical in the order of the policy, and, with
            `as_of`, ``since``, when the customer entered the segment, as far as `previous` tells (UTC).

        Raises
        ------
        NotFittedError
            If a bound is relative and the policy is not fitted.
        SchemaError
            If a column is missing or not numeric, or `previous` is not a result of this policy before `as_of`.
        """
        self._check(features)
        fires, keeps = self.judge(features)
        if previous is not None and as_of is None:
            raise SchemaError("`previous` needs `as_of`, the moment of the features; got none.\nGive both.")
        now = 0 if as_of is None else moment(as_of)
        present, entered = self._present(previous, features.index, now)
        codes = self.move(fires, keeps, present=present, stayed=now - entered)
        found = pd.DataFrame({"segment": pd.Categorical.from_codes(codes, dtype=self.dtype)}, index=features.index)
        if as_of is not None:
            since = np.where(codes == present, entered, now).astype("datetime64[us]")
            found["since"] = pd.DatetimeIndex(since).tz_localize("UTC")
        return found

    def judge(self, features: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return for whom the rule and the `keep` rule of each segment fire, as (segments, customers) arrays."""
        fixed = self._settled()
        fires = np.array([segment.rule.fires(features) for segment in fixed])
        keeps = [row if s.keep is None else s.keep.fires(features) for s, row in zip(fixed, fires, strict=True)]
        return fires, np.array(keeps)

    def move(
        self,
        fires: NDArray[np.bool_],
        keeps: NDArray[np.bool_],
        *,
        present: NDArray[np.int8],
        stayed: NDArray[np.int64],
    ) -> NDArray[np.int8]:
        """Return the next segments by position in `names`; `stayed` in microseconds, see `next_segments`."""
        names, known = self.names, len(self.names)
        sources = np.ones((known - 1, known + 1), dtype=bool)
        for row, segment in zip(sources, self.segments, strict=True):
            if segment.only_from:
                row[:] = [*(name in segment.only_from for name in names), False]
        minimum_stay = np.array([round(segment.minimum_stay_days * DAY) for segment in self.segments])
        return next_segments(fires, keeps, present=present, stayed=stayed, sources=sources, minimum_stay=minimum_stay)

    @property
    def dtype(self) -> pd.CategoricalDtype:
        """The ordered categorical that results are of."""
        return pd.CategoricalDtype(pd.Index(self.names, dtype="str"), ordered=True)

    @property
    def thresholds_(self) -> pd.DataFrame:
        """Every bound and the number it stands for."""
        rows = [
            (segment.name, role, given.feature, given.operator, *_kind(given), fixed.value)
            for segment, settled in zip(self.segments, self._settled(), strict=True)
            for (role, given), (_, fixed) in zip(segment.thresholds, settled.thresholds, strict=True)
        ]
        return pd.DataFrame(rows, columns=["segment", "role", "feature", "operator", "kind", "given", "bound"])

    @property
    def version_(self) -> str:
        """What tells this policy and its bounds from others."""
        return version_of(self._text(self._settled()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SegmentPolicy):
            return NotImplemented
        return self._text(self._fixed()) == other._text(other._fixed())

    __hash__ = None  # type: ignore[assignment]  # fit changes a policy

    def _repr_html_(self) -> str:
        """Show the rules in a notebook, with numbers where they are known."""
        fixed = self._fixed()
        facts = {"version": "not fitted" if fixed is None else self.version_, "all others are": self.otherwise}
        rows = {
            segment.name: (
                str(segment.rule),
                "" if segment.keep is None else str(segment.keep),
                f"{segment.minimum_stay_days:g} days" if segment.minimum_stay_days else "",
                ", ".join(segment.only_from),
            )
            for segment in fixed or self.segments
        }
        columns = ["rule", "kept while", "held for at least", "only from"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("segment")
        return summary_html("SegmentPolicy", facts, table.loc[:, (table != "").any()])

    def _text(self, fixed: tuple[Segment, ...] | None) -> PolicyText:
        return PolicyText(tuple(self.segments), self.otherwise, tuple(self.features), fixed)

    def _fixed(self) -> tuple[Segment, ...] | None:
        relative = any(given.value is None for segment in self.segments for _, given in segment.thresholds)
        return self.fixed_ if relative else tuple(self.segments)

    def _settled(self) -> tuple[Segment, ...]:
        fixed = self._fixed()
        if fixed is None:
            raise NotFittedError(
                "SegmentPolicy has quantiles or means that are not yet numbers.\nCall fit(features) first."
            )
        return fixed

    def _check(self, features: pd.DataFrame) -> None:
        check_key(features, "features")
        for column in self.columns:
            if column not in features.columns:
                remedy = "Build them with SegmentPolicy.build_features, or join the score."
                raise SchemaError(missing_column(column, map(str, features.columns), what="segments", remedy=remedy))

    def _present(
        self, previous: pd.DataFrame | None, index: pd.Index[Any], now: int
    ) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Return where the customers are by position in `names`, one past its end if unknown, and since when."""
        present = np.full(len(index), len(self.names), dtype=np.int8)
        entered = np.full(len(index), now, dtype=np.int64)
        if previous is None:
            return present, entered
        check_key(previous, "previous")
        since = read_since(previous, self.dtype, now)
        row = previous.index.get_indexer(index)
        present[row >= 0] = previous["segment"].cat.codes.to_numpy()[row[row >= 0]]
        entered[row >= 0] = since[row[row >= 0]]
        return present, entered


def _kind(threshold: Any) -> tuple[str, float]:
    return next((kind, getattr(threshold, kind)) for kind in BOUNDS if getattr(threshold, kind) is not None)
