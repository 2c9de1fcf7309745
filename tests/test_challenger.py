"""The challenger on the panel, and the blend: known truths, no look ahead, storage, backtest beside the others."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import crm_ml
from crm_ml.clv import BlendedValue, CLVModel, PanelValueModel, SpendRateBaseline
from crm_ml.errors import CrmError, ModelError, NotFittedError, SchemaError
from crm_ml.evaluation import backtest
from crm_ml.features import build_features, build_panel
from crm_ml.registry import load_bundle, save_bundle

AS_OF = pd.Timestamp("2024-11-01", tz="UTC")
SHOP = crm_ml.simulate(400, days=365, start="2024-01-01", seed=4)


@pytest.fixture(scope="module")
def log():
    return crm_ml.CustomerLog(SHOP.transactions, SHOP.interactions)


@pytest.fixture(scope="module")
def model(log):
    return PanelValueModel(horizon_days=60).fit(log, as_of=AS_OF)


class Known:
    """Forecasts the true spend, read from the log, mistaken by a factor per customer."""

    def __init__(self, factor):
        self.factor, self.origins = factor, []

    def fit(self, _log, *, as_of):
        self.origins.append(pd.Timestamp(as_of))
        return self

    def forecast(self, log, *, as_of, horizon_days):
        ahead = build_panel(log, cutoffs=[as_of], horizon_days=horizon_days, features=())
        spend = ahead.droplevel("cutoff")["spend_ahead"].clip(lower=0)
        return spend * self.factor(np.arange(len(spend)))


def blend_of(log, model, challenger):
    return BlendedValue(Known(model), Known(challenger), horizon_days=60).fit(log, as_of="2024-10-01")


def test_it_learns_the_spend_of_the_panel(model, log):
    later = build_panel(log, cutoffs=[AS_OF], horizon_days=60).droplevel("cutoff")
    found = model.forecast(log, as_of=AS_OF, horizon_days=60)
    assert found.index.equals(later.index)
    assert (found >= 0).all()
    assert found.corr(later["spend_ahead"], method="spearman") > 0.5
    never_more = later["spend_ahead"].mean()
    assert (found - later["spend_ahead"]).abs().mean() < 0.85 * (never_more - later["spend_ahead"]).abs().mean()


def test_labels_end_by_as_of_and_rows_are_everyone_who_ever_bought(model, log):
    panel = build_panel(log, cutoffs=pd.to_datetime(model.training_["cutoffs"]), horizon_days=60, features=())
    assert model.training_["rows"] == len(panel)
    assert model.training_["labels_end"] == AS_OF.isoformat() == panel["label_end"].max().isoformat()
    assert_allclose(model.training_["mean_spend"], panel["spend_ahead"].clip(lower=0).mean())


def test_what_comes_at_or_after_as_of_changes_nothing(model):
    transactions = SHOP.transactions.copy()
    transactions.loc[transactions["timestamp"] >= AS_OF, "amount"] *= 100
    other = PanelValueModel(horizon_days=60).fit(crm_ml.CustomerLog(transactions, SHOP.interactions), as_of=AS_OF)
    assert other.to_files() == model.to_files()
    shifted = transactions.assign(amount=transactions["amount"] * 1.01)
    assert PanelValueModel(horizon_days=60).fit(crm_ml.CustomerLog(shifted), as_of=AS_OF).to_files() != model.to_files()


def test_the_currency_does_not_matter(model, log):
    cents = crm_ml.CustomerLog(SHOP.transactions.assign(amount=SHOP.transactions["amount"] * 128.0), SHOP.interactions)
    ahead = {"as_of": AS_OF, "horizon_days": 60}
    in_cents = PanelValueModel(horizon_days=60).fit(cents, as_of=AS_OF).forecast(cents, **ahead)
    assert_allclose(in_cents, 128.0 * model.forecast(log, **ahead), rtol=1e-9)


def test_a_stored_challenger_is_the_same_challenger(model, log, tmp_path):
    restored = load_bundle(save_bundle(model, tmp_path / "challenger", metadata={})).model
    features = build_features(log, as_of=AS_OF, features=model.feature_set)
    pd.testing.assert_frame_equal(restored.predict(features), model.predict(features), check_exact=True)
    assert restored.to_files() == model.to_files()
    with pytest.raises(ModelError, match=r"A booster must be an XGBoost model"):
        PanelValueModel.from_files(model.to_files() | {"booster.ubj": b"no"})


def test_what_cannot_be_is_refused(model, log):
    with pytest.raises(NotFittedError, match="PanelValueModel must be fitted"):
        PanelValueModel(horizon_days=60).predict(pd.DataFrame())
    with pytest.raises(SchemaError, match="`horizon_days` must be the horizon trained for, 60; got 61"):
        model.forecast(log, as_of=AS_OF, horizon_days=61)
    with pytest.raises(SchemaError, match="Training needs 60 days of history"):
        PanelValueModel(horizon_days=60).fit(log, as_of="2024-04-29")
    PanelValueModel(horizon_days=60, n_cutoffs=1).fit(log, as_of="2024-05-02")
    with pytest.raises(SchemaError, match="features need a column `"):
        model.predict(pd.DataFrame({"spend": [1.0]}))
    free = crm_ml.CustomerLog(SHOP.transactions.assign(amount=0.0))
    with pytest.raises(SchemaError, match="Training needs spend in the label windows"):
        PanelValueModel(horizon_days=60).fit(free, as_of=AS_OF)


def test_all_stand_beside_each_other_in_one_backtest(log):
    plain, panel = CLVModel(process="BetaGeo"), PanelValueModel(horizon_days=60, n_cutoffs=2)
    rivals = {"clv": plain, "panel": panel, "blend": BlendedValue(plain, panel, horizon_days=60)}
    found = backtest(log, rivals, cutoffs=[AS_OF], horizon_days=60, target="spend_ahead")
    assert found.metrics["predictor"].tolist() == list(rivals)
    weight = rivals["blend"].weight_
    mixed = (1 - weight) * found.predictions["clv"] + weight * found.predictions["panel"]
    assert_allclose(found.predictions["blend"], mixed, rtol=1e-12)


def test_errors_that_cancel_are_blended_by_the_weight_that_cancels_them(log):
    blend = blend_of(log, lambda _: 1.3, lambda _: 0.9)  # 0.25 × 1.3 + 0.75 × 0.9 = 1
    assert_allclose(blend.weight_, 0.75, atol=1e-4)
    assert blend.table_["chosen"].tolist() == [False, False, True]
    truth = Known(lambda _: 1.0).forecast(log, as_of="2024-10-01", horizon_days=60)
    assert_allclose(blend.forecast(log, as_of="2024-10-01", horizon_days=60), truth, rtol=1e-4)


@pytest.mark.parametrize(("better", "weight"), [("model", 0.0), ("challenger", 1.0)])
def test_the_better_one_alone_is_chosen_where_the_other_adds_nothing(log, better, weight):
    def right(_):
        return 1.0

    def wrong(i):
        return np.where(i % 2, 0.2, 3.0)

    pair = (right, wrong) if better == "model" else (wrong, right)
    blend = blend_of(log, *pair)
    assert blend.weight_ == weight
    assert blend.note_.startswith(f"The {better}, ")
    left_out = blend.challenger_ if better == "model" else blend.model_
    assert pd.Timestamp("2024-10-01") not in left_out.origins  # what has no weight needs no fit


def test_the_weight_is_learned_before_it_is_judged(log):
    challenger = Known(lambda _: 1.0)
    blend = BlendedValue(Known(lambda _: 1.1), challenger, horizon_days=60).fit(log, as_of="2024-10-01")
    origins = [f"{origin:%Y-%m-%d}" for origin in blend.challenger_.origins]
    assert origins == ["2024-06-03", "2024-08-02", "2024-10-01"]
    assert challenger.origins == []


def test_too_short_a_history_leaves_the_model_alone(log):
    blend = BlendedValue(SpendRateBaseline(), PanelValueModel(horizon_days=60), horizon_days=60)
    blend.fit(log, as_of="2024-05-15")
    assert blend.weight_ == 0.0
    assert blend.table_.empty
    assert "too short" in blend.note_
    with pytest.raises(CrmError, match="`horizon_days` must be the horizon judged, 60; got 30"):
        blend.forecast(log, as_of="2024-05-15", horizon_days=30)
