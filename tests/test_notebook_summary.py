"""What logs, models, plans and segments show in a notebook: escaped, small, in the notebook's colours, and stable."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from crm_ml import (
    ChurnModel,
    CLVModel,
    CustomerLog,
    Offer,
    Segment,
    SegmentPolicy,
    allocate_budget,
    customer_base,
    load_sample,
)
from crm_ml.decisions import head_counts
from crm_ml.features import Threshold, all_of, any_of
from crm_ml.notebook_summary import summary_html

HOSTILE = "</td><script>alert('x')</script>"
SAFE = "&lt;/td&gt;&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"
RFM = pd.DataFrame(
    {
        "frequency": [0, 1, 2, 5],
        "recency": [0, 4.0, 20.0, 30.0],
        "T": [38.0, 36.0, 31.0, 33.0],
        "monetary_value": [0, 20.0, 45.0, 30.0],
    }
)


class Texts(HTMLParser):
    """The texts of a piece of HTML; fails where its tags are not balanced or are others than a summary's."""

    def __init__(self, piece: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(piece)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        assert {name for name, _ in attrs} <= {"style", "scope"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)


def log_of(event_types: list[str]) -> CustomerLog:
    start = pd.Timestamp("2024-01-01", tz="UTC")
    return CustomerLog(
        pd.DataFrame({"customer_id": ["a", "b"], "timestamp": start, "amount": [20.0, np.inf]}),
        pd.DataFrame({"customer_id": "a", "timestamp": start, "event_type": event_types}),
        on_invalid="drop",
    )


def plan_of(names: list[str]):
    customers = pd.DataFrame(
        {"churn_probability": 0.5, "value_at_stake": 100.0},
        index=pd.Index([f"{HOSTILE}{number}" for number in range(50)], name="customer_id"),
    )
    return allocate_budget(customers, [Offer(name, cost=2.0, save_rate=0.1) for name in names], 40.0)


@pytest.fixture(scope="module")
def churn_model() -> ChurnModel:
    return ChurnModel(horizon_days=(30, 60), features=("rfm",), n_cutoffs=3, calibration="none").fit(
        load_sample(), as_of="2017-10-01"
    )


@pytest.fixture(scope="module")
def clv_model() -> CLVModel:
    many = pd.concat([RFM.assign(monetary_value=RFM["monetary_value"] * factor) for factor in (0.5, 1, 2)])
    return CLVModel(time_unit="W").fit_rfm(many, weights=3 * [300, 60, 30, 10])


def test_names_titles_and_cells_are_escaped() -> None:
    made = summary_html(HOSTILE, {HOSTILE: HOSTILE}, pd.DataFrame({HOSTILE: [HOSTILE]}, index=[HOSTILE]))
    assert Texts(made).texts.count(HOSTILE) == 6
    assert made.count(SAFE) == 6


def test_a_log_shows_its_counts_and_what_was_dropped() -> None:
    shown = log_of([HOSTILE])._repr_html_()
    texts = Texts(shown).texts
    assert SAFE in shown
    assert texts[texts.index("transactions") + 1] == "1"
    assert any(text.startswith("1 transactions: `amount` must") for text in texts)


def test_a_log_of_five_hundred_long_event_types_stays_small() -> None:
    shown = log_of([f"{HOSTILE * 40}{number:03}" for number in range(500)])._repr_html_()
    assert len(shown.encode()) < 50_000
    assert Texts(shown).texts[-1] == "481 more rows"  # transactions and 500 event types, 20 of them shown


def test_a_plan_of_a_thousand_offers_stays_small() -> None:
    shown = plan_of([f"{HOSTILE}{number:04}" for number in range(1000)])._repr_html_()
    assert len(shown.encode()) < 50_000
    assert SAFE in shown
    assert Texts(shown).texts[-1] == "980 more rows"


def test_a_plan_shows_its_money() -> None:
    texts = Texts(plan_of(["call"])._repr_html_()).texts
    # 40 / 2 = 20 customers; each brings 0.5 · 0.1 · 100 − 2 = 3
    assert texts[:1] == ["BudgetPlan"]
    assert {"20 of 50", "40.00 of 40.00", "60.00, a gap of 0.000%"} <= set(texts)
    assert texts[-5:] == ["call", "20", "40", "60", "assumed"]


@pytest.mark.parametrize("text", ["&" * 400, "'" * 400, "\U0001f6d2" * 400])
def test_nothing_makes_a_summary_large(text: str) -> None:
    table = pd.DataFrame([[text] * 15] * 30, index=[text] * 30, columns=[text] * 15)
    made = summary_html(text, {f"{text}{number}": text for number in range(30)}, table)
    assert len(made.encode()) < 200_000
    assert [found for found in Texts(made).texts if found.endswith(("more", "columns"))] == [
        "6 more",
        "10 more rows, 3 more columns",
    ]


def test_a_churn_model_shows_its_settings_then_its_training(churn_model: ChurnModel) -> None:
    unfitted = Texts(ChurnModel(horizon_days=45, seed=7)._repr_html_()).texts
    assert unfitted[:3] == ["ChurnModel, not fitted", "horizon_days", "45"]
    assert unfitted[-2:] == ["seed", "7"]
    fitted = Texts(churn_model._repr_html_()).texts
    training = churn_model.training_
    assert "(30, 60)" in fitted
    assert "2017-10-01" in fitted
    assert any(f"{training['rows']:,} rows at 3 cutoffs, 20" in text for text in fitted)
    assert [text for text in fitted if text in ("30", "60")] == ["30", "30", "60"]


def test_a_clv_model_shows_its_settings_then_its_process(clv_model: CLVModel) -> None:
    assert "choose" in Texts(CLVModel()._repr_html_()).texts
    texts = Texts(clv_model._repr_html_()).texts
    assert {"CLVModel", "BetaGeoModel", "GammaGammaModel", "fitted to a frame", *clv_model.params_} <= set(texts)
    assert float(texts[texts.index("alpha") + 1]) == pytest.approx(clv_model.params_["alpha"], rel=1e-5)


def test_notebooks_show_the_clv_model_and_not_its_diagram(clv_model: CLVModel) -> None:
    for model in (CLVModel(), clv_model):
        assert model._repr_mimebundle_(include=None, exclude=None)["text/html"] == model._repr_html_()


def test_a_summary_has_no_colour_of_its_own_and_is_the_same_each_time(churn_model: ChurnModel) -> None:
    shown = churn_model._repr_html_()
    assert shown == churn_model._repr_html_()
    assert set(re.findall(r"rgba?\([^)]*\)", shown)) == {"rgba(128,128,128,.3)"}
    assert not re.search(r"[^-]color:|background|#[0-9a-f]{3}", shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1,234,567"),
        (0.123456789, "0.123457"),
        (2.0, "2"),
        (True, "True"),
        (np.bool_(False), "False"),
        (float("nan"), "nan"),
        (None, "None"),
        (pd.Timestamp("2024-03-01", tz="UTC"), "2024-03-01"),
        (pd.Timestamp("2024-03-01 07:30"), "2024-03-01 07:30:00"),
        (pd.NaT, "NaT"),
    ],
)
def test_values_read_well(value: object, shown: str) -> None:
    assert Texts(summary_html("", {"it": value})).texts == ["it", shown]


