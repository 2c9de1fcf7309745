"""Pareto/NBD for users: a frame of purchase histories in, probabilities and expectations out."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from crm_ml.clv.processes import pareto_nbd
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess

__all__ = ["ParetoNBDModel"]

_TIED = 0.9
"""Correlation of the logarithms of s and beta from which they are known jointly rather than apart."""


class ParetoNBDModel(PurchaseProcess):
    """Pareto/NBD: customers buy at Poisson times and may leave at any moment, silently.

    Because a customer can leave without ever buying again, the probability of being alive falls with the
    silence of customers without a repeat purchase too, unlike under BG/NBD.

    The rate of leaving shows only in silences, so its ``s`` and ``beta`` lie on a long ridge of almost equal
    likelihood: the ratio and the predictions are determined far better than either. A fit says so in
    ``diagnostics_["notes"]`` where their estimates are correlated at 0.9 or more.

    Parameters
    ----------
    time_unit : {"D", "W"}, default "D"
        Unit of ``recency`` and ``T``: days or weeks. Carried with the fit.

    Attributes
    ----------
    params_ : dict of str to float
        ``r``, ``alpha``: purchase rates are Gamma(r, alpha); ``s``, ``beta``: rates of leaving are
        Gamma(s, beta). ``alpha`` and ``beta`` in units of time.
    standard_errors_ : dict of str to float
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (4, 4)
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words.
    time_unit_ : str

    References
    ----------
    Schmittlein, Morrison and Colombo (1987), Counting Your Customers: Who Are They and What Will They Do
    Next?, Management Science 33(1).

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 1, 2, 4, 9], "recency": [0, 0, 2.0, 30.0, 20.0, 29.0, 34.0],
    ...                     "T": [38.0, 28.0, 36.0, 35.0, 31.0, 33.0, 36.0]})
    >>> model = ParetoNBDModel(time_unit="W").fit(rfm, weights=[300, 300, 120, 80, 90, 40, 20])
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'r': 1.09, 'alpha': 25.179, 's': 0.263, 'beta': 1.196}
    >>> model.probability_alive(rfm).round(3).tolist()
    [0.232, 0.288, 0.24, 0.958, 0.855, 0.961, 0.983]
    """

    _mathematics: ClassVar[ProcessMathematics] = pareto_nbd

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the parameters by maximum likelihood; see `PurchaseProcess.fit`."""
        super().fit(rfm, weights)
        self.diagnostics_["notes"] += self._ridge()
        return self

    def _ridge(self) -> list[str]:
        errors = np.sqrt(np.diag(self.log_covariance_))[2:]
        covariance = self.log_covariance_[2, 3]
        if self.diagnostics_["at_boundary"] or covariance < _TIED * errors.prod():
            return []
        ratio = float(np.sqrt(errors @ errors - 2.0 * covariance))
        return [
            f"Ridge: `s` and `beta` are tied (correlation of their logarithms {covariance / errors.prod():.2f}). They "
            f"are known to about {errors[0]:.0%} and {errors[1]:.0%}, their ratio, the mean rate of leaving, to "
            f"{ratio:.0%}: judge the fit by its predictions and not by single parameters."
        ]
