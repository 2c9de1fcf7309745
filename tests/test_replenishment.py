"""When categories are bought again: estimates against a plain product limit and a known distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.decisions.timing.replenishment import iter_replenishment_due, replenishment, replenishment_due
from crm_ml.errors import SchemaError
from crm_ml.plots.customers.timing import CadenceDisplay

AS_OF = pd.Timestamp("2024-09-01", tz="UTC")
QUARTILES = {"gap_lower": 0.25, "gap_median": 0.5, "gap_upper": 0.75}


def lines(n=3_000, *, customers=120, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array(["coffee", "tea", "oil", "once", None], dtype=object)
    frame = pd.DataFrame(
        {
            "customer_id": rng.integers(0, customers, n).astype(str),
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC")
            + pd.to_timedelta(rng.random(n) * 300, unit="D").round("h"),
            "amount": np.where(rng.random(n) < 0.1, -3.0, 8.0),
            "category": rng.choice(names, n, p=[0.5, 0.3, 0.08, 0.0, 0.12]),
        }
    )
    return pd.concat([frame, frame.iloc[[0]].assign(category="once", amount=1.0)])


@pytest.fixture(scope="module")
def frame():
    return lines()


def days_of(frame, as_of=AS_OF):
    """Return the purchase days of each customer and category, in whole days before the first day not over."""
    seen = frame[(frame["timestamp"] < as_of) & (frame["amount"] >= 0) & frame["category"].notna()]
    today = (as_of - pd.Timedelta(microseconds=1)).floor("D") + pd.Timedelta(days=1)
    return {
        key: sorted({(day - today).days for day in own.dt.floor("D")})
        for key, own in seen.groupby(["customer_id", "category"])["timestamp"]
    }


def product_limit(closed, still_open):
    """Return the estimate's steps, gap by gap."""
    left, steps, every = 1.0, [], np.array([*closed, *still_open])
    for gap in sorted(set(closed)):
        at_risk = np.count_nonzero(every >= gap)
        left *= 1 - closed.count(gap) / at_risk
        steps.append((gap, 1 - left))
    return steps


def reached(steps, share):
    return next((gap for gap, came in steps if came >= share - 1e-12), np.nan)


@pytest.mark.parametrize("as_of", [AS_OF, AS_OF + pd.Timedelta(hours=13)])
def test_cadence_agrees_with_a_plain_product_limit(frame, as_of):
    found = replenishment(crm_ml.CustomerLog(frame), as_of=as_of)
    days = days_of(frame, as_of)
    assert list(found.index) == ["coffee", "oil", "once", "tea"]
    for category, row in found.iterrows():
        own = [bought for (_, name), bought in days.items() if name == category]
        closed = [int(gap) for bought in own for gap in np.diff(bought)]
        steps = product_limit(closed, [-1 - bought[-1] for bought in own])
        assert row["customers"] == len(own)
        assert row["gaps"] == len(closed)
        assert row["repeat_share"] == pytest.approx(np.mean([len(bought) > 1 for bought in own]))
        assert row["returning_share"] == pytest.approx(steps[-1][1] if steps else 0.0)
        assert [row[name] for name in QUARTILES] == pytest.approx(
            [reached(steps, share) for share in QUARTILES.values()], nan_ok=True
        )
        usual = reached(steps, 0.5 * steps[-1][1]) if steps else np.nan
        assert row["usual_gap_days"] == pytest.approx(usual, nan_ok=True)
    assert found["usual_gap_days"].isna().sum() == 1


