"""A retention campaign: what contacting a customer costs and brings in."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from crm_ml.errors import SchemaError, out_of_range

__all__ = ["RetentionCampaign", "check_costs", "read_per_customer", "read_shares"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RetentionCampaign:
    """What it costs to contact a customer, and what that achieves.

    Whoever would leave stays with probability `save_rate`, and then costs the incentive and keeps their
    value; whoever would stay anyway takes the incentive as well; each contact costs `contact_cost`.

    Parameters
    ----------
    save_rate : float
        Share of would-be churners whom the contact keeps, from 0 to 1; γ in the literature.
    incentive_cost : float
        Cost of the incentive for each customer who takes it, money, at least 0.
    contact_cost : float
        Cost of contacting one customer, money, at least 0.

    Raises
    ------
    SchemaError
        A number is outside its domain.

    References
    ----------
    Neslin, Gupta, Kamakura, Lu and Mason (2006), Defection Detection, Journal of Marketing Research 43(2);
    Verbraken, Verbeke and Baesens (2013), A Novel Profit Maximizing Metric for Measuring Classification
    Performance of Customer Churn Prediction Models, IEEE Transactions on Knowledge and Data Engineering 25(5).

    Examples
    --------
    >>> campaign = RetentionCampaign(save_rate=0.3, incentive_cost=10, contact_cost=1)
    >>> campaign.profit([1, 0, 0.5], [200, 200, 200]).tolist()
    [56.0, -11.0, 22.5]
    """

    _: KW_ONLY
    save_rate: float
    incentive_cost: float
    contact_cost: float

    def __post_init__(self) -> None:
        if not 0 <= self.save_rate <= 1:
            raise SchemaError(out_of_range("save_rate", self.save_rate, "be between 0 and 1"))
        check_costs(incentive_cost=self.incentive_cost, contact_cost=self.contact_cost)

    def profit(self, churn: npt.ArrayLike, value: npt.ArrayLike) -> Float:
        """Return what contacting each customer brings in on average over whether they accept.

        Parameters
        ----------
        churn : (n,) from 0 to 1
            Whether the customer left, for what would have been earned; or the calibrated probability of it,
            for what is to be expected.
        value : (n,) or one number
            What is lost with each customer who leaves, money.

        Returns
        -------
        ndarray
            (n,) money: ``churn × save_rate × (value − incentive_cost) − (1 − churn) × incentive_cost −
            contact_cost``.

        Raises
        ------
        SchemaError
            An array has another shape, or a number outside its domain.
        """
        leaving = read_shares(churn, name="churn")
        worth = read_per_customer(value, name="value", customers=len(leaving))
        saved = self.save_rate * (worth - self.incentive_cost)
        return leaving * saved - (1 - leaving) * self.incentive_cost - self.contact_cost


def check_costs(**costs: float) -> None:
    """Refuse costs below 0 or without end."""
    for name, cost in costs.items():
        if not (math.isfinite(cost) and cost >= 0):
            raise SchemaError(out_of_range(name, cost, "be finite and at least 0"))


def read_shares(given: npt.ArrayLike, *, name: str) -> Float:
    """Return the array as (n,) numbers from 0 to 1, or refuse it."""
    found = np.asarray(given, dtype=np.float64)
    if found.ndim != 1 or len(found) == 0:
        raise SchemaError(f"`{name}` must have one value per customer; got shape {found.shape}.\nPass an (n,) array.")
    outside = int((~((found >= 0) & (found <= 1))).sum())
    if outside:
        raise SchemaError(
            f"`{name}` must lie between 0 and 1; {outside:,} of {len(found):,} values do not.\n"
            "Calibrate scores first, and leave out customers who are not known."
        )
    return found


def read_per_customer(given: npt.ArrayLike, *, name: str, customers: int) -> Float:
    """Return the array, or the one number, as (n,) finite numbers, or refuse it."""
    found = np.asarray(given, dtype=np.float64)
    if found.shape not in {(), (customers,)}:
        raise SchemaError(
            f"`{name}` must have one value per customer; got shape {found.shape} for {customers:,} customers.\n"
            "Align them by customer_id."
        )
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise SchemaError(
            f"`{name}` must be finite; {bad:,} of {found.size:,} values are not.\nLeave those customers out."
        )
    return np.broadcast_to(found, (customers,))
