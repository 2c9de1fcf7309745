"""Reasons: exact to the margin, one for each fact, in words; importance and dependence against plain twins."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from histories import awkward_shop
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.inspection import partial_dependence as dependence_by_sklearn
from sklearn.linear_model import LogisticRegression

from crm_ml import CustomerLog, build_features
from crm_ml.churn import reasons as module
from crm_ml.churn.influence import importance, partial_dependence
from crm_ml.churn.process import process_feature
from crm_ml.churn.reasons import contribution_frame, contributions, reasons
from crm_ml.errors import SchemaError
from crm_ml.features import (
    GROUPS,
    RFM,
    Basket,
    CategoryRFM,
    Discounts,
    EventCount,
    Feature,
    FeatureSet,
    InteractionDecline,
    IntervalStretch,
    PurchaseRegularity,
    PurchaseSummary,
    Seasonality,
)


def random_model(seed: int, *, rows: int = 300, columns: int = 6, trees: int = 40, depth: int = 0) -> tuple[Any, Any]:
    """Train on noise and signal, with missing values, ties and monotone constraints; return trees and matrix."""
    draw = np.random.default_rng(seed)
    signal = draw.normal(size=(rows, columns))
    matrix = signal * 10 ** draw.uniform(-2, 4, columns)
    matrix[:, 0] = np.round(draw.gamma(1.0, 3.0, rows))
    matrix[draw.random(matrix.shape) < draw.uniform(0, 0.4)] = np.nan
    risk = np.nan_to_num(matrix[:, 0]) - 3 + 2 * signal[:, 1] * signal[:, 2] + signal[:, 3] + draw.normal(size=rows)
    parameters = {
        "objective": "binary:logistic",
        "max_depth": depth or int(draw.integers(1, 7)),
        "eta": float(draw.uniform(0.05, 0.5)),
        "min_child_weight": float(draw.choice([0.1, 1, 20])),
        "monotone_constraints": "(" + ",".join(str(d) for d in draw.integers(-1, 2, columns)) + ")",
        "seed": seed,
        "nthread": 1,
    }
    return xgboost.train(parameters, xgboost.DMatrix(matrix, label=(risk > 0).astype(float)), trees), matrix


def margin(booster: Any, matrix: Any) -> Any:
    return booster.predict(xgboost.DMatrix(matrix), output_margin=True).astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_contributions_sum_to_the_margin(seed: int) -> None:
    booster, matrix = random_model(seed)
    found = contributions(booster, matrix)
    assert found.shape == (300, 7)
    assert np.ptp(found[:, -1]) == 0
    np.testing.assert_allclose(found.sum(axis=1), margin(booster, matrix), rtol=0, atol=1e-4)


def expected_value(node: Mapping[str, Any], row: Any, known: frozenset[int]) -> float:
    """Return a tree's mean along its own paths, given some features of a row."""
    if "leaf" in node:
        return float(node["leaf"])
    children = {child["nodeid"]: child for child in node["children"]}
    feature = int(node["split"][1:])
    if feature in known:
        value = np.float32(row[feature])
        way = (
            node["missing"] if np.isnan(value) else node["yes" if value < np.float32(node["split_condition"]) else "no"]
        )
        return expected_value(children[way], row, known)
    return sum(child["cover"] * expected_value(child, row, known) for child in children.values()) / node["cover"]


def test_contributions_are_shapley_values_of_the_trees() -> None:
    """Counted over all subsets of the features; XGBoost's approximation would be off by far more."""
    booster, matrix = random_model(3, columns=4, trees=6, depth=4)
    trees = [json.loads(tree) for tree in booster.get_dump(with_stats=True, dump_format="json")]
    found = contributions(booster, matrix[:25])
    rough = booster.predict(xgboost.DMatrix(matrix[:25]), pred_contribs=True, approx_contribs=True)
    assert abs(rough - found).max() > 0.01
    for row, own in zip(matrix[:25], found, strict=True):
        worth = {
            known: sum(expected_value(tree, row, known) for tree in trees)
            for size in range(5)
            for known in map(frozenset, itertools.combinations(range(4), size))
        }
        for feature in range(4):
            others = [known for known in worth if feature not in known]
            shapley = sum(
                math.factorial(len(known))
                * math.factorial(3 - len(known))
                / 24
                * (worth[known | {feature}] - worth[known])
                for known in others
            )
            # covers are written with six digits, sums are in single precision
            assert own[feature] == pytest.approx(shapley, abs=2e-5)


