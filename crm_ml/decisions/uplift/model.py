"""The uplift model: what each offer changes for each customer, learnt from a randomised experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from crm_ml.decisions.budget.offers import Offer
from crm_ml.decisions.columns import read_finite
from crm_ml.decisions.uplift.calibration import Combination, combine_candidates
from crm_ml.decisions.uplift.learners import LEARNERS, FoldModels, Learner, Lesson, learn_effect, learn_outcome
from crm_ml.decisions.uplift.outcomes import arm_scores, expected_outcomes
from crm_ml.decisions.uplift.trial import Encoding, check_customers, read_trial
from crm_ml.errors import CrmError, NotFittedError, out_of_range

__all__ = ["UpliftModel"]

Floats = NDArray[np.float64]

LEVEL = 0.90

CANDIDATES = ("trees", "expected_outcome")
"""What the effect may rise with besides the shapes."""


@dataclass(frozen=True)
class ArmEffect:
    """One arm's effect: trees, how they and other candidates combine, and how many trees were worth growing."""

    trees: FoldModels
    combination: Combination
    rounds: int


class UpliftModel:
    """Effect of each arm of an experiment on each customer, against the control.

    Trees are grown with each fold of the customers left out: on the effect, and on the outcome, as an effect is often
    the larger the more a customer brings anyway. How far the effect rises with what either says, and with the shapes
    that the caller names, is then learnt from the customers left out, and so much of it is predicted: with no signal,
    the mean effect for everyone (see `crm_ml.decisions.uplift.calibration.combine_candidates`).

    Parameters
    ----------
    learner : {"dr", "x", "t"}
        Trees on doubly robust scores, on crossed imputations, or the difference of two models of the outcome.
    shapes : sequence of str
        Columns of the features that the effect may be proportional to, beyond a constant, such as the value at stake;
        what the experiment finds is by how much. The effect must rise with them or not depend on them: one that
        falls is not found.
    n_folds : int
        At least 2.
    seed : int
        Of folds and trees.
    control : str
        The arm the others are compared with.

    Attributes
    ----------
    arms_ : tuple of str
        All but the control.
    customers_ : Index
        Whom the model was fitted on. What it recommends is not to be valued on them; see `policy_value`.
    effects_ : DataFrame indexed by arm
        ``effect`` (mean, with its ``standard_error``), ``believed`` (share of the estimated weights, from 0 to 1),
        ``trees`` (of each fold's model, 0 where none helped; a T-learner's are those of the arm's outcome).
    weights_ : DataFrame indexed by arm and candidate
        ``weight`` (what a difference of 1 in the candidate is taken for), ``estimated_weight`` (before shrinkage, with
        its ``standard_error``, 0 at the bound), ``spread`` (weight × standard deviation: how far it moves customers).
        Candidates are "trees" (the effect they see), "expected_outcome" and the shapes.
    out_of_fold_ : DataFrame indexed by customer
        ``uplift_<arm>``, by trees that saw no one of the customer's fold, weighted as the other folds' customers say.
    effect_scores_ : DataFrame indexed by customer
        ``uplift_<arm>``: doubly robust scores, each unbiased for the customer's effect and very noisy.
    propensity_ : Series indexed by arm
        The control's among them.

    Raises
    ------
    CrmError
        If a setting is outside its domain.

    Examples
    --------
    A mail that brings 4 to those who came from the web, and nothing to others:

    >>> draw = np.random.default_rng(0)
    >>> features = pd.DataFrame({"channel": draw.choice(["web", "phone"], 4_000), "orders": draw.poisson(3, 4_000)})
    >>> arm = pd.Series(draw.choice(["control", "mail"], 4_000))
    >>> web = (features["channel"] == "web") & (arm == "mail")
    >>> margin = features["orders"] + 4.0 * web + draw.normal(size=4_000)
    >>> model = UpliftModel().fit(features, arm, margin)
    >>> asked = pd.DataFrame({"channel": ["web", "phone"], "orders": 3}, index=["ann", "bob"])
    >>> model.predict(asked)["uplift_mail"].round(0).to_dict()
    {'ann': 4.0, 'bob': 0.0}
    >>> [(offer.name, offer.gain, offer.value_basis) for offer in model.offers({"mail": 1.5})]
    [('mail', 'uplift_mail', 'experiment')]

    The trees on the effect carry the differences, not what customers bring anyway:

    >>> model.weights_["spread"].round(1).to_dict()
    {('mail', 'trees'): 2.0, ('mail', 'expected_outcome'): 0.0}
    """

    arms_: tuple[str, ...]
    customers_: pd.Index
    effects_: pd.DataFrame
    weights_: pd.DataFrame
    out_of_fold_: pd.DataFrame
    effect_scores_: pd.DataFrame
    propensity_: pd.Series

    def __init__(
        self,
        *,
        learner: Learner = "dr",
        shapes: Sequence[str] = (),
        n_folds: int = 5,
        seed: int = 0,
        control: str = "control",
    ) -> None:
        self.learner = learner
        self.shapes = shapes
        self.n_folds = n_folds
        self.seed = seed
        self.control = control

    def fit(
        self,
        features: pd.DataFrame,
        arm: pd.Series,
        outcome: pd.Series,
        *,
        propensity: Mapping[str, float] | None = None,
    ) -> Self:
        """Learn from an experiment.

        Parameters
        ----------
        features : DataFrame indexed by customer
            As of before the experiment. Numbers, where missing is allowed, or text, taken as categories.
        arm, outcome : Series indexed by customer
            The arm drawn, and what counts: for a plan the margin earned in the window, the offer's cost apart.
        propensity : mapping of arm to share, optional
            The probability of each arm, the control too, by design; the observed shares where it is not given.

        Raises
        ------
        SchemaError
            If a customer is there twice or lacks an arm or outcome, an arm is missing or too small, a shape is missing
            or not finite.
        CrmError
            If a setting is outside its domain.
        """
        self._check_settings()
        trial = read_trial(features.index, arm, outcome, control=self.control, propensity=propensity)
        fold = trial.folds(features.index, n_folds=self.n_folds, seed=self.seed)
        encoding = Encoding.of(features)
        matrix = encoding.matrix(features)
        outcomes = expected_outcomes(matrix, trial, fold, seed=self.seed)
        scores = arm_scores(outcomes.expected, trial)
        lesson = Lesson(matrix, trial, fold, outcomes, scores)
        shapes = self._read_shapes(features)
        self._encoding, self._effects, self._shape_means = encoding, {}, shapes.mean(axis=0)
        self._outcome, beyond = learn_outcome(lesson)
        out_of_fold, effect_scores, spreads = {}, {}, {}
        for place, name in enumerate(trial.arms[1:], start=1):
            trees, above, rounds = learn_effect(self.learner, lesson, arm=place, seed=self.seed)
            found = np.column_stack([above, beyond, shapes - self._shape_means])
            evidence = scores[:, place] - scores[:, 0], outcomes.expected.mean(axis=1)
            combination = combine_candidates(found, *evidence)
            out_of_fold[f"uplift_{name}"] = combination.effect + _differences_elsewhere(found, *evidence, fold)
            effect_scores[f"uplift_{name}"], spreads[name] = evidence[0], found.std(axis=0)
            self._effects[name] = ArmEffect(trees, combination, rounds)
        self.arms_, self.customers_ = trial.arms[1:], features.index
        self.effects_ = _effects_frame(self._effects)
        self.weights_ = _weights_frame(self._effects, spreads, [*CANDIDATES, *self.shapes])
        self.out_of_fold_ = pd.DataFrame(out_of_fold, index=features.index)
        self.effect_scores_ = pd.DataFrame(effect_scores, index=features.index)
        self.propensity_ = pd.Series(trial.propensity, index=pd.Index(trial.arms, name="arm"), name="propensity")
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return what each arm is expected to change for each customer.

        Parameters
        ----------
        features : DataFrame indexed by customer
            With the columns the model was fitted on.

        Returns
        -------
        DataFrame
            ``uplift_<arm>``, ``uplift_<arm>_lower`` and ``uplift_<arm>_upper`` for each arm, in the unit of the
            outcome. The bounds hold with 90 % the mean effect among customers of whom the candidates say the same:
            they carry the error of the mean effect, of the weights and the trees' own, by the jackknife over folds,
            not what the features do not tell about the single customer.

        Raises
        ------
        NotFittedError, SchemaError
            If the model is not fitted, or a column is missing, a shape not finite or a customer there twice.
        """
        fitted = self._fitted()
        check_customers(features.index)
        matrix = self._encoding.matrix(features)
        outcome, shapes = self._outcome(matrix), self._read_shapes(features) - self._shape_means
        columns = {}
        for arm, effect in fitted.items():
            by_fold = np.stack([effect.trees(matrix), outcome, *_repeated(shapes, outcome.shape)], axis=2)
            uplift = effect.combination(by_fold)
            middle, spread = uplift.mean(axis=1), _jackknife_error(uplift)
            away = norm.ppf((1 + LEVEL) / 2) * np.hypot(effect.combination.error(by_fold.mean(axis=1)), spread)
            columns[f"uplift_{arm}"] = middle
            columns[f"uplift_{arm}_lower"] = middle - away
            columns[f"uplift_{arm}_upper"] = middle + away
        return pd.DataFrame(columns, index=features.index)

    def offers(self, costs: Mapping[str, float | str]) -> list[Offer]:
        """Return the arms as offers for `allocate_budget`, to be given the frame that `predict` returns.

        Parameters
        ----------
        costs : mapping of arm to float or str
            Cost per contacted customer, or the column that holds it. Arms left out are not offered.

        Raises
        ------
        NotFittedError, CrmError
            If the model is not fitted, or it knows no arm of that name.
        """
        fitted = self._fitted()
        if unknown := sorted(set(costs) - set(fitted)):
            raise CrmError(out_of_range("costs", unknown, f"name arms of the experiment, {list(fitted)}"))
        return [Offer(arm, cost, gain=f"uplift_{arm}", value_basis="experiment") for arm, cost in costs.items()]

    def _fitted(self) -> dict[str, ArmEffect]:
        if not hasattr(self, "_effects"):
            raise NotFittedError("the uplift model is not fitted.\nCall fit(features, arm, outcome) first.")
        return self._effects

    def _read_shapes(self, features: pd.DataFrame) -> Floats:
        remedy = "Name columns of the features, known for every customer."
        columns = [read_finite(features, name, what="shapes", remedy=remedy) for name in self.shapes]
        return np.column_stack(columns) if columns else np.empty((len(features), 0))

    def _check_settings(self) -> None:
        if self.learner not in LEARNERS:
            raise CrmError(out_of_range("learner", self.learner, f"be one of {list(LEARNERS)}"))
        if self.n_folds < 2:
            raise CrmError(out_of_range("n_folds", self.n_folds, "be at least 2"))


def _jackknife_error(by_fold: Floats) -> Floats:
    """Return the standard error of the mean over models that each left one of the folds out: (n,)."""
    n_folds = by_fold.shape[1]
    found: Floats = np.sqrt((n_folds - 1) * by_fold.var(axis=1))
    return found


def _repeated(shapes: Floats, shape: tuple[int, ...]) -> list[Floats]:
    """Return each of the shapes, (n, k), as what every fold's model says: k arrays of shape (n, n_folds)."""
    return [np.broadcast_to(column[:, None], shape) for column in shapes.T]


