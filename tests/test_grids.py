"""Every mathematical function against stored references in 60-digit arithmetic, and a few of these computed anew.

The points and the formulas are those of `references.make_grids` and `references.exact`; ``python
tests/benchmarks/accuracy.py`` prints the largest error of each function.
"""

import numpy as np
import pandas as pd
import pytest
from mpmath import mpf
from references.make_grids import FAMILIES, HERE, PARAMETERS, SKIPPED, functions

from crm_ml.clv.processes import bg_bb, bg_nbd, pareto_nbd
from crm_ml.clv.spend import gamma_gamma

MODULES = {"beta_geo": bg_nbd, "pareto": pareto_nbd, "bg_bb": bg_bb}
CASES = [(model, name) for model in PARAMETERS for name in functions(model) if (model, name) not in SKIPPED]
ALLOWED = 1e-12
TINY = 1e-290
LIVE = 4


def grid(model, name):
    """Stored points, the columns the function takes, and the reference."""
    table = pd.read_parquet(HERE / f"{model}.parquet").dropna(subset=[name])
    return table, functions(model)[name][1], table[name]


def ours(model, name):
    """Values of our function on the grid; one call per parameter set."""
    table, columns, _ = grid(model, name)
    kin, settings = FAMILIES.get(model, ("gamma_gamma", {}))
    function = getattr(MODULES.get(kin, gamma_gamma), name)
    found = pd.Series(np.nan, index=table.index)
    names = list(PARAMETERS[model])
    per_call = names + [column for column in columns if column == "horizon"]
    if (kin, name) == ("bg_bb", "probability_of_count"):
        per_call.append("n_opportunities")
    for key, rows in table.groupby(per_call, sort=False):
        fixed = dict(zip(per_call, key, strict=True))
        given = [fixed[c] if c == "horizon" else rows[c].to_numpy() for c in columns]
        if (kin, name) == ("bg_bb", "probability_of_count"):
            given[1] = int(fixed["n_opportunities"])
        found[rows.index] = function(*given, **{n: fixed[n] for n in names}, **settings)
    return found


def errors(model, name):
    """Relative error at each point; a log-likelihood, which crosses zero, counts as one at least."""
    reference = grid(model, name)[2]
    scale = np.maximum(reference.abs(), 1.0 if name == "log_likelihood" else TINY)
    return (ours(model, name) - reference).abs() / scale


@pytest.mark.parametrize(("model", "name"), CASES)
def test_function_has_twelve_digits_everywhere(model, name):
    off = errors(model, name)
    assert len(off) >= 2_000
    assert off.notna().all()
    assert off.max() <= ALLOWED, grid(model, name)[0].loc[off.idxmax()].to_dict()


@pytest.mark.parametrize(("model", "name"), CASES)
def test_stored_reference_is_the_formulas_value(model, name):
    table, columns, stored = grid(model, name)
    function = functions(model)[name][0]
    picked = np.random.default_rng(sum(f"{model}{name}".encode())).choice(table.index, LIVE, replace=False)
    for row in picked:
        value = function(*(mpf(table.loc[row, column]) for column in (*columns, *PARAMETERS[model])))
        assert float(value) == pytest.approx(stored[row], rel=1e-15, abs=TINY)


@pytest.mark.parametrize("model", list(FAMILIES))
def test_the_grid_reaches_as_far_as_it_says(model):
    table = pd.read_parquet(HERE / f"{model}.parquet")
    assert table["x"].min() == 0.0
    assert table["x"].max() == 10_000.0 or model == "bg_bb"
    end = "n_opportunities" if model == "bg_bb" else "T"
    assert ((table["t_x"] == table[end]) & (table["x"] > 0)).sum() > 100
    assert (table["t_x"] == 0).sum() > 100
    third = table[PARAMETERS[model][2]]
    assert {1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1.0 + 1e-3, 1.0 - 1e-3} <= set(third)
    if model != "bg_bb":
        ratio = table["T"] / table["alpha"]
        assert ratio.min() < 2e-6
        assert ratio.max() > 5e5
