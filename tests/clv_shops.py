"""The CDNOW sample as a frame of histories, and simulated BG/NBD shops."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

CDNOW = {"r": 0.24259451, "alpha": 4.41360171, "a": 0.79292216, "b": 2.42590736}
CDNOW_SPEND = {"p": 6.24957, "q": 3.74422, "gamma": 15.44351}


@cache
def cdnow_log():
    """Purchase days of the CDNOW sample, read from the file in the lifetimes wheel without importing it."""
    spec = importlib.util.find_spec("lifetimes")
    log = pd.read_csv(
        Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt",
        sep=r"\s+",
        header=None,
        names=["master_id", "customer_id", "date", "units", "amount"],
        dtype={"date": str},
    )
    log["date"] = pd.to_datetime(log["date"], format="%Y%m%d")
    return log.groupby(["customer_id", "date"], as_index=False)["amount"].sum()


def cdnow_rfm(end="1997-09-30", days_per_unit=7.0):
    end = pd.Timestamp(end)
    days = cdnow_log()[lambda log: log["date"] <= end]
    by_customer = days.groupby("customer_id")["date"]
    first = by_customer.min()
    repeats = days[days["date"] > days["customer_id"].map(first)]
    return pd.DataFrame(
        {
            "frequency": by_customer.size() - 1.0,
            "recency": (by_customer.max() - first).dt.days / days_per_unit,
            "T": (end - first).dt.days / days_per_unit,
            "monetary_value": repeats.groupby("customer_id")["amount"].mean(),
        }
    ).fillna({"monetary_value": 0.0})


def simulate_shop(rng, n, *, r, alpha, a, b, T, horizon=0.0, spend=None, dropout=None, modified=False):
    """Live every customer purchase by purchase; return the histories with what follows within the horizon."""
    pace = rng.gamma(r, 1.0 / alpha, n)
    leave = rng.beta(a, b, n) if dropout is None else np.full(n, dropout)
    T = np.broadcast_to(np.asarray(T, dtype=float), n)
    spend_rate = rng.gamma(spend["q"], 1.0 / spend["gamma"], n) if spend else np.ones(n)
    x, t_x, clock, total, later, later_value = np.zeros((6, n))
    alive = rng.random(n) > leave if modified else np.ones(n, dtype=bool)
    while alive.any():
        clock = clock + rng.exponential(1.0, n) / pace
        amount = rng.gamma(spend["p"], 1.0, n) / spend_rate if spend else np.ones(n)
        within, after = alive & (clock <= T), alive & (clock > T) & (clock <= T + horizon)
        x, t_x, total = x + within, np.where(within, clock, t_x), total + within * amount
        later, later_value = later + after, later_value + after * amount
        alive = (within | after) & (rng.random(n) > leave)
    rfm = pd.DataFrame({"frequency": x, "recency": t_x, "T": T})
    rfm["monetary_value"] = np.where(x > 0, total / np.maximum(x, 1.0), 0.0)
    return rfm.assign(later_purchases=later, later_value=later_value)
