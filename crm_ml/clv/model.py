"""Customer lifetime value: a purchase process times spend, discounted, with an interval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from crm_ml.clv.choice.holdout import holdouts
from crm_ml.clv.choice.level import Level, choose_level
from crm_ml.clv.choice.selection import Selection, candidates, restore_process, select
from crm_ml.clv.diagnostics.tracking import expected_repeat_purchases
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.purchase_patterns import PurchasePatterns
from crm_ml.clv.rfm_frame import check_fitted, check_positive, check_spend
from crm_ml.clv.spend import GammaGammaModel
from crm_ml.clv.summary import TimeUnit, days_per_unit, rfm_summary
from crm_ml.clv.uncertainty.interval import common_futures, parameter_draws, value_bounds
from crm_ml.errors import CrmError, ModelError, out_of_range
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.notebook_summary import summary_html

__all__ = ["CLVModel"]

Array = NDArray[np.float64]

DAYS_PER_YEAR = 365.25
INTERVAL_LEVEL = 0.90


class CLVModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Customer lifetime value from a purchase process and Gamma-Gamma.

    Fitted on a log, the model chooses among the processes by backtest: each is fitted at two earlier origins
    and judged by the `half_deviance` of the purchases in the window that follows, a third of the history and at
    most 182 days. The simplest within a standard error of the best is chosen. A frame, or a history below 84
    days, leaves nothing to choose by: there it is BG/NBD.

    Where the process is BG/NBD or BG/CNBD-k, a customer without a repeat purchase has ``probability_alive`` 1
    by construction; see `BetaGeoModel`.

    Parameters
    ----------
    process : str or PurchaseProcess, default "choose"
        Or ``"BetaGeo"``, ``"ModifiedBetaGeo"``, ``"ParetoNBD"``, ``"BetaGeoCNBD"``,
        ``"ModifiedBetaGeoCNBD"``, or an unfitted process.
    level : "choose" or None, default "choose"
        Whether to correct expected purchases by month of the year or by quarter of the first purchase where
        the backtest shows that it helps; see `crm_ml.clv.choice.level.choose_level`.
    time_unit : {"D", "W"}, default "D"
        Unit in which the purchase process is measured: days or weeks.

    Attributes
    ----------
    process_ : PurchaseProcess
    selection_ : DataFrame
        The backtest: a row per candidate and origin with its measures, ``chosen``, and ``why`` in words; empty
        where none was made.
    level_ : Level
        ``cohorts`` and ``months``: factors on the expected purchases, empty where there are none.
    spend_ : GammaGammaModel
    params_ : dict of str to float
        Of both.
    diagnostics_ : dict
        ``process`` and ``spend`` hold the evidence for each; ``notes`` says which process
        was chosen and why, and whatever is doubtful.
    fitted_as_of_ : Timestamp or None
        The model saw nothing at or after this moment; None where it was fitted to a frame.

    Examples
    --------
    >>> rfm = pd.DataFrame({"frequency": [0, 1, 2, 5], "recency": [0, 4.0, 20.0, 30.0],
    ...                     "T": [38.0, 36.0, 31.0, 33.0], "monetary_value": [0, 20.0, 45.0, 30.0]})
    >>> many = pd.concat([rfm.assign(monetary_value=rfm["monetary_value"] * f) for f in (0.5, 1, 2)])
    >>> model = CLVModel(time_unit="W").fit_rfm(many, weights=3 * [300, 60, 30, 10])
    >>> model.predict(rfm, horizon_days=364, annual_discount_rate=0.1, margin=0.3)["clv"].round(2).tolist()
    [1.29, 1.13, 18.05, 43.09]
    """

    kind: ClassVar[str] = "clv"
    input_columns: ClassVar[tuple[str, ...]] = ("frequency", "recency", "T", "monetary_value")
    moment_columns: ClassVar[tuple[str, ...]] = ("as_of",)
    fitted_as_of_: pd.Timestamp | None

    def __init__(
        self,
        *,
        process: str | PurchaseProcess = "choose",
        level: Literal["choose"] | None = "choose",
        time_unit: TimeUnit = "D",
    ) -> None:
        self.process = process
        self.level = level
        self.time_unit = time_unit

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Fit on a log's past.

        Parameters
        ----------
        log : CustomerLog
        as_of : date-like
            Nothing at or after this moment is seen.

        Raises
        ------
        ConvergenceError
            If the past is too thin or too strange to fit.
        """
        days_per_unit(self.time_unit)
        if self.level not in ("choose", None):
            raise CrmError(out_of_range("level", self.level, 'be "choose" or None'))
        among = candidates(self.process, time_unit=self.time_unit)
        rfm = rfm_summary(log, as_of=as_of, time_unit=self.time_unit, sum_log_gaps=True)
        judged = len(among) > 1 or self.level is not None
        windows = holdouts(log, rfm, as_of=as_of, time_unit=self.time_unit) if judged else []
        selection = select(among, windows)
        process, at = among[selection.name].fit(rfm), stamp(moment(as_of))
        level = Level()
        if self.level is not None and selection.fitted:
            level = choose_level(log, windows, selection.fitted, process, as_of=at)
        self._compose(process, GammaGammaModel().fit(rfm), selection, level, fitted_as_of=at)
        return self

    def fit_rfm(self, rfm: pd.DataFrame, weights: ArrayLike | None = None) -> Self:
        """Fit on a frame of purchase histories.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency``, ``recency``, ``T`` (in ``time_unit``) and ``monetary_value``;
            ``sum_log_gaps`` where k of a CNBD process is to be estimated.
        weights : array_like of shape (n_customers,), optional
            Customers behind each row. One each by default.

        Raises
        ------
        SchemaError
            If a history is impossible.
        ConvergenceError
            If a likelihood cannot be maximised, or fitted spend has no finite mean.
        """
        return self._fit_frames((rfm, weights), (rfm, weights))

    def fit_patterns(self, patterns: PurchasePatterns) -> Self:
        """Fit on what `PurchasePatterns` keeps of a shop of any size; it must be in the model's unit of time.

        Raises
        ------
        CrmError
            If the patterns are in another unit.
        ConvergenceError
            If a likelihood cannot be maximised, or fitted spend has no finite mean.
        """
        if patterns.time_unit != self.time_unit:
            raise CrmError(
                out_of_range("patterns.time_unit", patterns.time_unit, f"be the model's, {self.time_unit!r}")
            )
        histories, spends = patterns.histories, patterns.spends
        return self._fit_frames((histories, histories["weight"]), (spends, spends["weight"]))

    def _fit_frames(
        self, histories: tuple[pd.DataFrame, ArrayLike | None], spends: tuple[pd.DataFrame, ArrayLike | None]
    ) -> Self:
        among = candidates(self.process, time_unit=self.time_unit)
        selection = select(among, [])
        process = among[selection.name].fit(*histories)
        self._compose(process, GammaGammaModel().fit(*spends), selection, Level(), fitted_as_of=None)
        return self

    def predict(
        self, rfm: pd.DataFrame, *, horizon_days: float, annual_discount_rate: float, margin: float
    ) -> pd.DataFrame:
        """Value of each customer over the next ``horizon_days``.

        A purchase after s days counts ``margin × spend × (1 + annual_discount_rate)^(-s / 365.25)``; its
        expectation has a relative error of about 1e-9, and none from discounting at a rate of 0.

        Parameters
        ----------
        rfm : DataFrame of shape (n_customers, ...)
            Columns ``frequency``, ``recency``, ``T`` (in the fit's unit) and ``monetary_value``; ``as_of`` where
            the histories do not end at `fitted_as_of_` and the level is corrected.
        horizon_days : float, > 0
        annual_discount_rate : float, >= 0
        margin : float in (0, 1]
            Share of the spend that is earned.

        Returns
        -------
        DataFrame
            Indexed like ``rfm``: ``probability_alive``, ``expected_purchases``,
            ``expected_spend_per_purchase``, ``clv``, ``clv_lower``, ``clv_upper``. The last two hold the
            customer's value with a probability of at least 90 %, under the process's chance and the
            parameters' uncertainty; where most futures hold no purchase at all the expected value lies
            beyond their quantiles, and the interval is widened to contain it.

        Raises
        ------
        NotFittedError, SchemaError, CrmError
        """
        check_fitted(self, "process_")
        unit = days_per_unit(self.process_.time_unit_)
        horizon = check_positive("horizon_days", horizon_days) / unit
        discount_rate = _continuous_rate(annual_discount_rate) * unit
        if not 0.0 < margin <= 1.0:
            raise CrmError(out_of_range("margin", margin, "be a share of the spend in (0, 1]"))
        spend = self.spend_.expected_spend(rfm)
        factor = self._factor(rfm, horizon_days)
        purchases = self.process_.expected_purchases(rfm, horizon)
        discounted = purchases
        if discount_rate > 0.0:
            discounted = self.process_.expected_purchases(rfm, horizon, discount_rate=discount_rate)
        value = margin * spend * factor * discounted
        lower, upper = self._bounds(rfm, horizon, margin * factor * _ratio(discounted, purchases))
        return pd.DataFrame(
            {
                "probability_alive": self.process_.probability_alive(rfm),
                "expected_purchases": factor * purchases,
                "expected_spend_per_purchase": spend,
                "clv": value,
                "clv_lower": np.minimum(lower, value),
                "clv_upper": np.maximum(upper, value),
            },
            index=rfm.index,
        )

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the expected net spend of everyone who bought before ``as_of``, for the backtest."""
        check_fitted(self, "process_")
        rfm = rfm_summary(log, as_of=as_of, time_unit=self.time_unit)
        horizon = check_positive("horizon_days", horizon_days) / days_per_unit(self.time_unit)
        factor = self._factor(rfm.assign(as_of=stamp(moment(as_of))), horizon_days)
        return self.process_.expected_purchases(rfm, horizon) * self.spend_.expected_spend(rfm) * factor

    def expected_repeat_purchases(self, birth_days_before: ArrayLike, days: ArrayLike) -> Array:
        """Return the expected cumulative repeat purchases of a whole base, for tracking plots.

        Nothing is known of the customers but when each first bought; compare with the actual count. Correction of
        the level is not part of it.

        Parameters
        ----------
        birth_days_before : array_like of shape (n_customers,)
            Days from each first purchase to a common reference moment; negative after it.
        days : array_like of shape (n_times,)
            Moments to evaluate, in days after the reference moment; negative before it.

        Returns
        -------
        ndarray of shape (n_times,)
        """
        check_fitted(self, "process_")
        return expected_repeat_purchases(self.process_, birth_days_before, days)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as numbers and words fit for JSON; no customer is in it."""
        check_fitted(self, "process_")
        as_of = self.fitted_as_of_
        return {
            "kind": self.kind,
            "fitted_as_of": None if as_of is None else as_of.isoformat(),
            "process": self.process_.to_dict(),
            "selection": self._selection.to_dict(),
            "level": self.level_.to_dict(),
            "spend": self.spend_.to_dict(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a fit from `to_dict`.

        Raises
        ------
        ModelError
            If the mapping is damaged or of another kind of model.
        """
        if stored.get("kind") != cls.kind:
            raise ModelError(
                f"A stored CLV model must be of kind {cls.kind!r}; this one is {stored.get('kind')!r}.\n"
                "Load it with the class that stored it."
            )
        try:
            process, spend, as_of = stored["process"], stored["spend"], stored["fitted_as_of"]
        except KeyError as error:
            raise ModelError(f"A stored CLV model must hold {error}.\nStore the model again.") from error
        name, restored = restore_process(process)
        model = cls(process=name, time_unit=restored.time_unit)
        selection = Selection.from_dict(stored.get("selection", {"name": name, "note": "", "table": []}))
        level = Level.from_dict(stored["level"]) if "level" in stored else Level()
        fitted_as_of = None if as_of is None else pd.Timestamp(as_of)
        model._compose(restored, GammaGammaModel.from_dict(spend), selection, level, fitted_as_of=fitted_as_of)
        return model

    def to_files(self) -> dict[str, bytes]:
        """Return `to_dict` as one JSON file."""
        return {"model.json": json.dumps(self.to_dict(), indent=1, sort_keys=True).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Return the model that `to_files` wrote."""
        return cls.from_dict(json.loads(files["model.json"]))

    def synthetic_example(self) -> pd.DataFrame:
        """Return two made-up rows of input."""
        return pd.DataFrame([[0.0, 0.0, 30.0, 0.0], [3.0, 20.0, 30.0, 25.0]], columns=list(self.input_columns))

    def _repr_html_(self) -> str:
        """Show in a notebook how the model is set up and, once fitted, which process it is and why."""
        if not hasattr(self, "process_"):
            return summary_html("CLVModel, not fitted", self.get_params(deep=False))
        as_of = self.fitted_as_of_
        facts = {
            "purchase process": type(self.process_).__name__,
            "spend": type(self.spend_).__name__,
            "nothing seen from": "fitted to a frame" if as_of is None else as_of,
            "time unit": self.time_unit,
            **{f"note {number}": note for number, note in enumerate(self.diagnostics_["notes"], 1)},
        }
        parameters = pd.DataFrame({"value": self.params_}).rename_axis("parameter")
        return summary_html("CLVModel", facts, parameters)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show the same where scikit-learn's diagram would be."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _compose(
        self,
        process: PurchaseProcess,
        spend: GammaGammaModel,
        selection: Selection,
        level: Level,
        *,
        fitted_as_of: pd.Timestamp | None,
    ) -> None:
        self.process_, self.spend_, self._selection = process, spend, selection
        self.selection_, self.level_ = selection.table, level
        self.fitted_as_of_ = fitted_as_of
        self.params_ = {**process.params_, **spend.params_}
        self.diagnostics_ = {
            "process": process.diagnostics_,
            "spend": spend.diagnostics_,
            "notes": [note for note in (selection.note, level.note) if note]
            + process.diagnostics_["notes"]
            + spend.diagnostics_["notes"],
        }

    def _factor(self, rfm: pd.DataFrame, horizon_days: float) -> Array:
        """Return what the level's correction makes of each customer's expected purchases."""
        if self.fitted_as_of_ is None:
            return np.ones(len(rfm))
        ages = rfm["T"].to_numpy(dtype=float) * days_per_unit(self.process_.time_unit_)
        ends = pd.Series(rfm.get("as_of", self.fitted_as_of_), index=rfm.index)
        factor = np.ones(len(rfm))
        for end in ends.unique():
            rows = (ends == end).to_numpy()
            factor[rows] = self.level_.factors(ages[rows], as_of=end, horizon_days=horizon_days)
        return factor

    def _bounds(self, rfm: pd.DataFrame, horizon: float, value_per_spend: Array) -> tuple[Array, Array]:
        futures = common_futures()
        x, mean_spend = check_spend(rfm)
        n_process = len(self.process_.params_)
        spend_normals = futures.normals[n_process : n_process + len(self.spend_.params_)]
        return value_bounds(
            self.process_.count_draw(rfm, horizon),
            x,
            mean_spend,
            value_per_spend=value_per_spend,
            spend_params=parameter_draws(self.spend_.params_, self.spend_.log_covariance_, spend_normals),
            futures=futures,
            level=INTERVAL_LEVEL,
        )


def _continuous_rate(annual_discount_rate: float) -> float:
    """Continuous rate per day that discounts a year by 1 / (1 + annual_discount_rate)."""
    if not (np.isfinite(annual_discount_rate) and annual_discount_rate >= 0.0):
        raise CrmError(out_of_range("annual_discount_rate", annual_discount_rate, "be 0 or more and finite"))
    return float(np.log1p(annual_discount_rate)) / DAYS_PER_YEAR


def _ratio(discounted: pd.Series, purchases: pd.Series) -> Array:
    """Mean discount factor; 1 for customers of whom nothing is expected."""
    numerator, denominator = discounted.to_numpy(dtype=float), purchases.to_numpy(dtype=float)
    return np.asarray(np.divide(numerator, denominator, out=np.ones_like(numerator), where=denominator > 0.0))
