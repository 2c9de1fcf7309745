"""An arm beside the control, from their moments: means adjusted by covariates, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from crm_ml.decisions.experiments.moments import Moments

__all__ = ["Comparison", "compare", "ratio_interval"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One comparison or an array of them.

    Attributes
    ----------
    customers : (...) of both arms.
    arm_mean, control_mean : (...) means adjusted to the covariates' mean over both arms.
    covariance : (..., 2, 2) of (arm mean, control mean).
    degrees_of_freedom : (...) of the difference, after Welch and Satterthwaite, less one for each covariate.
    variance_ratio : (...) variance of the difference over that without covariates.
    """

    customers: Floats
    arm_mean: Floats
    control_mean: Floats
    covariance: Floats
    degrees_of_freedom: Floats
    variance_ratio: Floats

    def __getitem__(self, at: int) -> Comparison:
        """Return one of the comparisons."""
        return Comparison(**{each.name: getattr(self, each.name)[at] for each in fields(self)})

    @property
    def effect(self) -> Floats:
        """Difference of the means."""
        return self.arm_mean - self.control_mean

    @property
    def standard_error(self) -> Floats:
        """Standard error of the difference; NaN where neither arm varies, for then nothing is known of it."""
        variance = _difference_variance(self.covariance)
        return np.sqrt(np.where(variance > 0, variance, np.nan))


def compare(arm: Moments, control: Moments) -> Comparison:
    """Return the difference between an arm and the control, adjusted by covariates where there are any.

    Parameters
    ----------
    arm, control : Moments
        Of p columns: the outcome first, then p − 1 covariates. At least p + 1 customers in each group.

    Notes
    -----
    The outcome is y − θ'x with one θ for both arms, as in CUPED (Deng, Xu, Kohavi and Walker, 2013), and θ the one
    that makes the estimated variance of the difference least:
    ``θ = (Sxx_a / n_a + Sxx_c / n_c)⁻¹ (Sxy_a / n_a + Sxy_c / n_c)``. In arms of equal size this is the slope of
    the analysis of covariance; in unequal ones it is asymptotically as good as a slope for each arm (Lin, 2013),
    which the analysis of covariance is not. The variance is Welch's of y − θ'x, times (n − 2) / (n − 2 − covariates):
    it holds for customers at large, not only those at hand, and for arms that vary unequally.

    Examples
    --------
    >>> one = lambda n, mean, variance: Moments(np.array(n), np.array([mean]), np.array([[variance]]))
    >>> found = compare(one(400.0, 11.0, 90.0), one(100.0, 10.0, 100.0))
    >>> float(found.effect), float(found.standard_error.round(4)), float(found.degrees_of_freedom.round(1))
    (1.0, 1.1068, 146.7)
    """
    theta = _least_variance_slopes(arm, control)
    customers = arm.count + control.count
    share, rest = arm.count / customers, control.count / customers
    zero, one = np.zeros_like(share), np.ones_like(share)
    within_arm, within_control = _outcome_and_part(arm, theta), _outcome_and_part(control, theta)
    from_arm = _through(_matrix(one, -rest, zero, share), within_arm, arm.count)
    from_control = _through(_matrix(zero, rest, one, -share), within_control, control.count)
    used = arm.mean.shape[-1] - 1
    correction = (customers - 2.0) / (customers - 2.0 - used)
    of_arm, of_control = _difference_variance(from_arm), _difference_variance(from_control)
    satterthwaite = of_arm**2 / (arm.count - 1.0) + of_control**2 / (control.count - 1.0)
    plain = within_arm[..., 0, 0] / arm.count + within_control[..., 0, 0] / control.count
    shift = np.sum(theta * (arm.mean - control.mean)[..., 1:], axis=-1)
    return Comparison(
        customers=customers,
        arm_mean=arm.mean[..., 0] - rest * shift,
        control_mean=control.mean[..., 0] + share * shift,
        covariance=(from_arm + from_control) * correction[..., None, None],
        degrees_of_freedom=_ratio((of_arm + of_control) ** 2, satterthwaite) - used,
        variance_ratio=_ratio((of_arm + of_control) * correction, plain),
    )


def ratio_interval(found: Comparison, *, reach: Floats, complement: bool = False) -> tuple[Floats, Floats, Floats]:
    """Return arm mean over control mean with Fieller's interval (1954).

    It holds 1 exactly where the interval of the difference holds 0. Where the control mean itself cannot be told
    from 0 there is no interval: it is (−inf, inf).

    Parameters
    ----------
    found : Comparison
    reach : (...) standard errors to either side.
    complement : bool
        Whether the ratio is that of 1 − mean, as of churn where retention was measured.

    Examples
    --------
    >>> known = Comparison(*map(np.array, (200.0, 12.0, 10.0, [[0.5, 0.0], [0.0, 0.5]], 198.0, 1.0)))
    >>> [float(end.round(4)) for end in ratio_interval(known, reach=np.array(1.96))]
    [1.2, 1.0036, 1.4434]
    """
    arm, control = found.arm_mean, found.control_mean
    if complement:
        arm, control = 1.0 - arm, 1.0 - control
    squared = reach**2
    of_arm, across, of_control = (found.covariance[..., i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
    leading, middle, last = (
        control**2 - squared * of_control,
        arm * control - squared * across,
        arm**2 - squared * of_arm,
    )
    bounded = leading > 0
    root = np.sqrt(np.where(bounded, np.maximum(middle**2 - leading * last, 0.0), np.nan))
    known = np.where(bounded, leading, np.nan)
    ends = ((middle - root) / known, (middle + root) / known)
    unknown = np.isfinite(leading) & ~bounded
    lower, upper = np.where(unknown, -np.inf, ends[0]), np.where(unknown, np.inf, ends[1])
    return _ratio(arm, control), lower, upper


def _least_variance_slopes(arm: Moments, control: Moments) -> Floats:
    """Solve for θ with covariates scaled to one, so that money beside counts is no matter; (..., p − 1)."""
    pooled = arm.covariance / arm.count[..., None, None] + control.covariance / control.count[..., None, None]
    scale = np.sqrt(np.diagonal(pooled, axis1=-2, axis2=-1)[..., 1:])
    scale = np.where(scale > 0, scale, 1.0)
    among = pooled[..., 1:, 1:] / (scale[..., :, None] * scale[..., None, :])
    solved = np.linalg.pinv(among, rcond=1e-10, hermitian=True) @ (pooled[..., 1:, :1] / scale[..., None])
    slopes: Floats = solved[..., 0] / scale
    return slopes


def _outcome_and_part(group: Moments, theta: Floats) -> Floats:
    """Return the (..., 2, 2) covariance of the outcome y and its part θ'x within a group."""
    x = group.covariance
    across = np.sum(x[..., 0, 1:] * theta, axis=-1)
    part = np.einsum("...i,...ij,...j->...", theta, x[..., 1:, 1:], theta)
    return _matrix(x[..., 0, 0], across, across, part)


def _through(weights: Floats, covariance: Floats, count: Floats) -> Floats:
    through: Floats = weights @ covariance @ np.swapaxes(weights, -1, -2) / count[..., None, None]
    return through


def _matrix(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    return np.stack([np.stack([a, b], axis=-1), np.stack([c, d], axis=-1)], axis=-2)


def _difference_variance(covariance: Floats) -> Floats:
    variance: Floats = covariance[..., 0, 0] + covariance[..., 1, 1] - 2.0 * covariance[..., 0, 1]
    return variance


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide, with NaN where there is nothing to divide by."""
    return above / np.where(below != 0, below, np.nan)
