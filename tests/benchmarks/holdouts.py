"""Purchases and spend that came, beside what each model and ``lifetimes`` expected: four logs split in time.

Run from the repository's root with ``PYTHONPATH=tests python tests/benchmarks/holdouts.py``, with the folder of
``grocery_elog.parquet`` as argument where it is not ``../shared/data``; prints Markdown tables.

Every model sees the same histories and is judged on the same customers. Spend is expected purchases times the expected
spend of Gamma-Gamma, each library's own. BG/BB counts opportunities, which these logs do not have, and is left out.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import crm_ml
from crm_ml.clv import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    BlendedValue,
    GammaGammaModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    PanelValueModel,
    ParetoNBDModel,
    rfm_summary,
)
from crm_ml.clv.interop import import_lifetimes
from crm_ml.errors import SchemaError
from crm_ml.evaluation import value_metrics
from crm_ml.features import build_panel

OURS = {
    "BG/NBD": BetaGeoModel,
    "MBG/NBD": ModifiedBetaGeoModel,
    "Pareto/NBD": ParetoNBDModel,
    "BG/CNBD-k": BetaGeoCNBDModel,
    "MBG/CNBD-k": ModifiedBetaGeoCNBDModel,
}
THEIRS = {"lifetimes BG/NBD": "BetaGeoFitter", "lifetimes Pareto/NBD": "ParetoNBDFitter"}
MEASURES = {"mae": "MAE", "rmse": "RMSE", "bias": "bias", "gini": "Gini", "top_decile_capture": "top decile"}


class Holdout(NamedTuple):
    """What was known of each customer, and what came within the horizon; spend is None where there are no amounts."""

    name: str
    log: crm_ml.CustomerLog
    cutoff: str
    rfm: pd.DataFrame
    days: int
    purchases: pd.Series
    spend: pd.Series | None

    @property
    def weeks(self) -> float:
        return self.days / 7


def cdnow(name: str) -> pd.DataFrame:
    """Read the purchases of CDNOW from the lifetimes wheel without importing it."""
    spec = importlib.util.find_spec("lifetimes")
    path = Path(spec.origin).parent / "datasets" / f"CDNOW_{name}.txt"
    skip, columns = (0, ["master_id", "customer_id"]) if name == "sample" else (1, ["customer_id"])
    columns = [*columns, "date", "units", "amount"]
    log = pd.read_csv(path, sep=r"\s+", header=None, skiprows=skip, names=columns, dtype={"date": str})
    log["timestamp"] = pd.to_datetime(log["date"], format="%Y%m%d")
    return log[["customer_id", "timestamp", "amount"]]


def holdouts(grocery: Path) -> Iterator[Holdout]:
    """The four logs; without the grocery's, three."""
    logs = [
        ("CDNOW sample, 39 / 39 weeks", crm_ml.CustomerLog(cdnow("sample")), "1997-10-01", 273, True),
        ("CDNOW master, 39 / 39 weeks", crm_ml.CustomerLog(cdnow("master")), "1997-10-01", 273, True),
        ("Complete Journey, 9 / 3 months", crm_ml.load_sample(), "2017-10-01", 92, True),
    ]
    if (grocery / "grocery_elog.parquet").exists():
        bought = pd.read_parquet(grocery / "grocery_elog.parquet").assign(amount=1.0)
        log = crm_ml.CustomerLog(bought, columns={"date": "timestamp"})
        logs.append(("Grocery, 52 / 52 weeks", log, "2007-01-01", 364, False))
    for name, log, cutoff, days, has_spend in logs:
        rfm = rfm_summary(log, as_of=cutoff, time_unit="W", sum_log_gaps=True)
        panel = build_panel(log, cutoffs=[cutoff], horizon_days=days, features=[])
        ahead = panel.droplevel("cutoff").loc[rfm.index]
        spend = ahead["spend_ahead"] if has_spend else None
        yield Holdout(name, log, cutoff, rfm, days, ahead["purchase_days_ahead"], spend)


def ours(kind: Callable[..., Any], holdout: Holdout) -> tuple[str, pd.Series]:
    model = kind(time_unit="W").fit(holdout.rfm)
    found = f" (k = {model.k_})" if hasattr(model, "k_") else ""
    return found, model.expected_purchases(holdout.rfm, holdout.weeks)


