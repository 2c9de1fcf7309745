"""Generated shops with everything awkward in them: ties, edges, leap days, returns, empty and silent customers."""

from __future__ import annotations

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)
COLUMNS = ["customer_id", "timestamp", "amount", "order_id"]
EVENT_COLUMNS = ["customer_id", "timestamp", "event_type", "value"]
COLLIDING = ("shop-customer-01", "crjicgnpdt<IfwSW")
"""Two identifiers with the same hash."""

AWKWARD_NAMES = {
    4: COLLIDING[0],
    5: COLLIDING[1],
    6: " led by a space",
    12: "a 'single' and a \"double\" quote",
    13: "Ωmega, Ünïcödé 顧客 🛒",
    14: "x",
    15: "k" * 1000,
    20: "-17",
    21: "semi;colon, comma\tand tab",
    22: "'; DROP TABLE transactions; --",
}


def awkward_shop(seed: int, *, cutoff: pd.Timestamp, n_customers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return transactions and interactions around a cutoff, most before it, many exactly on an edge."""
    draw = np.random.default_rng(seed)
    edges = [cutoff - days * DAY for days in (0, 1, 30, 90, 365)]
    edges += [edge + pd.Timedelta(1, "us") for edge in edges] + [cutoff - pd.Timedelta(1, "us")]
    bought: list[tuple[object, ...]] = []
    acted: list[tuple[object, ...]] = []
    for number in range(n_customers):
        name = AWKWARD_NAMES.get(number, f"c{number:03d}")
        style = number % 8  # 0 buys once, 1 only returns, 2 only acts, else any number of purchases
        count = {0: 1, 1: 2, 2: 0}.get(style, int(draw.integers(1, 14)))
        times = [cutoff + pd.Timedelta(int(draw.integers(-500 * 24, 60 * 24)), "h") for _ in range(count)]
        times = [edges[draw.integers(len(edges))] if draw.random() < 0.25 else time for time in times]
        times = [times[0].floor("D") if draw.random() < 0.15 else time for time in times]
        for at, time in enumerate(times):
            order = None if draw.random() < 0.4 else f"o{draw.integers(6)}"
            amount = round(float(draw.gamma(2, 15)), 2) * (0 if draw.random() < 0.1 else 1)
            if style == 1 or (style == 3 and at == 0) or draw.random() < 0.12:
                amount = -amount
            bought.append((name, time, amount, order))
            if draw.random() < 0.2:
                bought.append((name, time, round(float(draw.normal(5, 6)), 2), order))
        for _ in range(int(draw.integers(1, 20)) if style in (2, 4, 5, 6) else 0):
            time = cutoff + pd.Timedelta(int(draw.integers(-200 * 24, 40 * 24)), "h")
            time = edges[draw.integers(len(edges))] if draw.random() < 0.25 else time
            value = np.nan if draw.random() < 0.5 else float(draw.integers(9))
            acted.append((name, time, str(draw.choice(["view", "cart", "e-mail open"])), value))
    return pd.DataFrame(bought, columns=COLUMNS), pd.DataFrame(acted, columns=EVENT_COLUMNS)


def with_details(bought: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return transactions with a category, a quantity and a discount for most lines."""
    draw = np.random.default_rng(seed)
    n = len(bought)
    return bought.assign(
        category=draw.choice(["hats", "shoes", "bags", None], n, p=[0.4, 0.3, 0.2, 0.1]),
        quantity=np.where(draw.random(n) < 0.1, np.nan, draw.integers(0, 5, n)),
        discount=np.where(draw.random(n) < 0.2, np.nan, np.round(draw.gamma(1, 2, n) * (draw.random(n) < 0.5), 2)),
    )
