"""The door: a shop's events, checked once, cut into buckets of customers."""

from crm_ml.events.bucket import Bucket, Interactions, Lines, Transactions
from crm_ml.events.log import CustomerLog, monthly_cutoffs
from crm_ml.events.sample import load_sample
from crm_ml.events.simulator import SimulatedShop, simulate

__all__ = [
    "Bucket",
    "CustomerLog",
    "Interactions",
    "Lines",
    "SimulatedShop",
    "Transactions",
    "load_sample",
    "monthly_cutoffs",
    "simulate",
]
