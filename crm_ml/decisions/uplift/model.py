"""The uplift model: what each offer changes for each customer, learnt from a randomised experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from crm_ml.decisions.budget.offers import Offer
from crm_ml.decisions.uplift.calibration import EffectLine, best_linear_predictor
from crm_ml.decisions.uplift.learners import LEARNERS, FoldEffects, Learner, Lesson, learn_effect
from crm_ml.decisions.uplift.outcomes import arm_scores, expected_outcomes
from crm_ml.decisions.uplift.trial import Encoding, check_customers, read_trial
from crm_ml.errors import CrmError, NotFittedError, out_of_range

__all__ = ["UpliftModel"]

Floats = NDArray[np.float64]

LEVEL = 0.90


class UpliftModel:
    """Effect of each arm of an experiment on each customer, against the control.

    Trees are grown with each fold of the customers left out. How much of the differences they see is real is then
    learnt from the customers left out, and so much of them is predicted: with no signal, the mean effect for
    everyone (see `crm_ml.decisions.uplift.calibration.best_linear_predictor`).

    Parameters
    ----------
    learner : {"dr", "x", "t"}
        Trees on doubly robust scores, on crossed imputations, or the difference of two models of the outcome.
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
        ``effect`` (mean, with its ``standard_error``), ``slope`` (what a difference of 1 seen by the trees is
        taken for), ``estimated_slope`` (before shrinkage, with its ``slope_error``), ``trees`` (of each fold's
        model, 0 where none helped; a T-learner's are those of the arm's outcome).
    out_of_fold_ : DataFrame indexed by customer
        ``uplift_<arm>``, by trees that saw no one of the customer's fold and before the line, so that its ranks owe
        nothing to the customer's own outcome; `effects_` has the line: effect + slope · (this − effect).
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
    >>> model.offers({"mail": 1.5})
    [Offer(name='mail', cost=1.5, save_rate=None, gain='uplift_mail', value_basis='experiment')]
    """

    arms_: tuple[str, ...]
    customers_: pd.Index
    effects_: pd.DataFrame
    out_of_fold_: pd.DataFrame
    effect_scores_: pd.DataFrame
    propensity_: pd.Series

    def __init__(self, *, learner: Learner = "dr", n_folds: int = 5, seed: int = 0, control: str = "control") -> None:
        self.learner = learner
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
            If a customer is there twice or lacks an arm or outcome, an arm is missing or too small.
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
        self._encoding, self._effects = encoding, {}
        out_of_fold, effect_scores = {}, {}
        for place, name in enumerate(trial.arms[1:], start=1):
            effects, above = learn_effect(self.learner, lesson, arm=place, seed=self.seed)
            effect_scores[f"uplift_{name}"] = scores[:, place] - scores[:, 0]
            line = best_linear_predictor(above, effect_scores[f"uplift_{name}"])
            out_of_fold[f"uplift_{name}"] = line.effect + above
            self._effects[name] = (effects, line)
        self.arms_, self.customers_ = trial.arms[1:], features.index
        self.effects_ = _effects_frame(self._effects)
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
            outcome. The bounds hold with 90 % the mean effect among customers whom the trees see alike: they
            carry the error of the calibrating line and the trees' own, by the jackknife over folds, not what the
            features do not tell about the single customer.

        Raises
        ------
        NotFittedError, SchemaError
            If the model is not fitted, or a column is missing or a customer there twice.
        """
        fitted = self._fitted()
        check_customers(features.index)
        matrix = self._encoding.matrix(features)
        columns = {}
        for arm, (effects, line) in fitted.items():
            by_fold = effects(matrix)
            above = by_fold.mean(axis=1)
            away = norm.ppf((1 + LEVEL) / 2) * line.error(above, _jackknife_error(by_fold))
            columns[f"uplift_{arm}"] = line(above)
            columns[f"uplift_{arm}_lower"] = line(above) - away
            columns[f"uplift_{arm}_upper"] = line(above) + away
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

    def _fitted(self) -> dict[str, tuple[FoldEffects, EffectLine]]:
        if not hasattr(self, "_effects"):
            raise NotFittedError("the uplift model is not fitted.\nCall fit(features, arm, outcome) first.")
        return self._effects

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


def _effects_frame(effects: Mapping[str, tuple[FoldEffects, EffectLine]]) -> pd.DataFrame:
    rows = [
        {
            "effect": line.effect,
            "standard_error": float(np.sqrt(line.covariance[0, 0])),
            "slope": line.slope,
            "estimated_slope": line.estimated_slope,
            "slope_error": float(np.sqrt(line.covariance[1, 1])),
            "trees": trees.rounds,
        }
        for trees, line in effects.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(list(effects), name="arm"))
