"""Who has left in the common futures of Pareto/NBD: the same as by an integral for every customer and future."""

import numpy as np
import pytest
from clv_shops import cdnow_rfm
from scipy.special import expit, logit

from crm_ml.clv import ParetoNBDModel
from crm_ml.clv.likelihood.exponential_dropout import log_odds_left
from crm_ml.clv.processes import pareto_nbd
from crm_ml.clv.uncertainty import departure
from crm_ml.clv.uncertainty.interval import common_futures, parameter_draws

FUTURES = common_futures()


def integrated(x, t_x, T, params):
    left = log_odds_left(x[:, None], t_x[:, None], T[:, None], nodes_per_panel=12, **params)
    return FUTURES.alive < expit(-left)


def expanded(x, t_x, T, params, *, many):
    counts = np.ones((len(x), len(FUTURES.alive)))
    departure.strike_left(counts, x, t_x, T, uniform=FUTURES.alive, many=many, **params)
    return counts == 1.0


def random_case(rng, deviation):
    """Parameters of any size that scatter along any direction, and histories of any kind."""
    logs = np.array([*rng.uniform(np.log(0.02), np.log(8.0), 2), *rng.uniform(-1.0, 5.0, 2)])[[0, 2, 1, 3]]
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    spread = deviation * np.array([1.0, 0.3, 0.15, 0.05]) * np.exp(0.4 * rng.normal(size=4))
    params = dict(zip(pareto_nbd.NAMES, np.exp(logs), strict=True))
    T = np.exp(rng.uniform(0.0, 5.0, 30))
    x = rng.choice([0.0, 0, 0, 1, 1, 2, 4, 9, 30, 200], 30)
    t_x = np.where(x > 0, T * (1.0 - rng.beta(0.5, 1.5, 30)), 0.0)
    return (x, t_x, T), parameter_draws(params, (axes * spread**2) @ axes.T, FUTURES.normals[:4])


@pytest.mark.parametrize(("deviation", "cases"), [(0.02, 3), (0.2, 8), (0.6, 10), (5.0, 6)])
def test_the_expansion_decides_as_the_integral_does(deviation, cases):
    rng, n_near = np.random.default_rng(41), 0
    for case in range(cases):
        history, params = random_case(rng, deviation)
        truth = integrated(*history, params)
        np.testing.assert_array_equal(expanded(*history, params, many=case % 2 == 0), truth)
        odds = log_odds_left(*(column[:, None] for column in history), nodes_per_panel=12, **params)
        n_near += (np.abs(odds + logit(FUTURES.alive)) < deviation**2).sum()
    assert deviation < 0.1 or n_near > 200  # decisions that an expansion of first order gets wrong


def test_a_step_too_long_for_the_expansion_is_integrated(monkeypatch):
    # found by search among steps beyond 1: the error is more than a fifth of what it is measured by
    monkeypatch.setattr(departure, "_WIDTH", 99.0)
    step, middle = np.array([2.4, 0.0, 0.1, 0.2]), np.log([0.456, 0.43, 0.419, 392.0])
    params = dict(zip(pareto_nbd.NAMES, np.exp(middle + np.array([[1], [-1]]) * step).T, strict=True))
    history = [np.array([value]) for value in (0.0, 0.0, 49.87)]
    left = log_odds_left(*history, nodes_per_panel=12, **params)
    counts = np.ones((1, 2))
    departure.strike_left(counts, *history, uniform=expit(0.02 - left), many=False, **params)
    assert counts.tolist() == [[0.0, 0.0]]


def test_of_cdnow_no_customer_is_drawn_otherwise_and_few_integrals_are_left(monkeypatch):
    rfm, integrals = cdnow_rfm().iloc[::6], []

    def counted(x, *rest, **settings):
        integrals.append(len(x))
        return log_odds_left(x, *rest, **settings)

    monkeypatch.setattr(departure, "log_odds_left", counted)
    model = ParetoNBDModel(time_unit="W").fit(cdnow_rfm())
    params = parameter_draws(model.params_, model.log_covariance_, FUTURES.normals[:4])
    history = [rfm[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T")]
    here = pareto_nbd.drawn_purchases(39.0, *history, futures=FUTURES, **params)
    n_integrals = sum(integrals)
    monkeypatch.setattr(departure, "_THIRD_ORDER", np.inf)
    np.testing.assert_array_equal(here, pareto_nbd.drawn_purchases(39.0, *history, futures=FUTURES, **params))
    assert n_integrals < 4 * len(rfm)
    assert sum(integrals) > 10 * n_integrals


def test_parameters_known_exactly_and_without_any_silence():
    params = {name: np.full(512, value) for name, value in {"r": 0.6, "alpha": 6.0, "s": 0.6, "beta": 11.7}.items()}
    history = [np.array(column) for column in ([0.0, 3.0, 2.0], [0.0, 9.0, 4.0], [0.0, 9.0, 12.0])]
    here = expanded(*history, params, many=True)
    assert here[:2].all()
    np.testing.assert_array_equal(here, integrated(*history, params))
