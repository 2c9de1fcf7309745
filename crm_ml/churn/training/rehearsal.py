"""Training as it would have gone at past cutoffs: how many trees to grow, and predictions for customers held out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crm_ml.churn.calibration import clearly_lower
from crm_ml.features.ragged import Float, Int
from crm_ml.features.trees import growing_trees

__all__ = ["Fold", "Rehearsal", "TrainingRows", "held_out_folds", "rehearse", "tune"]

WINDOWS, ENOUGH_ROWS = 4, 10_000
"""At most so many of the latest windows are held out, and no more than it takes to hold so many customers."""

MOST_TRAINED, MOST_HELD_OUT = 300_000, 100_000
"""Rows of a fold at most; beyond that a share of the customers stands for all."""

LEAST = 10
"""Customers who left, and who stayed, that are there to train on and to be judged on at least where a window is held
out."""

CUSTOMER_FOLDS = 5

STAGE, PATIENCE, USUAL_ROUNDS, MOST_ROUNDS = 25, 4, 200, 400
"""Rounds between looks at the held-out loss, looks without gain before growing ends, rounds unless others are clearly
better, and rounds at most."""


@dataclass(frozen=True)
class TrainingRows:
    """Customers at cutoffs who had bought nothing until a window began, and whether they bought in it.

    Attributes
    ----------
    matrix : (n, p) float32, in order of cutoff.
    silent : (n,) float64, 1 where nothing was bought in the window, else 0.
    customer : (n,) a number per customer.
    cutoff, label_end : (n,) microseconds.
    """

    matrix: npt.NDArray[np.float32]
    silent: Float
    customer: Int
    cutoff: Int
    label_end: Int


class Fold(NamedTuple):
    """Positions of the rows to train on and of those held out."""

    train: Int
    held_out: Int


@dataclass(frozen=True)
class Rehearsal:
    """What training on folds gave.

    Attributes
    ----------
    rounds : number of trees.
    log_loss : over all held-out rows, mean per row.
    held_out : (m,) positions of the held-out rows.
    fold : (m,) the fold each was held out in.
    log_odds : (m,) of the trees for each.
    """

    rounds: int
    log_loss: float
    held_out: Int
    fold: Int
    log_odds: Float


def held_out_folds(rows: TrainingRows) -> tuple[list[Fold], str]:
    """Return the folds to rehearse on, the latest first, and what they hold out, in words.

    The latest cutoffs are held out, each predicted from rows whose label windows had ended by then. Where the
    log is too short for a single one, customers are held out instead, a fifth at a time; two are needed.
    """
    folds: list[Fold] = []
    for cutoff in np.unique(rows.cutoff)[::-1][:WINDOWS]:
        fold = Fold(
            _some(rows, np.flatnonzero(rows.label_end <= cutoff), MOST_TRAINED),
            _some(rows, np.flatnonzero(rows.cutoff == cutoff), MOST_HELD_OUT),
        )
        if _holds_both(rows.silent[fold.train]) and _holds_both(rows.silent[fold.held_out]):
            folds.append(fold)
        if sum(len(fold.held_out) for fold in folds) >= ENOUGH_ROWS:
            break
    if folds:
        return folds, "latest windows, purged"
    some = _some(rows, np.arange(len(rows.silent)), MOST_TRAINED)
    place = np.unique(rows.customer[some], return_inverse=True)[1]
    share = place % min(CUSTOMER_FOLDS, place.max() + 1)
    by_customer = [Fold(some[share != k], some[share == k]) for k in range(share.max() + 1)]
    return by_customer, "customers, in the same windows"


def rehearse(
    rows: TrainingRows, folds: Sequence[Fold], *, parameters: Mapping[str, float | int | str], seed: int
) -> Rehearsal:
    """Grow the trees of all folds side by side until the loss over all they hold out no longer falls.

    The number of trees is that of the lowest loss if it is clearly lower than that of the usual number.
    """
    growing = [
        growing_trees(_rows_at(rows.matrix, fold.train), rows.silent[fold.train], parameters=parameters, seed=seed)
        for fold in folds
    ]
    held_out = np.concatenate([fold.held_out for fold in folds])
    apart = [rows.matrix[fold.held_out] for fold in folds]
    signs = 2 * rows.silent[held_out] - 1
    usual, best = min(USUAL_ROUNDS, MOST_ROUNDS), 0
    seen: dict[int, Float] = {}
    for rounds in range(STAGE, MOST_ROUNDS + 1, STAGE):
        log_odds = np.concatenate([grow(STAGE, matrix) for grow, matrix in zip(growing, apart, strict=True)])
        lowest = _loss(seen[best], signs).mean() if seen else np.inf
        seen[rounds] = log_odds
        if _loss(log_odds, signs).mean() < lowest:
            best = rounds
        elif rounds >= max(usual, best + PATIENCE * STAGE):
            break
        seen = {known: seen[known] for known in {best, usual} & seen.keys()}
    if not clearly_lower(_loss(seen[best], signs), _loss(seen[usual], signs)):
        best = usual
    fold = np.repeat(np.arange(len(folds)), [len(fold.held_out) for fold in folds])
    return Rehearsal(best, float(_loss(seen[best], signs).mean()), held_out, fold, seen[best])


def _loss(log_odds: Float, signs: Float) -> Float:
    """Return the log loss of each row; the sign of its log odds should have been 1 or −1."""
    loss: Float = np.logaddexp(0.0, -signs * log_odds)
    return loss


def tune(
    rows: TrainingRows,
    folds: Sequence[Fold],
    *,
    parameters: Mapping[str, float | int | str],
    seed: int,
    seconds: float,
) -> dict[str, float | int | str]:
    """Return the parameters with the lowest held-out loss among those given and random ones, until time is up."""
    until, rng = time.monotonic() + seconds, np.random.default_rng(seed)
    best, lowest = dict(parameters), rehearse(rows, folds, parameters=parameters, seed=seed).log_loss
    while time.monotonic() < until:
        drawn = best | _drawn(rng)
        loss = rehearse(rows, folds, parameters=drawn, seed=seed).log_loss
        if loss < lowest:
            best, lowest = drawn, loss
    return best


def _rows_at(matrix: npt.NDArray[np.float32], positions: Int) -> npt.NDArray[np.float32]:
    """Return some rows, without a copy where they are the first ones."""
    if len(positions) and positions[-1] == len(positions) - 1:
        return matrix[: len(positions)]
    return matrix[positions]


def _some(rows: TrainingRows, positions: Int, most: int) -> Int:
    """Return the positions of every k-th customer, k as small as it takes to leave about `most`."""
    share = -(-len(positions) // most)
    return positions[rows.customer[positions] % share == 0] if share > 1 else positions


def _holds_both(silent: Float) -> bool:
    return bool(min(silent.sum(), (1 - silent).sum()) >= LEAST)


def _drawn(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "max_depth": int(rng.integers(2, 8)),
        "min_child_weight": float(np.exp(rng.uniform(np.log(2), np.log(100)))),
        "reg_lambda": float(np.exp(rng.uniform(np.log(1), np.log(200)))),
        "subsample": float(rng.uniform(0.5, 1.0)),
        "colsample_bytree": float(rng.uniform(0.3, 1.0)),
    }
