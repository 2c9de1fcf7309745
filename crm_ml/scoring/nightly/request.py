"""What a job is asked for, settled once: the models' versions, the input files, the settings, and a key for it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd

from crm_ml import __version__
from crm_ml.churn import ChurnModel
from crm_ml.churn.horizons import Horizons
from crm_ml.clv import CLVModel
from crm_ml.errors import ModelError, SchemaError
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.keyed import keyed_ids
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS
from crm_ml.events.reading.files import input_files, shown
from crm_ml.registry import ResolvedModel, StorableModel, Store, resolve
from crm_ml.registry.manifest import plain, seal

__all__ = ["Paths", "Request"]

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    as_of : UTC.
    models : by kind; an alias has been looked up.
    settings : of the value model's `predict`; empty without one.
    sources : paths of the tables.
    reading : how `crm_ml.CustomerLog` is to take them.
    id_key : with which identifiers are hashed, or None.
    """

    as_of: pd.Timestamp
    models: Mapping[str, ResolvedModel]
    settings: Mapping[str, float]
    sources: Mapping[str, Paths]
    reading: Mapping[str, Any]
    id_key: bytes | None

    @classmethod
    def of(
        cls,
        sources: Mapping[str, Paths | None],
        *,
        models: Sequence[StorableModel | str | Path],
        as_of: Moment,
        settings: Mapping[str, float | None],
        reading: Mapping[str, Any],
        id_key: bytes | None,
        store: Store | None,
    ) -> Self:
        """Look the models up and check that all is there that they need.

        Raises
        ------
        ModelError
            A model cannot be had, or there is none, or several of one kind.
        SchemaError
            The value model's settings are missing.
        """
        found = [resolve(model, store=store) for model in models]
        by_kind = {resolved.model.kind: resolved for resolved in found}
        kinds = [resolved.model.kind for resolved in found]
        if not found or len(by_kind) < len(found) or not by_kind.keys() <= {"churn", "clv"}:
            raise ModelError(
                f"A job needs a churn model, a value model (clv), or one of each; got {kinds}.\nName those, once each."
            )
        missing = [name for name, value in settings.items() if value is None]
        if "clv" in by_kind and missing:
            raise SchemaError(
                f"A value model needs {missing}, which were not given.\nGive them, or leave the model out."
            )
        return cls(
            as_of=stamp(moment(as_of)),
            models=by_kind,
            settings=cast("dict[str, float]", dict(settings)) if "clv" in by_kind else {},
            sources={table: paths for table, paths in sources.items() if paths is not None},
            reading=reading,
            id_key=id_key,
        )

    @property
    def churn(self) -> ChurnModel | None:
        """The churn model, if there is one."""
        return cast("ChurnModel", self.models["churn"].model) if "churn" in self.models else None

    @property
    def clv(self) -> CLVModel | None:
        """The value model, if there is one."""
        return cast("CLVModel", self.models["clv"].model) if "clv" in self.models else None

    @cached_property
    def stated(self) -> dict[str, Any]:
        """All that the scores depend on, as plain data; no identifier and no credential is in it."""
        inputs = {
            table: [found._asdict() for found in input_files(self.sources[table], name=table)] for table in self.sources
        }
        stated: dict[str, Any] = plain(
            {
                "crm_ml": __version__,
                "as_of": self.as_of.isoformat(),
                "models": {kind: self._identity(kind) for kind in sorted(self.models)},
                "settings": self.settings,
                "reading": self.reading,
                "inputs": inputs,
                "hashed_ids": self.id_key is not None,
            }
        )
        return stated

    @property
    def from_mlflow(self) -> bool:
        """Whether a model comes from an MLflow store."""
        sources = [resolved.source or "" for resolved in self.models.values()]
        return any(source.startswith(("models:/", "runs:/")) for source in sources)

    def _identity(self, kind: str) -> dict[str, Any]:
        """State which model it is, to the byte, and what its scores are of."""
        resolved, content = self.models[kind], hashlib.sha256()
        for name, file in sorted(resolved.model.to_files().items()):
            content.update(f"{name} {len(file)} ".encode())
            content.update(file)
        source = None if resolved.source is None else shown(resolved.source)
        stated = {"source": source, "version": resolved.version, "sha256": content.hexdigest()}
        if kind == "churn" and self.churn is not None:
            horizons = Horizons.of(self.churn.horizon_days)
            return stated | {"horizon_days": horizons.to_plain(), "lookback_days": self.churn.lookback_days}
        return stated | {"horizon_days": self.settings["horizon_days"]}

    @cached_property
    def key(self) -> str:
        """What tells this job from every other."""
        pseudonym = [] if self.id_key is None else keyed_ids(["job"], self.id_key).to_pylist()
        return seal({**self.stated, "pseudonym": pseudonym})

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        midnight = self.as_of == self.as_of.normalize()
        return f"{self.as_of:{'%Y-%m-%d' if midnight else '%Y-%m-%dT%H%M%S'}}-{self.key[:12]}"

    @property
    def tables(self) -> tuple[Paths, Paths | None]:
        """Transactions and interactions."""
        return self.sources[TRANSACTIONS.name], self.sources.get(INTERACTIONS.name)