def theirs(name: str, holdout: Holdout) -> tuple[str, pd.Series]:
    columns = [holdout.rfm[column] for column in ("frequency", "recency", "T")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflow within lifetimes
        fitter = getattr(import_lifetimes(), name)().fit(*columns)
        found = fitter.conditional_expected_number_of_purchases_up_to_time(holdout.weeks, *columns)
    expected = pd.Series(np.asarray(found), index=holdout.rfm.index)
    absent = int(expected.isna().sum())
    return f" ({absent} NaN, as 0)" if absent else "", expected.fillna(0.0)


def spend_ours(rfm: pd.DataFrame) -> pd.Series:
    return GammaGammaModel().fit(rfm).expected_spend(rfm)


def spend_theirs(rfm: pd.DataFrame) -> pd.Series:
    spent = rfm[(rfm["frequency"] > 0) & (rfm["monetary_value"] > 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = import_lifetimes().GammaGammaFitter().fit(spent["frequency"], spent["monetary_value"])
    return fitter.conditional_expected_average_profit(rfm["frequency"], rfm["monetary_value"])


def chosen(holdout: Holdout) -> tuple[str, pd.Series, pd.Series]:
    """Name, purchases and spend of the value model as it chooses process and level itself."""
    model = crm_ml.CLVModel(time_unit="W").fit(holdout.log, as_of=holdout.cutoff)
    value = model.predict(holdout.rfm, horizon_days=holdout.days, annual_discount_rate=0.0, margin=1.0)
    by = " and ".join(
        by for by, factors in (("cohort", model.level_.cohorts), ("month", model.level_.months)) if factors
    )
    name = f"CLVModel: {type(model.process_).__name__}" + (f", level by {by}" if by else "")
    return name, value["expected_purchases"], value["clv"]


def challengers(holdout: Holdout) -> Iterator[tuple[str, pd.Series]]:
    """Names and spend of XGBoost on the panel and of its blend with the value model, where there is history enough."""
    panel = PanelValueModel(horizon_days=holdout.days)
    blend = BlendedValue(crm_ml.CLVModel(time_unit="W"), panel, horizon_days=holdout.days)
    for name, model in (("XGBoost on the panel", panel), ("blend", blend)):
        try:
            model.fit(holdout.log, as_of=holdout.cutoff)
        except SchemaError:
            continue
        weight = f" ({model.weight_:.0%} XGBoost)" if model is blend else ""
        found = model.forecast(holdout.log, as_of=holdout.cutoff, horizon_days=holdout.days)
        yield name + weight, found.loc[holdout.rfm.index]


def judged(holdout: Holdout) -> Iterator[dict[str, Any]]:
    """One row per model and quantity."""
    spend = {}
    if holdout.spend is not None:
        spend = {"ours": spend_ours(holdout.rfm), "theirs": spend_theirs(holdout.rfm)}
    for name in [*OURS, *THEIRS]:
        found, expected = ours(OURS[name], holdout) if name in OURS else theirs(THEIRS[name], holdout)
        yield {"of": "purchases", "model": name + found, **value_metrics(holdout.purchases, expected)}
        if spend:
            worth = expected * spend["ours" if name in OURS else "theirs"]
            yield {"of": "spend", "model": name + found, **value_metrics(holdout.spend, worth)}
    name, purchases, worth = chosen(holdout)
    yield {"of": "purchases", "model": name, **value_metrics(holdout.purchases, purchases)}
    if spend:
        yield {"of": "spend", "model": name, **value_metrics(holdout.spend, worth)}
        for name, worth in challengers(holdout):
            yield {"of": "spend", "model": name, **value_metrics(holdout.spend, worth)}


def main() -> None:
    """Print one table per log."""
    for holdout in holdouts(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")):
        title = f"{holdout.name}: {len(holdout.rfm):,} customers, {holdout.purchases.sum():,.0f} purchases came"
        if holdout.spend is not None:
            title += f", spend {holdout.spend.sum():,.0f}"
        lines = ["", f"**{title}**", "", "| of | model | " + " | ".join(MEASURES.values()) + " |"]
        lines.append("|---|---|" + "---|" * len(MEASURES))
        table = pd.DataFrame(judged(holdout)).sort_values("of", kind="stable")
        for row in table.to_dict("records"):
            numbers = [f"{row[m]:+.1%}" if m == "bias" else f"{row[m]:.3f}" for m in MEASURES]
            lines.append(f"| {row['of']} | {row['model']} | " + " | ".join(numbers) + " |")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
