"""Trees for averages in much noise: one set for each fold left out, as many as serve the customers left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crm_ml.features.trees import SHALLOW, growing_trees, train_trees, tree_margins

__all__ = ["Task", "Trees", "fold_trees"]

Floats = NDArray[np.float64]

STAGE, PATIENCE, MOST_ROUNDS = 10, 4, 200
"""Trees between looks at the held-out loss, looks without gain before growing ends, trees at most."""

LEAF_SHARE = 0.01
"""Of the customers trained on, so many are in a leaf at least, and as many draw its level towards 0."""


class Task(NamedTuple):
    """What to train on and whom to hold out: matrices (n, p) and targets (n,)."""

    matrix: Floats
    target: Floats
    held_out: Floats
    held_target: Floats


@dataclass(frozen=True)
class Trees:
    """Trees grown on a standardised target.

    Attributes
    ----------
    booster : xgboost.Booster or None
        None for no trees.
    level, scale : float
        Mean and standard deviation of the target.
    """

    booster: Any
    level: float
    scale: float

    def __call__(self, matrix: Floats) -> Floats:
        """Return the prediction for each row."""
        if self.booster is None:
            return np.full(len(matrix), self.level)
        return self.level + self.scale * tree_margins(self.booster, matrix)


def fold_trees(tasks: Sequence[Task], *, seed: int) -> tuple[list[Trees], int]:
    """Grow trees for every task, all equally many: as many as give the lowest squared error on what is held out.

    That number may be 0; then each prediction is the mean of what was trained on.

    Parameters
    ----------
    tasks : sequence of Task
        One per fold.
    seed : int
        Of row and column sampling.

    Returns
    -------
    list of Trees, one per task, and their number of trees.

    Examples
    --------
    >>> x = np.arange(400)[:, None] / 400
    >>> step = (x[:, 0] > 0.5) * 2.0
    >>> halves = [Task(x[::2], step[::2], x[1::2], step[1::2])]
    >>> trees, rounds = fold_trees(halves, seed=0)
    >>> trees[0](np.array([[0.2], [0.8]])).round(1)
    array([0., 2.])
    """
    scaled = [_standardised(task.target) for task in tasks]
    settings = [_settings(len(task.target)) for task in tasks]
    rounds = _best_rounds(tasks, scaled, settings, seed=seed)
    found = []
    for task, (target, level, scale), parameters in zip(tasks, scaled, settings, strict=True):
        booster = None
        if rounds:
            booster = train_trees(task.matrix, target, parameters=parameters, rounds=rounds, seed=seed)
        found.append(Trees(booster, level, scale))
    return found, rounds


def _standardised(target: Floats) -> tuple[Floats, float, float]:
    level, scale = float(target.mean()), float(target.std())
    return (target - level) / (scale or 1.0), level, scale


def _settings(rows: int) -> dict[str, float | int | str]:
    leaf = max(float(SHALLOW["min_child_weight"]), LEAF_SHARE * rows)
    own: dict[str, float | int | str] = {
        "objective": "reg:squarederror",
        "base_score": 0.0,
        "min_child_weight": leaf,
        "reg_lambda": leaf,
    }
    return {**SHALLOW, **own}


def _best_rounds(
    tasks: Sequence[Task],
    scaled: Sequence[tuple[Floats, float, float]],
    settings: Sequence[dict[str, float | int | str]],
    *,
    seed: int,
) -> int:
    growing = [
        growing_trees(task.matrix, target, parameters=parameters, seed=seed)
        for task, (target, _, _), parameters in zip(tasks, scaled, settings, strict=True)
    ]
    away = [task.held_target - level for task, (_, level, _) in zip(tasks, scaled, strict=True)]
    lowest, best = sum(float(rest @ rest) for rest in away), 0
    for rounds in range(STAGE, MOST_ROUNDS + 1, STAGE):
        loss = 0.0
        for grow, task, (_, _, scale), rest in zip(growing, tasks, scaled, away, strict=True):
            left = rest - scale * grow(STAGE, task.held_out)
            loss += float(left @ left)
        if loss < lowest:
            lowest, best = loss, rounds
        elif rounds >= best + PATIENCE * STAGE:
            break
    return best
