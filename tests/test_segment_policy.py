"""Policies put every customer into one segment, hold them as agreed, and are the same when read again."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import crm_ml
from crm_ml import CustomerLog
from crm_ml.decisions.segments import Segment, SegmentPolicy, change_rates
from crm_ml.errors import NotFittedError, SchemaError
from crm_ml.features import (
    ActivityDecline,
    AllOf,
    AnyOf,
    DayStreak,
    EventCount,
    Threshold,
    all_of,
    any_of,
)

DAY = pd.Timedelta(days=1)
AS_OF = pd.Timestamp("2024-06-01", tz="UTC")
NAN = float("nan")
COLUMNS = ["x", "y"]


def customers(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(columns, dtype="float64")
    frame.index = pd.Index([f"c{number}" for number in range(len(frame))], name="customer_id")
    return frame


# --- generated policies ---

NUMBERS = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0])
OPERATORS = st.sampled_from([">=", "<=", ">", "<"])
BOUND = st.one_of(
    st.builds(lambda value: {"value": value}, NUMBERS),
    st.builds(lambda share: {"quantile": share}, st.sampled_from([0.1, 0.25, 0.5, 0.9])),
    st.builds(lambda multiple: {"mean": multiple}, st.sampled_from([0.5, 1.0, 2.0])),
)
LEAVES = st.builds(
    lambda feature, operator, bound: Threshold(feature, operator, **bound), st.sampled_from(COLUMNS), OPERATORS, BOUND
)
GROUPS = st.sampled_from([AllOf, AnyOf])
RULES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda rules: st.builds(lambda kind, parts: kind(tuple(parts)), GROUPS, st.lists(rules, min_size=1, max_size=3)),
    max_leaves=4,
)
BUILDERS = st.lists(
    st.sampled_from(
        [
            DayStreak("streak", ("view_premium", 'odd "one"'), window_days=7.5, absent="zero"),
            EventCount("warmth", {"view": 1, "e-mail open": -2.5, "": 1e300}, 30, half_life_days=9),
            ActivityDecline(event_types=("view",)),
            ActivityDecline(),
        ]
    ),
    max_size=3,
)


@st.composite
def policies(draw: st.DrawFn) -> SegmentPolicy:
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=6, unique=True))
    segments = [
        Segment(
            name,
            draw(RULES),
            keep=draw(st.none() | RULES),
            only_from=tuple(draw(st.lists(st.sampled_from(names[at + 1 :]), max_size=2, unique=True))),
            minimum_stay_days=draw(st.sampled_from([0, 30, 90.5])),
        )
        for at, name in enumerate(names[:-1])
    ]
    return SegmentPolicy(segments, otherwise=names[-1], features=draw(BUILDERS))


VALUES = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, NAN])
FRAMES = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12).map(
    lambda rows: customers(x=[1.0, *(row[0] for row in rows)], y=[2.0, *(row[1] for row in rows)])
)
STAYS = st.tuples(st.integers(0, 5), st.sampled_from([0, 29, 30, 90, 91]))
PREVIOUS = st.lists(st.none() | STAYS, min_size=13, max_size=13)


def earlier(policy: SegmentPolicy, frame: pd.DataFrame, drawn: list[tuple[int, int] | None]) -> pd.DataFrame:
    """Return a result of the policy for those of the customers who were known, in an order of its own."""
    known = [(who, at) for who, at in zip(frame.index, drawn, strict=False) if at is not None][::-1]
    names = [policy.names[at[0] % len(policy.names)] for _, at in known]
    since = pd.DatetimeIndex([AS_OF - at[1] * DAY for _, at in known], tz="UTC").as_unit("us")
    dtype = pd.CategoricalDtype(list(policy.names), ordered=True)
    index = pd.Index([who for who, _ in known], name="customer_id", dtype=frame.index.dtype)
    return pd.DataFrame({"segment": pd.Categorical(names, dtype=dtype), "since": since}, index=index)


def place(policy: SegmentPolicy, fires: Any, keeps: Any, was: str | None, days: float) -> str:
    """Say in plain words where one customer goes; `fires` and `keeps` tell of a segment's name."""

    def where(segments: list[Segment]) -> str:
        names = [*(segment.name for segment in segments), policy.otherwise]
        own = names.index(was) if was in names else None

        def allowed(segment: Segment) -> bool:
            lower = segments[segments.index(segment) + 1 :]
            return not segment.only_from or was in segment.only_from or where(lower) in segment.only_from

        known = was is not None
        better = segments if own is None else segments[:own]
        if known and own is None:  # was in a segment before all of these: they can only be fallen to
            candidates = [s for s in segments if (fires(s) or keeps(s)) and allowed(s)]
            return candidates[0].name if candidates else policy.otherwise
        risen = [s for s in better if fires(s) and allowed(s)]
        if risen:
            return risen[0].name
        if own is None or was == policy.otherwise:
            return policy.otherwise
        present = segments[own]
        if fires(present) or keeps(present) or days < present.minimum_stay_days:
            return present.name
        fallen = [s for s in segments[own + 1 :] if (fires(s) or keeps(s)) and allowed(s)]
        return fallen[0].name if fallen else policy.otherwise

    return where(list(policy.segments))


