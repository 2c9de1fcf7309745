"""Whether the next purchase came when it was expected: coverage, with those not yet back counted as such.

Two measures, as no single one will do. Whether an interval held is certain where the data reach beyond its end, and
which customers those are is known before anything happens: the share among them needs no assumption, but leaves out
whoever is expected late. Kaplan and Meier's curve of where in its distribution each outcome fell speaks for
everyone, if distributions are wrong in the same way for those expected early and late.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.clv.rfm_frame import check_share
from crm_ml.decisions.timing.histories import histories, last_day, next_purchase_days
from crm_ml.decisions.timing.interval import day_interval
from crm_ml.decisions.timing.model import NextPurchaseModel
from crm_ml.errors import SchemaError
from crm_ml.events.clock import Moment, moment
from crm_ml.events.log import CustomerLog

__all__ = ["coverage_curve", "interval_coverage", "outcome_curve", "purchase_outcomes", "settled_coverage"]

Array = NDArray[np.float64]

CENTRAL = np.round(np.arange(0.05, 1.0, 0.05), 2)


def purchase_outcomes(
    model: NextPurchaseModel, log: CustomerLog, *, as_of: Moment, until: Moment, level: float = 0.8
) -> pd.DataFrame:
    """Return what a fitted model expected of everyone at a moment, and what came.

    Parameters
    ----------
    model : NextPurchaseModel
        Fitted at `as_of` or before, for an honest look.
    log : CustomerLog
    as_of, until : date-like
        Purchases from the one to the other are the outcome; `until` is no later than the log's end.
    level : float in (0, 1), default 0.8

    Returns
    -------
    DataFrame
        Indexed by customer_id, in order. Days count from the last one known at `as_of`:

        - ``lower_day``, ``upper_day``: of the interval, see `NextPurchaseModel.predict`; infinite where missing.
        - ``waited_days``: to the next purchase day; missing where there was none.
        - ``followed_days``: to the last day before `until`.
        - ``probability_before``, ``probability_at``: predicted probability of buying before that purchase day, and
          up to it; where there was none, of buying within ``followed_days``, both.
        - ``interval_begins``, ``interval_ends``: predicted probability before the interval, and up to its end; never
          buying again comes last.

    Raises
    ------
    SchemaError
        If the window is empty or reaches past the log's end.
    """
    check_share("level", level)
    if not moment(as_of) < moment(until, name="until") <= moment(log.end):
        raise SchemaError(
            f"`until` must lie after `as_of` {as_of} and not after the log's end {log.end}; got {until}.\n"
            "Choose an earlier `as_of`, or a window the log covers."
        )
    known = histories(log, as_of=as_of)
    expected = model.expectation(known)
    waited = next_purchase_days(log, as_of=as_of, until=until).to_numpy()
    followed = float(last_day(until) - last_day(as_of))
    bought = ~np.isnan(waited)
    days = np.where(bought, waited, followed)
    lower, upper = day_interval(expected, level=level)
    begins = np.where(
        np.isfinite(lower), expected.probability(np.where(np.isfinite(lower), lower, 1.0) - 1.0), expected.ever
    )
    at = expected.probability(days)
    return pd.DataFrame(
        {
            "lower_day": lower,
            "upper_day": upper,
            "waited_days": waited,
            "followed_days": followed,
            "probability_before": np.where(bought, expected.probability(days - 1.0), at),
            "probability_at": at,
            "interval_begins": begins,
            "interval_ends": np.where(
                np.isfinite(upper), expected.probability(np.where(np.isfinite(upper), upper, 1.0)), 1.0
            ),
        },
        index=known.index,
    )


def interval_coverage(outcomes: pd.DataFrame) -> pd.Series:
    """Return how often the next purchase fell within its interval.

    Parameters
    ----------
    outcomes : DataFrame
        Of `purchase_outcomes`.

    Returns
    -------
    Series
        ``customers``; ``without_interval``, the share of those of whom never buying again is expected, who are left
        out of all that follows; ``coverage`` by Kaplan and Meier's curve of the others' outcomes; then
        `settled_coverage`; ``median_width_days`` of the intervals that end, both ends counted.
    """
    customers = len(outcomes)
    outcomes = outcomes[np.isfinite(outcomes["lower_day"])]
    curve = _curve(outcomes)
    begins, ends = (outcomes[name].to_numpy() for name in ("interval_begins", "interval_ends"))
    lower, upper, waited, followed = (
        outcomes[name].to_numpy() for name in ("lower_day", "upper_day", "waited_days", "followed_days")
    )
    closed = np.isfinite(upper)
    return pd.Series(
        {
            "customers": customers,
            "without_interval": 1.0 - len(outcomes) / customers,
            "coverage": float(np.mean(curve(ends) - curve(begins))),
            **settled_coverage(lower, upper, waited, followed),
            "median_width_days": float(np.median(upper[closed] - lower[closed] + 1.0)) if closed.any() else np.nan,
        },
        name="interval_coverage",
    )


def settled_coverage(lower: Array, upper: Array, waited: Array, followed: Array) -> dict[str, float]:
    """Return the shares of purchases within, before and after their intervals, of those certain to be known.

    Known is the fate of an interval that ends by the last day followed, and of one without an end that has begun
    by the day after it.

    Parameters
    ----------
    lower, upper : ndarray of shape (n,)
        First and last day; infinite where there is none. An interval without a first day is left out.
    waited : ndarray of shape (n,)
        Day of the next purchase; NaN for none.
    followed : ndarray of shape (n,)
        Last day looked at.

    Returns
    -------
    dict
        ``settled_share`` of the customers; of them ``covered``, ``too_early`` and ``too_late``, which sum to 1: no
        purchase by the end of an interval is too late. Missing where nobody is settled.

    Examples
    --------
    >>> lower, upper = np.array([2.0, 2.0, 2.0, 2.0, 9.0]), np.array([4.0, 4.0, 4.0, np.inf, 40.0])
    >>> waited = np.array([1.0, 4.0, np.nan, np.nan, 9.0])
    >>> list(settled_coverage(lower, upper, waited, np.full(5, 10.0)).values())
    [0.8, 0.5, 0.25, 0.25]
    """
    settled = np.where(np.isfinite(upper), upper <= followed, lower - 1.0 <= followed)
    came = np.where(np.isnan(waited), np.inf, waited)[settled]
    early, late = came < lower[settled], came > upper[settled]
    shares = [float(np.mean(part)) if settled.any() else np.nan for part in (~early & ~late, early, late)]
    return dict(
        zip(("settled_share", "covered", "too_early", "too_late"), (float(np.mean(settled)), *shares), strict=True)
    )


def coverage_curve(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the share of outcomes found within the central part of their distributions, for parts of each size.

    Parameters
    ----------
    outcomes : DataFrame
        Of `purchase_outcomes`.

    Returns
    -------
    DataFrame
        Indexed by ``level`` from 0.05 to 0.95: ``coverage``, by Kaplan and Meier's curve of everyone's outcomes,
        and ``below`` and ``above``, the shares before and after the part.
    """
    curve = _curve(outcomes)
    below, above = curve(0.5 - 0.5 * CENTRAL), 1.0 - curve(0.5 + 0.5 * CENTRAL)
    index = pd.Index(CENTRAL, name="level")
    return pd.DataFrame({"coverage": 1.0 - below - above, "below": below, "above": above}, index=index)


