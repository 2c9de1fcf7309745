"""What a churn model learns from: past cutoffs with their features, the purchase process, and each window's outcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crm_ml.churn.horizons import Horizons
from crm_ml.churn.process import HISTORY, Process, fit_processes, silence_log_odds
from crm_ml.churn.training.rehearsal import TrainingRows
from crm_ml.errors import SchemaError
from crm_ml.evaluation.splits import TrainingDesign
from crm_ml.events.clock import DAY, Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.feature_set import FeatureSet
from crm_ml.features.panels.matrix import PanelMatrix, panel_matrix

__all__ = ["TrainingPanel"]

NOTHING = FeatureSet((), ())


class TrainingPanel:
    """A panel of past cutoffs, with a last column for the log odds of silence under the purchase process.

    Parameters
    ----------
    log : the log.
    as_of : nothing at or after it is seen.
    design : the cutoffs.
    horizons : whose windows the labels are of.
    features : settled on the log.

    Attributes
    ----------
    process : fitted on all purchases before `as_of`; None where there are too few, or where the features lack
        what it looks at, and then there is no last column.
    cutoffs : microseconds since 1970 UTC.
    """

    def __init__(
        self, log: CustomerLog, *, as_of: Moment, design: TrainingDesign, horizons: Horizons, features: FeatureSet
    ) -> None:
        self._log, self._as_of, self._design, self._horizons = log, moment(as_of), design, horizons
        self.cutoffs: list[int] = [moment(cutoff) for cutoff in design.cutoffs(log, as_of=as_of)]
        self._processes: list[Process | None] = [None]
        if set(HISTORY) <= set(features.columns):
            self._processes = fit_processes(log, [*self.cutoffs, self._as_of])
        self.process = self._processes[-1]
        self._panel = self._matrix(self.cutoffs, 0, features, spare_columns=int(self.process is not None))
        self._known = {0: self._panel}

    @property
    def labels_end(self) -> int:
        """When the last label of the rows asked for so far is known."""
        return max(int(labels.label_end.max()) for labels in self._known.values())

    def rows(self, number: int) -> TrainingRows:
        """Return the rows that were silent until a window began, with its outcome.

        They share the panel's memory: the next call sets their last column anew.

        Raises
        ------
        SchemaError
            No cutoff lies so far back that the window is over, everyone or no one bought in it, or all rows are
            one customer's.
        """
        before, labels = self._labels(max(number - 1, 0)), self._labels(number)
        known = len(labels.churned)
        at = slice(known) if number == 0 else np.flatnonzero(before.churned[:known])
        self._fill_process(number)
        rows = TrainingRows(
            self._panel.features[at], labels.churned[at], labels.customer[at], labels.cutoff[at], labels.label_end[at]
        )
        self._check(rows, number)
        return rows

    def _check(self, rows: TrainingRows, number: int) -> None:
        silent, customers = int(rows.silent.sum()), len(np.unique(rows.customer))
        if not (0 < silent < len(rows.silent) and customers > 1):
            raise SchemaError(
                f"The window of {self._horizons.begin(number):g} to {self._horizons.ends[number]:g} days must hold "
                f"customers who left and customers who stayed; {silent:,} of {len(rows.silent):,} bought nothing, "
                f"rows of {customers:,} in all.\nUse more history, or another horizon."
            )

    def _labels(self, number: int) -> PanelMatrix:
        """Return the labels of a horizon: of the panel's first rows, those for which they are known."""
        if number in self._known:
            return self._known[number]
        end = self._horizons.ends[number]
        known = [cutoff for cutoff in self.cutoffs if cutoff + round(end * DAY) <= self._as_of]
        if not known:
            raise SchemaError(
                f"Training for {end:g} days needs a cutoff so long before `as_of` {stamp(self._as_of)}; the earliest "
                f"is {stamp(self.cutoffs[0])}.\nUse more of the past, more cutoffs, or leave the horizon out."
            )
        self._known[number] = self._matrix(known, number, NOTHING)
        return self._known[number]

    def _matrix(
        self, cutoffs: Sequence[int], number: int, features: FeatureSet, *, spare_columns: int = 0
    ) -> PanelMatrix:
        return panel_matrix(
            self._log,
            cutoffs=[stamp(cutoff) for cutoff in cutoffs],
            horizon_days=self._horizons.first if number == 0 else self._horizons.ends[number],
            lookback_days=self._design.lookback_days,
            features=features,
            spare_columns=spare_columns,
        )

    def _fill_process(self, number: int) -> None:
        """Set the last column to what the process fitted at each row's cutoff says of a window."""
        if self.process is None:
            return
        panel, personal = self._panel, self._horizons.personal
        places = [panel.columns.index(name) for name in HISTORY]
        for cutoff, process in zip(self.cutoffs, self._processes[:-1], strict=True):
            rows = slice(*np.searchsorted(panel.cutoff, [cutoff, cutoff + 1]))
            panel.features[rows, -1] = np.nan
            if process is not None and rows.start < rows.stop:
                end = panel.horizon_days[rows] if personal else self._horizons.ends[number]
                history = panel.features[rows][:, places]
                panel.features[rows, -1] = silence_log_odds(process, history, self._horizons.begin(number), end)
