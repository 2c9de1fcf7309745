"""Scores of a log by a churn model: horizons and reasons as asked for."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_ml import ChurnModel, CustomerLog, build_features, predict_churn, simulate

AS_OF = "2024-09-01"
SHOP = simulate(300, days=270, start="2024-01-01", seed=3)


@pytest.fixture(scope="module")
def log() -> CustomerLog:
    return CustomerLog(SHOP.transactions, SHOP.interactions)


@pytest.fixture(scope="module")
def model(log: CustomerLog) -> ChurnModel:
    return ChurnModel(horizon_days=(30, 60), n_cutoffs=6).fit(log, as_of=AS_OF)


def test_scores_are_what_the_model_predicts(log: CustomerLog, model: ChurnModel) -> None:
    found = predict_churn(log, model, as_of=AS_OF)
    expected = model.predict(build_features(log, as_of=AS_OF, features=model.feature_set))
    pd.testing.assert_frame_equal(found.drop(columns="as_of"), expected, check_exact=True)
    assert (found["as_of"] == pd.Timestamp(AS_OF, tz="UTC")).all()
    assert "churn_upper_60d" in found.columns


def test_reasons_are_those_of_each_customer(log: CustomerLog, model: ChurnModel) -> None:
    found = predict_churn(log, model, as_of=AS_OF, reasons=4)
    told = model.explain(build_features(log, as_of=AS_OF, features=model.feature_set), top=4)
    assert told["rank"].max() == 4
    for rank in range(1, 5):
        texts = told.loc[told["rank"] == rank, "text"]
        column = found[f"reason_{rank}"].dropna()
        assert column.tolist() == texts.reindex(column.index).tolist()
        assert len(column) == len(texts)
    assert found["reason_4"].isna().any()
    pd.testing.assert_frame_equal(
        found.drop(columns=[f"reason_{rank}" for rank in range(1, 5)]), predict_churn(log, model, as_of=AS_OF)
    )
