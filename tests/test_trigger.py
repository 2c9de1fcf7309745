"""The rule fires exactly at its bounds, says so once, and is judged beside models at the same number of alerts."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from hypothesis import example, given
from hypothesis import strategies as st

from crm_ml import CustomerLog, build_features
from crm_ml.churn import RetentionTrigger
from crm_ml.churn.trigger.retention import cooling
from crm_ml.errors import SchemaError
from crm_ml.evaluation import backtest
from crm_ml.features import (
    ActivityDecline,
    AllOf,
    AnyOf,
    EventCount,
    Threshold,
    all_of,
    any_of,
    rule_from_toml,
    rule_to_toml,
)
from crm_ml.features.rules.rules import crosses, quantile_bound

NAN = float("nan")
DAY = pd.Timedelta(days=1)
AS_OF = pd.Timestamp("2024-06-01", tz="UTC")
COMPARE = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
}
OPERATORS = st.sampled_from(sorted(COMPARE))


# --- thresholds ---


@given(part=st.integers(0, 9_999), whole=st.integers(1, 9_999), percent=st.integers(-99, 400), operator=OPERATORS)
def test_a_share_is_compared_as_in_exact_arithmetic(part: int, whole: int, percent: int, operator: Any) -> None:
    exact = COMPARE[operator](Fraction(part, whole) - 1, Fraction(percent, 100))
    floats = np.array([part / whole - 1, part * (1 / whole) - 1, math.exp(math.log(part or 1) - math.log(whole)) - 1])
    assert crosses(floats[: 3 if part else 2], operator, percent / 100).tolist() == [exact] * (3 if part else 2)


def test_noise_is_kept_out_at_thirty_and_fifty_percent_and_nothing_more() -> None:
    assert 13 / 10 - 1 > 0.3 > 1.3 / 1.0 - 1.0 - 1e-16
    waits = np.array([13 / 10 - 1, 0.3 - 5e-16, 0.3, 12.9999999 / 10 - 1, 13.0000001 / 10 - 1])
    assert crosses(waits, ">=", 0.30).tolist() == [True, True, True, False, True]
    assert crosses(waits, ">", 0.30).tolist() == [False, False, False, False, True]
    falls = np.array([5 / 10 - 1, -0.5 + 5e-16, -0.4999999])
    assert crosses(falls, "<=", -0.50).tolist() == [True, True, False]
    assert crosses(falls, "<", -0.50).tolist() == [False, False, False]


@pytest.mark.parametrize(("bound", "scale"), [(0.0, 1.0), (0.5, 1.0), (-1.0, 1.0), (1000.0, 1000.0), (-4e6, 4e6)])
def test_the_tolerance_is_the_one_stated(bound: float, scale: float) -> None:
    within, beyond = 0.9e-12 * scale, 1.2e-12 * scale
    around = np.array([bound - beyond, bound - within, bound, bound + within, bound + beyond])
    assert crosses(around, ">=", bound).tolist() == [False, True, True, True, True]
    assert crosses(around, "<=", bound).tolist() == [True, True, True, True, False]
    assert crosses(around, ">", bound).tolist() == [False, False, False, False, True]
    assert crosses(around, "<", bound).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("operator", sorted(COMPARE))
@given(
    values=st.lists(st.none() | st.integers(0, 6) | st.integers(0, 99), max_size=30),
    percent=st.integers(1, 99),
)
def test_a_quantile_takes_its_share_of_whole_customers_and_who_ties(values: Any, percent: int, operator: Any) -> None:
    known = sorted(value for value in values if value is not None)
    frame = pd.DataFrame({"x": [NAN if value is None else float(value) for value in values]})
    fires = Threshold("x", operator, quantile=percent / 100).fires(frame)
    share = Fraction(100 - percent, 100) if operator in (">=", "<") else Fraction(percent, 100)
    taken = math.ceil(share * len(known))
    end = known[len(known) - taken :] if operator in (">=", "<") else known[:taken]
    expected = {">=": lambda v: v >= end[0], "<": lambda v: v < end[0], "<=": lambda v: v <= end[-1]}.get(
        operator, lambda v: v > end[-1]
    )
    assert fires.tolist() == [value is not None and bool(expected(value)) for value in values]


def test_the_top_tenth_of_whole_customers() -> None:
    frame = pd.DataFrame({"x": np.arange(1.0, 101.0)})
    for quantile, count in ((0.9, 10), (0.7, 30), (0.1, 90), (0.999, 1)):
        assert Threshold("x", ">=", quantile=quantile).fires(frame).sum() == count
        assert Threshold("x", "<=", quantile=round(1 - quantile, 3)).fires(frame).sum() == count
    more = pd.DataFrame({"x": np.arange(1.0, 102.0)})
    counts = {operator: Threshold("x", operator, quantile=0.9).fires(more).sum() for operator in COMPARE}  # type: ignore[arg-type]
    assert counts == {">=": 11, "<": 90, "<=": 91, ">": 10}
    assert math.isnan(quantile_bound(np.array([NAN]), ">=", 0.5))


def test_above_average_is_above_the_mean_of_whom_is_known() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, NAN, 9.0]})
    assert Threshold("x", ">", mean=1).fires(frame).tolist() == [False, False, False, True]
    assert Threshold("x", "<=", mean=0.5).fires(frame).tolist() == [True, True, False, False]
    assert Threshold("x", ">=", mean=2.25).fires(frame).tolist() == [False, False, False, True]
    assert Threshold("x", ">=", mean=2.2500001).fires(frame).sum() == 0
    assert not Threshold("x", "<", mean=9).fires(frame.assign(x=NAN)).any()


@given(values=st.lists(st.none() | st.integers(-3, 9) | st.floats(-1e6, 1e6), min_size=1, max_size=30), data=st.data())
def test_a_fixed_rule_fires_for_the_same_and_holds_others_to_it(values: Any, data: st.DataObject) -> None:
    frame = pd.DataFrame({"x": [NAN if value is None else float(value) for value in values], "y": 3.0})
    relative = st.builds(
        lambda operator, kind, number: Threshold("x", operator, **{kind: number}),
        OPERATORS,
        st.sampled_from(["quantile", "mean"]),
        st.floats(0.01, 0.99),
    )
    rule = any_of(all_of(data.draw(relative), data.draw(relative), Threshold("y", ">", 2)), data.draw(relative))
    if frame["x"].isna().all():
        with pytest.raises(SchemaError, match=r"`x` must have a finite value for some customer.*\nGive more"):
            rule.fixed(frame)
        return
    fixed = rule.fixed(frame)
    assert all(threshold.value is not None for threshold in fixed.thresholds)
    assert [t.feature for t in fixed.thresholds] == ["x", "x", "y", "x"]
    assert fixed.fires(frame).tolist() == rule.fires(frame).tolist()
    order = data.draw(st.permutations(range(len(frame))))
    assert rule.fixed(frame.iloc[order]) == fixed
    assert [bool(fires) for row in range(len(frame)) for fires in fixed.fires(frame.iloc[[row]])] == (
        fixed.fires(frame).tolist()
    )


def test_missing_never_fires() -> None:
    frame = pd.DataFrame({"x": [NAN, NAN], "y": [1.0, NAN]})
    for operator in COMPARE:
        assert not Threshold("x", operator, 0).fires(frame).any()  # type: ignore[arg-type]
        assert not Threshold("x", operator, quantile=0.5).fires(frame).any()  # type: ignore[arg-type]
    y = Threshold("y", ">=", 1)
    assert any_of(Threshold("x", ">=", 0), y).fires(frame).tolist() == [True, False]
    assert all_of(Threshold("x", ">=", 0), y).fires(frame).tolist() == [False, False]


@pytest.mark.parametrize(
    ("given_", "settings", "message"),
    [
        (("", ">=", 1), {}, "`feature` must name a column; got ''"),
        ((3, ">=", 1), {}, "`feature` must name a column; got 3"),
        (("x", "=>", 1), {}, '`operator` must be one of ">=", "<=", ">" and "<"; got \'=>\''),
        (("x", ">="), {}, "threshold on `x` must have a value, a quantile or a mean; got none"),
        (
            ("x", ">=", 1),
            {"quantile": 0.5},
            "must have a value, a quantile or a mean; got {'value': 1, 'quantile': 0.5",
        ),
        (("x", ">="), {"quantile": 0.5, "mean": 1}, "a quantile or a mean; got {'quantile': 0.5, 'mean': 1"),
        (("x", ">="), {"mean": 0}, "`mean` must be above 0, a multiple of the mean; got 0.0"),
        (("x", ">="), {"mean": math.inf}, "`mean` must be a finite number; got inf"),
        (("x", ">=", NAN), {}, "`value` must be a finite number; got nan"),
        (("x", ">=", math.inf), {}, "`value` must be a finite number; got inf"),
        (("x", ">=", 10**400), {}, "`value` must be a finite number; got 1000"),
        (("x", ">=", True), {}, "`value` must be a finite number; got True"),
        (("x", ">=", "3"), {}, "`value` must be a finite number; got '3'"),
        (("x", ">=", [3]), {}, r"`value` must be a finite number; got \[3\]"),
        (("x", ">="), {"quantile": 0}, "`quantile` must be above 0 and below 1; got 0.0"),
        (("x", ">="), {"quantile": 1}, "`quantile` must be above 0 and below 1; got 1.0"),
        (("x", ">="), {"quantile": 10}, "`quantile` must be above 0 and below 1; got 10.0"),
    ],
)
def test_thresholds_outside_their_domain_are_refused(given_: Any, settings: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Threshold(*given_, **settings)
    assert Threshold("x", ">=", quantile=1e-9).quantile == 1e-9
    assert Threshold("x", ">=", quantile=1 - 1e-9).quantile == 1 - 1e-9


def test_groups_hold_rules_and_at_least_one() -> None:
    with pytest.raises(SchemaError, match=r"`rules` must be one or more rules; got \(\)"):
        all_of()
    with pytest.raises(SchemaError, match=r"`rules` must be one or more rules; got \('x >= 3',\)"):
        any_of("x >= 3")  # type: ignore[arg-type]
    one = Threshold("x", ">=", -0.0)
    assert all_of(one) == AllOf((Threshold("x", ">=", 0),))
    assert "value = 0.0" in rule_to_toml(one)
    assert all_of(one) != any_of(one)
    assert all_of(one, any_of(Threshold("y", "<", 1), one)).columns == ("x", "y")
    with pytest.raises(SchemaError, match="need a column `x`"):
        one.fires(pd.DataFrame({"y": [1.0]}))


# --- composed rules ---

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
THRESHOLDS = (
    st.builds(Threshold, st.text(min_size=1, max_size=8), OPERATORS, NUMBERS)
    | st.builds(
        lambda feature, operator, quantile: Threshold(feature, operator, quantile=quantile),
        st.text(min_size=1, max_size=8),
        OPERATORS,
        st.floats(1e-6, 1 - 1e-6),
    )
    | st.builds(
        lambda feature, operator, mean: Threshold(feature, operator, mean=mean),
        st.text(min_size=1, max_size=8),
        OPERATORS,
        st.floats(1e-6, 1e6),
    )
)
RULES: st.SearchStrategy[Any] = st.recursive(
    THRESHOLDS,
    lambda rules: st.builds(
        lambda group, parts: group(tuple(parts)), st.sampled_from([AllOf, AnyOf]), st.lists(rules, min_size=1)
    ),
    max_leaves=12,
)


@given(rule=RULES)
@example(rule=Threshold('a "b" \\ \x7f \x00 \r\n 顧客 🛒', ">=", 1e300))
@example(rule=all_of(any_of(Threshold("a", "<", 5e-324)), Threshold("b", ">", quantile=0.1)))
def test_rules_survive_being_written(rule: Any) -> None:
    assert rule_from_toml(rule_to_toml(rule)) == rule


@given(values=st.lists(st.sampled_from([0.0, 1.0, 2.0, NAN]), min_size=3, max_size=3), data=st.data())
def test_composed_rules_fire_as_all_and_any_do(values: list[float], data: st.DataObject) -> None:
    leaves = st.builds(Threshold, st.sampled_from("abc"), OPERATORS, st.sampled_from([0, 1, 2]))
    groups = st.sampled_from([AllOf, AnyOf])
    rules = st.recursive(leaves, lambda r: st.builds(lambda g, parts: g(tuple(parts)), groups, st.lists(r, min_size=1)))
    rule = data.draw(rules)
    row = dict(zip("abc", values, strict=True))

    def fires(part: Any) -> bool:
        if isinstance(part, Threshold):
            return COMPARE[part.operator](row[part.feature], part.value)
        return (all if isinstance(part, AllOf) else any)([fires(inner) for inner in part.rules])

    assert rule.fires(pd.DataFrame([row])).tolist() == [fires(rule)]


def test_a_rule_written_by_hand_is_read() -> None:
    text = """
        # agreed with the CRM team in March
        all_of = [
            { feature = "interval_stretch", operator = ">=", value = 0.30 },
            { any_of = [
                { feature = "interaction_decline", operator = "<=", value = -0.50 },
                { feature = "recency_days", operator = ">=", quantile = 0.9 },
            ] },
        ]
    """
    expected = all_of(
        Threshold("interval_stretch", ">=", 0.3),
        any_of(Threshold("interaction_decline", "<=", -0.5), Threshold("recency_days", ">=", quantile=0.9)),
    )
    assert rule_from_toml(text) == expected
    blocks = (
        '[[any_of]]\nfeature = "a"\noperator = ">"\nvalue = 1\n[[any_of]]\nfeature = "b"\noperator = "<"\nvalue = 2'
    )
    assert rule_from_toml(blocks) == any_of(Threshold("a", ">", 1), Threshold("b", "<", 2))
    assert rule_from_toml(rule_from_toml.__doc__.split("::\n\n")[1].split("\n\n    Raises")[0]) == expected  # type: ignore[union-attr]


LEAF = '{ feature = "x", operator = ">=", value = 1 }'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x >= 3", r"A rule must be TOML: .*line 1.*\.\nSee `rule_from_toml`"),
        ("", r"A rule must have `feature`, .* nothing else; the text has \[\]\.\nCorrect it"),
        ("all_of = []", r"the text has \['all_of'\]"),
        ("all_of = 3", r"the text has \['all_of'\]"),
        (f"all_of = [{LEAF}, 3]", r"all_of\[1\] has 3\.\n"),
        (f"all_of = [{LEAF}]\nany_of = [{LEAF}]", r"the text has \['all_of', 'any_of'\]"),
        (f"all_of = [{LEAF}]\nfeature = 'x'", r"the text has \['all_of', 'feature'\]"),
        ("feature = 'x'\nop = '>='\nvalue = 3", r"the text has \['feature', 'op', 'value'\]"),
        ("feature = 'x'\noperator = '>='", r"the text has \['feature', 'operator'\]"),
        (
            "feature = 'x'\noperator = '>='\nvalue = 3\nquantile = 0.1",
            r"\['feature', 'operator', 'quantile', 'value'\]",
        ),
        (f"any_of = [{LEAF}, {{ all_of = [{{ feature = 'x' }}] }}]", r"any_of\[1\]\.all_of\[0\] has \['feature'\]"),
        ("feature = 'x'\noperator = '=>'\nvalue = 3", r"The text is not a rule: `operator` must be one of .*\nCorrect"),
        (
            "any_of = [{ feature = 'x', operator = '>', value = true }]",
            r"any_of\[0\] is not a rule: `value` must be a fi",
        ),
        ("feature = 'x'\noperator = ['>']\nvalue = 3", r"The text is not a rule: `operator` must be one of"),
        ("feature = 'x'\noperator = '>'\nvalue = nan", "`value` must be a finite number; got nan"),
        ("feature = 'x'\noperator = '>'\nquantile = 1.0", "`quantile` must be above 0 and below 1; got 1.0"),
    ],
)
def test_texts_that_are_no_rule_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        rule_from_toml(text)


# --- the trigger ---


def shop(waited: pd.Timedelta, recent: int, earlier: int) -> CustomerLog:
    """Return a shop where everyone buys every ten days; "edge" has waited and acted as told, "mute" never acts."""
    bought = [("edge", AS_OF - waited - number * 10 * DAY) for number in range(8)]
    bought += [("mute", time) for _, time in bought] + [
        ("calm", AS_OF - number * 10 * DAY - DAY) for number in range(8)
    ]
    acted = [("edge", AS_OF - 10 * DAY, "view")] * recent
    acted += [("edge", AS_OF - (35 + 20 * (number % 4)) * DAY, "cart") for number in range(earlier)]
    acted += [("calm", AS_OF - number * DAY, "view") for number in range(1, 120)]
    return CustomerLog(
        pd.DataFrame(bought, columns=["customer_id", "timestamp"]).assign(amount=9.5),
        pd.DataFrame(acted, columns=["customer_id", "timestamp", "event_type"]),
    )


MICROSECOND = pd.Timedelta(1, "us")


@pytest.mark.parametrize(
    ("waited", "recent", "earlier", "fires"),
    [
        (13 * DAY, 5, 30, True),
        (13 * DAY, 15, 90, True),
        (13 * DAY + MICROSECOND, 5, 30, True),
        (13 * DAY - MICROSECOND, 5, 30, False),
        (13 * DAY, 5, 29, False),
        (13 * DAY, 6, 30, False),
        (13 * DAY, 0, 30, True),
        (13 * DAY, 0, 1, True),
        (13 * DAY, 0, 0, False),
        (90 * DAY, 6, 30, False),
        (12 * DAY, 0, 30, False),
    ],
)
def test_thirty_and_fifty_percent_fire_to_the_microsecond_and_the_event(
    waited: pd.Timedelta, recent: int, earlier: int, fires: bool
) -> None:
    alerts = RetentionTrigger().fire(shop(waited, recent, earlier), as_of=AS_OF)
    assert alerts.index.tolist() == (["edge"] if fires else [])


def test_the_bounds_are_the_settings() -> None:
    log = shop(15 * DAY, 3, 30)  # +50 % and −70 %
    for stretch, decline, fires in ((0.5, 0.7, True), (0.51, 0.7, False), (0.5, 0.71, False), (0.0, 0.1, True)):
        alerts = RetentionTrigger(interval_stretch=stretch, interaction_decline=decline).fire(log, as_of=AS_OF)
        assert ("edge" in alerts.index) is fires
    views = RetentionTrigger(features=[ActivityDecline(event_types=("view",))])
    assert views.fire(log, as_of=AS_OF).empty
    carts = RetentionTrigger(features=[ActivityDecline(event_types=("cart",))])
    assert carts.fire(log, as_of=AS_OF)["interaction_decline"].to_dict() == {"edge": -1.0}


def test_alerts_tell_what_was_seen() -> None:
    log = shop(14 * DAY, 5, 30)
    alerts = RetentionTrigger().fire(log, as_of=AS_OF)
    names = ["as_of", "alert_key", "last_purchase", "interval_stretch", "interaction_decline"]
    assert alerts.columns.tolist() == names
    assert alerts.loc["edge", ["as_of", "last_purchase"]].tolist() == [AS_OF, AS_OF - 14 * DAY]
    seen = build_features(log, as_of=AS_OF, features=["interval_stretch", ActivityDecline()])
    pd.testing.assert_frame_equal(alerts[names[3:]], seen.loc[["edge"], names[3:]])
    nobody = RetentionTrigger(interval_stretch=9).fire(log, as_of=AS_OF)
    assert len(nobody) == 0
    assert nobody.dtypes.equals(alerts.dtypes)
    assert nobody.index.name == "customer_id"


def test_the_key_lasts_until_the_next_purchase_and_tells_customers_and_rules_apart() -> None:
    log = shop(14 * DAY, 5, 30)
    rule = Threshold("recency_days", ">", 1)

    def key(trigger: RetentionTrigger, days: float = 0, customer: str = "edge", of: CustomerLog = log) -> str:
        return str(trigger.fire(of, as_of=AS_OF + days * DAY).loc[customer, "alert_key"])

    trigger = RetentionTrigger(rule=rule)
    same = {key(trigger), key(trigger, 1), key(trigger, 0.3), key(RetentionTrigger(rule=rule, cooldown_days=3), 9)}
    assert len(same) == 1
    assert len(same.pop()) == 32
    others = [
        key(trigger, customer="mute"),
        key(trigger, -15),
        key(RetentionTrigger(rule=Threshold("recency_days", ">", 2))),
        key(RetentionTrigger()),
        key(RetentionTrigger(features=[ActivityDecline(event_types=("view", "cart"))])),
        key(trigger),
        key(trigger, of=shop(14 * DAY + MICROSECOND, 5, 30)),
    ]
    assert len(set(others)) == len(others)


def test_the_cooldown_ends_exactly_when_it_says() -> None:
    log = shop(40 * DAY, 0, 30)
    trigger = RetentionTrigger(cooldown_days=7, rule=Threshold("recency_days", ">", 2))

    def fires(as_of: pd.Timestamp, earlier: pd.DataFrame | None, who: RetentionTrigger = trigger) -> bool:
        return "edge" in who.fire(log, as_of=as_of, earlier=earlier).index

    first = trigger.fire(log, as_of=AS_OF)
    assert fires(AS_OF, None)
    for after, allowed in ((0 * DAY, False), (7 * DAY - MICROSECOND, False), (7 * DAY, True), (8 * DAY, True)):
        assert fires(AS_OF + after, first) is allowed
    assert fires(AS_OF - MICROSECOND, first)  # a replay of the past knows nothing of later alerts
    assert fires(AS_OF, first, dataclasses.replace(trigger, cooldown_days=0))
    both = pd.concat([first, trigger.fire(log, as_of=AS_OF + 7 * DAY, earlier=first)])
    assert not fires(AS_OF + 13 * DAY, both)
    assert fires(AS_OF + 14 * DAY, both)
    assert "calm" not in first.index
    assert fires(AS_OF, first.rename(index={"edge": "somebody else"}))


def test_earlier_alerts_of_anyones_making_are_taken() -> None:
    index = pd.Index([17, 18], name="customer_id")
    told = pd.DataFrame({"as_of": ["2024-05-30T02:00+02:00", "2024-05-20T00:00Z"]}, index=index)
    assert cooling(told, as_of=AS_OF, cooldown_days=7).tolist() == ["17"]
    naive = told.assign(as_of=pd.to_datetime(["2024-05-30", "2024-05-25"]))
    assert cooling(naive, as_of=AS_OF, cooldown_days=7).tolist() == ["17"]
    assert cooling(naive, as_of=AS_OF, cooldown_days=7.1).tolist() == ["17", "18"]
    with pytest.raises(SchemaError, match=r"need a column `as_of`\. Columns present: \['as_at'\]; nearest: 'as_at'"):
        cooling(told.rename(columns={"as_of": "as_at"}), as_of=AS_OF, cooldown_days=7)
    with pytest.raises(SchemaError, match="indexed by customer_id; their index is named None"):
        cooling(told.reset_index(), as_of=AS_OF, cooldown_days=7)


def test_the_lookback_and_quantiles_are_over_those_looked_at() -> None:
    log = shop(40 * DAY, 0, 30)
    anyone = Threshold("recency_days", ">", 0)

    def fired(**settings: Any) -> list[str]:
        return RetentionTrigger(**settings).fire(log, as_of=AS_OF).index.tolist()

    assert fired(rule=anyone, lookback_days=40) == ["calm", "edge", "mute"]
    assert fired(rule=anyone, lookback_days=40 - 1e-6 / 86_400) == ["calm"]
    assert fired(rule=anyone, lookback_days=None) == ["calm", "edge", "mute"]
    longest = Threshold("recency_days", ">=", quantile=0.9)
    assert fired(rule=longest) == ["edge", "mute"]
    assert fired(rule=longest, lookback_days=39) == ["calm"]


def test_nothing_at_or_after_the_moment_changes_an_alert() -> None:
    cutoff = pd.Timestamp("2024-03-01")
    bought, acted = awkward_shop(41, cutoff=cutoff, n_customers=80)
    rule = any_of(Threshold("interval_stretch", ">=", 0.3), Threshold("interaction_decline", "<=", quantile=0.3))
    trigger = RetentionTrigger(rule=rule, lookback_days=400)
    whole = trigger.fire(CustomerLog(bought, acted), as_of=cutoff)
    assert len(whole) > 10
    past = CustomerLog(bought[bought["timestamp"] < cutoff], acted[acted["timestamp"] < cutoff])
    pd.testing.assert_frame_equal(trigger.fire(past, as_of=cutoff), whole, check_exact=True)
    later = bought.assign(timestamp=bought["timestamp"].where(bought["timestamp"] < cutoff, cutoff))
    shifted = acted[acted["timestamp"] >= cutoff].assign(event_type="new", customer_id="c010")
    more = CustomerLog(later, pd.concat([acted[acted["timestamp"] < cutoff], shifted]))
    pd.testing.assert_frame_equal(trigger.fire(more, as_of=cutoff), whole, check_exact=True)


def test_a_rule_over_features_of_ones_own() -> None:
    log = shop(14 * DAY, 5, 30)
    count = EventCount("carts", {"cart": 1}, window_days=60)
    trigger = RetentionTrigger(rule=Threshold("carts", ">=", 16), features=[count])
    assert trigger.fire(log, as_of=AS_OF)["carts"].to_dict() == {"edge": 16.0}


def test_what_a_rule_cannot_have_is_told() -> None:
    times = ["2024-05-01", "2024-05-11"]
    bare = CustomerLog(pd.DataFrame({"customer_id": ["a", "a"], "timestamp": times, "amount": 1.0}))
    with pytest.raises(
        SchemaError, match=r"rules need a column `interaction_decline`.*\n.*: the log has no interactions"
    ):
        RetentionTrigger().fire(bare, as_of="2024-06-01")
    with pytest.raises(SchemaError, match=r"need a column `recency_day`.*nearest: 'recency_days'"):
        RetentionTrigger(rule=Threshold("recency_day", ">", 3)).fire(bare, as_of="2024-06-01")
    with pytest.raises(SchemaError, match="need a purchase before `as_of`"):
        RetentionTrigger(rule=Threshold("recency_days", ">", 3)).fire(bare, as_of="2024-05-01")
    assert RetentionTrigger(rule=Threshold("recency_days", ">", 3)).fire(bare, as_of="2024-06-01").index[0] == "a"


def test_before_the_first_interaction_nobody_has_fallen() -> None:
    bought = pd.DataFrame({"customer_id": ["a", "a"], "timestamp": ["2024-05-01", "2024-05-02"], "amount": 1.0})
    acted = pd.DataFrame({"customer_id": ["a"], "timestamp": ["2024-05-25"], "event_type": ["view"]})
    assert RetentionTrigger().fire(CustomerLog(bought, acted), as_of="2024-05-24").empty


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interval_stretch": -0.01}, "`interval_stretch` must be at least 0 and finite; got -0.01"),
        ({"interval_stretch": NAN}, "`interval_stretch` must be at least 0 and finite; got nan"),
        ({"interval_stretch": math.inf}, "`interval_stretch` must be at least 0 and finite; got inf"),
        ({"interaction_decline": 0}, "`interaction_decline` must be above 0 and at most 1, a share; got 0"),
        ({"interaction_decline": 1.01}, "`interaction_decline` must be above 0 and at most 1, a share; got 1.01"),
        ({"interaction_decline": 50}, "`interaction_decline` must be above 0 and at most 1, a share; got 50"),
        ({"cooldown_days": -1}, "`cooldown_days` must be at least 0 and finite; got -1"),
        ({"cooldown_days": NAN}, "`cooldown_days` must be at least 0 and finite; got nan"),
        ({"lookback_days": 0}, "`lookback_days` must be a positive number of days; got 0"),
        (
            {"rule": Threshold("x", ">", 1), "interval_stretch": 0.4},
            r"either a rule or two numbers; got x > 1 and \(0\.4, 0\.5\)\.\nWrite",
        ),
    ],
)
def test_settings_outside_their_domain_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        RetentionTrigger(**settings)
    assert RetentionTrigger(interval_stretch=0, interaction_decline=1, cooldown_days=0, lookback_days=1e-9).condition


def test_the_trigger_is_a_predictor() -> None:
    cutoff = pd.Timestamp("2024-02-01")
    log = CustomerLog(*awkward_shop(43, cutoff=cutoff, n_customers=120))
    trigger = RetentionTrigger(rule=Threshold("interval_stretch", ">=", 1.0), lookback_days=90)
    found = trigger.forecast(log, as_of=cutoff, horizon_days=20)
    assert found[found == 1].index.equals(trigger.fire(log, as_of=cutoff).index)
    assert set(found) == {0.0, 1.0}
    assert found.index.equals(build_features(log, as_of=cutoff, features="rfm").index)
    judged = backtest(log, {"rule": trigger}, cutoffs=[cutoff], horizon_days=20, target="churned")
    assert judged.metrics["auc"].between(0, 1).all()
