"""An audit of features for what they should not know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from crm_ml.errors import SchemaError, missing_column
from crm_ml.evaluation.leakage.matching import Matched
from crm_ml.events.bucket import Bucket
from crm_ml.events.clock import Moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.builders.horizon import Horizon
from crm_ml.features.builders.rfm import RFM
from crm_ml.features.builders.stretch import IntervalStretch
from crm_ml.features.decay import NEVER
from crm_ml.features.feature_set import DEFAULT_FEATURES, Features
from crm_ml.features.history import History
from crm_ml.features.labels import LABEL_COLUMNS
from crm_ml.features.panels.panel import build_panel, panel_sweep
from crm_ml.features.panels.sweep import Sweep
from crm_ml.features.ragged import Float
from crm_ml.features.trees import feature_matrix

__all__ = ["audit_leakage", "audit_panel"]

IMPLAUSIBLE = 0.95
"""Separation of matched customers that no column of the past was seen to reach; on simulated shops whose customers
leave as many traces as ten views per purchase, the best reach 0.87."""

_TRUSTED = (RFM(), IntervalStretch())

Finding = tuple[str, str, str, float]


def audit_leakage(
    log: CustomerLog,
    *,
    cutoffs: Sequence[Moment] | pd.DatetimeIndex,
    horizon_days: Horizon,
    lookback_days: float | None = None,
    features: Features = DEFAULT_FEATURES,
) -> pd.DataFrame:
    """Return the features that look ahead of the cutoff, and those that know implausibly much.

    Every feature is built twice at each cutoff: in a panel, and alone, from a log that ends there. A column that
    differs in any bit ``looks ahead``. This test is exact: what is not found has values that owe nothing to events
    at or after the cutoff. Builders are given the same log though, so one that was made from the future, with a
    table of totals among its settings, say, passes, and so do events that were written into the past afterwards.
    Both are looked for as in `audit_panel`.

    Parameters
    ----------
    log, cutoffs, horizon_days, lookback_days, features : as for `crm_ml.build_panel`.

    Returns
    -------
    DataFrame
        One row per finding: feature; finding, ``looks ahead``, ``separates`` or ``decides``; evidence, in words;
        number, the share of rows that differ, or as in `audit_panel`. Empty where nothing was found.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> len(audit_leakage(log, cutoffs=["2017-10-01", "2017-12-01"], horizon_days=30))
    0
    """
    sweep = panel_sweep(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=features)
    panel, known = (
        build_panel(log, cutoffs=cutoffs, horizon_days=horizon_days, lookback_days=lookback_days, features=chosen)
        for chosen in (sweep.features, _TRUSTED)
    )
    own = panel.columns.difference([*known.columns, *LABEL_COLUMNS], sort=False)
    return _frame([*_looks_ahead(log, sweep), *_knows_too_much(known.join(panel[own]), _trusted_names())])


def audit_panel(panel: pd.DataFrame, *, trusted: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the columns of a ready panel that know implausibly much of the outcome.

    Customers of a cutoff are matched by what trusted columns say of their risk (boosted trees, each customer
    predicted from others). Among them a column that ``separates`` has nearly all who left on one side of nearly all
    who stayed, by itself or after a trusted column is subtracted, as a total over the whole log does once the past
    is taken off. A column that ``decides`` has a region in which nearly all had the same outcome though many were
    expected to have the other: an account closed afterwards under an earlier date, say.

    This finds what gives the outcome away, not what merely leans on it: a leak that touches a few customers, or is
    mixed with noise, stays below these bounds, and a total over a log that goes on long after the last label window
    may. A finding is a reason to ask where a column comes from, as an honest event can decide too.

    Parameters
    ----------
    panel : as `crm_ml.build_panel` makes it, with any numeric columns of one's own.
    trusted : columns known to be of the past, that are not judged; by default those of `RFM` and `IntervalStretch`.

    Returns
    -------
    DataFrame
        One row per finding: feature; finding, ``separates`` or ``decides``; evidence, in words; number, the share of
        matched pairs in the right order, or the share of churners in the region. Empty where nothing was found.

    Raises
    ------
    SchemaError
        A trusted column is not there, or the panel lacks customers who left or who stayed.

    Examples
    --------
    >>> import crm_ml
    >>> panel = crm_ml.build_panel(crm_ml.load_sample(), cutoffs=["2017-10-01", "2017-11-01"], horizon_days=30)
    >>> panel["score"] = panel["purchase_days_ahead"].clip(upper=2)  # of somebody who knew
    >>> audit_panel(panel)[["feature", "finding"]].to_dict("records")
    [{'feature': 'score', 'finding': 'separates'}, {'feature': 'score', 'finding': 'decides'}]
    """
    names = [name for name in _trusted_names() if name in panel] if trusted is None else list(trusted)
    for name in [*(names or _trusted_names()[:1]), "churned"]:
        if name not in panel:
            remedy = "Name columns of the past that you trust."
            raise SchemaError(missing_column(name, panel.columns, what="panels to audit", remedy=remedy))
    return _frame(_knows_too_much(panel, names))