@settings(max_examples=40)
@given(policy=policies(), frame=FRAMES, drawn=PREVIOUS)
def test_customers_go_where_the_words_say(policy: SegmentPolicy, frame: pd.DataFrame, drawn: Any) -> None:
    previous = earlier(policy, frame, drawn)
    found = policy.fit(frame).transform(frame, previous=previous, as_of=AS_OF)
    fires = {s.name: dict(zip(frame.index, s.rule.fires(frame), strict=True)) for s in policy.segments}
    keeps = {s.name: dict(zip(frame.index, s.keep.fires(frame), strict=True)) for s in policy.segments if s.keep}
    known = {who: (name, since) for who, name, since in previous.itertuples()}
    for who, segment, entered in found.itertuples():
        was, since = known.get(who, (None, AS_OF))
        wanted = place(
            policy,
            lambda s, who=who: fires[s.name][who],
            lambda s, who=who: keeps[s.name][who] if s.keep else fires[s.name][who],
            was,
            (AS_OF - since) / DAY,
        )
        assert segment == wanted
        assert entered == (since if wanted == was else AS_OF)


@settings(max_examples=15)
@given(policy=policies(), frame=FRAMES, drawn=PREVIOUS, data=st.data())
def test_everyone_is_in_one_segment_whatever_the_order_of_rows(
    policy: SegmentPolicy, frame: pd.DataFrame, drawn: Any, data: st.DataObject
) -> None:
    previous = earlier(policy, frame, drawn)
    found = policy.fit(frame).transform(frame, previous=previous, as_of=AS_OF)
    version = policy.version_
    assert found.index.equals(frame.index)
    assert found.notna().to_numpy().all()
    assert list(found["segment"].cat.categories) == list(policy.names)
    assert found["segment"].cat.ordered
    shuffled = frame.iloc[data.draw(st.permutations(range(len(frame))))]
    again = policy.fit(shuffled).transform(shuffled, previous=previous, as_of=AS_OF)
    pd.testing.assert_frame_equal(again.loc[found.index], found)
    assert policy.version_ == version
    alone = pd.concat([policy.transform(part) for part in (frame.iloc[:1], frame.iloc[1:])])
    pd.testing.assert_frame_equal(alone, policy.transform(frame))


@settings(max_examples=20)
@given(policy=policies(), frame=FRAMES)
@example(
    policy=SegmentPolicy([Segment('a "b" \\ \n 顧客', Threshold("x", ">", mean=1 / 3), minimum_stay_days=1e-9)]),
    frame=customers(x=[0.1, 0.2], y=[0, 0]),
)
def test_policies_survive_being_written(policy: SegmentPolicy, frame: pd.DataFrame) -> None:
    assert SegmentPolicy.from_toml(policy.to_toml()) == policy
    unfitted = dataclasses.replace(policy)
    relative = any(threshold.value is None for s in policy.segments for _, threshold in s.thresholds)
    policy.fit(frame)
    again = SegmentPolicy.from_toml(policy.to_toml())
    assert again == policy
    assert (again == unfitted) is not relative
    assert ("[fitted]" in policy.to_toml()) is relative
    assert again.to_toml() == policy.to_toml()
    assert again.version_ == policy.version_
    pd.testing.assert_frame_equal(again.thresholds_, policy.thresholds_)
    pd.testing.assert_frame_equal(again.transform(frame), policy.transform(frame))


