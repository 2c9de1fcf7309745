"""What features need to know of the past, carried from day to day, so that no night reads years of history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from crm_ml.compiled import compiled
from crm_ml.errors import SchemaError
from crm_ml.events.arrangement import Arrangement, arrange
from crm_ml.events.clock import DAY, Moment, moment, stamp
from crm_ml.events.host import LocalHost
from crm_ml.events.keeping import keep, reopen
from crm_ml.events.log import CustomerLog
from crm_ml.events.partition.arrange import Columns
from crm_ml.events.reading.contract import INTERACTIONS, TRANSACTIONS
from crm_ml.features.builders.decline import InteractionDecline
from crm_ml.features.decay import NEVER, with_event
from crm_ml.features.feature import interaction_days
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features, FeatureSet
from crm_ml.features.panels.panel import build_features
from crm_ml.features.panels.writing import write_features

__all__ = ["FeatureState"]


@dataclass(frozen=True)
class FeatureState:
    """All that the features of a log need to know as of a moment, in a folder.

    Transactions are kept whole, sorted by customer. Interactions are kept one by one as far back as the
    features look at them; of older ones each customer's last moment and decayed count by type. Every day's
    events are merged in, and the features are those of a log with all events, to the last bit.

    Attributes
    ----------
    folder : where it lies.
    as_of : events before this moment are known.
    features : what it was made for.
    dropped : invalid rows left out when it was last advanced, by table and rule.
    log : what is kept, for these features at this moment and nothing else.

    Examples
    --------
    >>> import tempfile
    >>> import crm_ml
    >>> log, folder = crm_ml.load_sample(), Path(tempfile.mkdtemp())
    >>> state = FeatureState.start(log, folder / "october", as_of="2017-10-01")
    >>> day = pd.DataFrame({"customer_id": ["1"], "timestamp": ["2017-10-01 12:00"], "amount": [20.0]})
    >>> state = state.advance(folder / "october 2nd", day, as_of="2017-10-02")
    >>> state.build_features().loc["1", "recency_days"]
    np.float64(0.5)
    """

    folder: Path
    as_of: pd.Timestamp
    features: FeatureSet
    dropped: Mapping[str, Mapping[str, int]]
    log: CustomerLog

    @classmethod
    def start(
        cls, log: CustomerLog, folder: str | Path, *, as_of: Moment, features: Features = DEFAULT_FEATURES
    ) -> Self:
        """Make a state from a whole log.

        Parameters
        ----------
        log : the log.
        folder : a new folder; it appears in one rename, complete or not at all.
        as_of : events before it are taken in.
        features : as for `crm_ml.build_features`.

        Raises
        ------
        SchemaError
            The folder exists, or a builder does not say how far back it looks at interactions.
        """
        settled = FeatureSet.settle(features, log, first_cutoff=as_of)
        return cls._keep(log, [log.arrangement], Path(folder), as_of=moment(as_of), features=settled)

    @classmethod
    def open(cls, folder: str | Path, *, memory_limit: str | None = None, threads: int | None = None) -> Self:
        """Return the state in a folder; see `crm_ml.CustomerLog` for the settings.

        Raises
        ------
        ModelError
            There is no state in the folder, or a builder it needs is not registered.
        """
        held, note = reopen(Path(folder))
        host = LocalHost(memory_limit=memory_limit, threads=threads, timezone="UTC")
        log = CustomerLog.of_arrangement(host, held, returns=note["returns"])
        features = FeatureSet.from_dict(note["features"])
        return cls(Path(folder), stamp(moment(note["as_of"])), features, note["dropped"], log)

    def advance(
        self,
        folder: str | Path,
        transactions: Any = None,
        interactions: Any = None,
        *,
        as_of: Moment,
        columns: Mapping[str, str] | None = None,
        timezone: str = "UTC",
        on_invalid: Literal["raise", "drop"] = "raise",
    ) -> Self:
        """Return the state with the events from its own `as_of` up to another; this one stays as it is.

        Parameters
        ----------
        folder : a new folder for the new state; it appears in one rename, complete or not at all.
        transactions, interactions, columns, timezone, on_invalid : the new events, as `crm_ml.CustomerLog`
            takes them; either table may be missing or empty.
        as_of : the new moment. An event at or after it, or before the old one, breaks a rule.

        Raises
        ------
        SchemaError
            As `crm_ml.CustomerLog` raises it; the folder exists; or `as_of` does not move on.
        """
        end = moment(as_of)
        if end <= moment(self.as_of):
            raise SchemaError(f"`as_of` must lie after the state's, {self.as_of}; got {stamp(end)}.")
        host = self.log.host
        today = LocalHost(memory_limit=host.memory_limit, threads=host.threads, timezone=timezone)
        given = {TRANSACTIONS: transactions, INTERACTIONS: interactions}
        added = arrange(
            today,
            {table: data for table, data in given.items() if data is not None},
            columns=columns or {},
            drop=on_invalid == "drop",
            not_before=moment(self.as_of),
            as_of=end,
            n_buckets=len(self.log.arrangement.customers),
        )
        return self._keep(self.log, [self.log.arrangement, added], Path(folder), as_of=end, features=self.features)

    def build_features(self) -> pd.DataFrame:
        """Return the features of every customer who bought before `as_of`; see `crm_ml.build_features`."""
        return build_features(self.log, as_of=self.as_of, features=self.features)

    def write_features(self, path: str | Path) -> Path:
        """Write the features to a Parquet file; see `crm_ml.features.write_features`."""
        return write_features(self.log, path, as_of=self.as_of, features=self.features)

    @classmethod
    def _keep(
        cls, log: CustomerLog, arrangements: list[Arrangement], folder: Path, *, as_of: int, features: FeatureSet
    ) -> Self:
        """Write the events of all arrangements as a state, for a log like the one given; the last ones are new."""
        unbounded = [type(b).__name__ for b in features.builders if not np.isfinite(interaction_days(b))]
        if unbounded:
            raise SchemaError(
                f"A state needs builders that say how far back they look at interactions; {unbounded} do not.\n"
                "Give them an attribute `interaction_days`, 0 for those that look at purchases only."
            )
        declines = [builder for builder in features.builders if isinstance(builder, InteractionDecline)]
        half_lives = tuple(sorted({float(decline.half_life_days) for decline in declines}))
        change = partial(
            _thinned,
            as_of=as_of,
            before=as_of - round(features.interaction_days * DAY),
            half_lives=np.array(half_lives),
        )
        note = {
            "as_of": stamp(as_of).isoformat(),
            "returns": log.returns,
            "features": features.to_dict(),
            "dropped": arrangements[-1].dropped if len(arrangements) > 1 else {},
        }
        keep(log.host, arrangements, folder, change=change, half_lives_days=half_lives, note=note)
        return cls.open(folder, memory_limit=log.host.memory_limit, threads=log.host.threads)


def _thinned(
    columns: Columns, n_types: int, *, as_of: int, before: int, half_lives: npt.NDArray[np.float64]
) -> Columns:
    """Return a bucket without what happened at or after `as_of`, and with interactions before `before` folded."""
    kept = dict(columns)
    nobody = np.zeros(len(columns["customer_begins"]), dtype=np.int64)
    folded = [
        columns.get("f_offsets", nobody),
        columns.get("f_timestamp", np.zeros(0, dtype=np.int64)),
        columns.get("f_event_type", np.zeros(0, dtype=np.int16)),
        columns.get("f_decayed", np.zeros((0, len(half_lives)))),
    ]
    time = columns["i_timestamp"]
    room = len(folded[1]) + len(time)
    made: Columns = {
        "f_offsets": np.zeros_like(nobody),
        "f_timestamp": np.empty(room, dtype=np.int64),
        "f_event_type": np.empty(room, dtype=np.int16),
        "f_decayed": np.empty((room, len(half_lives))),
    }
    size = compiled(_fold, calls=(with_event,))(
        columns["i_offsets"], time, columns["i_event_type"], *folded, before, half_lives, n_types, *made.values()
    )
    kept |= {name: column if name == "f_offsets" else column[:size].copy() for name, column in made.items()}
    for table, rows in (
        ("t", columns["t_timestamp"] < as_of),
        ("i", (time < as_of) & (time >= before)),
    ):
        for name in columns:
            if name == f"{table}_offsets":
                kept[name] = np.concatenate([[0], np.cumsum(rows)])[columns[name]]
            elif name.startswith(f"{table}_"):
                kept[name] = columns[name][rows]
    return kept


def _fold(
    offsets: Any,
    time: Any,
    event_type: Any,
    folded_offsets: Any,
    folded_time: Any,
    folded_type: Any,
    folded_decayed: Any,
    before: Any,
    half_lives: Any,
    n_types: Any,
    made_offsets: Any,
    made_time: Any,
    made_type: Any,
    made_decayed: Any,
) -> int:
    """Fold the interactions before a moment into what was folded already; return the number of rows made."""
    last, decayed = np.empty(n_types, dtype=np.int64), np.empty((n_types, len(half_lives)))
    made = 0
    for customer in range(len(offsets) - 1):
        last[:] = NEVER
        decayed[:] = 0.0
        for row in range(folded_offsets[customer], folded_offsets[customer + 1]):
            last[folded_type[row]] = folded_time[row]
            decayed[folded_type[row]] = folded_decayed[row]
        for row in range(offsets[customer], offsets[customer + 1]):
            if time[row] >= before:
                break
            kind = event_type[row]
            for h in range(len(half_lives)):
                decayed[kind, h] = with_event(decayed[kind, h], last[kind], time[row], half_lives[h])
            last[kind] = time[row]
        for kind in range(n_types):
            if last[kind] != NEVER:
                made_time[made], made_type[made], made_decayed[made] = last[kind], kind, decayed[kind]
                made += 1
        made_offsets[customer + 1] = made
    return made
