"""Scores do not depend, to the last bit, on how the customers are cut into batches."""

import numpy as np
import pandas as pd
import pytest
from clv_shops import cdnow_rfm
from pandas.testing import assert_frame_equal
from test_intervals import CASES, PARAMETERS, fitted

from crm_ml.clv import CLVModel, GammaGammaModel
from crm_ml.clv.choice.level import Level
from crm_ml.clv.choice.selection import Selection
from crm_ml.clv.compiled import histories
from crm_ml.clv.processes import bg_nbd, future_table, pareto_nbd
from crm_ml.clv.spend import gamma_gamma
from crm_ml.clv.uncertainty import interval

N_CUSTOMERS = 400
NOT_CHOSEN = {"name": "", "note": "", "table": []}


def shop(case):
    """CDNOW's customers and some odd ones, on whole numbers for the process that counts opportunities."""
    odd = [[0.0, 0, 0, 0], [1, 3, 3, 5], [9, 9, 40, 1e3], [300, 305, 310, -2]]
    columns = ["frequency", "recency", "T", "monetary_value"]
    rfm = pd.concat([cdnow_rfm().sample(N_CUSTOMERS, random_state=7), pd.DataFrame(odd, columns=columns)])
    rfm = rfm.reset_index(drop=True)
    if case == "BG/BB":
        rfm["recency"] = np.maximum(np.floor(rfm["recency"]), rfm["frequency"])
        rfm["n_opportunities"] = np.maximum(np.ceil(rfm["T"]), rfm["recency"])
    return rfm


def value_model(case):
    model = CLVModel(time_unit="W")
    process, selection = fitted(case, log_covariance=0.05 * PARAMETERS), Selection.from_dict(NOT_CHOSEN)
    model._compose(process, GammaGammaModel().fit(cdnow_rfm()), selection, Level(), fitted_as_of=None)
    return model


def everything(case, model, rfm):
    process = model.process_
    of_process = [process.probability_no_purchase(rfm, 13), process.purchase_interval(rfm, 13)]
    if case == "BG/BB":  # its clock is no unit of CLVModel's
        values = [process.probability_alive(rfm), process.expected_purchases(rfm, 13, discount_rate=0.01)]
    else:
        values = [model.predict(rfm, horizon_days=364, annual_discount_rate=0.1, margin=0.3)]
    return pd.concat(of_process + values, axis=1)


@pytest.mark.parametrize("case", CASES)
def test_a_customers_value_does_not_depend_on_the_batch(monkeypatch, case):
    rfm, model = shop(case), value_model(case)
    together = everything(case, model, rfm)
    mixed = rfm.sample(frac=1.0, random_state=8)
    for some in (mixed[::2], mixed[1::2], rfm[:1], rfm[5:6], rfm[-4:-1], rfm[-1:]):
        assert_frame_equal(everything(case, model, some), together.loc[some.index], check_exact=True)
    for module in (future_table, histories, gamma_gamma):
        monkeypatch.setattr(module, "MANY_ROWS", 100)
    for module in (interval, bg_nbd, pareto_nbd):
        monkeypatch.setattr(module, "MANY_CUSTOMERS", 100)
    assert_frame_equal(everything(case, model, rfm), together, check_exact=True)