# --- fit ---

RELATIVE = SegmentPolicy(
    [
        Segment("top", Threshold("x", ">=", quantile=0.8), keep=Threshold("x", ">", mean=1)),
        Segment("low", all_of(Threshold("x", "<", 2), Threshold("y", "<=", quantile=0.5))),
    ]
)
TEN = customers(x=np.arange(1.0, 11.0), y=np.arange(10.0, 0.0, -1))


def test_bounds_are_fixed_once_and_told() -> None:
    policy = dataclasses.replace(RELATIVE).fit(TEN)
    assert policy.thresholds_.to_numpy().tolist() == [
        ["top", "enter", "x", ">=", "quantile", 0.8, 9.0],
        ["top", "keep", "x", ">", "mean", 1.0, 5.5],
        ["low", "enter", "x", "<", "value", 2.0, 2.0],
        ["low", "enter", "y", "<=", "quantile", 0.5, 5.0],
    ]
    assert policy.transform(TEN * 9)["segment"].tolist() == ["top"] * 10
    assert policy.transform(TEN / 9)["segment"].tolist() == ["low"] * 10
    assert policy.transform(TEN).columns.tolist() == ["segment"]
    assert policy.transform(TEN.iloc[:0], as_of=AS_OF).empty


def test_a_version_changes_with_whatever_changes() -> None:
    policy = dataclasses.replace(RELATIVE).fit(TEN)
    assert len(policy.version_) == 12
    assert set(policy.version_) <= set("0123456789abcdef")
    top, low = RELATIVE.segments
    others = [
        dataclasses.replace(RELATIVE).fit(TEN * (1 + 1e-9)),
        dataclasses.replace(RELATIVE, otherwise="rest").fit(TEN),
        dataclasses.replace(RELATIVE, features=[ActivityDecline()]).fit(TEN),
        SegmentPolicy([low, top]).fit(TEN),
        SegmentPolicy([dataclasses.replace(top, minimum_stay_days=1), low]).fit(TEN),
        SegmentPolicy([dataclasses.replace(top, only_from=("low",)), low]).fit(TEN),
        SegmentPolicy([dataclasses.replace(top, keep=None), low]).fit(TEN),
        SegmentPolicy([dataclasses.replace(top, rule=Threshold("x", ">=", quantile=0.85)), low]).fit(TEN),
    ]
    assert len({policy.version_, *(other.version_ for other in others)}) == len(others) + 1
    assert all(policy != other for other in others)


def test_only_numbers_need_no_fit() -> None:
    policy = SegmentPolicy([Segment("few", Threshold("x", "<=", 2))])
    assert policy.transform(TEN)["segment"].tolist() == ["few"] * 2 + ["others"] * 8
    assert policy.version_ == dataclasses.replace(policy).fit(TEN).version_
    unfitted = dataclasses.replace(RELATIVE)
    for look in ("thresholds_", "version_"):
        assert not hasattr(unfitted, look)
    with pytest.raises(NotFittedError, match=r"quantiles or means that are not yet numbers\.\nCall fit"):
        unfitted.transform(TEN)


