"""Which columns have shifted since training, beyond chance and beyond what training's own cutoffs differ by."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, norm

from crm_ml.evaluation.stability.profile import BINS, Counts, Profile

__all__ = ["drift", "stability_index"]

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

LARGE = 0.25
"""A stability index that is usually called a large shift (Siddiqi 2006); none below it is called one here."""

LARGE_MISSING = 0.10
"""A rise of the share of missing values that is none below it."""

FEWEST_BINS = 5
"""Bins that a column has where an exchange between two neighbours alone is no shift."""

FALSE_ALARMS = 0.01
"""Share of runs with a false alarm in any column, at most."""


class _Column(NamedTuple):
    psi: float
    psi_limit: float
    missing_then: float
    missing_now: float
    missing_limit: float
    shifted: bool
    why: str


def stability_index(then: Int, now: Int) -> float:
    """Return the population stability index of two histograms, half a row added to each bin.

    >>> round(stability_index(np.array([50, 50]), np.array([80, 20])), 4)
    0.4063
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (then, now))
    return float(((q - p) * np.log(q / p)).sum())


def drift(profile: Profile, counts: Counts) -> pd.DataFrame:
    """Return how far each feature and score has moved from what it was in training, and whether that is a shift.

    Values are compared by the population stability index over training's deciles, missing ones by their share, of
    which only a rise counts: the days since an event are missing until it first occurs, so they fill up as a log ages.
    Either is a shift beyond the largest of three limits: what is usually called large (0.25; a rise by 10 points);
    what chance exceeds in one run of a hundred, in any column; and what training's own cutoffs differ by among each
    other, so that what grows with the log's age or follows a campaign is given the room it took in training. An
    exchange between two neighbouring bins of a feature alone is none: one value that many share, such as the usual
    gap of all for who has no own, may step over an edge.

    Under no shift the index of n and m rows in B bins is distributed as (1/n + 1/m) χ² with B − 1 degrees of
    freedom (Yurdakul and Naranjo 2020); n is the mean cutoff's, as a panel's cutoffs hold the same customers.

    Parameters
    ----------
    profile : a model's ``profile_``.
    counts : of the customers scored, by `Profile.count`, all buckets added up.

    Returns
    -------
    DataFrame
        Indexed by ``column``, features and then scores: ``psi``, ``psi_limit``, ``missing_then``, ``missing_now``
        and ``missing_limit`` (shares, and what they may rise by), ``shifted`` (bool) and ``why``, in words, empty
        where nothing shifted. Without a value to compare ``psi`` is NaN.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = crm_ml.ChurnModel(features=["rfm"]).fit(log, as_of="2017-10-01")
    >>> features = crm_ml.build_features(log, as_of="2017-12-01", features=model.feature_set)
    >>> scores = model.predict(features)
    >>> bool(drift(model.profile_, model.profile_.count(features, scores))["shifted"].any())
    False
    >>> late = features.assign(orders_30d=0.0, orders_90d=0.0)
    >>> found = drift(model.profile_, model.profile_.count(late, scores))
    >>> found.index[found["shifted"]].tolist()
    ['orders_30d', 'orders_90d']
    """
    chance = FALSE_ALARMS / (2 * len(profile.columns))
    found = [
        _compared(cutoffs, now, edges, chance, steps=name in profile.features)
        for name, cutoffs, now, edges in zip(profile.columns, profile.counts, counts.table, profile.edges, strict=True)
    ]
    return pd.DataFrame(found, index=pd.Index(profile.columns, name="column"))


def _compared(cutoffs: Int, now: Int, edges: npt.NDArray[np.float32], chance: float, *, steps: bool) -> _Column:
    bins = len(edges) + 1
    there, here = cutoffs[:, :bins], now[:bins]
    then, n, m = cutoffs.sum(axis=0), cutoffs.sum() / len(cutoffs), now.sum()
    if m == 0:
        share = then[BINS] / then.sum()
        return _Column(np.nan, np.nan, share, np.nan, np.nan, shifted=True, why="nobody to compare with training")
    missing_then, missing_now = then[BINS] / then.sum(), now[BINS] / m
    shares = cutoffs[:, BINS] / cutoffs.sum(axis=1)
    all_missing = (missing_then * n + missing_now * m) / (n + m)
    by_chance = norm.isf(chance / 2) * np.sqrt(all_missing * (1 - all_missing) * (1 / n + 1 / m))
    missing_limit = max(LARGE_MISSING, by_chance, np.ptp(shares))
    psi = psi_limit = np.nan
    if there.sum() and here.sum():
        psi = stability_index(there.sum(axis=0), here)
        scale = len(there) / there.sum() + 1 / here.sum()
        among = [stability_index(one, other) for one, other in itertools.combinations(there[there.sum(axis=1) > 0], 2)]
        psi_limit = max(LARGE, scale * chi2.isf(chance, bins - 1) if bins > 1 else 0.0, *among)
    why = []
    if (_without_steps(there.sum(axis=0), here) if steps and bins >= FEWEST_BINS else psi) > psi_limit:
        why.append(_words(there.sum(axis=0), here, edges))
    if missing_now - missing_then > missing_limit:
        why.append(f"missing for {missing_now:.1%}, in training for {missing_then:.1%}")
    return _Column(psi, psi_limit, missing_then, missing_now, missing_limit, shifted=bool(why), why="; ".join(why))


def _without_steps(then: Int, now: Int) -> float:
    """Return the lowest index that two neighbouring bins made one give."""
    begins = [np.delete(np.arange(len(then)), edge) for edge in range(1, len(then))]
    return min(stability_index(np.add.reduceat(then, at), np.add.reduceat(now, at)) for at in begins)


def _words(then: Int, now: Int, edges: npt.NDArray[np.float32]) -> str:
    """Say where most of a shift is."""
    before, after = then / then.sum(), now / now.sum()
    at = int(np.argmax(np.abs(after - before)))
    if at == 0:
        where = f"at most {edges[0]:.4g}"
    elif at == len(edges):
        where = f"above {edges[-1]:.4g}"
    else:
        where = f"above {edges[at - 1]:.4g} and at most {edges[at]:.4g}"
    return f"{where} for {after[at]:.1%}, in training for {before[at]:.1%}"
