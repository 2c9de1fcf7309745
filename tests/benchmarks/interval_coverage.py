"""How often the 90 % intervals of purchases and of spend hold what came: simulated shops and real holdouts.

Prints a table; run from the repository's root with ``PYTHONPATH=tests python tests/benchmarks/interval_coverage.py``,
with the folder of ``grocery_elog.parquet`` as argument where it is not ``../shared/data``.

``by model`` is the coverage that the model itself expects of its interval: counts are whole numbers, so it is above
90 %, and only ``found`` below it speaks against the model. ``lower`` and ``upper`` are the shares of customers below
and above their interval, ``ratio`` is actual over expected of all customers together.

A second table holds the coverage of intervals of parameters, by Hessian and by weighted bootstrap.

A third says how far purchases swing on real shops: the mean of (n2 - n1)^2 / (n1 + n2) over two equal windows
before the cutoff, of customers who still buy after it. It is 1 where each buys at a constant rate, as BG/NBD, MBG/NBD
and Pareto/NBD have it, below where gaps are regular, and above where rates move: then intervals are too narrow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from clv_shops import CDNOW, CDNOW_SPEND, cdnow_log, simulate_shop
from numpy.typing import NDArray
from scipy.special import ndtri

import crm_ml
from crm_ml.clv import (
    BetaGeoModel,
    GammaGammaModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
    rfm_summary,
    weighted_bootstrap,
)
from crm_ml.clv.uncertainty.interval import common_futures, parameter_draws, value_bounds
from crm_ml.features import build_panel

LEVEL = 0.90
SEEDS = range(4)
BUSY = {"r": 1.2, "alpha": 1.5, "a": 0.5, "b": 6.0}
GROCERY = {"r": 1.257, "alpha": 6.038, "a": 0.368, "b": 0.716}
SIMULATED = (  # name, parameters, modified, customers
    ("BG/NBD, CDNOW's parameters", CDNOW, False, 2_357),
    ("BG/NBD, CDNOW's parameters, few", CDNOW, False, 400),
    ("BG/NBD, frequent buyers", BUSY, False, 2_000),
    ("MBG/NBD, grocery's parameters", GROCERY, True, 1_525),
    ("MBG/NBD, grocery's parameters, few", GROCERY, True, 400),
    ("MBG/NBD, frequent buyers", BUSY, True, 2_000),
)
WINDOW_DAYS = 91
N_SHOPS, N_REPLICATES = 100, 100
GROUPS = {"x = 0": (0, 0), "1-2": (1, 2), "3+": (3, np.inf)}


class Holdout(NamedTuple):
    """What was known of each customer, and what came within the horizon."""

    shop: str
    rfm: pd.DataFrame
    horizon: float
    purchases: pd.Series
    spend: pd.Series | None


def simulated() -> Iterator[tuple[list[Any], list[Holdout]]]:
    """Shops whose truth is known, each several times; the true process and the other one."""
    for name, params, modified, n in SIMULATED:
        holdouts = []
        for seed in SEEDS:
            rng = np.random.default_rng([20, seed])
            shop = simulate_shop(
                rng, n, **params, T=rng.integers(189, 274, n) / 7, horizon=39, spend=CDNOW_SPEND, modified=modified
            )
            holdouts.append(Holdout(name, shop, 39.0, shop["later_purchases"], shop["later_value"]))
        yield [BetaGeoModel(time_unit="W"), ModifiedBetaGeoModel(time_unit="W")], holdouts


def logs(grocery: Path) -> list[tuple[str, crm_ml.CustomerLog, str, int, bool]]:
    """Return each real shop with its cutoff, its holdout in days, and whether its amounts are known."""
    cdnow = crm_ml.CustomerLog(cdnow_log(), columns={"date": "timestamp"})
    bought = pd.read_parquet(grocery / "grocery_elog.parquet").assign(amount=1.0)
    return [
        ("CDNOW sample, 39 weeks", cdnow, "1997-10-01", 273, True),
        ("Grocery, 52 weeks", crm_ml.CustomerLog(bought, columns={"date": "timestamp"}), "2007-01-01", 364, False),
        ("Complete Journey, 3 months", crm_ml.load_sample(), "2017-10-01", 92, True),
    ]


def real(grocery: Path) -> Iterator[tuple[list[Any], list[Holdout]]]:
    """Logs split in time."""
    for shop, log, cutoff, horizon_days, has_spend in logs(grocery):
        rfm = rfm_summary(log, as_of=cutoff, time_unit="W", sum_log_gaps=True)
        ahead = build_panel(log, cutoffs=[cutoff], horizon_days=horizon_days, features=[]).droplevel("cutoff")
        ahead = ahead.loc[rfm.index]
        spend = ahead["spend_ahead"] if has_spend else None
        processes = [BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel, ModifiedBetaGeoCNBDModel]
        holdout = Holdout(shop, rfm, horizon_days / 7, ahead["purchase_days_ahead"], spend)
        yield [process(time_unit="W") for process in processes], [holdout]


def judged(process: Any, holdout: Holdout) -> Iterator[pd.DataFrame]:
    """Fit, predict, and set each customer's interval beside what came."""
    rfm, futures = holdout.rfm, common_futures()
    process.fit(rfm)
    draw = process.count_draw(rfm, holdout.horizon)
    counted = process.purchase_interval(rfm, holdout.horizon, level=LEVEL)
    drawn = np.concatenate([draw(futures, rows) for rows in np.array_split(np.arange(len(rfm)), 1 + len(rfm) // 1_000)])
    inside = (drawn >= counted[["lower"]].to_numpy()) & (drawn <= counted[["upper"]].to_numpy())
    expected = process.expected_purchases(rfm, holdout.horizon)
    found = counted.assign(x=rfm["frequency"], actual=holdout.purchases, expected=expected, nominal=inside.mean(axis=1))
    yield found.assign(of="purchases")
    if holdout.spend is None:
        return
    spend = GammaGammaModel().fit(rfm)
    normals = futures.normals[len(process.params_) :][: len(spend.params_)]
    lower, upper = value_bounds(
        draw,
        rfm["frequency"].to_numpy(dtype=float),
        rfm["monetary_value"].to_numpy(dtype=float),
        value_per_spend=np.ones(len(rfm)),
        spend_params=parameter_draws(spend.params_, spend.log_covariance_, normals),
        futures=futures,
        level=LEVEL,
    )
    worth = expected * spend.expected_spend(rfm)  # the interval is made to hold the expectation, as by CLVModel
    bounds = {"lower": np.minimum(lower, worth), "upper": np.maximum(upper, worth)}
    yield found.assign(of="spend", actual=holdout.spend, expected=worth, nominal=np.nan, **bounds)


def row_of(shop: str, process: Any, judged: pd.DataFrame) -> dict[str, Any]:
    """Coverage overall and by repeat purchases, which side the others are on, and how wide the interval is."""
    inside = judged["actual"].between(judged["lower"], judged["upper"])
    return {
        "shop": shop,
        "model": type(process).__name__.removesuffix("Model") + (f"-{process.k_}" if hasattr(process, "k_") else ""),
        "of": judged["of"].iloc[0],
        "customers": len(judged),
        "by model": judged["nominal"].mean(),
        "found": inside.mean(),
        **{name: inside[judged["x"].between(*ends)].mean() for name, ends in GROUPS.items()},
        "lower": (judged["actual"] < judged["lower"]).mean(),
        "upper": (judged["actual"] > judged["upper"]).mean(),
        "width": (judged["upper"] - judged["lower"]).mean(),
        "ratio": judged["actual"].sum() / judged["expected"].sum(),
    }


def parameters() -> pd.DataFrame:
    """How often both kinds of 90 % interval of a parameter hold it, on shops of the model."""
    names, rows = list(CDNOW), []
    for n in (500, 2_357):
        held: dict[str, list[NDArray[np.bool_]]] = {"Hessian": [], "bootstrap": []}
        truth = np.array(list(CDNOW.values()))
        for seed in range(N_SHOPS):
            rng = np.random.default_rng([30, n, seed])
            shop = simulate_shop(rng, n, **CDNOW, T=rng.integers(189, 274, n) / 7)
            model = BetaGeoModel(time_unit="W").fit(shop)
            reach = ndtri((1.0 + LEVEL) / 2.0) * np.sqrt(np.diag(model.log_covariance_))
            held["Hessian"].append(np.abs(np.log(list(model.params_.values())) - np.log(truth)) < reach)
            ends = weighted_bootstrap(model, shop, rng=rng, n_replicates=N_REPLICATES).intervals(level=LEVEL)
            held["bootstrap"].append(((ends["lower"] < truth) & (truth < ends["upper"])).to_numpy())
        for kind, inside in held.items():
            shares = np.mean(inside, axis=0)
            rows.append({"interval": kind, "customers": n, "shops": N_SHOPS, **dict(zip(names, shares, strict=True))})
    return pd.DataFrame(rows)


def swing(log: crm_ml.CustomerLog, cutoff: str) -> float:
    """How far the purchases of customers who stay move from window to window, by the yardstick of Poisson."""
    cutoffs = [pd.Timestamp(cutoff) - pd.Timedelta(days=n * WINDOW_DAYS) for n in (2, 1, 0)]
    panel = build_panel(log, cutoffs=cutoffs, horizon_days=WINDOW_DAYS, features=[])
    counts = panel.reset_index().pivot_table("purchase_days_ahead", "customer_id", "cutoff").dropna()
    first, second, after = counts.to_numpy().T
    stays = (after > 0) & (first + second > 0)
    return float(((second - first)[stays] ** 2 / (first + second)[stays]).mean())


def main() -> None:
    """Print the tables."""
    grocery = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    rows = []
    for source in (simulated(), real(grocery)):
        for processes, holdouts in source:
            for process in processes:
                frames = [frame for holdout in holdouts for frame in judged(process, holdout)]
                both = pd.concat(frames)
                rows += [row_of(holdouts[0].shop, process, part) for _, part in both.groupby("of")]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))  # noqa: T201
    print(parameters().to_string(index=False, float_format="{:.3f}".format))  # noqa: T201
    swings = {shop: swing(log, cutoff) for shop, log, cutoff, *_ in logs(grocery)}
    print(pd.Series(swings, name="swing").to_string(float_format="{:.2f}".format))  # noqa: T201


if __name__ == "__main__":
    main()
