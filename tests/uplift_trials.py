"""Simulated experiments whose effects are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class KnownTrial:
    features: pd.DataFrame
    arm: pd.Series
    outcome: pd.Series
    effects: pd.DataFrame  # a column per arm but the control
    baseline: pd.Series


def simulate_trial(rng: np.random.Generator, n: int, *, strength: float = 1.0, noise: float = 3.0, arms=("mail",)):
    """Draw customers whose effect rises with `orders`, is nothing for a third, and averages 1 where strength is 1.

    With a second arm, "call", the effect is the other way round and a little larger on average.
    """
    orders, days = rng.poisson(3, n), rng.exponential(60, n)
    channel = rng.choice(["phone", "web", "shop"], n)
    index = pd.Index([f"c{number:06d}" for number in range(n)], name="customer_id")
    features = pd.DataFrame({"orders": orders, "days": days, "channel": channel}, index=index)
    reached = channel != "shop"
    effects = {"mail": strength * (orders / 2) * reached, "call": strength * (2.5 - orders / 2) * reached}
    effects = pd.DataFrame({arm: effects[arm] for arm in arms}, index=index)
    baseline = pd.Series(5 + orders - days / 60, index=index)
    arm = pd.Series(rng.choice(["control", *arms], n), index=index, name="arm")
    gained = sum((arm == name) * effects[name] for name in arms)
    outcome = (baseline + gained + noise * rng.normal(size=n)).rename("margin")
    return KnownTrial(features, arm, outcome, effects, baseline)


def simulate_spenders(rng: np.random.Generator, n: int, *, share: float = 0.3):
    """Draw customers of very different value, whose noise is as large as it and whose mail adds a share of it."""
    value = rng.lognormal(2, 1, n)
    index = pd.Index([f"c{number:06d}" for number in range(n)], name="customer_id")
    features = pd.DataFrame({"clv": value, "days": rng.exponential(60, n)}, index=index)
    effects = pd.DataFrame({"mail": share * value}, index=index)
    baseline = pd.Series(value, index=index)
    arm = pd.Series(rng.choice(["control", "mail"], n), index=index, name="arm")
    outcome = (baseline + (arm == "mail") * effects["mail"] + value * rng.normal(size=n)).rename("margin")
    return KnownTrial(features, arm, outcome, effects, baseline)
