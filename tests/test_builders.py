"""The builders of lines, seasons and events against twins in plain Python, written from their documentation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from known_past import CATEGORIES, CUTOFF, KINDS, NAN, Customer, Event, KnownPast, Line, edge, some_customers

from crm_ml.errors import SchemaError
from crm_ml.events.clock import DAY
from crm_ml.features.builders.basket import Basket, Discounts
from crm_ml.features.builders.category import CategoryRFM
from crm_ml.features.builders.event_counts import DayStreak, EventCount
from crm_ml.features.builders.season import Seasonality
from crm_ml.features.feature import from_spec, to_spec

WEIGHTS = {"view": 1.0, "cart": 5.0, "complaint": -2.5}


def over(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else NAN


def by_moment(lines: list[Line]) -> list[list[Line]]:
    """Group lines of amount ≥ 0 into orders, oldest first."""
    moments = sorted({line.time for line in lines if line.amount >= 0})
    return [[line for line in lines if line.time == time and line.amount >= 0] for time in moments]


def within(rows: list[Any], window_days: float) -> list[Any]:
    return [row for row in rows if CUTOFF - window_days * DAY <= row.time < CUTOFF]


def categories(customer: Customer, names: tuple[str, ...], windows: tuple[int, ...]) -> dict[str, float]:
    lines = [line for line in customer.lines if line.category is not None]
    bought = [line for line in lines if line.amount >= 0]
    paid = {c: sum(line.amount for line in bought if line.category == c) for c in CATEGORIES}
    found: dict[str, float] = {
        "categories": len({line.category for line in bought}),
        "favourite_category_share": over(max(paid.values()), sum(paid.values())),
    }
    for w in windows:
        found[f"categories_{w}d"] = len({line.category for line in within(bought, w)})
    for name in names:
        own = [line for line in lines if line.category == name]
        buys = [line for line in own if line.amount >= 0]
        latest = max((line.time for line in buys), default=NAN)
        found[f"category_{name}_recency_days"] = (CUTOFF - latest) / DAY
        found[f"category_{name}_share"] = over(paid.get(name, 0.0), sum(paid.values()))
        for w in windows:
            found[f"category_{name}_orders_{w}d"] = len({line.time for line in within(buys, w)})
            found[f"category_{name}_spend_{w}d"] = sum(line.amount for line in within(own, w))
    return found


def season(customer: Customer, window: int, tolerance: float, years: tuple[int, ...]) -> dict[str, float]:
    bought = [order.time for order in customer.orders if order.is_purchase]
    found: dict[str, float] = {}
    for y in years:
        begins = CUTOFF - (364 * y + tolerance) * DAY
        ends = CUTOFF - (364 * y - window - tolerance) * DAY
        known = bool(bought) and min(bought) <= CUTOFF - 364 * y * DAY
        orders = sum(begins <= time < ends for time in bought)
        before = sum(begins - (ends - begins) <= time < begins for time in bought)
        spend = sum(order.amount for order in customer.orders if begins <= order.time < ends)
        found[f"season_known_{window}d_{y}y"] = float(known)
        found[f"season_orders_{window}d_{y}y"] = orders if known else NAN
        found[f"season_spend_{window}d_{y}y"] = spend if known else NAN
        found[f"season_before_{window}d_{y}y"] = before if known else NAN
        found[f"season_lift_{window}d_{y}y"] = (orders + 1) / (before + 1) if known else NAN
    return found


def basket(customer: Customer, w: int) -> dict[str, float]:
    orders = by_moment([line for line in customer.lines if not math.isnan(line.quantity)])
    recent = [order for order in orders if within(order, w)]

    def items(chosen: list[list[Line]]) -> float:
        return sum(line.quantity for order in chosen for line in order)

    def value(chosen: list[list[Line]]) -> float:
        return sum(line.amount for order in chosen for line in order)

    earlier = over(items(orders[:-1]), len(orders[:-1]))
    return {
        "items_per_order": over(items(orders), len(orders)),
        "lines_per_order": over(sum(map(len, orders)), len(orders)),
        "value_per_item": over(value(orders), items(orders)),
        f"items_per_order_{w}d": over(items(recent), len(recent)),
        f"value_per_item_{w}d": over(value(recent), items(recent)),
        "last_order_items_ratio": over(items(orders[-1:]), earlier),
    }


def discounts(customer: Customer, w: int) -> dict[str, float]:
    orders = by_moment([line for line in customer.lines if not math.isnan(line.discount)])
    found: dict[str, float] = {}
    for suffix, chosen in (("", orders), (f"_{w}d", [order for order in orders if within(order, w)])):
        off = sum(line.discount for order in chosen for line in order)
        full = sum(line.amount + line.discount for order in chosen for line in order)
        reduced = sum(any(line.discount > 0 for line in order) for order in chosen)
        found[f"discount_share{suffix}"] = over(off, full)
        found[f"discounted_orders_share{suffix}"] = over(reduced, len(chosen))
    found["last_order_discounted"] = float(any(line.discount > 0 for line in orders[-1])) if orders else NAN
    return found


def events(customer: Customer, builder: EventCount) -> dict[str, float]:
    total = 0.0
    for event in within(customer.events, builder.window_days):
        term = builder.weights.get(event.kind, 0.0)
        if builder.by_value:
            term *= 0.0 if math.isnan(event.value) else event.value
        if builder.half_life_days is not None:
            term *= 0.5 ** ((CUTOFF - event.time) / DAY / builder.half_life_days)
        total += term
    return {builder.name: total}


def streak(customer: Customer, builder: DayStreak) -> dict[str, float]:
    chosen = [event for event in within(customer.events, builder.window_days) if event.kind in builder.event_types]
    days = {event.time // DAY for event in chosen}
    return {builder.name: float(max((next(n for n in range(99) if day + n not in days) for day in days), default=0))}


Twin = Callable[[Customer], Mapping[str, float]]
ONE_UNKNOWN = ("shoes", "gone", "bags")
COUNTS = [
    EventCount("engagement", WEIGHTS, window_days=30),
    EventCount("warmth", WEIGHTS, window_days=90, half_life_days=20.0),
    EventCount("worth", {"cart": 1}, window_days=364, by_value=True),
    EventCount("warm worth", WEIGHTS, window_days=30, half_life_days=7.5, by_value=True),
    EventCount("ever", {"view": 1, "cart": 0}, window_days=1e9),
]
STREAKS = [
    DayStreak("busy", ("cart", "view")),
    DayStreak("cart days", ["cart"], window_days=1e9),  # type: ignore[arg-type]  # a list is taken too
    DayStreak("rare", ("cart", "zoom"), window_days=90.5, absent="zero"),
]
CASES: list[tuple[Any, Twin]] = [
    (CategoryRFM(), lambda c: categories(c, (), (90,))),
    (CategoryRFM(categories=CATEGORIES), lambda c: categories(c, CATEGORIES, (90,))),
    (CategoryRFM((30, 364), ONE_UNKNOWN), lambda c: categories(c, ONE_UNKNOWN, (30, 364))),
    (Seasonality(), lambda c: season(c, 30, 0, (1,))),
    (Seasonality(30, 7.0, (1, 2)), lambda c: season(c, 30, 7, (1, 2))),
    (Seasonality(364), lambda c: season(c, 364, 0, (1,))),
    (Seasonality(357, 7.0), lambda c: season(c, 357, 7, (1,))),
    (Basket(), lambda c: basket(c, 90)),
    (Basket(30), lambda c: basket(c, 30)),
    (Discounts(), lambda c: discounts(c, 90)),
    (Discounts(364), lambda c: discounts(c, 364)),
    *((count, lambda c, count=count: events(c, count)) for count in COUNTS),
    *((builder, lambda c, builder=builder: streak(c, builder)) for builder in STREAKS),
]
BUILDERS = [builder for builder, _ in CASES]


@pytest.mark.parametrize(("builder", "twin"), CASES, ids=[str(builder) for builder in BUILDERS])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_feature_agrees_with_its_documentation(seed: int, builder: Any, twin: Twin) -> None:
    customers = some_customers(seed, 400)
    found = builder.build(KnownPast(customers))
    expected = [twin(customer) for customer in customers]
    assert sorted(found) == sorted(expected[0])
    for name, values in found.items():
        assert values.dtype == np.float64
        wanted = [row[name] for row in expected]
        np.testing.assert_allclose(values, wanted, rtol=1e-12, atol=1e-11, equal_nan=True, err_msg=name)


def test_the_customers_are_awkward() -> None:
    customers = some_customers(1, 400)
    lines = [line for customer in customers for line in customer.lines]
    assert any(not c.lines for c in customers)
    assert any(c.lines and all(line.amount < 0 for line in c.lines) for c in customers)
    assert any(len({line.time for line in c.lines}) < len(c.lines) for c in customers)
    assert any(math.isnan(line.quantity) for line in lines)
    assert any(math.isnan(line.discount) for line in lines)
    assert any(line.category is None for line in lines)
    for days in (30, 90, 364):
        assert {edge(days, -1), edge(days), edge(days, 1)} <= {line.time for line in lines}


@pytest.mark.parametrize("builder", BUILDERS, ids=str)
def test_what_is_described_is_built_and_missing_or_out_of_range_only_where_documented(builder: Any) -> None:
    found = builder.build(KnownPast(some_customers(3, 400)))
    described = builder.describe()
    assert [feature.name for feature in described] == list(dict.fromkeys(feature.name for feature in described))
    assert sorted(found) == sorted(feature.name for feature in described)
    for feature in described:
        values = found[feature.name]
        assert all((feature.unit, feature.formula, feature.range, feature.missing))
        assert feature.churn in (-1, 0, 1)
        assert np.isnan(values).any() == (feature.missing != "never"), feature.name
        values = values[~np.isnan(values)]
        lowest = {"any": -np.inf, "≥ 1": 1.0}.get(feature.range, 0.0)
        highest = 1.0 if feature.range in ("0 … 1", "0 or 1") else np.inf
        assert ((lowest <= values) & (values <= highest)).all(), feature.name
        assert feature.range != "> 0" or (values > 0).all(), feature.name
        assert feature.range != "0 or 1" or set(values) == {0.0, 1.0}, feature.name


@pytest.mark.parametrize("builder", BUILDERS, ids=str)
def test_a_customers_features_do_not_depend_on_the_others(builder: Any) -> None:
    customers = some_customers(4, 60)
    whole = builder.build(KnownPast(customers))
    parts = [builder.build(KnownPast(chosen)) for chosen in (customers[:1], customers[1:25], customers[25:])]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))


@pytest.mark.parametrize("builder", BUILDERS, ids=str)
@pytest.mark.parametrize("n_customers", [0, 3])
def test_customers_without_events_have_features(builder: Any, n_customers: int) -> None:
    found = builder.build(KnownPast([Customer([], [], [])] * n_customers))
    assert {values.shape for values in found.values()} == {(n_customers,)}
    for feature in builder.describe():
        nothing = 0.0 if feature.missing == "never" else NAN
        np.testing.assert_array_equal(found[feature.name], [nothing] * n_customers)


@pytest.mark.parametrize("builder", BUILDERS, ids=str)
def test_the_stated_reach_is_all_of_the_interactions_that_counts(builder: Any) -> None:
    def with_event(time: int) -> Mapping[str, Any]:
        return builder.build(KnownPast([Customer([], [], [Event(time, "cart", 2.0)])]))

    assert builder.interaction_days >= 0
    nothing = builder.build(KnownPast([Customer([], [], [])]))
    beyond = with_event(edge(builder.interaction_days, -1)) if builder.interaction_days < 1e6 else nothing
    for name, values in nothing.items():
        np.testing.assert_array_equal(beyond[name], values)
    if 0 < builder.interaction_days < 1e6:
        assert with_event(edge(builder.interaction_days))[builder.name] != 0


@pytest.mark.parametrize("builder", BUILDERS, ids=str)
def test_builders_survive_being_stored(builder: Any) -> None:
    again = from_spec(json.loads(json.dumps(to_spec(builder))))
    assert again == builder
    assert hash(again) == hash(builder)
    assert again.describe() == builder.describe()
    assert set(dataclasses.asdict(builder)).isdisjoint({"needs", "interaction_days"})


@pytest.mark.parametrize(
    ("builder", "needs"),
    [(CategoryRFM, "category"), (Basket, "quantity"), (Discounts, "discount")],
)
def test_a_column_the_log_lacks_is_told(builder: type, needs: str) -> None:
    made: Any = builder()
    assert made.needs == (needs,)
    past = KnownPast(some_customers(1, 5), columns=frozenset({"value"}))
    with pytest.raises(SchemaError, match=rf"transactions need a column `{needs}`\. Columns present: \['value'\]"):
        made.build(past)


def test_a_log_without_any_of_the_categories_is_told() -> None:
    past = KnownPast(some_customers(1, 5))
    with pytest.raises(SchemaError, match=r"out of \['gone'\]; present: \['bags', 'hats', 'shoes', 'toys'\]\.\nName"):
        CategoryRFM(categories=("gone",)).build(past)
    with pytest.raises(SchemaError, match=r"out of \['bags'\]; present: \[\]"):
        CategoryRFM(categories=("bags",)).build(KnownPast([Customer([], [], [])], categories=()))
    assert CategoryRFM().build(KnownPast([Customer([], [], [])], categories=()))["categories"].tolist() == [0.0]


def test_event_types_the_log_lacks_are_told_or_count_nothing() -> None:
    past: Any = KnownPast(some_customers(1, 50))
    weights = {"view": 1.0, "zoom": 3.0, "chat": 2.0}
    rule = (
        r"event types that `talk` counts\. Absent: \['chat', 'zoom'\]; present: \['cart', 'complaint', 'view'\]\.\nAdd"
    )
    with pytest.raises(SchemaError, match=rule):
        EventCount("talk", weights, window_days=30).build(past)
    with pytest.raises(SchemaError, match=rule):
        DayStreak("talk", ("view", "zoom", "chat")).build(past)
    found = EventCount("talk", weights, window_days=30, absent="zero").build(past)["talk"]
    np.testing.assert_array_equal(found, EventCount("talk", {"view": 1.0}, window_days=30).build(past)["talk"])
    bare: Any = KnownPast([Customer([], [], [])] * 2, event_types=())
    assert EventCount("talk", weights, window_days=30, absent="zero").build(bare)["talk"].tolist() == [0.0, 0.0]
    assert DayStreak("talk", ("view",), absent="zero").build(bare)["talk"].tolist() == [0.0, 0.0]


def test_values_the_log_lacks_are_told_or_count_nothing() -> None:
    customer = Customer([], [], [Event(edge(1), "view", NAN)])
    past: Any = KnownPast([customer], columns=frozenset({"category"}))
    with pytest.raises(SchemaError, match=r"interactions need a column `value`\. Columns present: \['category'\]"):
        EventCount("worth", {"view": 1.0}, window_days=30, by_value=True).build(past)
    lenient = EventCount("worth", {"view": 1.0}, window_days=30, by_value=True, absent="zero")
    assert lenient.build(past)["worth"].tolist() == [0.0]
    assert EventCount("views", {"view": 1.0}, window_days=30).build(past)["views"].tolist() == [1.0]


def test_weights_changed_outside_change_no_builder() -> None:
    weights = {"view": 1}
    builder = EventCount("views", weights, window_days=30)
    weights["cart"] = 5
    assert builder.weights == {"view": 1.0}
    assert set(KINDS) > set(builder.weights)


@pytest.mark.parametrize(
    ("builder", "settings", "message"),
    [
        (CategoryRFM, {"windows_days": (90, 0)}, "`windows_days` must be a positive number of days; got 0"),
        (CategoryRFM, {"windows_days": (NAN,)}, "`windows_days` must be a positive number of days; got nan"),
        (Seasonality, {"window_days": 0}, "`window_days` must be a positive number of days; got 0"),
        (Seasonality, {"window_days": 365}, "`window_days` must be at most 364, so that .* before the cutoff; got 365"),
        (Seasonality, {"window_days": 358, "tolerance_days": 7}, "`window_days` must be at most 357, .* got 358"),
        (Seasonality, {"window_days": 729, "years": (2,)}, "`window_days` must be at most 728, .* got 729"),
        (Seasonality, {"window_days": 365, "years": (2, 1)}, "`window_days` must be at most 364, .* got 365"),
        (Seasonality, {"tolerance_days": -1}, "`tolerance_days` must be at least 0 and finite; got -1"),
        (Seasonality, {"tolerance_days": NAN}, "`tolerance_days` must be at least 0 and finite"),
        (Seasonality, {"years": ()}, r"`years` must hold whole numbers of at least 1; got \(\)"),
        (Seasonality, {"years": (1, 0)}, r"`years` must hold whole numbers of at least 1; got \(1, 0\)"),
        (Seasonality, {"years": (1.5,)}, "`years` must hold whole numbers"),
        (Basket, {"window_days": 0}, "`window_days` must be a positive number of days; got 0"),
        (Discounts, {"window_days": -1}, "`window_days` must be a positive number of days; got -1"),
        (EventCount, {"name": ""}, "`name` must name a column; got ''"),
        (EventCount, {"weights": {}}, r"`weights` must hold a finite weight per event type; got \{\}"),
        (EventCount, {"weights": {"view": NAN}}, "`weights` must hold a finite weight per event type"),
        (EventCount, {"window_days": 0}, "`window_days` must be a positive number of days; got 0"),
        (EventCount, {"window_days": math.inf}, "`window_days` must be a positive number of days; got inf"),
        (EventCount, {"half_life_days": 0}, "`half_life_days` must be a positive number of days; got 0"),
        (EventCount, {"absent": "skip"}, '`absent` must be "error" or "zero"; got \'skip\''),
        (DayStreak, {"name": ""}, "`name` must name a column; got ''"),
        (DayStreak, {"event_types": ()}, r"`event_types` must be one or more names in a tuple; got \(\)"),
        (DayStreak, {"event_types": "view"}, "`event_types` must be one or more names in a tuple; got 'view'"),
        (DayStreak, {"window_days": 0}, "`window_days` must be a positive number of days; got 0"),
        (DayStreak, {"absent": "skip"}, '`absent` must be "error" or "zero"; got \'skip\''),
    ],
)
def test_settings_outside_their_domain_are_refused(builder: type, settings: dict[str, Any], message: str) -> None:
    needed: dict[type, dict[str, Any]] = {
        EventCount: {"name": "views", "weights": {"view": 1.0}, "window_days": 30},
        DayStreak: {"name": "views", "event_types": ("view",)},
    }
    given = needed.get(builder, {})
    with pytest.raises(SchemaError, match=message):
        builder(**(given | settings))


def test_the_edge_of_every_domain_is_inside() -> None:
    assert Seasonality(364, years=(1,)).describe()
    assert Seasonality(728, years=(2, 3)).describe()
    assert Seasonality(357, tolerance_days=7).describe()
    assert EventCount("views", {"view": 0.0}, window_days=1 / DAY).describe()
