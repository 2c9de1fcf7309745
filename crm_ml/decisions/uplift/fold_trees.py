"""Trees for averages in much noise: one set for each fold left out, as many as serve customers not trained on.

The number of trees is settled within what each set is trained on. If the fold left out had a say in it, as it well
might to save time, predictions for that fold would look better than they are: trees are stopped where noise agrees.
"""

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
"""Trees between looks at the loss, looks without gain before growing ends, trees at most."""

LEAF_SHARE = 0.01
"""Of the customers trained on, so many are in a leaf at least, and as many draw its level towards 0."""

JUDGES = 4
"""One in so many customers judges the number of trees."""


class Task(NamedTuple):
    """What to train on: a matrix (n, p) and a target (n,)."""

    matrix: Floats
    target: Floats


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
    """Grow trees for every task, as many as give the lowest squared error when learnt from three quarters of it.

    That number may be 0; then each prediction is the mean of what was trained on.

    Parameters
    ----------
    tasks : sequence of Task
        One per fold.
    seed : int
        Of the quarter that judges, and of row and column sampling.

    Returns
    -------
    list of Trees, one per task, and the median of their numbers of trees.

    Examples
    --------
    >>> x = np.arange(400)[:, None] / 400
    >>> trees, rounds = fold_trees([Task(x, (x[:, 0] > 0.5) * 2.0)], seed=0)
    >>> trees[0](np.array([[0.2], [0.8]])).round(1)
    array([0., 2.])
    """
    found, all_rounds = [], []
    for task in tasks:
        rounds = _best_rounds(task, seed=seed)
        target, level, scale = _standardised(task.target)
        booster = None
        if rounds:
            parameters = _settings(len(target))
            booster = train_trees(task.matrix, target, parameters=parameters, rounds=rounds, seed=seed)
        found.append(Trees(booster, level, scale))
        all_rounds.append(rounds)
    return found, int(np.median(all_rounds))


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


def _best_rounds(task: Task, *, seed: int) -> int:
    judges = np.random.default_rng(seed).permutation(len(task.target)) % JUDGES == 0
    target, level, scale = _standardised(task.target[~judges])
    grow = growing_trees(task.matrix[~judges], target, parameters=_settings(len(target)), seed=seed)
    rows, rest = task.matrix[judges], task.target[judges] - level
    lowest, best = float(rest @ rest), 0
    for rounds in range(STAGE, MOST_ROUNDS + 1, STAGE):
        left = rest - scale * grow(STAGE, rows)
        loss = float(left @ left)
        if loss < lowest:
            lowest, best = loss, rounds
        elif rounds >= best + PATIENCE * STAGE:
            break
    return best
