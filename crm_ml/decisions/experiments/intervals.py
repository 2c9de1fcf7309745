"""How many standard errors an interval reaches: for one reading, or for one that may be looked at every day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

__all__ = ["AlwaysValid", "FixedSample", "Inference", "mixture_weight"]

Floats = NDArray[np.float64]


class Inference(Protocol):
    """What turns standard errors into intervals and p-values."""

    def reach(self, alpha: float) -> Floats:
        """Return the standard errors to either side of an interval that misses with probability alpha."""

    def p_value(self, z: Floats) -> Floats:
        """Return the two-sided p-value of an effect of z standard errors."""


@dataclass(frozen=True)
class FixedSample:
    """Student's t: valid for one reading, at a moment fixed beforehand.

    Attributes
    ----------
    degrees_of_freedom : (...).

    Examples
    --------
    >>> FixedSample(np.array([10.0, 1e9])).reach(0.05).round(3).tolist()
    [2.228, 1.96]
    """

    degrees_of_freedom: Floats

    def reach(self, alpha: float) -> Floats:
        """Return the standard errors to either side of an interval that misses with probability alpha."""
        return np.asarray(stats.t.isf(alpha / 2.0, self.degrees_of_freedom), dtype=np.float64)

    def p_value(self, z: Floats) -> Floats:
        """Return the two-sided p-value of an effect of z standard errors."""
        return np.asarray(2.0 * stats.t.sf(np.abs(z), self.degrees_of_freedom), dtype=np.float64)


@dataclass(frozen=True)
class AlwaysValid:
    """An asymptotic confidence sequence: valid at all moments together, however often one looks.

    The normal mixture of Robbins (1970) in the asymptotic form of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    (2024, theorem 2.2): with w customers for each that the mixing normal is worth, an interval reaches
    ``sqrt((1 + 1/w) log((1 + w) / alpha²))`` standard errors, and the p-value is
    ``sqrt(1 + w) exp(−z² w / (2 (1 + w)))``, at most 1.

    Attributes
    ----------
    customers : (...) of both arms so far.
    planned_customers : at so many the interval is narrowest, at level `tuned_for`.

    Examples
    --------
    >>> sequence = AlwaysValid(np.array([100.0, 1_000.0, 10_000.0]), planned_customers=1_000, tuned_for=0.05)
    >>> sequence.reach(0.05).round(3).tolist()
    [3.823, 3.035, 3.246]
    """

    customers: Floats
    planned_customers: float
    tuned_for: float

    @property
    def _weight(self) -> Floats:
        weight: Floats = self.customers * (mixture_weight(self.tuned_for) / self.planned_customers)
        return weight

    def reach(self, alpha: float) -> Floats:
        """Return the standard errors to either side of a sequence that ever misses with probability alpha."""
        w = self._weight
        reach: Floats = np.sqrt((1.0 + 1.0 / w) * (np.log1p(w) - 2.0 * np.log(alpha)))
        return reach

    def p_value(self, z: Floats) -> Floats:
        """Return the always-valid p-value of an effect of z standard errors: where `reach` meets it."""
        w = self._weight
        return np.asarray(np.minimum(1.0, np.exp(0.5 * (np.log1p(w) - z**2 * w / (1.0 + w)))), dtype=np.float64)


def mixture_weight(alpha: float) -> float:
    """Return the w at which ``(1 + 1/w) log((1 + w) / alpha²)`` is least.

    ``w = −W₋₁(−alpha² / e) − 1`` with Lambert's function (Howard, Ramdas, McAuliffe and Sekhon, 2021, section 3.5).

    Examples
    --------
    >>> round(mixture_weight(0.05), 4)
    8.212
    """
    return float(-special.lambertw(-(alpha**2) / np.e, k=-1).real - 1.0)
