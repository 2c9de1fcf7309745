"""What a plan must keep to besides its budget, as the shop says it and as limits."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.budget.offers import Offer
from crm_ml.decisions.budget.options import PER_CONTACT, PER_COST, PER_GAIN, Floats, Limits
from crm_ml.decisions.draws import salted_draws
from crm_ml.errors import CrmError, SchemaError, missing_column, out_of_range

__all__ = ["BudgetConstraints", "Term", "as_limits", "group_customers", "kept_aside", "limits_table", "terms"]


@dataclass(frozen=True, kw_only=True)
class BudgetConstraints:
    """What a plan must keep to besides its budget.

    Parameters
    ----------
    channel_budgets : mapping of str to float
        The most that the offers of a channel may cost together.
    contact_caps : mapping of str to int
        The most customers who may be given an offer.
    segment : str, optional
        Column with each customer's segment, for the shares.
    minimum_shares, maximum_shares : mapping of segment to float
        The least and the most of all that is spent that goes to a segment, from 0 to 1.
    minimum_return : float, optional
        The least expected net gain per unit spent, over the plan as a whole: at 0.5 a dollar brings itself
        and at least 50 cents.
    excluded : collection of customer_id
        Customers who are given nothing; identifiers that are not among the customers are passed over.
    holdout_share : float, default 0
        Share of customers kept aside at random, from 0 to below 1, to measure the plan against.
    salt : str, optional
        Names the random choice; needed with a holdout. The same salt keeps the same customers aside.

    Raises
    ------
    CrmError
        If a number is outside its domain.

    Examples
    --------
    >>> BudgetConstraints(contact_caps={"call": 500}, minimum_return=0.5).minimum_return
    0.5
    """

    channel_budgets: Mapping[str, float] = field(default_factory=dict)
    contact_caps: Mapping[str, int] = field(default_factory=dict)
    segment: str | None = None
    minimum_shares: Mapping[Hashable, float] = field(default_factory=dict)
    maximum_shares: Mapping[Hashable, float] = field(default_factory=dict)
    minimum_return: float | None = None
    excluded: Collection[Hashable] = ()
    holdout_share: float = 0.0
    salt: str | None = None

    def __post_init__(self) -> None:
        for name in ("channel_budgets", "contact_caps"):
            for key, value in getattr(self, name).items():
                if not (math.isfinite(value) and value >= 0):
                    raise CrmError(out_of_range(f"{name}[{key!r}]", value, "be finite and at least 0"))
        for name in ("minimum_shares", "maximum_shares"):
            for key, value in getattr(self, name).items():
                if not 0 <= value <= 1:
                    raise CrmError(out_of_range(f"{name}[{key!r}]", value, "be between 0 and 1"))
        for key, most in self.maximum_shares.items():
            least = self.minimum_shares.get(key, 0.0)
            if least > most:
                raise CrmError(out_of_range(f"minimum_shares[{key!r}]", least, f"be at most its maximum, {most}"))
        if (total := sum(self.minimum_shares.values())) > 1:
            raise CrmError(out_of_range("minimum_shares", total, "add up to at most 1"))
        if self.named_segments() and self.segment is None:
            raise CrmError("`segment` must name the column that holds the segments where shares are given.")
        if self.minimum_return is not None and not (math.isfinite(self.minimum_return) and self.minimum_return >= 0):
            raise CrmError(out_of_range("minimum_return", self.minimum_return, "be finite and at least 0"))
        if not 0 <= self.holdout_share < 1:
            raise CrmError(out_of_range("holdout_share", self.holdout_share, "be at least 0 and below 1"))
        if self.holdout_share > 0 and self.salt is None:
            raise CrmError("`salt` must be given with a `holdout_share`.\nName the campaign: another name draws anew.")

    def named_segments(self) -> list[Hashable]:
        """Return the segments that have a share, each once."""
        return list(dict.fromkeys([*self.minimum_shares, *self.maximum_shares]))


def kept_aside(constraints: BudgetConstraints, customers: pd.Index) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return who is excluded, and who of the others is held out.

    >>> kept_aside(BudgetConstraints(excluded=["ann"]), pd.Index(["ann", "bob"]))[0].tolist()
    [True, False]
    """
    excluded = np.zeros(len(customers), dtype=bool)
    if len(constraints.excluded):
        excluded = np.asarray(customers.isin(list(constraints.excluded)))
    held_out = np.zeros(len(customers), dtype=bool)
    if constraints.holdout_share > 0 and constraints.salt is not None:
        held_out = (salted_draws(customers, salt=constraints.salt) < constraints.holdout_share) & ~excluded
    return excluded, held_out


