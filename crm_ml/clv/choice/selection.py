"""The purchase process that forecast best out of time, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.base import clone

from crm_ml.clv.choice.deviance import Verdict, half_deviance, simplest_not_worse
from crm_ml.clv.choice.holdout import SHORTEST_DAYS, Holdout
from crm_ml.clv.processes import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
)
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.summary import TimeUnit
from crm_ml.errors import ConvergenceError, CrmError, ModelError, out_of_range
from crm_ml.evaluation.measures.metrics import value_metrics

__all__ = ["PROCESSES", "Selection", "candidates", "restore_process", "select"]

PROCESSES: dict[str, type[PurchaseProcess]] = {
    "BetaGeo": BetaGeoModel,
    "ModifiedBetaGeo": ModifiedBetaGeoModel,
    "ParetoNBD": ParetoNBDModel,
    "BetaGeoCNBD": BetaGeoCNBDModel,
    "ModifiedBetaGeoCNBD": ModifiedBetaGeoCNBDModel,
}
"""The processes there are to choose from, the simplest first."""

ORIGIN = pd.DatetimeTZDtype("us", "UTC")


@dataclass(frozen=True)
class Selection:
    """The process chosen, and why.

    Attributes
    ----------
    name : its name.
    table : one row per candidate and holdout: ``candidate``, ``origin``, ``horizon_days``, ``customers``;
        ``deviance``, the mean `half_deviance` of the purchases; the measures of
        `crm_ml.evaluation.value_metrics` of the purchases; ``chosen``; ``why``, in words. Empty without a
        backtest.
    note : the choice in one sentence.
    fitted : the process chosen, as fitted at each origin.
    """

    name: str
    table: pd.DataFrame
    note: str
    fitted: tuple[PurchaseProcess, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return name, table and note fit for JSON."""
        records = [
            {key: _plain(value) for key, value in record.items()} for record in self.table.to_dict(orient="records")
        ]
        return {"name": self.name, "note": self.note, "table": records}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Selection:
        """Restore from `to_dict`."""
        table = pd.DataFrame(stored["table"])
        if "origin" in table:
            table["origin"] = pd.to_datetime(table["origin"]).astype(ORIGIN)
        return cls(stored["name"], table, stored["note"])


def candidates(process: str | PurchaseProcess, *, time_unit: TimeUnit) -> dict[str, PurchaseProcess]:
    """Return the unfitted processes to choose from, the simplest first.

    Parameters
    ----------
    process : "choose" for all of `PROCESSES`, the name of one, or one.
    time_unit : of the frames they will be fitted to.

    Raises
    ------
    CrmError
        The name is unknown, or the process counts time in another unit.

    Examples
    --------
    >>> list(candidates("choose", time_unit="D"))[:3]
    ['BetaGeo', 'ModifiedBetaGeo', 'ParetoNBD']
    """
    if isinstance(process, PurchaseProcess):
        if process.time_unit != time_unit:
            raise CrmError(out_of_range("process.time_unit", process.time_unit, f"be the model's, {time_unit!r}"))
        return {type(process).__name__.removesuffix("Model"): clone(process)}
    if process == "choose":
        return {name: known(time_unit=time_unit) for name, known in PROCESSES.items()}
    if process not in PROCESSES:
        raise CrmError(out_of_range("process", process, f'be "choose", one of {list(PROCESSES)}, or a process'))
    return {process: PROCESSES[process](time_unit=time_unit)}


def restore_process(stored: Mapping[str, Any]) -> tuple[str, PurchaseProcess]:
    """Return the name of a stored process and the process.

    Raises
    ------
    ModelError
        The mapping is damaged, or of a process that is not among `PROCESSES`.
    """
    for name, known in PROCESSES.items():
        if stored.get("model") == known.__name__:
            return name, known.from_dict(stored)
    raise ModelError(
        f"A stored process must be one of {list(PROCESSES)}; this one is {stored.get('model')!r}.\n"
        "Load it with the version that stored it."
    )


