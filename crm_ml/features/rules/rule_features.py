"""The features that rules name, found among the library's builders and one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from crm_ml.errors import SchemaError, missing_column
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.decline import ActivityDecline
from crm_ml.features.feature import Builder
from crm_ml.features.feature_set import FeatureSet

__all__ = ["FALL", "buildable", "rule_features"]

FALL = "interaction_decline"
"""The fall of all interactions together, of `ActivityDecline`, which is in no group."""


def rule_features(
    columns: Sequence[str], log: CustomerLog, *, first_cutoff: Moment, features: Sequence[Builder] = ()
) -> FeatureSet:
    """Return the features of these names, settled on a log, in their order.

    Parameters
    ----------
    columns : names of features, as rules give them; each once.
    log : the log.
    first_cutoff : event types and categories are those that had occurred before it.
    features : builders of columns beside those of `crm_ml.features.GROUPS` and `ActivityDecline()`, whose place they
        may take.

    Raises
    ------
    SchemaError
        A name is nobody's, or the log lacks what its builder needs.

    Examples
    --------
    >>> import crm_ml
    >>> rule_features(["recency_days", "interaction_decline"], crm_ml.load_sample(), first_cutoff="2017-10-01").columns
    ('recency_days', 'interaction_decline')
    """
    settled = _settle(columns, log, first_cutoff, features)
    for column in columns:
        if column not in settled.columns:
            why = "".join(f" {who} is left out: {why}." for who, why in settled.left_out.items())
            remedy = f"Give the log what it lacks, or choose a rule without it.{why}"
            raise SchemaError(missing_column(column, settled.columns, what="rules", remedy=remedy))
    return dataclasses.replace(settled, columns=tuple(columns))


def buildable(
    columns: Sequence[str], log: CustomerLog, *, first_cutoff: Moment, features: Sequence[Builder] = ()
) -> tuple[str, ...]:
    """Return which of these features the log has all that is needed for; parameters as for `rule_features`."""
    known = set(_settle(columns, log, first_cutoff, features).columns)
    return tuple(name for name in columns if name in known)


def _settle(columns: Sequence[str], log: CustomerLog, first_cutoff: Moment, features: Sequence[Builder]) -> FeatureSet:
    own = FeatureSet.settle(features, log, first_cutoff=first_cutoff)
    library = [ActivityDecline() if name == FALL else name for name in columns if name not in own.columns]
    settled = FeatureSet.settle([*own.builders, *library], log, first_cutoff=first_cutoff)
    return dataclasses.replace(settled, left_out={**own.left_out, **settled.left_out})
