"""`predict_churn` and `predict_clv`: a log and a model in, one row per customer out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import pandas as pd
from sklearn.base import clone

from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.decisions.timing import NextPurchaseModel
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import Moment
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import nobody_bought
from crm_ml.features.panels.sweep import ROWS_PER_PART
from crm_ml.registry import Store, resolve
from crm_ml.scoring.scorer import Scorer

__all__ = ["predict_churn", "predict_clv", "score_customers"]

logger = logging.getLogger("crm_ml")


def predict_churn(
    log: CustomerLog,
    model: ChurnModel | str | Path | None = None,
    *,
    as_of: Moment,
    reasons: int = 0,
    store: Store | None = None,
) -> pd.DataFrame:
    """Return the probability that each customer buys nothing in the model's horizon after `as_of`.

    Parameters
    ----------
    log : the log; only events before `as_of` are used.
    model : a fitted model, the path of a bundle, or an MLflow address such as ``models:/churn@champion``.
        Without one, the default model is fitted on the log before `as_of`, and a warning is logged.
    as_of : the moment to predict at.
    reasons : how many reasons each customer gets, in words, strongest first; about a millisecond each customer.
    store : where an MLflow address is looked up, by default `crm_ml.registry.default_store()`.

    Returns
    -------
    DataFrame
        Indexed by customer_id, everyone who bought before `as_of`: the columns of `crm_ml.ChurnModel.predict`,
        which are ``churn_probability``, ``churn_lower``, ``churn_upper`` (Venn-Abers bounds) and ``horizon_days``,
        then ``as_of`` (UTC) and, where asked for, ``reason_1`` and so on, missing where there are no more.

    Raises
    ------
    ModelError
        The model is not found, damaged or of another kind.
    SchemaError
        Nobody bought before `as_of`, or `reasons` is below 0.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = crm_ml.ChurnModel(horizon_days=30).fit(log, as_of="2017-10-01")
    >>> crm_ml.predict_churn(log, model, as_of="2017-12-01").shape
    (2463, 5)
    """
    if reasons < 0:
        raise SchemaError(out_of_range("reasons", reasons, "be at least 0"))
    return _scores(log, Scorer.of(log, as_of=as_of, churn=_churn_model(log, model, as_of, store), reasons=reasons))


def predict_clv(
    log: CustomerLog,
    model: CLVModel | str | Path | None = None,
    *,
    as_of: Moment,
    annual_discount_rate: float,
    margin: float,
    horizon_days: float = 365,
    store: Store | None = None,
) -> pd.DataFrame:
    """Return what each customer is expected to be worth over the horizon after `as_of`.

    Parameters
    ----------
    log : the log; only events before `as_of` are used.
    model : a fitted model, the path of a bundle, or an MLflow address such as ``models:/clv@champion``.
        Without one, the default model is fitted on the log before `as_of`, and a warning is logged.
    as_of : the moment to predict at.
    annual_discount_rate : 0.10 means that money a year away counts 1 / 1.10.
    margin : share of net spend that is earned, in (0, 1].
    horizon_days : length of the window.
    store : where an MLflow address is looked up, by default `crm_ml.registry.default_store()`.

    Returns
    -------
    DataFrame
        Indexed by customer_id, everyone who bought before `as_of`: ``probability_alive``,
        ``expected_purchases``, ``expected_spend_per_purchase``, ``clv``, and ``clv_lower``, ``clv_upper``
        (90 % prediction interval of the customer's own value). Money is in the log's currency.

    Raises
    ------
    ModelError
        The model is not found, damaged or of another kind.
    SchemaError
        Nobody bought before `as_of`, or a setting is outside its domain.

    Examples
    --------
    >>> import crm_ml
    >>> log = crm_ml.load_sample()
    >>> model = crm_ml.CLVModel().fit(log, as_of="2017-10-01")
    >>> found = crm_ml.predict_clv(log, model, as_of="2017-10-01", annual_discount_rate=0.1, margin=0.3)
    >>> bool((found["clv_lower"] <= found["clv"]).all())
    True
    """
    fitted = _clv_model(log, model, as_of, store)
    settings = {"horizon_days": horizon_days, "annual_discount_rate": annual_discount_rate, "margin": margin}
    return _scores(log, Scorer.of(log, as_of=as_of, clv=fitted, settings=settings))


def score_customers(
    log: CustomerLog,
    churn: ChurnModel,
    clv: CLVModel,
    *,
    as_of: Moment,
    annual_discount_rate: float,
    margin: float,
    horizon_days: float,
) -> pd.DataFrame:
    """Return churn, value and next purchase of each customer, side by side.

    The dates come from a `crm_ml.decisions.NextPurchaseModel` that is fitted here, on the log before `as_of`, with
    the value model's purchase process. Parameters are those of `predict_churn` and `predict_clv`.
    """
    settings = {"horizon_days": horizon_days, "annual_discount_rate": annual_discount_rate, "margin": margin}
    scores = _scores(log, Scorer.of(log, as_of=as_of, churn=churn, clv=clv, settings=settings))
    process = clone(clv.process_) if clv.time_unit == "D" else "choose"
    dates = NextPurchaseModel(process=process).fit(log, as_of=as_of).predict(log, as_of=as_of)
    return scores.join(dates)


def _scores(log: CustomerLog, scorer: Scorer) -> pd.DataFrame:
    """Return everyone's scores in order of customer."""
    frames = log.map(lambda bucket: scorer(bucket).scores, at_most=ROWS_PER_PART)
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        raise nobody_bought(log, scorer.as_of, what="Scores")
    return pd.concat(filled).sort_index()


def _churn_model(
    log: CustomerLog, model: ChurnModel | str | Path | None, as_of: Moment, store: Store | None
) -> ChurnModel:
    if model is None:
        logger.warning("No model given: fitting a ChurnModel with its defaults on the log before %s.", as_of)
        return ChurnModel().fit(log, as_of=as_of)
    return cast(ChurnModel, resolve(model, kind="churn", store=store).model)


def _clv_model(log: CustomerLog, model: CLVModel | str | Path | None, as_of: Moment, store: Store | None) -> CLVModel:
    if model is None:
        logger.warning("No model given: fitting a CLVModel with its defaults on the log before %s.", as_of)
        return CLVModel().fit(log, as_of=as_of)
    return cast(CLVModel, resolve(model, kind="clv", store=store).model)
