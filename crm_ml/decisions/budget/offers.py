"""Offers: what one costs, what it is expected to gain, and how that expectation is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_rows, read_finite
from crm_ml.errors import CrmError, out_of_range

__all__ = [
    "VALUE_COLUMNS",
    "Offer",
    "at_risk",
    "price_offers",
    "read_gain",
    "read_probability",
    "read_value",
    "value_column",
]

Floats = NDArray[np.float64]

VALUE_BASES = ("assumed", "estimated", "experiment")
VALUE_COLUMNS = ("value_at_stake", "clv")
SAVING = "customers for offers with a save rate"


@dataclass(frozen=True)
class Offer:
    """An offer a customer can be given.

    With a ``save_rate`` the expected gain is ``churn_probability × save_rate × value_at_stake − cost``, and
    its basis is ``"assumed"`` unless its interval was measured. With a ``gain`` it is that less the cost, on
    the basis stated.

    Parameters
    ----------
    name : str
        How the plan refers to the offer.
    cost : float or str
        Cost per contacted customer, at least 0, in the unit of the budget; or the column that holds it.
    save_rate : float, optional
        Share of leaving customers whom the offer keeps, from 0 to 1.
    gain : float or str, optional
        Expected incremental margin before cost: the same for each customer, or the column that holds it.
    interval : tuple of two floats, optional
        90 % interval of the one number given as ``save_rate`` or ``gain``. That of a ``gain`` column is read
        from the columns of its name with ``_lower`` and ``_upper``, where the customers have them.
    value_basis : {"assumed", "estimated", "experiment"}, optional
        How the effect is known: a guess, a model, or a measurement against a control group. A save rate that
        is more than assumed must have an ``interval``; a ``gain`` must have a basis.
    redemption_cost, redemption_rate : float or str, optional
        What is paid, besides the cost of contact, for a customer who redeems the offer, and the share of the
        contacted who do, from 0 to 1; or the columns that hold them. Spend is then an expectation.
    channel : str, optional
        The channel whose budget the offer draws on.

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
    >>> mail = Offer("mail", 0.1, redemption_cost=10, redemption_rate=0.2, save_rate=0.05, channel="mail")
    >>> mail.redemption_rate
    0.2
    """

    name: str
    cost: float | str
    _: KW_ONLY
    save_rate: float | None = None
    gain: float | str | None = None
    interval: tuple[float, float] | None = None
    value_basis: str | None = None
    redemption_cost: float | str | None = None
    redemption_rate: float | str | None = None
    channel: str | None = None

    def __post_init__(self) -> None:
        self._check_number("cost", self.cost, highest=math.inf)
        if (self.redemption_cost is None) != (self.redemption_rate is None):
            raise CrmError(f"offer {self.name!r} must have both `redemption_cost` and `redemption_rate`, or neither.")
        self._check_number("redemption_cost", self.redemption_cost, highest=math.inf)
        self._check_number("redemption_rate", self.redemption_rate, highest=1)
        if (self.save_rate is None) == (self.gain is None):
            raise CrmError(
                f"offer {self.name!r} must have either `save_rate` or `gain`; "
                f"got save_rate={self.save_rate!r}, gain={self.gain!r}."
            )
        if self.save_rate is not None and not 0 <= self.save_rate <= 1:
            raise CrmError(out_of_range("save_rate", self.save_rate, "be between 0 and 1"))
        if isinstance(self.gain, int | float) and not math.isfinite(self.gain):
            raise CrmError(out_of_range("gain", self.gain, "be finite, or name a column"))
        self._check_interval()
        self._settle_basis()

    def _check_number(self, name: str, value: float | str | None, *, highest: float) -> None:
        if value is None or isinstance(value, str):
            return
        if not (math.isfinite(value) and 0 <= value <= highest):
            rule = "be finite and at least 0" if highest == math.inf else f"be between 0 and {highest}"
            raise CrmError(out_of_range(name, value, f"{rule}, or name a column"))

    def _check_interval(self) -> None:
        if self.interval is None:
            return
        middle = self.save_rate if self.gain is None else self.gain
        if isinstance(middle, str):
            rule = f"stand in columns, {middle}_lower and {middle}_upper, where the gain does"
            raise CrmError(out_of_range("interval", self.interval, rule))
        if middle is None or not self.interval[0] <= middle <= self.interval[1]:
            raise CrmError(out_of_range("interval", self.interval, f"hold what it is the interval of, {middle}"))

    def _settle_basis(self) -> None:
        if self.save_rate is None:
            if self.value_basis not in VALUE_BASES:
                rule = f"be one of {VALUE_BASES} where `gain` is given"
                raise CrmError(out_of_range("value_basis", self.value_basis, rule))
            return
        if self.value_basis not in (None, *VALUE_BASES):
            raise CrmError(out_of_range("value_basis", self.value_basis, f"be one of {VALUE_BASES}"))
        if self.value_basis not in (None, "assumed") and self.interval is None:
            rule = 'be "assumed" for a save rate without an `interval`: what was measured has one'
            raise CrmError(out_of_range("value_basis", self.value_basis, rule))
        object.__setattr__(self, "value_basis", self.value_basis or "assumed")


def price_offers(customers: pd.DataFrame, offers: Sequence[Offer], rows: Any) -> tuple[Floats, Floats]:
    """Return the expected cost and the expected net gain of every offer for some customers.

    Parameters
    ----------
    customers : DataFrame
        One row per customer, with the columns that the offers name or need.
    offers : sequence of Offer
    rows : ndarray of shape (n_customers,) or slice
        Positions in the frame.

    Returns
    -------
    costs : ndarray of shape (n_offers, n_customers), or (n_offers, 1) where no cost depends on the customer
    gains : ndarray of shape (n_offers, n_customers)

    Raises
    ------
    SchemaError
        If a column is missing or holds what it must not.

    Examples
    --------
    >>> customers = pd.DataFrame({"churn_probability": [0.5, 0.1], "clv": [400.0, 300.0]})
    >>> costs, gains = price_offers(customers, [Offer("coupon", 10, save_rate=0.1)], np.array([1, 0]))
    >>> costs.tolist(), gains.tolist()
    ([[10.0]], [[-7.0, 10.0]])
    """
    each = [_expected_cost(customers, offer) for offer in offers]
    wide = any(cost.size > 1 for cost in each)
    length = len(customers)
    costs = np.stack([np.broadcast_to(cost, length)[rows] if wide else cost for cost in each])
    if any(offer.save_rate is not None for offer in offers):
        lost = at_risk(customers)[rows]
    gains = np.empty((len(offers), length if isinstance(rows, slice) else len(rows)))
    for gain, offer in zip(gains, offers, strict=True):
        if offer.save_rate is not None:
            np.multiply(lost, offer.save_rate, out=gain)
        else:
            gain[:] = np.broadcast_to(read_gain(customers, offer), length)[rows]
    gains -= costs
    return costs, gains


def at_risk(customers: pd.DataFrame) -> Floats:
    """Return what each customer's leaving is expected to lose: churn probability × value.

    >>> at_risk(pd.DataFrame({"churn_probability": [0.5, 0.1], "clv": [400.0, 300.0]}))
    array([200.,  30.])
    """
    return read_probability(customers) * read_value(customers)


def read_probability(customers: pd.DataFrame, name: str = "churn_probability") -> Floats:
    """Return a column of probabilities, checked to be so.

    >>> read_probability(pd.DataFrame({"churn_probability": [0.25, 1.0]}))
    array([0.25, 1.  ])
    """
    remedy = "Join it to the frame, or rename the column that holds it."
    values = read_finite(customers, name, what=SAVING, remedy=remedy)
    check_rows((values >= 0) & (values <= 1), f"`{name}` must be between 0 and 1.")
    return values


def value_column(customers: pd.DataFrame) -> str:
    """Return the name of the column that holds what is lost with a customer: ``value_at_stake``, or else ``clv``.

    >>> value_column(pd.DataFrame({"clv": [120.0]}))
    'clv'
    """
    return next((column for column in VALUE_COLUMNS if column in customers.columns), VALUE_COLUMNS[0])


def read_value(customers: pd.DataFrame) -> Floats:
    """Return ``value_at_stake``, or else ``clv``.

    >>> read_value(pd.DataFrame({"clv": [120.0, 80.0]}))
    array([120.,  80.])
    """
    remedy = f"Join {' or '.join(VALUE_COLUMNS)} to the frame: what is lost when the customer leaves."
    return read_finite(customers, value_column(customers), what=SAVING, remedy=remedy)


def read_gain(customers: pd.DataFrame, offer: Offer) -> Floats:
    """Return an offer's gain before cost: (n_customers,), or (1,) where it is the same for each.

    >>> read_gain(pd.DataFrame({"uplift": [1, 2]}), Offer("call", 5, gain="uplift", value_basis="experiment"))
    array([1., 2.])
    """
    return _number_or_column(customers, offer, offer.gain)


def _expected_cost(customers: pd.DataFrame, offer: Offer) -> Floats:
    cost = _cost(customers, offer, offer.cost)
    if offer.redemption_cost is None:
        return cost
    rate = _number_or_column(customers, offer, offer.redemption_rate)
    check_rows((rate >= 0) & (rate <= 1), f"`{offer.redemption_rate}` must be between 0 and 1.")
    return cost + rate * _cost(customers, offer, offer.redemption_cost)


def _cost(customers: pd.DataFrame, offer: Offer, given: float | str) -> Floats:
    values = _number_or_column(customers, offer, given)
    check_rows(values >= 0, f"`{given}` must be at least 0.")
    return values


def _number_or_column(customers: pd.DataFrame, offer: Offer, given: float | str | None) -> Floats:
    if not isinstance(given, str):
        return np.array([given], dtype=np.float64)
    what = f"customers for offer {offer.name!r}"
    return read_finite(customers, given, what=what, remedy="Join it to the frame, or correct the offer.")
