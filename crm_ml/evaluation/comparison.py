"""Whether one predictor is better than another, or the customers at hand merely make it look so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.evaluation.measures.metrics import CHURN_MEASURES
from crm_ml.evaluation.measures.tally import Tally
from crm_ml.features.ragged import Float, Int

__all__ = ["VALUE_MEASURES", "paired_bootstrap"]

CELLS_AT_A_TIME = 4_000_000
"""Rows times resamples that are worked on at a time."""

VALUE_MEASURES: Mapping[str, tuple[Callable[[Float], Float], Callable[[Float], Float]]] = {
    "mae": (np.abs, np.positive),
    "rmse": (np.square, np.sqrt),
}
"""What is averaged of the errors of a value, and what of the average is the measure."""


def paired_bootstrap(
    predictions: pd.DataFrame,
    *,
    reference: str,
    measures: Sequence[str] = ("auc", "average_precision", "brier", "log_loss", "lift_10"),
    n: int = 1000,
    level: float = 0.90,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how much better or worse each predictor is than another, with a bootstrap interval.

    Customers are drawn with replacement, each with the rows of all cutoffs, and all predictors are judged on the
    same draw; a measure is the mean over cutoffs, as in `Backtest.summary`. The interval holds the chance in who
    was a customer, not that in what the predictors were trained on.

    Parameters
    ----------
    predictions : frame of `Backtest.predictions`: indexed by (customer_id, cutoff), column ``actual``, 1 or 0, and
        a probability of churn per predictor; or both a spend or number of purchases.
    reference : the predictor that the others are compared with.
    measures : of `crm_ml.evaluation.measures.metrics.CHURN_MEASURES`; of values ``mae`` and ``rmse``.
    n : resamples.
    level : of the percentile interval.
    seed : of the draws.

    Returns
    -------
    DataFrame
        One row per other predictor and measure: predictor, measure, ``difference``, predictor minus reference on
        the customers at hand, ``lower`` and ``upper``.

    Raises
    ------
    SchemaError
        A predictor or measure is unknown, a number missing or a setting outside its domain, or some resample at
        some cutoff is without customers who left or without customers who stayed.

    Examples
    --------
    >>> draw = np.random.default_rng(1)
    >>> index = pd.MultiIndex.from_product([range(300), ["2024-01-01"]], names=["customer_id", "cutoff"])
    >>> risk = draw.random(300)
    >>> left = (draw.random(300) < risk).astype(float)
    >>> frame = pd.DataFrame({"actual": left, "truth": risk, "guess": draw.random(300)}, index=index)
    >>> found = paired_bootstrap(frame, reference="guess", measures=["auc"], n=200)
    >>> found.round(2).to_dict("records")
    [{'predictor': 'truth', 'measure': 'auc', 'difference': 0.34, 'lower': 0.28, 'upper': 0.4}]
    """
    _check(predictions, reference=reference, measures=measures, n=n, level=level)
    others = [name for name in predictions.columns.drop("actual") if name != reference]
    who, customers = pd.factorize(predictions.index.get_level_values("customer_id"))
    cutoff = predictions.index.get_level_values("cutoff")
    actual = predictions["actual"].to_numpy(dtype=np.float64)
    rows = [np.flatnonzero(cutoff == at) for at in cutoff.unique()]
    rows_of: type[Sorting] | type[Errors] = Errors if _of_values(measures) else Sorting
    judged_rows: dict[str, list[Sorting | Errors]] = {
        name: [rows_of.of(predictions[name].to_numpy(dtype=np.float64)[at], actual[at], who[at]) for at in rows]
        for name in (reference, *others)
    }

    def differences(weights: Float) -> Float:
        judged = {
            name: sum(part.judge(weights, measures) for part in parts) / len(parts)
            for name, parts in judged_rows.items()
        }
        return np.array([judged[name] - judged[reference] for name in others])

    drawn = np.concatenate([differences(w) for w in _resamples(len(customers), len(who), n=n, seed=seed)], axis=-1)
    tail = (1 - level) / 2
    return pd.DataFrame(
        {
            "predictor": np.repeat(others, len(measures)),
            "measure": np.tile(measures, len(others)),
            "difference": differences(np.ones((1, len(customers)))).ravel(),
            "lower": np.quantile(drawn, tail, axis=-1).ravel(),
            "upper": np.quantile(drawn, 1 - tail, axis=-1).ravel(),
        }
    )


