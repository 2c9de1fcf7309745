"""BG/NBD and its kin for users: a frame of purchase histories in, probabilities and expectations out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_ml.clv.likelihood.patterns import Patterns
from crm_ml.clv.processes import bg_nbd
from crm_ml.clv.processes.outlook.histories import log_gaps
from crm_ml.clv.processes.outlook.mathematics import Outlook
from crm_ml.clv.processes.process import ProcessMathematics, PurchaseProcess
from crm_ml.clv.rfm_frame import check_log_gaps, check_weights
from crm_ml.clv.stored_fit import StoredFit
from crm_ml.clv.summary import TimeUnit
from crm_ml.errors import ConvergenceError, CrmError, ModelError, out_of_range

__all__ = ["BetaGeoCNBDModel", "BetaGeoModel", "ModifiedBetaGeoCNBDModel", "ModifiedBetaGeoModel"]

Array = NDArray[np.float64]

LARGEST_K = 12


class _Variant(NamedTuple):
    """The functions of `bg_nbd` with their settings bound."""

    NAMES: tuple[str, ...]
    TIME_NAMES: tuple[str, ...]
    COMPILED: bool
    log_lower: Array
    log_upper: Array
    objective: Callable[..., Any]
    starts: Callable[..., list[list[Array]]]
    log_likelihood: Callable[..., Array]
    probability_alive: Callable[..., Array]
    probability_no_purchase: Callable[..., Array]
    expected_purchases: Callable[..., Array]
    drawn_purchases: Callable[..., Array]
    expected_purchases_new_customer: Callable[..., Array]
    outlook: Callable[..., Outlook]
    simulated_histories: Callable[..., tuple[Array, Array, Array]]


def _variant(*, k: int, modified: bool) -> ProcessMathematics:
    """Bind the settings of the mathematics that its search does not estimate."""
    return _Variant(
        bg_nbd.NAMES,
        bg_nbd.TIME_NAMES,
        k == 1,
        bg_nbd.log_lower,
        bg_nbd.log_upper,
        objective=partial(bg_nbd.objective, k=k, modified=modified),
        starts=partial(bg_nbd.starts, k=k, modified=modified),
        log_likelihood=partial(bg_nbd.log_likelihood, k=k, modified=modified),
        probability_alive=partial(bg_nbd.probability_alive, k=k, modified=modified),
        probability_no_purchase=partial(bg_nbd.probability_no_purchase, k=k, modified=modified),
        expected_purchases=partial(bg_nbd.expected_purchases, k=k, modified=modified),
        drawn_purchases=partial(bg_nbd.drawn_purchases, k=k, modified=modified),
        expected_purchases_new_customer=partial(bg_nbd.expected_purchases_new_customer, k=k, modified=modified),
        outlook=partial(bg_nbd.outlook, k=k, modified=modified),
        simulated_histories=partial(bg_nbd.simulated_histories, k=k, modified=modified),
    )


def _alive_by_construction(patterns: Patterns, name: str) -> list[str]:
    """Say how many customers a model that is not modified takes for alive whatever their silence."""
    silent = patterns.weight_of_count(0)
    if silent == 0:
        return []
    return [
        f"{silent:,.0f} of {patterns.total_weight:,.0f} customers made no repeat purchase: {name} "
        "gives them a probability of being alive of 1 by construction, however long their silence."
    ]


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
        return _alive_by_construction(patterns, "BG/NBD")


class ModifiedBetaGeoModel(PurchaseProcess):
    """MBG/NBD: as BG/NBD, but customers may leave right after their first purchase, too.

    So a customer without a repeat purchase is alive with a probability below 1 that falls with the silence.

    Parameters
    ----------
    time_unit : {"D", "W"}, default "D"
        Unit of ``recency`` and ``T``: days or weeks. Carried with the fit.

    Attributes
    ----------
    params_ : dict of str to float
        ``r``, ``alpha``, ``a``, ``b`` as in `BetaGeoModel`; ``a / (a + b)`` is the share of customers who leave
        right after the first purchase.
    standard_errors_ : dict of str to float
    log_likelihood_ : float
    log_covariance_ : ndarray of shape (4, 4)
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words.
    time_unit_ : str

    References
    ----------
    Batislam, Denizel and Filiztekin (2007), Empirical validation and comparison of models for customer base
    analysis, International Journal of Research in Marketing 24(3).

    Examples
    --------
    >>> import pandas as pd
    >>> rfm = pd.DataFrame({"frequency": [0, 0, 1, 2, 5], "recency": [0, 0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 30.0, 36.0, 31.0, 33.0]}, index=list("abcde"))
    >>> model = ModifiedBetaGeoModel(time_unit="W").fit(rfm, weights=[400, 100, 200, 90, 20])
    >>> model.probability_alive(rfm).round(3).tolist()
    [0.003, 0.01, 0.009, 0.154, 0.438]
    """

    _mathematics: ClassVar[ProcessMathematics] = _variant(k=1, modified=True)


class BetaGeoCNBDModel(PurchaseProcess):
    """BG/CNBD-k: BG/NBD with Erlang-k gaps between purchases; k = 1 is BG/NBD.

    The larger k, the more regular the purchases and the sooner a silence tells that a customer has left. As
    in BG/NBD, a customer **without a repeat purchase is alive with probability 1 by construction**.

    Expected purchases of a customer depend on no other customer and are no approximation; the errors against
    40-digit arithmetic are stated in `crm_ml.clv.processes.erlang_gaps`.

    Parameters
    ----------
    k : int or "estimate", default "estimate"
        Regularity, 1 to 12. To be estimated by maximum likelihood over all of these, the frame to fit on needs
        the column ``sum_log_gaps`` that `crm_ml.clv.rfm_summary` makes when asked to.
    time_unit : {"D", "W"}, default "D"
        Unit of ``recency`` and ``T``: days or weeks. Carried with the fit.

    Attributes
    ----------
    k_ : int
    params_ : dict of str to float
        ``r``, ``alpha`` (in units of time): purchases are every k-th event of a Poisson process whose rates
        are Gamma(r, alpha); ``a``, ``b``: probabilities to leave after a purchase are Beta(a, b).
    standard_errors_ : dict of str to float
        For the k that was given or found.
    log_likelihood_ : float
        Without the column ``sum_log_gaps`` it lacks a term of k and the gaps alone, and ``notes`` say so: it
        can then not be compared across k.
    log_covariance_ : ndarray of shape (4, 4)
    diagnostics_ : dict
        ``notes`` says what is doubtful, in words. ``log_likelihood_by_k`` holds the maximum for each k tried.
    time_unit_ : str

    References
    ----------
    Reutterer, Platzer and Schröder (2021), Leveraging purchase regularity for predicting customer behavior the
    easy way, International Journal of Research in Marketing 38(1).

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 3, 6], "recency": [0, 9.0, 30.0, 55.0], "T": [60.0] * 4})
    >>> model = BetaGeoCNBDModel(k=3).fit(rfm, weights=[80, 40, 40, 40])
    >>> model.probability_alive(rfm).round(3).tolist()
    [1.0, 0.06, 0.166, 0.887]
    """

    _mathematics: ClassVar[ProcessMathematics] = bg_nbd
    _modified: ClassVar[bool] = False

    def __init__(self, *, k: int | Literal["estimate"] = "estimate", time_unit: TimeUnit = "D") -> None:
        super().__init__(time_unit=time_unit)
        self.k = k

    def fit(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Estimate the parameters, and k unless given, by maximum likelihood.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency``, ``recency`` and ``T`` as in `BetaGeoModel`, and ``sum_log_gaps``: the sum of the
            logarithms of a customer's gaps between purchases in the same unit of time, 0 without a repeat
            purchase. The last is needed only to estimate k and to compare log-likelihoods across k.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row; fractions are allowed. One each by default.

        Raises
        ------
        CrmError
            If k is neither "estimate" nor a whole number from 1 to 12.
        SchemaError
            If a history is impossible, or k is to be estimated without ``sum_log_gaps``.
        ConvergenceError
            If nobody bought again, or the likelihood cannot be maximised for any k.
        """
        candidates = range(1, LARGEST_K + 1) if self.k == "estimate" else [_check_k(self.k)]
        known_gaps = check_log_gaps(rfm, required=self.k == "estimate") is not None
        customers = check_weights(weights, len(rfm))
        fits: dict[int, StoredFit] = {}
        failed: dict[int, ConvergenceError] = {}
        for k in candidates:
            self.k_ = k
            try:
                super().fit(rfm, weights)
            except ConvergenceError as error:
                failed[k] = error
            else:
                fits[k] = dataclasses.replace(self._stored, log_likelihood=float(customers @ self.log_likelihood(rfm)))
        if not fits:
            raise next(iter(failed.values()))
        self.k_ = max(fits, key=lambda k: fits[k].log_likelihood)
        self._take(fits[self.k_])
        self.diagnostics_["log_likelihood_by_k"] = {str(k): fit.log_likelihood for k, fit in fits.items()}
        self.diagnostics_["notes"] += _notes_on_k(self.k_, list(failed), known_gaps=known_gaps)
        return self

    def log_likelihood(self, rfm: pd.DataFrame) -> pd.Series:
        """Log-likelihood of each history under the fitted parameters.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Without the column ``sum_log_gaps`` a term of k and the gaps alone is lacking.
        """
        known = check_log_gaps(rfm, required=False)
        return super().log_likelihood(rfm) + (0.0 if known is None else (self.k_ - 1) * known)

    def simulate(self, T: ArrayLike, *, rng: np.random.Generator, horizon: float | None = None) -> pd.DataFrame:
        """Draw histories of new customers with their ``sum_log_gaps``; see `PurchaseProcess.simulate`."""
        frame = super().simulate(T, rng=rng, horizon=horizon)
        x, t_x = frame["frequency"].to_numpy(), frame["recency"].to_numpy()
        return frame.assign(sum_log_gaps=log_gaps(x, t_x, k=self.k_, rng=rng))

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        return {**super().to_dict(), "k": self.k_}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another model.
        """
        model = super().from_dict(stored)
        try:
            model.k = model.k_ = _check_k(stored["k"])
        except (KeyError, CrmError) as error:
            raise ModelError(f"A stored {cls.__name__} must hold its k: {error}\nStore the model again.") from error
        return model

    @property
    def _bound(self) -> ProcessMathematics:
        return _variant(k=self.k_, modified=self._modified)

    def _notes(self, patterns: Patterns) -> list[str]:
        return _alive_by_construction(patterns, f"BG/CNBD-{self.k_}")


class ModifiedBetaGeoCNBDModel(BetaGeoCNBDModel):
    """MBG/CNBD-k: MBG/NBD with Erlang-k gaps between purchases; k = 1 is MBG/NBD.

    As `BetaGeoCNBDModel` in parameters and attributes, but customers may leave right after their first
    purchase, too: one without a repeat purchase is alive with a probability below 1.

    References
    ----------
    Platzer and Reutterer (2016), Ticking Away the Moments: Timing Regularity Helps to Better Predict Customer
    Activity, Marketing Science 35(5).

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 3, 6], "recency": [0, 25.0, 40.0, 50.0], "T": [60.0] * 4})
    >>> model = ModifiedBetaGeoCNBDModel(k=2).fit(rfm, weights=[80, 40, 40, 40])
    >>> model.probability_alive(rfm).round(3).tolist()
    [0.041, 0.513, 0.835, 0.944]
    """

    _modified: ClassVar[bool] = True

    def _notes(self, patterns: Patterns) -> list[str]:  # noqa: ARG002  # the unmodified model's caveat is not its own
        return []


def _check_k(k: object) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= LARGEST_K:
        raise CrmError(out_of_range("k", k, f'be "estimate" or a whole number from 1 to {LARGEST_K}'))
    return int(k)


def _notes_on_k(k: int, failed: list[int], *, known_gaps: bool) -> list[str]:
    notes = []
    if k > 1 and not known_gaps:
        notes.append(
            "The log-likelihood lacks the term of the gaps between purchases, for want of a column "
            "`sum_log_gaps`: it cannot be compared with that of another k."
        )
    if k == LARGEST_K and known_gaps:
        notes.append(f"k = {LARGEST_K} is the most regular model there is: customers may be more regular still.")
    if failed:
        notes.append(f"The likelihood could not be maximised for k = {failed}; these were left out.")
    return notes
