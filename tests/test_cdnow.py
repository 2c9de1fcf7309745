"""The CDNOW sample from raw log to published numbers, through the library's own door."""

import numpy as np
import pandas as pd
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_log, cdnow_rfm

import crm_ml
from crm_ml.clv import BetaGeoModel, GammaGammaModel, rfm_summary
from crm_ml.features import build_panel

HOLDOUT_BY_REPEATS = {  # BTYD walkthrough: 39 weeks, customers with 0 … 6 and 7 or more repeats
    "customers": [1411, 439, 214, 100, 62, 38, 29, 64],
    "actual": [0.237, 0.697, 1.393, 1.560, 2.532, 2.947, 3.862, 6.359],
    "expected": [0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789, 3.503957, 6.157036],
}


@pytest.fixture(scope="module")
def log():
    return crm_ml.CustomerLog(cdnow_log(), columns={"date": "timestamp"}, n_buckets=3)


@pytest.fixture(scope="module")
def rfm(log):
    return rfm_summary(log, as_of="1997-10-01", time_unit="W")


def test_the_summary_is_the_published_one(rfm):
    assert len(rfm) == 2357
    assert rfm["frequency"].sum() == 2457
    twin = cdnow_rfm().set_axis(cdnow_rfm().index.astype(str)).loc[rfm.index]
    np.testing.assert_allclose(rfm.to_numpy(), twin[rfm.columns].to_numpy(), rtol=1e-12, atol=1e-12)


def test_bg_nbd_reproduces_the_published_fit(rfm):
    model = BetaGeoModel(time_unit="W").fit(rfm)
    for name, published in CDNOW.items():
        assert model.params_[name] == pytest.approx(published, abs=1e-4)
    assert model.log_likelihood_ == pytest.approx(-9582.429207, abs=1e-3)


def test_gamma_gamma_reproduces_the_published_fit(rfm):
    model = GammaGammaModel().fit(rfm)
    for name, published in CDNOW_SPEND.items():
        assert model.params_[name] == pytest.approx(published, abs=1e-3)


def test_the_holdout_by_repeats_is_the_published_one(log, rfm):
    ahead = build_panel(log, cutoffs=["1997-10-01"], horizon_days=273, features=[])
    actual = ahead.droplevel("cutoff")["purchase_days_ahead"]
    expected = BetaGeoModel(time_unit="W").fit(rfm).expected_purchases(rfm, 39)
    found = pd.DataFrame({"actual": actual, "expected": expected}).groupby(rfm["frequency"].clip(upper=7))
    assert found.size().tolist() == HOLDOUT_BY_REPEATS["customers"]
    np.testing.assert_allclose(found["actual"].mean(), HOLDOUT_BY_REPEATS["actual"], atol=5e-4)
    np.testing.assert_allclose(found["expected"].mean(), HOLDOUT_BY_REPEATS["expected"], rtol=1e-4)
