"""What a plan is worth, measured on customers whose offers were drawn at random.

For customers with features x, arms A drawn with probabilities e, outcomes Y, and a policy that gives
arm a with probability π_a(x), the value per customer is E[Σ_a π_a(x) (Y(a) − cost_a)]. Two estimates of it:

- inverse propensity, self-normalised (Hájek): the mean outcome of those whose arm happened to be the policy's, weighted
  by ``w = π_A(x) / e_A``;
- doubly robust (Dudík, Langford and Li 2011; Athey and Wager 2021, *Econometrica* 89:133): the mean of
  ``Σ_a π_a(x) (μ_a(x) + 1{A = a} (Y − μ_a(x)) / e_a)``, with μ learnt from the customers of other folds. The
  probabilities are known, so it is right even where μ is wrong, and the tighter the better μ is.

Costs are known and taken off as they are. Standard errors are those of the influence functions, policies given; the
difference of two policies is that of their influences, so that customers treated alike by both add no noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from crm_ml.decisions.budget.plan import BudgetPlan
from crm_ml.decisions.columns import check_rows
from crm_ml.decisions.uplift.outcomes import arm_scores, expected_outcomes
from crm_ml.decisions.uplift.trial import Encoding, Trial, read_trial
from crm_ml.errors import CrmError, SchemaError, missing_column, out_of_range

__all__ = ["NOBODY", "Policy", "PolicyValue", "policy_value"]

Floats = NDArray[np.float64]
Policy = pd.Series | pd.DataFrame | BudgetPlan

NOBODY = "nobody"
ESTIMATORS = ("doubly robust", "inverse propensity")


@dataclass(frozen=True)
class PolicyValue:
    """The value of each policy and how it compares.

    Attributes
    ----------
    estimates : DataFrame indexed by (policy, estimator)
        ``contacted_share`` and ``cost`` (mean per customer); ``value``, the mean outcome less cost per customer, with
        ``standard_error``, ``lower`` and ``upper``.
    differences : DataFrame indexed by (policy, estimator)
        ``difference`` in value to the reference, likewise; paired by customer.
    reference : str
    customers : int
        How many the values were measured on.
    """

    estimates: pd.DataFrame
    differences: pd.DataFrame
    reference: str
    customers: int


def policy_value(
    policies: Mapping[str, Policy],
    outcomes: pd.DataFrame,
    *,
    outcome: str,
    costs: Mapping[str, float],
    learnt_from: pd.Index | None,
    features: pd.DataFrame,
    arm: str = "arm",
    control: str = "control",
    propensity: Mapping[str, float] | None = None,
    reference: str = NOBODY,
    significance_level: float = 0.05,
    n_folds: int = 5,
    seed: int = 0,
) -> PolicyValue:
    """Estimate what policies bring per customer, from a randomised experiment they were not learnt from.

    Nothing that a model or an optimiser expects enters the result.

    Parameters
    ----------
    policies : mapping of name to policy
        A Series with the arm of each customer; a DataFrame with a column per arm that holds the probability of
        getting it, the rest going to the control, for rules that draw; or a `BudgetPlan` with offers named like the
        arms, everyone without an offer getting the control. `NOBODY`, the control for all, is added.
    outcomes : DataFrame indexed by customer
        The experiment: the columns `arm` and `outcome`. Policies must cover all of its customers.
    outcome : str
        Column of what counts, in the unit of the costs, such as margin earned in the window.
    costs : mapping of arm to float
        Cost of giving each arm but the control to a customer, at least 0.
    learnt_from : Index or None
        Customers whose outcomes the policies were learnt from, such as `UpliftModel.customers_`. None says that each
        customer's arm was chosen without the customer's own outcome: by a rule, or by `plan_within_folds`.
    features : DataFrame indexed by customer
        For the outcomes to expect, as for `UpliftModel.fit`.
    arm, control : str
        Column of the arm, and the control's name.
    propensity : mapping of arm to share, optional
        By design, the control's too; the observed shares where it is not given.
    reference : str
        Name of the policy the others are compared with.
    significance_level : float
        0.05 for 95 % intervals.
    n_folds, seed : int
        Of the outcomes to expect.

    Returns
    -------
    PolicyValue

    Raises
    ------
    SchemaError
        If customers learnt from are among those measured on, a policy does not cover them or names an unknown arm,
        a column is missing, or as for `UpliftModel.fit`.
    CrmError
        If costs, reference, propensity or a level are outside their domain.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> features = pd.DataFrame({"orders": draw.poisson(3, 2_000)})
    >>> trial = pd.DataFrame({"arm": draw.choice(["control", "mail"], 2_000)})
    >>> trial["margin"] = features["orders"] + 2.0 * (trial["arm"] == "mail") + draw.normal(size=2_000)
    >>> found = policy_value({"mail all": pd.Series("mail", index=trial.index)}, trial, outcome="margin",
    ...                      costs={"mail": 0.5}, learnt_from=None, features=features)
    >>> found.differences.loc[("mail all", "doubly robust")].round(2).to_dict()
    {'difference': 1.48, 'standard_error': 0.05, 'lower': 1.39, 'upper': 1.57}
    """
    if not 0 < significance_level < 1:
        raise CrmError(out_of_range("significance_level", significance_level, "be between 0 and 1"))
    _check_held_out(outcomes.index, learnt_from)
    for column in (arm, outcome):
        if column not in outcomes.columns:
            present = [str(name) for name in outcomes.columns]
            raise SchemaError(missing_column(column, present, what="outcomes", remedy="Add or rename it."))
    customers = outcomes.index
    trial = read_trial(customers, outcomes[arm], outcomes[outcome], control=control, propensity=propensity)
    cost = _read_costs(costs, trial)
    given = {NOBODY: pd.Series(control, index=customers), **policies}
    if reference not in given:
        raise CrmError(out_of_range("reference", reference, f"be one of {list(given)}"))
    shares = {name: _shares(name, policy, customers, trial) for name, policy in given.items()}
    fold = trial.folds(customers, n_folds=n_folds, seed=seed)
    matrix = Encoding.of(features).matrix(features.reindex(customers))
    scores = arm_scores(expected_outcomes(matrix, trial, fold, seed=seed).expected, trial)
    influences = {}
    for name, share in shares.items():
        influences[name, ESTIMATORS[0]] = (share * (scores - cost)).sum(axis=1)
        influences[name, ESTIMATORS[1]] = _self_normalised(share, trial) - share @ cost
    return _evidence(influences, shares, cost, reference=reference, significance_level=significance_level)


def _check_held_out(customers: pd.Index, learnt_from: pd.Index | None) -> None:
    seen = 0 if learnt_from is None else int(customers.isin(learnt_from).sum())
    if seen:
        raise SchemaError(
            f"policies must be valued on customers they were not learnt from; {seen:,} of {len(customers):,} customers "
            "are in `learnt_from`.\nHold customers out, or plan by cross_fitted_uplift and plan_within_folds."
        )


def _read_costs(costs: Mapping[str, float], trial: Trial) -> Floats:
    if set(costs) != set(trial.arms[1:]):
        raise CrmError(out_of_range("costs", dict(costs), f"name the arms {list(trial.arms[1:])}"))
    cost = np.array([0.0, *(costs[name] for name in trial.arms[1:])], dtype=np.float64)
    if not (np.isfinite(cost) & (cost >= 0)).all():
        raise CrmError(out_of_range("costs", dict(costs), "be finite and at least 0"))
    return cost


def _shares(name: str, policy: Policy, customers: pd.Index, trial: Trial) -> Floats:
    """Return the probability of each arm for each customer: (n, n_arms)."""
    if isinstance(policy, BudgetPlan):
        policy = policy.contacts["offer"].astype(object).reindex(customers, fill_value=trial.arms[0])
    if not policy.index.is_unique:
        raise SchemaError(f"policy {name!r} must hold every customer once; some are repeated.\nDrop the others.")
    check_rows(customers.isin(policy.index), f"policy {name!r} must cover every customer.")
    rows = policy.reindex(customers)
    if isinstance(rows, pd.Series):
        rows = pd.get_dummies(rows.astype(str), dtype=np.float64)
    if unknown := sorted(map(str, set(rows.columns) - set(trial.arms))):
        rule = f"policy {name!r} must give arms of the experiment, {list(trial.arms)}; it gives {unknown} too."
        raise SchemaError(f"{rule}\nRename them.")
    share = rows.reindex(columns=list(trial.arms), fill_value=0.0).to_numpy(dtype=np.float64).copy()
    share[:, 0] = 1.0 - share[:, 1:].sum(axis=1)
    check_rows(share.min(axis=1) >= -1e-9, f"policy {name!r} must give probabilities that sum to at most 1.")
    return np.asarray(np.clip(share, 0.0, 1.0))


def _self_normalised(share: Floats, trial: Trial) -> Floats:
    """Return numbers whose mean is the self-normalised value and whose deviations are its influences."""
    weight = share[np.arange(len(share)), trial.arm] / trial.propensity[trial.arm]
    if not weight.any():
        raise SchemaError("a policy must agree with the arm of someone in the experiment.\nUse a larger experiment.")
    value = float(weight @ trial.outcome / weight.sum())
    found: Floats = value + weight * (trial.outcome - value) / weight.mean()
    return found


def _evidence(
    influences: Mapping[tuple[str, str], Floats],
    shares: Mapping[str, Floats],
    cost: Floats,
    *,
    reference: str,
    significance_level: float,
) -> PolicyValue:
    away = float(norm.ppf(1 - significance_level / 2))
    index = pd.MultiIndex.from_tuples(list(influences), names=["policy", "estimator"])
    values, differences = [], []
    for (name, estimator), influence in influences.items():
        use = {"contacted_share": float(1 - shares[name][:, 0].mean()), "cost": float((shares[name] @ cost).mean())}
        values.append({**use, **_interval("value", influence, away)})
        differences.append(_interval("difference", influence - influences[reference, estimator], away))
    n_customers = len(next(iter(shares.values())))
    return PolicyValue(pd.DataFrame(values, index), pd.DataFrame(differences, index), reference, n_customers)


def _interval(name: str, influence: Floats, away: float) -> dict[str, float]:
    mean, error = float(influence.mean()), float(influence.std(ddof=1) / np.sqrt(len(influence)))
    return {name: mean, "standard_error": error, "lower": mean - away * error, "upper": mean + away * error}
