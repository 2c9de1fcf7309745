"""Three ways to learn an effect from an experiment: two models, crossed imputations, doubly robust scores.

T and X after Künzel, Sekhon, Bickel and Yu (2019, *PNAS* 116:4156-4165), DR after Kennedy (2023, *Electronic
Journal of Statistics* 17:3008-3049). Whatever is said of a customer comes from trees that saw no one of the
customer's fold. One exception is harmless: doubly robust scores of other folds hold outcomes expected by trees that
did; what they say wrongly is weighed by the assignment, which is random, and averages out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crm_ml.decisions.uplift.fold_trees import Task, Trees, fold_trees
from crm_ml.decisions.uplift.outcomes import ExpectedOutcomes
from crm_ml.decisions.uplift.trial import Trial

__all__ = ["LEARNERS", "FoldModels", "Learner", "Lesson", "learn_effect", "learn_outcome"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Learner = Literal["dr", "x", "t"]
Weighted = tuple[tuple[float, Trees], ...]


@dataclass(frozen=True)
class Lesson:
    """All that is known of an experiment before effects are learnt from it.

    Attributes
    ----------
    matrix : ndarray of shape (n, p)
    trial : Trial of n customers
    fold : ndarray of shape (n,)
    outcomes : ExpectedOutcomes
    scores : ndarray of shape (n, n_arms)
        Of `crm_ml.decisions.uplift.outcomes.arm_scores`.
    """

    matrix: Floats
    trial: Trial
    fold: Integers
    outcomes: ExpectedOutcomes
    scores: Floats


@dataclass(frozen=True)
class FoldModels:
    """Something learnt with each fold left out, less its mean over that fold.

    Attributes
    ----------
    models : tuple over folds
        Each a weighted sum of trees.
    centres : tuple over folds of float
        Mean predicted for the fold left out.
    """

    models: tuple[Weighted, ...]
    centres: tuple[float, ...]

    def __call__(self, matrix: Floats) -> Floats:
        """Return how far above average each fold's model sees each row: (n, n_folds)."""
        columns = [_sum(model, matrix) - centre for model, centre in zip(self.models, self.centres, strict=True)]
        return np.column_stack(columns)


def learn_effect(learner: Learner, lesson: Lesson, *, arm: int, seed: int) -> tuple[FoldModels, Floats, int]:
    """Learn how an arm's effect differs between customers.

    Parameters
    ----------
    learner : {"dr", "x", "t"}
    lesson : Lesson
    arm : int
        Position of the arm, from 1.
    seed : int

    Returns
    -------
    FoldModels, how far above average each customer is seen by the model of the own fold, (n,), and how many trees
    were worth growing for the effect itself, the median over folds.
    """
    models, rounds = LEARNERS[learner](lesson, arm, seed)
    return *_centred(models, lesson), rounds


def learn_outcome(lesson: Lesson) -> tuple[FoldModels, Floats]:
    """Return what customers are expected to bring, the mean over arms, as `learn_effect` does the effect."""
    share = 1.0 / len(lesson.trial.arms)
    by_fold = zip(*lesson.outcomes.trees, strict=True)
    return _centred([tuple((share, trees) for trees in arms) for arms in by_fold], lesson)


def _centred(models: list[Weighted], lesson: Lesson) -> tuple[FoldModels, Floats]:
    out_of_fold, centres = np.empty(len(lesson.matrix)), []
    for held, model in enumerate(models):
        here = lesson.fold == held
        found = _sum(model, lesson.matrix[here])
        centres.append(float(found.mean()))
        out_of_fold[here] = found - centres[-1]
    return FoldModels(tuple(models), tuple(centres)), out_of_fold


def _two_models(lesson: Lesson, arm: int, _seed: int) -> tuple[list[Weighted], int]:
    pairs = zip(lesson.outcomes.trees[arm], lesson.outcomes.trees[0], strict=True)
    return [((1.0, treated), (-1.0, control)) for treated, control in pairs], lesson.outcomes.rounds[arm]


def _crossed(lesson: Lesson, arm: int, seed: int) -> tuple[list[Weighted], int]:
    """Impute each arm's effects by the other's trees, and weigh the two by the other arm's share."""
    sides = []
    for side, other, sign in ((arm, 0, 1.0), (0, arm, -1.0)):
        in_arm, tasks = lesson.trial.arm == side, []
        for held, elsewhere in enumerate(lesson.outcomes.trees[other]):
            own = in_arm & (lesson.fold != held)
            imputed = sign * (lesson.trial.outcome[own] - elsewhere(lesson.matrix[own]))
            tasks.append(Task(lesson.matrix[own], imputed))
        sides.append(fold_trees(tasks, seed=seed))
    (by_treated, rounds), (by_control, _) = sides
    share = float(lesson.trial.propensity[arm] / (lesson.trial.propensity[arm] + lesson.trial.propensity[0]))
    pairs = zip(by_treated, by_control, strict=True)
    return [((1.0 - share, treated), (share, control)) for treated, control in pairs], rounds


def _doubly_robust(lesson: Lesson, arm: int, seed: int) -> tuple[list[Weighted], int]:
    effect = lesson.scores[:, arm] - lesson.scores[:, 0]
    tasks = []
    for held in range(len(lesson.outcomes.trees[0])):
        out = lesson.fold == held
        tasks.append(Task(lesson.matrix[~out], effect[~out]))
    trees, rounds = fold_trees(tasks, seed=seed)
    return [((1.0, found),) for found in trees], rounds


def _sum(model: Weighted, matrix: Floats) -> Floats:
    total = np.zeros(len(matrix))
    for weight, trees in model:
        total += weight * trees(matrix)
    return total


LEARNERS: dict[Learner, Callable[[Lesson, int, int], tuple[list[Weighted], int]]] = {
    "dr": _doubly_robust,
    "x": _crossed,
    "t": _two_models,
}
