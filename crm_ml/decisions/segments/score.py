"""A membership score from 0 to 1000: what it is made of, on scales fitted once, and the tiers it is cut into."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_rows, read_finite
from crm_ml.errors import ModelError, NotFittedError, SchemaError, missing_column, out_of_range
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.category import CategoryRFM
from crm_ml.features.builders.event_counts import EventCount
from crm_ml.features.feature import Builder
from crm_ml.features.panels.panel import build_features

__all__ = ["TIERS", "WEIGHTS", "MembershipScore", "membership_features"]

Floats = NDArray[np.float64]

WEIGHTS: Mapping[str, float] = {"spend": 0.4, "frequency": 0.3, "breadth": 0.2, "reputation": 0.1}
TIERS: Mapping[str, float] = {"platinum": 800, "gold": 600, "silver": 400, "bronze": 0}

FULL = 1000
YEAR_DAYS = 365
LEVELS = (*(step / 20 for step in range(20)), 0.99, 1.0)
"""Quantiles of the reference customers that a scale on which more is better goes through."""
WORST = 0.99
"""Quantile of the reference customers from which on nothing is left of a reputation."""


class _Column(NamedTuple):
    part: str
    more_is_better: bool


COLUMNS: Mapping[str, _Column] = {
    "spend": _Column("spend", True),
    "frequency": _Column("frequency", True),
    "breadth": _Column("breadth", True),
    "returns": _Column("reputation", False),
    "complaints": _Column("reputation", False),
}


def membership_features(
    log: CustomerLog, *, as_of: Moment, complaint_types: Sequence[str] = ("complaint",)
) -> pd.DataFrame:
    """Return the columns that `MembershipScore` reads by default, of everyone who bought before a moment.

    Parameters
    ----------
    log : the log.
    as_of : the moment; only events before it are looked at.
    complaint_types : event types that are complaints.

    Returns
    -------
    DataFrame
        Indexed by customer_id in order: ``spend_365d``, ``orders_365d`` and ``returned_share`` of
        `crm_ml.features.RFM`; ``categories_365d`` of `crm_ml.features.CategoryRFM`, where the log has categories;
        ``complaints`` in the last 365 days, where an event of those types had occurred before the moment.

    Raises
    ------
    SchemaError
        Nobody bought before `as_of`.

    Examples
    --------
    >>> import crm_ml
    >>> membership_features(crm_ml.load_sample(), as_of="2017-10-01").columns.tolist()
    ['spend_365d', 'orders_365d', 'returned_share']
    """
    features: list[Builder | str] = ["spend_365d", "orders_365d", "returned_share"]
    if "category" in log.columns:
        features.append(CategoryRFM(windows_days=(YEAR_DAYS,), categories=()))
    if present := sorted(set(complaint_types) & set(log.event_types_before(as_of))):
        features.append(EventCount("complaints", dict.fromkeys(present, 1.0), YEAR_DAYS))
    found = build_features(log, as_of=as_of, features=features)
    wanted = ("spend_365d", "orders_365d", "categories_365d", "returned_share", "complaints")
    return found[[name for name in wanted if name in found.columns]]


class MembershipScore:
    """Score customers from 0 to 1000 on spend, frequency, breadth and reputation, and give them tiers.

    Each part earns a share of its most points, and points are whole, so that the parts add up to the score. The
    shares are read off scales fitted once on reference customers and kept: a score means the same in every month,
    until the score is fitted anew.

    - Spend, frequency and breadth (different categories bought) earn the share of the reference customers below:
      nothing at their least value and all at their greatest, and linearly between 22 of their quantiles; a value that
      several quantiles share earns their mean. If 80 % bought once, one purchase earns nothing, and two less than all.
      Below zero, where more was returned than bought, counts as zero.
    - Reputation is the mean of what returns and complaints leave: all without any, falling linearly to nothing at the
      value that one in a hundred reference customers passes, or at their greatest where that is none. A missing value
      there counts as none: who never paid has returned nothing.

    More spend, purchases or categories never lower a score, and more returns or complaints never raise it. A part
    whose columns the reference customers lack is left out, and the weights of the others are scaled up, which
    `points_` and `left_out_` say. The library does not put anything in a missing part's place.

    Tiers are those of today's score. For tiers that do not flutter at a bound, have a
    `crm_ml.decisions.segments.SegmentPolicy` look at the column ``score``, with segments such as
    ``Segment("gold", Threshold("score", ">=", 600), keep=Threshold("score", ">=", 550))``.

    Parameters
    ----------
    weights : mapping, optional
        What the parts weigh, at least 0; by default `WEIGHTS`, 40 % spend, 30 % frequency, 20 % breadth and 10 %
        reputation. Scaled to sum to one. A part not named is no part of the score.
    tiers : mapping, optional
        Name to the least score, best first, down to 0; by default `TIERS`.
    spend, frequency, breadth, returns, complaints : str
        Columns, by default those of `membership_features`.

    Attributes
    ----------
    scales_ : DataFrame
        Indexed by what is scaled: ``value`` and the ``share`` it earns, ascending in value.
    points_ : Series
        The most points of each part, whole, summing to 1000.
    left_out_ : dict of str to str
        Parts and columns that were left out, and why.

    Raises
    ------
    SchemaError
        A weight or a tier is outside its domain.

    Examples
    --------
    >>> year = pd.DataFrame({"spend_365d": [20.0, 90.0, 400.0], "orders_365d": [1, 3, 9],
    ...                      "returned_share": [0.0, 0.5, 0.0]}, index=["ann", "bob", "cem"])
    >>> score = MembershipScore().fit(year)
    >>> print(score.transform(year))
         score      tier  spend_points  frequency_points  reputation_points
    ann    125    bronze             0                 0                125
    bob    438    silver           250               188                  0
    cem   1000  platinum           500               375                125
    >>> sorted(score.left_out_)
    ['breadth', 'complaints']
    """

    scales_: pd.DataFrame
    points_: pd.Series[int]
    left_out_: dict[str, str]

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        tiers: Mapping[str, float] | None = None,
        spend: str = "spend_365d",
        frequency: str = "orders_365d",
        breadth: str = "categories_365d",
        returns: str = "returned_share",
        complaints: str = "complaints",
    ) -> None:
        self.weights = dict(WEIGHTS if weights is None else weights)
        self.tiers = dict(TIERS if tiers is None else tiers)
        self.spend = spend
        self.frequency = frequency
        self.breadth = breadth
        self.returns = returns
        self.complaints = complaints
        _check_weights(self.weights)
        _check_tiers(self.tiers)

    def fit(self, features: pd.DataFrame) -> Self:
        """Take the scales from these customers.

        Parameters
        ----------
        features : DataFrame
            One row per customer, at least one, with at least one part's column; others are not looked at.

        Raises
        ------
        SchemaError
            There is no customer, no part is left, or a column holds what it must not.
        """
        if features.empty:
            raise SchemaError("`features` must hold at least one customer; it holds none.\nFit on the past.")
        parts = {part: weight for part, weight in self.weights.items() if weight > 0}
        wanted = [column for column, (part, _) in COLUMNS.items() if part in parts]
        present = [column for column in wanted if getattr(self, column) in features.columns]
        kept = {part: parts[part] for part in parts if any(COLUMNS[column].part == part for column in present)}
        if not kept:
            names, remedy = list(map(str, features.columns)), "See membership_features(log, as_of=...)."
            raise SchemaError(missing_column(getattr(self, wanted[0]), names, what="scores", remedy=remedy))
        self.left_out_ = {
            name: f"the customers have no column {getattr(self, name)!r}" for name in wanted if name not in present
        }
        if "reputation" in parts and "reputation" not in kept:
            self.left_out_["reputation"] = "there are neither returns nor complaints"
        self.scales_ = _scales(
            {name: _scale(self._read(features, name), more_is_better=COLUMNS[name].more_is_better) for name in present}
        )
        self.points_ = _most_points(kept)
        return self

    def transform(self, features: pd.DataFrame) -> pd.DataFrame:
        """Score customers on the fitted scales.

        Returns
        -------
        DataFrame
            Indexed like ``features``: ``score`` from 0 to 1000; ``tier``, an ordered categorical, best first; and
            ``spend_points`` and so on for each part, whole numbers that sum to the score.

        Raises
        ------
        NotFittedError
            ``fit`` was not called.
        SchemaError
            A column that was fitted is missing, or one holds what it must not.
        """
        self._check_fitted()
        earned: dict[str, list[Floats]] = {part: [] for part in self.points_.index}
        for column in self._fitted():
            part, more_is_better = COLUMNS[column]
            knots, shares = self.scales_.loc[[column]].to_numpy().T
            values = self._read(features, column)
            earned[part].append(_read_off(values, knots, shares, more_is_better=more_is_better))
        points = {
            f"{part}_points": np.rint(most * np.mean(earned[part], axis=0)).astype(np.int64)
            for part, most in zip(earned, self.points_, strict=True)
        }
        score = sum(points.values(), start=np.zeros(len(features), dtype=np.int64))
        tier = len(self.tiers) - np.searchsorted(sorted(self.tiers.values()), score, side="right")
        tiers = pd.Categorical.from_codes(tier.astype(np.int64), categories=pd.Index(self.tiers), ordered=True)
        return pd.DataFrame({"score": score, "tier": tiers, **points}, index=features.index)

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted score as plain data, which `from_dict` and JSON keep to the last bit.

        Raises
        ------
        NotFittedError
            ``fit`` was not called.
        """
        self._check_fitted()
        return {
            "weights": self.weights,
            "tiers": self.tiers,
            "columns": {column: getattr(self, column) for column in COLUMNS},
            "scales": {column: self.scales_.loc[[column]].to_numpy().tolist() for column in self._fitted()},
            "points": self.points_.to_dict(),
            "left_out": self.left_out_,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the score that `to_dict` wrote.

        Raises
        ------
        ModelError
            It is something else.

        Examples
        --------
        >>> year = pd.DataFrame({"spend_365d": [20.0, 90.0], "orders_365d": [1, 3]})
        >>> kept = MembershipScore.from_dict(MembershipScore().fit(year).to_dict())
        >>> kept.transform(year)["score"].tolist()
        [0, 1000]
        """
        keys = {"weights", "tiers", "columns", "scales", "points", "left_out"}
        if not isinstance(content, Mapping) or keys - content.keys():
            raise ModelError(
                f"A stored membership score must hold {sorted(keys)}; this does not.\nGive what `to_dict` returned."
            )
        made = cls(weights=content["weights"], tiers=content["tiers"], **content["columns"])
        made.scales_ = _scales({column: np.array(knots) for column, knots in content["scales"].items()})
        made.points_ = _points(list(content["points"]), np.array(list(content["points"].values()), dtype=np.int64))
        made.left_out_ = dict(content["left_out"])
        return made

    def _check_fitted(self) -> None:
        if not hasattr(self, "scales_"):
            raise NotFittedError("MembershipScore has no scales yet.\nCall fit(features) first.")

    def _fitted(self) -> list[str]:
        return [column for column in COLUMNS if column in self.scales_.index]

    def _read(self, features: pd.DataFrame, column: str) -> Floats:
        name = getattr(self, column)
        remedy = f"Add it, see membership_features(log, as_of=...), or name another in MembershipScore({column}=...)."
        if COLUMNS[column].more_is_better or name not in features.columns:
            return np.maximum(read_finite(features, name, what="scores", remedy=remedy), 0.0)
        values = read_finite(features[[name]].fillna(0), name, what="scores", remedy=remedy)
        check_rows(values >= 0, f"`{name}` must be at least 0.")
        return values


def _scale(values: Floats, *, more_is_better: bool) -> Floats:
    """Return the knots of a scale, one row of value and share each, ascending in value."""
    if not more_is_better:
        worst = np.quantile(values, WORST, method="inverted_cdf") or values.max()
        return np.array([[0.0, 1.0], [worst, 0.0]])
    quantiles = np.quantile(values, LEVELS, method="inverted_cdf")
    knots, tied = np.unique(quantiles, return_inverse=True)
    shares = np.bincount(tied, weights=LEVELS) / np.bincount(tied)
    if len(knots) == 1:
        return np.array([[knots[0], 0.0], [knots[0], 1.0]])
    shares[0], shares[-1] = 0.0, 1.0
    return np.column_stack([knots, shares])


def _read_off(values: Floats, knots: Floats, shares: Floats, *, more_is_better: bool) -> Floats:
    """Return the shares that values earn; where two knots are of one value, it earns the greater share."""
    if more_is_better:
        return np.interp(values, knots, shares)
    return np.interp(-values, -knots[::-1], shares[::-1])


def _scales(knots: Mapping[str, Floats]) -> pd.DataFrame:
    index = pd.Index(np.repeat(list(knots), [len(rows) for rows in knots.values()]), name="column", dtype="str")
    return pd.DataFrame(np.concatenate(list(knots.values())), index=index, columns=["value", "share"])


def _most_points(weights: Mapping[str, float]) -> pd.Series[int]:
    """Return whole points in proportion to weights, summing to 1000: the largest remainders are rounded up."""
    exact = np.array(list(weights.values())) / math.fsum(weights.values()) * FULL
    points = np.floor(exact).astype(np.int64)
    points[np.argsort(points - exact, kind="stable")[: FULL - points.sum()]] += 1
    return _points(list(weights), points)


def _points(parts: Sequence[str], points: NDArray[np.int64]) -> pd.Series[int]:
    return pd.Series(
        points.tolist(), index=pd.Index(list(parts), name="part", dtype="str"), name="points", dtype="int64"
    )


def _check_weights(weights: Mapping[str, float]) -> None:
    parts = {column.part for column in COLUMNS.values()}
    if unknown := sorted(set(weights) - parts):
        raise SchemaError(out_of_range("weights", unknown, f"name parts out of {sorted(parts)}"))
    for part, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise SchemaError(out_of_range(f"weights[{part!r}]", weight, "be finite and at least 0"))
    if not any(weights.values()):
        raise SchemaError(out_of_range("weights", dict(weights), "hold one above 0"))


def _check_tiers(tiers: Mapping[str, float]) -> None:
    bounds = list(tiers.values())
    falling = all(higher > lower for higher, lower in itertools.pairwise(bounds))
    if not (bounds and falling and bounds[0] <= FULL and bounds[-1] == 0):
        rule = f"hold least scores that fall from at most {FULL} to 0"
        raise SchemaError(out_of_range("tiers", dict(tiers), rule))
