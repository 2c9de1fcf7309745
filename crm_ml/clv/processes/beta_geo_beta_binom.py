"""BG/BB for users: a frame of opportunities taken in, probabilities and expectations out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.processes import bg_bb
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess
from crm_ml.clv.rfm_frame import check_opportunities, check_whole
from crm_ml.clv.stored_fit import StoredFit

__all__ = ["BetaGeoBetaBinomModel"]

Array = NDArray[np.float64]


class BetaGeoBetaBinomModel(PurchaseProcess):
    """BG/BB: at each opportunity to buy, a customer who has not left buys or does not.

    For purchases that can happen only now and then: yearly donations, conferences, weekly boxes. Its clock
    counts opportunities after the first purchase, and has no other unit. Frames have the columns
    ``frequency`` (opportunities taken), ``recency`` (number of the last one taken, 0 if none was) and
    ``n_opportunities``; a ``horizon``, a ``t`` and a ``further_silence`` are whole numbers of opportunities, and
    a ``discount_rate`` is per opportunity. `probability_alive` is that of being alive at the next opportunity.

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

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`; see `PurchaseProcess.from_dict`."""
        model = cls()
        model._take(StoredFit.from_dict(stored, model=cls.__name__, names=bg_bb.NAMES))
        model.time_unit_ = model._checked_unit()
        return model

    def _columns(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        return check_opportunities(rfm)

    @property
    def _age_column(self) -> str:
        return "n_opportunities"

    def _checked_unit(self) -> Any:
        return "opportunity"

    def _check_horizon(self, horizon: float) -> None:
        check_whole("horizon", horizon, least=1)

    def _check_ages(self, name: str, ages: ArrayLike) -> None:
        check_whole(name, ages, least=0)
