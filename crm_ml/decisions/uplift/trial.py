"""A randomised experiment as arrays: the features, who got which arm, what came of it, with which probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_ml.decisions.columns import check_rows, read_finite
from crm_ml.decisions.draws import salted_draws
from crm_ml.errors import CrmError, SchemaError, out_of_range
from crm_ml.features.trees import feature_matrix

__all__ = ["Encoding", "Trial", "check_customers", "read_trial"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """The arms and outcomes of an experiment's customers.

    Attributes
    ----------
    arms : tuple of str
        The control first, then the others in order of their names.
    arm : ndarray of shape (n,)
        Position of each customer's arm.
    outcome : ndarray of shape (n,)
    propensity : ndarray of shape (n_arms,)
        The share of customers drawn into each arm.
    """

    arms: tuple[str, ...]
    arm: Integers
    outcome: Floats
    propensity: Floats

    def folds(self, customers: pd.Index, *, n_folds: int, seed: int) -> Integers:
        """Return a fold for each customer, with every arm spread evenly over the folds.

        Raises
        ------
        SchemaError
            If an arm has fewer than two customers to a fold.
        """
        counts = np.bincount(self.arm, minlength=len(self.arms))
        if (counts < 2 * n_folds).any():
            found = dict(zip(self.arms, counts.tolist(), strict=True))
            rule = f"every arm must have at least {2 * n_folds} customers, 2 for each of the {n_folds} folds"
            raise SchemaError(f"{rule}; there are {found}.\nUse a larger experiment, or fewer folds.")
        order = np.lexsort((salted_draws(customers, salt=f"uplift folds {seed}"), self.arm))
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = np.arange(len(order)) % n_folds
        return fold


def read_trial(
    customers: pd.Index, arm: pd.Series, outcome: pd.Series, *, control: str, propensity: Mapping[str, float] | None
) -> Trial:
    """Return the arms and outcomes of some customers.

    Parameters
    ----------
    customers : Index of shape (n,)
        Whose, and in which order.
    arm, outcome : Series indexed by customer
    control : str
        The arm the others are compared with.
    propensity : mapping of arm to share, optional
        By design; the observed shares where it is not given.

    Raises
    ------
    SchemaError
        If a customer is there twice or lacks an arm or outcome, or there is no control or nothing beside it.
    CrmError
        If the propensities are not those of the arms.

    Examples
    --------
    >>> arm, spend = pd.Series(["mail", "control", "mail"]), pd.Series([5.0, 1.0, 0.0])
    >>> read_trial(arm.index, arm, spend, control="control", propensity={"control": 0.25, "mail": 0.75})
    Trial(arms=('control', 'mail'), arm=array([1, 0, 1]), outcome=array([5., 1., 0.]), propensity=array([0.25, 0.75]))
    """
    check_customers(customers)
    for name, column in (("arm", arm), ("outcome", outcome)):
        if not column.index.is_unique:
            raise SchemaError(f"`{name}` must hold every customer once; some are repeated.\nAggregate or drop them.")
        check_rows(customers.isin(column.index), f"every customer must have an entry in `{name}`.")
    drawn = arm.reindex(customers)
    check_rows(drawn.notna().to_numpy(), "`arm` must not be missing.")
    remedy = "Give the outcome of every customer; 0 for one who bought nothing."
    values = read_finite(outcome.reindex(customers).to_frame("outcome"), "outcome", what="customers", remedy=remedy)
    texts = drawn.astype(str).to_numpy()
    others = sorted({str(name) for name in np.unique(texts)} - {control})
    arms = (control, *others)
    if control not in texts or not others:
        found = sorted(set(texts))
        raise SchemaError(f"`arm` must hold the control arm {control!r} and one beside it; it holds {found}.\nName it.")
    code = np.searchsorted(np.asarray(others), texts) + 1
    code = np.where(texts == control, 0, code)
    return Trial(arms, code, values, _shares(arms, code, propensity))


def _shares(arms: tuple[str, ...], code: Integers, propensity: Mapping[str, float] | None) -> Floats:
    if propensity is None:
        return np.bincount(code, minlength=len(arms)) / len(code)
    if set(propensity) != set(arms):
        raise CrmError(out_of_range("propensity", dict(propensity), f"name the arms {list(arms)}, the control too"))
    shares = np.array([propensity[name] for name in arms], dtype=np.float64)
    if not ((shares > 0).all() and abs(shares.sum() - 1) < 1e-6):
        raise CrmError(out_of_range("propensity", dict(propensity), "be above 0 and sum to 1"))
    return shares


def check_customers(customers: pd.Index) -> None:
    """Raise where an index repeats a customer or lacks a name.

    >>> check_customers(pd.Index(["ann", "bob"]))
    """
    check_rows(
        ~(customers.duplicated() | np.asarray(customers.isna())), "the index must hold every customer once, by name."
    )


@dataclass(frozen=True)
class Encoding:
    """How a frame of features becomes a matrix: numbers as they are, text and categories as one column per level.

    A level that was not there when the encoding was learnt is none of those; missing numbers stay missing.

    Attributes
    ----------
    numbers : tuple of str
        Columns taken as they are.
    levels : tuple of (str, tuple of str)
        Columns of text, each with its levels.

    Examples
    --------
    >>> shops = pd.DataFrame({"orders": [2, 5, 1], "channel": ["web", "phone", "web"]})
    >>> Encoding.of(shops).matrix(shops).tolist()
    [[2.0, 0.0, 1.0], [5.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """

    numbers: tuple[str, ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, features: pd.DataFrame) -> Self:
        """Learn the levels of the columns that are not numbers."""
        numeric = [name for name in features.columns if pd.api.types.is_numeric_dtype(features[name])]
        others = [name for name in features.columns if name not in numeric]
        levels = {name: tuple(sorted(set(features[name].dropna().astype(str)))) for name in others}
        return cls(tuple(numeric), tuple(levels.items()))

    def matrix(self, features: pd.DataFrame) -> Floats:
        """Return the matrix of shape (n, n_columns).

        Raises
        ------
        SchemaError
            If a column is missing, or no longer numeric.
        """
        names = [*self.numbers, *(name for name, _ in self.levels)]
        frame = features.assign(
            **{name: pd.factorize(features[name])[0] for name, _ in self.levels if name in features}
        )
        checked = feature_matrix(frame, names)
        columns = [checked[:, : len(self.numbers)]]
        for name, levels in self.levels:
            texts = features[name].astype(str).to_numpy()
            columns.append((texts[:, None] == np.asarray(levels, dtype=texts.dtype)[None, :]).astype(np.float64))
        return np.hstack(columns)
