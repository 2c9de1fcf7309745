"""Who is left out of a fit of spend, and whether spend depends on how often a customer buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["spend_evidence", "spend_notes", "telling"]

Array = NDArray[np.float64]

LARGE_CORRELATION = 0.2
"""Frequency then explains 4 % of the variance of mean spend; CDNOW's 0.11, taken for independence by the
model's authors, is below."""
_CERTAIN = 2.58
"""Standard errors, 1 / sqrt(n - 1), from which a correlation is no accident at the 1 % level."""


def telling(x: Array, m: Array, weight: Array) -> NDArray[np.bool_]:
    """Mark the customers who say something about spend.

    Examples
    --------
    >>> telling(np.array([0.0, 1, 2]), np.array([0, 10, -5.0]), np.ones(3)).tolist()
    [False, True, False]
    """
    return np.asarray((x > 0) & (m > 0) & (weight > 0))


def spend_evidence(x: Array, m: Array, weight: Array, *, used: Sequence[Array]) -> dict[str, Any]:
    """Count customers by what is known of their spend, and correlate it with frequency.

    Parameters
    ----------
    x, m, weight : ndarray of shape (n,)
        Repeat purchases, their mean spend, customers.
    used : three ndarray
        The same of the customers who are `telling`.

    Examples
    --------
    >>> x, m, weight = np.array([[0.0, 1, 2, 3, 2], [0, 10, 20, 30, -5], np.ones(5)])
    >>> evidence = spend_evidence(x, m, weight, used=[column[1:4] for column in (x, m, weight)])
    >>> [evidence[f"customers{part}"] for part in ("", "_without_repeat_spend", "_with_nonpositive_spend")]
    [3.0, 1.0, 1.0]
    >>> round(evidence["frequency_spend_correlation"], 9)
    1.0
    """
    repeat = x > 0
    return {
        "customers": float(used[-1].sum()),
        "customers_without_repeat_spend": float(weight @ (~repeat).astype(float)),
        "customers_with_nonpositive_spend": float(weight[np.flatnonzero(repeat & (m <= 0))].sum()),
        "frequency_spend_correlation": _correlation(*used),
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
    total = weight.sum()
    x, y = x - weight @ x / total, y - weight @ y / total
    weighted_x, weighted_y = weight * x, weight * y
    spread = float(np.sqrt((weighted_x @ x) * (weighted_y @ y)) / total)
    varies = spread > 1e-12 * max(1.0, float(y.max()), -float(y.min()))
    return float(weighted_x @ y / total) / spread if varies else None