def test_quartiles_of_exponential_gaps_are_recovered_under_censoring():
    rng, rows = np.random.default_rng(3), []
    for customer in range(1_500):
        times = np.cumsum(rng.exponential(40.0, 12)) + rng.random()
        rows += [(str(customer), time) for time in [rng.random(), *times] if time < 90]
    frame = pd.DataFrame(rows, columns=["customer_id", "day"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D").dt.round("s")
    log = crm_ml.CustomerLog(frame[["customer_id", "timestamp"]].assign(amount=1.0, category="coffee"))
    found = replenishment(log, as_of="2024-03-31").loc["coffee"]
    closed = frame.groupby("customer_id")["day"].diff().dropna()
    for name, share in QUARTILES.items():
        assert found[name] == pytest.approx(-40.0 * np.log(1 - share), rel=0.06)
        assert closed.quantile(share) < 0.8 * found[name]


def test_due_dates_agree_with_a_plain_mean(frame):
    log = crm_ml.CustomerLog(frame)
    usual = replenishment(log, as_of=AS_OF)["usual_gap_days"]
    found = replenishment_due(log, as_of=AS_OF, prior_gaps=3.0)
    days = days_of(frame)
    assert list(found.index) == sorted(days)
    for (customer, category), row in found.iterrows():
        bought = days[customer, category]
        assert row["last_bought"] == AS_OF + pd.Timedelta(days=bought[-1])
        assert row["purchase_days"] == len(bought)
        if category == "once":
            assert row[["usual_gap_days", "due_on", "overdue_days"]].isna().all()
            continue
        logs = [*np.log(np.diff(bought)), *[np.log(usual[category])] * 3]
        assert row["usual_gap_days"] == pytest.approx(np.exp(np.mean(logs)))
        assert row["due_on"] == row["last_bought"] + pd.Timedelta(days=round(row["usual_gap_days"]))
        assert row["overdue_days"] == (AS_OF - row["due_on"]).days
    assert (found["overdue_days"] > 0).any()
    assert (found["overdue_days"] < 0).any()


def test_neither_the_future_nor_parts_leave_a_trace(frame):
    past = frame[frame["timestamp"] < AS_OF]
    later = pd.concat([frame, past.assign(timestamp=AS_OF, category="new")])
    logs = [crm_ml.CustomerLog(later, n_buckets=5), crm_ml.CustomerLog(past, n_buckets=1)]
    for function in (replenishment, replenishment_due):
        pd.testing.assert_frame_equal(*(function(log, as_of=AS_OF) for log in logs), check_exact=True)
    parts = list(iter_replenishment_due(logs[0], as_of=AS_OF))
    assert len(parts) == 5


def test_what_cannot_be_answered_is_refused(frame):
    with pytest.raises(SchemaError, match="transactions need a column `category`"):
        replenishment(crm_ml.load_sample(), as_of="2017-10-01")
    with pytest.raises(SchemaError, match=r"CustomerLog\(\.\.\., columns=\.\.\.\)"):
        replenishment_due(crm_ml.load_sample(), as_of="2017-10-01")
    log = crm_ml.CustomerLog(frame)
    with pytest.raises(SchemaError, match="must name a category; none does"):
        replenishment(log, as_of="2020-01-01")
    for prior in (0.0, -1.0, np.inf):
        with pytest.raises(SchemaError, match="`prior_gaps` must be above 0"):
            replenishment_due(log, as_of=AS_OF, prior_gaps=prior)


def test_the_display_tells_what_is_not_reached():
    cadence = pd.DataFrame(
        {
            "gap_lower": [7.0, 20.0, np.nan],
            "gap_median": [12.0, np.nan, np.nan],
            "gap_upper": [20.0, np.nan, np.nan],
            "repeat_share": [0.6, 0.3, 0.0],
            "customers": [1200, 3, 1],
        },
        index=["$coffee$", "a category with quite a long name", "rare"],
    )
    ax = CadenceDisplay(cadence).plot().ax_
    assert [text.get_text() for text in ax.texts] == ["12", "fewer than a quarter come back"]
    assert ax.get_yticklabels()[1].get_text() == "a category with quite a lon…\n3 customers, 30% repeat"
    assert [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == ">" and len(line.get_xdata())] == [
        [1]
    ]
    with pytest.raises(SchemaError, match="cadence need a column `gap_upper`"):
        CadenceDisplay(cadence.drop(columns="gap_upper"))
