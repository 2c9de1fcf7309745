"""Health of the customer base: every metric against a plain twin, what adds up, and what cannot be seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from health_twin import cohort_twin, health_twin

from crm_ml import CustomerLog, monthly_cutoffs, simulate
from crm_ml.compiled import compiled
from crm_ml.decisions.health import METRICS, base_health, cohort_retention, largest_changes
from crm_ml.decisions.health.loops import add
from crm_ml.errors import CrmError, SchemaError
from crm_ml.plots.customers import CohortDisplay, HealthDisplay

KEYS = ["month", "segment", "metric"]
CUTOFFS = pd.date_range("2024-08-01", periods=6, freq="MS", tz="UTC", name="cutoff")
ADDED = ["customers", "active", "dormant", "woken", "new_customers", "buyers", "orders", "revenue"]


@pytest.fixture(scope="module")
def shop():
    made = simulate(220, days=400, seed=5, return_share=0.1, acquisition_share=0.9, purchase_scale_days=40.0)
    acts = made.interactions
    returned = made.transactions[made.transactions["amount"] < 0].iloc[::2].assign(event_type="return", value=np.nan)
    return made.transactions, pd.concat([acts, returned[acts.columns]], ignore_index=True)


@pytest.fixture(scope="module")
def log(shop):
    return CustomerLog(*shop)


@pytest.fixture(scope="module")
def segments(shop):
    """Give segments by chance, one customer whom the log does not know, and some whom the segments do not."""
    known = ["C000stranger", *shop[0]["customer_id"].unique()[::-1][:200]]
    rng = np.random.default_rng(2)
    kind = pd.CategoricalDtype(["gold", "silver", "nobody's", "wood"], ordered=True)
    columns = {
        cutoff: pd.Categorical.from_codes(rng.choice([-1, 0, 1, 3], len(known)), dtype=kind) for cutoff in CUTOFFS
    }
    return pd.DataFrame(columns, index=pd.Index(known, name="customer_id"))


@pytest.fixture(scope="module")
def frame(log, segments):
    return base_health(log, cutoffs=CUTOFFS, segments=segments, dormant_days=45)


def test_every_metric_is_the_twins(shop, segments, frame) -> None:
    twin = health_twin(*shop, CUTOFFS, segments=segments, dormant_days=45).set_index(KEYS)
    found = frame.set_index(KEYS)[["value", "change"]]
    assert set(found.index) == set(twin.index)
    wanted = twin.loc[found.index]
    for column in ("value", "change"):
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-9, atol=1e-9, err_msg=column)
    everyone = frame[frame["segment"] == "all"]
    assert everyone["value"].notna().all()  # or the twin proves little
    assert {metric.name for metric in METRICS} - set(everyone["metric"]) == {"clv_per_acquisition_cost"}


def test_rows_come_by_month_segment_and_metric(frame) -> None:
    names = [metric.name for metric in METRICS if metric.name != "clv_per_acquisition_cost"]
    assert frame["metric"].tolist() == names * (len(frame) // len(names))
    order = frame.drop_duplicates(["month", "segment"]).groupby("month")["segment"].agg(list).tolist()
    assert order == [["all"], *[["all", "gold", "silver", "nobody's", "wood", "no segment"]] * 5]
    assert frame["month"].is_monotonic_increasing
    assert str(frame["month"].dt.tz) == "UTC"


def test_relative_change_is_change_over_the_size_before(frame) -> None:
    before = frame["value"] - frame["change"]
    wanted = (frame["change"] / before.abs()).where(before.abs() > 1e-9)
    np.testing.assert_allclose(frame["change_share"], wanted, rtol=1e-9)


def test_relative_change_from_below_nothing_is_upwards() -> None:
    log = CustomerLog(
        pd.DataFrame({"customer_id": "ann", "timestamp": ["2024-04-02", "2024-05-02"], "amount": [-4, 2]})
    )
    found = base_health(log, cutoffs=["2024-05-01", "2024-06-01"]).set_index("metric").loc["revenue", "change_share"]
    np.testing.assert_array_equal(found, [np.nan, 1.5])


def test_segments_add_up_to_all(frame) -> None:
    wide = frame[frame["metric"].isin(ADDED)].pivot_table(index=["month", "metric"], columns="segment", values="value")
    wide = wide.dropna()
    assert len(wide) == 5 * len(ADDED)
    np.testing.assert_allclose(wide.drop(columns="all").sum(axis=1), wide["all"], rtol=1e-12)


def test_head_counts_reconcile(shop, frame) -> None:
    transactions = shop[0]
    everyone = frame[frame["segment"] == "all"].pivot_table(index="month", columns="metric", values="value")
    assert (everyone["customers"] == everyone["active"] + everyone["dormant"]).all()
    assert (everyone["customers"].diff() == everyone["new_customers"])[1:].all()
    past = transactions[transactions["timestamp"] < CUTOFFS[-1]]
    assert everyone["customers"].iloc[-1] == past["customer_id"].nunique()
    months = past[past["timestamp"] >= "2024-07-01"]
    assert everyone["orders"].sum() == (months["amount"] >= 0).sum()
    assert everyone["revenue"].sum() == pytest.approx(months["amount"].sum(), rel=1e-12)
    product = everyone["average_order_value"] * everyone["orders"] * (1 - everyone["return_rate"])
    np.testing.assert_allclose(product, everyone["revenue"], rtol=1e-12)


def test_later_events_change_nothing(shop, segments, frame) -> None:
    transactions, interactions = (table[table["timestamp"] < CUTOFFS[-1]] for table in shop)
    later = CUTOFFS[-1]
    more = pd.DataFrame({"customer_id": ["new", "C001"], "timestamp": later, "amount": [5.0, -900.0]})
    act = pd.DataFrame({"customer_id": ["C001"], "timestamp": later, "event_type": "chargeback", "value": 1.0})
    for log in (
        CustomerLog(transactions, interactions),
        CustomerLog(pd.concat([transactions, more]), pd.concat([interactions, act])),
    ):
        found = base_health(log, cutoffs=CUTOFFS, segments=segments, dormant_days=45)
        pd.testing.assert_frame_equal(found, frame, check_exact=True)


def test_buckets_threads_and_order_leave_no_trace(shop, segments, frame) -> None:
    shuffled = [table.sample(frac=1, random_state=1) for table in shop]
    for log in (CustomerLog(*shop, n_buckets=1, threads=1), CustomerLog(*shuffled, n_buckets=7, threads=2)):
        found = base_health(log, cutoffs=CUTOFFS, segments=segments.iloc[::-1], dormant_days=45)
        pd.testing.assert_frame_equal(found, frame, check_exact=True)


def one(rows, interactions=None, *, cutoffs=("2024-05-01", "2024-06-01"), returns="net", **settings):
    """Give the metrics of a small log, by month and metric."""
    orders = pd.DataFrame(rows, columns=["customer_id", "timestamp", "amount"])
    log = CustomerLog(orders, interactions, returns=returns)
    found = base_health(log, cutoffs=cutoffs, **settings)
    return found.pivot_table(index="month", columns="metric", values="value", dropna=False)


def test_one_customer_and_empty_months() -> None:
    found = one([("ann", "2024-04-30 23:59:59", 10.0)], cutoffs=["2024-04-01", "2024-05-01", "2024-06-01"])
    assert found["customers"].tolist() == found["active"].tolist() == [0, 1, 1]
    assert found["new_customers"].tolist() == found["buyers"].tolist() == [0, 1, 0]
    assert found["revenue"].tolist() == [0, 10, 0]
    np.testing.assert_array_equal(found["average_order_value"], [np.nan, 10, np.nan])
    np.testing.assert_array_equal(found["repurchase_rate"], [np.nan, np.nan, 0])
    np.testing.assert_allclose(found["top_decile_revenue_share"], [np.nan, 0.1, np.nan])
    assert found[["sleepers_woken", "repurchase_cycle_days", "half_back_days"]].isna().all(axis=None)
    assert not {"return_rate", "returns_per_order", "complaint_rate"} & set(found.columns)


def test_a_cutoff_belongs_to_the_next_month() -> None:
    found = one([("ann", "2024-04-10", 1.0), ("ann", "2024-05-01", 2.0), ("ann", "2024-06-01", 4.0)])
    assert found["revenue"].tolist() == [1, 2]
    assert found["repurchase_cycle_days"].tolist()[1] == 21


@pytest.mark.parametrize(("last", "dormant"), [("2024-02-01", 1), ("2024-02-01 00:00:01", 0)])
def test_dormant_from_exactly_so_many_days_on(last, dormant) -> None:
    rows = [("ann", last, 1.0), ("ann", "2024-05-20", 1.0)]
    found = one(rows, dormant_days=90)  # 2024-02-01 is 90 days before 2024-05-01
    assert found["dormant"].tolist() == [dormant, 0]
    assert found["woken"].tolist() == [0, dormant]
    np.testing.assert_array_equal(found["sleepers_woken"], [np.nan, 1.0 if dormant else np.nan])


def test_months_may_end_on_the_last_day() -> None:
    rows = [("ann", "2024-02-28", 1.0), ("ann", "2024-02-29", 2.0), ("ann", "2024-03-31", 4.0)]
    found = one(rows, cutoffs=["2024-02-29", "2024-03-31", "2024-04-30"])
    assert found["revenue"].tolist() == [1, 2, 4]


def test_returns_need_money_that_went_back() -> None:
    rows = [("ann", "2024-05-02", 10.0), ("bob", "2024-05-03", -4.0), ("ann", "2024-05-09", -20.0)]
    found = one(rows).iloc[-1]
    assert (found["revenue"], found["average_order_value"], found["return_rate"]) == (-14, 10, 2.4)
    assert (found["customers"], found["orders"]) == (1, 1)
    assert np.isnan(found["top_decile_revenue_share"])  # 10 more returned than spent
    ignored = one(rows, returns="ignore")
    assert "return_rate" not in ignored.columns
    assert ignored["revenue"].tolist() == [0, 10]
    later = one([("ann", "2024-05-02", 10.0), ("ann", "2024-06-01", -10.0)])
    assert "return_rate" not in later.columns


def test_a_line_booked_later_is_money_and_no_order() -> None:
    lines = pd.DataFrame(
        {
            "customer_id": "ann",
            "timestamp": ["2024-05-02", "2024-05-02", "2024-05-20", "2024-05-30"],
            "amount": [10.0, 5.0, 3.0, -6.0],
            "order_id": "A",
        }
    )
    found = base_health(CustomerLog(lines), cutoffs=["2024-06-01"]).set_index("metric")["value"]
    assert (found["orders"], found["revenue"], found["average_order_value"]) == (1, 12, 18)
    assert found["return_rate"] == 6 / 18
    assert np.isnan(found["repurchase_cycle_days"])


def test_events_count_by_the_types_named() -> None:
    acts = pd.DataFrame(
        {
            "customer_id": ["ann", "ann", "eve", "ann", "ann"],
            "timestamp": ["2024-03-31", "2024-05-02", "2024-05-03", "2024-05-31 23:00", "2024-06-01"],
            "event_type": ["gripe", "gripe", "complaint", "sent back", "gripe"],
        }
    )
    rows = [("ann", "2024-05-02", 10.0), ("ann", "2024-05-03", 10.0)]
    assert one(rows, acts)["complaint_rate"].iloc[-1] == 0.5
    both = one(rows, acts, complaint_events=["gripe", "complaint"], return_events=["sent back"])
    assert both["complaint_rate"].iloc[-1] == 1.0
    assert both["returns_per_order"].iloc[-1] == 0.5
    assert "complaint_rate" not in one(rows, acts, complaint_events=())


def test_value_against_cost_is_of_customers_with_both() -> None:
    rows = [("1", "2024-04-02", 9.0), ("2", "2024-05-02", 9.0), ("3", "2024-05-02", 9.0), ("4", "2024-06-02", 9.0)]
    clv = pd.Series([30.0, 50.0, np.nan, 1000.0, 1000.0], index=[1, 2, 3, 4, 5])
    name = "clv_per_acquisition_cost"
    np.testing.assert_array_equal(one(rows, clv=clv, acquisition_cost=20)[name], [np.nan, 2.0])
    cost = pd.Series([15.0, 10.0], index=["2", "3"])
    assert one(rows, clv=clv, acquisition_cost=cost)[name].iloc[-1] == 50 / 15
    by_cutoff = pd.DataFrame({"2024-05-01": clv, "2024-06-01": 2 * clv})
    assert one(rows, clv=by_cutoff, acquisition_cost=20)[name].tolist() == [1.5, 4.0]


def test_a_sum_does_not_depend_on_the_order() -> None:
    values = np.random.default_rng(0).normal(size=2_000) * 10.0 ** np.random.default_rng(1).integers(0, 16, 2_000)

    def total(order):
        held = np.zeros(2)
        for value in values[order]:
            compiled(add)(held, value)
        return held.sum()

    assert total(slice(None)) == total(slice(None, None, -1)) == total(np.argsort(values))


@pytest.fixture(scope="module")
def viewed():
    acts = pd.DataFrame({"customer_id": ["ann"], "timestamp": ["2024-05-02"], "event_type": ["view"]})
    return CustomerLog(pd.DataFrame({"customer_id": ["ann"], "timestamp": ["2024-05-02"], "amount": [10.0]}), acts)


def kinds(*names):
    return pd.CategoricalDtype(list(names), ordered=True)


def history(columns, index=("ann",), names=("gold",), **_):
    return pd.DataFrame(
        {c: pd.Categorical([names[0]] * len(index), dtype=kinds(*names)) for c in columns}, index=list(index)
    )


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"cutoffs": []}, SchemaError, "`cutoffs` must be one or more midnights UTC"),
        ({"cutoffs": ["2024-05-01", "2024-07-01"]}, SchemaError, "each a calendar month after the one before"),
        ({"cutoffs": ["2024-06-01", "2024-05-01"]}, SchemaError, "each a calendar month after the one before"),
        ({"cutoffs": ["2024-05-01 12:00"]}, SchemaError, "`cutoffs` must be one or more midnights UTC"),
        ({"dormant_days": 0}, SchemaError, "`dormant_days` must be a positive number of days"),
        ({"complaint_events": ["moan"]}, SchemaError, r"Absent: \['moan'\]; present: \['view'\]"),
        ({"return_events": ["view", "sent back"]}, SchemaError, r"Absent: \['sent back'\]"),
        ({"segments": history(["2024-04-01"], index=["ann", "ann"])}, SchemaError, "hold every customer once"),
        ({"segments": history(["2024-06-01"])}, SchemaError, r"column at the start of one of the months"),
        ({"segments": history(["2024-04-01"], names=["all"])}, SchemaError, "must not be called 'all'"),
        (
            {"segments": history(["2024-04-01"]).join(history(["2024-05-01"], names=["a"]))},
            SchemaError,
            "categorical of the same segments",
        ),
        ({"segments": pd.DataFrame({"2024-04-01": ["x"]}, index=["ann"])}, SchemaError, "categorical of the same"),
        ({"clv": pd.Series([1.0], index=["ann"])}, CrmError, "`acquisition_cost` must be given with `clv`"),
        ({"acquisition_cost": 3}, CrmError, "`clv` must be given with `acquisition_cost`"),
        ({"clv": pd.Series([1.0], index=["a"]), "acquisition_cost": 0}, CrmError, "must be above 0 and finite"),
        ({"clv": pd.Series([np.inf], index=["a"]), "acquisition_cost": 1}, SchemaError, "`clv` must be finite or"),
        ({"clv": pd.Series(["x"], index=["a"]), "acquisition_cost": 1}, SchemaError, "`clv` must be numeric"),
        (
            {"clv": pd.DataFrame({"2024-04-01": [1.0]}, index=["a"]), "acquisition_cost": 1},
            SchemaError,
            "`clv` must have a column at the end",
        ),
        (
            {"clv": pd.Series([1.0], index=["a"]), "acquisition_cost": pd.Series([-1.0], index=["a"])},
            SchemaError,
            "`acquisition_cost` must be at least 0",
        ),
    ],
)
def test_what_is_refused(viewed, settings, error, match) -> None:
    with pytest.raises(error, match=match):
        base_health(viewed, **{"cutoffs": ["2024-05-01", "2024-06-01"], **settings})


@pytest.mark.parametrize(("by", "freq"), [("month", "M"), ("quarter", "Q")])
def test_cohorts_are_the_twins(shop, log, by, freq) -> None:
    last = "2024-12" if by == "month" else "2024Q4"
    twin = cohort_twin(shop[0], pd.period_range("2024-01", last, freq=freq))
    found = cohort_retention(log, as_of="2025-01-15", by=by)
    names = found["cohort"].dt.tz_localize(None).dt.to_period(freq).astype(str)
    rows = zip(names, found["age"], found["customers"], found["buyers"], strict=True)
    assert {(name, age): (customers, buyers) for name, age, customers, buyers in rows} == twin
    np.testing.assert_allclose(found["share"], found["buyers"] / found["customers"])
    assert (found.loc[found["age"] == 0, "share"] == 1).all()


def test_cohorts_do_not_see_what_comes_later(shop, log) -> None:
    past = shop[0][shop[0]["timestamp"] < "2024-09-01"]
    seen = cohort_retention(CustomerLog(past), as_of="2024-09-01")
    for as_of in ("2024-09-01", "2024-09-30 23:59"):
        pd.testing.assert_frame_equal(cohort_retention(log, as_of=as_of), seen, check_exact=True)
    assert seen["cohort"].max() == pd.Timestamp("2024-08-01", tz="UTC")


def test_cohorts_begin_with_the_month_and_need_a_customer() -> None:
    orders = pd.DataFrame({"customer_id": ["ann", "ann", "bob"], "amount": 1.0})
    log = CustomerLog(orders.assign(timestamp=["2024-02-01", "2024-03-31 23:59:59.999999", "2024-05-01"]))
    found = cohort_retention(log, as_of="2024-06-01")
    assert found["cohort"].dt.month.tolist() == [2, 2, 2, 2, 5]
    assert found["buyers"].tolist() == [1, 1, 0, 0, 1]


@pytest.mark.parametrize("as_of", ["2024-01-31", "2023-01-01"])
def test_cohorts_need_a_month_that_had_ended(log, as_of) -> None:
    with pytest.raises(SchemaError, match=r"Cohorts need a purchase in a month that had ended by `as_of`"):
        cohort_retention(log, as_of=as_of)


def test_cohorts_are_of_months_or_quarters(log) -> None:
    with pytest.raises(SchemaError, match='`by` must be "month" or "quarter"'):
        cohort_retention(log, as_of="2024-09-01", by="week")


def told(**values):
    """Give a frame of some metrics, from their values month by month."""
    rows = []
    for name, own in values.items():
        value = pd.Series(own, dtype=float)
        months = pd.date_range("2024-01-01", periods=len(own), freq="MS", tz="UTC")
        share = value.diff() / value.shift().abs().replace(0, np.nan)
        columns = {"metric": name, "value": value, "change": value.diff(), "change_share": share}
        rows.append(pd.DataFrame({"month": months, "segment": "all", **columns}))
    return pd.concat(rows, ignore_index=True)


def test_the_largest_change_is_the_least_usual_one() -> None:
    found = largest_changes(
        told(
            revenue=[100, 200, 100, 200, 100, 200, 100, 205],  # large as ever
            repurchase_rate=[0.50, 0.51, 0.50, 0.51, 0.50, 0.51, 0.50, 0.44],  # small, and never so large
            orders=[10, 20, 30, 40, 50, 60, 70, 80],  # grows as ever
            buyers=[9, 9, 9, 9, 9, 9, 9, 9],
            woken=[5, 5, 5, 5, 5, 5, 5, 6],  # never moved
        )
    )
    assert found.index.tolist() == ["woken", "repurchase_rate", "revenue"]
    assert found["unusual"].iloc[0] == np.inf
    # median of ±0.01 thrice each is 0, all at distance 0.01
    assert found.loc["repurchase_rate", "unusual"] == pytest.approx(0.06 / (1.4826 * 0.01))
    assert found.loc["revenue", "unusual"] == pytest.approx(105 / (1.4826 * 100))
    assert largest_changes(told(orders=[10, 20, 30, 40, 50, 60])).loc["orders", "unusual"] == 0


def test_a_past_outlier_hides_nothing() -> None:
    calm = [100, 101, 100, 102, 100, 101, 100, 102, 100]
    shaken = [100, 101, 100, 900, 100, 101, 100, 102, 100]
    unusual = [largest_changes(told(revenue=[*past, 110])).loc["revenue", "unusual"] for past in (calm, shaken)]
    assert min(unusual) > 4


def test_few_months_are_ordered_by_relative_change() -> None:
    found = largest_changes(told(revenue=[100, 90, 100, 110], orders=[10, 11, 10, 30], woken=[0, 0, 0, 5]), 3)
    assert found.index.tolist() == ["orders", "revenue", "woken"]
    assert found["unusual"].isna().all()
    more = told(revenue=[100, 90, 100, 90, 100])
    # 3 earlier changes, −10, 10 and −10: from their median −10 the root mean square is 20 / √3
    assert largest_changes(more).loc["revenue", "unusual"] == pytest.approx(20 / (20 / np.sqrt(3)))


def test_metrics_without_a_last_change_do_not_count() -> None:
    frame = told(revenue=[1, 2, 3, 5], orders=[1, 2, 5, np.nan], buyers=[4, 5, 6, 6 + 1e-12])
    old = told(woken=[1, 9])
    assert largest_changes(pd.concat([frame, old])).index.tolist() == ["revenue"]
    assert largest_changes(told(revenue=[7.0])).empty


def test_changes_are_said(frame) -> None:
    rate = told(repurchase_rate=[0.2, 0.21, 0.2, 0.22, 0.15])
    assert largest_changes(rate)["words"].tolist() == [
        "Repurchase rate fell from 22.0% to 15.0% (usual change +1.0 ± 1.3 points)"
    ]
    money = told(revenue=[1200.0, 1400.0])
    assert largest_changes(money, currency="$")["words"].tolist() == ["Revenue rose from $1,200 to $1,400"]
    assert len(largest_changes(frame, 100)["words"]) > 10


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda frame: largest_changes(frame, 0), "`n` must be at least 1"),
        (lambda frame: largest_changes(frame.drop(columns="change")), "health frames need a column `change`"),
        (lambda frame: largest_changes(frame[frame["segment"] != "all"]), "must have rows of segment 'all'"),
    ],
)
def test_changes_need_a_health_frame(frame, change, match) -> None:
    with pytest.raises(SchemaError, match=match):
        change(frame)


def test_health_display_draws_values_and_the_last_change(frame) -> None:
    drawn = HealthDisplay(frame, segment="gold", metrics=["revenue", "return_rate"], currency="$").plot()
    own = frame[(frame["segment"] == "gold") & (frame["metric"] == "return_rate")]
    assert len(drawn.axes_) == 2
    assert drawn.axes_[1].lines[0].get_ydata().tolist() == own["value"].tolist()
    last = own.iloc[-1]
    sign = "+" if last["change"] > 0 else "−"
    words = f"Return rate\n{last['value']:.1%}, {sign}{abs(100 * last['change']):.1f} points"
    assert drawn.axes_[1].get_title(loc="left") == words
    assert len(HealthDisplay(frame).plot().axes_) == 10


def test_health_display_shows_a_missing_last_month_as_such() -> None:
    drawn = HealthDisplay(told(sleepers_woken=[0.1, np.nan], revenue=[1, 2])).plot()
    assert drawn.axes_[1].get_title(loc="left") == "Share of sleepers woken\n–"


def test_displays_come_from_a_log(log, frame) -> None:
    drawn = HealthDisplay.from_log(log, cutoffs=CUTOFFS, dormant_days=45)
    everyone = frame[frame["segment"] == "all"].reset_index(drop=True)
    pd.testing.assert_frame_equal(drawn.data, everyone)
    cohorts = CohortDisplay.from_log(log, as_of="2024-10-01", by="quarter").plot()
    assert [text.get_text().split(" (")[0] for text in cohorts.ax_.get_yticklabels()] == ["Q1 2024", "Q2 2024"]
    shares = cohorts.data.loc[cohorts.data["age"] > 0, "share"]
    assert [int(text.get_text()) for text in cohorts.ax_.texts] == [round(100 * share) for share in shares]


def test_displays_refuse_what_they_cannot_draw(log, frame) -> None:
    with pytest.raises(SchemaError, match="health frames need a column `change`"):
        HealthDisplay(frame.drop(columns="change"))
    with pytest.raises(SchemaError, match="in segment 'lead'; it has none"):
        HealthDisplay(frame, segment="lead").plot()
    with pytest.raises(SchemaError, match="cohorts need a column `cohort`"):
        CohortDisplay(frame)
    with pytest.raises(SchemaError, match="Cohorts must have been seen in a month after their own"):
        CohortDisplay.from_log(log, as_of="2024-02-01").plot()


def test_monthly_cutoffs_are_ends_of_months(log) -> None:
    found = base_health(log, cutoffs=monthly_cutoffs(log))
    assert found["month"].nunique() == len(monthly_cutoffs(log))
