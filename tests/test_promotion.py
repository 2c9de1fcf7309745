"""A challenger takes the champion's place on evidence only, and gives it back in one step."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

import crm_ml
from crm_ml.cli import models as commands
from crm_ml.errors import ModelError, SchemaError, TooEarlyError
from crm_ml.registry import Store, default_store, resolve, rollback, track
from crm_ml.registry.aliases import decisions, settle
from crm_ml.registry.kinds import KINDS
from crm_ml.registry.store import session
from crm_ml.scoring import promote

TRAINED, AS_OF = "2024-06-01", "2024-07-31"


class Guess:
    """A model that gives everyone who bought the same number, plus what it is told per earlier order."""

    kind: ClassVar[str]
    input_columns = ("orders",)
    lookback_days: float | None = None

    def __init__(self, *, level: float, per_order: float = 0.0) -> None:
        self.level, self.per_order = level, per_order

    def to_files(self) -> dict[str, bytes]:
        return {"model.json": json.dumps([self.level, self.per_order]).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        level, per_order = json.loads(files["model.json"])
        return cls(level=level, per_order=per_order)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"guess": self.level + self.per_order * frame["orders"]}, index=frame.index)

    def synthetic_example(self) -> pd.DataFrame:
        return pd.DataFrame({"orders": [1.0, 2.0]})

    def forecast(self, log: crm_ml.CustomerLog, *, as_of: Any, horizon_days: float) -> pd.Series:  # noqa: ARG002
        orders = crm_ml.build_features(log, as_of=as_of, features="rfm")["frequency"]
        return self.predict(pd.DataFrame({"orders": orders}))["guess"]


class ChurnGuess(Guess):
    kind = "churn"
    horizon_days = 30
    lookback_days = 60.0


class ValueGuess(Guess):
    kind = "clv"


@pytest.fixture(scope="module", autouse=True)
def guesses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setitem(KINDS, "churn", ("test_promotion", "ChurnGuess"))
        patch.setitem(KINDS, "clv", ("test_promotion", "ValueGuess"))
        yield


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    draw = np.random.default_rng(11)
    pace = draw.gamma(1, 4, 300)
    rows = [
        (f"c{who}", day, amount)
        for who in range(300)
        for day, amount in zip(np.cumsum(draw.exponential(20 + pace[who] * 5, 30)), draw.gamma(2, 10, 30), strict=True)
        if day < 220
    ]
    frame = pd.DataFrame(rows, columns=["customer_id", "day", "amount"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D").dt.round(
        "s"
    )
    return frame


@pytest.fixture(scope="module")
def log(orders: pd.DataFrame) -> crm_ml.CustomerLog:
    return crm_ml.CustomerLog(orders)


@pytest.fixture(scope="module")
def database(guesses: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    with session(default_store(folder), create=True) as client:
        client.search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def store(database: Path, tmp_path: Path) -> Store:
    shutil.copy(database, tmp_path)
    return default_store(tmp_path)


def train(store: Store, model: Guess, *, as_of: str | None = TRAINED) -> None:
    assert store.directory is not None
    track(
        store,
        model,
        directory=store.directory,
        register_as=model.kind,
        run_name="training",
        params={},
        metrics={},
        data_fingerprint={},
        bundle_metadata={"as_of": as_of} if as_of else {},
    )


def champion(store: Store, name: str = "churn") -> int | None:
    return resolve(f"models:/{name}@champion", store=store).version


def told(store: Store, version: int, name: str = "churn") -> list[dict[str, Any]]:
    with session(store) as client:
        return decisions(client.get_model_version(name, str(version)))


def outcomes(orders: pd.DataFrame, cutoff: str, *, days: int, lookback: float | None) -> pd.DataFrame:
    """A plain twin of the population and its labels."""
    at = pd.Timestamp(cutoff, tz="UTC")
    past = orders[orders["timestamp"] < at].groupby("customer_id")["timestamp"].agg(["max", "size"])
    who = past[past["max"] >= at - pd.Timedelta(days=lookback)] if lookback else past
    ahead = orders[orders["timestamp"].between(at, at + pd.Timedelta(days=days), inclusive="left")]
    spend = ahead.groupby("customer_id")["amount"].sum().reindex(who.index, fill_value=0.0)
    return pd.DataFrame({"left": (spend == 0).astype(float), "spend": spend})


def test_a_better_challenger_is_promoted_on_what_neither_saw(
    log: crm_ml.CustomerLog, orders: pd.DataFrame, store: Store
) -> None:
    both = [outcomes(orders, at, days=30, lookback=60) for at in ("2024-06-01", "2024-07-01")]
    base = float(np.mean([rows["left"].mean() for rows in both]))
    train(store, ChurnGuess(level=0.9), as_of="2024-05-01")
    train(store, ChurnGuess(level=base))
    found = promote(log, as_of=AS_OF, store=store)
    briers = [float(np.mean([((guess - rows["left"]) ** 2).mean() for rows in both])) for guess in (0.9, base)]
    assert (found.champion_value, found.challenger_value) == pytest.approx(tuple(briers), rel=1e-12)
    assert found.improvement == pytest.approx(1 - briers[1] / briers[0], rel=1e-12)
    assert found.lower <= found.improvement <= found.upper
    assert (found.promoted, found.metric, found.customers) == (True, "brier", sum(map(len, both)))
    assert [f"{at:%Y-%m-%d}" for at in (*found.cutoffs, found.window[1])] == ["2024-06-01", "2024-07-01", "2024-07-31"]
    assert found.words.startswith("churn promoted: version 2 is champion instead of version 1. brier ")
    assert champion(store) == 2
    with session(store) as client:
        assert client.get_registered_model("churn").aliases == {"champion": 2}
    assert [note["decision"] for note in told(store, 1)] == ["first", "promoted"]
    (note,) = told(store, 2)
    assert note == told(store, 1)[1]
    assert (note["replaced"], note["metric"], note["margin"]) == (1, "brier", 0.01)
    assert note["window"] == ["2024-06-01T00:00:00+00:00", "2024-07-31T00:00:00+00:00"]
    assert (note["champion_value"], note["challenger_value"]) == (found.champion_value, found.challenger_value)


def test_the_margin_is_met_at_equality_and_missed_above(log: crm_ml.CustomerLog, store: Store) -> None:
    train(store, ChurnGuess(level=0.9))
    train(store, ChurnGuess(level=0.4))
    promised = promote(log, as_of=AS_OF, margin=0.999, store=store)
    assert not promised.promoted
    assert promised.words.startswith("churn kept: version 1 stays champion, version 2 challenger. ")
    above = promote(log, as_of=AS_OF, margin=float(np.nextafter(promised.improvement, 1)), store=store)
    assert (above.promoted, champion(store)) == (False, 1)
    assert [note["decision"] for note in told(store, 2)] == ["kept", "kept"]
    assert promote(log, as_of=AS_OF, margin=promised.improvement, store=store).promoted
    assert champion(store) == 2


def test_what_may_be_chance_or_is_worse_is_kept(log: crm_ml.CustomerLog, orders: pd.DataFrame, store: Store) -> None:
    both = [outcomes(orders, at, days=30, lookback=60) for at in ("2024-06-01", "2024-07-01")]
    base = float(np.mean([rows["left"].mean() for rows in both]))
    train(store, ChurnGuess(level=base + 0.02))
    train(store, ChurnGuess(level=base - 0.015))
    chance = promote(log, as_of=AS_OF, margin=0.0, store=store)
    assert chance.lower < 0 < chance.improvement < chance.upper
    assert not chance.promoted
    for level, metric in ((base + 0.02, "brier"), (0.9, "brier"), (0.9, "log_loss"), (0.41, "auc")):
        train(store, ChurnGuess(level=level))
        found = promote(log, as_of=AS_OF, metric=metric, margin=0.0, store=store)
        assert not found.promoted
    train(store, ChurnGuess(level=0.4, per_order=-0.01))
    ordered = promote(log, as_of=AS_OF, metric="auc", store=store)
    assert (ordered.champion_value, ordered.promoted) == (0.5, True)
    assert ordered.improvement > 0


def test_value_is_judged_by_the_error_of_spend(log: crm_ml.CustomerLog, orders: pd.DataFrame, store: Store) -> None:
    rows = outcomes(orders, "2024-06-01", days=60, lookback=None)
    mean = float(rows["spend"].mean())
    train(store, ValueGuess(level=5 * mean))
    train(store, ValueGuess(level=mean))
    with pytest.raises(TooEarlyError, match=r"a window has 92 days.*\nJudge from 2024-09-01 00:00:00"):
        promote(log, "clv", as_of=AS_OF, store=store)
    found = promote(log, "clv", as_of=AS_OF, horizon_days=60, store=store)
    errors = [float(((guess - rows["spend"]) ** 2).mean() ** 0.5) for guess in (5 * mean, mean)]
    assert (found.champion_value, found.challenger_value) == pytest.approx(tuple(errors), rel=1e-12)
    assert (found.metric, found.promoted, found.customers) == ("rmse", True, len(rows))


def test_a_window_that_either_saw_is_not_judged(log: crm_ml.CustomerLog, store: Store) -> None:
    train(store, ChurnGuess(level=0.9), as_of="2024-06-01")
    train(store, ChurnGuess(level=0.4), as_of="2024-05-01")
    with pytest.raises(
        TooEarlyError, match=r"before 2024-06-01 .* 30 days, .*\nJudge from 2024-07-01 00:00:00\+00:00 on"
    ):
        promote(log, as_of="2024-06-30T23:59:59", store=store)
    assert told(store, 2) == []
    assert promote(log, as_of="2024-07-01", store=store).cutoffs == (pd.Timestamp("2024-06-01", tz="UTC"),)


def test_what_cannot_be_judged_is_told(log: crm_ml.CustomerLog, store: Store) -> None:
    train(store, ChurnGuess(level=0.9))
    with pytest.raises(ModelError, match=r"alias 'challenger' .* there are: \['champion'\]"):
        promote(log, as_of=AS_OF, store=store)
    train(store, ChurnGuess(level=0.5), as_of=None)
    with pytest.raises(ModelError, match=r"'models:/churn/2' has no `as_of`"):
        promote(log, as_of=AS_OF, store=store)
    train(store, ChurnGuess(level=0.5))
    with pytest.raises(SchemaError, match=r"measures need a column `briar`.*nearest: 'brier'"):
        promote(log, as_of=AS_OF, metric="briar", store=store)
    for margin in (-0.01, 1.0):
        with pytest.raises(SchemaError, match="`margin` must be at least 0 and below 1"):
            promote(log, as_of=AS_OF, margin=margin, store=store)
    with pytest.raises(SchemaError, match="must lie within the log"):
        promote(log, as_of="2025-01-01", store=store)
    with session(store) as client:
        client.set_registered_model_alias("churn", "challenger", "1")
    with pytest.raises(ModelError, match="Both are version 1"):
        promote(log, as_of=AS_OF, store=store)
    with pytest.raises(ModelError, match="Version 3 of 'churn' was judged, and version 1 is champion now"):
        settle(store, "churn", champion=3, challenger=2, promoted=True, evidence={})
    assert champion(store) == 1


def test_rolling_back_goes_step_by_step_to_the_first(
    log: crm_ml.CustomerLog, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match="Registered Model with name=churn not found"):
        rollback(store=store)
    train(store, ChurnGuess(level=0.95))
    with pytest.raises(ModelError, match="Version 1 of 'churn' was not promoted over another"):
        rollback(store=store)
    for level in (0.7, 0.4):
        train(store, ChurnGuess(level=level))
        assert promote(log, as_of=AS_OF, store=store).promoted
    with session(store) as client:  # as if the promotion had been killed before its last step
        client.set_registered_model_alias("churn", "challenger", "3")
    commands.rollback("churn", tmp_path)
    assert capsys.readouterr().out == "churn: version 2 is the champion again, instead of version 3.\n"
    with session(store) as client:
        assert client.get_registered_model("churn").aliases == {"champion": 2}
    assert rollback(store=store).version == 1
    assert [note["decision"] for note in told(store, 1)] == ["first", "promoted", "rolled back"]
    assert told(store, 2)[-1]["restored"] == 1
    with pytest.raises(ModelError, match="Version 1 of 'churn' was not promoted"):
        rollback(store=store)
    train(store, ChurnGuess(level=0.5))
    assert promote(log, as_of=AS_OF, store=store).promoted
    with session(store) as client:
        client.delete_model_version("churn", "1")
    with pytest.raises(ModelError, match=r"Model Version \(name=churn, version=1\) not found"):
        rollback(store=store)
    assert champion(store) == 4


def test_the_command_says_what_was_decided(
    orders: pd.DataFrame, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders.to_parquet(tmp_path / "orders.parquet")
    train(store, ChurnGuess(level=0.4))
    train(store, ChurnGuess(level=0.9))
    commands.promote([str(tmp_path / "orders.parquet")], AS_OF, directory=tmp_path)
    assert "churn kept: version 1 stays champion, version 2 challenger." in capsys.readouterr().out
