"""Covariates on a common scale: mean 0 and standard deviation 1 over the customers fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_ml.errors import CrmError, SchemaError, out_of_range

__all__ = ["Standard", "check_l2", "check_names"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Standard:
    """Means and standard deviations of covariates over weighted customers.

    Attributes
    ----------
    means, scales : ndarray of shape (n_covariates,)
    """

    means: Array
    scales: Array

    @classmethod
    def of(cls, values: Array, weight: Array, *, names: Sequence[str]) -> Standard:
        """Measure covariates, one per column.

        Parameters
        ----------
        values : ndarray of shape (n_customers, n_covariates)
        weight : ndarray of shape (n_customers,), > 0
        names : sequence of str

        Raises
        ------
        SchemaError
            If a covariate does not vary.

        Examples
        --------
        >>> standard = Standard.of(np.array([[1.0], [3.0]]), np.array([3.0, 1.0]), names=["age"])
        >>> standard.means.tolist(), standard.scales.round(4).tolist()
        ([1.5], [0.866])
        """
        for name, column in zip(names, values.T, strict=True):
            if np.ptp(column) <= 1e-12 * np.abs(column).max():
                raise SchemaError(
                    f"The covariate `{name}` must vary among the customers fitted; all {len(column):,} distinct "
                    f"histories hold {column[0]:g}.\nLeave it out: it cannot tell one customer from another."
                )
        share = weight / weight.sum()
        means = share @ values
        return cls(means, np.sqrt(share @ (values - means) ** 2))

    def of_rows(self, values: Array) -> Array:
        """Return covariates in standard deviations from the mean."""
        return np.asarray((values - self.means) / self.scales)


def check_names(setting: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of covariates, each a string and there once.

    Raises
    ------
    CrmError
    """
    listed = [names] if isinstance(names, str) else list(names)
    if isinstance(names, str) or len(set(listed)) < len(listed) or not all(isinstance(name, str) for name in listed):
        raise CrmError(out_of_range(setting, names, "be a list of column names, each there once"))
    return tuple(listed)


def check_l2(l2: float) -> float:
    """Return the strength of the penalty on squared coefficients.

    Raises
    ------
    CrmError
    """
    if not (np.isfinite(l2) and l2 >= 0):
        raise CrmError(out_of_range("l2", l2, "be 0 or more and finite"))
    return float(l2)
