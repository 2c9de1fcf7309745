"""What every fitted purchase process tells about customers in a frame, whatever its mathematics."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.base import BaseEstimator

from crm_ml.clv.processes.outlook.mathematics import Outlook, ProcessMathematics
from crm_ml.clv.rfm_frame import (
    check_fitted,
    check_histories,
    check_not_negative,
    check_positive,
    check_share,
    check_whole,
)
from crm_ml.clv.uncertainty.bootstrap import Bootstrap
from crm_ml.clv.uncertainty.interval import CountDraw, Futures, count_bounds, parameter_draws

__all__ = ["ProcessPredictions"]

Array = NDArray[np.float64]


class ProcessPredictions(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Base of the fitted processes; all times are in the fit's unit.

    Attributes
    ----------
    params_ : dict of str to float
    standard_errors_ : dict of str to float
    log_covariance_ : ndarray of shape (n_params, n_params)
    """

    _mathematics: ClassVar[ProcessMathematics]
    params_: dict[str, float]
    standard_errors_: dict[str, float]
    log_covariance_: Array

    def log_likelihood(self, rfm: pd.DataFrame) -> pd.Series:
        """Log-likelihood of each history under the fitted parameters.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        """
        x, t_x, T = self._histories(rfm)
        values = self._bound.log_likelihood(x, t_x, T, **self.params_)
        return pd.Series(values, index=rfm.index, name="log_likelihood")

    def probability_alive(self, rfm: pd.DataFrame, *, further_silence: float = 0.0) -> pd.Series:
        """Probability that each customer has not left.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        further_silence : float, default 0.0
            Time without a purchase after ``T``, in the fit's unit.

        Raises
        ------
        CrmError
            If the further silence is negative.
        """
        self._check_ages("further_silence", further_silence)
        x, t_x, T = self._histories(rfm)
        values = self._bound.probability_alive(x, t_x, T + further_silence, **self.params_)
        return pd.Series(values, index=rfm.index, name="probability_alive")

    def probability_no_purchase(self, rfm: pd.DataFrame, horizon: float) -> pd.Series:
        """Probability that each customer buys nothing within the next ``horizon`` (the fit's unit of time).

        This is the probability of churn within the horizon: gone already, or alive and silent.

        Raises
        ------
        CrmError
            If the horizon is not positive.
        """
        x, t_x, T = self._histories(rfm)
        self._check_horizon(horizon)
        values = self._bound.probability_no_purchase(horizon, x, t_x, T, **self.params_)
        return pd.Series(values, index=rfm.index, name="probability_no_purchase")

    def probability_of_purchases(self, rfm: pd.DataFrame, n: ArrayLike, horizon: float) -> pd.Series | pd.DataFrame:
        """Probability that each customer makes exactly ``n`` purchases within the next ``horizon``.

        At n = 0 this is `probability_no_purchase`; the mean is `expected_purchases`.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        n : int, or array_like of int of shape (n_counts,)
        horizon : float, > 0

        Returns
        -------
        Series, or for several ``n`` a DataFrame of one column each

        Raises
        ------
        CrmError
            If the horizon is not positive, or an ``n`` is no count.
        """
        self._check_horizon(horizon)
        check_whole("n", n, least=0, of="purchases")
        counts = np.asarray(n)
        outlook, member = self._outlook(rfm, column=True)
        values = outlook.probability_of_count(np.atleast_1d(counts), horizon)[member]
        if counts.ndim == 0:
            return pd.Series(values[:, 0], index=rfm.index, name="probability_of_purchases")
        return pd.DataFrame(values, index=rfm.index, columns=pd.Index(counts, name="purchases"))

    def probability_of_purchases_new_customer(self, n: ArrayLike, t: ArrayLike) -> Array:
        """Probability that a new customer makes exactly ``n`` repeat purchases within ``t`` of the first one.

        Parameters
        ----------
        n : int or array_like of int, >= 0
        t : float or array_like of float, >= 0
            Broadcast with ``n``.

        Raises
        ------
        CrmError
            If an ``n`` is no count, or a ``t`` is negative.
        """
        check_fitted(self, "params_")
        check_whole("n", n, least=0, of="purchases")
        self._check_ages("t", t)
        return self._bound.outlook(0.0, 0.0, 0.0, **self.params_).probability_of_count(n, t)

    def expected_purchases(self, rfm: pd.DataFrame, horizon: float, *, discount_rate: float = 0.0) -> pd.Series:
        """Return expected purchases of each customer within the next ``horizon``.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        horizon : float, > 0
            In the fit's unit of time.
        discount_rate : float, default 0.0
            Continuous rate per unit of time; a purchase after s counts exp(-discount_rate × s).

        Raises
        ------
        CrmError
            If the horizon is not positive.
        """
        x, t_x, T = self._histories(rfm)
        self._check_horizon(horizon)
        values = self._bound.expected_purchases(horizon, x, t_x, T, discount_rate=discount_rate, **self.params_)
        return pd.Series(values, index=rfm.index, name="expected_purchases")

    def expected_purchases_new_customer(self, t: ArrayLike) -> Array:
        """Return expected repeat purchases of a new customer within ``t`` of the first one, E[X(t)].

        Parameters
        ----------
        t : array_like of float, >= 0
            In the fit's unit of time.

        Raises
        ------
        CrmError
            If a ``t`` is negative.
        """
        check_fitted(self, "params_")
        self._check_ages("t", t)
        return self._bound.expected_purchases_new_customer(t, **self.params_)

    def time_to_next_purchase(self, rfm: pd.DataFrame, *, probability: float = 0.5) -> pd.Series:
        """Time from now by which each customer has bought again with the given probability.

        It solves 1 - `probability_no_purchase` = ``probability``. Whether a customer has left, or will before
        the next purchase, is not known and counts as never buying; the time is infinite for a customer whose
        probability of ever buying again is no larger.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        probability : float in (0, 1), default 0.5
            0.5 gives the median.

        Returns
        -------
        Series
            Relative error about 1e-11. Under BG/BB the first opportunity to reach the probability, infinite
            where 10,000 do not.

        Raises
        ------
        CrmError
            If the probability is not between 0 and 1.
        """
        check_share("probability", probability)
        outlook, member = self._outlook(rfm)
        return pd.Series(outlook.wait(probability)[member], index=rfm.index, name="time_to_next_purchase")

    def expected_time_to_next_purchase(self, rfm: pd.DataFrame) -> pd.Series:
        """Return the expected time from now to the next purchase, given that the customer is alive and makes one.

        Unconditionally it is infinite, because whoever has left never buys. Even conditionally it is where too
        many customers are slow: (alpha + T) / (r + x - 1) under BG/NBD, whose alive customers all buy again, is
        finite for r + x > 1 only; with Erlang-k gaps, the mean of (k - j) (alpha + T) / (r + k x + j - 1) over
        the stages j, for r + k x > 1. Under Pareto/NBD it is finite for r + x + s > 1, as those slow to buy
        leave first and do not count; under BG/BB, in opportunities, for alpha + x + gamma > 1. Prefer
        `time_to_next_purchase`, which is always defined.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)

        Returns
        -------
        Series
            Infinite where the expectation is.
        """
        outlook, member = self._outlook(rfm)
        return pd.Series(outlook.mean_wait()[member], index=rfm.index, name="expected_time_to_next_purchase")

    def discounted_residual_purchases(self, rfm: pd.DataFrame, *, discount_rate: float) -> pd.Series:
        """Return all purchases still expected of each customer, discounted (DERT).

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        discount_rate : float, > 0
            Continuous rate per unit of time: a purchase after s counts exp(-discount_rate × s). Under BG/BB per
            opportunity: the j-th from now counts exp(-discount_rate × j).

        Raises
        ------
        CrmError
            If the discount rate is not positive: without discounting the sum may be infinite.

        References
        ----------
        Fader, Hardie and Lee (2005), RFM and CLV, Journal of Marketing Research 42(4), for Pareto/NBD;
        for BG/NBD and its kin see `crm_ml.clv.processes.outlook.geometric`.
        """
        check_positive("discount_rate", discount_rate)
        outlook, member = self._outlook(rfm)
        values = outlook.discounted_purchases(discount_rate)[member]
        return pd.Series(values, index=rfm.index, name="discounted_residual_purchases")

    def simulate(self, T: ArrayLike, *, rng: np.random.Generator, horizon: float | None = None) -> pd.DataFrame:
        """Draw histories of new customers from the fitted process.

        Parameters
        ----------
        T : array_like of shape (n_customers,)
            Time each one is observed after the first purchase.
        rng : numpy.random.Generator
        horizon : float, > 0, optional
            Also draw the purchases within the ``horizon`` after ``T``.

        Returns
        -------
        DataFrame of shape (n_customers, ...)
            Columns as `fit` takes them, and ``purchases_ahead`` if a horizon is given.

        Raises
        ------
        CrmError
            If a ``T`` is negative, or the horizon is not positive.
        """
        check_fitted(self, "params_")
        self._check_ages("T", T)
        if horizon is not None:
            self._check_horizon(horizon)
        ages = np.array(T, dtype=float, ndmin=1)
        x, t_x, ahead = self._bound.simulated_histories(ages, horizon or 0.0, rng=rng, **self.params_)
        frame = pd.DataFrame({"frequency": x, "recency": t_x, self._age_column: ages})
        return frame if horizon is None else frame.assign(purchases_ahead=ahead)

    def parameter_intervals(self, *, level: float = 0.90) -> pd.DataFrame:
        """Bounds of each parameter, from the curvature of the likelihood in the parameters' logarithms.

        Parameters
        ----------
        level : float in (0, 1), default 0.90

        Returns
        -------
        DataFrame
            ``lower`` and ``upper`` per parameter, both positive; 0 and infinity for one that the data do not
            determine.

        Raises
        ------
        CrmError
            If the level is not between 0 and 1.
        """
        check_fitted(self, "params_")
        check_share("level", level)
        values, errors = pd.Series(self.params_), pd.Series(self.standard_errors_)
        factor = np.exp(ndtri(0.5 + 0.5 * level) * errors / values)
        return pd.DataFrame({"lower": values / factor, "upper": values * factor}).rename_axis("parameter")

    def purchase_interval(
        self, rfm: pd.DataFrame, horizon: float, *, level: float = 0.90, bootstrap: Bootstrap | None = None
    ) -> pd.DataFrame:
        """Return whole numbers between which each customer's purchases lie with at least probability ``level``.

        The process's chance and the parameters' uncertainty are both in it; it comes from 512 common futures.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        horizon : float, > 0
            Within the next ``horizon``, in the fit's unit of time.
        level : float in (0, 1), default 0.90
        bootstrap : Bootstrap, optional
            Parameters of the futures; from their asymptotic distribution by default.

        Returns
        -------
        DataFrame of shape (n_customers, 2)
            Indexed like ``rfm``: ``lower``, ``upper``.

        Raises
        ------
        CrmError
            If the horizon is not positive, or the level no probability.
        """
        self._check_horizon(horizon)
        check_share("level", level)
        x, _, _ = self._histories(rfm)
        bounds = count_bounds(self.count_draw(rfm, horizon, bootstrap=bootstrap), x, level=level)
        return pd.DataFrame(bounds.T, index=rfm.index, columns=["lower", "upper"])

    def count_draw(self, rfm: pd.DataFrame, horizon: float, *, bootstrap: Bootstrap | None = None) -> CountDraw:
        """Return a function that draws the purchases of some of the customers in common futures.

        Parameters come from their asymptotic distribution, one draw per future.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
        horizon : float, > 0
            In the fit's unit of time.
        bootstrap : Bootstrap, optional
            Take the parameters from its replicates instead.
        """
        x, t_x, T = self._histories(rfm)

        def draw(futures: Futures, rows: NDArray[np.intp]) -> Array:
            if bootstrap is not None:
                params = bootstrap.per_future(len(futures.alive))
            else:
                params = parameter_draws(self.params_, self.log_covariance_, futures.normals[: len(self.params_)])
            return self._bound.drawn_purchases(horizon, x[rows], t_x[rows], T[rows], futures=futures, **params)

        return draw

    @property
    def _bound(self) -> ProcessMathematics:
        """The mathematics of this fit; a process with a whole-number parameter binds it here."""
        return self._mathematics

    @property
    def _age_column(self) -> str:
        return "T"

    def _outlook(self, rfm: pd.DataFrame, *, column: bool = False) -> tuple[Outlook, NDArray[np.intp]]:
        """Return the outlook of the distinct histories, and which of them each customer has."""
        histories = pd.DataFrame(dict(zip(("x", "t_x", "T"), self._histories(rfm), strict=True)))
        member = np.asarray(histories.groupby(["x", "t_x", "T"], sort=False).ngroup(), dtype=np.intp)
        distinct = histories.drop_duplicates().to_numpy().T
        return self._bound.outlook(*(distinct[:, :, None] if column else distinct), **self.params_), member

    def _histories(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        check_fitted(self, "params_")
        return self._columns(rfm)

    def _columns(self, rfm: pd.DataFrame) -> tuple[Array, Array, Array]:
        """Take x, t_x and T out of the frame this process reads."""
        return check_histories(rfm)

    def _check_horizon(self, horizon: float) -> None:
        check_positive("horizon", horizon)

    def _check_ages(self, name: str, ages: ArrayLike) -> None:
        check_not_negative(name, ages)