def _trusted_names() -> list[str]:
    return [feature.name for builder in _TRUSTED for feature in builder.describe()]


def _frame(findings: Iterable[Finding]) -> pd.DataFrame:
    return pd.DataFrame(list(findings), columns=["feature", "finding", "evidence", "number"])


def _looks_ahead(log: CustomerLog, sweep: Sweep) -> list[Finding]:
    features, names = sweep.features, sweep.features.columns

    def compare(bucket: Bucket) -> Float:
        """Count by feature and cutoff the rows that differ, and by cutoff all; give the largest difference."""
        history = History(bucket, sweep.cutoffs, sweep.gaps)
        eligible, together = history.last_purchase > NEVER, features.build(history)
        differing, largest = np.zeros((len(names) + 1, len(sweep.cutoffs))), np.zeros((len(names) + 1, 1))
        for at, cutoff in enumerate(sweep.cutoffs.tolist()):
            one = slice(at, at + 1)
            alone = features.build(History(bucket.before(cutoff), sweep.cutoffs[one], sweep.gaps[one]))
            for number, name in enumerate(names):
                found, expected = together[name][at][eligible[at]], alone[name][0][eligible[at]]
                differs = (found != expected) & ~(np.isnan(found) & np.isnan(expected))
                differing[number, at] = differs.sum()
                away = np.abs(found - expected)[differs & np.isfinite(found) & np.isfinite(expected)]
                largest[number] = max(largest[number, 0], away.max(initial=0.0))
            differing[-1, at] = eligible[at].sum()
        return np.hstack([differing, largest])

    parts = list(log.map(compare, interactions=features.interaction_days > 0))
    counts, largest = np.sum([part[:, :-1] for part in parts], axis=0), np.max([part[:, -1] for part in parts], axis=0)
    makers = {feature.name: type(builder).__name__ for builder in features.builders for feature in builder.describe()}
    findings: list[Finding] = []
    for number in np.flatnonzero(counts[:-1].sum(axis=1)):
        name, rows, all_rows = names[number], int(counts[number].sum()), int(counts[-1].sum())
        at = stamp(sweep.cutoffs[int(np.argmax(counts[number] / counts[-1].clip(1)))])
        evidence = (
            f"{makers[name]} builds another value for {rows:,} of {all_rows:,} rows once events at or after the cutoff "
            f"are deleted, most often at {at:%Y-%m-%d}; by up to {largest[number]:.3g}"
        )
        findings.append((name, "looks ahead", evidence, rows / all_rows))
    return findings


def _knows_too_much(panel: pd.DataFrame, trusted: list[str]) -> list[Finding]:
    if panel["churned"].nunique() < 2:
        raise SchemaError(
            f"An audit needs customers who left and customers who stayed; {int(panel['churned'].sum()):,} of "
            f"{len(panel):,} left.\nChoose cutoffs at which both occur."
        )
    matched = Matched.of(panel, trusted)
    cutoff = panel.index.get_level_values("cutoff")
    latest = np.flatnonzero(cutoff == cutoff.max())  # where a number of the whole log is nearest to the outcome
    at_last, subtracted = matched.rows(latest), {name: panel[name].to_numpy(np.float64)[latest] for name in trusted}
    findings: list[Finding] = []
    for name in panel.columns.difference([*trusted, *LABEL_COLUMNS], sort=False):
        values = feature_matrix(panel, [name])[:, 0]
        shares = {"": max(matched.separation(values), at_last.separation(values[latest]))}
        shares |= {f", less {other}": at_last.separation(values[latest] - past) for other, past in subtracted.items()}
        less, share = max(shares.items(), key=lambda pair: pair[1])
        if share >= IMPLAUSIBLE:
            evidence = f"{name}{less} puts {share:.1%} of pairs of one who left and one who stayed in the same order"
            findings.append((name, "separates", f"{evidence}, among customers of equal risk by their purchases", share))
        region = matched.decided(values)
        if region is not None:
            evidence = (
                f"where {name} is {region.where}, {region.churned:.1%} of {region.customers:,} customers left; "
                f"{region.expected:.1%} were expected to by their purchases"
            )
            findings.append((name, "decides", evidence, region.churned))
    return findings