def test_what_cannot_be_fitted_or_transformed_is_refused() -> None:
    policy = dataclasses.replace(RELATIVE)
    with pytest.raises(SchemaError, match="at least one customer"):
        policy.fit(TEN.iloc[:0])
    with pytest.raises(SchemaError, match=r"`y` must have a finite value for some customer"):
        policy.fit(TEN.assign(y=NAN))
    with pytest.raises(
        SchemaError, match=r"segments need a column `y`.*\nBuild them with SegmentPolicy.build_features"
    ):
        policy.fit(TEN[["x"]])
    with pytest.raises(SchemaError, match="features must be numeric"):
        policy.fit(TEN.assign(y="z"))
    with pytest.raises(SchemaError, match="index of `features` must hold every customer once"):
        policy.fit(pd.concat([TEN, TEN]))
    policy.fit(TEN)
    found = policy.transform(TEN, as_of=AS_OF)
    with pytest.raises(SchemaError, match="`previous` needs `as_of`"):
        policy.transform(TEN, previous=found)
    with pytest.raises(SchemaError, match=r"`previous` must not lie after `as_of`, 2024-05-31 .* since 2024-06-01"):
        policy.transform(TEN, previous=found, as_of=AS_OF - DAY)
    pd.testing.assert_frame_equal(policy.transform(TEN, previous=found, as_of=AS_OF), found)
    with pytest.raises(SchemaError, match="previous need a column `since`"):
        policy.transform(TEN, previous=policy.transform(TEN), as_of=AS_OF)
    with pytest.raises(
        SchemaError, match=r"a segment of this policy, \['top', 'low', 'rest'\].*\['top', 'low', 'others'\]"
    ):
        dataclasses.replace(RELATIVE, otherwise="rest").fit(TEN).transform(TEN, previous=found, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"for every customer; its segments are \['top'"):
        policy.transform(TEN, previous=found.assign(segment=found["segment"].where(TEN["x"] > 3)), as_of=AS_OF)
    with pytest.raises(SchemaError, match="its segments are object"):
        policy.transform(TEN, previous=found.assign(segment=found["segment"].astype(object)), as_of=AS_OF)
    with pytest.raises(SchemaError, match="index of `previous` must hold every customer once"):
        policy.transform(TEN, previous=pd.concat([found, found]), as_of=AS_OF)


X = Threshold("x", ">", 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Segment("", X), "`name` must name the segment; got ''"),
        (lambda: Segment("a", "x > 1"), "`rule` must be a rule, of segment 'a'; got 'x > 1'"),  # type: ignore[arg-type]
        (lambda: Segment("a", X, keep=3), "`keep` must be a rule or None, of segment 'a'; got 3"),  # type: ignore[arg-type]
        (lambda: Segment("a", X, only_from="b"), "`only_from` must be a tuple of names, of segment 'a'; got 'b'"),  # type: ignore[arg-type]
        (lambda: Segment("a", X, minimum_stay_days=-1), "`minimum_stay_days` must be at least 0 and finite, .* got -1"),
        (lambda: Segment("a", X, minimum_stay_days=math.inf), "`minimum_stay_days` must be at least 0 and finite"),
        (lambda: Segment("a", X, minimum_stay_days=True), "`minimum_stay_days` must be at least 0 .* got True"),
        (lambda: SegmentPolicy([]), r"`segments` must be 1 to 125 segments; got \(\)"),
        (lambda: SegmentPolicy([X]), "`segments` must be 1 to 125 segments"),  # type: ignore[list-item]
        (lambda: SegmentPolicy([Segment(str(n), X) for n in range(126)]), "`segments` must be 1 to 125 segments"),
        (lambda: SegmentPolicy([Segment("a", X)], otherwise=""), "`otherwise` must name a segment; got ''"),
        (lambda: SegmentPolicy([Segment("a", X)], otherwise="a"), r"different names; given more than once: \['a'\]"),
        (lambda: SegmentPolicy([Segment("a", X), Segment("a", X)]), r"different names; given more than once: \['a'\]"),
        (
            lambda: SegmentPolicy([Segment("a", X), Segment("b", X, only_from=("a", "others"))]),
            r"after its own; 'b' names \['a'\], after it come \['others'\]",
        ),
        (lambda: SegmentPolicy([Segment("a", X, only_from=("a",))]), r"'a' names \['a'\], after it come"),
        (lambda: SegmentPolicy.preset("gold"), r"`name` must be one of \['loyalty', 'shop'\]; got 'gold'"),
    ],
)
def test_settings_outside_their_domain_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        make()


