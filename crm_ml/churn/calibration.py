"""From the trees' log odds to a probability, by what customers held out of training did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, xlogy

from crm_ml.errors import SchemaError
from crm_ml.features.ragged import Float, Int

__all__ = ["METHODS", "Calibration", "Method", "choose_calibration", "clearly_lower", "fit_calibration"]

Method = Literal["none", "sigmoid", "beta", "isotonic", "blend"]

METHODS: tuple[Method, ...] = ("none", "sigmoid", "beta", "isotonic", "blend")

PRIOR_SPREAD = 0.1
"""Standard deviation, on the log odds, of the prior around leaving the trees' probability as it is."""

ISOTONIC_ROWS = 10_000
"""Held-out customers below which isotonic steps are not thought of: on five logs they only did harm."""

STANDARD_ERRORS = 2.0
"""By how many of the difference a loss must be lower to count as clearly lower."""

CONFIDENT = 1e-4
"""Nearest that isotonic steps come to certainty."""


@dataclass(frozen=True)
class Calibration:
    """A map from log odds to probability, and whether the purchase process has a say in it.

    ``sigmoid`` draws a line on the log odds (Platt 1999; Cox 1958), ``beta`` weighs log p and log (1 − p) apart
    (Kull, Silva Filho and Flach 2017), ``blend`` adds the purchase process's log odds to the line, ``isotonic``
    rises in steps (Zadrozny and Elkan 2002), ``none`` leaves the trees' probability as it is.

    Attributes
    ----------
    method : which.
    weights : of 1, log p, −log (1 − p) and the process's log odds; of no use to isotonic steps.
    knots, steps : log odds from which each probability holds, of isotonic steps only.
    """

    method: Method
    weights: tuple[float, float, float, float] = (0.0, 1.0, 1.0, 0.0)
    knots: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()

    def __call__(self, log_odds: Float, process: Float) -> Float:
        """Return the probability of each customer.

        Parameters
        ----------
        log_odds : (n,) of the trees.
        process : (n,) of the purchase process; looked at by a blend only, which leaves the trees' probability as
            it is where the process is missing.
        """
        if self.method == "isotonic":
            place = np.searchsorted(self.knots, log_odds, side="right") - 1
            stepped: Float = np.asarray(self.steps)[np.maximum(place, 0)]
            return stepped
        level, of_left, of_stayed, of_process = self.weights
        drawn = level + of_left * log_expit(log_odds) - of_stayed * log_expit(-log_odds)
        if self.method == "blend":
            drawn = np.where(np.isnan(process), log_odds, drawn + of_process * process)
        probability: Float = expit(drawn)
        return probability


def fit_calibration(method: Method, log_odds: Float, process: Float, churned: Float) -> Calibration:
    """Fit a calibration on customers the trees were not trained on.

    Lines are drawn with a normal prior around leaving the probability as it is, `PRIOR_SPREAD` wide: one
    window's level and slope are not the next one's.

    Raises
    ------
    SchemaError
        A blend is asked for, and the purchase process is missing.

    Examples
    --------
    >>> odds, left = np.zeros(20_000), np.arange(20_000) % 4 == 0
    >>> found = fit_calibration("sigmoid", odds, odds, left.astype(float))
    >>> round(float(found(np.zeros(1), np.zeros(1))[0]), 2)
    0.26
    """
    if method == "none":
        return Calibration("none")
    if method == "isotonic":
        return _steps(log_odds, churned)
    if method == "beta":
        level, left, stayed = _line([log_expit(log_odds), -log_expit(-log_odds)], churned, centre=(0.0, 1.0, 1.0))
        return Calibration("beta", (level, left, stayed, 0.0))
    if method == "sigmoid":
        level, slope = _line([log_odds], churned, centre=(0.0, 1.0))
        return Calibration("sigmoid", (level, slope, slope, 0.0))
    if unknown := int(np.isnan(process).sum()):
        raise SchemaError(
            f"A blend needs the purchase process of every customer held out; {unknown:,} of {len(process):,} have "
            "none.\nHave `frequency`, `recency_days` and `tenure_days` among the features, train on later cutoffs, "
            "by when purchases suffice to fit it, or choose another `calibration`."
        )
    level, slope, of_process = _line([log_odds, process], churned, centre=(0.0, 1.0, 0.0))
    return Calibration("blend", (level, slope, slope, of_process))


def choose_calibration(
    log_odds: Float, process: Float, churned: Float, window: Int
) -> tuple[Calibration, dict[str, float]]:
    """Fit the calibration that did best on held-out windows it was not fitted on, none unless one is clearly better.

    Each window is calibrated by what the others tell; a single window is split in two. A calibration is taken if its
    log loss is clearly lower than that of none.

    Parameters
    ----------
    log_odds, process : (n,) of the trees and of the purchase process; NaN in the latter rules out a blend.
    churned : (n,) 1 or 0.
    window : (n,) which window a customer was held out in.

    Returns
    -------
    Calibration and the log loss of every method thought of.
    """
    thought_of: list[Method] = ["none", "sigmoid", "beta"]
    if len(churned) >= ISOTONIC_ROWS:
        thought_of.append("isotonic")
    if not np.isnan(process).any():
        thought_of.append("blend")
    if len(np.unique(window)) == 1:
        window = np.arange(len(churned)) % 2
    losses = {method: _loss_elsewhere(method, log_odds, process, churned, window) for method in thought_of}
    best = min(thought_of, key=lambda method: losses[method].mean())
    if not clearly_lower(losses[best], losses["none"]):
        best = "none"
    table: dict[str, float] = {method: float(loss.mean()) for method, loss in losses.items()}
    return fit_calibration(best, log_odds, process, churned), table


def clearly_lower(loss: Float, than: Float) -> bool:
    """Tell whether a mean loss lies below another by `STANDARD_ERRORS` of their difference; both are (n,).

    >>> clearly_lower(np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.8]))
    True
    """
    gain = than - loss
    return bool(gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)))


def _loss_elsewhere(method: Method, log_odds: Float, process: Float, churned: Float, window: Int) -> Float:
    loss = np.empty(len(churned))
    for held in np.unique(window):
        out = window == held
        found = fit_calibration(method, log_odds[~out], process[~out], churned[~out])
        p = found(log_odds[out], process[out])
        loss[out] = -xlogy(churned[out], p) - xlogy(1 - churned[out], 1 - p)
    return loss


def _steps(log_odds: Float, churned: Float) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=CONFIDENT, y_max=1 - CONFIDENT).fit(log_odds, churned)
    steps, first = np.unique(fitted.y_thresholds_, return_index=True)
    return Calibration("isotonic", knots=tuple(fitted.X_thresholds_[first].tolist()), steps=tuple(steps.tolist()))


def _line(columns: Sequence[Float], churned: Float, *, centre: Sequence[float]) -> list[float]:
    """Return intercept and weights of the most probable logistic line, under the normal prior around `centre`.

    Weights are at least 0, so that what can only raise the risk still does.
    """
    design, prior = np.column_stack([np.ones(len(churned)), *columns]), np.asarray(centre)

    def loss(line: Float) -> tuple[float, Float]:
        drawn, away = design @ line, (line - prior) / PRIOR_SPREAD
        value = np.logaddexp(0.0, drawn).sum() - churned @ drawn + away @ away / 2
        slope = design.T @ (expit(drawn) - churned) + away / PRIOR_SPREAD
        return float(value) / len(churned), slope / len(churned)

    bounds = [(None, None), *[(0.0, None)] * len(columns)]
    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})
    line: list[float] = found.x.tolist()
    return line
