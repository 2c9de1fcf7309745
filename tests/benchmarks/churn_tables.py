"""Measures of churn predictors and their differences as Markdown, and what the differences amount to."""

from __future__ import annotations

import pandas as pd

MEASURES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier",
    "brier_miscalibration": "miscalibration",
    "brier_discrimination": "discrimination",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "calibration_slope": "slope",
    "lift_1": "lift 1 %",
    "lift_5": "lift 5 %",
    "lift_10": "lift 10 %",
    "lift_20": "lift 20 %",
}
COMPARED = {"auc": 1, "average_precision": 1, "brier": -1, "log_loss": -1, "lift_10": 1}
"""Measures that are compared: 1 where more is better, −1 where less is."""


def measures_table(summary: pd.DataFrame) -> list[str]:
    """Return the lines of `crm_ml.evaluation.Backtest.summary`."""
    lines = _head("predictor", *MEASURES.values())
    for name, row in summary.iterrows():
        shown = [f"{row[measure]:.{2 if measure.startswith('lift') else 4}f}" for measure in MEASURES]
        lines.append(_row(str(name), *shown))
    return lines


def leads(compared: pd.DataFrame) -> pd.DataFrame:
    """Return model minus rival from the rivals' differences from the model (`Backtest.compare`)."""
    exact = compared[["difference", "lower", "upper"]].round(12)  # lifts that are equal may differ by rounding
    return pd.DataFrame(
        {
            "predictor": compared["predictor"],
            "measure": compared["measure"],
            "difference": 0.0 - exact["difference"],
            "lower": 0.0 - exact["upper"],
            "upper": 0.0 - exact["lower"],
        }
    )


def leads_table(found: pd.DataFrame) -> list[str]:
    """Return the lines of `leads`, a row per rival."""
    lines = _head("model minus", *(MEASURES[measure] for measure in COMPARED))
    for name, rows in found.groupby("predictor", sort=False):
        by_measure = rows.set_index("measure")
        cells = [by_measure.loc[measure] for measure in COMPARED]
        shown = [f"{cell['difference']:+.4f} [{cell['lower']:+.4f}, {cell['upper']:+.4f}]" for cell in cells]
        lines.append(_row(str(name), *shown))
    return lines


def verdict(found: pd.DataFrame) -> str:
    """Say for each measure whether the model is best, tied with some rival, or beaten by some.

    It is tied with a rival where the interval of their difference holds 0, ends included.
    """
    said = []
    for measure, sign in COMPARED.items():
        rows = found[found["measure"] == measure]
        tied = (rows["lower"] <= 0) & (rows["upper"] >= 0)
        beaten = ~tied & (sign * rows["difference"] < 0)
        if beaten.any():
            word = f"beaten by {', '.join(rows.loc[beaten, 'predictor'])}"
        else:
            word = f"tied with {', '.join(rows.loc[tied, 'predictor'])}" if tied.any() else "best"
        said.append(f"{MEASURES[measure]} {word}")
    return "; ".join(said) + "."


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
