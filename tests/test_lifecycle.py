"""Stages of life: the bounds to the microsecond, silence before age, wake-ups, and the past only."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from histories import awkward_shop
from plain_twin import days_between, gaps_of, merged

from crm_ml import CustomerLog, simulate
from crm_ml.decisions.lifecycle import LIFECYCLE_STAGES, Lifecycle, lifecycle_history, lifecycle_stages
from crm_ml.errors import SchemaError
from crm_ml.features import IntervalStretch, build_features
from crm_ml.plots.customers import LifecycleDisplay

NAN = float("nan")
AS_OF = pd.Timestamp("2024-06-01", tz="UTC")
OWN = Lifecycle(basis="own")
TICK = 1e-6 / 86_400
AROUND_30 = (30 - TICK, 30, 30 + TICK)
COLUMNS = ["stage", "age_days", "silent_days", "usual_gap_days", "woken", "slept_days"]


def ago(*days: float) -> list[pd.Timestamp]:
    return [AS_OF - pd.Timedelta(round(day * 86_400_000_000), "us") for day in days]


def shop(purchases: dict[str, list[float]], acts: dict[str, list[float]] | None = None) -> CustomerLog:
    """Give a log of customers who bought and acted so many days before the moment; below zero is after it."""
    bought = pd.DataFrame(
        [(name, time, 10.0) for name, days in purchases.items() for time in ago(*days)],
        columns=["customer_id", "timestamp", "amount"],
    )
    acted = [(name, time, "view") for name, days in (acts or {}).items() for time in ago(*days)]
    events = pd.DataFrame(acted, columns=["customer_id", "timestamp", "event_type"])
    return CustomerLog(bought, events if len(events) else None)


def stage_of(purchases: list[float], rules: Lifecycle | None = None) -> Any:
    return lifecycle_stages(shop({"ann": purchases}), as_of=AS_OF, rules=rules).loc["ann"]


# --- bounds ---


def test_age_belongs_to_the_later_stage_at_its_bound() -> None:
    new, growing = (TICK, 29.99, 30 - TICK), (30, 30.01, 180 - TICK)
    stages = dict.fromkeys(new, "new") | dict.fromkeys(growing, "growing")
    stages |= dict.fromkeys((180, 180 + TICK, 2000), "mature")
    found = lifecycle_stages(shop({str(age): [age, TICK] for age in stages}), as_of=AS_OF)
    assert found["stage"].to_dict() == {str(age): stage for age, stage in stages.items()}
    np.testing.assert_allclose(found["age_days"], [float(age) for age in found.index], atol=1e-12)


@pytest.mark.parametrize("first", [0, 400])
def test_silence_by_the_calendar_wins_over_age(first: float) -> None:
    age_stage = "growing" if first == 0 else "mature"
    stages = {60 - TICK: age_stage, 60: "declining", 90 - TICK: "declining"}
    stages |= {90: "dormant", 365 - TICK: "dormant", 365: "churned", 3000: "churned"}
    found = lifecycle_stages(shop({str(day): [day + first, day] for day in stages}), as_of=AS_OF)
    assert found["stage"].to_dict() == {str(day): stage for day, stage in stages.items()}
    np.testing.assert_allclose(found["silent_days"], [float(day) for day in found.index], atol=1e-12)


@pytest.mark.parametrize("gap", [3, 10, 365])
def test_silence_by_the_own_clock_is_exact_but_for_noise(gap: int) -> None:
    bounds = {1.3: ("mature", "declining"), 4: ("declining", "dormant"), 8: ("dormant", "churned")}
    silences, stages = {}, {}
    for gaps, (below, at) in bounds.items():
        for shift, stage in ((-1e-9, below), (0, at), (1e-9, at)):
            name = f"{gaps} {shift:+}"
            silences[name] = [(gaps * (1 + shift) + n) * gap for n in range(80)]
            stages[name] = stage
    found = lifecycle_stages(shop(silences), as_of=AS_OF, rules=Lifecycle(basis="own", declining_gaps=1.3))
    np.testing.assert_allclose(found["usual_gap_days"], gap)
    assert found["stage"].to_dict() == stages


def test_each_clock_has_its_own_idea_of_half_a_year() -> None:
    log = shop({"yearly": [1270, 905, 540, 175], "weekly": [203, 196, 189, 182, 175]})
    calendar, own = (lifecycle_stages(log, as_of=AS_OF, rules=rules)["stage"] for rules in (None, OWN))
    assert calendar.to_dict() == {"yearly": "dormant", "weekly": "dormant"}
    assert own.to_dict() == {"yearly": "mature", "weekly": "churned"}


def test_who_bought_once_is_held_to_the_population_s_gap() -> None:
    log = shop({"regular": [100, 90, 80], "once": [25]})
    found = lifecycle_stages(log, as_of=AS_OF, rules=OWN).loc["once"]
    assert (found["usual_gap_days"], found["stage"]) == (pytest.approx(10), "declining")
    assert lifecycle_stages(log, as_of=AS_OF).loc["once", "stage"] == "new"


def test_nobody_is_silent_by_the_own_clock_where_nobody_bought_twice() -> None:
    found = lifecycle_stages(shop({"ann": [500], "bob": [2]}), as_of=AS_OF, rules=OWN)
    assert found["stage"].tolist() == ["mature", "new"]
    assert found["usual_gap_days"].isna().all()


def test_of_random_buyers_who_stay_as_many_are_silent_as_stated() -> None:
    gaps = np.random.default_rng(0).exponential(200.0, (400, 100))
    log = shop({f"c{number}": list(row) for number, row in enumerate(gaps.cumsum(axis=1) - 1500)})
    history = lifecycle_history(log, cutoffs=[AS_OF + pd.Timedelta(days=day) for day in range(0, 1500, 150)], rules=OWN)
    codes = history.apply(lambda month: month.cat.codes).to_numpy()
    for stage, gaps, stated in (("declining", 2, 0.33), ("dormant", 4, 0.11), ("churned", 8, 0.01)):
        exact = math.exp(-gaps * math.exp(-np.euler_gamma))
        assert round(exact, 2) == stated
        assert (codes >= LIFECYCLE_STAGES.index(stage)).mean() == pytest.approx(exact, abs=0.025)
    assert round(math.exp(-1.3 * math.exp(-np.euler_gamma)), 2) == 0.48


# --- prospects ---


def test_prospects_acted_and_have_not_bought_yet() -> None:
    acts = {"looks": [3, -1], "buys later": [5], "looks later": [-2], "buyer": [4]}
    log = shop({"buyer": [10], "buys later": [-1]}, acts)
    found = lifecycle_stages(log, as_of=AS_OF)
    assert found["stage"].to_dict() == {"buyer": "new", "buys later": "prospect", "looks": "prospect"}
    assert found.loc["looks", ["age_days", "silent_days", "usual_gap_days", "slept_days"]].isna().all()
    assert not found.loc["looks", "woken"]
    assert len(lifecycle_stages(log, as_of=ago(3 - TICK)[0])) == 3
    assert len(lifecycle_stages(log, as_of=ago(3)[0])) == 2


def test_who_only_gave_goods_back_is_not_known() -> None:
    bought = pd.DataFrame(
        {"customer_id": ["ann", "bob"], "timestamp": ago(5, 4), "amount": [-10.0, 10.0]},
    )
    assert lifecycle_stages(CustomerLog(bought), as_of=AS_OF).index.tolist() == ["bob"]


# --- wake-ups ---


def test_a_purchase_after_a_dormant_silence_wakes() -> None:
    sleeps = {(silent, since): silent >= 90 and since <= 30 for silent in (90 - TICK, 90, 800) for since in AROUND_30}
    found = lifecycle_stages(shop({str(key): [sum(key), key[1]] for key in sleeps}), as_of=AS_OF)
    assert found["woken"].to_dict() == {str(key): woken for key, woken in sleeps.items()}
    slept = [key[0] if sleeps[key] else NAN for key in sorted(sleeps, key=str)]
    np.testing.assert_allclose(found["slept_days"], slept, rtol=1e-12)


def test_a_wake_up_is_still_one_after_the_next_purchase() -> None:
    found = stage_of([300, 100, 10, 3])
    assert (found["woken"], found["slept_days"], found["stage"]) == (True, 90, "mature")


def test_the_latest_of_two_wake_ups_says_how_long_it_was() -> None:
    found = stage_of([100, 20, 11, 1], Lifecycle(declining_days=2, dormant_days=9))
    assert (found["woken"], found["slept_days"]) == (True, 10)


def test_a_first_purchase_wakes_nobody() -> None:
    log = shop({"ann": [2]}, {"ann": [400]})
    assert not lifecycle_stages(log, as_of=AS_OF).loc["ann", "woken"]


def test_a_wake_up_is_judged_by_the_gap_known_just_before_it() -> None:
    weekly = [20 + 28 + 7 * n for n in range(80)]
    others = {name: [3.0 + 7 * n for n in range(10)] for name in ("bob", "cem", "dan")}
    purchases = {"ann": [20, *weekly], "a little less": [20, *(day - 1e-6 for day in weekly)]}
    found = lifecycle_stages(shop(purchases | others), as_of=AS_OF, rules=OWN)
    assert found["woken"].to_dict() == {"a little less": False, "ann": True, "bob": False, "cem": False, "dan": False}
    assert found.loc["ann", "slept_days"] == 28
    assert found.loc["ann", "usual_gap_days"] > 7.05  # by the gap known now, 28 days would not be four


def test_who_is_dormant_again_is_not_woken() -> None:
    rules = Lifecycle(declining_days=5, dormant_days=10)
    assert stage_of([100, 9.99], rules)["woken"]
    found = stage_of([100, 10], rules)
    assert (found["woken"], found["stage"]) == (False, "dormant")


# --- a twin, customer by customer ---


def twin(bought: pd.DataFrame, acted: pd.DataFrame, cutoff: pd.Timestamp, rules: Lifecycle) -> dict[str, list[Any]]:
    past = {str(name): merged(lines) for name, lines in bought[bought["timestamp"] < cutoff].groupby("customer_id")}
    known = set(acted.loc[acted["timestamp"] < cutoff, "customer_id"])
    latest = [gaps_of(rows)[-1] for rows in past.values() if gaps_of(rows)]
    typical = float(np.median(latest))
    own = rules.basis == "own"
    bounds = rules.silences

    def usual(rows: list[Any]) -> float:
        gaps = gaps_of(rows)
        return math.exp((sum(map(math.log, gaps)) + 2 * math.log(typical)) / (len(gaps) + 2))

    def depth(silence: float, gap: float) -> int:
        return sum(silence >= bound * (gap if own else 1) - 1e-12 for bound in bounds)

    found: dict[str, list[Any]] = {name: ["prospect", NAN, NAN, NAN, False, NAN] for name in known}
    for name, rows in past.items():
        times = [row.time for row in rows if row.opens]
        if not times:
            continue
        age, silent = days_between(cutoff, times[0]), days_between(cutoff, times[-1])
        young = "new" if age < 30 else "growing" if age < 180 else "mature"
        silence = depth(silent, usual(rows))
        slept = NAN
        for before, time in itertools.pairwise(times):
            wait = days_between(time, before)
            if wait > 0 and days_between(cutoff, time) <= rules.woken_days and silence < 2:
                slept = wait if depth(wait, usual([row for row in rows if row.time < time])) >= 2 else slept
        stage = (young, "declining", "dormant", "churned")[silence]
        found[name] = [stage, age, silent, usual(rows), not math.isnan(slept), slept]
    return found


def with_prospects(shop: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give a simulated shop's frames, a tenth of whose customers never buy."""
    bought, acted = shop.transactions, shop.interactions
    return bought[bought["customer_id"].str[-1] != "7"], acted


