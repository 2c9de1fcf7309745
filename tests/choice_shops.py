"""Simulated logs whose process and seasons are known, lived customer by customer."""

import numpy as np
import pandas as pd

import crm_ml

START = pd.Timestamp("2022-01-01")


def simulate_log(rng, n, *, days, births, r, alpha, a, b, k=1, modified=False, season=None, scale=1.0):
    """Live `n` customers born on the first `births` days; purchases are every k-th event, parameters in weeks.

    `season` gives a rate's multiple, at most 2, for days since the start; a purchase spends about 20.
    """
    pace, leave = rng.gamma(r, 1.0 / alpha, n) / 7.0, rng.beta(a, b, n)
    typical = 20.0 * scale * rng.gamma(4.0, 0.25, n)
    clock, stage, alive, events = rng.integers(0, births, n).astype(float), np.zeros(n), np.ones(n, dtype=bool), []

    def buy(rows, *, may_leave):
        events.append(pd.DataFrame({"who": rows, "day": np.floor(clock[rows])}))
        stage[rows] = 0
        if may_leave:
            alive[rows] = rng.random(len(rows)) > leave[rows]

    buy(np.arange(n), may_leave=modified)
    while alive.any():
        clock += rng.exponential(1.0, n) / (pace * (2.0 if season else 1.0))
        stage += rng.random(n) < season(clock) / 2.0 if season else 1.0
        alive &= clock < days
        buy(np.flatnonzero(alive & (stage == k)), may_leave=True)
    bought = pd.concat(events).drop_duplicates()
    who = bought["who"].to_numpy()
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in who],
            "timestamp": START + pd.to_timedelta(bought["day"].to_numpy(), unit="D"),
            "amount": typical[who] * rng.gamma(6.0, 1.0 / 6.0, len(who)),
        }
    )


def simulated_shop(seed, n, **settings):
    return crm_ml.CustomerLog(simulate_log(np.random.default_rng(seed), n, **settings), threads=1, n_buckets=1)
