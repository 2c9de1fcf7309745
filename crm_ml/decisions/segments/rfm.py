"""RFM segments: five scores each for recency, frequency and spend, and one table from scores to names."""

from __future__ import annotations

import warnings
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import read_finite
from crm_ml.errors import NotFittedError, SchemaError

__all__ = ["SEGMENT_TABLE", "RFMSegments", "SegmentRule", "TiedScoresWarning", "name_segments"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

QUANTILES = (0.2, 0.4, 0.6, 0.8)


class SegmentRule(NamedTuple):
    """A segment: the recency scores and the means of frequency and monetary score it takes, both ends in."""

    segment: str
    r_lowest: int
    r_highest: int
    fm_lowest: float
    fm_highest: float


# The grid in common use on recency and frequency scores, on the mean of frequency and monetary score
# instead, which moves in halves; of those long gone who never bought much, the longest gone are "lost".
SEGMENT_TABLE = (
    SegmentRule("champions", 5, 5, 4.0, 5.0),
    SegmentRule("loyal", 3, 4, 4.0, 5.0),
    SegmentRule("potential loyalists", 4, 5, 2.0, 3.5),
    SegmentRule("new customers", 5, 5, 1.0, 1.5),
    SegmentRule("promising", 4, 4, 1.0, 1.5),
    SegmentRule("needs attention", 3, 3, 3.0, 3.5),
    SegmentRule("about to sleep", 3, 3, 1.0, 2.5),
    SegmentRule("cannot lose them", 1, 2, 4.5, 5.0),
    SegmentRule("at risk", 1, 2, 3.0, 4.0),
    SegmentRule("hibernating", 2, 2, 1.0, 2.5),
    SegmentRule("lost", 1, 1, 1.0, 2.5),
)


class TiedScoresWarning(UserWarning):
    """Many customers share one value, so that some of the five scores are not used."""


class RFMSegments:
    """Score customers from 1 to 5 on recency, frequency and spend, and name their segment.

    The thresholds between scores are the 20, 40, 60 and 80 % quantiles of the customers fitted on, each a
    value that occurred among them; later customers are held against the same thresholds. A value equal to a
    threshold always belongs with the smaller ones: the lower score of frequency and spend, the better score
    of recency. Equal values hence have equal scores, and where most customers share one value some scores
    go unused: if 80 % bought once, these have frequency score 1 and all others 5. A `TiedScoresWarning` says
    so at `fit`.

    Parameters
    ----------
    recency, frequency, monetary : str
        Columns with the days since the last purchase, the number of purchases and the spend.

    Attributes
    ----------
    thresholds_ : DataFrame
        The four thresholds of each column, indexed by ``quantile``.

    See Also
    --------
    SEGMENT_TABLE : the table from scores to segments.

    Examples
    --------
    >>> features = pd.DataFrame({"recency_days": [3, 40, 90, 200, 400], "frequency": [9, 1, 4, 2, 8],
    ...                          "monetary": [900.0, 20.0, 80.0, 45.0, 700.0]}, index=list("abcde"))
    >>> print(RFMSegments().fit(features).transform(features))
       r_score  f_score  m_score          segment
    a        5        5        5        champions
    b        4        1        1        promising
    c        3        3        3  needs attention
    d        2        2        2      hibernating
    e        1        4        4          at risk
    """

    thresholds_: pd.DataFrame

    def __init__(
        self, *, recency: str = "recency_days", frequency: str = "frequency", monetary: str = "monetary"
    ) -> None:
        self.recency = recency
        self.frequency = frequency
        self.monetary = monetary

    def fit(self, features: pd.DataFrame) -> Self:
        """Take the thresholds from these customers.

        Parameters
        ----------
        features : DataFrame
            One row per customer, at least one, with the three columns; others are not looked at.

        Raises
        ------
        SchemaError
            If there is no customer, or a column is missing or not finite.
        """
        if features.empty:
            raise SchemaError("`features` must hold at least one customer; it holds none.\nFit on the past.")
        quantiles = pd.Index(QUANTILES, name="quantile")
        self.thresholds_ = pd.DataFrame(
            {name: thresholds(_read(features, name)) for name in self._columns()}, index=quantiles
        )
        for name in self._columns():
            _warn_of_ties(_read(features, name), self.thresholds_[name].to_numpy(), name)
        return self

    def transform(self, features: pd.DataFrame) -> pd.DataFrame:
        """Score customers against the fitted thresholds.

        Returns
        -------
        DataFrame
            Indexed like ``features``: ``r_score``, ``f_score`` and ``m_score`` from 1 to 5 with 5 best, and
            ``segment``.

        Raises
        ------
        NotFittedError
            If ``fit`` was not called.
        SchemaError
            If a column is missing or not finite.
        """
        if not hasattr(self, "thresholds_"):
            raise NotFittedError("RFMSegments has no thresholds yet.\nCall fit(features) first.")
        above = [
            np.searchsorted(self.thresholds_[name].to_numpy(), _read(features, name), side="left")
            for name in self._columns()
        ]
        r_score, f_score, m_score = 5 - above[0], 1 + above[1], 1 + above[2]
        segment = name_segments(r_score, f_score, m_score)
        scores = {"r_score": r_score, "f_score": f_score, "m_score": m_score, "segment": segment}
        return pd.DataFrame(scores, index=features.index)

    def _columns(self) -> tuple[str, str, str]:
        return self.recency, self.frequency, self.monetary


def thresholds(values: Floats) -> Floats:
    """Return the values at the 20, 40, 60 and 80 % quantiles, each of them one of those given.

    >>> thresholds(np.array([1.0, 1.0, 1.0, 1.0, 7.0]))
    array([1., 1., 1., 1.])
    """
    return np.quantile(values, QUANTILES, method="inverted_cdf")


def name_segments(r_score: Integers, f_score: Integers, m_score: Integers) -> pd.Index:
    """Look scores from 1 to 5 up in the table of segments.

    >>> name_segments(np.array([5, 1]), np.array([5, 1]), np.array([4, 1])).to_list()
    ['champions', 'lost']
    """
    fm_mean = (f_score + m_score) / 2
    conditions = [
        (r_score >= rule.r_lowest)
        & (r_score <= rule.r_highest)
        & (fm_mean >= rule.fm_lowest)
        & (fm_mean <= rule.fm_highest)
        for rule in SEGMENT_TABLE
    ]
    position = np.select(conditions, list(range(len(SEGMENT_TABLE))), default=-1)
    return pd.Index([rule.segment for rule in SEGMENT_TABLE]).take(position)


def _warn_of_ties(values: Floats, edges: Floats, name: str) -> None:
    """Warn where thresholds coincide, naming the value that most of the customers share."""
    tied, counts = np.unique(edges, return_counts=True)
    if len(tied) == len(edges):
        return
    shared = tied[counts.argmax()]
    used = sorted({int(above) + 1 for above in np.searchsorted(edges, [*tied, values.max()], side="left")})
    warnings.warn(
        f"{np.mean(values == shared):.0%} of {len(values):,} customers have the {name} {shared:g}, so thresholds "
        f"between its scores coincide: of the five bins from the smallest value up, only {used} are used.",
        TiedScoresWarning,
        stacklevel=3,
    )


def _read(features: pd.DataFrame, name: str) -> Floats:
    remedy = "Rename it, or name the column in RFMSegments(...)."
    return read_finite(features, name, what="features", remedy=remedy)
