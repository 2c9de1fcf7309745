"""Models small enough to check by hand that follow the contract of stored models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import pandas as pd


class ToyChurn:
    kind: ClassVar[str] = "churn"
    input_columns = ("recency_days", "orders")

    def __init__(self, *, slope: float) -> None:
        self.slope = slope

    def to_files(self) -> dict[str, bytes]:
        return {"model.json": json.dumps({"slope": self.slope}).encode(), "trees/booster.ubj": b"{}\x00\xff"}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        return cls(slope=json.loads(files["model.json"])["slope"])

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        orders = frame["orders"].fillna(0.0)
        probability = 1.0 / (1.0 + np.exp(-self.slope * frame["recency_days"] + orders))
        return pd.DataFrame(
            {
                "churn_probability": probability,
                "churn_lower": probability / 2,
                "churn_upper": (1 + probability) / 2,
                "horizon_days": 30,
            },
            index=frame.index,
        )

    def synthetic_example(self) -> pd.DataFrame:
        return pd.DataFrame({"recency_days": [1.0, 40.0], "orders": [3.0, np.nan]})


class ToyCLV:
    kind: ClassVar[str] = "clv"
    input_columns = ("frequency", "recency", "T", "monetary_value")

    def __init__(self, *, rate: float) -> None:
        self.rate = rate

    def to_files(self) -> dict[str, bytes]:
        return {"model.json": json.dumps({"rate": self.rate}).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        return cls(rate=json.loads(files["model.json"])["rate"])

    def predict(
        self, frame: pd.DataFrame, *, horizon_days: float, annual_discount_rate: float, margin: float
    ) -> pd.DataFrame:
        years = horizon_days / 365.0
        clv = margin * self.rate * horizon_days * frame["monetary_value"] / (1 + annual_discount_rate) ** years
        return pd.DataFrame({"expected_purchases": self.rate * horizon_days, "clv": clv}, index=frame.index)

    def synthetic_example(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "frequency": [0.0, 3.0],
                "recency": [0.0, 50.0],
                "T": [60.0, 70.0],
                "monetary_value": [0.0, 20.0],
            }
        )
