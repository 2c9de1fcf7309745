"""The numbers that changed most in the last month, measured by how much they usually change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_ml.decisions.health.groups import ALL
from crm_ml.decisions.health.metrics import METRICS, Metric
from crm_ml.errors import SchemaError, missing_column, out_of_range
from crm_ml.features.builders.words import Write, money
from crm_ml.features.ragged import Float

__all__ = ["largest_changes", "usual_spread"]

COLUMNS = ("month", "segment", "metric", "value", "change", "change_share")
FEWEST = 3
"""Earlier changes from which what is usual can be told."""
ENOUGH = 6
"""Earlier changes from which half of them may be outliers."""
NOISE = 1e-9
"""Changes smaller than this share of the value are rounding."""


def largest_changes(frame: pd.DataFrame, n: int = 3, *, currency: str = "") -> pd.DataFrame:
    r"""Return the metrics of all customers that changed most in the last month, by their own usual change.

    How unusual a change is, is its distance from the median of the earlier ones over their `usual_spread`. With
    fewer than 3 earlier changes nothing is usual yet: it is NaN, and such metrics come last, in the order of their
    relative change.

    Parameters
    ----------
    frame : DataFrame
        As `base_health` returns it.
    n : int
        How many, at most; metrics that did not change, or have no value in one of the last two months, do not count.
    currency : str
        Sign written before amounts.

    Returns
    -------
    DataFrame
        Indexed by ``metric``, most unusual first: ``value``, ``change`` and ``change_share`` in the last month,
        ``usual`` (median of the earlier changes), ``spread`` (`usual_spread` of them), ``unusual`` (infinite where
        the earlier changes were all the same) and ``words``.

    Raises
    ------
    SchemaError
        A column is missing, `n` is below 1, or there is no row of all customers.

    Examples
    --------
    >>> import crm_ml
    >>> from crm_ml.decisions.health import base_health
    >>> log = crm_ml.load_sample()
    >>> found = base_health(log, cutoffs=crm_ml.monthly_cutoffs(log, last="2018-01-01"))
    >>> print("\n".join(largest_changes(found, 2)["words"]))
    Top 10% revenue share rose from 33.0% to 35.3% (usual change −0.2 ± 0.3 points)
    Average order value rose from 30.32 to 32.23 (usual change +0.11 ± 0.49)
    """
    for column in COLUMNS:
        if column not in frame.columns:
            remedy = "Take the frame as `base_health` returned it."
            raise SchemaError(missing_column(column, map(str, frame.columns), what="health frames", remedy=remedy))
    if n < 1:
        raise SchemaError(out_of_range("n", n, "be at least 1"))
    everyone = frame[frame["segment"] == ALL]
    if everyone.empty:
        raise SchemaError(f"`frame` must have rows of segment {ALL!r}; it has none.\nDo not filter them out.")
    last = everyone["month"].max()
    known = {metric.name: metric for metric in METRICS}
    rows = []
    for name, told in everyone.sort_values("month", kind="stable").groupby("metric", sort=False):
        value, change, share = told[["value", "change", "change_share"]].to_numpy()[-1]
        if told["month"].iloc[-1] != last or not np.isfinite(change) or abs(change) <= NOISE * abs(value):
            continue
        noise = NOISE * abs(value)
        usual, spread = _usual(told["change"].to_numpy()[:-1], noise)
        said = words(known[str(name)], value, change, (usual, spread), currency=currency)
        unusual = _over(abs(change - usual), spread, noise=noise)
        rows.append((name, value, change, share, usual, spread, unusual, said))
    found = pd.DataFrame(rows, columns=["metric", *COLUMNS[3:], "usual", "spread", "unusual", "words"])
    order = np.lexsort([-found["change_share"].abs().fillna(0.0), -found["unusual"].fillna(-1.0)])
    return found.iloc[order[:n]].set_index("metric")


def usual_spread(changes: Float) -> float:
    """Return how much changes vary, in units of a standard deviation.

    From 6 changes on that is 1.4826 times the median distance from their median, so that a past
    outlier does not hide the next one; for fewer, or where most are the same, the root mean square distance.

    Parameters
    ----------
    changes : (m,) finite, at least one.

    Examples
    --------
    >>> round(usual_spread(np.array([1.0, -1.0, 2.0, -2.0, 0.0, 3.0, 90.0])), 3)
    2.965
    >>> usual_spread(np.array([1.0, 1.0, 1.0]))
    0.0
    """
    distance = np.abs(changes - np.median(changes))
    robust = 1.4826 * float(np.median(distance)) if len(changes) >= ENOUGH else 0.0
    return robust or float(np.sqrt(np.mean(distance**2)))


def words(metric: Metric, value: float, change: float, usual: tuple[float, float], *, currency: str) -> str:
    """Say a change, and what is usual: the median and the spread of the earlier ones.

    >>> rate = next(metric for metric in METRICS if metric.name == "repurchase_rate")
    >>> words(rate, 0.184, -0.047, (0.002, 0.011), currency="$")
    'Repurchase rate fell from 23.1% to 18.4% (usual change +0.2 ± 1.1 points)'
    """
    ways: dict[str, tuple[Write, Write]] = {
        "count": (lambda x: f"{x:,.0f}", lambda x: f"{x:,.0f}"),
        "money": (lambda x: currency + money(x), lambda x: currency + money(x)),
        "days": (lambda x: f"{x:g} days", lambda x: f"{x:.2g}"),
        "share": (lambda x: f"{x:.1%}", lambda x: f"{100 * x:.1f}"),
        "ratio": (lambda x: f"{x:.3g}", lambda x: f"{x:.2g}"),
    }
    write, write_change = ways[metric.unit]
    moved = "rose" if change > 0 else "fell"
    said = f"{metric.title} {moved} from {write(value - change)} to {write(value)}"
    middle, spread = usual
    if np.isnan(middle):
        return said
    sign, points = "−" if middle < 0 else "+", " points" if metric.unit == "share" else ""
    return f"{said} (usual change {sign}{write_change(abs(middle))} ± {write_change(spread)}{points})"


def _usual(earlier: Float, noise: float) -> tuple[float, float]:
    known = earlier[np.isfinite(earlier)]
    if len(known) < FEWEST:
        return float("nan"), float("nan")
    spread = usual_spread(known)
    return float(np.median(known)), spread if spread > noise else 0.0


def _over(distance: float, spread: float, *, noise: float) -> float:
    if distance <= noise:
        return 0.0
    return float("inf") if spread == 0 else distance / spread