def test_as_many_segments_as_allowed_fit_into_a_byte() -> None:
    policy = SegmentPolicy([Segment(str(n), Threshold("x", ">=", 124 - n)) for n in range(125)])
    frame = customers(x=[124, 0, -1])
    first = policy.transform(frame, as_of=AS_OF)
    assert first["segment"].tolist() == ["0", "124", "others"]
    pd.testing.assert_frame_equal(policy.transform(frame, previous=first, as_of=AS_OF + DAY), first)


# --- texts ---

HEAD = '[[segments]]\nname = "a"\nrule = { feature = "x", operator = ">", quantile = 0.5 }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segments", r"A policy must be TOML: .*\nSee `SegmentPolicy.to_toml`"),
        ("", r"the text must have \['segments'\] and may have \['features', 'fitted', 'otherwise'\].*; it has \[\]"),
        ("segment = 3\n" + HEAD, r"the text must have .*; it has \['segment', 'segments'\]"),
        ("segments = 3", r"`segments` must be a list of tables; it is 3\.\nWrite \[\[segments\]\] above each"),
        ("segments = [3]", r"segments\[0\] must have \['name', 'rule'\] and may have .*; it has 3"),
        (HEAD + "stay = 3", r"segments\[0\] must have .*; it has \['name', 'rule', 'stay'\]"),
        (HEAD + 'keep = { feature = "x" }', r"segments\[0\]\.keep has \['feature'\]"),
        (HEAD + "keep = { all_of = [3] }", r"segments\[0\]\.keep\.all_of\[0\] has 3"),
        (HEAD + "minimum_stay_days = -3", r"segments\[0\] is not a segment: `minimum_stay_days` must be at least 0"),
        (HEAD + "only_from = 3", r"segments\[0\] is not a segment: "),
        (HEAD + "[[features]]\nbuilder = 'Magic'\nsettings = {}", r"features\[0\] is not a builder: .* 'Magic'"),
        (HEAD + "[[features]]\nbuilder = 'DayStreak'\nsettings = { x = 1 }", r"features\[0\] is not a builder: "),
        (HEAD + "[[features]]\nbuilder = 'DayStreak'\nsettings = 3", r"features\[0\] is not a builder: "),
        (HEAD + "[[features]]\nname = 'x'", r"features\[0\] must have \['builder', 'settings'\], and nothing else"),
        ("otherwise = 3\n" + HEAD, "`otherwise` must name a segment; got 3"),
        (HEAD + "[fitted]\nversion = '0'", r"fitted must have \['bounds', 'version'\], and nothing else"),
        (HEAD + "[fitted]\nversion = '0'\nbounds = []", r"fitted\.bounds must have a row with .* of 1 relative bounds"),
        (HEAD + "[fitted]\nversion = '0'\nbounds = [{ bound = '3' }]", r"fitted\.bounds must have a row with a number"),
        (HEAD + "[fitted]\nversion = '0'\nbounds = [{ bound = 3.0 }]", r"fitted\.bounds\[0\] must be {'segment': 'a'"),
    ],
)
def test_texts_that_are_no_policy_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        SegmentPolicy.from_toml(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bound = 9.0", "bound = 8.0", r"as it was fitted: its version is '[0-9a-f]{12}', fitted\.version says"),
        ("value = 2.0", "value = 2.5", r"\.\nUndo the change, or remove the table `fitted` and fit again"),
        ('otherwise = "others"', 'otherwise = "rest"', "as it was fitted"),
        ("quantile = 0.8\n", "quantile = 0.81\n", r"fitted\.bounds\[0\] must be .*'quantile': 0\.81"),
    ],
)
def test_a_fitted_policy_that_was_changed_is_refused(old: str, new: str, message: str) -> None:
    text = dataclasses.replace(RELATIVE).fit(TEN).to_toml()
    assert old in text
    with pytest.raises(SchemaError, match=message):
        SegmentPolicy.from_toml(text.replace(old, new))


