"""When customers buy next: the mathematics against brute force, the dates out of time, and nothing from the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, gamma, norm
from statsmodels.duration.survfunc import SurvfuncRight

import crm_ml
from crm_ml.clv import BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel
from crm_ml.decisions.timing.blend import Blend, Trial, group_of
from crm_ml.decisions.timing.coverage import (
    coverage_curve,
    interval_coverage,
    outcome_curve,
    purchase_outcomes,
    settled_coverage,
)
from crm_ml.decisions.timing.expectation import Expectation
from crm_ml.decisions.timing.gaps import GapStatistics, OwnGaps, fit_own_gaps
from crm_ml.decisions.timing.histories import histories, last_day, next_purchase_days
from crm_ml.decisions.timing.interval import day_interval
from crm_ml.decisions.timing.model import NextPurchaseModel
from crm_ml.decisions.timing.silences import EVER_DAYS, GRID, Waits, gap_hazard, process_hazard
from crm_ml.errors import ConvergenceError, CrmError, NotFittedError, SchemaError
from crm_ml.plots.customers.timing import CoverageDisplay, NextPurchaseDisplay

AS_OF, UNTIL = "2017-07-01", "2017-10-01"
DATES = ["next_purchase_lower", "next_purchase_median", "next_purchase_upper"]


@pytest.fixture(scope="module")
def sample():
    return crm_ml.load_sample()


@pytest.fixture(scope="module")
def model(sample):
    return NextPurchaseModel(process="ModifiedBetaGeo").fit(sample, as_of=AS_OF)


@pytest.fixture(scope="module")
def shop():
    return crm_ml.simulate(3_000, days=700, seed=3, n_campaigns=0, regularity=3.0, return_share=0.05)


def by_quadrature(own: OwnGaps, gaps: list[float], silence: float) -> tuple[float, float]:
    """Integrate over mu, 1 / v and p on a grid; give the survival of a silence and the whole log likelihood."""
    precision = gamma(own.shape, scale=1.0 / own.rate)
    grid = precision.ppf((np.arange(600) + 0.5) / 600)[:, None]
    sd = 1.0 / np.sqrt(grid)
    z = norm.ppf((np.arange(601) + 0.5) / 601)[None, :]
    mu = own.mean + sd / np.sqrt(own.weight) * z
    density = np.prod([norm.pdf(np.log(gap), mu, sd) for gap in gaps], axis=0) if gaps else np.ones_like(mu)
    longer = (density * norm.sf(np.log(silence + 0.5), mu, sd)).mean() / density.mean()
    p = beta(own.a, own.b).ppf((np.arange(20_000) + 0.5) / 20_000)
    stayed = (1.0 - p) ** len(gaps)
    left = (stayed * p).mean() / stayed.mean()
    survival = left + (1.0 - left) * longer
    return survival, float(np.log(density.mean() * stayed.mean() * survival))


@pytest.mark.parametrize("gaps", [[], [9.0], [5.0, 8.0, 30.0]])
def test_own_gaps_agree_with_integration_over_their_parameters(gaps):
    own = OwnGaps(mean=2.0, weight=1.5, shape=3.0, rate=2.0, a=1.5, b=6.0)
    logs = np.log(gaps) if gaps else np.zeros(1)
    known = GapStatistics(*(np.array([v]) for v in (len(gaps), logs.mean(), ((logs - logs.mean()) ** 2).sum(), 12.0)))
    survival, likelihood = by_quadrature(own, gaps, 12.0)
    assert own.survival(known, np.array([[12.0]]))[0, 0] == pytest.approx(survival, abs=2e-3)
    assert own.log_likelihood(known)[0] == pytest.approx(likelihood, abs=5e-3)


def test_the_shops_distribution_of_gaps_is_recovered():
    rng, n, days = np.random.default_rng(5), 2_000, 600
    sd = 1.0 / np.sqrt(rng.gamma(6.0, 1.0 / 2.0, n))
    mu, leave = rng.normal(2.5, sd / np.sqrt(0.8)), rng.beta(1.0, 9.0, n)
    rows = []
    for customer in range(n):
        day, logs = 0, []
        while rng.random() > leave[customer]:
            gap = max(round(np.exp(rng.normal(mu[customer], sd[customer]))), 1)
            if day + gap > days:
                break
            day, logs = day + gap, [*logs, np.log(gap)]
        mean = np.mean(logs) if logs else 0.0
        rows.append((len(logs), mean, np.sum((np.array(logs) - mean) ** 2), days - day))
    own = fit_own_gaps(GapStatistics(*np.array(rows, dtype=float).T))
    assert own.mean == pytest.approx(2.5, abs=0.06)
    assert own.a / (own.a + own.b) == pytest.approx(0.1, abs=0.015)
    assert own.rate / (own.shape - 1.0) == pytest.approx(2.0 / 5.0, rel=0.1)
    assert own.weight == pytest.approx(0.8, rel=0.15)


def test_gaps_need_somebody_who_came_back():
    with pytest.raises(ConvergenceError, match="Somebody must have bought on two days; none of 3"):
        fit_own_gaps(GapStatistics(*np.zeros((4, 3))))


@pytest.mark.parametrize("process", [BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel])
def test_the_process_is_tabulated_as_it_is(sample, process):
    known = histories(sample, as_of=AS_OF)
    fitted = process().fit(known.iloc[:300])
    some = known.iloc[:15]
    ahead, behind = process_hazard(fitted, some)
    np.testing.assert_allclose(
        np.exp(-ahead[:, 9]), fitted.probability_no_purchase(some, float(GRID[9])).to_numpy(), rtol=1e-9
    )
    then = some.assign(T=some["recency"])
    for row in range(len(some)):
        silence = float(some["T"].iloc[row] - some["recency"].iloc[row])
        expected = fitted.probability_no_purchase(then.iloc[[row]], silence).item() if silence else 1.0
        assert np.exp(-behind[row]) == pytest.approx(expected, rel=1e-6)
    reached = fitted.time_to_next_purchase(some, probability=0.3).to_numpy()
    within = reached < EVER_DAYS
    np.testing.assert_allclose(Waits(ahead).day(np.full(15, 0.3))[within], reached[within], rtol=5e-3)


def test_own_gaps_look_ahead_of_the_silence(sample, model):
    known = histories(sample, as_of=AS_OF).iloc[:5]
    ahead, behind = gap_hazard(model.own_gaps_, known)
    x, spread = known["frequency"].to_numpy(), known["gap_spread"].to_numpy()
    statistics = GapStatistics(
        x, known["sum_log_gaps"].to_numpy() / x, spread**2 * (x + 1), (known["T"] - known["recency"]).to_numpy()
    )
    silence = statistics.silence[:, None]
    then = model.own_gaps_.survival(statistics, np.hstack([silence, silence + 7.0]))
    np.testing.assert_allclose(np.exp(-behind), then[:, 0], rtol=1e-12)
    week = int(np.flatnonzero(GRID == 7.0)[0])
    np.testing.assert_allclose(np.exp(-ahead[:, week]), then[:, 1] / then[:, 0], rtol=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_agree_with_a_search_day_by_day(level):
    mean, ever = np.array([1.2, 4.0, 30.0, 30.0, 30.0, 400.0]), np.array([0.9999, 0.97, 0.999, 0.85, 0.15, 0.6])
    expected = Expectation(Waits(-np.log1p(-ever[:, None] * -np.expm1(-GRID / mean[:, None]))), np.zeros(6))
    lower, upper = day_interval(expected, level=level)
    for row, reached in enumerate(np.stack([expected.probability(day) for day in range(EVER_DAYS + 1)], axis=1)):
        first = next((day for day in range(1, EVER_DAYS + 1) if reached[day] >= (1 - level) / 2), np.inf)
        below = reached[int(first) - 1] if np.isfinite(first) else 1.0
        last = next((day for day in range(1, EVER_DAYS + 1) if reached[day] >= below + level), np.inf)
        if np.isinf(last):
            first = next((day for day in range(1, EVER_DAYS + 1) if reached[day] >= 1 - level), np.inf)
        assert (lower[row], upper[row]) == (first, last)


def test_dates_say_what_their_documentation_says(sample, model):
    found = model.predict(sample, as_of="2017-11-01")
    now = pd.Timestamp("2017-11-01", tz="UTC")
    lower, median, upper = (found[name] for name in DATES)
    assert list(found.index) == sorted(found.index)
    assert (found[DATES].min() >= now).all()
    assert (found["contact_on"].dropna() >= now).all()
    assert ((lower <= upper) | upper.isna()).all()
    assert (median.isna() == (found["return_probability"] < 0.5)).all()
    assert (found["contact_on"].isna() == lower.isna()).all()
    assert (found.loc[found["overdue"] & lower.notna(), "contact_on"] == now).all()
    sure = found[~found["overdue"] & (found["return_probability"] > 0.999) & (median > now + pd.Timedelta(days=1))]
    assert len(sure) > 100
    assert ((sure["next_purchase_median"] - sure["contact_on"]) == pd.Timedelta(days=1)).mean() > 0.95
    silent = found["silence_days"] / found["usual_gap_days"]
    assert silent[found["overdue"]].median() > 4 * silent[~found["overdue"]].median()


def test_overdue_is_a_silence_beyond_what_was_expected_at_the_last_purchase(sample, model):
    known = histories(sample, as_of=AS_OF).iloc[:200]
    alone = NextPurchaseModel()
    alone.process_, alone.own_gaps_ = model.process_, model.own_gaps_
    alone._blend = Blend(np.zeros(3), model.weights_)
    found = alone.expectation(known).passed_share
    then = known.assign(T=known["recency"])
    for row in range(0, 200, 20):
        silence = float(known["T"].iloc[row] - known["recency"].iloc[row])
        if not silence:
            assert found[row] == 0.0
            continue
        by_now, ever = (
            1 - model.process_.probability_no_purchase(then.iloc[[row]], d).item()
            for d in (silence, silence + EVER_DAYS)
        )
        assert found[row] == pytest.approx(by_now / ever, rel=1e-6)


@pytest.mark.parametrize("as_of", ["2017-07-01", "2017-07-01T14:00"])
def test_waits_agree_with_a_plain_search(as_of):
    rng = np.random.default_rng(2)
    times = pd.Timestamp("2017-06-20", tz="UTC") + pd.to_timedelta(rng.random(400) * 20, unit="D").round("h")
    orders = pd.DataFrame({"customer_id": rng.integers(0, 60, 400).astype(str), "timestamp": times})
    orders["amount"] = np.where(rng.random(400) < 0.2, -1.0, 5.0)
    until = pd.Timestamp("2017-07-06", tz="UTC")
    found = next_purchase_days(crm_ml.CustomerLog(orders), as_of=as_of, until=until)
    now, bought = pd.Timestamp(as_of, tz="UTC"), orders[orders["amount"] >= 0]
    today = (now - pd.Timedelta(microseconds=1)).floor("D")
    expected = {}
    for customer, own in bought.groupby("customer_id"):
        if (own["timestamp"] < now).any():
            later = own.loc[(own["timestamp"].dt.floor("D") > today) & (own["timestamp"] < until), "timestamp"]
            expected[customer] = (later.min().floor("D") - today).days if len(later) else np.nan
    pd.testing.assert_series_equal(found, pd.Series(expected).sort_index().astype(float), check_names=False)
    assert found.isna().any()


@pytest.mark.parametrize(("as_of", "until"), [(AS_OF, UNTIL), ("2017-09-01", "2018-01-01")])
def test_the_interval_covers_the_sample_out_of_time(sample, model, as_of, until):
    outcomes = purchase_outcomes(model, sample, as_of=as_of, until=until)
    found = interval_coverage(outcomes)
    assert found["settled_share"] > 0.8
    assert 0.75 <= found["covered"] <= 0.85
    assert 0.75 <= found["coverage"] <= 0.85
    curve = coverage_curve(outcomes)
    assert np.abs(curve["coverage"] - curve.index).max() < 0.06


def test_the_interval_covers_regular_buyers_of_whom_most_leave(shop):
    log = crm_ml.CustomerLog(shop.transactions)
    model = NextPurchaseModel(process="ModifiedBetaGeo").fit(log, as_of="2025-05-01")
    outcomes = purchase_outcomes(model, log, as_of="2025-05-01", until="2025-11-30")
    found = interval_coverage(outcomes)
    assert found["without_interval"] > 0.3
    assert 0.75 <= found["covered"] <= 0.85
    gone = shop.customers["left_at"].notna() & (shop.customers["left_at"] < pd.Timestamp("2025-05-01", tz="UTC"))
    without = np.isinf(outcomes["lower_day"])
    assert gone.reindex(outcomes.index)[without].mean() > 0.9


def test_neither_the_future_nor_parts_and_threads_leave_a_trace(shop):
    now, whole = pd.Timestamp("2025-03-01", tz="UTC"), shop.transactions.iloc[:10_000]
    past = whole[whole["timestamp"] < now]
    models, frames = [], []
    for transactions, n_buckets, threads in ((whole, 1, 1), (past, 7, 2)):
        log = crm_ml.CustomerLog(transactions, n_buckets=n_buckets, threads=threads)
        models.append(NextPurchaseModel(process="ModifiedBetaGeo").fit(log, as_of=now))
        frames.append(models[-1].predict(log, as_of=now))
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    pd.testing.assert_frame_equal(*(model.weights_ for model in models), check_exact=True)


def test_the_better_of_two_predictions_gets_the_weight():
    flat, sharp = np.full(50, 0.01), np.full(50, 0.4)
    none, bought = np.zeros(50), np.ones(50, dtype=bool)
    group = np.repeat([0, 1], 25)
    at = np.stack([np.where(group == 0, sharp, flat), np.where(group == 0, flat, sharp)])
    blend = Blend.learn([Trial(np.stack([none, none]), at, bought, group)])
    assert blend.shares.tolist() == [0.0, 1.0, 0.5]
    assert blend.table["log_score"].iloc[:2].to_numpy() == pytest.approx(np.log(0.4))
    assert blend.table["process_log_score"].iloc[1] == pytest.approx(np.log(0.01))
    late = Blend.learn([Trial(np.stack([none, none]), np.stack([sharp, flat]), ~bought, group)])
    assert late.shares.tolist() == [1.0, 1.0, 0.5]


def test_a_trial_looks_up_what_was_expected_of_the_day(sample, model):
    known = histories(sample, as_of=AS_OF).iloc[:3]
    trial = Trial.of(model.process_, model.own_gaps_, known, np.array([4.0, 1.0, np.nan]), until=14)
    silent = [model.process_.probability_no_purchase(known, float(day)).to_numpy() for day in (3, 4, 1, 14)]
    assert trial.before[0, 0] == pytest.approx(1 - silent[0][0])
    up_to = trial.at
    assert up_to[0] == pytest.approx([1 - silent[1][0], 1 - silent[2][1], 1 - silent[3][2]], rel=0.01)
    assert trial.before[0, 1] == 0.0
    assert group_of(np.array([0, 1, 4, 5, 90])).tolist() == [0, 1, 1, 2, 2]


def test_a_short_history_counts_both_for_half():
    shop = crm_ml.simulate(300, days=60, seed=1, n_campaigns=0, purchase_scale_days=10.0)
    log = crm_ml.CustomerLog(shop.transactions)
    fitted = NextPurchaseModel(process="BetaGeo").fit(log, as_of="2024-02-20")
    assert fitted.weights_["own_gaps_share"].tolist() == [0.5, 0.5, 0.5]
    assert fitted.weights_["customers"].sum() == 0
    assert fitted.predict(log, as_of="2024-02-20")["purchase_probability"].between(0, 1).all()


def test_the_curve_of_outcomes_is_kaplan_and_meiers():
    rng = np.random.default_rng(1)
    place, bought = rng.beta(2.0, 1.0, 300), rng.random(300) < 0.6
    found = SurvfuncRight(place, bought)
    curve = outcome_curve(place, place, bought)
    np.testing.assert_allclose(curve(found.surv_times), 1 - found.surv_prob, atol=1e-12)
    last = place[bought].max()
    assert curve(np.array([last + (1 - last) / 2]))[0] == pytest.approx(1 - found.surv_prob[-1] / 2)


def test_right_distributions_in_whole_days_give_the_diagonal():
    rng = np.random.default_rng(4)
    hazard, followed = rng.uniform(0.02, 0.5, 20_000), 20
    waited = rng.geometric(hazard)
    bought = waited <= followed
    day = np.where(bought, waited, followed)
    before = np.where(bought, 1 - (1 - hazard) ** (day - 1), 0.0)
    curve = outcome_curve(before, 1 - (1 - hazard) ** day, bought)
    levels = np.linspace(0.05, 0.95, 19)
    assert np.abs(curve(levels) - levels).max() < 0.015


def test_settled_intervals_are_those_certain_to_be_known():
    rng = np.random.default_rng(6)
    lower = rng.integers(1, 20, 500).astype(float)
    upper = np.where(rng.random(500) < 0.3, np.inf, lower + rng.integers(0, 20, 500))
    lower, upper = (np.where(rng.random(500) < 0.1, np.inf, ends) for ends in (lower, upper))
    upper = np.where(np.isinf(lower), np.inf, upper)
    waited, followed = rng.geometric(0.08, 500).astype(float), 15.0
    waited[waited > followed] = np.nan
    counted = {"covered": 0, "too_early": 0, "too_late": 0}
    for low, high, wait in zip(lower, upper, waited, strict=True):
        if (high <= followed) or (np.isinf(high) and low <= followed + 1):
            early, late = wait < low, not wait <= high and np.isfinite(high)
            counted["too_early" if early else "too_late" if late else "covered"] += 1
    found = settled_coverage(lower, upper, waited, np.full(500, followed))
    total = sum(counted.values())
    assert found["settled_share"] == total / 500
    assert {name: found[name] for name in counted} == {name: n / total for name, n in counted.items()}


def test_what_cannot_be_asked_is_refused(sample, model):
    with pytest.raises(NotFittedError, match="NextPurchaseModel must be fitted"):
        NextPurchaseModel().predict(sample, as_of=AS_OF)
    with pytest.raises(CrmError, match=r"`level` must be between 0 and 1; got 1\.0"):
        model.predict(sample, as_of=AS_OF, level=1.0)
    for days in (0, EVER_DAYS + 1):
        with pytest.raises(CrmError, match="`horizon_days` must be from 1 to 3650 days"):
            model.predict(sample, as_of=AS_OF, horizon_days=days)
    assert (model.predict(sample, as_of=AS_OF, horizon_days=EVER_DAYS)["purchase_probability"] > 0).all()
    for until in (AS_OF, "2018-03-01"):
        with pytest.raises(SchemaError, match="`until` must lie after `as_of`"):
            purchase_outcomes(model, sample, as_of=AS_OF, until=until)
    with pytest.raises(SchemaError, match="Features need a purchase before"):
        NextPurchaseModel().fit(sample, as_of="2010-01-01")


def test_the_last_day_is_over():
    assert last_day("1970-01-02") == 0
    assert last_day("1970-01-02T00:00:01") == 1


def test_displays_draw_what_they_are_given(sample, model):
    expected = model.predict(sample, as_of=AS_OF).iloc[:4]
    expected.loc[expected.index[1], DATES] = pd.NaT
    expected.loc[expected.index[2], DATES[2]] = pd.NaT
    bought = pd.DataFrame(
        {"customer_id": [expected.index[0]] * 3, "timestamp": ["2017-06-01", "2017-06-20", "2017-07-05"]}
    )
    drawn = NextPurchaseDisplay(expected, bought, as_of=AS_OF).plot()
    ticks = [line for line in drawn.ax_.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in ticks] == [2]
    assert [note.get_text() for note in drawn.ax_.texts] == ["none expected"]
    arrows = [line for line in drawn.ax_.lines if line.get_marker() == ">" and len(line.get_xdata())]
    assert 2 in [line.get_ydata()[0] for line in arrows]
    outcomes = purchase_outcomes(model, sample, as_of=AS_OF, until=UNTIL)
    curve = CoverageDisplay.from_outcomes(outcomes).plot().ax_.lines[1]
    np.testing.assert_allclose(curve.get_ydata(), coverage_curve(outcomes)["coverage"])
    with pytest.raises(SchemaError, match="coverage need a column `below`"):
        CoverageDisplay(pd.DataFrame({"coverage": [1.0]}))
    with pytest.raises(SchemaError, match="purchases need a column `customer_id`"):
        NextPurchaseDisplay(expected, bought[["timestamp"]], as_of=AS_OF)