SHOPS = {
    "awkward": awkward_shop(5, cutoff=pd.Timestamp("2024-06-01"), n_customers=120),
    "simulated": with_prospects(simulate(200, days=500, start="2023-04-01", seed=3)),
}


@pytest.mark.parametrize("name", SHOPS)
@pytest.mark.parametrize("basis", ["calendar", "own"])
def test_every_column_is_that_of_a_plain_twin(name: str, basis: Any) -> None:
    bought, acted = SHOPS[name]
    rules = Lifecycle(basis=basis)
    bought, acted = (frame.assign(timestamp=pd.to_datetime(frame["timestamp"], utc=True)) for frame in (bought, acted))
    log = CustomerLog(bought, acted, n_buckets=3)
    cutoffs = [AS_OF - pd.Timedelta(days=40), AS_OF]
    history = lifecycle_history(log, cutoffs=cutoffs[::-1], rules=rules)
    for cutoff in cutoffs:
        expected = pd.DataFrame.from_dict(twin(bought, acted, cutoff, rules), orient="index", columns=COLUMNS)
        found = lifecycle_stages(log, as_of=cutoff, rules=rules)
        assert found.index.tolist() == sorted(expected.index)
        expected = expected.sort_index()
        assert found["stage"].tolist() == expected["stage"].tolist()
        assert found["woken"].tolist() == expected["woken"].tolist()
        numbers = ["age_days", "silent_days", "usual_gap_days", "slept_days"]
        np.testing.assert_allclose(found[numbers], expected[numbers].astype(float), rtol=1e-12)
        pd.testing.assert_series_equal(history[cutoff].dropna(), found["stage"], check_names=False)
    assert set(found["stage"]) >= {"prospect", "mature", "declining", "dormant"}
    assert found["woken"].any()


