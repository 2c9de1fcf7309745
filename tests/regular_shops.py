"""The grocery log of regular buyers, and simulated shops with Erlang gaps and a first chance to leave."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LOG = Path(__file__).parents[1].parent / "shared" / "data" / "grocery_elog.parquet"


@cache
def grocery_log():
    if not LOG.exists():
        pytest.skip("the grocery log, which does not come with the project, is absent")
    return pd.read_parquet(LOG).drop_duplicates().sort_values(["customer_id", "date"])


@cache
def grocery_rfm(days_per_unit=7.0):
    """Histories up to the end of 2006 with the purchases of 2007."""
    log, end = grocery_log(), pd.Timestamp("2006-12-31")
    seen = log[log["date"] <= end].groupby("customer_id")["date"]
    first = seen.min()
    gaps = seen.diff().dt.days / days_per_unit
    rfm = pd.DataFrame(
        {
            "frequency": seen.size() - 1.0,
            "recency": (seen.max() - first).dt.days / days_per_unit,
            "T": (end - first).dt.days / days_per_unit,
            "sum_log_gaps": np.log(gaps).groupby(log["customer_id"]).sum(),
        }
    )
    later = log[log["date"] > end].groupby("customer_id").size()
    return rfm.assign(later_purchases=later.reindex(rfm.index, fill_value=0))


def simulate_regular_shop(rng, n, *, r, alpha, a, b, k, modified, T, horizon=0.0):
    """Live every customer purchase by purchase; return histories, whether alive at T, and what follows."""
    pace, leave = rng.gamma(r, 1.0 / alpha, n), rng.beta(a, b, n)
    T = np.broadcast_to(np.asarray(T, dtype=float), n)
    x, t_x, log_gaps, clock, later, later_sum = np.zeros((6, n))
    stays = rng.random(n) > leave if modified else np.ones(n, dtype=bool)
    alive_at_T = np.zeros(n, dtype=bool)
    while stays.any():
        gap = rng.gamma(k, 1.0, n) / pace
        clock = clock + gap
        within, after = stays & (clock <= T), stays & (clock > T) & (clock <= T + horizon)
        alive_at_T |= stays & (clock > T)
        x, t_x, log_gaps = x + within, np.where(within, clock, t_x), log_gaps + np.where(within, np.log(gap), 0.0)
        later, later_sum = later + after, later_sum + np.where(after, clock - T, 0.0)
        stays = (within | after) & (rng.random(n) > leave)
    return pd.DataFrame(
        {
            "frequency": x,
            "recency": t_x,
            "T": T,
            "sum_log_gaps": log_gaps,
            "alive": alive_at_T,
            "later_purchases": later,
            "later_time": later_sum,
        }
    )
