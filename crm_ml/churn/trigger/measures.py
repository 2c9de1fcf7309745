"""How right alarms were, how many departures they caught, and how early."""

from __future__ import annotations

import numpy as np

from crm_ml.features.ragged import Float, Int

__all__ = ["alarm_measures"]


def alarm_measures(
    churned: Float, lead_days: Float, silence: Int, base_rate: Float, *, departures: int, weeks: float
) -> dict[str, float]:
    """Return the measures of some alerts.

    A silence is what follows a purchase, until the next. It is a departure if it lasts the whole horizon from a moment
    at which the customer could have been alerted; any alert of a departure that came true has caught it.

    Parameters
    ----------
    churned : (n,) 1 if nothing was bought in the horizon from the alert, else 0.
    lead_days : (n,) days from the alert until the silence since the last purchase lasts as long as the horizon: the
        moment from which everyone knows, without an alarm.
    silence : (n,) which silence the alert belongs to, as integers.
    base_rate : (n,) churn rate among all who could have been alerted at the same moment.
    departures : how many there were.
    weeks : that the alarm was watched for.

    Returns
    -------
    dict
        ``alerts``, ``alerts_per_week``; ``precision``, the share of alerts that came true; ``base_rate``, the same had
        as many been drawn by lot at each moment; ``lift``, the one over the other; ``departures``; ``recall``, the
        share of departures that were caught; ``lead_days``, the median over these of the first alert's that came true.
        What there is nothing to compute from is NaN.

    Examples
    --------
    Four alerts in two weeks: one was wrong, two belong to one departure, which was caught 20 days ahead.

    >>> alarm_measures(np.array([1.0, 1.0, 0.0, 1.0]), np.array([20.0, 6.0, 30.0, 10.0]), np.array([7, 7, 8, 9]),
    ...                np.full(4, 0.25), departures=8, weeks=2.0)["lead_days"]
    15.0
    """
    true = churned == 1
    caught, departure = np.unique(silence[true], return_inverse=True)
    first = np.full(len(caught), -np.inf)
    np.maximum.at(first, departure, lead_days[true])
    precision, by_lot = _mean(churned), _mean(base_rate)
    return {
        "alerts": float(len(churned)),
        "alerts_per_week": len(churned) / weeks,
        "precision": precision,
        "base_rate": by_lot,
        "lift": precision / by_lot if by_lot > 0 else float("nan"),
        "departures": float(departures),
        "recall": len(caught) / departures if departures else float("nan"),
        "lead_days": float(np.median(first)) if len(first) else float("nan"),
    }


def _mean(values: Float) -> float:
    return float(values.mean()) if len(values) else float("nan")