def test_the_usual_gap_is_the_feature_s_to_the_bit() -> None:
    log = CustomerLog(*SHOPS["awkward"])
    feature = build_features(log, as_of=AS_OF, features=[IntervalStretch()])["usual_gap_days"]
    found = lifecycle_stages(log, as_of=AS_OF)["usual_gap_days"].dropna()
    pd.testing.assert_series_equal(found, feature, check_exact=True)


# --- frames ---


def test_a_history_has_the_shape_of_segment_histories() -> None:
    log = shop({"late": [10], "buyer": [200, 150]}, {"looker": [100]})
    history = lifecycle_history(log, cutoffs=[AS_OF, ago(120)[0], ago(500)[0]])
    assert history.index.tolist() == ["buyer", "late", "looker"]
    assert history.index.name == "customer_id"
    assert history.columns.equals(pd.DatetimeIndex(sorted([AS_OF, *ago(120, 500)])).as_unit("us"))
    assert history.columns.name == "cutoff"
    for month in history:
        assert history[month].dtype == pd.CategoricalDtype(LIFECYCLE_STAGES, ordered=True)
    assert history.astype(object).where(history.notna(), None).to_numpy().tolist() == [
        [None, "growing", "dormant"],
        [None, None, "new"],
        [None, None, "prospect"],
    ]