@dataclass(frozen=True)
class Sorting:
    """The rows of a cutoff in order of a prediction, so that a resample is tallied by sums alone.

    Attributes
    ----------
    prediction : (m,) distinct values, ascending.
    begins : (m,) first row of each.
    customer : (n,) position of each row's customer.
    churned : (n,) 1 or 0.
    """

    prediction: Float
    begins: Int
    customer: Int
    churned: Float

    @classmethod
    def of(cls, prediction: Float, churned: Float, customer: Int) -> Self:
        """Sort n rows."""
        order = np.argsort(prediction, kind="stable")
        distinct, begins = np.unique(prediction[order], return_index=True)
        return cls(distinct, begins, customer[order], churned[order])

    def tally(self, weights: Float) -> Tally:
        """Count the rows by (b, customers) weights."""
        counted = weights[:, self.customer]
        left = counted * self.churned
        return Tally(
            self.prediction,
            np.add.reduceat(left, self.begins, axis=-1),
            np.add.reduceat(counted - left, self.begins, axis=-1),
        )

    def judge(self, weights: Float, measures: Sequence[str]) -> Float:
        """Return each measure on each resample, (measures, b), by (b, customers) weights."""
        tally = self.tally(weights)
        lacking = int(((tally.churned.sum(axis=-1) == 0) | (tally.stayed.sum(axis=-1) == 0)).sum())
        if lacking:
            raise SchemaError(
                f"Every resample must hold customers who left and customers who stayed at each cutoff; {lacking:,} of "
                f"{len(weights):,} do not, as {int(self.churned.sum()):,} of {len(self.churned):,} left.\n"
                "Choose windows in which more of both occur."
            )
        return np.array([CHURN_MEASURES[measure](tally) for measure in measures])


@dataclass(frozen=True)
class Errors:
    """The errors of values at a cutoff.

    Attributes
    ----------
    error : (n,) prediction − actual.
    customer : (n,) position of each row's customer.
    """

    error: Float
    customer: Int

    @classmethod
    def of(cls, prediction: Float, actual: Float, customer: Int) -> Self:
        """Take n rows."""
        return cls(prediction - actual, customer)

    def judge(self, weights: Float, measures: Sequence[str]) -> Float:
        """Return each measure on each resample, (measures, b), by (b, customers) weights."""
        counted = weights[:, self.customer]
        return np.array(
            [
                whole(counted @ each(self.error) / counted.sum(axis=-1))
                for each, whole in (VALUE_MEASURES[measure] for measure in measures)
            ]
        )


def _resamples(customers: int, rows: int, *, n: int, seed: int) -> Iterator[Float]:
    """Yield how often each customer is drawn in some resamples at a time."""
    draw, at_a_time = np.random.default_rng(seed), max(1, CELLS_AT_A_TIME // rows)
    for done in range(0, n, at_a_time):
        drawn = [_counts(draw, customers) for _ in range(min(at_a_time, n - done))]
        yield np.array(drawn, dtype=np.float64)


def _counts(draw: np.random.Generator, customers: int) -> npt.NDArray[np.int64]:
    return np.bincount(draw.integers(customers, size=customers), minlength=customers)


def _of_values(measures: Sequence[str]) -> bool:
    return any(measure in VALUE_MEASURES for measure in measures)


def _check(predictions: pd.DataFrame, *, reference: str, measures: Sequence[str], n: int, level: float) -> None:
    for column in ("actual", reference):
        if column not in predictions:
            remedy = "Name a predictor of the backtest."
            raise SchemaError(missing_column(column, predictions.columns, what="predictions", remedy=remedy))
    if len(predictions.columns) < 3:
        raise SchemaError(
            f"A comparison needs two predictors; the predictions are of {list(predictions.columns.drop('actual'))}.\n"
            "Backtest another one beside it."
        )
    known: Mapping[str, object] = VALUE_MEASURES if _of_values(measures) else CHURN_MEASURES
    for measure in measures:
        if measure not in known:
            raise SchemaError(missing_column(measure, known, what="measures", remedy="Name one of these."))
    if n < 1:
        raise SchemaError(out_of_range("n", n, "be at least 1"))
    if not 0 < level < 1:
        raise SchemaError(out_of_range("level", level, "lie between 0 and 1"))
    broken = int((~np.isfinite(predictions.to_numpy(dtype=np.float64))).any(axis=1).sum())
    if broken:
        raise SchemaError(
            f"Predictions must be finite; {broken:,} rows of {len(predictions):,} are not.\nLeave those customers out."
        )
    other = int((~predictions["actual"].isin([0, 1])).sum())
    if known is CHURN_MEASURES and other:
        raise SchemaError(
            f"For measures of churn `actual` must be 1 or 0; {other:,} outcomes of "
            f"{len(predictions):,} are not 1 or 0.\n"
            'Compare backtests of the target "churned", or values by "mae" or "rmse".'
        )
