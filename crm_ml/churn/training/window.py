"""One window of the horizon: how likely a customer stays silent in it who was silent until it began."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from crm_ml.churn.calibration import Calibration, Method, choose_calibration, fit_calibration
from crm_ml.churn.training.rehearsal import Rehearsal, TrainingRows, held_out_folds, rehearse, tune
from crm_ml.churn.venn_abers import VennAbers, fit_venn_abers
from crm_ml.features.ragged import Float, Int
from crm_ml.features.trees import SHALLOW, train_trees, tree_margins

__all__ = ["HeldOut", "Silence", "WindowModel", "fit_window"]

PARAMETERS = SHALLOW | {"objective": "binary:logistic", "max_depth": 4, "reg_lambda": 50}
"""Chosen on eight logs: a depth of 4 with this penalty was first or within noise of it on each."""


class Silence(NamedTuple):
    """A probability of no purchase and its bounds, each (n,) in [0, 1]."""

    probability: Float
    lower: Float
    upper: Float


class HeldOut(NamedTuple):
    """What was predicted, calibrated, for rows that the trees had not been trained on, and their cutoffs; (m,) each."""

    probability: Float
    cutoff: Int


@dataclass(frozen=True)
class WindowModel:
    """Trees, calibration and interval of one window.

    Attributes
    ----------
    booster : xgboost.Booster.
    calibration, interval : from log odds to probability, and from probability to its bounds.
    facts : what training was like, as plain data.
    """

    booster: Any
    calibration: Calibration
    interval: VennAbers
    facts: Mapping[str, Any]

    def predict(self, matrix: npt.NDArray[np.float32]) -> Silence:
        """Return the probability of no purchase in the window; the matrix is that of training."""
        probability = self.calibration(tree_margins(self.booster, matrix), matrix[:, -1].astype(np.float64))
        lower, upper = self.interval(probability)
        return Silence(probability, np.minimum(lower, probability), np.maximum(upper, probability))

    def to_dict(self) -> dict[str, Any]:
        """Return all but the trees as plain data."""
        return {
            "calibration": dataclasses.asdict(self.calibration),
            "interval": dataclasses.asdict(self.interval),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], booster: Any) -> Self:
        """Return the window that `to_dict` wrote."""
        calibration: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in stored["calibration"].items()
        }
        interval = VennAbers(**{key: tuple(value) for key, value in stored["interval"].items()})
        return cls(booster, Calibration(**calibration), interval, stored["facts"])


def fit_window(
    rows: TrainingRows,
    *,
    directions: Sequence[int],
    calibration: Method | None,
    process_column: bool,
    tuning_seconds: float | None,
    seed: int,
) -> tuple[WindowModel, HeldOut]:
    """Rehearse on what is held out, then grow the trees on all rows.

    Parameters
    ----------
    rows : both outcomes among them.
    directions : (p,) +1 if more of a feature can only raise the risk, -1 if it can only lower it, 0 if free.
    calibration : the method, or None to choose by the held-out windows.
    process_column : whether the last column holds the purchase process's log odds.
    tuning_seconds : time for random search of the trees' parameters.
    seed : of row and column sampling, and of the search.
    """
    constraints = "(" + ",".join(str(direction) for direction in directions) + ")"
    parameters: dict[str, float | int | str] = PARAMETERS | {"monotone_constraints": constraints}
    folds, held = held_out_folds(rows)
    if tuning_seconds is not None:
        parameters = tune(rows, folds, parameters=parameters, seed=seed, seconds=tuning_seconds)
    tried = rehearse(rows, folds, parameters=parameters, seed=seed)
    process = np.full(len(tried.held_out), np.nan)
    if process_column:
        process = rows.matrix[tried.held_out, -1].astype(np.float64)
    silent = rows.silent[tried.held_out]
    chosen, losses = _calibrated(calibration, tried, process, silent)
    booster = train_trees(rows.matrix, rows.silent, parameters=parameters, rounds=tried.rounds, seed=seed)
    cutoff = rows.cutoff[tried.held_out]
    latest = cutoff == cutoff.max()
    probability = chosen(tried.log_odds, process)
    interval = fit_venn_abers(probability[latest], silent[latest])
    facts = {
        "rows": len(rows.silent),
        "churned": float(rows.silent.mean()),
        "rounds": tried.rounds,
        "held_out": held,
        "held_out_rows": len(silent),
        "held_out_log_loss": losses,
        "calibration": chosen.method,
    }
    return WindowModel(booster, chosen, interval, facts), HeldOut(probability, cutoff)


def _calibrated(
    method: Method | None, tried: Rehearsal, process: Float, silent: Float
) -> tuple[Calibration, dict[str, float]]:
    if method is None:
        return choose_calibration(tried.log_odds, process, silent, tried.fold)
    return fit_calibration(method, tried.log_odds, process, silent), {"none": tried.log_loss}
