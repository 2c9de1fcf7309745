"""How forecasts of non-negative amounts are compared, and when the simplest of them is good enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["Verdict", "half_deviance", "simplest_not_worse"]


def half_deviance(actual: ArrayLike, expected: ArrayLike) -> NDArray[np.float64]:
    """Return a loss halfway between squared error and Poisson deviance, of which it is the mean power.

    It is the Bregman divergence of x^1.5, near the truth (actual − expected)² / √actual: its mean is least for
    the true expectations, whatever the distribution. Squared error (of x²) is decided by the few heaviest
    buyers, Poisson deviance (of x log x) by the few who were given up and came back, and absolute error is
    least for medians: it favours whatever expects too little.

    Parameters
    ----------
    actual, expected : array_like of shape (n,)
        What is below 0 counts as 0.

    Returns
    -------
    ndarray of shape (n,)

    References
    ----------
    Gneiting (2011), Making and Evaluating Point Forecasts, Journal of the American Statistical Association
    106(494), theorem 7.

    Examples
    --------
    >>> half_deviance([0, 4, 4, 4], [1.0, 0.0, 4.0, 5.0]).round(3).tolist()
    [1.333, 21.333, 0.0, 0.463]
    """
    y, mean = (np.sqrt(np.maximum(np.asarray(values, dtype=float), 0.0)) for values in (actual, expected))
    return np.asarray((mean - y) ** 2 * (mean + 2.0 * y) * 4.0 / 3.0)


class Verdict(NamedTuple):
    """Which forecast was chosen.

    Attributes
    ----------
    chosen, best : names; `best` has the lowest mean deviance.
    excess : mean deviance above that of the best, by forecast.
    error : its standard error.
    """

    chosen: str
    best: str
    excess: pd.Series
    error: pd.Series


def simplest_not_worse(deviances: pd.DataFrame) -> Verdict:
    """Choose the simplest forecast whose mean deviance is within a standard error of the lowest.

    Parameters
    ----------
    deviances : DataFrame of shape (n, n_forecasts)
        One column per forecast, the simplest first; indexed by customer_id, who may occur more than once:
        rows of one customer are not taken for independent.

    References
    ----------
    Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees, section 3.4.3.

    Examples
    --------
    >>> rows = pd.DataFrame({"simple": [1.0, 2.0, 3.0], "rich": [0.9, 2.2, 2.8]}, index=list("abc"))
    >>> simplest_not_worse(rows).chosen, simplest_not_worse(rows).best
    ('simple', 'rich')
    """
    best = str(deviances.mean().idxmin())
    gap = deviances.sub(deviances[best], axis=0)
    by_customer = gap.groupby(level=0).sum()
    excess = gap.mean()
    error = by_customer.std() * np.sqrt(len(by_customer)) / len(gap)
    within = excess.index[~(excess > error)]
    return Verdict(str(within[0]), best, excess, error)
