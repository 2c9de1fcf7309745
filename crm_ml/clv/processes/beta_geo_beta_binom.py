"""BG/BB for users: a frame of opportunities taken in, probabilities and expectations out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.processes import bg_bb
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess
from crm_ml.clv.rfm_frame import check_opportunities, check_positive, check_whole
from crm_ml.clv.stored_fit import StoredFit

__all__ = ["BetaGeoBetaBinomModel"]

Array = NDArray[np.float64]


class BetaGeoBetaBinomModel(PurchaseProcess):
    """BG/BB: at each opportunity to buy, a customer who has not left buys or does not.

    For purchases that can happen only now and then: yearly donations, conferences, weekly boxes. Its clock
    counts opportunities after the first purchase, and has no other unit. Frames have the columns
    ``frequency`` (opportunities taken), ``recency`` (number of the last one taken, 0 if none was) and
    ``n_opportunities``; a ``horizon`` is a whole number of coming opportunities, and a ``discount_rate`` is
    per opportunity.

    Attributes
    ----------
    params_ : dict of str to float
        ``alpha``, ``beta``: probabilities to buy at an opportunity are Beta(alpha, beta); ``gamma``,
        ``delta``: probabilities to leave before one are Beta(gamma, delta).
    standard_errors_ : dict of str to float
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (4, 4)
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words.
    time_unit_ : str
        ``"opportunity"``.

    References
    ----------
    Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting,
    Marketing Science 29(6).

    Examples
    --------
    >>> donors = pd.DataFrame({"frequency": [0, 1, 1, 2, 4, 6], "recency": [0, 1, 4, 4, 5, 6],
    ...                        "n_opportunities": 6})
    >>> model = BetaGeoBetaBinomModel().fit(donors, weights=[350, 110, 20, 30, 40, 120])
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'alpha': 0.383, 'beta': 0.207, 'gamma': 0.326, 'delta': 0.469}
    >>> model.expected_purchases(donors, 10).round(3).tolist()
    [0.053, 0.093, 1.409, 2.151, 4.292, 7.975]
    """

    _mathematics: ClassVar[ProcessMathematics] = bg_bb

    def __init__(self) -> None:
        pass

    def probability_alive(self, rfm: pd.DataFrame, *, further_silence: float = 0) -> pd.Series:
        """Probability that each customer will not have left at the next opportunity.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        further_silence : int, default 0
            Opportunities not taken after ``n_opportunities``.

        Raises
        ------
        CrmError
            If the further silence is not a whole number.
        """
        check_whole("further_silence", further_silence, least=0)
        return super().probability_alive(rfm, further_silence=further_silence)

    def expected_purchases_new_customer(self, t: ArrayLike) -> Array:
        """Return how many of the first ``t`` opportunities a new customer is expected to take, E[X(t)].

        Raises
        ------
        CrmError
            If a ``t`` is not a whole number.
        """
        check_whole("t", t, least=0)
        return super().expected_purchases_new_customer(t)

    def discounted_residual_purchases(self, rfm: pd.DataFrame, *, discount_rate: float) -> pd.Series:
        """Return all purchases still expected of each customer, discounted (DERT).

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        discount_rate : float, > 0
            Per opportunity: the j-th from now counts exp(-discount_rate × j).

        Raises
        ------
        CrmError
            If the discount rate is not positive: without discounting the sum may be infinite.
        """
        x, t_x, n = self._histories(rfm)
        check_positive("discount_rate", discount_rate)
        values = bg_bb.expected_purchases(np.inf, x, t_x, n, discount_rate=discount_rate, **self.params_)
        return pd.Series(values, index=rfm.index, name="discounted_residual_purchases")

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`; see `PurchaseProcess.from_dict`."""
        model = cls()
        model._take(StoredFit.from_dict(stored, model=cls.__name__, names=bg_bb.NAMES))
        model.time_unit_ = model._checked_unit()
        return model

    def _columns(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        return check_opportunities(rfm)

    def _checked_unit(self) -> Any:
        return "opportunity"

    def _check_horizon(self, horizon: float) -> None:
        check_whole("horizon", horizon, least=1)
