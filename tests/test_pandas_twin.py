"""The features and labels agree with the same written in pandas, which shares no line with the library."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.feature_shops import make_shop
from benchmarks.pandas_features import pandas_features, pandas_panels

from crm_ml import CustomerLog, build_features, build_panel

CUTOFFS = ["2022-06-01", "2022-07-15T13:37:11.000001", "2022-11-01"]
TOLERANCE = 1e-9  # sums are formed in another order, and some as differences of cumulative ones


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder: Path = tmp_path_factory.mktemp("shop")
    make_shop(folder, customers=3_000, transactions=40_000, interactions=90_000, days=365)
    transactions, interactions = (pd.read_parquet(folder / f"{n}.parquet") for n in ("transactions", "interactions"))
    moments = [
        pd.Timestamp(cutoff) - pd.Timedelta(days=days) for cutoff in CUTOFFS for days in (-30, 0, 30, 90, 120, 365)
    ]
    known = interactions["customer_id"].iloc[0]
    money = [(1, moment, 10.0) for moment in moments]  # on every edge
    money += [(2, CUTOFFS[0], -5.0), (3, "2022-05-01", 0.0), (4, "2022-05-01", -5.0), (4, "2022-05-02", 5.0)]
    acts = [(who, moment, kind) for moment in moments for who in (1, 2, known) for kind in ("view", "support")]
    acts += [(5, "2022-05-01", "view"), (1, "2022-08-01", "new")]
    return with_rows(transactions, money), with_rows(interactions, acts)


def with_rows(frame: pd.DataFrame, rows: list[tuple[object, ...]]) -> pd.DataFrame:
    more = pd.DataFrame(rows, columns=frame.columns)
    more["timestamp"] = [pd.Timestamp(moment) for moment in more["timestamp"]]
    joined = pd.concat([frame, more.astype(frame.dtypes)]).sort_values("timestamp", kind="stable", ignore_index=True)
    return joined.astype({"event_type": "category"}) if "event_type" in joined else joined


def agree(twin: pd.DataFrame, ours: pd.DataFrame) -> None:
    twin = twin.set_axis(twin.index.map(str))
    assert list(twin.columns) == list(ours.columns)
    pd.testing.assert_frame_equal(
        twin.sort_index(), ours, rtol=TOLERANCE, atol=TOLERANCE, check_names=False, check_index_type=False
    )


@pytest.mark.parametrize("as_of", CUTOFFS)
def test_features_agree(shop: tuple[pd.DataFrame, pd.DataFrame], as_of: str) -> None:
    transactions, interactions = shop
    ours = build_features(CustomerLog(transactions, interactions), as_of=as_of)
    assert ours.isna().to_numpy().any()
    assert np.isfinite(ours["gap_trend"]).all()
    agree(pandas_features(transactions, interactions, as_of=as_of), ours)


def test_panels_agree(shop: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    transactions, interactions = shop
    ours = build_panel(CustomerLog(transactions, interactions), cutoffs=CUTOFFS, horizon_days=30)
    assert "new_30d" not in ours
    for part in pandas_panels(transactions, interactions, cutoffs=CUTOFFS, horizon_days=30):
        moment = part.pop("cutoff").iloc[0]
        agree(part, ours.xs(moment, level="cutoff"))
