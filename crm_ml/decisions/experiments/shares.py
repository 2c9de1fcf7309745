"""The shares of the arms: customers cut at them, and whether the arms still have the sizes they were cut to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from crm_ml.decisions.experiments.intervals import mixture_weight
from crm_ml.errors import CrmError, SampleRatioError, SchemaError, missing_column, out_of_range

__all__ = [
    "MISMATCH_LEVEL",
    "SampleRatio",
    "check_sample_ratio",
    "check_shares",
    "cut_at_shares",
    "cut_strata",
    "sample_ratio",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MISMATCH_LEVEL = 0.01
"""A sound experiment is blocked once in a hundred; reading a faulty one is worse than looking twice at a sound one."""


def check_shares(shares: Mapping[str, float], *, name: str = "arms", control: str | None = None) -> None:
    """Refuse shares that do not divide all customers among two arms or more.

    Raises
    ------
    CrmError
        If a share is not between 0 and 1, or they do not sum to 1.
    SchemaError
        If the control is not among the arms.

    Examples
    --------
    >>> check_shares({"control": 0.5, "coupon": 0.5}, control="control")
    """
    given = np.array(list(shares.values()), dtype=np.float64)
    if len(given) < 2 or not np.all((given > 0) & (given < 1)) or abs(given.sum() - 1.0) > 1e-9:
        raise CrmError(out_of_range(name, dict(shares), "map two arms or more to shares above 0 that sum to 1"))
    if control is not None and control not in shares:
        remedy = f"Add it to `{name}`, or name the control arm with control=..."
        raise SchemaError(missing_column(control, shares, what=f"`{name}`", remedy=remedy).replace("column", "arm"))


def cut_at_shares(draws: Floats, shares: Floats) -> Integers:
    """Return the arm of each draw: where it falls among the cumulated shares.

    Parameters
    ----------
    draws : (n,) in [0, 1).
    shares : (k,) sum to 1.

    Returns
    -------
    (n,) int64 from 0 to k − 1.

    Examples
    --------
    >>> cut_at_shares(np.array([0.1, 0.2, 0.9]), np.array([0.2, 0.8])).tolist()
    [0, 1, 1]
    """
    return np.searchsorted(np.cumsum(shares)[:-1], draws, side="right").astype(np.int64)


def cut_strata(draws: Floats, strata: Integers, offsets: Floats, shares: Floats) -> Integers:
    """Return arms whose sizes in every stratum differ from their shares by less than one customer.

    Customers of a stratum are ranked by their draws, 0 to m − 1, and ``(rank + offset) / m`` is cut at the shares.
    The offset decides which arm gets the customer too many, so that every customer's chance of an arm is its share
    even in a stratum of one.

    Parameters
    ----------
    draws : (n,) in [0, 1).
    strata : (n,) from 0 to s − 1.
    offsets : (s,) in [0, 1), a draw for each stratum.
    shares : (k,) sum to 1.

    Returns
    -------
    (n,) int64 from 0 to k − 1.

    Examples
    --------
    >>> draws, halves = np.array([0.9, 0.3, 0.5, 0.1]), np.array([0.5, 0.5])
    >>> cut_strata(draws, np.zeros(4, dtype=np.int64), np.array([0.5]), halves).tolist()
    [1, 0, 1, 0]
    """
    order = np.lexsort((draws, strata))
    sizes = np.bincount(strata, minlength=len(offsets))
    ranked = strata[order]
    rank = np.arange(len(draws)) - (np.cumsum(sizes) - sizes)[ranked]
    arms = np.empty(len(draws), dtype=np.int64)
    arms[order] = cut_at_shares((rank + offsets[ranked]) / sizes[ranked], shares)
    return arms


class SampleRatio(NamedTuple):
    """Sizes of the arms beside those expected.

    Attributes
    ----------
    sizes : DataFrame
        Indexed by arm: ``observed`` and ``expected`` customers.
    p_value : float
        Chance of sizes at least so far off; always valid where the reading is sequential.
    """

    sizes: pd.DataFrame
    p_value: float


def sample_ratio(
    observed: Mapping[str, int], expected_shares: Mapping[str, float], *, planned_customers: float | None = None
) -> SampleRatio:
    """Compare the sizes of arms with the shares they were designed with.

    Parameters
    ----------
    observed : mapping of arm to customers.
    expected_shares : mapping of arm to share; they sum to 1.
    planned_customers : float, optional
        Given, the p-value is valid at all looks together, and most sensitive at so many customers: the sequential
        multinomial test of Lindon and Malek (2022). By default it is that of Pearson's chi-square, for one look.

    Returns
    -------
    SampleRatio

    Raises
    ------
    SchemaError, CrmError
        If an arm has no share or the shares do not sum to 1.

    Examples
    --------
    >>> found = sample_ratio({"gate_30": 44_700, "gate_40": 45_489}, {"gate_30": 0.5, "gate_40": 0.5})
    >>> round(found.p_value, 4)
    0.0086
    """
    check_shares(expected_shares, name="expected_shares")
    if unknown := sorted(set(observed) - set(expected_shares)):
        raise SchemaError(
            f"Every arm must have an expected share; {unknown} have none, {sorted(expected_shares)} do.\n"
            "Give the shares the experiment was designed with."
        )
    shares = np.array(list(expected_shares.values()), dtype=np.float64)
    shares /= shares.sum()
    counts = np.array([observed.get(arm, 0) for arm in expected_shares], dtype=np.float64)
    expected = shares * counts.sum()
    if planned_customers is None:
        p_value = float(stats.chisquare(counts, expected).pvalue)
    else:
        p_value = _always_valid(counts, shares, planned_customers)
    index = pd.Index(list(expected_shares), name="arm")
    return SampleRatio(pd.DataFrame({"observed": counts.astype(np.int64), "expected": expected}, index=index), p_value)


def check_sample_ratio(found: SampleRatio) -> None:
    """Refuse arms whose sizes cannot be chance.

    Raises
    ------
    SampleRatioError
        If the p-value is below 0.01.
    """
    if found.p_value < MISMATCH_LEVEL:
        sizes = "; ".join(
            f"{row.Index} {row.observed:,} where {row.expected:,.1f} were expected" for row in found.sizes.itertuples()
        )
        raise SampleRatioError(
            f"The arms must have the sizes they were designed with: {sizes}; p = {found.p_value:.2g}, below "
            f"{MISMATCH_LEVEL}.\nWhat removes customers from one arm more than from another changes its outcome too. "
            "Look for it in assignment, logging and joins, or correct `expected_shares` if others were designed."
        )


def _always_valid(counts: Floats, shares: Floats, planned_customers: float) -> float:
    """Return the reciprocal of the Bayes factor of a Dirichlet around the shares against the shares, at most 1."""
    prior = shares * (planned_customers / mixture_weight(MISMATCH_LEVEL))
    log_factor = (
        special.gammaln(prior.sum())
        - special.gammaln(prior.sum() + counts.sum())
        + np.sum(special.gammaln(prior + counts) - special.gammaln(prior) - special.xlogy(counts, shares))
    )
    return float(np.exp(min(0.0, -log_factor)))
