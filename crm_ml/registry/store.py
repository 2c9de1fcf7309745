"""Where runs and models are kept, reached without touching MLflow's global state."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_ml.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["EXPERIMENT", "Store", "default_store", "session"]

EXPERIMENT: Final = "crm_ml"
_DATABASE: Final = "mlflow.db"

SECONDS: Final = 20
"""How long a server may take to answer a request, unless MLFLOW_HTTP_REQUEST_TIMEOUT says otherwise."""

_REPEATS: Final = 3
_bounding = threading.Lock()
_bounded: list[dict[str, str | None]] = []


@dataclass(frozen=True)
class Store:
    """Addresses of an MLflow tracking store and model registry.

    Attributes
    ----------
    tracking_uri
        Where runs are kept.
    registry_uri
        Where registered models are kept.
    directory
        Absolute directory of an embedded store (SQLite file and artifacts), or None for any other.
    """

    tracking_uri: str
    registry_uri: str
    directory: Path | None = None

    def __str__(self) -> str:
        """Give the tracking address without user name and password."""
        return _without_password(self.tracking_uri)


def default_store(directory: str | Path = Path("models")) -> Store:
    """Give the store that MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI name, else one embedded in a directory.

    Nothing is created or contacted before the first use.

    Parameters
    ----------
    directory
        Directory of the embedded store: `mlflow.db` (SQLite) beside `artifacts`.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": "http://tracking.example:5000"}):
    ...     print(default_store())
    http://tracking.example:5000
    """
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI")
    registry_uri = os.environ.get("MLFLOW_REGISTRY_URI")
    if tracking_uri:
        return Store(tracking_uri, registry_uri or tracking_uri)
    folder = Path(os.path.abspath(directory))
    embedded = _sqlite_uri(folder / _DATABASE)
    return Store(embedded, registry_uri or embedded, folder)


@contextmanager
def session(store: Store, *, create: bool = False, repeat: bool = True) -> Iterator[MlflowClient]:
    """Open a client on the store, with MLflow's chatter held back and its errors worded as ModelError.

    All work goes through the client: `mlflow.set_tracking_uri`, `set_experiment`, `start_run` and the
    like change the host process and are never called. The levels of the loggers `mlflow` and `alembic`
    are raised to WARNING inside the block, and MLflow's patience with a server, minutes for one that is
    gone, is cut by environment variables; both are restored after it. Python's warnings about MLflow's own code
    are not passed on.

    Parameters
    ----------
    store
        Store to open.
    create
        Whether an embedded store may be created where there is none.
    repeat
        Whether a request without an answer is sent again. Not where the lost one may have made a run or a
        version: the second would make another.
    """
    with _quiet(), _patience(_REPEATS if repeat else 0):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            if store.directory is not None:
                _require_database(store.directory / _DATABASE, create=create)
            yield MlflowClient(tracking_uri=store.tracking_uri, registry_uri=store.registry_uri)
        except (MlflowException, RequestException, SQLAlchemyError) as error:
            raise ModelError(
                f"The MLflow store must serve the request. {store} answered: {_without_password(str(error))}\n"
                "Check MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI, and that the store is reachable."
            ) from error


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@contextmanager
def _patience(repeats: int) -> Iterator[None]:
    """Bound MLflow's requests by its variables; of threads that overlap, the first sets them, the last restores."""
    with _bounding:
        if _bounded:
            repeats = min(repeats, int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]))
        wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(repeats), "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
        if "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ:
            wanted["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(SECONDS)
        _bounded.append({name: os.environ.get(name) for name in wanted})
        os.environ.update(wanted)
    try:
        yield
    finally:
        with _bounding:
            _restore(_bounded[0] if len(_bounded) == 1 else {})
            _bounded.pop()


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _require_database(database: Path, *, create: bool) -> None:
    if database.exists():
        return
    if not create:
        raise ModelError(
            f"A registered model must come from an MLflow store. There is none at '{database}', "
            "and MLFLOW_TRACKING_URI is not set.\n"
            "Train and track a model first, set MLFLOW_TRACKING_URI, or pass the path of a bundle."
        )
    database.parent.mkdir(parents=True, exist_ok=True)
    _create_database(database)


def _create_database(database: Path) -> None:
    """Migrate a database under a name of its own, then link it into place; the first of several wins.

    MLflow's migrations are not safe to run twice at once, and one that is killed leaves a store that no
    MLflow will open. Linked this way, `database` exists complete or not at all.
    """
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mlflow-") as scratch:
        fresh = Path(scratch, _DATABASE)
        uri = _sqlite_uri(fresh)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        _publish(fresh, database)


def _publish(fresh: Path, database: Path) -> None:
    try:
        os.link(fresh, database)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not database.exists():
            os.rename(fresh, database)


def _sqlite_uri(database: Path) -> str:
    return f"sqlite:///{database.as_posix()}"


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(mlflow|alembic|sqlalchemy)(\.|$)")
        import mlflow  # noqa: F401  # the first import sets the levels of its loggers

        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.WARNING))
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
