"""Venn-Abers intervals: what the probability could be, had the customer been among those it was calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from crm_ml.features.ragged import Float

__all__ = ["VennAbers", "fit_venn_abers"]

CLASSES = 500
"""Classes of equal size that scores are sorted into, at most; a Venn predictor is valid with any."""


@dataclass(frozen=True)
class VennAbers:
    """Lower and upper probability of each class of scores.

    Attributes
    ----------
    edges : (k − 1,) scores from which each class but the first begins.
    lower, upper : (k,) probability that isotonic regression gives to the class, had one more customer of it
        stayed, or left.
    """

    edges: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __call__(self, score: Float) -> tuple[Float, Float]:
        """Return lower and upper probability of each score, (n,)."""
        place = np.searchsorted(self.edges, score, side="right")
        return np.asarray(self.lower)[place], np.asarray(self.upper)[place]


def fit_venn_abers(score: Float, churned: Float) -> VennAbers:
    """Return the intervals that held-out customers give (Vovk, Petej and Fedorova 2015, inductive).

    Of the two probabilities one is calibrated, whatever the scores are worth, where customers are exchangeable.

    Parameters
    ----------
    score : (n,) that rises with the risk.
    churned : (n,) 1 or 0.

    Examples
    --------
    >>> found = fit_venn_abers(np.repeat([0.0, 1.0], 9), np.repeat([0.0, 1.0], 9))
    >>> [bounds.tolist() for bounds in found(np.array([0.0, 2.0]))]
    [[0.0, 0.9], [0.1, 1.0]]
    """
    edges = np.unique(np.quantile(score, np.arange(1, CLASSES) / CLASSES, method="higher"))
    edges = edges[edges > score.min()]
    place = np.searchsorted(edges, score, side="right")
    customers = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    left = np.bincount(place, weights=churned, minlength=len(edges) + 1).astype(np.float64)
    lower, upper = (
        tuple(_with_one_more(customers, left, at, outcome) for at in range(len(customers))) for outcome in (0.0, 1.0)
    )
    return VennAbers(tuple(edges.tolist()), lower, upper)


def _with_one_more(customers: Float, left: Float, at: int, outcome: float) -> float:
    customers, left = customers.copy(), left.copy()
    customers[at] += 1
    left[at] += outcome
    return float(isotonic_regression(left / customers, weights=customers).x[at])
