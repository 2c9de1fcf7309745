"""Two hundred simulated shops per model: does any fit end silently wrong?

Run from the repository's root with ``PYTHONPATH=tests python tests/benchmarks/audit.py [model ...]``; prints a table
and every shop that was refused or is wrong. Shops have 100 to 10,000 customers, parameters over one to three orders of
magnitude, half of them times in whole days.

A fit is wrong if it is accepted and

- the likelihood still rises: by more than 1e-6 per customer and unit of a log parameter that is not at its edge, by
  central differences of the log-likelihood function, which the search does not use; or
- the true parameters, or what L-BFGS and Nelder-Mead find from them, are more likely, by 1e-3 or 1e-9 of the value.

It is silently wrong if nothing in its diagnostics speaks of a boundary or a ridge.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from regular_shops import simulate_regular_shop
from scipy.optimize import minimize

from crm_ml.clv import (
    BetaGeoBetaBinomModel,
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGammaModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.processes import bg_bb, bg_nbd, pareto_nbd
from crm_ml.clv.spend import gamma_gamma
from crm_ml.errors import ConvergenceError

SHOPS = 200
LARGEST_SLOPE = 1e-6
STEP = 1e-3
EFFORT = {"L-BFGS-B": {"maxiter": 200}, "Nelder-Mead": {"maxfev": 250, "xatol": 1e-6, "fatol": 1e-7}}


class Shop(NamedTuple):
    """Customers, the parameters they were drawn from, the model to fit and the likelihood it maximises."""

    rfm: pd.DataFrame
    truth: dict[str, float]
    model: Any
    log_likelihood: Callable[..., np.ndarray]


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def customers(rng: np.random.Generator) -> int:
    return int(spread(rng, 100, 10_000))


def observed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Days from the first purchase of each customer to the end of observation."""
    longest = spread(rng, 60, 1500)
    return np.ceil(rng.uniform(longest * rng.choice([0.02, 0.5, 0.95]), longest, n))


def beta_geo(rng: np.random.Generator, *, k: int, modified: bool, kind: type) -> Shop:
    n = customers(rng)
    T = observed(rng, n)
    r = spread(rng, 0.05, 20.0)
    truth = {"r": r, "alpha": r * T.mean() / (k * spread(rng, 0.2, 40.0)), "a": spread(rng, 0.05, 10.0)}
    truth["b"] = truth["a"] * spread(rng, 0.2, 50.0)
    rfm = simulate_regular_shop(rng, n, **truth, k=k, modified=modified, T=T)
    own = kind(k=k) if k > 1 else kind()
    return Shop(rfm, truth, own, partial(bg_nbd.log_likelihood, k=k, modified=modified))


def cnbd(rng: np.random.Generator) -> Shop:
    modified = bool(rng.integers(2))
    kind = ModifiedBetaGeoCNBDModel if modified else BetaGeoCNBDModel
    return beta_geo(rng, k=int(rng.choice([2, 3, 5, 12])), modified=modified, kind=kind)


def pareto(rng: np.random.Generator) -> Shop:
    n = customers(rng)
    T = observed(rng, n)
    r, s = spread(rng, 0.05, 20.0), spread(rng, 0.05, 10.0)
    truth = {"r": r, "alpha": r * T.mean() / spread(rng, 0.2, 40.0)}
    truth |= {"s": s, "beta": s * T.mean() / spread(rng, 0.05, 10.0)}
    pace, leaving = rng.gamma(r, 1.0 / truth["alpha"], n), rng.gamma(s, 1.0 / truth["beta"], n)
    stay = np.minimum(T, rng.exponential(1.0, n) / np.maximum(leaving, 1e-300))
    x = rng.poisson(pace * stay).astype(float)
    t_x = np.where(x > 0, stay * rng.random(n) ** (1.0 / np.maximum(x, 1.0)), 0.0)
    return Shop(
        pd.DataFrame({"frequency": x, "recency": t_x, "T": T}), truth, ParetoNBDModel(), pareto_nbd.log_likelihood
    )


def donors(rng: np.random.Generator) -> Shop:
    n = customers(rng)
    opportunities = np.full(n, rng.integers(3, 40)) if rng.random() < 0.5 else rng.integers(2, 40, n)
    truth = {"alpha": spread(rng, 0.1, 10.0), "beta": spread(rng, 0.1, 10.0), "gamma": spread(rng, 0.1, 5.0)}
    truth["delta"] = truth["gamma"] * spread(rng, 0.5, 50.0)
    p, leave = rng.beta(truth["alpha"], truth["beta"], n), rng.beta(truth["gamma"], truth["delta"], n)
    x, t_x, alive = np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    for opportunity in range(1, int(opportunities.max()) + 1):
        alive &= rng.random(n) > leave
        took = alive & (rng.random(n) < p) & (opportunity <= opportunities)
        x, t_x = x + took, np.where(took, opportunity, t_x)
    rfm = pd.DataFrame({"frequency": x, "recency": t_x, "n_opportunities": opportunities})
    return Shop(rfm, truth, BetaGeoBetaBinomModel(), bg_bb.log_likelihood)


def spending(rng: np.random.Generator) -> Shop:
    n = customers(rng)
    truth = {"p": spread(rng, 0.3, 50.0), "q": spread(rng, 1.05, 20.0)}
    truth["gamma"] = (truth["q"] - 1.0) / truth["p"] * spread(rng, 1.0, 1000.0)
    x = rng.geometric(1.0 / spread(rng, 1.2, 20.0), n).astype(float)
    m = rng.gamma(truth["p"] * x) / rng.gamma(truth["q"], 1.0 / truth["gamma"], n) / x
    return Shop(
        pd.DataFrame({"frequency": x, "monetary_value": m}), truth, GammaGammaModel(), gamma_gamma.log_likelihood
    )