def test_a_builder_that_does_not_come_back_is_not_written() -> None:
    odd = DayStreak("streak", ("view",), window_days=30, absent="zero")
    object.__setattr__(odd, "event_types", ["view"])
    with pytest.raises(SchemaError, match="builders must be the same when read again"):
        SegmentPolicy([Segment("a", X)], features=[odd]).to_toml()


# --- behaviour ---


def test_three_days_of_premium_views_in_a_row_upgrade_a_potential_customer() -> None:
    bought = pd.DataFrame(
        [(who, AS_OF - 5 * DAY, 50.0) for who in ("keen", "calm", "broken")] + [("other", AS_OF - 90 * DAY, 50.0)],
        columns=["customer_id", "timestamp", "amount"],
    )
    days = {"keen": (4, 3, 2), "calm": (), "broken": (5, 4, 2), "other": (3, 2, 1)}
    seen = [(who, AS_OF - day * DAY, "view_premium") for who, each in days.items() for day in each]
    log = CustomerLog(bought, pd.DataFrame(seen, columns=["customer_id", "timestamp", "event_type"]))
    policy = SegmentPolicy(
        [
            Segment("core-potential", Threshold("premium_days", ">=", 3), only_from=("potential",)),
            Segment("potential", Threshold("recency_days", "<=", 15)),
        ],
        features=[DayStreak("premium_days", ("view_premium",))],
    )
    features = policy.build_features(log, as_of=AS_OF)
    assert features.columns.tolist() == ["premium_days", "recency_days"]
    found = policy.transform(features, as_of=AS_OF)["segment"]
    assert found.to_dict() == {"keen": "core-potential", "calm": "potential", "broken": "potential", "other": "others"}
    later = policy.transform(
        features.assign(recency_days=30.0, premium_days=[3, 0, 0, 3]).set_axis(["calm", "keen", "other", "broken"]),
        previous=policy.transform(features, as_of=AS_OF),
        as_of=AS_OF + DAY,
    )
    assert later["segment"].to_dict() == {
        "calm": "core-potential", "keen": "others", "other": "others", "broken": "core-potential",
    }  # fmt: skip


# --- presets ---


@pytest.mark.parametrize(("as_of", "absent"), [("2017-02-15", {"sleeping"}), ("2017-11-01", set())])
def test_the_groups_of_a_shop_are_as_described(as_of: str, absent: set[str]) -> None:
    log = crm_ml.load_sample()
    policy = SegmentPolicy.preset("shop")
    features = policy.build_features(log, as_of=as_of)
    found = policy.fit(features).transform(features)["segment"]
    bought = crm_ml.build_features(log, as_of=as_of, features=["frequency"])["frequency"] + 1
    r, f, m = features["recency_days"], bought, features["monetary"]
    by_value, n = np.sort(m), len(m)
    top, fifth = by_value[n - math.ceil(0.2 * n)], by_value[math.ceil(0.2 * n) - 1]
    described = {
        "core": (r <= 7) & (f >= 5) & (m >= top),
        "at risk": (features["interval_stretch"] >= 0.3) & (features["interaction_decline"] <= -0.5),
        "sleeping": (r >= 90) & (f >= 1) & (m > m.mean()),
        "high value": features["spend_365d"] >= np.sort(features["spend_365d"])[n - math.ceil(0.1 * n)],
        "new": (r <= 7) & (f <= 1),
        "potential": (r <= 15) & f.between(1, 2) & (m > fifth) & (m < top),
    }
    expected = np.select(list(described.values()), list(described), "others")
    assert found.tolist() == expected.tolist()
    assert set(found) == set(policy.names) - absent


def test_presets_are_written_as_they_are_read() -> None:
    for name in ("shop", "loyalty"):
        policy = SegmentPolicy.preset(name)
        assert SegmentPolicy.from_toml(policy.to_toml()) == policy


