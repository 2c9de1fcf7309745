"""The churn model beside what one would use in its place, on real and simulated logs, as Markdown tables.

Run from the repository's root with ``python tests/benchmarks/churn.py [log ...] [--shared FOLDER]``; without names,
all logs. Those that do not travel with the project are looked for in ``../shared/data``, and left out where absent, as
is LightGBM where it is not installed.

Every predictor is fitted anew at every cutoff on what was known then. A table's measures are means over cutoffs, and
Brier = miscalibration − discrimination + the base rate's, which the title gives. Differences have 90 % intervals of a
bootstrap of customers; the model is best where it beats all others beyond it, and tied where an interval holds 0.
Recency alone, logistic regression and LightGBM learn from the same cutoffs as the model, LightGBM from the same
features too. The usual script is XGBoost on recency, frequency and monetary at the last cutoff with known labels.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import pandas as pd
from churn_logs import SHARED, Judged, judged_logs
from churn_rivals import TreeScript
from churn_tables import COMPARED, leads, leads_table, measures_table, verdict

import crm_ml
from crm_ml.churn import ChurnModel, LogisticBaseline, PurchaseProcessBaseline
from crm_ml.errors import CrmError
from crm_ml.evaluation import Backtest, Predictor, TrainingDesign, backtest
from crm_ml.features import RFM

MODEL = "crm_ml"
HAS_LIGHTGBM = importlib.util.find_spec("lightgbm") is not None


def predictors(design: TrainingDesign) -> dict[str, Predictor]:
    """Name the model and its rivals."""
    from xgboost import XGBClassifier

    model = ChurnModel(
        horizon_days=design.horizon_days, lookback_days=design.lookback_days, history_days=design.history_days
    )
    once = TrainingDesign(design.horizon_days, design.lookback_days, n_cutoffs=1, history_days=design.history_days)
    bought = ("recency_days", "frequency", "monetary")
    named: dict[str, Predictor] = {
        MODEL: model,
        "recency alone": LogisticBaseline(["recency_days"], design=design),
        "logistic on RFM": LogisticBaseline(design=design),
        "BG/NBD": PurchaseProcessBaseline(),
        "XGBoost script": TreeScript(XGBClassifier(), design=once, features=[RFM()], columns=bought),
    }
    if HAS_LIGHTGBM:
        from lightgbm import LGBMClassifier

        named["LightGBM"] = TreeScript(LGBMClassifier(verbosity=-1), design=design, features=model.features)
    return named


def backtested(log: crm_ml.CustomerLog, judged: Judged) -> tuple[Backtest, dict[str, str]]:
    """Return the backtest of the predictors that could be fitted at every cutoff, and why others could not."""
    design, found, refused = judged.design, list[Backtest](), dict[str, str]()
    for name, predictor in predictors(design).items():
        try:
            alone = backtest(
                log,
                {name: predictor},
                cutoffs=judged.cutoffs,
                horizon_days=design.horizon_days,
                target="churned",
                lookback_days=design.lookback_days,
            )
        except CrmError as error:
            refused[name] = str(error).splitlines()[0]
        else:
            found.append(alone)
    predictions = pd.concat([each.predictions.drop(columns="actual") for each in found], axis=1)
    predictions.insert(0, "actual", found[0].predictions["actual"])
    return Backtest(predictions, pd.concat([each.metrics for each in found])), refused


def report(judged: Judged) -> list[str]:
    """Return a log's tables and verdict."""
    design = judged.design
    found, refused = backtested(judged.open(), judged)
    summary = found.summary()
    first = summary.iloc[0]
    within = "" if design.lookback_days is None else f" who bought within {design.lookback_days:g} days"
    lines = [
        f"**{judged.title}**: no purchase in {design.horizon_days:g} days; {len(judged.cutoffs)} cutoffs from "
        f"{judged.cutoffs[0]} to {judged.cutoffs[-1]} of {first['customers']:,.0f} customers{within}, "
        f"{found.predictions['actual'].mean():.1%} of whom left; base rate's Brier {first['brier_uncertainty']:.4f}",
        "",
        *measures_table(summary),
        "",
    ]
    lines += [f"{name} could not be fitted: {why}" for name, why in refused.items()]
    if MODEL in refused:
        return lines
    compared = leads(found.compare(MODEL, measures=list(COMPARED), level=0.90))
    return [*lines, *leads_table(compared), "", f"{MODEL}: {verdict(compared)}"]


def main() -> None:
    """Print the tables of the logs asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", metavar="log", help=", ".join(judged_logs(SHARED)))
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of data/ with the logs kept outside")
    asked = parser.parse_args()
    logs = judged_logs(asked.shared)
    if unknown := [name for name in asked.logs if name not in logs]:
        parser.error(f"logs must be of {', '.join(logs)}; got {', '.join(unknown)}")
    if not HAS_LIGHTGBM:
        sys.stdout.write("LightGBM is left out: it is not installed.\n\n")
    for name in asked.logs or logs:
        judged = logs[name]
        if judged.path is not None and not judged.path.exists():
            lines = [f"**{judged.title}** is left out: there is no {judged.path.name} in {judged.path.parent}."]
        else:
            lines = report(judged)
        sys.stdout.write("\n".join([*lines, "", ""]))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
