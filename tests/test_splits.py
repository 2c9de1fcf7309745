"""A panel's folds never train on a label that was not known at the test cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from crm_ml import CustomerLog, build_panel
from crm_ml.errors import SchemaError
from crm_ml.evaluation import PanelSplit, labels_known_by
from crm_ml.features import PersonalHorizon

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-01-01", tz="UTC")


def panel_of(cutoffs: list[pd.Timestamp], ends: list[pd.Timestamp], **columns: Any) -> pd.DataFrame:
    customers = [f"c{row % 5}" for row in range(len(cutoffs))]
    index = pd.MultiIndex.from_arrays([customers, pd.DatetimeIndex(cutoffs)], names=["customer_id", "cutoff"])
    return pd.DataFrame({"label_end": pd.DatetimeIndex(ends)} | columns, index=index)


def random_panel(draw: np.random.Generator) -> tuple[pd.DataFrame, PanelSplit]:
    """Make rows of irregular cutoffs in any order, label windows of their own, many of them ending on a cutoff."""
    days = np.sort(draw.choice(200, size=draw.integers(2, 9), replace=False))
    at = draw.choice(days, size=draw.integers(len(days), 60))
    own = np.maximum(draw.integers(1, 90, len(at)) + draw.choice([0.0, 0.5, 1e-6], len(at)), 1e-3)
    to_a_cutoff = draw.choice(days, len(at)) - at
    own = np.where((draw.random(len(at)) < 0.4) & (to_a_cutoff > 0), to_a_cutoff, own)
    embargo = float(draw.choice([0, 0, 1, 7.5, 30]))
    panel = panel_of([START + int(day) * DAY for day in at], list(START + (at + own) * DAY))
    return panel, PanelSplit(int(draw.integers(1, 4)), embargo)


def test_a_thousand_random_panels_without_a_violation() -> None:
    draw, judged, on_the_edge = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        panel, split = random_panel(draw)
        cutoff, end = panel.index.get_level_values("cutoff"), panel["label_end"]
        try:
            folds = list(split.split(panel))
        except SchemaError:
            last = cutoff.unique().sort_values()[-split.n_splits :]
            embargoed = end + split.embargo_days * DAY
            assert len(last) < split.n_splits or any((embargoed > at).all() for at in last)
            continue
        assert len(folds) == split.n_splits == split.get_n_splits(panel)
        for (train, test), at in zip(folds, cutoff.unique().sort_values()[-split.n_splits :], strict=True):
            assert set(cutoff[test]) == {at}
            assert len(test) == (cutoff == at).sum()
            room = (at - panel["label_end"].iloc[train]) / DAY
            assert (room >= split.embargo_days).all()
            assert (cutoff[train] < at).all()
            left_out = np.setdiff1d(np.arange(len(panel)), train)
            assert (((at - panel["label_end"].iloc[left_out]) / DAY) < split.embargo_days).all()
            on_the_edge += int((room == split.embargo_days).sum())
            judged += 1
    assert judged > 1000
    assert on_the_edge > 1000


@pytest.mark.parametrize(("embargo_days", "microseconds", "known"), [(0, 0, 2), (0, 1, 1), (3, 0, 1), (2, 0, 2)])
def test_a_label_that_ends_on_the_cutoff_is_known(embargo_days: float, microseconds: int, known: int) -> None:
    gap = embargo_days if embargo_days < 3 else 2
    test = START + 60 * DAY
    ends = [START + 20 * DAY, test - gap * DAY + pd.Timedelta(microseconds, "us"), test + 30 * DAY]
    panel = panel_of([START, START + DAY, test], ends)
    ((train, tested),) = PanelSplit(1, embargo_days).split(panel)
    assert len(train) == known
    assert tested.tolist() == [2]
    assert len(labels_known_by(panel, test, embargo_days=embargo_days)) == known


SHOP = CustomerLog(*awkward_shop(3, cutoff=pd.Timestamp("2024-03-01"), n_customers=150))
CUTOFFS = pd.date_range("2023-08-01", "2024-02-01", freq="MS")
PANEL = build_panel(SHOP, cutoffs=CUTOFFS, horizon_days=PersonalHorizon(multiple=1.0, longest_days=60), features="rfm")
X, Y = PANEL[["recency_days", "orders_90d"]], PANEL["churned"]


def test_it_serves_scikit_learn_as_cv() -> None:
    split, how = PanelSplit(n_splits=2, embargo_days=5), {"groups": PANEL["label_end"]}
    found = cross_val_score(LogisticRegression(), X, Y, cv=split, scoring="roc_auc", **how)
    for fold, at in enumerate(CUTOFFS[-2:].tz_localize("UTC")):
        known = PANEL["label_end"] + 5 * DAY <= at
        model = LogisticRegression().fit(X[known], Y[known])
        tested = PANEL.index.get_level_values("cutoff") == at
        risk = model.predict_proba(X[tested])[:, 1]
        assert found[fold] == pytest.approx(auc_by_pairs(Y[tested].to_numpy(), risk), abs=1e-12)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=split, scoring="roc_auc").fit(X, Y, **how)
    assert search.cv_results_["split1_test_score"][1] == pytest.approx(found[1], abs=1e-12)


def auc_by_pairs(left: Any, risk: Any) -> float:
    pairs = risk[left == 1][:, None] - risk[left == 0][None, :]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_windows_of_their_own_are_purged_row_by_row() -> None:
    *_, (train, _) = PanelSplit(2).split(PANEL)
    before = PANEL.iloc[train].index.get_level_values("cutoff").value_counts().sort_index()
    all_rows = PANEL.index.get_level_values("cutoff").value_counts().sort_index()
    share = before / all_rows[before.index]
    assert (share < 1).any()
    assert share.iloc[0] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PanelSplit(0), "`n_splits` must be a whole number of at least 1; got 0"),
        (lambda: PanelSplit(1.5), "`n_splits` must be a whole number of at least 1; got 1.5"),  # type: ignore[arg-type]
        (lambda: PanelSplit(embargo_days=-1), "`embargo_days` must be a number of days of at least 0; got -1"),
        (lambda: list(PanelSplit(8).split(PANEL)), "must be at most the number of cutoffs; got 8, and the panel has 7"),
        (lambda: list(PanelSplit(7).split(PANEL)), "rows whose labels were known by then; 2023-08-01.* has none"),
        (lambda: list(PanelSplit(2, 150).split(PANEL)), "has none, as the first label ends .* embargo is 150 days"),
        (lambda: list(PanelSplit().split(X)), "X need a column `label_end`.*recency_days"),
        (lambda: list(PanelSplit().split(X.to_numpy())), r"X need a column `label_end`. Columns present: \[\]"),
        (lambda: list(PanelSplit().split(X, groups=PANEL["label_end"].to_numpy())), "indexed by .*; got ndarray"),
        (lambda: list(PanelSplit().split(X, groups=PANEL["label_end"].iloc[1:])), "must have the rows of `X`"),
        (lambda: list(PanelSplit().split(X, groups=PANEL["label_end"].iloc[::-1])), "in their order"),
        (
            lambda: list(PanelSplit().split(PANEL.assign(label_end=PANEL.index.get_level_values("cutoff")))),
            r"A label must end after its cutoff; 700 of 700 do not",
        ),
    ],
)
def test_what_cannot_be_split_is_told(call: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        call()
