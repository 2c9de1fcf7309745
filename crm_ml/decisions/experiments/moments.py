"""What an arm's outcomes come down to: count, means and covariances, from one pass over the customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "grouped_moments"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """Count, means and covariances of p columns, of one group of customers or of an array of groups.

    Attributes
    ----------
    count : (...) customers.
    mean : (..., p).
    covariance : (..., p, p), with the divisor count − 1; NaN for a group of fewer than two.
    """

    count: Floats
    mean: Floats
    covariance: Floats

    @classmethod
    def from_sums(cls, count: Floats, sums: Floats, products: Floats, *, centre: Floats | float = 0.0) -> Self:
        """Return the moments of values given by their sums.

        Parameters
        ----------
        count : (...) customers.
        sums : (..., p) sums of value − centre.
        products : (..., p, p) sums of products of these differences.
        centre : (p,) any numbers near the means, so that nothing cancels.

        Examples
        --------
        >>> found = Moments.from_sums(np.array(3.0), np.array([6.0]), np.array([[14.0]]))
        >>> found.mean, found.covariance
        (array([2.]), array([[1.]]))
        """
        at_least_two = np.where(count >= 2, count, np.nan)[..., None]
        mean = sums / np.where(count > 0, count, np.nan)[..., None]
        spread = products - sums[..., :, None] * mean[..., None, :]
        return cls(count, mean + centre, spread / (at_least_two[..., None] - 1.0))

    @classmethod
    def concatenated(cls, parts: Sequence[Moments]) -> Self:
        """Return the groups of several arrays of groups, one after the other."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def __getitem__(self, groups: Any) -> Moments:
        """Return some of the groups."""
        return Moments(self.count[groups], self.mean[groups], self.covariance[groups])

    def columns(self, places: list[int]) -> Moments:
        """Return the moments of some of the columns, in the order asked for."""
        return Moments(self.count, self.mean[..., places], self.covariance[..., places, :][..., places])


def grouped_moments(values: Floats, groups: Integers, *, n_groups: int) -> Moments:
    """Return the moments of each group.

    Parameters
    ----------
    values : (n, p) one row per customer.
    groups : (n,) each customer's group, from 0 to n_groups − 1.

    Examples
    --------
    >>> found = grouped_moments(np.array([[1.0], [3.0], [7.0], [7.0]]), np.array([0, 0, 1, 1]), n_groups=2)
    >>> found.mean.ravel().tolist(), found.covariance.ravel().tolist()
    ([2.0, 7.0], [2.0, 0.0])
    """
    p = values.shape[1]
    centre = values.mean(axis=0)
    sums, products = np.empty((n_groups, p)), np.empty((n_groups, p, p))
    for i in range(p):
        column = values[:, i] - centre[i]
        sums[:, i] = np.bincount(groups, weights=column, minlength=n_groups)
        for j in range(i + 1):
            product = np.bincount(groups, weights=column * (values[:, j] - centre[j]), minlength=n_groups)
            products[:, i, j] = products[:, j, i] = product
    count = np.bincount(groups, minlength=n_groups).astype(np.float64)
    return Moments.from_sums(count, sums, products, centre=centre)
