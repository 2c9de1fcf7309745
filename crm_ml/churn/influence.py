"""What moves the predictions over all customers: importance, and dependence on one feature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.churn.reasons import BASE, MARGIN
from crm_ml.errors import SchemaError, missing_column, out_of_range

__all__ = ["importance", "partial_dependence"]

CENTRAL = (0.05, 0.95)
"""Between these quantiles of a feature its dependence is shown; beyond them hardly anyone is."""

DECILES = (0.1, 0.9)


def importance(
    contributions: Callable[[pd.DataFrame], pd.DataFrame],
    features: pd.DataFrame,
    *,
    rows: int = 2000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return how far each theme or feature moves the log odds on average.

    Parameters
    ----------
    contributions : gives the frame of contributions of a frame of features, such as
        `crm_ml.ChurnModel.contributions`.
    features : (n, p) frame of features.
    rows : of so many, drawn at random, the mean is taken where there are more.
    rng : draws them.

    Returns
    -------
    DataFrame
        Indexed by theme or feature, largest first: ``importance``, the mean of |contribution| in log odds,
        and ``share``, that over the sum of all.

    Raises
    ------
    SchemaError
        There is no row.
    """
    found = contributions(_drawn(features, rows, rng)).drop(columns=[BASE, MARGIN])
    size = found.abs().mean().sort_values(ascending=False, kind="stable")
    return pd.DataFrame({"importance": size, "share": size / (size.sum() or 1.0)})


def partial_dependence(
    predict: Callable[[pd.DataFrame], npt.ArrayLike],
    features: pd.DataFrame,
    feature: str,
    *,
    points: int = 20,
    rows: int = 500,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the mean prediction were one feature the same for all (Friedman 2001).

    The other features stay as they are, so that where they would move along (a longer wait comes with fewer
    orders of late) the curve tells what the model does, not what happens to customers.

    Parameters
    ----------
    predict : gives the (n,) probabilities of a frame of features.
    features : (n, p) frame of features.
    feature : the column to vary.
    points : values at most, which are quantiles of the feature from 5 % to 95 %, each some customer's own.
    rows : of so many, drawn at random, the mean is taken where there are more.
    rng : draws them.

    Returns
    -------
    DataFrame
        Ascending by ``value``: ``probability``, its mean, and ``lower`` and ``upper``, between which eight
        customers in ten are at that value.

    Raises
    ------
    SchemaError
        The column is missing or holds no value, there is no row, or `points` is below 2.

    Examples
    --------
    >>> shop = pd.DataFrame({"orders": [0, 1, 2, 3], "spend": [0.0, 10.0, 20.0, 10.0]})
    >>> found = partial_dependence(
    ...     lambda frame: frame["orders"] / 10 + frame["spend"] / 100, shop, "orders", rng=np.random.default_rng(0)
    ... )
    >>> found[["value", "probability"]].to_numpy().round(3).tolist()
    [[0.0, 0.1], [1.0, 0.2], [2.0, 0.3], [3.0, 0.4]]
    """
    if feature not in features.columns:
        raise SchemaError(missing_column(feature, features.columns, what="features", remedy="Name one of them."))
    if points < 2:
        raise SchemaError(out_of_range("points", points, "be at least 2"))
    known = features[feature].dropna().to_numpy(dtype=np.float64)
    if len(known) == 0:
        raise SchemaError(
            f"`{feature}` must be known of someone; it is missing in all {len(features):,} rows.\n"
            "Ask about another feature, or about more customers."
        )
    values = np.unique(np.quantile(known, np.linspace(*CENTRAL, points), method="inverted_cdf"))
    drawn = _drawn(features, rows, rng)
    curve = []
    for value in values:
        found = np.asarray(predict(drawn.assign(**{feature: value})), dtype=np.float64)
        curve.append((value, found.mean(), *np.quantile(found, DECILES)))
    return pd.DataFrame(curve, columns=["value", "probability", "lower", "upper"])


def _drawn(features: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return so many rows at random, in their order; all of them where there are no more."""
    if len(features) == 0:
        raise SchemaError("Features must hold at least one row; they hold none.\nAsk about customers that are there.")
    if rows < 1:
        raise SchemaError(out_of_range("rows", rows, "be at least 1"))
    if len(features) <= rows:
        return features
    return features.iloc[np.sort(rng.choice(len(features), rows, replace=False))]
