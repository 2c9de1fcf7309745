"""What every purchase process must do, on whichever processes the package has."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal

from crm_ml.clv import processes
from crm_ml.errors import CrmError, NotFittedError

MODELS = [getattr(processes, name) for name in processes.__all__]
HORIZON = 6
COUNTS = np.arange(300)


def shop():
    """Customers on a whole-numbered clock, so that processes of any clock can read them."""
    rng = np.random.default_rng(11)
    rows = []
    for _ in range(600):
        pace, leave, age = rng.beta(0.7, 1.3), rng.beta(0.8, 5.0), int(rng.integers(4, 25))
        bought, gap = [0], 0
        for now in range(1, age + 1):
            gap += 1
            if rng.random() < leave:
                break
            if rng.random() < pace * min(gap, 3) / 2:  # a little more regular than chance
                bought, gap = [*bought, now], 0
        rows.append((len(bought) - 1, bought[-1], age, np.log(np.diff(bought)).sum()))
    frame = pd.DataFrame(rows, columns=["frequency", "recency", "T", "sum_log_gaps"])
    return frame.assign(n_opportunities=frame["T"]).set_index(pd.Index([f"c{i}" for i in range(len(frame))]))


def made(model):
    return model(k=3) if "k" in model().get_params() else model()


def discrete(model):
    return model.time_unit_ == "opportunity"


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.__name__)
def model(request):
    return made(request.param).fit(shop())


@pytest.fixture
def some():
    return shop().drop_duplicates().iloc[:40]


def bought(model, row, horizon):
    return 1.0 - model.probability_no_purchase(row, horizon).iloc[0]


def every_prediction(model, rfm):
    return pd.DataFrame(
        {
            "alive": model.probability_alive(rfm, further_silence=2),
            "likelihood": model.log_likelihood(rfm),
            "nothing": model.probability_no_purchase(rfm, HORIZON),
            "three": model.probability_of_purchases(rfm, 3, HORIZON),
            "expected": model.expected_purchases(rfm, HORIZON),
            "median": model.time_to_next_purchase(rfm),
            "wait": model.expected_time_to_next_purchase(rfm),
            "residual": model.discounted_residual_purchases(rfm, discount_rate=0.1),
        }
    )


def test_all_six_processes_are_here():
    assert len(MODELS) == 6


def test_counts_are_a_distribution_with_the_right_beginning_and_mean(model, some):
    probability = model.probability_of_purchases(some, COUNTS, HORIZON)
    assert probability.index.equals(some.index)
    assert probability.columns.tolist() == COUNTS.tolist()
    values = probability.to_numpy()
    assert ((values >= 0) & (values <= 1)).all()
    assert_allclose(values.sum(axis=1), 1.0, atol=1e-12)
    assert_allclose(values[:, 0], model.probability_no_purchase(some, HORIZON), atol=1e-12, rtol=0)
    assert_allclose(values @ COUNTS, model.expected_purchases(some, HORIZON), rtol=1e-11)
    one = model.probability_of_purchases(some, 3, HORIZON)
    assert_series_equal(one, probability[3], check_names=False)


def test_counts_of_a_new_customer_are_a_distribution_with_the_right_mean(model):
    values = model.probability_of_purchases_new_customer(COUNTS, HORIZON)
    assert_allclose(values.sum(), 1.0, atol=1e-12)
    assert_allclose(values @ COUNTS, model.expected_purchases_new_customer(HORIZON), rtol=1e-11)
    assert model.probability_of_purchases_new_customer([0, 1], 0).tolist() == [1.0, 0.0]
    both = model.probability_of_purchases_new_customer([[0], [1]], [3, HORIZON])
    assert_allclose(both[:, 1], values[:2], rtol=1e-13)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_the_time_to_the_next_purchase_inverts_the_probability_of_one(model, some, probability):
    times = model.time_to_next_purchase(some, probability=probability)
    assert (times > 0).all()
    for name, time in times.items():
        row = some.loc[[name]]
        if np.isinf(time):
            assert bought(model, row, 10_000) < probability
        elif discrete(model):
            assert bought(model, row, time) >= probability
            assert time == 1 or bought(model, row, time - 1) < probability
        else:
            assert_allclose(bought(model, row, time), probability, rtol=1e-10)


def test_later_is_likelier_and_more(model, some):
    horizons = [1, 2, 5, 20, 100]
    nothing = np.array([model.probability_no_purchase(some, h) for h in horizons])
    expected = np.array([model.expected_purchases(some, h) for h in horizons])
    assert (np.diff(nothing, axis=0) < 0).all()
    assert (np.diff(expected, axis=0) > 0).all()
    early, late = (model.time_to_next_purchase(some, probability=p) for p in (0.1, 0.4))
    assert ((early <= late) & ((early < late) | np.isinf(late) | discrete(model))).all()
    alive = np.array([model.probability_alive(some, further_silence=h) for h in horizons])
    assert (np.diff(alive, axis=0) <= 0).all()


def test_a_mean_wait_is_finite_for_those_who_buy_often(model, some):
    waits = model.expected_time_to_next_purchase(some)
    assert (waits > 0).all()
    assert np.isfinite(waits[some["frequency"] > 1]).all()


def test_discounted_residual_purchases_are_the_limit_of_a_long_horizon(model, some):
    forever = model.discounted_residual_purchases(some, discount_rate=0.5)
    within = [model.expected_purchases(some, h, discount_rate=0.5) for h in (1, 5, 70)]
    assert ((within[0] < within[1]) & (within[1] < forever)).all()
    assert_allclose(forever, within[2], rtol=1e-6)
    more = model.discounted_residual_purchases(some, discount_rate=0.01)
    assert (more > forever).all()


def test_predictions_depend_on_no_other_customer_and_on_no_order(model, some):
    whole = every_prediction(model, some)
    assert whole.index.equals(some.index)
    assert_frame_equal(every_prediction(model, some.iloc[[7]]), whole.iloc[[7]], rtol=1e-13)
    assert_frame_equal(every_prediction(model, some.iloc[::-1]), whole.iloc[::-1], rtol=1e-13)
    twice = every_prediction(model, pd.concat([some, some.iloc[:3]]))
    assert_array_equal(twice.iloc[:3], twice.iloc[-3:])


def test_an_empty_frame_has_empty_predictions(model, some):
    assert every_prediction(model, some.iloc[:0]).shape == (0, 8)
    assert model.probability_of_purchases(some.iloc[:0], [0, 1], HORIZON).shape == (0, 2)


def test_simulated_customers_are_those_of_the_process(model):
    n = 100_000
    age, horizon = np.full(n, 12), 9
    simulated = model.simulate(age, rng=np.random.default_rng(5), horizon=horizon)
    assert len(simulated) == n
    counts = np.arange(12)
    expected = model.probability_of_purchases_new_customer(counts, 12)
    seen = np.bincount(simulated["frequency"].astype(int), minlength=12)[:12] / n
    assert_shares(seen, expected, n)
    x = simulated["frequency"]
    for group in (x == 0, x == 1, (x > 1) & (x < 5), x >= 5):
        rows = simulated[group]
        ahead = rows["purchases_ahead"]
        excess = ahead - model.expected_purchases(rows, horizon)
        assert abs(excess.mean()) < 4.5 * excess.std() / np.sqrt(len(rows))
        quiet = model.probability_no_purchase(rows, horizon).mean()
        assert_shares(np.array([(ahead == 0).mean()]), np.array([quiet]), len(rows))


def assert_shares(seen, expected, n):
    assert (np.abs(seen - expected) < 4.5 * np.sqrt(expected * (1.0 - expected) / n)).all()


def test_simulated_shops_lead_back_to_the_parameters(model):
    ages = np.random.default_rng(8).integers(5, 40, 20_000)
    simulated = model.simulate(ages, rng=np.random.default_rng(9))
    again = made(type(model)).fit(simulated)
    off = {name: np.log(again.params_[name] / value) for name, value in model.params_.items()}
    spread = dict(zip(again.params_, np.sqrt(np.diag(again.log_covariance_)), strict=True))
    assert all(abs(off[name]) < 4.0 * spread[name] for name in off), (off, spread)
    bounds = again.parameter_intervals(level=0.9999)
    assert all(bounds.loc[name, "lower"] < value < bounds.loc[name, "upper"] for name, value in model.params_.items())


def test_simulation_is_repeatable_and_says_nothing_of_a_future_not_asked_for(model):
    first, second = (model.simulate([3, 9, 20], rng=np.random.default_rng(2)) for _ in range(2))
    assert_frame_equal(first, second)
    assert "purchases_ahead" not in first
    assert len(model.simulate([], rng=np.random.default_rng(2))) == 0


def test_log_likelihoods_add_up_to_that_of_the_fit(model):
    assert_allclose(model.log_likelihood(shop()).sum(), model.log_likelihood_, rtol=1e-12)


def test_parameter_intervals_lie_around_the_estimates_and_widen(model):
    narrow, wide = model.parameter_intervals(level=0.5), model.parameter_intervals(level=0.99)
    values = pd.Series(model.params_)
    assert narrow.index.tolist() == list(model.params_)
    assert (wide["lower"] > 0).all()
    assert ((wide["lower"] < narrow["lower"]) & (narrow["lower"] < values)).all()
    assert ((values < narrow["upper"]) & (narrow["upper"] < wide["upper"])).all()
    assert_allclose(np.sqrt(wide["lower"] * wide["upper"]), values, rtol=1e-12)
    # 90 %: 1.6448536 standard deviations to either side
    spread = np.sqrt(np.diag(model.log_covariance_))
    assert_allclose(np.log(model.parameter_intervals()["upper"] / values), 1.6448536269514722 * spread, rtol=1e-9)


def test_what_cannot_be_asked_is_refused(model, some):
    rng = np.random.default_rng(1)
    for call, message in [
        (lambda: model.probability_of_purchases(some, 0.5, HORIZON), "`n` must be a whole number of purchases"),
        (lambda: model.probability_of_purchases(some, [0, -1], HORIZON), "`n` must be a whole number of purchases"),
        (lambda: model.probability_of_purchases(some, 0, 0), "`horizon` must be"),
        (lambda: model.probability_of_purchases_new_customer(-1, HORIZON), "`n` must be a whole number of purchases"),
        (lambda: model.probability_of_purchases_new_customer(0, -1), "`t` must be"),
        (lambda: model.expected_purchases_new_customer(-1), "`t` must be"),
        (lambda: model.probability_alive(some, further_silence=-1), "`further_silence` must be"),
        (lambda: model.time_to_next_purchase(some, probability=1.0), "`probability` must be between 0 and 1"),
        (lambda: model.time_to_next_purchase(some, probability=0.0), "`probability` must be between 0 and 1"),
        (lambda: model.discounted_residual_purchases(some, discount_rate=0.0), "`discount_rate` must be positive"),
        (lambda: model.simulate([-1], rng=rng), "`T` must be"),
        (lambda: model.simulate([1], rng=rng, horizon=0), "`horizon` must be"),
        (lambda: model.parameter_intervals(level=1.0), "`level` must be between 0 and 1"),
    ]:
        with pytest.raises(CrmError, match=message):
            call()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_is_told_before_a_fit(model, some):
    unfitted = made(model)
    for call in (
        lambda: unfitted.log_likelihood(some),
        lambda: unfitted.probability_of_purchases(some, 0, HORIZON),
        lambda: unfitted.probability_of_purchases_new_customer(0, HORIZON),
        lambda: unfitted.time_to_next_purchase(some),
        lambda: unfitted.expected_time_to_next_purchase(some),
        lambda: unfitted.discounted_residual_purchases(some, discount_rate=0.1),
        lambda: unfitted.simulate([1], rng=np.random.default_rng(1)),
        lambda: unfitted.parameter_intervals(),
    ):
        with pytest.raises(NotFittedError, match="must be fitted before it predicts"):
            call()
