"""Which features are built: chosen by builder, by group or by name, settled on a log, kept with a model."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pandas as pd

from crm_ml.errors import ModelError, SchemaError, missing_column
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.basket import Basket, Discounts
from crm_ml.features.builders.category import CategoryRFM
from crm_ml.features.builders.decline import InteractionDecline
from crm_ml.features.builders.rfm import RFM
from crm_ml.features.builders.season import Seasonality
from crm_ml.features.builders.stretch import IntervalStretch
from crm_ml.features.feature import Builder, Feature, build, from_spec, interaction_days, to_spec
from crm_ml.features.history import History
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.ragged import Float

__all__ = ["DEFAULT_FEATURES", "GROUPS", "FeatureSet", "Features", "catalogue"]

logger = logging.getLogger(__name__)

GROUPS: Mapping[str, Builder] = {
    "rfm": RFM(),
    "interval": IntervalStretch(),
    "interactions": InteractionDecline(),
    "season": Seasonality(),
    "category": CategoryRFM(),
    "basket": Basket(),
    "discount": Discounts(),
}
"""The builders of the library by the name of their group; "all" names all of them."""

DEFAULT_FEATURES: tuple[str, ...] = ("rfm", "interval", "interactions")


@dataclass(frozen=True)
class FeatureSet:
    """Builders settled on a log, and which of their features are wanted: what a model keeps.

    Attributes
    ----------
    builders : with event types and categories filled in.
    columns : names of the features in order.
    left_out : why a builder that was asked for is left out, by its name.
    """

    builders: tuple[Builder, ...]
    columns: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def settle(cls, features: Features, log: CustomerLog, *, first_cutoff: Moment) -> Self:
        """Return the features that a log allows for, from what had occurred before the first cutoff.

        A builder whose columns the log lacks is left out, which `left_out` and a log message say. A set
        that is settled already is returned as it is.

        Raises
        ------
        SchemaError
            A name is unknown, a feature is built twice or takes the name of a panel's own column, or the log
            lacks what a settled set needs.
        """
        present = {*log.columns, *(("interactions",) if log.n_interactions else ())}
        if isinstance(features, FeatureSet):
            for builder in features.builders:
                if lacking := _lacking(builder, present):
                    raise SchemaError(
                        f"{type(builder).__name__} needs {lacking}, which the log lacks; it has {sorted(present)}.\n"
                        "Give the log the columns the features were made with, or train again without them."
                    )
            return cls(features.builders, features.columns)
        known = {"event_types": log.event_types_before(first_cutoff), "categories": log.categories_before(first_cutoff)}
        chosen: list[tuple[Builder, set[str]]] = []
        left_out, unused = {}, {}
        for builder, name in _resolve(features, known):
            if lacking := _lacking(builder, present):
                left_out[type(builder).__name__] = f"the log has no {lacking}"
                continue
            names = {name} if name else {feature.name for feature in builder.describe()}
            if not names:
                unused[type(builder).__name__] = "nothing it looks at had occurred by the first cutoff"
                continue
            same = next((columns for other, columns in chosen if other == builder), None)
            if same is None:
                chosen.append((builder, names))
            else:
                same |= names
        for who, why in left_out.items():
            logger.warning("%s is left out: %s.", who, why)
        for who, why in unused.items():
            logger.info("%s is left out: %s.", who, why)
        columns = [f.name for builder, names in chosen for f in builder.describe() if f.name in names]
        return cls(tuple(builder for builder, _ in chosen), tuple(_checked(columns)), left_out | unused)

    @property
    def documented(self) -> tuple[Feature, ...]:
        """The documentation of each feature."""
        known = {feature.name: feature for builder in self.builders for feature in builder.describe()}
        return tuple(known[name] for name in self.columns)

    @property
    def interaction_days(self) -> float:
        """How far before a cutoff the builders look at interactions; infinite where one does not say."""
        return max(map(interaction_days, self.builders), default=0.0)

    def build(self, history: History) -> dict[str, Float]:
        """Return the (c, n) array of each feature."""
        built: dict[str, Float] = {}
        for builder in self.builders:
            built |= build(builder, history)
        return {name: built[name] for name in self.columns}

    def to_dict(self) -> dict[str, Any]:
        """Return the set as plain data."""
        return {"builders": [to_spec(builder) for builder in self.builders], "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the set that `to_dict` wrote; anything else, or a builder not registered, raises ModelError."""
        if not isinstance(content, Mapping) or not {"builders", "columns"} <= content.keys():
            raise ModelError(
                "A model's features must be stored as builders and columns; these are not.\n"
                "Train it again with this version."
            )
        return cls(tuple(from_spec(spec) for spec in content["builders"]), tuple(content["columns"]))


Features = FeatureSet | Sequence[Builder | str] | str


def catalogue(features: Features, log: CustomerLog, *, as_of: Moment | None = None) -> pd.DataFrame:
    """Return the documentation of every feature, one row each.

    Parameters
    ----------
    features : as for `crm_ml.build_features`.
    log : the log they would be built on.
    as_of : the cutoff; by default the log's end.

    Returns
    -------
    DataFrame
        Indexed by name: unit, formula, range, missing (what a missing value means), churn, the direction
        in which a larger value can only move the risk of churn, if any, and theme, the fact it tells of.

    Examples
    --------
    >>> import crm_ml
    >>> catalogue("rfm", crm_ml.load_sample()).loc["recency_days", ["unit", "formula", "missing"]].tolist()
    ['days', 'cutoff − last purchase', 'never']
    """
    settled = FeatureSet.settle(features, log, first_cutoff=log.end if as_of is None else as_of)
    columns = [item.name for item in dataclasses.fields(Feature) if item.name != "words"]
    return pd.DataFrame(
        [[getattr(f, name) for name in columns] for f in settled.documented], columns=columns
    ).set_index("name")


def _resolve(
    features: Sequence[Builder | str] | str, known: Mapping[str, tuple[str, ...]]
) -> list[tuple[Builder, str | None]]:
    """Return the builders asked for, closed, each with the one feature wanted of it or None for all."""
    found: list[tuple[Builder, str | None]] = []
    library = {group: _closed(builder, known) for group, builder in GROUPS.items()}
    for item in [features] if isinstance(features, str) else features:
        if not isinstance(item, str):
            found.append((_closed(item, known), None))
        elif item == "all":
            found += [(builder, None) for builder in library.values()]
        elif item in library:
            found.append((library[item], None))
        else:
            owners = {f.name: builder for builder in library.values() for f in builder.describe()}
            if item not in owners:
                names = ["all", *library, *owners]
                remedy = "Name a group or a feature, or give a builder."
                raise SchemaError(missing_column(item, names, what="features", remedy=remedy))
            found.append((owners[item], item))
    return found


def _closed(builder: Any, known: Mapping[str, tuple[str, ...]]) -> Builder:
    """Return a builder with open event types and categories set."""
    opened = {name: values for name, values in known.items() if getattr(builder, name, values) is None}
    closed: Builder = dataclasses.replace(builder, **opened) if opened else builder
    return closed


def _lacking(builder: Builder, present: set[str]) -> str:
    return ", ".join(sorted(set(getattr(builder, "needs", ())) - present))


def _checked(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"Feature names must be unique. Built twice: {twice}.\nChange a builder or leave one out.")
    taken = sorted({*LABEL_COLUMNS, "customer_id", "cutoff"} & set(names))
    if taken:
        raise SchemaError(f"Feature names must leave a panel's own columns free. Taken: {taken}.\nRename them.")
    return names
