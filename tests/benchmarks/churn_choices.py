"""What each choice in the churn model is worth: the model as it is, and with one thing changed, as Markdown tables.

Run from the repository's root with ``python tests/benchmarks/churn_choices.py [log ...]``; without names, all logs
that are there. Judged as by `churn.py`, which see: means over cutoffs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self
from unittest import mock

import pandas as pd
from churn_logs import SHARED, Judged, judged_logs

import crm_ml
from crm_ml.churn import ChurnModel
from crm_ml.churn.training import window
from crm_ml.evaluation import TrainingDesign, backtest

MEASURES = ["auc", "brier", "log_loss", "calibration_error"]


class Unconstrained(ChurnModel):
    """No feature has a direction."""

    @property
    def _documented(self) -> Any:
        return tuple(dataclasses.replace(feature, churn=0) for feature in super()._documented)


class Patched(ChurnModel):
    """Trained with a name of the library changed."""

    changed: Mapping[str, Any]

    def fit(self, log: crm_ml.CustomerLog, *, as_of: Any) -> Self:
        with mock.patch.multiple(self.changed["in"], **self.changed["to"]):
            return super().fit(log, as_of=as_of)


def patched(where: str, **to: Any) -> type[ChurnModel]:
    return type("Patched", (Patched,), {"changed": {"in": where, "to": to}})


def growing(**parameters: Any) -> type[ChurnModel]:
    return patched("crm_ml.churn.training.window", PARAMETERS=window.PARAMETERS | parameters)


NO_PROCESS = patched("crm_ml.churn.training.panel", fit_processes=lambda _, cutoffs: [None] * len(cutoffs))

VARIANTS: dict[str, Callable[..., ChurnModel]] = {
    "as it is": ChurnModel,
    "without monotone constraints": Unconstrained,
    "without the purchase process": NO_PROCESS,
    "never calibrated": partial(ChurnModel, calibration="none"),
    "always sigmoid": partial(ChurnModel, calibration="sigmoid"),
    "always beta": partial(ChurnModel, calibration="beta"),
    "always isotonic": partial(ChurnModel, calibration="isotonic"),
    "always blended with the process": partial(ChurnModel, calibration="blend"),
    "the latest 4 cutoffs": partial(ChurnModel, n_cutoffs=4),
    "trees of depth 2": growing(max_depth=2),
    "trees of depth 6": growing(max_depth=6),
    "a penalty of 1 instead of 50": growing(reg_lambda=1),
}


def judged_variants(judged: Judged) -> pd.DataFrame:
    """Return the measures of every variant on a log."""
    design: TrainingDesign = judged.design
    settings = {
        "horizon_days": design.horizon_days,
        "lookback_days": design.lookback_days,
        "history_days": design.history_days,
    }
    done = backtest(
        judged.open(),
        {name: make(**settings) for name, make in VARIANTS.items()},
        cutoffs=judged.cutoffs,
        horizon_days=design.horizon_days,
        lookback_days=design.lookback_days,
        target="churned",
    )
    return done.summary()[MEASURES]


def main() -> None:
    """Print a table per log."""
    logs = judged_logs(SHARED)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", choices=[*logs, []], metavar="log", help=", ".join(logs))
    names = parser.parse_args().logs or [name for name, log in logs.items() if log.path is None or log.path.exists()]
    for name in names:
        found = judged_variants(logs[name])
        lines = [f"| {name} | {' | '.join(MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
        for variant, measures in found.iterrows():
            lines.append(f"| {variant} | {' | '.join(f'{value:.4f}' for value in measures)} |")
        sys.stdout.write("\n".join([*lines, "", ""]))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
