"""The budget plan at scale, each in a process of its own: gap, time beside sorting one column, memory.

python tests/benchmarks/budget.py [customers ...]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from crm_ml import BudgetConstraints, Offer, allocate_budget

OFFERS = [
    Offer("mail", 0.1, save_rate=0.01, channel="mail"),
    Offer("coupon", 5, save_rate=0.1, channel="mail"),
    Offer("gift", 12, save_rate=0.18, channel="post"),
    Offer("call", 25, save_rate=0.25, channel="phone"),
]


def make_customers(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    customers = pd.DataFrame({"churn_probability": rng.beta(1, 3, count), "clv": rng.lognormal(4, 1, count)})
    codes = rng.integers(0, 5, count).astype(np.int8)
    return customers.assign(segment=pd.Categorical.from_codes(codes, list("abcde"))).rename_axis("customer_id")


def constraints_for(count: int) -> dict[str, BudgetConstraints | None]:
    return {
        "one budget": None,
        "and three constraints": BudgetConstraints(
            channel_budgets={"post": 0.2 * count},
            contact_caps={"call": count // 200},
            segment="segment",
            minimum_shares={"a": 0.3},
        ),
    }


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(count: int, kept: str) -> None:
    allocate_budget(make_customers(1_000), OFFERS, 600.0, constraints=constraints_for(1_000)[kept])  # compiles
    customers = make_customers(count)
    column, given = customers["clv"].to_numpy(), peak_gib()
    started = time.perf_counter()
    np.sort(column)
    sorted_in = time.perf_counter() - started
    customers["clv"].sort_values()
    ranked_in = time.perf_counter() - started - sorted_in
    started = time.perf_counter()
    plan = allocate_budget(customers, OFFERS, 0.6 * count, constraints=constraints_for(count)[kept])
    took = time.perf_counter() - started
    sys.stdout.write(
        f"{count:>11,}  {kept:22}  {plan.gap:9.1e}  {took:7.2f}  {took / sorted_in:9.1f}  {took / ranked_in:11.1f}"
        f"  {given:9.2f}  {peak_gib():9.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    if "--one" in sys.argv:
        measure(int(sys.argv[2]), sys.argv[3])
        return
    sys.stdout.write(
        "  customers  limits                       gap  seconds  x np.sort  x pandas sort  GiB given  GiB peak\n"
    )
    sys.stdout.flush()
    for count in [int(given) for given in sys.argv[1:]] or [1_000_000, 10_000_000]:
        for kept in constraints_for(count):
            subprocess.run([sys.executable, __file__, "--one", str(count), kept], check=True)


if __name__ == "__main__":
    main()
