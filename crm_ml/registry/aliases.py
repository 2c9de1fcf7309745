"""Champion and challenger: which version is in use, which may replace it, and why, told by tags on the versions.

A decision is a tag `crm_ml.decision.<n>` of every version it concerns, n = 1, 2, ... in order, its value JSON.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_ml.errors import ModelError
from crm_ml.registry.manifest import plain
from crm_ml.registry.store import Store, default_store, session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["CHALLENGER", "CHAMPION", "TRAINED_AT", "Rollback", "decisions", "place", "rollback", "settle"]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
TRAINED_AT: Final = "crm_ml.trained_at"
"""Tag of a version: when its training ended, which may be long before it was recorded."""

_DECISION: Final = "crm_ml.decision."


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes
    ----------
    name : the registered model.
    version : the champion now.
    rolled_back : the champion before.
    """

    name: str
    version: int
    rolled_back: int

    @property
    def words(self) -> str:
        """Say it in a sentence."""
        return f"{self.name}: version {self.version} is the champion again, instead of version {self.rolled_back}."


def decisions(version: ModelVersion) -> list[dict[str, Any]]:
    """Give the decisions that concerned a version, in order."""
    numbered = {int(key.removeprefix(_DECISION)): key for key in version.tags if key.startswith(_DECISION)}
    return [json.loads(version.tags[numbered[number]]) for number in sorted(numbered)]


def place(client: MlflowClient, name: str, version: int) -> str | None:
    """Give a new version its alias: the first is champion, a later one challenger, one recorded too late none."""
    new = client.get_model_version(name, str(version))
    if new.aliases:
        return str(new.aliases[0])
    standing = _standing(client, name)
    if any(there.tags.get(TRAINED_AT, "") > new.tags[TRAINED_AT] for there in standing.values()):
        return None
    alias = CHALLENGER if CHAMPION in standing else CHAMPION
    if alias == CHAMPION and not decisions(new):
        _note(client, name, [new], {"decision": "first"})
    client.set_registered_model_alias(name, alias, str(version))
    return alias


def settle(
    store: Store, name: str, *, champion: int, challenger: int, promoted: bool, evidence: Mapping[str, object]
) -> None:
    """Note on both versions what became of the challenger; if promoted, it is the champion afterwards.

    Raises
    ------
    ModelError
        Another has become champion meanwhile, or the store refuses.
    """
    with session(store) as client:
        standing = _standing(client, name)
        now = int(standing[CHAMPION].version) if CHAMPION in standing else None
        if now != champion:
            raise ModelError(
                f"The champion must stay while it is judged. Version {champion} of '{name}' was judged, and version "
                f"{now} is champion now.\nJudge again."
            )
        both = [client.get_model_version(name, str(number)) for number in (champion, challenger)]
        facts = {
            "decision": "promoted" if promoted else "kept",
            "champion": champion,
            "challenger": challenger,
            "replaced": champion if promoted else None,
            **evidence,
        }
        _note(client, name, both, facts)
        if promoted:
            client.set_registered_model_alias(name, CHAMPION, str(challenger))
            client.delete_registered_model_alias(name, CHALLENGER)


def rollback(name: str = "churn", *, store: Store | None = None) -> Rollback:
    """Make the version champion again that the present champion replaced; once more goes back one further.

    Parameters
    ----------
    name : the registered model.
    store : the MLflow store, by default `crm_ml.registry.default_store()`.

    Raises
    ------
    ModelError
        There is no champion, it replaced none, or the one it replaced is gone.

    Examples
    --------
    >>> rollback("churn").words  # doctest: +SKIP
    'churn: version 1 is the champion again, instead of version 2.'
    """
    with session(store or default_store()) as client:
        standing = _standing(client, name)
        if CHAMPION not in standing:
            raise ModelError(
                f"A rollback needs a champion. '{name}' has none; its aliases: {sorted(standing)}.\n"
                "Train a model first."
            )
        bad = standing[CHAMPION]
        number = int(bad.version)
        back = _replaced_by(bad)
        if back is None:
            raise ModelError(
                f"A rollback needs a version that the champion replaced. Version {number} of '{name}' was not promoted "
                f"over another.\nSet the alias `{CHAMPION}` in MLflow to the version you mean."
            )
        good = client.get_model_version(name, str(back))
        _note(client, name, [bad, good], {"decision": "rolled back", "champion": number, "restored": back})
        if CHALLENGER in standing and int(standing[CHALLENGER].version) == number:
            client.delete_registered_model_alias(name, CHALLENGER)
        client.set_registered_model_alias(name, CHAMPION, str(back))
    return Rollback(name, back, number)


def _standing(client: MlflowClient, name: str) -> dict[str, ModelVersion]:
    """Give the versions that have the aliases."""
    aliases = client.get_registered_model(name).aliases
    return {
        alias: client.get_model_version(name, str(aliases[alias]))
        for alias in (CHAMPION, CHALLENGER)
        if alias in aliases
    }


def _note(client: MlflowClient, name: str, versions: list[ModelVersion], facts: Mapping[str, object]) -> None:
    value = json.dumps(plain({**facts, "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}), sort_keys=True)
    for version in versions:
        key = f"{_DECISION}{len(decisions(version)) + 1}"
        client.set_model_version_tag(name, str(version.version), key, value)


def _replaced_by(champion: ModelVersion) -> int | None:
    promotions = [
        int(found["replaced"])
        for found in decisions(champion)
        if found["decision"] == "promoted" and found["challenger"] == int(champion.version)
    ]
    return promotions[-1] if promotions else None