def test_without_interactions_the_customers_at_risk_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    times = pd.date_range("2024-01-01", periods=40, freq="3D")
    bare = CustomerLog(
        pd.DataFrame({"customer_id": [f"c{n % 7}" for n in range(40)], "timestamp": times, "amount": 9.0})
    )
    policy = SegmentPolicy.preset("shop")
    with pytest.raises(SchemaError, match=r"`interaction_decline`.*\n.*choose a rule without it.*no interactions"):
        policy.build_features(bare, as_of=AS_OF)
    fewer = policy.for_log(bare, as_of=AS_OF)
    assert set(policy.names) - set(fewer.names) == {"at risk"}
    assert "Segment 'at risk' is left out: the log has not what it looks at." in caplog.text
    features = fewer.build_features(bare, as_of=AS_OF)
    assert len(fewer.fit(features).transform(features)) == 7
    assert policy.for_log(crm_ml.load_sample(), as_of="2017-11-01") == policy


def test_what_is_entered_only_from_segments_left_out_is_left_out_too() -> None:
    bare = CustomerLog(pd.DataFrame({"customer_id": ["a"], "timestamp": ["2024-01-01"], "amount": 9.0}))
    recent, falling = Threshold("recency_days", "<=", 9), Threshold("interaction_decline", "<=", -0.5)
    policy = SegmentPolicy(
        [
            Segment("a", recent, only_from=("b", "others")),
            Segment("b", recent, only_from=("c",)),
            Segment("c", any_of(recent, falling)),
        ]
    )
    assert policy.for_log(bare, as_of=AS_OF) == SegmentPolicy([Segment("a", recent, only_from=("others",))])


# --- customers whose habits do not change ---


def stationary(seed: int, *, orders_a_year: float, months: int) -> list[pd.DataFrame]:
    """Return the orders and spend of the last 365 days, month by month, of customers with constant rates for ever."""
    draw, n, days = np.random.default_rng(seed), 3_000, 730 + 30 * months
    rates = draw.gamma(1.0, orders_a_year, n)
    who = np.repeat(np.arange(n), draw.poisson(rates * days / 365))
    time = draw.uniform(0, days, len(who))
    amount = draw.lognormal(3.5, 0.5, n)[who] * draw.lognormal(0, 0.5, len(who))
    frames = []
    for cutoff in 730 + 30.0 * np.arange(months):
        recent = (time < cutoff) & (time >= cutoff - 365)
        known = np.bincount(who[time < cutoff], minlength=n) > 0
        orders = np.bincount(who[recent], minlength=n)
        spend = np.bincount(who[recent], amount[recent], minlength=n)
        frame = pd.DataFrame({"orders_365d": orders, "spend_365d": spend}, index=pd.Index(range(n), name="customer_id"))
        frames.append(frame[known])
    return frames


def rates_of_change(policy: SegmentPolicy, frames: list[pd.DataFrame]) -> pd.Series:
    policy.fit(frames[0])
    previous, found = None, {}
    for month, frame in enumerate(frames):
        as_of = AS_OF + 30 * month * DAY
        previous = policy.transform(frame, previous=previous, as_of=as_of)
        found[as_of] = previous["segment"]
    history = pd.DataFrame(found)
    return change_rates(history.set_axis(pd.DatetimeIndex(history.columns, name="cutoff"), axis=1))["change_rate"]


@pytest.mark.parametrize("orders_a_year", [4, 6])
def test_customers_who_do_not_change_keep_their_tier(orders_a_year: float) -> None:
    frames = stationary(7, orders_a_year=orders_a_year, months=25)
    tiers = SegmentPolicy.preset("loyalty")
    bare = [dataclasses.replace(tier, keep=None, minimum_stay_days=0) for tier in tiers.segments]
    held = rates_of_change(tiers, frames)
    plain = rates_of_change(dataclasses.replace(tiers, segments=bare), frames)
    assert held.mean() <= 0.02
    assert held.iloc[12:].max() <= 0.02
    assert plain.mean() >= 3 * held.mean()
    assert plain.iloc[12:].mean() >= 3 * held.iloc[12:].mean()
