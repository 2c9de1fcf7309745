"""`predict_churn` and `predict_clv`: a log and a model in, one row per customer out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow as pa
from sklearn.base import clone

from crm_ml.churn import ChurnModel
from crm_ml.clv import CLVModel
from crm_ml.clv.summary import iter_rfm_summary
from crm_ml.decisions.timing import NextPurchaseModel
from crm_ml.errors import SchemaError, out_of_range
from crm_ml.events.clock import Moment, moment, stamp
from crm_ml.events.log import CustomerLog
from crm_ml.features.panels.panel import iter_features, nobody_bought
from crm_ml.features.panels.writing import write_parquet
from crm_ml.registry import Store, resolve

__all__ = ["churn_scores", "clv_scores", "predict_churn", "predict_clv", "score_customers", "write_scores"]

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
    return _together(_churn_frames(log, _churn_model(log, model, as_of, store), as_of, reasons=reasons), log, as_of)


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
    return _together(_clv_frames(log, fitted, as_of, settings), log, as_of)


def churn_scores(features: pd.DataFrame, model: ChurnModel, *, as_of: Moment) -> pd.DataFrame:
    """Return the scores of `predict_churn` of some customers, given their features at `as_of`."""
    return model.predict(features).assign(as_of=stamp(moment(as_of)))


def clv_scores(summary: pd.DataFrame, model: CLVModel, *, as_of: Moment, **settings: float) -> pd.DataFrame:
    """Return the values of `predict_clv` of some customers, given their purchases before `as_of`."""
    return model.predict(summary.assign(as_of=stamp(moment(as_of))), **settings)


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
    values = predict_clv(
        log, clv, as_of=as_of, horizon_days=horizon_days, annual_discount_rate=annual_discount_rate, margin=margin
    )
    process = clone(clv.process_) if clv.time_unit == "D" else "choose"
    dates = NextPurchaseModel(process=process).fit(log, as_of=as_of).predict(log, as_of=as_of)
    return predict_churn(log, churn, as_of=as_of).join(values).join(dates)


def write_scores(
    log: CustomerLog,
    out: str | Path,
    *,
    as_of: Moment,
    churn: ChurnModel | str | Path,
    clv: CLVModel | str | Path,
    annual_discount_rate: float,
    margin: float,
    horizon_days: float = 365,
    store: Store | None = None,
) -> Path:
    """Write churn and value of every customer to Parquet, part by part.

    A file, or a folder where the name does not end in ``.parquet``, appears in one rename, complete or not at
    all. Customers are in order within parts of the log, not across them. Parameters are those of
    `predict_churn` and `predict_clv`.

    Returns
    -------
    Path
        Of what was written, with the columns of both and ``customer_id``.
    """
    scorer = _churn_model(log, churn, as_of, store)
    valuer = _clv_model(log, clv, as_of, store)
    settings = {"horizon_days": horizon_days, "annual_discount_rate": annual_discount_rate, "margin": margin}
    pairs = zip(_churn_frames(log, scorer, as_of), _clv_frames(log, valuer, as_of, settings), strict=True)
    tables = (pa.Table.from_pandas(scores.join(values).reset_index(), preserve_index=False) for scores, values in pairs)
    if not write_parquet(tables, out):
        raise nobody_bought(log, as_of, what="Scores")
    return Path(out)


def _churn_frames(log: CustomerLog, model: ChurnModel, as_of: Moment, *, reasons: int = 0) -> Iterator[pd.DataFrame]:
    for features in iter_features(log, as_of=as_of, features=model.feature_set):
        scores = churn_scores(features, model, as_of=as_of)
        if reasons:
            told = model.explain(features, top=reasons).pivot_table("text", "customer_id", "rank", aggfunc="first")
            told = told.reindex(index=features.index, columns=range(1, reasons + 1))
            scores = scores.join(told.add_prefix("reason_"))
        yield scores


def _clv_frames(log: CustomerLog, model: CLVModel, as_of: Moment, settings: dict[str, float]) -> Iterator[pd.DataFrame]:
    for summary in iter_rfm_summary(log, as_of=as_of, time_unit=model.time_unit):
        yield clv_scores(summary, model, as_of=as_of, **settings)


def _together(frames: Iterator[pd.DataFrame], log: CustomerLog, as_of: Moment) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        raise nobody_bought(log, as_of, what="Scores")
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
