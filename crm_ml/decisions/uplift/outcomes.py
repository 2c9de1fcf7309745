"""What each customer would bring in each arm, and scores whose mean is an arm's mean outcome whatever was assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_ml.decisions.uplift.fold_trees import Task, Trees, fold_trees
from crm_ml.decisions.uplift.trial import Trial

__all__ = ["ExpectedOutcomes", "arm_scores", "expected_outcomes"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ExpectedOutcomes:
    """Outcomes to expect in every arm.

    Attributes
    ----------
    expected : ndarray of shape (n, n_arms)
        Of each customer, by trees that saw no one of the customer's fold.
    trees : list over arms of lists over folds of Trees
    rounds : tuple over arms
        How many trees were worth growing, the median over folds.
    """

    expected: Floats
    trees: list[list[Trees]]
    rounds: tuple[int, ...]


def expected_outcomes(matrix: Floats, trial: Trial, fold: Integers, *, seed: int) -> ExpectedOutcomes:
    """Learn each arm's outcome from the features, once for each fold left out.

    Parameters
    ----------
    matrix : ndarray of shape (n, p)
    trial : Trial of n customers
    fold : ndarray of shape (n,)
    seed : int

    Examples
    --------
    >>> trial = Trial(("control", "mail"), np.arange(8) % 2, np.arange(8) % 2 * 3.0, np.array([0.5, 0.5]))
    >>> expected_outcomes(np.zeros((8, 1)), trial, np.arange(8) // 4, seed=0).expected[0].tolist()
    [0.0, 3.0]
    """
    expected = np.empty((len(matrix), len(trial.arms)))
    all_trees, all_rounds = [], []
    for arm in range(len(trial.arms)):
        tasks = []
        for held in range(fold.max() + 1):
            own = (trial.arm == arm) & (fold != held)
            tasks.append(Task(matrix[own], trial.outcome[own]))
        trees, rounds = fold_trees(tasks, seed=seed)
        for held, predict in enumerate(trees):
            expected[fold == held, arm] = predict(matrix[fold == held])
        all_trees.append(trees)
        all_rounds.append(rounds)
    return ExpectedOutcomes(expected, all_trees, tuple(all_rounds))


def arm_scores(expected: Floats, trial: Trial) -> Floats:
    """Return each customer's doubly robust score in each arm.

    The outcome to expect in the arm and, for a customer who was in it, what really came beyond it over the
    probability of the arm: ``μ_a(x) + 1{A = a} (Y − μ_a(x)) / e_a`` (Robins, Rotnitzky and Zhao 1994). The
    probabilities are known in an experiment, so the mean over any customers is right even where ``μ`` is wrong.

    Parameters
    ----------
    expected : ndarray of shape (n, n_arms)
        By models that did not see the customer's own outcome.
    trial : Trial of n customers

    Returns
    -------
    ndarray of shape (n, n_arms)

    Examples
    --------
    >>> trial = Trial(("control", "mail"), np.array([0, 1]), np.array([1.0, 5.0]), np.array([0.5, 0.5]))
    >>> arm_scores(np.array([[2.0, 3.0], [2.0, 3.0]]), trial).tolist()
    [[0.0, 3.0], [2.0, 7.0]]
    """
    scores = expected.copy()
    rows = np.arange(len(expected))
    beyond = trial.outcome - expected[rows, trial.arm]
    scores[rows, trial.arm] += beyond / trial.propensity[trial.arm]
    return scores
