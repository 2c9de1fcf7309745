"""The logs that churn predictors are compared on, with the windows they are judged in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from holdouts import cdnow

import crm_ml
from crm_ml.evaluation import TrainingDesign

SHARED = Path(__file__).resolve().parents[3] / "shared"
"""Folder of the logs that do not travel with the project."""


class Judged(NamedTuple):
    """A log, opened when it is wanted, with the windows predictors are judged in; without `path` it travels along."""

    title: str
    open: Callable[[], crm_ml.CustomerLog]
    design: TrainingDesign
    cutoffs: tuple[str, ...]
    path: Path | None = None


def retail(path: Path) -> crm_ml.CustomerLog:
    """Views, carts and orders of buyers at an online retailer; an order's lines, which have no amounts, are one."""
    rows = pd.read_parquet(path)
    bought = rows["event"] == "transaction"
    orders = rows[bought].drop_duplicates(["customer_id", "timestamp"]).assign(amount=1.0)
    return crm_ml.CustomerLog(
        orders[["customer_id", "timestamp", "amount"]],
        rows.loc[~bought, ["customer_id", "timestamp", "event"]].rename(columns={"event": "event_type"}),
    )


def grocery(path: Path) -> crm_ml.CustomerLog:
    """Days of purchases at an online grocer, without amounts."""
    return crm_ml.CustomerLog(pd.read_parquet(path).assign(amount=1.0), columns={"date": "timestamp"})


def cdnow_paid() -> crm_ml.CustomerLog:
    """All customers of CDNOW, without the orders that cost nothing."""
    bought = cdnow("master")
    return crm_ml.CustomerLog(bought[bought["amount"] > 0])


def simulated(settings: Mapping[str, Any]) -> crm_ml.CustomerLog:
    """A shop of 3,000 customers and 540 days."""
    shop = crm_ml.simulate(3_000, days=540, start="2024-01-01", seed=11, **settings)
    return crm_ml.CustomerLog(shop.transactions, shop.interactions)


SHOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "simulated": ("interactions warn for 45 days", {}),
    "unwarned": ("no warning", {"warning_days": 0.0}),
    "regular": ("regular buyers, every 40 days", {"regularity": 4.0, "purchase_scale_days": 40.0}),
    "brief": (
        "frequent buyers who soon leave",
        {"purchase_scale_days": 10.0, "leaving_scale_days": 120.0, "acquisition_share": 0.9},
    ),
}


def judged_logs(shared: Path) -> dict[str, Judged]:
    """Name the logs in order of the tables."""
    events, baskets = shared / "data/retailrocket_buyers_events.parquet", shared / "data/grocery_elog.parquet"
    ever = {"lookback_days": None}
    firsts = tuple(f"2017-{month:02}-01" for month in range(8, 13))
    found = {
        "sample": Judged("Complete Journey", crm_ml.load_sample, TrainingDesign(), firsts),
        "retail": Judged(
            "Retail events",
            partial(retail, events),
            TrainingDesign(**ever, history_days=30),
            ("2015-08-01", "2015-08-10", "2015-08-18"),
            events,
        ),
        "cdnow": Judged(
            "CDNOW master",
            cdnow_paid,
            TrainingDesign(horizon_days=90, **ever),
            ("1997-10-01", "1998-01-01", "1998-04-01"),
        ),
        "grocery": Judged(
            "Grocery",
            partial(grocery, baskets),
            TrainingDesign(horizon_days=60, lookback_days=365),
            ("2007-01-01", "2007-04-01", "2007-07-01", "2007-10-01"),
            baskets,
        ),
    }
    for name, (what, settings) in SHOPS.items():
        months = ("2025-01-01", "2025-03-01", "2025-05-01")
        found[name] = Judged(f"Simulated: {what}", partial(simulated, settings), TrainingDesign(), months)
    return found