def _differences_elsewhere(found: Floats, scores: Floats, expected: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return how far above average each customer is seen, with weights learnt from the other folds: (n,)."""
    above = np.empty(len(found))
    for held in range(fold.max() + 1):
        here = fold == held
        above[here] = found[here] @ combine_candidates(found[~here], scores[~here], expected[~here]).weights
    return above


def _effects_frame(effects: Mapping[str, ArmEffect]) -> pd.DataFrame:
    rows = [
        {
            "effect": effect.combination.effect,
            "standard_error": float(np.sqrt(effect.combination.covariance[0, 0])),
            "believed": effect.combination.believed,
            "trees": effect.rounds,
        }
        for effect in effects.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(list(effects), name="arm"))


def _weights_frame(
    effects: Mapping[str, ArmEffect], spreads: Mapping[str, Floats], candidates: list[str]
) -> pd.DataFrame:
    frames = {}
    for arm, effect in effects.items():
        combination = effect.combination
        columns = {
            "weight": combination.weights,
            "estimated_weight": combination.estimated,
            "standard_error": np.sqrt(np.diag(combination.covariance)[1:]),
            "spread": combination.weights * spreads[arm],
        }
        frames[arm] = pd.DataFrame(columns, index=candidates)
    return pd.concat(frames, names=["arm", "candidate"])
