"""The drift gate: whether tonight's customers are still those that the churn model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crm_ml.churn import ChurnModel
from crm_ml.errors import DriftError
from crm_ml.evaluation import Counts, Profile, drift
from crm_ml.scoring.scorer import Scored

__all__ = ["close_gate", "counted", "shifts_since_training"]

SHOWN = 3


def counted(profile: Profile, scored: Iterable[Scored]) -> list[list[int]]:
    """Return the counts of some customers by the bins of a profile, as plain data."""
    counts = [profile.count(part.features, part.scores) for part in scored if part.features is not None]
    return [] if not counts else sum(counts[1:], start=counts[0]).table.tolist()


def shifts_since_training(churn: ChurnModel | None, notes: Sequence[Mapping[str, Any]]) -> pd.DataFrame | None:
    """Return the drift of all customers, given the notes with their counts; None where no profile tells of training."""
    if churn is None or churn.profile_ is None:
        return None
    tables = [np.array(note["counts"], dtype=np.int64) for note in notes if note["counts"]]
    return drift(churn.profile_, Counts(np.sum(tables, axis=0)))


def close_gate(shifts: pd.DataFrame) -> None:
    """Raise DriftError where anything has shifted."""
    shifted = shifts[shifts["shifted"]].sort_values("psi", ascending=False)
    if len(shifted):
        evidence = "; ".join(f"`{name}` {why}" for name, why in shifted["why"].head(SHOWN).items())
        more = f", and {len(shifted) - SHOWN} more" if len(shifted) > SHOWN else ""
        raise DriftError(
            f"Customers must be like those that the churn model was trained on. {len(shifted)} of {len(shifts)} "
            f"columns have shifted: {evidence}{more}.\nSee whether the log is whole; train again, or accept the drift."
        )
