"""Shops whose truth is known: for tests, benchmarks and teaching."""

from crm_ml.events.simulator.shop import SimulatedShop, simulate

__all__ = ["SimulatedShop", "simulate"]
