"""How a simulated customer lives: sampling functions on arrays, with time in days since the start.

Written once, here: `r, alpha` are `purchase_shape, purchase_scale_days`; `s, beta` are `leaving_shape,
leaving_scale_days`; `k` is `regularity`; `p, q, gamma` are `spend_shape, spend_mixing_shape, spend_scale`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Keeps the reciprocal of a rate finite when a gamma of small shape underflows to zero.
SMALLEST_RATE = 1e-12
# How tightly the customers' persuadabilities gather around their mean: the sum of the beta's parameters.
PERSUADABILITY_CONCENTRATION = 4.0


@dataclass(frozen=True)
class Traits:
    """What each customer is born with; arrays of shape (n_customers,)."""

    acquired_day: FloatArray
    purchase_rate_per_day: FloatArray
    lifetime_days: FloatArray
    mean_spend: FloatArray
    persuadability: FloatArray


@dataclass(frozen=True)
class Purchases:
    """The purchases, sorted by customer, then day; and the returns, each with its purchase's position."""

    customer: IntArray
    day: FloatArray
    amount: FloatArray
    returned: IntArray
    return_day: FloatArray
    return_amount: FloatArray


@dataclass(frozen=True)
class Contacts:
    """One entry per customer and campaign, both arms; arrays of one length, sorted by campaign."""

    campaign: IntArray
    customer: IntArray
    treated: BoolArray
    persuadable: BoolArray
    days_left_without: FloatArray
    effect_days: FloatArray


def mixed_rates(rng: np.random.Generator, n: int, *, shape: float, scale: float) -> FloatArray:
    """Draw `n` rates from a gamma distribution of mean ``shape / scale``.

    >>> rates = mixed_rates(np.random.default_rng(1), 100_000, shape=2.0, scale=40.0)
    >>> round(float(rates.mean()), 3)
    0.05
    """
    return np.maximum(rng.standard_gamma(shape, n) / scale, SMALLEST_RATE)


def sample_lifetimes(rng: np.random.Generator, n: int, *, shape: float, scale_days: float) -> FloatArray:
    """Draw `n` lifetimes in days: exponential, at a leaving rate that is itself gamma distributed.

    The mixture is Pareto of the second kind, ``P(L > t) = (beta / (beta + t)) ** s``, of mean
    ``beta / (s - 1)`` where ``s > 1`` (Schmittlein, Morrison and Colombo 1987, section 2).

    >>> lifetimes = sample_lifetimes(np.random.default_rng(1), 100_000, shape=4.0, scale_days=300.0)
    >>> round(float((lifetimes > 100).mean()), 2), round((300 / 400) ** 4, 2)
    (0.32, 0.32)
    """
    return rng.standard_exponential(n) / mixed_rates(rng, n, shape=shape, scale=scale_days)


def sample_persuadability(rng: np.random.Generator, n: int, *, persuadable_share: float) -> FloatArray:
    """Draw each customer's probability of heeding a contact: beta distributed about `persuadable_share`.

    >>> sample_persuadability(np.random.default_rng(1), 2, persuadable_share=1.0)
    array([1., 1.])
    """
    if persuadable_share in (0.0, 1.0):
        return np.full(n, float(persuadable_share))
    a = PERSUADABILITY_CONCENTRATION * persuadable_share
    return rng.beta(a, PERSUADABILITY_CONCENTRATION - a, n)


def sample_contacts(
    rng: np.random.Generator,
    acquired_day: FloatArray,
    leaving_day: FloatArray,
    persuadability: FloatArray,
    *,
    campaign_days: FloatArray,
    treated_share: float,
    extension_days: float,
) -> tuple[Contacts, FloatArray]:
    """Run the campaigns in turn, each on everyone acquired before it, and move the leaving days.

    A contact moves the leaving day of a customer who is still there, and persuadable this time, by
    `extension_days`. The control arm is drawn, and its would-be effect recorded, in the same way.

    Returns
    -------
    Contacts
        Who was in which arm, and what a contact would have done.
    ndarray of shape (n_campaigns + 1, n_customers)
        The leaving days as they stood before the first campaign, after it, after the second …

    Examples
    --------
    >>> contacts, leaving = sample_contacts(
    ...     np.random.default_rng(1), np.zeros(4), np.array([5.0, 20.0, 30.0, 40.0]), np.ones(4),
    ...     campaign_days=np.array([10.0]), treated_share=1.0, extension_days=7.0)
    >>> leaving[-1], contacts.effect_days
    (array([ 5., 27., 37., 47.]), array([0., 7., 7., 7.]))
    """
    leaving = np.tile(leaving_day, (campaign_days.size + 1, 1))
    rounds: list[tuple[npt.NDArray[np.generic], ...]] = []
    for number, day in enumerate(campaign_days):
        who = np.flatnonzero(acquired_day < day)
        treated = rng.random(who.size) < treated_share
        persuadable = rng.random(who.size) < persuadability[who]
        days_left = leaving[number, who] - day
        effect = np.where(persuadable & (days_left > 0.0), extension_days, 0.0)
        leaving[number + 1 :, who] += np.where(treated, effect, 0.0)
        rounds.append((np.full(who.size, number), who, treated, persuadable, days_left, effect))
    empty = tuple(np.empty(0, kind) for kind in (np.int64, np.int64, np.bool_, np.bool_, float, float))
    columns = [np.concatenate(column) for column in zip(empty, *rounds, strict=True)]
    return Contacts(*columns), leaving


