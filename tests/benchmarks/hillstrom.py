"""A real e-mail experiment: what mails change for whom, and what plans bring on customers held out, as Markdown tables.

Run from the repository's root with ``python tests/benchmarks/hillstrom.py [folder]``, with the folder of
``hillstrom_a.parquet`` as argument where it is not ``../shared/data``; without the file it says so and ends. The data
are half of Kevin Hillstrom's MineThatData challenge (2008): about a third of the customers each drawn for a mail with
men's articles, one with women's, or none; the outcomes are those of the two weeks after.

All of a customer's spend counts as its value (a margin of 100 %) unless said otherwise. The budget pays for mailing
half of the customers; each plan is made for customers by a model that was fitted on others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from markdown import show

from crm_ml.decisions.uplift import (
    PolicyValue,
    UpliftModel,
    cross_fitted_uplift,
    plan_within_folds,
    policy_value,
    qini,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FILE = "hillstrom_a.parquet"
CONTROL = "No E-Mail"
MAILS = ["Mens E-Mail", "Womens E-Mail"]
PROPENSITY = {CONTROL: 1 / 3, MAILS[0]: 1 / 3, MAILS[1]: 1 / 3}
COVARIATES = ["recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel"]
COSTS, MARGINS, BUDGET_SHARE = (0.10, 0.30, 0.50), (1.0, 0.3), 0.5
BETTER = "better mail, random order"


def uplift_by_segment(data: pd.DataFrame) -> pd.DataFrame:
    """Difference in mean to the control, with its standard error, for every level of some covariates."""
    levels = pd.concat(
        [pd.Series("everyone", index=data.index)]
        + [name + " = " + data[name].astype(str) for name in ("mens", "womens", "newbie", "channel", "history_segment")]
    )
    rows = []
    for level, customers in levels.groupby(levels, sort=False).groups.items():
        by_arm = data.loc[customers].groupby("segment")
        row: dict[str, object] = {"segment": level, "customers": len(customers)}
        for outcome, unit, digits in (("visit", 100, 1), ("spend", 1, 2)):
            mean, squared_error = by_arm[outcome].mean() * unit, (by_arm[outcome].sem() * unit) ** 2
            for mail in MAILS:
                error = np.sqrt(squared_error[mail] + squared_error[CONTROL])
                found = f"{mean[mail] - mean[CONTROL]:.{digits}f} ± {error:.{digits}f}"
                row[f"{mail.split()[0]} {outcome}{' (points)' if unit == 100 else ''}"] = found
        rows.append(row)
    return pd.DataFrame(rows).set_index("segment")


def qini_table(data: pd.DataFrame) -> pd.DataFrame:
    """Qini of cross-fitted uplift, per outcome, learner and mail, against the ranking by history."""
    rows = []
    for outcome in ("visit", "spend"):
        scores = {"by history": pd.DataFrame({f"uplift_{mail}": data["history"] for mail in MAILS}).assign(fold=0)}
        for learner in ("dr", "x", "t"):
            model = UpliftModel(learner=learner, control=CONTROL)
            scores[f"{learner}-learner"] = cross_fitted_uplift(
                model, data[COVARIATES], data["segment"], data[outcome], propensity=PROPENSITY
            )
        for name, score in scores.items():
            for mail in MAILS:
                two = data["segment"].isin([mail, CONTROL])
                treated = data.loc[two, "segment"] == mail
                area = qini(
                    score.loc[two, f"uplift_{mail}"],
                    treated=treated,
                    outcome=data.loc[two, outcome],
                    fold=score.loc[two, "fold"],
                )
                rows.append((outcome, name, mail, 1000 * area.value, 1000 * area.standard_error))
    columns = ["outcome", "score", "mail", "Qini × 1000", "standard error × 1000"]
    return pd.DataFrame(rows, columns=columns).set_index("outcome")


def rules(data: pd.DataFrame, better: pd.Series) -> dict[str, pd.DataFrame]:
    """What the budget for half of the customers pays for without a model: probabilities of each mail.

    Parameters
    ----------
    better : the creative of the higher mean effect in the other folds, for each customer.
    """
    onehot = pd.get_dummies(better, dtype=float).reindex(columns=MAILS, fill_value=0.0)
    first = (data["history"].rank(ascending=False, method="first") <= BUDGET_SHARE * len(data)).astype(float)
    return {
        BETTER: onehot * BUDGET_SHARE,
        "either mail at random": pd.DataFrame(BUDGET_SHARE / 2, index=data.index, columns=MAILS),
        "better mail, top by history": onehot.mul(first, axis=0),
    }


def better_elsewhere(data: pd.DataFrame, value: pd.Series, fold: pd.Series) -> pd.Series:
    """The mail with the higher mean outcome among the customers of the other folds."""
    found = pd.Series("", index=data.index)
    for held in fold.unique():
        means = value[fold != held].groupby(data.loc[fold != held, "segment"]).mean()
        found[fold == held] = means[MAILS].idxmax()
    return found


def plans(data: pd.DataFrame, margin: float) -> None:
    """Print the value of the plan and of the rules at each cost of a mail."""
    value = (data["spend"] * margin).rename("value")
    features, uplifts = data[COVARIATES], {}
    for name, shapes in {"our plan": (), "our plan, shape history": ("history",)}.items():
        model = UpliftModel(control=CONTROL, shapes=shapes)
        uplifts[name] = cross_fitted_uplift(model, features, data["segment"], value, propensity=PROPENSITY)
        fitted = model.fit(features, data["segment"], value, propensity=PROPENSITY)
        spreads = fitted.weights_.pivot_table("spread", "arm", "candidate").add_prefix("spread by ")
        show(f"Margin {margin:.0%}: {name}, the model on everyone", fitted.effects_.join(spreads), digits=4)
    simple = rules(data, better_elsewhere(data, value, uplifts["our plan"]["fold"]))
    outcomes = pd.DataFrame({"arm": data["segment"], "value": value})
    for cost in COSTS:
        costs, budget = dict.fromkeys(MAILS, cost), BUDGET_SHARE * cost * len(data)
        planned = {
            name: plan_within_folds(uplift, fitted.offers(costs), budget=budget, control=CONTROL)
            for name, uplift in uplifts.items()
        }
        found = policy_value(
            {**planned, **simple},
            outcomes,
            outcome="value",
            costs=costs,
            learnt_from=None,
            features=features,
            reference=BETTER,
            control=CONTROL,
            propensity=PROPENSITY,
        )
        show(f"Margin {margin:.0%}, ${cost:.2f} per mail: dollars per customer", written(found))


def written(found: PolicyValue) -> pd.DataFrame:
    """Value and difference of each policy with their intervals."""
    table = found.estimates[["contacted_share", "value"]].copy()
    for name, frame in (("value", found.estimates), ("difference", found.differences)):
        table[name] = frame[name]
        bounds = frame[["lower", "upper"]].to_numpy()
        table[f"{name}: 95 % interval"] = [f"{low:.3f} to {high:.3f}" for low, high in bounds]
    return table


def main() -> None:
    """Print all tables."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else SHARED) / FILE
    if not path.exists():
        sys.exit(f"{FILE} is not part of the project, and is not in {path.parent}")
    data = pd.read_parquet(path).set_index("customer_id")
    show(f"Uplift by segment, {len(data):,} customers", uplift_by_segment(data))
    show("Qini, cross-fitted, in thousandths per customer", qini_table(data), digits=2)
    for margin in MARGINS:
        plans(data, margin)


if __name__ == "__main__":
    main()
