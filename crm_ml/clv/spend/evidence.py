"""Who is left out of a fit of spend, and whether spend depends on how often a customer buys."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["spend_evidence", "spend_notes"]

Array = NDArray[np.float64]

LARGE_CORRELATION = 0.2
"""Frequency then explains 4 % of the variance of mean spend; CDNOW's 0.11, taken for independence by the
model's authors, is below."""
_CERTAIN = 2.58
"""Standard errors, 1 / sqrt(n - 1), from which a correlation is no accident at the 1 % level."""


def spend_evidence(x: Array, m: Array, weight: Array) -> dict[str, Any]:
    """Count customers by what is known of their spend, and correlate it with frequency.

    Parameters
    ----------
    x, m, weight : ndarray of shape (n,)
        Repeat purchases, their mean spend, customers.

    Examples
    --------
    >>> evidence = spend_evidence(np.array([0.0, 1, 2, 3, 2]), np.array([0, 10, 20.0, 30, -5]), np.ones(5))
    >>> [evidence[f"customers{part}"] for part in ("", "_without_repeat_spend", "_with_nonpositive_spend")]
    [3.0, 1.0, 1.0]
    >>> round(evidence["frequency_spend_correlation"], 9)
    1.0
    """
    repeat, positive = x > 0, m > 0
    used = repeat & positive & (weight > 0)
    return {
        "customers": float(weight[used].sum()),
        "customers_without_repeat_spend": float(weight[~repeat].sum()),
        "customers_with_nonpositive_spend": float(weight[repeat & ~positive].sum()),
        "frequency_spend_correlation": _correlation(x[used], m[used], weight[used]),
    }


def spend_notes(evidence: dict[str, Any], *, remedy: str | None) -> list[str]:
    """Say what is doubtful about a fit of spend.

    Parameters
    ----------
    evidence : dict
        From `spend_evidence`.
    remedy : str or None
        What to do where spend depends on frequency: a correlation of at least 0.2 that is significant at the 1 %
        level. None for a model to which this does no harm.

    Examples
    --------
    >>> evidence = {"customers": 500.0, "customers_with_nonpositive_spend": 2.0, "frequency_spend_correlation": 0.31}
    >>> for note in spend_notes(evidence, remedy="use SpendRegression."):
    ...     print(note)
    2 customers bought again at a mean spend of 0 or less (returns): left out of the fit, they are predicted the mean.
    Spend depends on frequency: their correlation is 0.31, where the model takes it for 0; use SpendRegression.
    """
    notes = []
    if evidence["customers_with_nonpositive_spend"] > 0:
        notes.append(
            f"{evidence['customers_with_nonpositive_spend']:,.0f} customers bought again at a mean spend of 0 or less "
            "(returns): left out of the fit, they are predicted the mean."
        )
    correlation = evidence["frequency_spend_correlation"]
    if remedy is None or correlation is None:
        return notes
    accident = _CERTAIN / np.sqrt(max(evidence["customers"] - 1.0, 1.0))
    if abs(correlation) >= max(LARGE_CORRELATION, accident):
        notes.append(
            f"Spend depends on frequency: their correlation is {correlation:.2f}, where the model takes it for 0; "
            f"{remedy}"
        )
    return notes


def _correlation(x: Array, y: Array, weight: Array) -> float | None:
    """Weighted Pearson correlation; None where one side does not vary."""
    share = weight / weight.sum()
    x, y = x - share @ x, y - share @ y
    spread = float(np.sqrt((share @ x**2) * (share @ y**2)))
    return float(share @ (x * y)) / spread if spread > 1e-12 * max(1.0, float(np.abs(y).max())) else None
