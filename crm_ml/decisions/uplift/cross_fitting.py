"""Plans for the customers of an experiment by models that never saw them, so that they can be valued on them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import pandas as pd

from crm_ml.decisions.budget.offers import Offer
from crm_ml.decisions.budget.plan import allocate_budget
from crm_ml.decisions.uplift.model import UpliftModel
from crm_ml.decisions.uplift.trial import read_trial
from crm_ml.errors import SchemaError, missing_column

__all__ = ["cross_fitted_uplift", "plan_within_folds"]


def cross_fitted_uplift(
    model: UpliftModel,
    features: pd.DataFrame,
    arm: pd.Series,
    outcome: pd.Series,
    *,
    propensity: Mapping[str, float] | None = None,
    n_folds: int = 5,
) -> pd.DataFrame:
    """Predict each fold of an experiment's customers by the model fitted on the others alone.

    Trees, their number and the weights of all candidates are learnt anew for each fold, unlike `out_of_fold_` of one
    model: its weights come from customers of other folds, but what their trees say was learnt from the fold too.

    Parameters
    ----------
    model : UpliftModel
        Its settings are used; it stays as it is.
    features, arm, outcome, propensity
        As for `UpliftModel.fit`.
    n_folds : int
        At least 2; a setting apart from the model's own folds.

    Returns
    -------
    DataFrame
        What `UpliftModel.predict` returns, and ``fold``, in the order of the features.

    Raises
    ------
    SchemaError, CrmError
        As for `UpliftModel.fit`.
    """
    trial = read_trial(features.index, arm, outcome, control=model.control, propensity=propensity)
    fold = trial.folds(features.index, n_folds=n_folds, seed=model.seed + 1)
    parts = []
    for held in range(n_folds):
        elsewhere, here = features[fold != held], features[fold == held]
        fitted = copy.copy(model).fit(elsewhere, arm, outcome, propensity=propensity)
        parts.append(fitted.predict(here).assign(fold=held))
    return pd.concat(parts).reindex(features.index)


def plan_within_folds(uplift: pd.DataFrame, offers: Sequence[Offer], *, budget: float, control: str) -> pd.Series:
    """Allocate a budget fold by fold, each with its share of it, and return the arm each customer is to get.

    Parameters
    ----------
    uplift : DataFrame indexed by customer
        Of `cross_fitted_uplift`, with what else the offers need.
    offers : sequence of Offer
        Named like the arms, such as `UpliftModel.offers` returns.
    budget : float
        For all customers together.
    control : str
        The arm of those who get no offer.

    Returns
    -------
    Series of str, indexed by customer

    Raises
    ------
    SchemaError, CrmError
        If ``fold`` is missing, or as for `allocate_budget`.

    Examples
    --------
    >>> uplift = pd.DataFrame({"uplift_mail": [3.0, 1.0, 2.0, 5.0], "fold": [0, 0, 1, 1]}, index=list("abcd"))
    >>> mail = Offer("mail", 0.5, gain="uplift_mail", value_basis="experiment")
    >>> plan_within_folds(uplift, [mail], budget=1.0, control="control").to_dict()
    {'a': 'mail', 'b': 'control', 'c': 'control', 'd': 'mail'}
    """
    if "fold" not in uplift.columns:
        remedy = "Use the frame of cross_fitted_uplift."
        raise SchemaError(missing_column("fold", map(str, uplift.columns), what="cross-fitted plans", remedy=remedy))
    arms = pd.Series(control, index=uplift.index, name="arm", dtype=object)
    for _, customers in uplift.groupby("fold"):
        plan = allocate_budget(customers, offers, budget * len(customers) / len(uplift))
        arms[plan.contacts.index] = plan.contacts["offer"].astype(object)
    return arms.astype(str)
