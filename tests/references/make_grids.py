"""Compute the reference values of tests/test_grids.py and store them, one table per model.

Run from tests/ as ``python -m references.make_grids [model ...]``; half an hour for all of them with gmpy2 at hand.

Every table has 2,100 rows, 4,200 for Gamma-Gamma: parameter sets, each with 21 histories and one horizon. T / alpha
runs from 1e-6 to 1e6, x to 10,000; t_x is 0, T, or such that being alive is undecided; a, s, q and BG/BB's gamma are 1
or next to it in one set of five. A column per function holds the value rounded to double precision.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from mpmath import mpf
from references import exact

HERE = Path(__file__).parent
SETS, EACH = 100, 21
NEAR_ONE = [1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1.0 + 1e-3, 1.0 - 1e-3]
BETA_GEO, PARETO, BG_BB = ("r", "alpha", "a", "b"), ("r", "alpha", "s", "beta"), ("alpha", "beta", "gamma", "delta")
GAMMA_GAMMA = ("p", "q", "gamma")


def rounded(values, digits=3):
    return np.array([float(f"{value:.{digits}g}") for value in np.atleast_1d(values)])


def spread(rng, low, high, n):
    return rounded(np.exp(rng.uniform(np.log(low), np.log(high), n)))


def counts(rng, n):
    """A quarter without a repeat purchase, a quarter with a few, one 10,000, the others anywhere between."""
    x = np.floor(np.exp(rng.uniform(0.0, np.log(10_000.0), n)))
    x[rng.random(n) < 0.3] = rng.integers(1, 6)
    x[: n // 4], x[-1] = 0.0, 10_000.0
    return x


def continuous(rng, names):
    """Parameter sets and histories of a model in continuous time."""
    rows = []
    for number in range(SETS):
        params = dict(zip(names, spread(rng, 0.01, 100.0, 4), strict=True))
        params["alpha"] = spread(rng, 0.01, 1000.0, 1)[0]
        if names == PARETO:
            params["beta"] = rounded(params["alpha"] * spread(rng, 1e-3, 1e3, 1)[0])[0]
            params["beta"] = params["alpha"] if number % 10 == 7 else params["beta"]
        if number % 5 == 0:
            params[names[2]] = NEAR_ONE[number // 5 % 5]
        horizon = rounded(params["alpha"] * spread(rng, 1e-3, 1e3, 1)[0])[0]
        x, T = counts(rng, EACH), rounded(params["alpha"] * spread(rng, 1e-6, 1e6, EACH))
        fall = spread(rng, 1e-3, 60.0, EACH) / (params["r"] + x)
        t_x = np.clip((params["alpha"] + T) * np.exp(-fall) - params["alpha"], 0.0, T)
        style = rng.random(EACH)
        t_x = np.where(style < 0.15, T, np.where(style < 0.3, rounded(T * rng.random(EACH)), t_x))
        t_x = np.minimum(np.where(x > 0, t_x, 0.0), T)
        mean = params["r"] * T / params["alpha"]
        n = np.minimum(np.floor(mean * rng.exponential(1.0, EACH)), 10_000.0)
        n[:4] = rng.integers(0, 4, 4)
        rows.append(pd.DataFrame(params | {"horizon": horizon, "x": x, "t_x": t_x, "T": T, "n": n}))
    return pd.concat(rows, ignore_index=True)


def discrete(rng):
    rows = []
    for number in range(SETS):
        params = dict(zip(BG_BB, spread(rng, 0.01, 100.0, 4), strict=True))
        if number % 5 == 0:
            params["gamma"] = NEAR_ONE[number // 5 % 5]
        opportunities = np.floor(spread(rng, 1.0, 10_000.0, EACH))
        opportunities[0], opportunities[-1] = 0.0, 10_000.0
        t_x = np.floor(opportunities * rng.random(EACH) ** 0.3)
        t_x[::4], t_x[1::4] = 0.0, opportunities[1::4]
        x = np.where(t_x > 0, 1.0 + np.floor(np.maximum(t_x - 1.0, 0.0) * rng.random(EACH)), 0.0)
        n = np.floor(opportunities * rng.beta(0.5, 1.0, EACH))
        histories = {"x": x, "t_x": t_x, "n_opportunities": opportunities, "n": n}
        rows.append(pd.DataFrame(params | {"horizon": np.floor(spread(rng, 1.0, 1000.0, 1)[0])} | histories))
    return pd.concat(rows, ignore_index=True)


def amounts(rng):
    rows = []
    for number in range(2 * SETS):
        params = dict(zip(GAMMA_GAMMA, spread(rng, 0.01, 100.0, 3), strict=True))
        params["q"] = NEAR_ONE[number // 5 % 5] if number % 5 == 0 else params["q"]
        x = np.maximum(counts(rng, EACH), 1.0)
        m = rounded(params["gamma"] * spread(rng, 1e-6, 1e6, EACH))
        rows.append(pd.DataFrame(params | {"x": x, "m": m}))
    return pd.concat(rows, ignore_index=True)


def functions(model):
    """Name and reference of each function of a model, with the columns it takes before the parameters."""
    if model == "gamma_gamma":
        return {
            "log_likelihood": (exact.gamma_gamma_log_likelihood, ("x", "m")),
            "expected_spend": (exact.gamma_gamma_expected, ("x", "m")),
        }
    kin, settings = FAMILIES[model]
    end = "n_opportunities" if kin == "bg_bb" else "T"
    history = ("x", "t_x", end)
    takes = {
        "log_likelihood": ("log_likelihood", history),
        "probability_alive": ("alive", history),
        "probability_no_purchase": ("silent", ("horizon", *history)),
        "probability_of_count": ("count", ("n", end)),
        "expected_purchases": ("expected", ("horizon", *history)),
        "expected_purchases_new_customer": ("new", (end,)),
    }
    return {name: (partial(getattr(exact, f"{kin}_{f}"), **settings), columns) for name, (f, columns) in takes.items()}


FAMILIES = {
    "bg_nbd": ("beta_geo", {}),
    "mbg_nbd": ("beta_geo", {"modified": True}),
    "pareto_nbd": ("pareto", {}),
    "bg_bb": ("bg_bb", {}),
    "bg_cnbd_2": ("beta_geo", {"k": 2}),
    "mbg_cnbd_3": ("beta_geo", {"k": 3, "modified": True}),
}
PARAMETERS = dict.fromkeys(FAMILIES, BETA_GEO) | {"pareto_nbd": PARETO, "bg_bb": BG_BB, "gamma_gamma": GAMMA_GAMMA}
SKIPPED = {("bg_nbd", "expected_purchases")}
"""Checked on a grid of its own."""


def points(model):
    rng = np.random.default_rng(sum(model.encode()))
    if model == "bg_bb":
        return discrete(rng)
    return amounts(rng) if model == "gamma_gamma" else continuous(rng, PARAMETERS[model])


def references(model, table):
    values = {}
    for name, (function, columns) in functions(model).items():
        if (model, name) not in SKIPPED:
            known = table["q"] >= 1.0 if name == "expected_spend" else np.ones(len(table), dtype=bool)
            rows = table.loc[known, [*columns, *PARAMETERS[model]]].itertuples(index=False)
            values[name] = pd.Series([float(function(*map(mpf, row))) for row in rows], index=table.index[known])
    return table.assign(**values)


def store(model):
    """Write one table as small as it gets: repeated inputs by dictionary, everything else byte by byte."""
    table = references(model, points(model))
    repeated = [name for name in table if table[name].nunique() < len(table) / 2]
    table.to_parquet(
        HERE / f"{model}.parquet",
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=repeated,
        use_byte_stream_split=[name for name in table if name not in repeated],
    )


if __name__ == "__main__":
    for model in sys.argv[1:] or PARAMETERS:
        store(model)
