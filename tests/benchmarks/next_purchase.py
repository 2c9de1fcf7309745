"""Coverage out of time of the 80 % interval of the next purchase, beside the process alone and the mean gap.

Run from the repository's root with ``PYTHONPATH=. python tests/benchmarks/next_purchase.py``; prints a Markdown table.
The grocery log of regular buyers is looked for in ``../shared/data`` and left out where it is absent.

Each model is fitted at the moment given and judged by the purchases from there to the end of its window. "all" is the
coverage of all intervals by Kaplan and Meier's curve, "settled" the share among those that end within the window (see
`crm_ml.decisions.timing.coverage`), and "of" the share of intervals these are; "never" is the share of customers
without an interval. The mean gap is a customer's own, ± 1.28 standard deviations, of those with two gaps or more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import crm_ml
from crm_ml.decisions.timing.coverage import interval_coverage, purchase_outcomes, settled_coverage
from crm_ml.decisions.timing.histories import histories
from crm_ml.decisions.timing.model import NextPurchaseModel

GROCERY = Path(__file__).parents[2].parent / "shared" / "data" / "grocery_elog.parquet"
CUSTOMERS = 5_000
SHOPS: dict[str, dict[str, Any]] = {
    "Poisson, few leave": {"leaving_scale_days": 3000.0},
    "regular (k = 3), few leave": {"regularity": 3.0, "leaving_scale_days": 3000.0},
    "Poisson, most leave": {},
    "regular (k = 3), most leave": {"regularity": 3.0},
}


def cases() -> Iterator[tuple[str, crm_ml.CustomerLog, str, str]]:
    """Yield name, log, moment and end of the window."""
    sample = crm_ml.load_sample()
    for as_of, until in (("2017-07-01", "2017-10-01"), ("2017-09-01", "2018-01-01"), ("2017-10-01", "2018-01-01")):
        yield "sample", sample, as_of, until
    if GROCERY.exists():
        orders = pd.read_parquet(GROCERY).rename(columns={"date": "timestamp"}).assign(amount=1.0)
        grocery = crm_ml.CustomerLog(orders[["customer_id", "timestamp", "amount"]].drop_duplicates())
        for as_of, until in (("2006-10-01", "2007-07-01"), ("2007-01-01", "2007-12-31"), ("2007-04-01", "2007-12-31")):
            yield "grocery", grocery, as_of, until
    for seed, (name, settings) in enumerate(SHOPS.items(), start=1):
        shop = crm_ml.simulate(CUSTOMERS, days=900, seed=seed, n_campaigns=0, start="2024-01-01", **settings)
        yield name, crm_ml.CustomerLog(shop.transactions), "2025-07-01", "2026-06-18"


def process_alone(model: NextPurchaseModel) -> NextPurchaseModel:
    """Return the model without the own gaps."""
    alone = NextPurchaseModel(process=model.process)
    alone.process_, alone.own_gaps_ = model.process_, model.own_gaps_
    alone._blend = replace(model._blend, shares=np.zeros(3))
    return alone


def mean_gap(log: crm_ml.CustomerLog, outcomes: pd.DataFrame, *, as_of: str) -> dict[str, float]:
    """Judge the customer's mean gap ± 1.28 standard deviations, counted from the last purchase."""
    known = histories(log, as_of=as_of)
    some = (known["frequency"] >= 2).to_numpy()
    known, seen = known[some], outcomes[some]
    mean = (known["recency"] / known["frequency"]).to_numpy()
    spread = mean * known["gap_spread"].to_numpy()
    silence = (known["T"] - known["recency"]).to_numpy()
    lower, upper = (np.maximum(np.rint(mean + z * spread - silence), 1.0) for z in (-1.2816, 1.2816))
    found = settled_coverage(lower, upper, seen["waited_days"].to_numpy(), seen["followed_days"].to_numpy())
    return {
        **found,
        "coverage": np.nan,
        "without_interval": 0.0,
        "median_width_days": float(np.median(upper - lower + 1.0)),
    }


def judged(log: crm_ml.CustomerLog, *, as_of: str, until: str) -> Iterator[tuple[str, Any]]:
    """Yield name and coverage of each way."""
    began = time.perf_counter()
    model = NextPurchaseModel().fit(log, as_of=as_of)
    seconds = time.perf_counter() - began
    outcomes = purchase_outcomes(model, log, as_of=as_of, until=until)
    process = type(model.process_).__name__.removesuffix("Model")
    yield f"model ({process} and own gaps, fitted in {seconds:.0f} s)", interval_coverage(outcomes)
    yield "process alone", interval_coverage(purchase_outcomes(process_alone(model), log, as_of=as_of, until=until))
    yield "own mean gap", mean_gap(log, outcomes, as_of=as_of)


def main() -> None:
    """Print one table."""
    head = ["data", "as of", "way", "all", "settled", "of", "never", "too early", "too late", "median width, days"]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    for name, log, as_of, until in cases():
        for way, found in judged(log, as_of=as_of, until=until):
            shares = [
                found[key]
                for key in ("coverage", "covered", "settled_share", "without_interval", "too_early", "too_late")
            ]
            cells = [f"{share:.1%}" for share in shares] + [f"{found['median_width_days']:.0f}"]
            sys.stdout.write(f"| {name} | {as_of} | {way} | {' | '.join(cells)} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