def select(among: Mapping[str, PurchaseProcess], windows: Sequence[Holdout]) -> Selection:
    """Fit every candidate at every origin and choose the simplest that forecasts no worse than the best.

    Parameters
    ----------
    among : candidates, the simplest first.
    windows : the holdouts.

    Returns
    -------
    Selection
        Of the first candidate where there is nothing to choose by. A candidate that cannot be fitted at an
        origin is out.
    """
    default = next(iter(among))
    told = f"The process is {default}, as told." if len(among) == 1 else ""
    if not windows:
        why = f"to choose takes a log that goes back {3 * SHORTEST_DAYS} days"
        return Selection(default, pd.DataFrame(), told or f"The process is {default}, the default: {why}.")
    fits: dict[str, tuple[PurchaseProcess, ...]] = {}
    failed: dict[str, str] = {}
    for name, candidate in among.items():
        try:
            fits[name] = tuple(clone(candidate).fit(window.rfm) for window in windows)
        except ConvergenceError as error:
            failed[name] = str(error).splitlines()[0]
    if not fits:
        why = "none could be backtested"
        return Selection(default, pd.DataFrame(), told or f"The process is {default}, the default: {why}.")
    judged = {name: _forecasts(fitted, windows) for name, fitted in fits.items()}
    rows = pd.DataFrame({name: found["deviance"] for name, found in judged.items()})
    verdict = simplest_not_worse(rows.droplevel("origin"))
    table = _table(judged, windows, verdict, failed)
    note = told or _note(verdict, rows, windows, failed)
    return Selection(verdict.chosen, table.assign(why="as told") if told else table, note, fits[verdict.chosen])


def _forecasts(fitted: Sequence[PurchaseProcess], windows: Sequence[Holdout]) -> pd.DataFrame:
    """Return the expected and the actual purchases of every customer at every origin, and the deviance."""
    parts = []
    for process, window in zip(fitted, windows, strict=True):
        expected = process.expected_purchases(window.rfm, window.horizon)
        deviance = half_deviance(window.purchases, expected)
        parts.append(pd.DataFrame({"expected": expected, "actual": window.purchases, "deviance": deviance}))
    origins = [window.origin for window in windows]
    return pd.concat(parts, keys=origins, names=["origin", "customer_id"])


def _table(
    judged: Mapping[str, pd.DataFrame], windows: Sequence[Holdout], verdict: Verdict, failed: Mapping[str, str]
) -> pd.DataFrame:
    records = []
    for name, found in judged.items():
        for window in windows:
            rows = found.loc[window.origin]
            records.append(
                {
                    "candidate": name,
                    "origin": window.origin,
                    "horizon_days": window.horizon_days,
                    "customers": len(rows),
                    "deviance": float(rows["deviance"].mean()),
                    **value_metrics(rows["actual"], rows["expected"]),
                    "chosen": name == verdict.chosen,
                    "why": _why(name, verdict),
                }
            )
    refused = [{"candidate": name, "chosen": False, "why": f"could not be fitted: {e}"} for name, e in failed.items()]
    return pd.DataFrame([*records, *refused]).astype({"origin": ORIGIN})


def _why(name: str, verdict: Verdict) -> str:
    excess, error = verdict.excess[name], verdict.error[name]
    if name == verdict.best == verdict.chosen:
        return "lowest deviance"
    if name == verdict.chosen:
        return f"the simplest within a standard error of the lowest, {excess:.4f} ± {error:.4f} above it"
    if excess > error:
        return f"{excess:.4f} ± {error:.4f} above the lowest"
    return f"{excess:.4f} ± {error:.4f} above the lowest, and less simple than the one chosen"


def _note(verdict: Verdict, rows: pd.DataFrame, windows: Sequence[Holdout], failed: Mapping[str, str]) -> str:
    origins = " and ".join(f"{window.origin:%Y-%m-%d}" for window in windows)
    means = rows.mean().sort_values()
    others = [f"{name} {value:.4f}" for name, value in means.items() if name != verdict.chosen]
    others += [f"{name}, which could not be fitted" for name in failed]
    return (
        f"The process is {verdict.chosen}, by a backtest of the {windows[0].horizon_days} days from {origins}: "
        f"mean deviance of a customer's purchases {means[verdict.chosen]:.4f}, "
        f"{_why(verdict.chosen, verdict)}" + (f"; runners-up: {'; '.join(others)}." if others else ".")
    )


def _plain(value: Any) -> Any:
    """Return a cell as JSON knows it."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if pd.isna(value) else value