MODELS: dict[str, Callable[[np.random.Generator], Shop]] = {
    "BG/NBD": partial(beta_geo, k=1, modified=False, kind=BetaGeoModel),
    "MBG/NBD": partial(beta_geo, k=1, modified=True, kind=ModifiedBetaGeoModel),
    "CNBD-k": cnbd,
    "Pareto/NBD": pareto,
    "BG/BB": donors,
    "Gamma-Gamma": spending,
}
COLUMNS = ("frequency", "recency", "T", "n_opportunities", "monetary_value")


def in_whole_days(rfm: pd.DataFrame) -> pd.DataFrame:
    return rfm.assign(recency=np.minimum(np.ceil(rfm["recency"]), rfm["T"])) if "T" in rfm else rfm


def total(shop: Shop) -> Callable[[np.ndarray], float]:
    """Log-likelihood of the shop by its log parameters, equal histories counted once."""
    distinct = shop.rfm[[name for name in COLUMNS if name in shop.rfm]].value_counts().reset_index()
    *columns, weight = (distinct[name].to_numpy(dtype=float) for name in distinct)

    def value(theta: np.ndarray) -> float:
        params = dict(zip(shop.truth, np.exp(theta), strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the other optimisers look far outside
            found = float(weight @ shop.log_likelihood(*columns, **params))
        return found if np.isfinite(found) else -1e300

    return value


def slopes(value: Callable[[np.ndarray], float], theta: np.ndarray) -> np.ndarray:
    """Central differences of fourth order."""
    steps = STEP * np.eye(len(theta))
    return np.array(
        [
            (8.0 * (value(theta + h) - value(theta - h)) - (value(theta + 2 * h) - value(theta - 2 * h))) / (12 * STEP)
            for h in steps
        ]
    )


def independent_best(value: Callable[[np.ndarray], float], truth: np.ndarray) -> float:
    best, at = value(truth), truth
    edges = [(-13.0, 11.0)] * len(truth)
    for method, options in EFFORT.items():
        found = minimize(lambda theta: -value(theta), at, method=method, bounds=edges, options=options)
        if -found.fun > best:
            best, at = -float(found.fun), found.x
    return best


def audit(name: str, number: int) -> dict[str, Any]:
    """Simulate one shop, fit it, and judge the fit."""
    rng = np.random.default_rng([number, *name.encode()])
    shop = MODELS[name](rng)
    if rng.random() < 0.5:
        shop = shop._replace(rfm=in_whole_days(shop.rfm))
    row: dict[str, Any] = {"shop": number, "customers": len(shop.rfm), "seconds": 0.0, "verdict": "refused", "why": ""}
    row |= {n: float(f"{v:.3g}") for n, v in shop.truth.items()}
    started = time.perf_counter()
    try:
        fit = shop.model.fit(shop.rfm)
    except ConvergenceError as error:
        return row | {"why": str(error).splitlines()[0]}
    row["seconds"] = time.perf_counter() - started
    value, theta = total(shop), np.log([fit.params_[parameter] for parameter in shop.truth])
    at_edge = [parameter in fit.diagnostics_["at_boundary"] for parameter in shop.truth]
    row["slope"] = float(np.abs(np.where(at_edge, 0.0, slopes(value, theta))).max()) / len(shop.rfm)
    reached, truth = value(theta), np.log(list(shop.truth.values()))
    row["below truth"], row["below others"] = value(truth) - reached, independent_best(value, truth) - reached
    allowed = 1e-3 + 1e-9 * abs(reached)
    wrong = row["slope"] > LARGEST_SLOPE or max(row["below truth"], row["below others"]) > allowed
    noted = any(note.startswith(("Boundary", "Flat ridge", "Ridge")) for note in fit.diagnostics_["notes"])
    row["why"] = f"slope {row['slope']:.1e}, below truth {row['below truth']:.2e}, others {row['below others']:.2e}"
    verdicts = {(0, 0): "accepted", (0, 1): "with a note", (1, 0): "SILENTLY WRONG", (1, 1): "wrong, with a note"}
    return row | {"verdict": verdicts[int(wrong), int(noted)]}


def main(names: list[str]) -> None:
    for name in names or list(MODELS):
        rows = pd.DataFrame([audit(name, number) for number in range(SHOPS)])
        counts = rows["verdict"].value_counts()
        listed = {
            "model": name,
            "shops": len(rows),
            **{
                verdict: int(counts.get(verdict, 0))
                for verdict in ("accepted", "with a note", "refused", "wrong, with a note", "SILENTLY WRONG")
            },
            "largest slope": f"{rows['slope'].max():.1e}",
            "median seconds": f"{rows['seconds'].median():.3f}",
        }
        sys.stdout.write("\n" + pd.DataFrame([listed]).to_string(index=False) + "\n")
        told = rows[~rows["verdict"].isin(["accepted", "with a note"])]
        for _, row in told.iterrows():
            known = ", ".join(
                f"{key} {row[key]:g}" for key in row.index[5:] if key in MODELS_PARAMETERS and row[key] > 0
            )
            sys.stdout.write(
                f"  shop {row['shop']}, {row['customers']} customers, {known}: {row['verdict']}: {row['why']}\n"
            )
        sys.stdout.flush()


MODELS_PARAMETERS = {"r", "alpha", "a", "b", "s", "beta", "gamma", "delta", "p", "q"}


if __name__ == "__main__":
    main(sys.argv[1:])
