"""The pure functions a purchase process is made of, and what they tell about a customer's future."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.likelihood.newton import Objective
from crm_ml.clv.likelihood.patterns import Patterns

__all__ = ["Outlook", "ProcessMathematics"]

Array = NDArray[np.float64]


class Outlook(Protocol):
    """The future of customers with a given history; of a new one, if the history is empty.

    An alive customer is a new one with other parameters, so these hold all that the past tells.
    """

    @property
    def alive(self) -> Array:
        """Probability of being alive now."""

    def probability_of_count(self, n: ArrayLike, horizon: ArrayLike) -> Array:
        """Probability of exactly ``n`` purchases within ``horizon``; broadcasts."""

    def wait(self, probability: float) -> Array:
        """Return the time by which a purchase has been made with this probability; infinite if it never is."""

    def mean_wait(self) -> Array:
        """Return the expected time to the next purchase of those alive who make one."""

    def discounted_purchases(self, discount_rate: float) -> Array:
        """Return expected purchases ever, each worth exp(-discount_rate × its time)."""


class ProcessMathematics(Protocol):
    """The pure functions a process is made of; a module that has them will do."""

    @property
    def NAMES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Parameters, in the order of the vector of their logarithms."""

    @property
    def TIME_NAMES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Parameters measured in the unit of time."""

    @property
    def COMPILED(self) -> bool:  # noqa: N802 - a module's constant
        """Whether the objective has compiled sums for large shops."""

    @property
    def log_lower(self) -> Array:
        """Lower end of the log parameters' range."""

    @property
    def log_upper(self) -> Array:
        """Upper end of the log parameters' range."""

    @property
    def objective(self) -> Callable[[Patterns], Objective]:
        """Likelihood of patterns with its derivatives."""

    @property
    def starts(self) -> Callable[[Patterns], list[list[Array]]]:
        """Log parameters to start from."""

    @property
    def log_likelihood(self) -> Callable[..., Array]:
        """Of (x, t_x, T, **params)."""

    @property
    def probability_alive(self) -> Callable[..., Array]:
        """Of (x, t_x, T, **params)."""

    @property
    def probability_no_purchase(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, **params)."""

    @property
    def expected_purchases(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, discount_rate=0.0, **params)."""

    @property
    def drawn_purchases(self) -> Callable[..., Array]:
        """Of (horizon, x, t_x, T, futures=..., **parameter draws)."""

    @property
    def expected_purchases_new_customer(self) -> Callable[..., Array]:
        """Of (t, **params)."""

    @property
    def outlook(self) -> Callable[..., Outlook]:
        """Of (x, t_x, T, **params)."""

    @property
    def simulated_histories(self) -> Callable[..., tuple[Array, Array, Array]]:
        """Of (T, horizon, rng=..., **params): x, t_x and the purchases of (T, T + horizon]."""
