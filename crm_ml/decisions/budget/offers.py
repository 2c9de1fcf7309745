"""Offers: what one costs, what it is expected to gain, and how that expectation is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_rows, read_finite
from crm_ml.errors import CrmError, out_of_range

__all__ = ["VALUE_COLUMNS", "Offer", "price_offers", "read_probability", "read_value"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

VALUE_BASES = ("assumed", "estimated", "experiment")
VALUE_COLUMNS = ("value_at_stake", "clv")
SAVING = "customers for offers with a save rate"


@dataclass(frozen=True)
class Offer:
    """An offer a customer can be given, paid for on contact.

    With a ``save_rate`` the expected gain is ``churn_probability × save_rate × value_at_stake − cost``, and
    its basis is ``"assumed"``. With a ``gain`` column it is that column less the cost, on the basis stated.

    Parameters
    ----------
    name : str
        How the plan refers to the offer.
    cost : float or str
        Cost per contacted customer, at least 0, in the unit of the budget; or the column that holds it.
    save_rate : float, optional
        Assumed share of leaving customers whom the offer keeps, from 0 to 1.
    gain : str, optional
        Column with each customer's expected incremental margin before cost.
    value_basis : {"assumed", "estimated", "experiment"}, optional
        How ``gain`` is known: a guess, a model, or a measurement against a control group.

    Raises
    ------
    CrmError
        If a number is outside its domain, or not exactly one of ``save_rate`` and ``gain`` is given.

    Examples
    --------
    >>> Offer("coupon10", cost=10, save_rate=0.08).value_basis
    'assumed'
    >>> Offer("call", "call_cost", gain="call_uplift", value_basis="experiment").value_basis
    'experiment'
    """

    name: str
    cost: float | str
    _: KW_ONLY
    save_rate: float | None = None
    gain: str | None = None
    value_basis: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cost, str) and not (math.isfinite(self.cost) and self.cost >= 0):
            raise CrmError(out_of_range("cost", self.cost, "be finite and at least 0, or name a column"))
        if (self.save_rate is None) == (self.gain is None):
            raise CrmError(
                f"offer {self.name!r} must have either `save_rate` or `gain`; "
                f"got save_rate={self.save_rate!r}, gain={self.gain!r}."
            )
        if self.save_rate is None:
            if self.value_basis not in VALUE_BASES:
                rule = f"be one of {VALUE_BASES} where `gain` is a column"
                raise CrmError(out_of_range("value_basis", self.value_basis, rule))
            return
        if not 0 <= self.save_rate <= 1:
            raise CrmError(out_of_range("save_rate", self.save_rate, "be between 0 and 1"))
        if self.value_basis not in (None, "assumed"):
            rule = 'be "assumed" for a save rate; give what was estimated or measured as a `gain` column'
            raise CrmError(out_of_range("value_basis", self.value_basis, rule))
        object.__setattr__(self, "value_basis", "assumed")


def price_offers(customers: pd.DataFrame, offers: Sequence[Offer], *, order: Integers) -> tuple[Floats, Floats]:
    """Return the cost and the expected net gain of every offer for every customer.

    Parameters
    ----------
    customers : DataFrame
        One row per customer, with the columns that the offers name or need.
    offers : sequence of Offer
    order : ndarray of shape (n_customers,)
        The order in which to put the customers, as positions in the frame.

    Returns
    -------
    costs, gains : ndarray of shape (n_offers, n_customers)
        ``costs`` is read-only where no offer's cost depends on the customer.

    Raises
    ------
    SchemaError
        If a column is missing or holds what it must not.

    Examples
    --------
    >>> customers = pd.DataFrame({"churn_probability": [0.5, 0.1], "clv": [400.0, 300.0]})
    >>> price_offers(customers, [Offer("coupon", 10, save_rate=0.1)], order=np.array([1, 0]))
    (array([[10., 10.]]), array([[-7., 10.]]))
    """
    shape = (len(offers), len(customers))
    gains = np.zeros(shape)
    if any(isinstance(offer.cost, str) for offer in offers):
        costs = np.stack([_read_costs(customers, offer)[order] for offer in offers])
    else:
        costs = np.broadcast_to(np.array([[offer.cost] for offer in offers], dtype=np.float64), shape)
    if any(offer.save_rate is not None for offer in offers):
        at_risk = (read_probability(customers) * read_value(customers))[order]
    for row, offer in enumerate(offers):
        if offer.save_rate is not None:
            gains[row] = at_risk * offer.save_rate
        elif offer.gain is not None:
            gains[row] = _read_named(customers, offer, offer.gain)[order]
    gains -= costs
    return costs, gains


def read_probability(customers: pd.DataFrame) -> Floats:
    """Return ``churn_probability``, checked to be a probability.

    >>> read_probability(pd.DataFrame({"churn_probability": [0.25, 1.0]}))
    array([0.25, 1.  ])
    """
    name, remedy = "churn_probability", "Join it to the frame, or rename the column that holds it."
    values = read_finite(customers, name, what=SAVING, remedy=remedy)
    check_rows((values >= 0) & (values <= 1), f"`{name}` must be between 0 and 1.")
    return values


def read_value(customers: pd.DataFrame) -> Floats:
    """Return ``value_at_stake``, or else ``clv``.

    >>> read_value(pd.DataFrame({"clv": [120.0, 80.0]}))
    array([120.,  80.])
    """
    name = next((column for column in VALUE_COLUMNS if column in customers.columns), VALUE_COLUMNS[0])
    remedy = f"Join {' or '.join(VALUE_COLUMNS)} to the frame: what is lost when the customer leaves."
    return read_finite(customers, name, what=SAVING, remedy=remedy)


def _read_costs(customers: pd.DataFrame, offer: Offer) -> Floats:
    if not isinstance(offer.cost, str):
        return np.full(len(customers), offer.cost, dtype=np.float64)
    costs = _read_named(customers, offer, offer.cost)
    check_rows(costs >= 0, f"`{offer.cost}` must be at least 0.")
    return costs


def _read_named(customers: pd.DataFrame, offer: Offer, name: str) -> Floats:
    what = f"customers for offer {offer.name!r}"
    return read_finite(customers, name, what=what, remedy="Join it to the frame, or correct the offer.")
