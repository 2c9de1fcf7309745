"""How early the churn model, the rule and BG/NBD notice who has left, on simulated shops, at equal alert volume.

Run from the repository's root with ``PYTHONPATH=tests python tests/benchmarks/alarms.py``; prints a Markdown table.

Every Monday of half a year each alarm names customers who bought within the last 60 days; the rule names those it
fires for, the others as many of the riskiest, nobody twice within 30 days. What is known of these shops is when each
customer left, unseen: 60 days later their last possible purchase is 60 days old, and everyone knows. An alarm is right
if the customer left before the log's end and no purchase followed it, else false. The days are those from a customer's
first right alarm to that moment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd

import crm_ml
from crm_ml.churn import ChurnModel, LogisticBaseline, PurchaseProcessBaseline, RetentionTrigger, replay_alarms
from crm_ml.evaluation import TrainingDesign

CUSTOMERS, DAYS, HORIZON_DAYS = 4_000, 730, 60
MONDAYS = pd.date_range("2025-04-07", "2025-09-29", freq="7D", tz="UTC")
SHOPS: dict[str, dict[str, Any]] = {
    "interactions warn for 45 days": {},
    "interactions warn for 90 days": {"warning_days": 90.0},
    "no warning": {"warning_days": 0.0},
    "no warning, regular buyers": {"warning_days": 0.0, "regularity": 6.0},
    "warning, irregular buyers": {"regularity": 0.5},
}


def alarms() -> dict[str, Any]:
    """Name what is compared: the same horizon and customers for all that learn."""
    within = {"horizon_days": HORIZON_DAYS, "lookback_days": HORIZON_DAYS}
    return {
        "rule (+30 %, −50 %)": RetentionTrigger(),
        "churn model": ChurnModel(**within),
        "BG/NBD": PurchaseProcessBaseline(),
        "recency alone": LogisticBaseline(["recency_days"], design=TrainingDesign(**within)),
    }


def judged(seed: int, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per alarm."""
    shop = crm_ml.simulate(CUSTOMERS, days=DAYS, seed=seed, n_campaigns=0, purchase_scale_days=20.0, **settings)
    log = crm_ml.CustomerLog(shop.transactions, shop.interactions)
    replay = replay_alarms(log, alarms(), cutoffs=MONDAYS, horizon_days=HORIZON_DAYS, lookback_days=HORIZON_DAYS)
    bought = shop.transactions[shop.transactions["amount"] >= 0]
    truth = shop.customers[["left_at"]].assign(last=bought.groupby("customer_id")["timestamp"].max())
    known = replay.alerts.join(truth, on="customer_id")
    known["right"] = known["left_at"].notna() & (known["as_of"] > known["last"])
    closes = known["left_at"] + pd.Timedelta(days=HORIZON_DAYS)
    known["days_before"] = (closes - known["as_of"]) / pd.Timedelta(days=1)
    departed = truth.index[truth["left_at"].between(MONDAYS[0], MONDAYS[-1])]
    for name, own in known.groupby("alarm", sort=False):
        caught = own[own["right"] & own["customer_id"].isin(departed)].groupby("customer_id")["days_before"].max()
        yield {
            "alarm": name,
            "alerts a week": f"{len(own) / len(MONDAYS):.0f}",
            "false": f"{1 - own['right'].mean():.0%}",
            "departed": f"{len(departed):,}",
            "alarmed": f"{len(caught) / len(departed):.0%}",
            "days before, median": f"{caught.median():.0f}",
            "later quarter": f"{caught.quantile(0.25):.0f}",
            "mean, 0 without alarm": f"{caught.sum() / len(departed):.1f}",
        }


def main() -> None:
    """Print one table."""
    head: list[str] = []
    for seed, (name, settings) in enumerate(SHOPS.items(), start=1):
        for row in judged(seed, settings):
            if not head:
                head = ["shop", *row]
                sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
            sys.stdout.write(f"| {name} | {' | '.join(row.values())} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