def group_customers(constraints: BudgetConstraints, customers: pd.DataFrame) -> NDArray[np.int32]:
    """Return each customer's place among the segments that have a share, counted from 1; 0 for the others.

    Raises
    ------
    SchemaError
        If the column is missing, or no customer is of a segment that has a share.

    Examples
    --------
    >>> constraints = BudgetConstraints(segment="tier", maximum_shares={"vip": 0.5})
    >>> group_customers(constraints, pd.DataFrame({"tier": ["vip", "new", None]}))
    array([1, 0, 0], dtype=int32)
    """
    named = constraints.named_segments()
    if not named or constraints.segment is None:
        return np.zeros(len(customers), dtype=np.int32)
    if constraints.segment not in customers.columns:
        present = [str(column) for column in customers.columns]
        remedy = "Join it to the frame, or correct `segment`."
        raise SchemaError(missing_column(constraints.segment, present, what="customers", remedy=remedy))
    codes, found = pd.factorize(customers[constraints.segment])
    unknown = [name for name in named if name not in found]
    if unknown and len(customers):
        evidence = f"no customer is of segment {unknown}; there are {sorted(map(str, found))[:20]}"
        raise SchemaError(f"shares must name segments in `{constraints.segment}`: {evidence}.\nCorrect the names.")
    places = pd.Index(named).get_indexer(found) + 1
    return np.append(places, 0)[codes].astype(np.int32)


class Term(NamedTuple):
    """A limit and how it was stated.

    `direction` is 0 where the limit is an amount; where it is relative to all that is spent, 1 for a most and
    −1 for a least.
    """

    name: str
    stated: float
    weights: Floats
    direction: int = 0


def terms(constraints: BudgetConstraints, offers: Sequence[Offer], budget: float) -> list[Term]:
    """Return the budget and the constraints one by one, the budget first.

    Shares and return are of the spend itself, so that giving nothing is always within them:
    ``share × spend`` may not pass the segment's spend, and ``minimum_return × spend`` not the net gain.

    Raises
    ------
    CrmError
        If a channel or an offer is named that there is not.
    """
    named = constraints.named_segments()
    spend = np.zeros((3, len(offers), 1 + len(named)))
    spend[PER_COST] = 1
    found = [Term("budget", budget, spend)]
    channels, offer_names = [offer.channel for offer in offers], [offer.name for offer in offers]
    for channel, amount in constraints.channel_budgets.items():
        _check_named(channel, channels, "channel_budgets", "channel")
        mine = np.array([other == channel for other in channels])
        found.append(Term(f"budget of {channel}", amount, np.where(mine[None, :, None], spend, 0.0)))
    for name, cap in constraints.contact_caps.items():
        _check_named(name, offer_names, "contact_caps", "name")
        contacts = np.zeros_like(spend)
        contacts[PER_CONTACT, offer_names.index(name)] = 1
        found.append(Term(f"contacts of {name}", cap, contacts))
    for direction, what, shares in (
        (-1, "least share", constraints.minimum_shares),
        (1, "largest share", constraints.maximum_shares),
    ):
        for segment, share in shares.items():
            beyond = -share * spend
            beyond[PER_COST, :, named.index(segment) + 1] += 1
            found.append(Term(f"{what} of {segment}", share, direction * beyond, direction))
    if constraints.minimum_return is not None:
        short = constraints.minimum_return * spend
        short[PER_GAIN] = -1
        found.append(Term("return", constraints.minimum_return, short, -1))
    return found


def as_limits(found: Sequence[Term]) -> Limits:
    """Return terms as limits."""
    amounts = [0.0 if term.direction else term.stated for term in found]
    return Limits(np.array([term.weights for term in found]), np.array(amounts, dtype=np.float64))


def limits_table(found: Sequence[Term], totals: Floats, prices: Floats) -> pd.DataFrame:
    """Return what a plan reaches of each limit, and what more of it would bring.

    Parameters
    ----------
    found : sequence of Term
    totals : ndarray of shape (3, n_offers, n_groups)
        Contacts, costs and gains of the plan.
    prices : ndarray of shape (n_limits,)

    Returns
    -------
    DataFrame
        Indexed by ``limit``: ``stated``, ``reached`` and ``price``, the expected gain per unit that the limit
        is relaxed by.
    """
    spend = float(totals[PER_COST].sum())
    rows = []
    for term, price, use in zip(found, prices, as_limits(found).usage(totals), strict=True):
        if term.direction == 0:
            rows.append((term.name, term.stated, use, price))
        else:
            share = term.stated + term.direction * use / spend if spend > 0 else np.nan
            rows.append((term.name, term.stated, share, price * spend))
    return pd.DataFrame(rows, columns=["limit", "stated", "reached", "price"]).set_index("limit")


def _check_named(name: object, known: Sequence[object], setting: str, what: str) -> None:
    if name not in known:
        there = sorted({str(each) for each in known if each is not None})
        raise CrmError(f"`{setting}` must name the offers' {what}s; {name!r} is none of {there}.\nCorrect the name.")
