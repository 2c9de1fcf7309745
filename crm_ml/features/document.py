"""The table of all features, made from their builders: ``python -m crm_ml.features.document`` writes FEATURES.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from crm_ml.events.log import CustomerLog
from crm_ml.features.feature import Feature
from crm_ml.features.feature_set import GROUPS, FeatureSet

__all__ = ["document"]

_HEAD = """# Features

Made by `python -m crm_ml.features.document` from the builders themselves, for a shop with one event type, `view`, and
one category, `toys`; every other type or category has the same columns under its own name. Everything is as of a
cutoff and from events before it; customers are those with a purchase before it. `crm_ml.features.catalogue(features,
log)` gives this table for any log and any builders. Churn is the direction in which a larger value can only
move the risk of churn, which the churn model holds its trees to; features of one theme tell of one fact, and their
shares in a reason are summed."""


def document() -> str:
    """Return the table in Markdown, a section for each group.

    >>> document().splitlines()[0]
    '# Features'
    """
    bought = pd.DataFrame(
        {"customer_id": ["a"], "timestamp": ["2024-01-01"], "amount": [1.0], "category": ["toys"]}
        | {"quantity": [1.0], "discount": [0.0]}
    )
    log = CustomerLog(bought, bought.assign(event_type="view")[["customer_id", "timestamp", "event_type"]])
    sections = [_HEAD]
    for group, builder in GROUPS.items():
        needs = ", ".join(f"`{column}`" for column in getattr(builder, "needs", ()))
        sections += [f"## {group}", f"`{type(builder).__name__}()`" + (f", for logs with {needs}" if needs else "")]
        sections.append(_table(FeatureSet.settle(group, log, first_cutoff=log.end).documented))
    return "\n\n".join(sections) + "\n"


def _table(features: Iterable[Feature]) -> str:
    directions = {1: "up", -1: "down", 0: ""}
    rows = [("feature", "unit", "formula", "range", "missing means", "churn", "theme"), ("---",) * 7]
    rows += [(f"`{f.name}`", f.unit, f.formula, f.range, f.missing, directions[f.churn], f.theme) for f in features]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    Path(__file__).with_name("FEATURES.md").write_text(document(), encoding="utf-8")
