"""What a marketer or data scientist would use instead of `CLVModel`, under the backtest's protocol."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
import pandas as pd

from crm_ml.clv.interop import import_lifetimes
from crm_ml.clv.summary import rfm_summary
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.rfm import RFM
from crm_ml.features.panels.panel import build_features

__all__ = ["LifetimesBaseline", "SpendRateBaseline"]


class SpendRateBaseline:
    """Everyone goes on spending at the rate of their time as a customer so far."""

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:  # noqa: ARG002  # the rule has nothing to learn
        """Return itself."""
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return net spend per day since the first purchase, times the horizon."""
        features = build_features(log, as_of=as_of, features=[RFM()])
        return features["spend"] / features["tenure_days"].clip(lower=1) * horizon_days


class LifetimesBaseline:
    """BG/NBD and Gamma-Gamma as fitted by the archived package ``lifetimes`` with its defaults."""

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Fit on the log before `as_of`."""
        rfm = rfm_summary(log, as_of=as_of)
        lifetimes = import_lifetimes()
        spent = rfm[(rfm["frequency"] > 0) & (rfm["monetary_value"] > 0)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of overflow within lifetimes' optimiser
            self.purchases_ = lifetimes.BetaGeoFitter().fit(rfm["frequency"], rfm["recency"], rfm["T"])
            self.spend_ = lifetimes.GammaGammaFitter().fit(spent["frequency"], spent["monetary_value"])
        return self

    def forecast(self, log: CustomerLog, *, as_of: Moment, horizon_days: float) -> pd.Series:
        """Return expected purchases times expected spend."""
        rfm = rfm_summary(log, as_of=as_of)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of overflow within lifetimes' formulas
            purchases = self.purchases_.conditional_expected_number_of_purchases_up_to_time(
                horizon_days, rfm["frequency"], rfm["recency"], rfm["T"]
            )
            spend = self.spend_.conditional_expected_average_profit(rfm["frequency"], rfm["monetary_value"])
        return pd.Series(np.asarray(purchases) * np.asarray(spend), index=rfm.index)
