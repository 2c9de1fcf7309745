"""When each customer buys next: date quantiles, who is overdue, and when to make contact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import pandas as pd
from sklearn.base import BaseEstimator

from crm_ml.clv.choice.holdout import LARGEST, Holdout, holdouts
from crm_ml.clv.choice.selection import candidates, select
from crm_ml.clv.processes.process import PurchaseProcess
from crm_ml.clv.rfm_frame import check_fitted, check_share
from crm_ml.decisions.timing.blend import Blend, Trial
from crm_ml.decisions.timing.expectation import Expectation, expect
from crm_ml.decisions.timing.gaps import OwnGaps, fit_own_gaps
from crm_ml.decisions.timing.histories import gap_statistics, histories, iter_histories, last_day, next_purchase_days
from crm_ml.decisions.timing.interval import dates
from crm_ml.decisions.timing.silences import EVER_DAYS
from crm_ml.errors import CrmError, out_of_range
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.log import CustomerLog

__all__ = ["NextPurchaseModel"]


class NextPurchaseModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Date of each customer's next purchase day, from a purchase process and the customer's own gaps.

    Two predictions are blended. The purchase process, chosen as in `crm_ml.clv.CLVModel`, knows frequency, recency
    and age. `crm_ml.decisions.timing.gaps.OwnGaps` knows how long this customer's gaps were and how much they vary,
    draws both towards the shop's, and allows for having left. Both condition on the silence so far. How much the own
    gaps count is chosen for customers without a gap, with up to four and with more, by the log score of what came in
    two windows before `as_of` (see `crm_ml.clv.choice.holdout`), where those who did not buy count as not having
    bought yet. A history below 84 days has no window, and both count for half.

    Days are days in UTC; several purchases on a day are one. The day within which `as_of` lies counts as over.

    Parameters
    ----------
    process : str or PurchaseProcess, default "choose"
        As in `crm_ml.clv.CLVModel`, counting days.

    Attributes
    ----------
    process_ : PurchaseProcess
    own_gaps_ : OwnGaps
    weights_ : DataFrame
        Indexed by ``gaps`` ("0", "1–4", "5 or more"): ``own_gaps_share`` of the blend; ``customers`` in the windows;
        ``process_log_score``, ``own_gaps_log_score`` and, of the blend, ``log_score``: mean log probability of the
        day of the next purchase, higher is better; missing without a window.
    notes_ : list of str
        Which process was chosen and why.
    fitted_as_of_ : Timestamp
        The model saw nothing at or after this moment.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = NextPurchaseModel(process="ModifiedBetaGeo").fit(log, as_of="2017-10-01")
    >>> found = model.predict(log, as_of="2017-10-01").loc["1"]
    >>> [found[f"next_purchase_{part}"].strftime("%m-%d") for part in ("lower", "median", "upper")]
    ['10-01', '10-05', '10-12']
    """

    process_: PurchaseProcess
    own_gaps_: OwnGaps
    weights_: pd.DataFrame
    fitted_as_of_: pd.Timestamp

    def __init__(self, *, process: str | PurchaseProcess = "choose") -> None:
        self.process = process

    def fit(self, log: CustomerLog, *, as_of: Moment) -> Self:
        """Fit on a log's past.

        Parameters
        ----------
        log : CustomerLog
        as_of : date-like
            Nothing at or after this moment is seen.

        Raises
        ------
        SchemaError
            If nobody bought before `as_of`.
        ConvergenceError
            If the past is too thin to fit: nobody bought on two days.
        """
        among = candidates(self.process, time_unit="D")
        known = histories(log, as_of=as_of)
        windows = holdouts(log, known, as_of=as_of, time_unit="D")
        selection = select(among, windows)
        trials = [_trial(log, process, window) for process, window in zip(selection.fitted, windows, strict=False)]
        self.process_, self.own_gaps_ = among[selection.name].fit(known), fit_own_gaps(gap_statistics(_some(known)))
        self._blend = Blend.learn(trials)
        self.weights_, self.notes_ = self._blend.table, [selection.note]
        self.fitted_as_of_ = stamp(moment(as_of))
        return self

    def predict(self, log: CustomerLog, *, as_of: Moment, level: float = 0.8, horizon_days: int = 30) -> pd.DataFrame:
        """Predict everyone's next purchase day.

        Parameters
        ----------
        log : CustomerLog
        as_of : date-like
            Only events before it count.
        level : float in (0, 1), default 0.8
            Of the interval.
        horizon_days : int, from 1 to 3650, default 30
            Of ``purchase_probability``.

        Returns
        -------
        DataFrame
            Indexed by customer_id, in order:

            - ``next_purchase_lower``, ``next_purchase_median``, ``next_purchase_upper``: days, as timestamps (UTC).
              The next purchase day lies from lower to upper, both included, with a probability of at least
              `level`, and before lower with less than (1 - level) / 2. Never buying again (within ten years) is an
              outcome too. Where it is too likely for an upper end, that is missing (NaT), and the purchase comes
              from lower on, or never, with a probability of at least `level`. Where never alone has that much,
              lower is missing too. The median is, where never has more than a half.
            - ``purchase_probability``: of a purchase day within the next `horizon_days`.
            - ``return_probability``: of any within ten years.
            - ``usual_gap_days``: see `crm_ml.features.IntervalStretch`.
            - ``silence_days``: whole days since the last purchase day.
            - ``overdue``: the silence is longer than (1 + level) / 2 of the times after which, as expected at the
              last purchase, such a customer comes back, if ever.
            - ``contact_on``: the day to make contact, as a timestamp: at once, on the first whole day from `as_of`
              on, for whoever is overdue; otherwise the day before that by which half of such customers have bought
              who ever will, but no earlier than at once. Missing where lower is: there is nothing to time.

        Raises
        ------
        NotFittedError, SchemaError, CrmError
        """
        return pd.concat(self.iter_predict(log, as_of=as_of, level=level, horizon_days=horizon_days)).sort_index()

    def iter_predict(
        self, log: CustomerLog, *, as_of: Moment, level: float = 0.8, horizon_days: int = 30
    ) -> Iterator[pd.DataFrame]:
        """Yield the frame of `predict` in parts of bounded size, for logs that do not fit in memory."""
        check_fitted(self, "process_")
        check_share("level", level)
        if not 1 <= horizon_days <= EVER_DAYS:
            raise CrmError(out_of_range("horizon_days", horizon_days, f"be from 1 to {EVER_DAYS} days"))
        for known in iter_histories(log, as_of=as_of):
            expected = self.expectation(known)
            yield dates(expected, known, last=last_day(as_of), level=level, horizon_days=horizon_days)

    def expectation(self, known: pd.DataFrame) -> Expectation:
        """Return the distributions behind the dates, for customers in a frame of `histories`."""
        check_fitted(self, "process_")
        return expect(self.process_, self.own_gaps_, self._blend, known)


def _trial(log: CustomerLog, process: PurchaseProcess, window: Holdout) -> Trial:
    """Predict one window of the past as the model would have, and see what came."""
    known = histories(log, as_of=window.origin)
    own = fit_own_gaps(gap_statistics(_some(known)))
    judged = known.loc[window.rfm.index]
    until = window.origin + pd.Timedelta(days=window.horizon_days)
    waited = next_purchase_days(log, as_of=window.origin, until=until).loc[judged.index]
    return Trial.of(process, own, judged, waited.to_numpy(), until=last_day(until) - last_day(window.origin))


def _some(known: pd.DataFrame) -> pd.DataFrame:
    return known if len(known) <= LARGEST else known.sample(LARGEST, random_state=0).sort_index()