def test_a_policy_shows_its_rules_then_its_numbers():
    policy = SegmentPolicy(
        [
            Segment(HOSTILE, Threshold("x", ">=", quantile=0.5), keep=Threshold("x", ">", mean=0.5)),
            Segment("low", all_of(Threshold("x", "<", 1), any_of(Threshold("x", ">", 0), Threshold("y", "<=", 7)))),
        ]
    )
    shown = policy._repr_html_()
    assert SAFE in shown
    texts = Texts(shown).texts
    assert {"not fitted", "x >= quantile 0.5", "x > 0.5 × mean", "x < 1 and (x > 0 or y <= 7)"} < set(texts)
    assert "only from" not in texts
    policy.fit(pd.DataFrame({"x": [1.0, 2.0, 4.5], "y": 1.0}))
    assert {policy.version_, "x >= 2", "x > 1.25"} < set(Texts(policy._repr_html_()).texts)


def test_a_history_and_a_base_show_how_many_are_where():
    base = customer_base(load_sample(), as_of="2017-06-01", months=2)
    counts = head_counts(base.segments.segments).iloc[-1]
    for shown in (base.segments, base):
        texts = Texts(shown._repr_html_()).texts
        at = texts.index("2017-06-01", 4)
        assert texts[at : at + 1 + len(counts)] == ["2017-06-01", *(f"{count:,}" for count in counts)]
        assert base.segments.policy.version_ in texts
    assert base.changes()["words"].iloc[0] in Texts(base._repr_html_()).texts
