"""A panel as arrays is the panel as a frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_ml import CustomerLog, build_panel, simulate
from crm_ml.errors import SchemaError
from crm_ml.features import PersonalHorizon
from crm_ml.features.feature_set import FeatureSet
from crm_ml.features.panels.matrix import panel_matrix

SHOP = simulate(300, days=300, start="2024-01-01", seed=6)
CUTOFFS = ["2024-04-01", "2024-06-15 07:30", "2024-08-01"]


@pytest.mark.parametrize("horizon", [30, PersonalHorizon(shortest_days=5, longest_days=50)])
@pytest.mark.parametrize("lookback", [None, 60])
def test_rows_columns_and_labels_are_those_of_the_frame(horizon: float | PersonalHorizon, lookback: int | None) -> None:
    windows = {"cutoffs": CUTOFFS, "horizon_days": horizon, "lookback_days": lookback}
    log = CustomerLog(SHOP.transactions.sample(frac=1, random_state=1), SHOP.interactions, n_buckets=7)
    frame = build_panel(CustomerLog(SHOP.transactions, SHOP.interactions), **windows)
    found = panel_matrix(log, features=("rfm", "interval", "interactions"), spare_columns=2, **windows)
    width = len(found.columns)
    assert np.array_equal(found.features[:, :width], frame[list(found.columns)].to_numpy(np.float32), equal_nan=True)
    assert np.isnan(found.features[:, width:]).all()
    assert found.features.shape[1] == width + 2
    assert found.churned.tolist() == frame["churned"].tolist()
    assert found.horizon_days.tolist() == frame["horizon_days"].tolist()
    assert (pd.to_datetime(found.label_end, unit="us", utc=True) == frame["label_end"]).all()
    index = frame.index.to_frame(index=False)
    assert (pd.to_datetime(found.cutoff, unit="us", utc=True) == index["cutoff"]).all()
    assert (found.customer == index["customer_id"].rank(method="dense").astype(int) - 1).all()


def test_labels_alone_need_no_features() -> None:
    log = CustomerLog(SHOP.transactions)
    found = panel_matrix(
        log, cutoffs=CUTOFFS, horizon_days=20, lookback_days=None, features=FeatureSet((), ()), spare_columns=1
    )
    assert found.features.shape == (len(found.churned), 1)


def test_nobody_is_told() -> None:
    with pytest.raises(SchemaError, match="A panel needs customers who bought before a cutoff"):
        panel_matrix(
            CustomerLog(SHOP.transactions), cutoffs=["2024-01-01"], horizon_days=20, lookback_days=1, features="rfm"
        )
