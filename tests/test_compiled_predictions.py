"""Compiled loops and arrays give the same to the last bit, so that no value depends on the size of the batch."""

import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_rfm
from numpy.testing import assert_allclose

import crm_ml.compiled
from crm_ml.clv.compiled import compiler, histories, loops
from crm_ml.clv.compiled.compiler import plain
from crm_ml.clv.compiled.elementary import exp_minus, log1p, octave, polynomial
from crm_ml.clv.compiled.searching import arrivals_by, select
from crm_ml.clv.processes import bg_nbd, future_table
from crm_ml.clv.uncertainty import interval


@pytest.fixture
def compiling(monkeypatch):
    """Have even one customer scored by the compiled loops."""

    def compile_from(n):
        for module in (future_table, histories):
            monkeypatch.setattr(module, "MANY_ROWS", n)
        for module in (interval, bg_nbd):
            monkeypatch.setattr(module, "MANY_CUSTOMERS", n)

    return compile_from


def histories_of(rfm):
    return [rfm[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T")]


ODD = np.array(  # x, t_x, T: the ends of what a history can be, and beyond a block of counts
    [
        *[(0, 0, 0), (0, 0, 1e-6), (0, 0, 1e6), (1, 1e-6, 40), (1, 40, 40), (31, 9, 40), (32, 39, 40), (33, 40, 40)],
        *[(200, 38, 40), (1000, 1e3, 1e3), (1001, 1, 1e3), (10_000, 1, 40), (10_000, 40, 40), (64, 63.5, 64)],
    ],
    dtype=float,
)
SHOPS = [CDNOW, {"r": 3.0, "alpha": 200.0, "a": 1.0, "b": 0.01}, {"r": 0.02, "alpha": 1e-3, "a": 40.0, "b": 0.2}]


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("params", SHOPS)
def test_compiled_and_array_predictions_are_the_same_to_the_last_bit(compiling, params, modified):
    rfm = cdnow_rfm().iloc[::3]
    columns = [np.concatenate(pair) for pair in zip(histories_of(rfm), ODD.T, strict=True)]

    def everything(rows):
        some = [column[rows] for column in columns]
        settings = {**params, "modified": modified}
        return np.array(
            [
                bg_nbd.expected_purchases(39.0, *some, **settings),
                bg_nbd.expected_purchases(364.0, *some, discount_rate=0.002, **settings),
                bg_nbd.probability_alive(*some, **settings),
                bg_nbd.probability_no_purchase(13.0, *some, **settings),
            ]
        )

    n = len(columns[0])
    by_arrays = everything(np.arange(n))
    compiling(1)
    assert np.array_equal(everything(np.arange(n)), by_arrays)
    backwards = np.arange(n)[::-5]
    assert np.array_equal(everything(backwards), by_arrays[:, backwards])
    compiling(n + 1)
    assert np.array_equal(everything(backwards), by_arrays[:, backwards])
    for i in (0, 5, n - 1, n - 4):
        assert np.array_equal(everything([i]), by_arrays[:, [i]])


def test_the_threshold_is_crossed_without_a_trace():
    columns = [np.tile(column, 64) for column in histories_of(cdnow_rfm())]
    many = len(columns[0])
    assert many >= compiler.MANY_ROWS
    few = [column[: many // 64] for column in columns]
    apart, together = (bg_nbd.expected_purchases(39.0, *each, **CDNOW) for each in (few, columns))
    assert np.array_equal(together, np.tile(apart, 64))


def test_frames_of_any_layout_and_huge_counts_are_scored(compiling):
    columns = histories_of(cdnow_rfm())
    expected = bg_nbd.expected_purchases(39.0, *columns, **CDNOW)
    compiling(1)
    strided = np.column_stack(columns)
    assert np.array_equal(bg_nbd.expected_purchases(39.0, *strided.T, **CDNOW), expected)
    huge = [np.append(column, value) for column, value in zip(columns, (3e6, 38.0, 39.0), strict=True)]
    assert np.array_equal(bg_nbd.expected_purchases(39.0, *huge, **CDNOW)[:-1], expected)


def test_elementary_functions_agree_with_40_digits():
    rng = np.random.default_rng(3)
    y, z = 10.0 ** rng.uniform(-300, 300, 3000), 10.0 ** rng.uniform(-20, 2.84, 3000)
    y[:1000] = 10.0 ** rng.uniform(-3, 1, 1000)
    with mp.workdps(40):
        logs = np.array([float(mp.log1p(mp.mpf(value))) for value in y])
        exps = np.array([float(mp.exp(-mp.mpf(value))) for value in z])
    assert_allclose(log1p(y), logs, rtol=2 * np.finfo(float).eps)
    assert_allclose(exp_minus(z), exps, rtol=1.5 * np.finfo(float).eps)
    assert exp_minus(np.array([0.0, 750.0, 1e300])).tolist() == [1.0, 0.0, 0.0]
    exponent, place = octave(y)
    assert (np.abs(place) <= 1.0).all()
    assert (np.ldexp(1.0, exponent) <= y).all()
    assert (y < np.ldexp(2.0, exponent)).all()


def test_polynomials_agree_with_numpys():
    rng = np.random.default_rng(4)
    coefficients, v = rng.normal(size=16), rng.uniform(-1, 1, 50)
    assert_allclose(polynomial(coefficients, v), np.polynomial.polynomial.polyval(v, coefficients), rtol=1e-12)


def test_selecting_is_sorting_and_counting_is_searching():
    rng = np.random.default_rng(5)
    for size in (1, 2, 3, 40, 200):
        values = rng.integers(0, size, size).astype(float)  # ties included
        for k in {0, size // 2, size - 1}:
            shuffled = values.copy()
            assert select(shuffled, k, 0, size - 1) == np.sort(values)[k]
            assert (shuffled[:k] <= shuffled[k]).all()
            assert (shuffled[k:] >= shuffled[k]).all()
    arrivals = np.cumsum(rng.exponential(size=50))
    for time in [0.0, *arrivals, *rng.uniform(0, 80, 100)]:
        assert arrivals_by(time, arrivals) == np.searchsorted(arrivals, time, side="right")


@pytest.mark.parametrize("modified", [False, True])
def test_compiled_and_array_intervals_are_the_same(compiling, modified):
    columns = [np.concatenate([values[::4], odd]) for values, odd in zip(histories_of(cdnow_rfm()), ODD.T, strict=True)]
    mean_spend = np.where(columns[0] > 0, 20.0 + columns[0], 0.0)
    futures = interval.common_futures()
    process = interval.parameter_draws(CDNOW, 0.01 * np.eye(4), futures.normals[:4])
    spend = interval.parameter_draws(CDNOW_SPEND, 0.01 * np.eye(3), futures.normals[4:7])

    def draw(futures, rows):
        some = [column[rows] for column in columns]
        return bg_nbd.drawn_purchases(520.0, *some, futures=futures, modified=modified, **process)

    def bounds(level):
        value_per_spend = np.linspace(0.1, 0.3, len(mean_spend))
        return interval.value_bounds(
            draw,
            columns[0],
            mean_spend,
            value_per_spend=value_per_spend,
            spend_params=spend,
            futures=futures,
            level=level,
        )

    levels = (0.9, 0.5, 0.999)
    everyone = np.arange(len(mean_spend))
    by_arrays, drawn = [bounds(level) for level in levels], draw(futures, everyone)
    assert drawn.max() > len(futures.arrivals)  # the normal beyond the known arrivals is among them
    compiling(1)
    assert np.array_equal(draw(futures, everyone), drawn)
    assert np.array_equal([bounds(level) for level in levels], by_arrays)


def test_compiled_and_array_counts_are_the_same(compiling):
    futures = interval.common_futures()
    time = 10.0 ** np.random.default_rng(6).uniform(-3, 3.3, (40, 512))
    by_arrays = futures.purchases_by(time)
    compiling(1)
    assert np.array_equal(futures.purchases_by(time), by_arrays)


def test_few_customers_are_scored_without_numba():
    script = (
        "import sys, crm_ml, numpy as np; from crm_ml.clv.processes import bg_nbd; "
        "bg_nbd.expected_purchases(9.0, *np.ones((3, 9)), discount_rate=0.1, r=1, alpha=1, a=1, b=1); "
        "print('numba' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False"]


def test_loops_compile_where_nothing_can_be_kept(monkeypatch):
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    seen, passed = np.zeros(3, dtype=bool), np.zeros(2, dtype=bool)
    mark = crm_ml.compiled.compiled.__wrapped__(loops.mark)
    mark(*plain(np.array([0.0, 2.0]), np.array([1.0, 1.5])), 1.0, 1, seen, passed)
    assert seen.tolist() == [True, False, True]
    assert passed.tolist() == [True, False]