def sample_renewals(
    rng: np.random.Generator,
    first_day: FloatArray,
    last_day: FloatArray,
    rate_per_day: FloatArray,
    *,
    regularity: float,
) -> tuple[IntArray, FloatArray]:
    """Draw each customer's purchases: one on `first_day`, then renewals until `last_day`, exclusive.

    The gaps are gamma distributed with shape ``k`` and mean ``1 / rate_per_day``, so that their squared
    coefficient of variation is ``1 / k``: 1 is a Poisson process, larger is more regular.

    Returns
    -------
    ndarray of int, ndarray of float
        Customer and day of each purchase, sorted by customer, then day.

    Examples
    --------
    >>> customer, day = sample_renewals(
    ...     np.random.default_rng(1), np.zeros(2), np.array([3.0, 1.0]), np.ones(2), regularity=1e9)
    >>> customer, day.round(2)
    (array([0, 0, 0, 1]), array([0., 1., 2., 0.]))
    """
    active, now = np.arange(first_day.size), first_day
    rounds = [(active, now)]
    while active.size:
        now = now + rng.standard_gamma(regularity, active.size) / (regularity * rate_per_day[active])
        before = now < last_day[active]
        active, now = active[before], now[before]
        rounds.append((active, now))
    counts = np.bincount(np.concatenate([who for who, _ in rounds]), minlength=first_day.size)
    begins = np.cumsum(counts) - counts
    day = np.empty(int(counts.sum()))
    for number, (who, when) in enumerate(rounds):
        day[begins[who] + number] = when
    return np.repeat(np.arange(first_day.size), counts), day


def sample_amounts(rng: np.random.Generator, mean_spend: FloatArray, *, spend_shape: float) -> FloatArray:
    """Draw one gamma amount of shape ``p`` about each entry of `mean_spend`, to the cent, at least 0.01.

    With ``mean_spend = p / nu`` and ``nu ~ Gamma(q, rate gamma)`` this is the Gamma-Gamma model of Fader
    and Hardie (2013), whose mean over customers is ``p * gamma / (q - 1)``.

    >>> sample_amounts(np.random.default_rng(1), np.array([10.0, 10.0]), spend_shape=1e9).round(2)
    array([10., 10.])
    """
    amounts = rng.standard_gamma(spend_shape, mean_spend.size) * mean_spend / spend_shape
    return np.maximum(np.round(amounts, 2), 0.01)


def sample_returns(
    rng: np.random.Generator,
    day: FloatArray,
    amount: FloatArray,
    *,
    return_share: float,
    return_within_days: float,
    end_day: float,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Draw which purchases come back, up to `return_within_days` later: half in full, half in part.

    Returns
    -------
    ndarray of int, ndarray of float, ndarray of float
        Position of the purchase, day of the return (before `end_day`), negative amount.

    Examples
    --------
    >>> position, day, amount = sample_returns(
    ...     np.random.default_rng(1), np.zeros(4), np.full(4, 10.0),
    ...     return_share=1.0, return_within_days=14.0, end_day=9.0)
    >>> bool((day < 9).all()), bool((amount >= -10).all()), bool((amount < 0).all())
    (True, True, True)
    """
    position = np.flatnonzero(rng.random(day.size) < return_share)
    back = day[position] + return_within_days * (1.0 - rng.random(position.size))
    part = np.where(rng.random(position.size) < 0.5, 1.0, rng.random(position.size))
    refund = np.maximum(np.round(amount[position] * part, 2), 0.01)
    inside = back < end_day
    return position[inside], back[inside], -refund[inside]


def sample_activity(
    rng: np.random.Generator,
    acquired_day: FloatArray,
    leaving_day: FloatArray,
    rate_per_day: FloatArray,
    *,
    campaign_days: FloatArray,
    end_day: float,
    warning_days: float,
    at_leaving: float,
) -> tuple[IntArray, FloatArray]:
    """Draw one kind of interaction by thinning a Poisson process.

    A customer's intensity is `rate_per_day` until `warning_days` before leaving, then moves linearly to
    ``at_leaving * rate_per_day`` at the leaving day as it stands at that moment: a contact that is yet to
    come must not show in what happens before it.

    Parameters
    ----------
    acquired_day, rate_per_day : ndarray of shape (n_customers,)
    leaving_day : ndarray of shape (n_campaigns + 1, n_customers)
        As returned by `sample_contacts`.
    at_leaving : float
        Below 1 the activity fades before leaving, above 1 it rises.

    Returns
    -------
    ndarray of int, ndarray of float
        Customer and day of each interaction, sorted by customer.

    Examples
    --------
    >>> customer, day = sample_activity(
    ...     np.random.default_rng(1), np.zeros(1), np.full((1, 1), 200.0), np.full(1, 50.0),
    ...     campaign_days=np.empty(0), end_day=200.0, warning_days=100.0, at_leaving=0.0)
    >>> bool(0.45 < (day > 100).sum() / (day < 100).sum() < 0.55)
    True
    """
    peak = max(1.0, at_leaving)
    observed = np.minimum(leaving_day[-1], end_day) - acquired_day
    counts = rng.poisson(rate_per_day * peak * observed)
    customer = np.repeat(np.arange(acquired_day.size), counts)
    day = acquired_day[customer] + rng.random(customer.size) * observed[customer]
    known = leaving_day[np.searchsorted(campaign_days, day, side="right"), customer]
    calm = np.clip((known - day) / max(warning_days, 1e-6), 0.0, 1.0)
    kept = rng.random(day.size) * peak < 1.0 + (at_leaving - 1.0) * (1.0 - calm)
    return customer[kept], day[kept]
