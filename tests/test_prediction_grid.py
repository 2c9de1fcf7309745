"""Predictions of BG/NBD and MBG/NBD over a grid of 2,688 points and more, against mpmath and lifetimes."""

import csv
import itertools
import warnings

import mpmath as mp
import numpy as np
import prediction_grid as truth
import pytest
from clv_shops import CDNOW
from numpy.testing import assert_allclose
from test_bg_nbd import lifetimes_fitter

from crm_ml.clv.processes import bg_nbd


@pytest.fixture(scope="module")
def table():
    with truth.CSV.open(encoding="utf-8") as file:
        return np.array([[float(cell) for cell in row] for row in list(csv.reader(file))[1:]])


def predicted(points):
    """Score the points of each shop and horizon together, any arithmetic trouble an error."""
    result = np.empty(len(points))
    settings = points[:, [0, 1, 5, 6, 7, 8]]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for setting in np.unique(settings, axis=0):
            rows = np.flatnonzero((settings == setting).all(axis=1))
            t, delta, *params = setting
            named = dict(zip(bg_nbd.NAMES, params, strict=True))
            result[rows] = bg_nbd.expected_purchases(t, *points[rows, 2:5].T, discount_rate=delta, **named)
    return result


def test_the_table_holds_the_whole_grid(table):
    plain, discounted = (np.array(list(points), dtype=float) for points in (truth.grid(), truth.discounted_grid()))
    assert len(plain) == 2688
    assert np.array_equal(table[: len(plain), [0, *range(2, 9)]], plain)
    assert np.array_equal(table[len(plain) :, :-1], discounted)


def test_some_of_the_table_recomputed(table):
    for t, _, x, *rest, expected in table[5:2688:331]:
        assert_allclose(float(truth.expected(t, x, *rest)), expected, rtol=1e-15)
    for *point, expected in table[[2688, 2740, 2800]]:
        assert_allclose(float(truth.discounted(*point)), expected, rtol=1e-15)


def test_expected_purchases_over_the_grid(table):
    plain = table[table[:, 1] == 0.0]
    assert_allclose(predicted(plain), plain[:, -1], rtol=1e-13, atol=0)  # the issue asks for 1e-12


def test_discounted_purchases_over_the_grid(table):
    discounted = table[table[:, 1] > 0.0]
    assert_allclose(predicted(discounted), discounted[:, -1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("params", truth.PARAMETERS[:9:2])
def test_modified_purchases_are_those_of_one_more_chance_to_leave(params):
    r, alpha, a, b = params
    for (x, t_x, T), t in itertools.product([(0, 0.0, 30.0), (1, 10.0, 30.0), (40, 29.0, 30.0)], [0.1, 1e3]):
        with mp.workdps(60):
            here = truth.alive(*map(mp.mpf, (x, t_x, T, *params)), modified=1)
            expected = float(truth.while_alive(t, x, T, r, alpha, a, mp.mpf(b) + 1) * here)
        history = (np.array([float(value)]) for value in (x, t_x, T))
        named = dict(zip(bg_nbd.NAMES, params, strict=True))
        got = bg_nbd.expected_purchases(t, *history, modified=True, **named)
        assert_allclose(got, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("params", "history", "t", "peer"),
    [
        ((0.25, 4.4, 0.3, 0.4), (0, 0.0, 1.0), 30.0, np.nan),
        ((0.25, 4.4, 0.5, 0.5), (0, 0.0, 30.0), 1.0, np.nan),
        ((0.25, 4.4, 1.0, 2.4), (0, 0.0, 1.0), 30.0, -np.inf),
        ((0.25, 4.4, 1.0 + 1e-9, 2.4), (2000, 0.97, 1.0), 1e5, 502.9),
    ],
)
def test_right_where_lifetimes_is_wrong(params, history, t, peer):
    named = dict(zip(bg_nbd.NAMES, params, strict=True))
    columns = [np.array([float(value)]) for value in history]
    assert_allclose(bg_nbd.expected_purchases(t, *columns, **named), float(truth.expected(t, *history, *params)), 1e-13)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wrong = lifetimes_fitter(named).conditional_expected_number_of_purchases_up_to_time(t, *columns)
    assert_allclose(np.asarray(wrong, dtype=float), peer, rtol=1e-4)


def test_the_far_tail_of_counts_is_right_where_lifetimes_is_wrong():
    r, alpha, a, b = (mp.mpf(value) for value in CDNOW.values())
    n, t = 171, mp.mpf(39)

    def log_rise(z):
        return mp.loggamma(z + n) - mp.loggamma(z)

    with mp.workdps(60):
        stay = mp.exp(log_rise(b) - log_rise(a + b))
        paced = mp.exp(log_rise(r) - mp.loggamma(n + 1)) * (alpha / (alpha + t)) ** r * (t / (alpha + t)) ** n
        by_then = mp.betainc(n, r, 0, t / (alpha + t), regularized=True)
        exact = float(stay * paced + stay * a / (b + n - 1) * by_then)
    assert_allclose(bg_nbd.probability_of_count(n, 39.0, **CDNOW), exact, rtol=1e-11)
    assert_allclose(exact, 1.167e-12, rtol=5e-4)
    peer = lifetimes_fitter(CDNOW).probability_of_n_purchases_up_to_time(39.0, n)
    assert_allclose(peer, 4.88e-14, rtol=1e-2)