THEMES = ("waiting", "money", "waiting", "views", "money", "waiting")
DOCUMENTED = tuple(
    Feature(f"f{i}", "units", "none", "any", "unknown", theme=theme, words=lambda value, _, i=i: f"f{i}={value!r}")
    for i, theme in enumerate(THEMES)
)


@pytest.fixture(scope="module")
def trees() -> tuple[Any, Any, pd.Index]:
    booster, matrix = random_model(11, depth=3)
    return booster, matrix, pd.Index([f"c{i}" for i in range(len(matrix))], name="customer_id")


def test_themes_sum_their_features_and_all_sum_to_the_margin(trees: tuple[Any, Any, pd.Index]) -> None:
    booster, matrix, index = trees
    by_feature = contribution_frame(booster, matrix, DOCUMENTED, index=index, by="feature")
    by_theme = contribution_frame(booster, matrix, DOCUMENTED, index=index)
    assert by_feature.columns.tolist() == [f"f{i}" for i in range(6)] + ["base", "margin"]
    assert by_theme.columns.tolist() == ["waiting", "money", "views", "base", "margin"]
    assert by_theme.index.equals(index)
    np.testing.assert_allclose(by_theme["waiting"], by_feature[["f0", "f2", "f5"]].sum(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_theme["money"], by_feature[["f1", "f4"]].sum(axis=1), rtol=0, atol=1e-12)
    for frame in (by_feature, by_theme):
        np.testing.assert_allclose(frame.drop(columns="margin").sum(axis=1), frame["margin"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(frame["margin"], margin(booster, matrix), rtol=0, atol=1e-4)


def plain_reasons(found: Any, matrix: Any, *, top: int, lowering: bool) -> list[tuple[Any, ...]]:
    told = []
    for i, row in enumerate(found):
        sums = {theme: sum(row[j] for j in range(6) if THEMES[j] == theme) for theme in dict.fromkeys(THEMES)}
        ranked = sorted(sums, key=lambda theme: -abs(sums[theme]) if lowering else -sums[theme])
        ranked = [theme for theme in ranked if (sums[theme] != 0 if lowering else sums[theme] > 0)]
        for rank, theme in enumerate(ranked[:top], start=1):
            sign = math.copysign(1, sums[theme])
            strongest = max((j for j in range(6) if THEMES[j] == theme), key=lambda j: sign * row[j])
            told.append((f"c{i}", rank, theme, f"f{strongest}", round(sums[theme], 9)))
    return told


@pytest.mark.parametrize("top", [1, 2, 3])
@pytest.mark.parametrize("lowering", [False, True])
def test_reasons_are_the_strongest_themes_in_the_words_of_their_strongest_feature(
    trees: tuple[Any, Any, pd.Index], top: int, lowering: bool
) -> None:
    booster, matrix, index = trees
    told = reasons(booster, matrix, DOCUMENTED, index=index, top=top, lowering=lowering)
    assert told.columns.tolist() == ["rank", "theme", "feature", "contribution", "value", "text"]
    expected = plain_reasons(contributions(booster, matrix), matrix, top=top, lowering=lowering)
    found = told.reset_index()[["customer_id", "rank", "theme", "feature", "contribution"]].round(9)
    assert [*found.itertuples(index=False, name=None)] == expected
    for customer, feature, value, text in told.reset_index()[["customer_id", "feature", "value", "text"]].to_numpy():
        own = matrix[int(customer[1:]), int(feature[1:])]
        np.testing.assert_equal(value, own)
        assert text == ("unknown" if np.isnan(own) else f"{feature}={own.item()!r}")


def test_all_reasons_lead_from_the_base_to_the_margin(trees: tuple[Any, Any, pd.Index]) -> None:
    booster, matrix, index = trees
    told = reasons(booster, matrix, DOCUMENTED, index=index, top=None, lowering=True)
    base = contributions(booster, matrix)[0, -1]
    total = told.groupby(level=0)["contribution"].sum().reindex(index, fill_value=0.0)
    np.testing.assert_allclose(base + total, margin(booster, matrix), rtol=0, atol=1e-4)


def test_reasons_do_not_depend_on_blocks_or_company(
    trees: tuple[Any, Any, pd.Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    booster, matrix, index = trees
    whole = reasons(booster, matrix, DOCUMENTED, index=index)
    frame = contribution_frame(booster, matrix, DOCUMENTED, index=index)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    pd.testing.assert_frame_equal(reasons(booster, matrix, DOCUMENTED, index=index), whole, check_exact=True)
    pd.testing.assert_frame_equal(contribution_frame(booster, matrix, DOCUMENTED, index=index), frame, check_exact=True)
    someone = index.get_loc(whole.index[100])
    alone = reasons(booster, matrix[[someone]], DOCUMENTED, index=index[[someone]])
    pd.testing.assert_frame_equal(alone, whole.loc[index[[someone]]], check_exact=True)


def test_reasons_of_nobody_and_of_a_panel(trees: tuple[Any, Any, pd.Index]) -> None:
    booster, matrix, index = trees
    nobody = reasons(booster, matrix[:0], DOCUMENTED, index=index[:0])
    assert nobody.columns.tolist() == ["rank", "theme", "feature", "contribution", "value", "text"]
    assert len(nobody) == len(contribution_frame(booster, matrix[:0], DOCUMENTED, index=index[:0])) == 0
    panel = pd.MultiIndex.from_product([["2024-01-01", "2024-02-01"], index[:3]], names=["cutoff", "customer_id"])
    told = reasons(booster, matrix[:6], DOCUMENTED, index=panel)
    assert told.index.names == ["cutoff", "customer_id"]
    assert set(told.index) <= set(panel)


def test_settings_that_do_not_fit_are_told(trees: tuple[Any, Any, pd.Index]) -> None:
    booster, matrix, index = trees
    for top in (0, -1):
        with pytest.raises(SchemaError, match=rf"`top` must be at least 1, or None for all; got {top}"):
            reasons(booster, matrix, DOCUMENTED, index=index, top=top)
    with pytest.raises(SchemaError, match='`by` must be "theme" or "feature"; got'):
        contribution_frame(booster, matrix, DOCUMENTED, index=index, by="themes")  # type: ignore[arg-type]
    taken = (Feature("margin", "share", "none", "any"), *DOCUMENTED[1:])
    with pytest.raises(SchemaError, match=r"must leave `base` and `margin` free. Taken: \['margin'\]"):
        contribution_frame(booster, matrix, taken, index=index)
    assert len(reasons(booster, matrix, taken, index=index)) > 0


BUILDERS = (
    RFM(),
    IntervalStretch(),
    InteractionDecline(event_types=("view", "email_open")),
    Seasonality(),
    Seasonality(years=(2,), tolerance_days=7),
    CategoryRFM(categories=("toys",)),
    Basket(),
    Discounts(),
    EventCount("engagement", {"view": 1, "cart": 5}, window_days=30),
    PurchaseSummary(),
    PurchaseRegularity(),
)
EVERY = [
    (feature, {other.name for other in builder.describe()}) for builder in BUILDERS for feature in builder.describe()
]
EVERY += [(process_feature(30), {"process_log_odds", "frequency", "recency_days"})]
LOGARITHMS = ("log days", "log days per gap", "log odds")


def check(text: str) -> None:
    assert text
    assert not [sign for sign in ("nan", "inf", "{", "}", "None", "  ", "−0 ", "−0.00", "e+") if sign in text], text
    assert text == text.strip()


def test_every_builder_of_the_library_is_among_those_whose_words_are_checked() -> None:
    assert {type(builder) for builder in GROUPS.values()} <= {type(builder) for builder in BUILDERS}


@pytest.mark.parametrize(("feature", "company"), EVERY, ids=lambda known: getattr(known, "name", ""))
def test_every_feature_has_words_for_any_value(feature: Feature, company: set[str]) -> None:
    """Alone and with the builder's other features, of which each may be missing."""
    assert feature.words is not None
    lowest = {"≥ 0": 0.0, "> 0": 1e-9, "0 … T": 0.0, "≥ 1": 1.0, "≥ −1": -1.0, "> −1": -0.999999}
    low = lowest.get(feature.range, 0.0 if feature.range.startswith(("0", "≥ 0")) else -1e6)
    high = 1.0 if feature.range.startswith(("0 … 1", "0 or 1")) else 1e6
    if feature.unit in LOGARITHMS:
        low, high = max(low, -18.0), 18.0
    values = [v for v in (low, 0.0, 0.3, 0.5, 1.0, 1.4, 2.0, 43.21, -1.0, -12.3, high) if low <= v <= high]
    for value in values:
        check(feature.say({feature.name: value}))
        for other in (0.0, 1.0, 7.0, math.nan):
            check(feature.say(dict.fromkeys(company, other) | {feature.name: value}))
    missing = feature.say(dict.fromkeys(company, math.nan))
    check(missing)
    assert missing == (f"{feature.name} is missing" if feature.missing == "never" else feature.missing)


def test_features_as_built_have_words() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    log = CustomerLog(*awkward_shop(3, cutoff=cutoff, n_customers=60))
    chosen = FeatureSet.settle(["rfm", "interval", "interactions", "season"], log, first_cutoff=cutoff)
    features = build_features(log, as_of=cutoff, features=chosen)
    for row in features.to_dict("records"):
        for feature in chosen.documented:
            check(feature.say({str(name): value for name, value in row.items()}))


def feature_of(builders: Sequence[Any], name: str) -> Feature:
    return next(f for builder in builders for f in builder.describe() if f.name == name)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"recency_days": 43.2}, "last purchase 43 days ago"),
        ({"recency_days": 1.4}, "last purchase 1 day ago"),
        ({"recency_days": 0.2}, "last purchase less than a day ago"),
        ({"orders_30d": 0.0}, "no orders in the last 30 days"),
        ({"orders_30d": 1.0}, "1 order in the last 30 days"),
        ({"orders_365d": 1204.0}, "1,204 orders in the last 365 days"),
        ({"spend_90d": 23.4}, "23.40 spent in the last 90 days"),
        ({"spend_30d": 0.0}, "nothing spent in the last 30 days"),
        ({"spend_30d": -12.0}, "12.00 more returned than spent in the last 30 days"),
        ({"returned_share": 0.354}, "35% of the money paid was returned"),
        ({"returned_share": math.nan}, "nothing paid"),
        ({"frequency": 0.0}, "bought on 1 day"),
        ({"gaps": 3.0}, "bought on 4 days"),
        ({"orders_decayed_14d": 0.57}, "0.57 orders of late (one of 14 days ago counts half)"),
        ({"orders_decayed_60d": 1.0}, "1 order of late (one of 60 days ago counts half)"),
        ({"interval_stretch": 1.4, "usual_gap_days": 18.1}, "has waited 2.4 × the usual 18 days"),
        ({"interval_stretch": 1.4}, "has waited 2.4 × the usual gap between purchases"),
        ({"longer_gaps_share": 2.5 / 7, "gaps": 6.0}, "2 of 6 gaps between purchases were longer than this wait"),
        ({"longer_gaps_share": 1.5 / 2, "gaps": 1.0}, "1 of 1 gap between purchases was longer than this wait"),
        ({"longer_gaps_share": 0.5 / 7, "gaps": 6.0}, "has never waited so long between purchases"),
        ({"longer_gaps_share": 0.5, "gaps": 0.0}, "no gap between purchases yet to compare the wait with"),
        ({"last_gaps_stretch": 0.002}, "the last gaps were as long as those before"),
        ({"gap_trend": math.log(0.8)}, "each gap is about 20% shorter than the one before"),
        ({"view_30d": 2.0, "view_decline": 2 / ((29 + 1) / 4) - 1}, "2 views in the last 30 days, 29 in the 90 before"),
        ({"view_30d": 0.0, "days_since_view": 43.0}, "no views in the last 30 days, the last 43 days ago"),
        ({"view_decline": -0.6}, "60% fewer views than usual"),
        ({"email_open_30d": 1.0}, "1 email open in the last 30 days"),
        ({"days_since_view": math.nan}, "no view ever"),
        ({"view_decayed": 0.0}, "no views so far"),
        ({"season_orders_30d_1y": 2.0}, "2 orders in the same 30 days a year ago"),
        ({"season_orders_30d_1y": math.nan}, "no customer yet a year ago"),
        ({"season_known_30d_1y": 1.0}, "already a customer a year ago"),
        ({"season_known_30d_2y": 0.0}, "no customer yet 2 years ago"),
        ({"categories_90d": 1.0}, "bought in 1 category in the last 90 days"),
        ({"categories": 3.0}, "bought in 3 categories"),
        ({"category_toys_share": 0.001}, "less than 1% of the money paid went to toys"),
        ({"category_toys_recency_days": math.nan}, "never bought in toys"),
        ({"items_per_order_90d": math.nan}, "no order with a quantity in the last 90 days"),
        ({"last_order_discounted": 1.0}, "last order with a discount"),
        ({"engagement": 12.0}, "engagement of 12 in the last 30 days"),
        ({"sum_log_gaps": 3 * math.log(18), "frequency": 3.0}, "typical gap of 18 days between purchases"),
    ],
)  # fmt: skip
def test_words_say_what_the_numbers_mean(row: dict[str, float], text: str) -> None:
    assert feature_of(BUILDERS, next(iter(row))).say(row) == text


def test_the_process_is_told_in_purchases() -> None:
    feature = process_feature(30)
    odds = math.log(0.65 / 0.35)
    assert feature.say({"process_log_odds": odds}) == "by past purchases alone 65% likely to buy nothing in 30 days"
    full = {"process_log_odds": odds, "frequency": 0.0, "recency_days": 1.2}
    assert (
        feature.say(full) == "bought on 1 day, the last 1 day ago: by that alone 65% likely to buy nothing in 30 days"
    )
    assert process_feature(60).say({"process_log_odds": -8.0}).endswith("less than 1% likely to buy nothing in 60 days")


def test_a_feature_without_words_is_told_by_name_and_unit() -> None:
    own = Feature("weekend_share", "share", "none", "0 … 1", "no orders")
    assert own.theme == "weekend_share"
    assert own.say({"weekend_share": 0.3}) == "weekend_share is 0.3 share"
    assert own.say({"weekend_share": math.nan}) == "weekend_share is missing: no orders"


def test_importance_is_the_mean_size_of_contributions(trees: tuple[Any, Any, pd.Index]) -> None:
    booster, matrix, index = trees
    features = pd.DataFrame(matrix, index=index, columns=[f.name for f in DOCUMENTED])

    def contributed(frame: pd.DataFrame) -> pd.DataFrame:
        return contribution_frame(booster, frame.to_numpy(), DOCUMENTED, index=frame.index, by="feature")

    found = importance(contributed, features, rng=np.random.default_rng(0))
    own = contributions(booster, matrix)
    size = {f"f{j}": sum(abs(float(row[j])) for row in own) / len(own) for j in range(6)}
    assert found.index.tolist() == sorted(size, key=lambda name: -size[name])
    assert found["importance"].to_dict() == pytest.approx(size, rel=1e-12)
    assert found["share"].to_dict() == pytest.approx({k: v / sum(size.values()) for k, v in size.items()}, rel=1e-12)


def test_importance_looks_at_no_more_rows_than_asked_for(trees: tuple[Any, Any, pd.Index]) -> None:
    seen: list[int] = []

    def contributed(frame: pd.DataFrame) -> pd.DataFrame:
        seen.append(len(frame))
        return frame.abs().assign(base=0.0, margin=0.0)

    features = pd.DataFrame({"a": np.arange(300.0), "b": 0.0})
    for rows in (1, 299, 300, 301):
        importance(contributed, features, rows=rows, rng=np.random.default_rng(1))
    assert seen == [1, 299, 300, 300]
    assert importance(contributed, features[["b"]], rng=np.random.default_rng(1))["share"].tolist() == [0.0]
    with pytest.raises(SchemaError, match="`rows` must be at least 1; got 0"):
        importance(contributed, features, rows=0, rng=np.random.default_rng(1))
    with pytest.raises(SchemaError, match="Features must hold at least one row; they hold none"):
        importance(contributed, features[:0], rng=np.random.default_rng(1))


def counted_shop(n: int) -> tuple[pd.DataFrame, Any]:
    draw = np.random.default_rng(4)
    shop = pd.DataFrame({"orders": draw.integers(0, 9, n).astype(float), "spend": draw.gamma(1, 30, n)})
    left = draw.random(n) < 1 / (1 + np.exp(shop["orders"] - shop["spend"] / 30))
    return shop, LogisticRegression().fit(shop.to_numpy(), left)


def test_partial_dependence_is_that_of_scikit_learn() -> None:
    shop, model = counted_shop(400)
    found = partial_dependence(
        lambda frame: model.predict_proba(frame.to_numpy())[:, 1], shop, "orders", rng=np.random.default_rng(0)
    )
    peer = dependence_by_sklearn(
        model, shop.to_numpy(), [0], kind="both", method="brute", response_method="predict_proba"
    )
    assert found["value"].tolist() == peer["grid_values"][0].tolist() == list(map(float, range(9)))
    np.testing.assert_allclose(found["probability"], peer["average"][0], rtol=1e-12)
    np.testing.assert_allclose(found["lower"], np.quantile(peer["individual"][0], 0.1, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["upper"], np.quantile(peer["individual"][0], 0.9, axis=0), rtol=1e-12)


def test_partial_dependence_is_bounded_and_passes_over_missing_values() -> None:
    shop, _ = counted_shop(5000)
    shop.loc[::2, "spend"] = np.nan
    seen: list[int] = []

    def predict(frame: pd.DataFrame) -> Any:
        seen.append(len(frame))
        assert np.ptp(frame["spend"]) == 0
        return frame["spend"] / 1000

    found = partial_dependence(predict, shop, "spend", points=10, rows=50, rng=np.random.default_rng(0))
    assert seen == [50] * 10
    assert found["value"].is_monotonic_increasing
    assert found["value"].isin(shop["spend"]).all()
    low, high = np.nanquantile(shop["spend"], [0.05, 0.95], method="inverted_cdf")
    assert found["value"].iloc[[0, -1]].tolist() == [low, high]
    np.testing.assert_allclose(found["probability"], found["value"] / 1000, rtol=1e-12)


def test_partial_dependence_that_cannot_be_is_told() -> None:
    shop = pd.DataFrame({"orders": [1.0, 2.0], "spend": [np.nan, np.nan]})

    def ask(feature: str, **settings: int) -> pd.DataFrame:
        return partial_dependence(
            lambda frame: frame["orders"], shop, feature, rng=np.random.default_rng(0), **settings
        )

    with pytest.raises(SchemaError, match=r"features need a column `order`.*nearest: 'orders'"):
        ask("order")
    with pytest.raises(SchemaError, match="`spend` must be known of someone; it is missing in all 2 rows"):
        ask("spend")
    with pytest.raises(SchemaError, match="`points` must be at least 2; got 1"):
        ask("orders", points=1)
    assert len(ask("orders", points=2)) == 2
