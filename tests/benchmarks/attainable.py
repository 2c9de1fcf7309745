"""How much of the gain that could be had each way of spending a budget gets, on shops whose truth is known.

Run from the repository's root with ``python tests/benchmarks/attainable.py [shops]``; prints Markdown tables.

One campaign treats half of the customers at random. On half of all customers the shop learns from it what a contact
is worth, from its log alone; for the other half, whose outcomes it never sees, it plans. A contact keeps a customer
who is still there, who heeds it, longer: its worth is the days it adds within the horizon × purchases per day × mean
spend × margin, all taken from the simulator's truth, times the customer's probability of heeding it. Attainable is
what the same budget brings when these worths are known. Rules spend the whole budget whether it pays or not; the plan
contacts no one who is not expected to pay. In these shops the worth does grow with what a customer spends, which is
what a rule by value takes for granted and the uplift model has to find.

How candidates are combined was settled on shops 11 to 14; those printed are 1 to 4.
"""

from __future__ import annotations

import sys

import pandas as pd
from markdown import show

import crm_ml
from crm_ml import Offer, allocate_budget
from crm_ml.decisions.draws import salted_draws
from crm_ml.decisions.uplift import UpliftModel
from crm_ml.events.simulator import SimulatedShop, simulate

CUSTOMERS, DAYS, HORIZON_DAYS, MARGIN, COST, BUDGET_SHARE = 20_000, 730, 180, 0.4, 2.0, 0.15
SHOPS = 4
SHAPES = ("clv", "value_at_risk", "churn_probability")
STRENGTHS = {
    "A weak offer: 30 % heed it, for 60 days": {},
    "A strong offer: half heed it, for 120 days": {"persuadable_share": 0.5, "extension_days": 120.0},
}


def true_worth(shop: SimulatedShop) -> pd.Series:
    """Expected margin that a contact adds within the horizon, of each customer of the campaign."""
    campaign = shop.campaigns.set_index("customer_id")
    truth = shop.customers.loc[campaign.index]
    left, longer = campaign["days_left_without"], shop.parameters["extension_days"]
    added = (left + longer).clip(upper=HORIZON_DAYS) - left.clip(upper=HORIZON_DAYS)
    added = added.where(left > 0, 0.0)
    return added * truth["persuadability"] * truth["purchase_rate_per_day"] * truth["mean_spend"] * MARGIN


def seen_by_the_shop(shop: SimulatedShop) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Features and scores before the campaign, and the margin earned in the horizon after it."""
    moment = shop.campaigns["timestamp"].iloc[0]
    log = crm_ml.CustomerLog(shop.transactions, interactions=shop.interactions)
    features = crm_ml.build_features(log, as_of=moment)
    churn = crm_ml.ChurnModel(horizon_days=60).fit(log, as_of=moment)
    value = crm_ml.CLVModel().fit(log, as_of=moment)
    risk = crm_ml.predict_churn(log, churn, as_of=moment)["churn_probability"]
    worth = crm_ml.predict_clv(
        log, value, as_of=moment, horizon_days=HORIZON_DAYS, annual_discount_rate=0.0, margin=MARGIN
    )
    scores = pd.DataFrame({"churn_probability": risk, "clv": worth["clv"]})
    bought = shop.transactions
    after = bought["timestamp"].between(moment, moment + pd.Timedelta(days=HORIZON_DAYS), inclusive="left")
    margin = bought[after].groupby("customer_id")["amount"].sum() * MARGIN
    return features, scores, margin


def gains(shop: SimulatedShop) -> tuple[pd.Series, pd.DataFrame]:
    """What each way brings on the customers planned for, net of the contacts, and the uplift model's evidence."""
    worth = true_worth(shop)
    features, scores, margin = seen_by_the_shop(shop)
    known = worth.index.intersection(features.index)
    features, scores, worth = features.loc[known], scores.reindex(known), worth[known]
    scores["churn_probability"] = scores["churn_probability"].fillna(1.0)
    scores["clv"] = scores["clv"].fillna(0.0)
    scores["value_at_risk"] = scores["churn_probability"] * scores["clv"]
    learn = salted_draws(known, salt="experiment") < 0.5
    arm = shop.campaigns.set_index("customer_id")["arm"][known]
    inputs = features.select_dtypes("number").join(scores)
    outcome = margin.reindex(known, fill_value=0.0)[learn]
    plan_for, truth = scores[~learn], worth[~learn]
    budget = BUDGET_SHARE * len(plan_for) * COST
    chosen = {}
    for name, shapes in {"our plan without shapes": (), "our plan": SHAPES}.items():
        model = UpliftModel(shapes=shapes)
        model.fit(inputs[learn], arm[learn], outcome, propensity={"control": 0.5, "treated": 0.5})
        uplift = model.predict(inputs[~learn])
        priced = plan_for.join(uplift)
        chosen[name] = allocate_budget(priced, model.offers({"treated": COST}), budget).assignments.index
    oracle = Offer("treated", COST, gain="worth", value_basis="experiment")
    best = allocate_budget(plan_for.assign(worth=truth), [oracle], budget)
    chosen["uplift, whole budget"] = _first(uplift["uplift_treated"], budget)
    chosen["everyone alike"] = _first(pd.Series(salted_draws(plan_for.index, salt="order"), plan_for.index), budget)
    chosen["top risk"] = _first(plan_for["churn_probability"], budget)
    chosen["top value"] = _first(plan_for["clv"], budget)
    chosen["risk × value"] = _first(plan_for["value_at_risk"], budget)
    found = {name: float((truth[who] - COST).sum()) for name, who in chosen.items()}
    spreads = model.weights_.pivot_table("spread", "arm", "candidate").add_prefix("spread by ")
    evidence = model.effects_.assign(truth=worth[learn].mean()).join(spreads)
    return pd.Series({"attainable": best.expected_gain, **found}), evidence


def _first(score: pd.Series, budget: float) -> pd.Index:
    return score.nlargest(int(budget // COST)).index


def compare(title: str, strength: dict[str, float], shops: int) -> None:
    """Print the gains in each shop, and the shares of the attainable."""
    found, evidence = {}, {}
    for seed in range(1, shops + 1):
        shop = simulate(CUSTOMERS, days=DAYS, seed=seed, n_campaigns=1, **strength)
        found[f"shop {seed}"], evidence[f"shop {seed}"] = gains(shop)
        sys.stderr.write(f"{title}, shop {seed}\n{found[f'shop {seed}']}\n")
    table = pd.DataFrame(found).rename_axis("way")
    show(f"{title}. Net gain, money", table, digits=0)
    share = table / table.loc["attainable"]
    share["mean"] = share.mean(axis=1)
    show(f"{title}. Share of the attainable gain", share, digits=2)
    show(f"{title}. What the experiments found", pd.concat(evidence, names=["shop"]))


if __name__ == "__main__":
    for offer, settings in STRENGTHS.items():
        compare(offer, settings, int(sys.argv[1]) if len(sys.argv) > 1 else SHOPS)
