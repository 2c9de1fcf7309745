"""How far a plan's gain may be from what is expected: one source of doubt at a time, then together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crm_ml.decisions.budget.offers import Offer, at_risk, read_gain, read_probability, read_value, value_column
from crm_ml.decisions.budget.options import Choice, Floats
from crm_ml.decisions.columns import check_rows, read_finite

__all__ = ["SOURCES", "doubt_by_source", "together"]

SOURCES = ("churn", "value", "effect")


def doubt_by_source(customers: pd.DataFrame, offers: Sequence[Offer], choice: Choice) -> pd.DataFrame:
    """Return by how much each source of doubt may lower or raise a plan's total gain, at 90 %.

    Three sources, as far as the offers and the customers' columns have an interval for them: ``churn_lower``
    and ``churn_upper``; the value's own, such as ``clv_lower`` and ``clv_upper``; each offer's effect. If one
    customer's churn probability is too high, so is everyone's, and so with an offer's effect: these move the
    total for all customers at once. A customer's value is off by itself, so that over many customers its
    errors even out. Offers' effects err independently. All of it is to first order.

    Parameters
    ----------
    customers : DataFrame of n_customers rows
    offers : sequence of Offer
    choice : ndarray of shape (n_customers,)
        Position of each customer's offer.

    Returns
    -------
    DataFrame
        Indexed by ``source``: ``lower``, at most 0, and ``upper``, at least 0.
    """
    churn, value, effect = np.zeros(2), np.zeros(2), np.zeros(2)
    found = set()
    for place, offer in enumerate(offers):
        mine = customers[choice == place]
        if offer.save_rate is not None and len(mine):
            probability, worth = read_probability(mine), read_value(mine)
            if (sides := _sides(mine, "churn")) is not None:
                found.add("churn")
                churn += [float(((side - probability) * worth).sum()) * offer.save_rate for side in sides]
            if (sides := _sides(mine, value_column(mine))) is not None:
                found.add("value")
                value += [float(np.square((side - worth) * probability * offer.save_rate).sum()) for side in sides]
        if (moved := _effect(mine, offer)) is not None:
            found.add("effect")
            effect += np.square(moved)
    totals = {"churn": churn, "value": _apart(value), "effect": _apart(effect)}
    rows = [(source, *totals[source]) for source in SOURCES if source in found]
    return pd.DataFrame(rows, columns=["source", "lower", "upper"]).set_index("source")


def together(doubt: pd.DataFrame) -> tuple[float, float]:
    """Return by how much independent sources may lower or raise the total: the root of the sum of squares.

    >>> together(pd.DataFrame({"lower": [-3.0, -4.0], "upper": [0.0, 1.0]}))
    (-5.0, 1.0)
    """
    low, high = np.sqrt(np.square(doubt[["lower", "upper"]].to_numpy(dtype=np.float64)).sum(axis=0))
    return -float(low), float(high)


def _apart(squares: Floats) -> Floats:
    return np.asarray(np.sqrt(squares) * np.array([-1.0, 1.0]))


def _effect(customers: pd.DataFrame, offer: Offer) -> Floats | None:
    """Return by how much the effect's interval lowers and raises the gain of an offer's customers together."""
    if isinstance(offer.gain, str):
        sides = _sides(customers, offer.gain)
        middle = read_gain(customers, offer)
        return None if sides is None or not len(customers) else np.array([(side - middle).sum() for side in sides])
    if offer.interval is None or not len(customers):
        return None
    if offer.save_rate is None:
        return len(customers) * (np.array(offer.interval) - read_gain(customers, offer))
    return float(at_risk(customers).sum()) * (np.array(offer.interval) - offer.save_rate)


def _sides(customers: pd.DataFrame, name: str) -> tuple[Floats, Floats] | None:
    """Return the columns with a quantity's lower and upper end, where there are both."""
    lower, upper = f"{name}_lower", f"{name}_upper"
    if not {lower, upper} <= set(customers.columns):
        return None
    remedy = "Join both ends, or drop both."
    ends = tuple(read_finite(customers, column, what="customers", remedy=remedy) for column in (lower, upper))
    check_rows(ends[0] <= ends[1], f"`{lower}` must be at most `{upper}`.")
    return ends[0], ends[1]