def outcome_curve(before: Array, at: Array, bought: NDArray[np.bool_]) -> Callable[[Array], Array]:
    """Return the distribution of outcomes within their own predicted distributions; right ones give the diagonal.

    A purchase day is a step of the customer's distribution, and its outcome is placed at random within the step,
    by a generator that always starts alike. Whoever has not bought is censored where the distribution has got to,
    and counts by Kaplan and Meier's estimate; the end of the data comes to all alike, so it tells nothing of them.
    Past the last outcome the curve goes on straight to 1.

    Parameters
    ----------
    before, at : ndarray of shape (n,)
        Predicted probability of buying before the purchase day, and up to it; where there was no purchase, `at` is
        that of buying by the end of the data.
    bought : ndarray of shape (n,)

    Returns
    -------
    callable
        From probability to share, for ndarrays.

    References
    ----------
    Kaplan and Meier (1958), JASA 53; Smith (1985), J. of Forecasting 4, for the place within a step.

    Examples
    --------
    >>> curve = outcome_curve(np.zeros(4), np.array([0.2, 0.4, 0.3, 0.8]), np.array([False, False, False, False]))
    >>> curve(np.array([0.5]))
    array([0.5])
    """
    if not bought.any():
        return lambda probability: probability
    from scipy.stats import CensoredData, ecdf

    place = np.where(bought, before + np.random.default_rng(0).random(len(at)) * (at - before), at)
    found = ecdf(CensoredData.right_censored(place, ~bought)).cdf
    last = float(place[bought].max())
    reached = float(found.evaluate(np.array([last]))[0])

    def curve(probability: Array) -> Array:
        beyond = reached + (1.0 - reached) * (probability - last) / max(1.0 - last, 1e-12)
        return np.where(probability > last, beyond, found.evaluate(np.minimum(probability, last)))

    return curve


def _curve(outcomes: pd.DataFrame) -> Callable[[Array], Array]:
    bought = outcomes["waited_days"].notna().to_numpy()
    return outcome_curve(outcomes["probability_before"].to_numpy(), outcomes["probability_at"].to_numpy(), bought)
