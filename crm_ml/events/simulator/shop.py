"""Simulate a shop whose truth is known: who leaves and when, who buys how often, what a contact does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from crm_ml.errors import CrmError, out_of_range
from crm_ml.events.simulator.behaviour import (
    Contacts,
    FloatArray,
    IntArray,
    Purchases,
    Traits,
    mixed_rates,
    sample_activity,
    sample_amounts,
    sample_contacts,
    sample_lifetimes,
    sample_persuadability,
    sample_renewals,
    sample_returns,
)
from crm_ml.events.simulator.frames import (
    Period,
    campaigns_frame,
    customers_frame,
    identifiers,
    interactions_frame,
    transactions_frame,
)

__all__ = ["SimulatedShop", "simulate"]


# One random stream for each, so that changing what concerns one leaves the draws of the others alone.
STREAMS = ("traits", "contacts", "purchases", "returns", "interactions")


class Kind(NamedTuple):
    """A kind of interaction: its share of all, and its intensity at leaving relative to before."""

    share: float
    at_leaving: float


KINDS = {
    "view": Kind(0.50, 0.0),
    "cart": Kind(0.20, 0.0),
    "email_open": Kind(0.25, 0.0),
    "support": Kind(0.04, 4.0),
    "complaint": Kind(0.01, 8.0),
}


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least


def _real(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("n_customers", "be a whole number of at least 1", lambda x: _whole(x, 1)),
    ("n_campaigns seed", "be a whole number of at least 0", lambda x: _whole(x, 0)),
    (
        "purchase_shape purchase_scale_days regularity leaving_shape leaving_scale_days spend_shape "
        "spend_scale return_within_days",
        "be above 0 and finite",
        lambda x: _real(x) and x > 0,
    ),
    ("days", "be from 1 to 36,500", lambda x: _real(x) and 1 <= x <= 36_500),
    ("spend_mixing_shape", "be above 1 and finite", lambda x: _real(x) and x > 1),
    (
        "interactions_per_purchase warning_days extension_days",
        "be at least 0 and finite",
        lambda x: _real(x) and x >= 0,
    ),
    (
        "acquisition_share return_share treated_share persuadable_share",
        "be within [0, 1]",
        lambda x: _real(x) and 0 <= x <= 1,
    ),
)


@dataclass(frozen=True)
class SimulatedShop:
    """What `simulate` returns: the log a shop would see, and the truth it would not.

    Attributes
    ----------
    transactions : DataFrame
        `customer_id`, `timestamp` (UTC, microseconds), `amount` (negative for a return), `order_id` (of a
        return: the order returned); sorted by customer, then time.
    interactions : DataFrame
        `customer_id`, `timestamp`, `event_type` (view, cart, email_open, support, complaint,
        campaign_contact), `value` (the worth of a cart, otherwise missing); sorted by customer, then time.
    customers : DataFrame indexed by `customer_id`
        `acquired_at` (the first purchase), `left_at` (NaT where that is not before the end),
        `lifetime_days`, `lifetime_days_without_contact`, `purchase_rate_per_day`, `regularity`,
        `mean_spend`, `persuadability` (the probability that a contact is heeded).
    campaigns : DataFrame
        One row per campaign and customer acquired before it: `campaign_id`, `customer_id`, `timestamp`,
        `arm` ("treated" or "control"), `persuadable` (would heed this contact), `days_left_without` (from
        the contact to leaving if not contacted; negative for one already gone), `effect_days` (what a
        contact adds to that, whichever the arm), `responded` (treated, and `effect_days` above 0).
    parameters : Mapping
        The arguments of `simulate`, `seed` among them.
    """

    transactions: pd.DataFrame
    interactions: pd.DataFrame
    customers: pd.DataFrame
    campaigns: pd.DataFrame
    parameters: Mapping[str, Any]


def simulate(
    n_customers: int = 10_000,
    *,
    days: float = 730,
    start: str | pd.Timestamp = "2024-01-01",
    seed: int = 0,
    acquisition_share: float = 0.5,
    purchase_shape: float = 1.5,
    purchase_scale_days: float = 30.0,
    regularity: float = 1.0,
    leaving_shape: float = 2.0,
    leaving_scale_days: float = 300.0,
    spend_shape: float = 6.0,
    spend_mixing_shape: float = 4.0,
    spend_scale: float = 15.0,
    return_share: float = 0.05,
    return_within_days: float = 14.0,
    interactions_per_purchase: float = 2.5,
    warning_days: float = 45.0,
    n_campaigns: int = 2,
    treated_share: float = 0.5,
    persuadable_share: float = 0.3,
    extension_days: float = 60.0,
) -> SimulatedShop:
    """Simulate the log of a shop, together with the truth behind it.

    A customer arrives with a first purchase, buys on as a renewal process, fades, and leaves unseen:

    - rate ``lambda ~ Gamma(shape r, rate alpha)`` per day; gaps ``~ Gamma(shape k, rate k * lambda)``;
    - leaving rate ``mu ~ Gamma(shape s, rate beta)``, lifetime ``L ~ Exponential(mu)``, hence
      ``P(L > t) = (beta / (beta + t)) ** s``; with ``k = 1`` this is the Pareto/NBD model;
    - amount ``~ Gamma(shape p, rate nu)``, ``nu ~ Gamma(shape q, rate gamma)``: the Gamma-Gamma model.

    Views, carts and opened e-mails fade linearly to nothing over the last `warning_days`; support contacts
    rise to 4 times, complaints to 8 times their usual intensity. E-mails are opened more by the persuadable:
    in proportion to ``0.5 + persuadability``. Purchases give no warning.

    `n_campaigns` campaigns, evenly spaced, take everyone acquired before them, gone or not, and treat
    `treated_share` at random. A contact adds `extension_days` to the lifetime of a customer who is still
    there and persuadable, which happens with the customer's own probability, of mean `persuadable_share`.

    Parameters
    ----------
    n_customers : int
        At least 1.
    days, start : float, str or Timestamp
        Every event falls in ``[start, start + days)``, of 1 to 36,500 days; a start without zone is UTC.
    seed : int
        Same arguments and NumPy, same shop. Traits, campaigns, purchases, returns and interactions draw from
        streams of their own, so that changing what concerns one leaves the draws of the others alone.
    acquisition_share : float
        Customers arrive uniformly over this first share of the period; 0 for all at `start`.
    purchase_shape, purchase_scale_days : float
        ``r, alpha``; the mean purchase rate is ``r / alpha`` per day.
    regularity : float
        ``k``; the gaps' squared coefficient of variation is ``1 / k``.
    leaving_shape, leaving_scale_days : float
        ``s, beta``; the mean lifetime without contact is ``beta / (s - 1)`` days where ``s > 1``.
    spend_shape, spend_mixing_shape, spend_scale : float
        ``p, q, gamma``; the mean amount over customers is ``p * gamma / (q - 1)``; ``q`` is above 1.
    return_share, return_within_days : float
        Share of purchases returned, and the longest time until they are; returns due after the end are
        never seen. A customer may return what was bought after leaving.
    interactions_per_purchase : float
        Expected interactions, contacts apart, for each expected purchase before the warning.
    warning_days : float
        How long before leaving engagement changes; 0 for no warning.
    n_campaigns, treated_share, persuadable_share, extension_days : int, float
        See above.

    Returns
    -------
    SimulatedShop

    Raises
    ------
    CrmError
        If a setting is outside its domain.

    References
    ----------
    Schmittlein, Morrison and Colombo (1987), "Counting your customers", Management Science 33(1).
    Fader and Hardie (2013), "The Gamma-Gamma model of monetary value".

    Examples
    --------
    >>> shop = simulate(1_000, seed=7)
    >>> shop.customers.shape, list(shop.transactions.columns)
    ((1000, 8), ['customer_id', 'timestamp', 'amount', 'order_id'])
    >>> contacted = shop.campaigns.groupby("arm")["responded"].mean()
    >>> bool(contacted["control"] == 0), bool(contacted["treated"] > 0)
    (True, True)
    """
    parameters = dict(locals())
    period = check_parameters(parameters)
    names = identifiers("C", n_customers)
    streams = dict(zip(STREAMS, np.random.default_rng(seed).spawn(len(STREAMS)), strict=True))
    campaign_days = days * np.arange(1.0, n_campaigns + 1.0) / (n_campaigns + 1.0)
    traits = draw_traits(streams["traits"], parameters)
    contacts, leaving = sample_contacts(
        streams["contacts"],
        traits.acquired_day,
        traits.acquired_day + traits.lifetime_days,
        traits.persuadability,
        campaign_days=campaign_days,
        treated_share=treated_share,
        extension_days=extension_days,
    )
    purchases = draw_purchases(streams["purchases"], streams["returns"], traits, leaving[-1], parameters)
    events = draw_interactions(streams["interactions"], traits, contacts, leaving, campaign_days, parameters)
    return SimulatedShop(
        transactions=transactions_frame(names, purchases, period),
        interactions=interactions_frame(names, events, period),
        customers=customers_frame(names, traits, leaving[-1], period, regularity=regularity),
        campaigns=campaigns_frame(names, contacts, campaign_days, period),
        parameters=parameters,
    )


def draw_traits(rng: np.random.Generator, given: Mapping[str, Any]) -> Traits:
    """Draw what each customer is born with."""
    n = given["n_customers"]
    nu = mixed_rates(rng, n, shape=given["spend_mixing_shape"], scale=given["spend_scale"])
    return Traits(
        acquired_day=given["acquisition_share"] * given["days"] * rng.random(n),
        purchase_rate_per_day=mixed_rates(rng, n, shape=given["purchase_shape"], scale=given["purchase_scale_days"]),
        lifetime_days=sample_lifetimes(rng, n, shape=given["leaving_shape"], scale_days=given["leaving_scale_days"]),
        mean_spend=given["spend_shape"] / nu,
        persuadability=sample_persuadability(rng, n, persuadable_share=given["persuadable_share"]),
    )


def draw_purchases(
    rng: np.random.Generator,
    returns_rng: np.random.Generator,
    traits: Traits,
    leaving_day: FloatArray,
    given: Mapping[str, Any],
) -> Purchases:
    """Draw the purchases of each customer and the returns of each purchase."""
    customer, day = sample_renewals(
        rng,
        traits.acquired_day,
        np.minimum(leaving_day, given["days"]),
        traits.purchase_rate_per_day,
        regularity=given["regularity"],
    )
    amount = sample_amounts(rng, traits.mean_spend[customer], spend_shape=given["spend_shape"])
    returned, return_day, return_amount = sample_returns(
        returns_rng,
        day,
        amount,
        return_share=given["return_share"],
        return_within_days=given["return_within_days"],
        end_day=given["days"],
    )
    return Purchases(customer, day, amount, returned, return_day, return_amount)


def draw_interactions(
    rng: np.random.Generator,
    traits: Traits,
    contacts: Contacts,
    leaving_day: FloatArray,
    campaign_days: FloatArray,
    given: Mapping[str, Any],
) -> dict[str, tuple[IntArray, FloatArray, FloatArray]]:
    """Draw customer, day and value of the interactions of each kind, the campaigns' contacts among them."""
    interest = (0.5 + traits.persuadability) / (0.5 + given["persuadable_share"])
    rate = traits.purchase_rate_per_day * given["interactions_per_purchase"]
    treated, moment = contacts.customer[contacts.treated], contacts.campaign[contacts.treated]
    events = {"campaign_contact": (treated, campaign_days[moment], np.full(treated.size, np.nan))}
    for name, kind in KINDS.items():
        customer, day = sample_activity(
            rng,
            traits.acquired_day,
            leaving_day,
            rate * kind.share * (interest if name == "email_open" else 1.0),
            campaign_days=campaign_days,
            end_day=given["days"],
            warning_days=given["warning_days"],
            at_leaving=kind.at_leaving,
        )
        value = np.full(customer.size, np.nan)
        if name == "cart":
            value = sample_amounts(rng, traits.mean_spend[customer], spend_shape=given["spend_shape"])
        events[name] = (customer, day, value)
    return events


def check_parameters(given: Mapping[str, Any]) -> Period:
    """Check every argument of `simulate` and place its period in time.

    >>> check_parameters({**simulate.__kwdefaults__, "n_customers": 5, "regularity": 0.0})
    Traceback (most recent call last):
    crm_ml.errors.CrmError: `regularity` must be above 0 and finite; got 0.0.
    """
    for names, rule, holds in RULES:
        for name in names.split():
            if not holds(given[name]):
                raise CrmError(out_of_range(name, given[name], rule))
    try:
        start = pd.Timestamp(given["start"])
        start = start.tz_localize("UTC") if start.tz is None else start.tz_convert("UTC")
        origin = int((start - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1))
    except (TypeError, ValueError) as error:
        raise CrmError(out_of_range("start", given["start"], "be a date or timestamp")) from error
    return Period(origin, given["days"])
