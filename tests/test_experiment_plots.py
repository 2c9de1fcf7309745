"""The displays of experiments draw what their frames say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_ml.decisions.experiments import Baseline, minimum_detectable_effect, read_experiment
from crm_ml.errors import SchemaError
from crm_ml.plots.decisions.experiments import EffectsDisplay, PowerDisplay

THREE = {"control": 0.5, "coupon": 0.3, "call": 0.2}


def reading():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"spend": rng.gamma(2.0, 10.0, 600), "channel": rng.choice(["shop", "web"], 600)})
    frame["arm"] = np.resize(["control", "coupon", "call"], 600)
    return read_experiment(frame, metrics=["spend"], segments="channel")


def test_every_effect_has_its_place_and_intervals():
    display = EffectsDisplay.from_reading(reading(), metric="spend").plot()
    ax, data = display.ax_, display.data
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all customers", "channel shop", "channel web"]
    points = [line for line in ax.lines if line.get_linestyle() == "None"]
    for line, arm in zip(points, ["call", "coupon"], strict=True):
        np.testing.assert_array_equal(line.get_xdata(), data.loc[data["arm"] == arm, "effect"])
    wide, narrow = (collection.get_segments() for collection in ax.collections[:2])
    own = data[data["arm"] == "call"]
    np.testing.assert_array_equal(
        [[part[0, 0], part[1, 0]] for part in wide], own[["adjusted_lower", "adjusted_upper"]]
    )
    np.testing.assert_array_equal([[part[0, 0], part[1, 0]] for part in narrow], own[["lower", "upper"]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["call", "coupon"]
    assert any(np.all(np.asarray(line.get_xdata()) == 0) for line in ax.lines)


def test_the_size_asked_about_is_marked():
    display = PowerDisplay.from_baseline(Baseline(0.6), THREE, customers=20_000, metric="retained").plot()
    exact = minimum_detectable_effect(Baseline(0.6), 20_000, THREE)
    marked = [line for line in display.ax_.lines if len(line.get_xdata()) == 1]
    assert [float(line.get_ydata()[0]) for line in marked] == pytest.approx(exact.tolist(), rel=1e-12)
    assert display.data["customers"].agg(["min", "max"]).tolist() == [4_000, 40_000]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(SchemaError, match=r"metric 'visits'; it has \['spend'\]"):
        EffectsDisplay.from_reading(reading(), metric="visits")
    with pytest.raises(SchemaError, match="column `adjusted_upper`"):
        EffectsDisplay(reading().effects.drop(columns="adjusted_upper"), metric="spend")
    with pytest.raises(SchemaError, match="column `effect`"):
        PowerDisplay(pd.DataFrame({"arm": ["a"], "customers": [1]}), customers=1)
