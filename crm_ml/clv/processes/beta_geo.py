"""BG/NBD for users: a frame of purchase histories in, probabilities and expectations out."""

from __future__ import annotations

from typing import ClassVar

from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess

__all__ = ["BetaGeoModel"]


class BetaGeoModel(PurchaseProcess):
    """BG/NBD: customers buy at Poisson times and may leave right after a repeat purchase.

    A customer **without a repeat purchase has a probability of being alive of 1 by construction**, however
    long the silence, because the model lets customers leave only after a repeat purchase. Such a customer's
    expected purchases do fall with the silence; the probability of being alive tells nothing.

    Parameters
    ----------
    time_unit : {"D", "W"}, default "D"
        Unit of ``recency`` and ``T``: days or weeks. Carried with the fit.

    Attributes
    ----------
    params_ : dict of str to float
        ``r``, ``alpha`` (in units of time): purchase rates are Gamma(r, alpha); ``a``, ``b``: probabilities
        to leave after a purchase are Beta(a, b).
    standard_errors_ : dict of str to float
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (4, 4)
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words.
    time_unit_ : str

    References
    ----------
    Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2).

    Examples
    --------
    >>> import pandas as pd
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 2, 5], "recency": [0, 0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 30.0, 36.0, 31.0, 33.0]}, index=list("abcde"))
    >>> model = BetaGeoModel(time_unit="W").fit(rfm, weights=[400, 100, 200, 90, 20])
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'r': 0.25, 'alpha': 5.451, 'a': 0.983, 'b': 0.687}
    >>> model.probability_alive(rfm).round(3).tolist()
    [1.0, 1.0, 0.099, 0.433, 0.757]
    """

    _mathematics: ClassVar[ProcessMathematics] = bg_nbd

    def _notes(self, patterns: Patterns) -> list[str]:
        silent = float(patterns.weight[patterns.x == 0].sum())
        if silent == 0:
            return []
        return [
            f"{silent:,.0f} of {patterns.total_weight:,.0f} customers made no repeat purchase: BG/NBD "
            "gives them a probability of being alive of 1 by construction, however long their silence."
        ]