def test_nothing_after_the_moment_changes_a_bit() -> None:
    bought, acted = SHOPS["awkward"]
    cutoff = AS_OF.tz_localize(None) - pd.Timedelta(days=30)
    cut = CustomerLog(bought[bought["timestamp"] < cutoff], acted[acted["timestamp"] < cutoff])
    for rules in (None, OWN):
        whole = [lifecycle_stages(log, as_of=cutoff, rules=rules) for log in (CustomerLog(bought, acted), cut)]
        pd.testing.assert_frame_equal(*whole, check_exact=True)
        months = [cutoff - pd.Timedelta(days=60), cutoff]
        history = [lifecycle_history(log, cutoffs=months, rules=rules) for log in (CustomerLog(bought, acted), cut)]
        pd.testing.assert_frame_equal(*history, check_exact=True)


def test_order_buckets_and_threads_leave_no_trace() -> None:
    bought, acted = SHOPS["awkward"]
    mixed = CustomerLog(bought.sample(frac=1, random_state=1), acted.sample(frac=1, random_state=2), n_buckets=7)
    found = [lifecycle_stages(log, as_of=AS_OF, rules=OWN) for log in (CustomerLog(bought, acted, threads=1), mixed)]
    pd.testing.assert_frame_equal(*found, check_exact=True)


