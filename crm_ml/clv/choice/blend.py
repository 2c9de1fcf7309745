"""`BlendedValue`: a model and its challenger, or either, whichever the backtest finds best."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from crm_ml.clv.choice.deviance import half_deviance, simplest_not_worse
from crm_ml.clv.rfm_frame import check_fitted
from crm_ml.errors import CrmError, out_of_range
from crm_ml.evaluation.backtest import Predictor, backtest
from crm_ml.events.clock import Moment, days, moment, stamp
from crm_ml.events.log import CustomerLog

__all__ = ["BlendedValue"]


class BlendedValue:
    """A weighted mean of two forecasts of spend, where that is better than either.

    Both are fitted as of two origins, two horizons and one horizon before `as_of`. The weight is the one of
    least mean `half_deviance` in the window after the earlier origin. The window after the later one judges:
    the model, the challenger, or the blend, the simplest within a standard error of the best. Where only the
    later origin leaves enough history, every other customer teaches the weight and the rest judge.

    Parameters
    ----------
    model, challenger : Predictor
        Of net spend. Copies are fitted; they themselves stay as they are.
    horizon_days : float
        Horizon to judge and to forecast.

    Attributes
    ----------
    weight_ : float
        Of the challenger: 0 if the model alone was chosen, 1 if the challenger alone.
    table_ : DataFrame
        Indexed by ``forecast`` (model, challenger, blend): ``deviance``, ``excess`` over the best and its
        ``error``, ``chosen``. Empty where nothing could be judged.
    note_ : str
        What was chosen and why.
    model_, challenger_ : Predictor
        Fitted on everything before `as_of`, where their weight is not 0.

    Examples
    --------
    >>> import crm_ml
    >>> from crm_ml.clv import CLVModel, PanelValueModel, SpendRateBaseline
    >>> log = crm_ml.load_sample()
    >>> blend = BlendedValue(SpendRateBaseline(), CLVModel(process="BetaGeo"), horizon_days=60)
    >>> blend.fit(log, as_of="2017-10-01").table_.index.tolist()
    ['model', 'challenger', 'blend']
    """

    def __init__(self, model: Predictor, challenger: Predictor, *, horizon_days: float) -> None:
        self.model = model
        self.challenger = challenger
        self.horizon_days = horizon_days

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Weigh both by backtest, then fit them on everything before `as_of`.

        Raises
        ------
        CrmError
            What is chosen cannot be fitted.
        """
        self.model_, self.challenger_ = copy.deepcopy(self.model), copy.deepcopy(self.challenger)
        self._weigh(self._holdouts(log, as_of=as_of))
        if self.weight_ < 1.0:
            self.model_.fit(log, as_of=as_of)
        if self.weight_ > 0.0:
            self.challenger_.fit(log, as_of=as_of)
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return the expected net spend of everyone who bought before `as_of`.

        Raises
        ------
        CrmError
            The horizon is not the one that was judged.
        """
        check_fitted(self, "weight_")
        if horizon_days != self.horizon_days:
            raise CrmError(out_of_range("horizon_days", horizon_days, f"be the horizon judged, {self.horizon_days:g}"))
        weights = ((self.model_, 1.0 - self.weight_), (self.challenger_, self.weight_))
        parts = [
            weight * member.forecast(log, as_of=as_of, horizon_days=horizon_days)
            for member, weight in weights
            if weight > 0.0
        ]
        return parts[0] if len(parts) == 1 else parts[0].add(parts[1])

    def _holdouts(self, log: CustomerLog, *, as_of: Moment) -> list[pd.DataFrame]:
        """Return what was forecast and what came after each origin at which both could be fitted."""
        horizon = days(self.horizon_days, name="horizon_days")
        end = min(moment(as_of), moment(log.end))
        members = {"challenger": self.challenger_, "model": self.model_}
        found = []
        for origin in (end - 2 * horizon, end - horizon):
            try:
                judged = backtest(
                    log,
                    members,
                    cutoffs=[stamp(origin)],
                    horizon_days=self.horizon_days,
                    target="spend_ahead",
                )
            except CrmError:
                continue
            found.append(judged.predictions.droplevel("cutoff"))
        return found

    def _weigh(self, found: list[pd.DataFrame]) -> None:
        if not found:
            self.weight_, self.table_ = 0.0, pd.DataFrame()
            self.note_ = "The model alone: the history is too short to fit both at an earlier origin."
            return
        learn, judge = found if len(found) == 2 else (found[0].iloc[::2], found[0].iloc[1::2])
        weight = float(
            minimize_scalar(
                lambda w: half_deviance(learn["actual"], _blend(learn, w)).mean(), bounds=(0.0, 1.0), method="bounded"
            ).x
        )
        weights = {"model": 0.0, "challenger": 1.0, "blend": weight}
        rows = pd.DataFrame({name: half_deviance(judge["actual"], _blend(judge, w)) for name, w in weights.items()})
        rows.index = judge.index
        verdict = simplest_not_worse(rows)
        self.weight_ = weights[verdict.chosen]
        self.table_ = pd.DataFrame(
            {"deviance": rows.mean(), "excess": verdict.excess, "error": verdict.error}
        ).rename_axis("forecast")
        self.table_["chosen"] = self.table_.index == verdict.chosen
        reason = "lowest" if verdict.chosen == verdict.best else f"within a standard error of the {verdict.best}'s"
        self.note_ = (
            f"The {verdict.chosen}, with a weight of {self.weight_:.2f} on the challenger: its mean deviance out of "
            f"time, {rows[verdict.chosen].mean():.4g}, is {reason}; the blend learned a weight of {weight:.2f}."
        )


def _blend(forecasts: pd.DataFrame, weight: float) -> NDArray[np.float64]:
    blended = (1.0 - weight) * forecasts["model"] + weight * forecasts["challenger"]
    return np.asarray(blended)