# --- the display ---


def test_the_display_s_bars_are_the_stages_of_each_month() -> None:
    log = CustomerLog(*SHOPS["awkward"])
    months = [f"2024-0{month}-01" for month in range(1, 7)]
    history = lifecycle_history(log, cutoffs=months, rules=OWN)
    ax = LifecycleDisplay.from_history(history).plot().ax_
    bars = np.array([(bar.get_y(), bar.get_height()) for bar in ax.patches]).reshape(len(LIFECYCLE_STAGES), -1, 2)
    for place, month in enumerate(months):
        counts = lifecycle_stages(log, as_of=month, rules=OWN)["stage"].value_counts(sort=False)
        assert bars[:, place, 1].tolist() == counts.tolist()
        assert bars[:, place, 0].tolist() == [0, *counts.cumsum()[:-1]]
    told = [f"{stage} {count}" for stage, count in counts.items()]
    assert [text.get_text() for text in ax.texts] == told
    heights = [text.xyann[1] for text in ax.texts]
    assert min(np.diff(heights)) > 0.06
    assert 0 <= min(heights) <= max(heights) <= 1
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2024-06", "2024-04", "2024-02"]


def test_the_display_says_days_where_moments_are_not_months() -> None:
    history = lifecycle_history(shop({"ann": [40, 20]}), cutoffs=ago(30, 1))
    ax = LifecycleDisplay.from_history(history).plot().ax_
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2024-05-31", "2024-05-02"]


def test_the_display_needs_every_stage_and_a_moment() -> None:
    counts = pd.DataFrame(1, index=pd.DatetimeIndex(["2024-06-01"]), columns=list(LIFECYCLE_STAGES))
    with pytest.raises(SchemaError, match="counts by stage need a column `dormant`"):
        LifecycleDisplay(counts.drop(columns="dormant"))
    with pytest.raises(SchemaError, match="must have at least one row"):
        LifecycleDisplay(counts.head(0))


# --- errors ---


def test_nobody_known_is_told() -> None:
    log = shop({"ann": [3]}, {"bob": [5]})
    assert len(lifecycle_stages(log, as_of=ago(4)[0])) == 1
    for call in (
        lambda: lifecycle_stages(log, as_of=ago(5)[0]),
        lambda: lifecycle_history(log, cutoffs=ago(6, 5)),
    ):
        with pytest.raises(SchemaError, match=r"purchase or an interaction before 2024-05-27 00:00:00\+00:00"):
            call()


@pytest.mark.parametrize("cutoffs", [[], [AS_OF, "2024-06-01"]])
def test_cutoffs_are_different_moments(cutoffs: list[Any]) -> None:
    with pytest.raises(SchemaError, match="`cutoffs` must be one or more different moments"):
        lifecycle_history(shop({"ann": [3]}), cutoffs=cutoffs)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"basis": "mine"}, '`basis` must be "calendar" or "own"'),
        ({"new_days": 0}, "`new_days` must be a positive number of days"),
        ({"woken_days": NAN}, "`woken_days` must be a positive number of days"),
        ({"churned_days": math.inf}, "`churned_days` must be a positive number of days"),
        ({"declining_gaps": 0}, "`declining_gaps` must be above 0 and finite"),
        ({"churned_gaps": math.inf}, "`churned_gaps` must be above 0 and finite"),
        ({"growing_days": 30}, "`growing_days` must be above `new_days`, 30; got 30"),
        ({"dormant_days": 60}, "`dormant_days` must be above `declining_days`, 60; got 60"),
        ({"churned_days": 90}, "`churned_days` must be above `dormant_days`, 90; got 90"),
        ({"dormant_gaps": 2}, "`dormant_gaps` must be above `declining_gaps`, 2; got 2"),
        ({"churned_gaps": 4}, "`churned_gaps` must be above `dormant_gaps`, 4; got 4"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        Lifecycle(**settings)
