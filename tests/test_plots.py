"""Each display draws what its frame says, and leaves matplotlib's global state alone."""

from __future__ import annotations

import html
import io
import itertools
import re
from dataclasses import asdict

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from test_clv_plots import DISPLAYS as CLV_DISPLAYS
from test_clv_plots import labelled
from test_decision_plots import DISPLAYS as DECISION_DISPLAYS

from crm_ml.churn.influence import importance
from crm_ml.errors import SchemaError
from crm_ml.evaluation import (
    RetentionCampaign,
    best_depth,
    calibration_bins,
    gains_curve,
    lift_curve,
    profit_curve,
)
from crm_ml.plots import (
    BacktestDisplay,
    CalibrationDisplay,
    ConcentrationDisplay,
    FrontierDisplay,
    GainsDisplay,
    ImportanceDisplay,
    LiftDisplay,
    PartialDependenceDisplay,
    PlanDisplay,
    ProfitDisplay,
    ReasonsDisplay,
    SegmentsDisplay,
    TrackingDisplay,
    draw_svg,
)
from crm_ml.plots.style import MARKS, marks, short_number

CURVES = pd.DataFrame(
    {
        "predictor": ["model"] * 3 + ["recency"] * 3,
        "contacted_share": [0.0, 0.5, 1.0] * 2,
        "captured_share": [0.0, 0.8, 1.0, 0.0, 0.6, 1.0],
    }
)
LIFT = CURVES.assign(contacted_share=[0.1, 0.5, 1.0] * 2, lift=[3.0, 1.6, 1.0, 2.0, 1.2, 1.0])
PROFIT = CURVES.assign(profit=[0.0, 900.0, -300.0, 0.0, 600.0, -300.0])
BEST = pd.DataFrame(
    {
        "predictor": ["model", "recency"],
        "contacted_share": [0.4, 0.5],
        "share_lower": [0.3, 0.35],
        "share_upper": [0.55, 0.6],
        "profit": [1000.0, 600.0],
    }
)
BINS = pd.DataFrame(
    {
        "predicted": [0.42, 0.65, 0.9],
        "observed": [0.45, 0.6, 0.93],
        "lower": [0.4, 0.55, 0.9],
        "upper": [0.5, 0.65, 0.95],
        "customers": [120, 300, 210],
    }
)
WEEKS = pd.DataFrame(
    {"actual": [12, 9, 11, 10], "expected": [11.5, 10.5, 9.5, 9.0]},
    index=pd.date_range("2017-08-28", periods=4, freq="W-MON", name="week"),
)
TRAIN_END = pd.Timestamp("2017-09-11")
RESULTS = pd.DataFrame(
    {
        "predictor": ["model", "recency"] * 2,
        "cutoff": pd.to_datetime(["2017-08-01", "2017-08-01", "2017-09-01", "2017-09-01"]),
        "auc": [0.81, 0.74, 0.82, 0.73],
    }
)
SEGMENTS = pd.DataFrame({"customers": [10, 30], "spend": [600.0, 200.0]}, index=["loyal", "new"])
CONCENTRATION = pd.DataFrame({"customer_share": [0.0, 0.2, 1.0], "value_share": [0.0, 0.6, 1.0]})
FRONTIER = pd.DataFrame({"budget": [0.0, 1000.0, 2000.0], "expected_gain": [0.0, 900.0, 1300.0]})
COMPARISON = pd.DataFrame(
    {"expected_gain": [900.0, -150.0], "spend": [1000.0, 990.0]}, index=["plan", "everyone alike"]
)
REASONS = pd.DataFrame(
    {
        "text": ["bought on 9 days", "has waited 2.4 × the usual 18 days", "1 view in the last 30 days"],
        "contribution": [-0.5, 1.25, 0.25],
    },
    index=["c1"] * 3,
)
IMPORTANCE = pd.DataFrame({"importance": [0.6, 0.3, 0.1], "share": [0.6, 0.3, 0.1]}, index=["waiting", "money", "view"])
DEPENDENCE = pd.DataFrame(
    {"value": [1.0, 20.0, 50.0], "probability": [0.2, 0.4, 0.6], "lower": [0.1, 0.2, 0.4], "upper": [0.3, 0.6, 0.9]}
)

DISPLAYS = {
    "gains": lambda: GainsDisplay(CURVES),
    "lift": lambda: LiftDisplay(LIFT),
    "profit": lambda: ProfitDisplay(PROFIT, BEST, currency="$"),
    "profit of one": lambda: ProfitDisplay(PROFIT.iloc[:3], BEST.iloc[:1]),
    "profit alone": lambda: ProfitDisplay(PROFIT),
    "calibration": lambda: CalibrationDisplay(BINS),
    "calibration of two": lambda: CalibrationDisplay(pd.concat([BINS.assign(predictor=name) for name in "ab"])),
    "tracking": lambda: TrackingDisplay(WEEKS, TRAIN_END),
    "backtest": lambda: BacktestDisplay(RESULTS, "auc"),
    "segments": lambda: SegmentsDisplay(SEGMENTS),
    "concentration": lambda: ConcentrationDisplay(CONCENTRATION),
    "frontier": lambda: FrontierDisplay(FRONTIER, 1500.0, currency="$"),
    "plan": lambda: PlanDisplay(COMPARISON, currency="$"),
    "reasons": lambda: ReasonsDisplay(REASONS, base=-1.0, prediction=0.45),
    "no reasons": lambda: ReasonsDisplay(REASONS.iloc[:0], base=-1.0),
    "importance": lambda: ImportanceDisplay(IMPORTANCE),
    "dependence": lambda: PartialDependenceDisplay(DEPENDENCE, "recency_days"),
    **CLV_DISPLAYS,
    **DECISION_DISPLAYS,
}


@pytest.mark.parametrize("name", DISPLAYS)
def test_drawing_leaves_global_state_alone(name):
    settings, figures = mpl.rcParams.copy(), plt.get_fignums()
    draw_svg(DISPLAYS[name](), name=name, description="a figure")
    assert mpl.rcParams.copy() == settings
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("name", DISPLAYS)
def test_plot_draws_on_the_axes_given(name):
    figure = Figure()
    ax = figure.add_subplot()
    display = DISPLAYS[name]()
    assert display.plot(ax) is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert figure.axes == [ax]


def test_gains_draws_each_predictor_and_the_diagonal():
    ax = GainsDisplay(CURVES).plot().ax_
    np.testing.assert_array_equal(labelled(ax, "model").get_ydata(), [0, 0.8, 1])
    np.testing.assert_array_equal(labelled(ax, "recency").get_ydata(), [0, 0.6, 1])
    np.testing.assert_array_equal(labelled(ax, "at random").get_xydata(), [[0, 0], [1, 1]])


def test_lift_draws_each_predictor_and_the_level_of_chance():
    ax = LiftDisplay(LIFT).plot().ax_
    np.testing.assert_array_equal(labelled(ax, "model").get_ydata(), [3.0, 1.6, 1.0])
    np.testing.assert_array_equal(labelled(ax, "recency").get_xdata(), [0.1, 0.5, 1.0])
    np.testing.assert_array_equal(labelled(ax, "at random").get_ydata(), [1, 1])
    assert ax.get_ylim()[0] == 0


def test_profit_draws_each_curve_and_its_best_depth_with_the_interval():
    ax = ProfitDisplay(PROFIT, BEST, currency="$").plot().ax_
    np.testing.assert_array_equal(labelled(ax, "model: best at 40%, $1k").get_ydata(), [0, 900, -300])
    np.testing.assert_array_equal(labelled(ax, "recency: best at 50%, $600").get_ydata(), [0, 600, -300])
    stars = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "*"]
    assert stars == [[[0.4, 1000.0]], [[0.5, 600.0]]]
    bands = [band.get_segments()[0].tolist() for band in ax.collections]
    assert bands == [[[0.3, 1000.0], [0.55, 1000.0]], [[0.35, 600.0], [0.6, 600.0]]]
    assert [text.get_text() for text in ax.get_legend().get_texts()].count("interval of the best depth") == 1


def test_profit_of_one_predictor_has_a_band_over_the_whole_height():
    ax = ProfitDisplay(PROFIT.iloc[:3], BEST.iloc[:1]).plot().ax_
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.3, 0.55))
    assert band.get_height() == 1
    assert list(ax.collections) == []


def test_profit_without_best_depths_marks_none():
    ax = ProfitDisplay(PROFIT).plot().ax_
    assert [line for line in ax.lines if line.get_marker() == "*"] == []
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["model", "recency"]


DRAW = np.random.default_rng(8)
RISK = {"model": DRAW.random(300), "recency": DRAW.random(300).round(1)}
LEFT = (DRAW.random(300) < RISK["model"]).astype(float)
VALUE = DRAW.gamma(1.0, 90.0, 300)
CAMPAIGN = RetentionCampaign(save_rate=0.4, incentive_cost=8, contact_cost=1)
FROM_PREDICTIONS = {
    "gains": (GainsDisplay.from_predictions, lambda p: gains_curve(LEFT, p)),
    "lift": (LiftDisplay.from_predictions, lambda p: lift_curve(LEFT, p)),
    "calibration": (CalibrationDisplay.from_predictions, lambda p: calibration_bins(LEFT, p)),
    "profit": (
        lambda left, risk: ProfitDisplay.from_predictions(left, risk, value=VALUE, campaign=CAMPAIGN),
        lambda p: profit_curve(p, VALUE, campaign=CAMPAIGN, churned=LEFT),
    ),
}


@pytest.mark.parametrize("name", FROM_PREDICTIONS)
def test_displays_of_predictions_hold_what_evaluation_found(name):
    make, frame = FROM_PREDICTIONS[name]
    display = make(LEFT, RISK)
    assert display.data["predictor"].unique().tolist() == ["model", "recency"]
    for predictor, rows in display.data.groupby("predictor"):
        pd.testing.assert_frame_equal(rows.drop(columns="predictor").reset_index(drop=True), frame(RISK[predictor]))
    alone = make(LEFT, RISK["recency"])
    assert alone.data["predictor"].unique().tolist() == ["model"]
    assert alone.plot() is alone


def test_a_display_of_profits_holds_the_best_depths():
    display = ProfitDisplay.from_predictions(LEFT, RISK, value=VALUE, campaign=CAMPAIGN, level=0.8, seed=3)
    for row in display.best.to_dict("records"):
        rng = np.random.default_rng(3)
        risk = RISK[row.pop("predictor")]
        assert row == asdict(best_depth(risk, VALUE, campaign=CAMPAIGN, churned=LEFT, level=0.8, rng=rng))


def test_a_display_of_profits_plans_where_nobody_knows_yet_who_leaves():
    display = ProfitDisplay.from_predictions(None, RISK["model"], value=VALUE, campaign=CAMPAIGN)
    expected = profit_curve(RISK["model"], VALUE, campaign=CAMPAIGN)
    assert display.data["profit"].tolist() == expected["profit"].tolist()


class Rule:
    """Gives the feature back as the probability."""

    def predict(self, features):
        return pd.DataFrame({"churn_probability": features["feature"]})


FROM_ESTIMATOR = {
    "gains": (GainsDisplay, {"points": 5}),
    "lift": (LiftDisplay, {"points": 5}),
    "calibration": (CalibrationDisplay, {"bins": 4, "level": 0.8}),
    "profit": (
        ProfitDisplay,
        {"value": VALUE, "campaign": CAMPAIGN, "points": 5, "level": 0.8, "seed": 2, "currency": "$"},
    ),
}


@pytest.mark.parametrize("name", FROM_ESTIMATOR)
def test_displays_of_a_model_are_those_of_its_predictions(name):
    display, setting = FROM_ESTIMATOR[name]
    panel = pd.DataFrame({"feature": RISK["model"], "churned": LEFT})
    found = display.from_estimator(Rule(), panel, **setting)
    expected = display.from_predictions(LEFT, {"Rule": RISK["model"]}, **setting)
    pd.testing.assert_frame_equal(found.data, expected.data)
    if name == "profit":
        pd.testing.assert_frame_equal(found.best, expected.best)
        assert found.currency == "$"
    with pytest.raises(SchemaError, match="panel need a column `churned`"):
        display.from_estimator(Rule(), panel[["feature"]], **setting)


def artists(display):
    """Count the numbers that a figure draws."""
    ax = display.plot().ax_
    return sum(len(line.get_xdata()) for line in ax.lines) + sum(
        len(segment) for collection in ax.collections for segment in collection.get_segments()
    )


@pytest.mark.parametrize("name", FROM_PREDICTIONS)
def test_a_million_customers_take_no_larger_frame_or_figure(name):
    many = 1_000_000
    draw = np.random.default_rng(1)
    risk = draw.random(many)
    left = (draw.random(many) < risk).astype(float)
    setting = {"value": 100.0, "campaign": CAMPAIGN} if name == "profit" else {}
    make = FROM_ESTIMATOR[name][0].from_predictions
    large, small = make(left, risk, **setting), make(left[:1000], risk[:1000], **setting)
    assert large.data.shape == small.data.shape
    assert len(large.data) <= 101
    assert artists(large) == artists(small)
    assert len(large._repr_png_()) < 2 * len(small._repr_png_())


def test_calibration_of_several_predictors_names_them_and_counts_each():
    bins = pd.concat([BINS.assign(predictor="a"), BINS.assign(predictor="b", customers=[1, 2, 3])])
    display = CalibrationDisplay(bins).plot()
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["a", "b"]
    counts = [line.get_ydata().tolist() for line in display.counts_ax_.lines]
    assert counts == [[120, 300, 210], [1, 2, 3]]
    looks = {(str(line.get_linestyle()), line.get_marker()) for line in display.counts_ax_.lines}
    assert len(looks) == 2
    assert CalibrationDisplay(BINS).plot().ax_.get_legend() is None


def test_calibration_leaves_empty_bins_out():
    empty = BINS.astype(float)
    empty.loc[1, ["predicted", "observed", "lower", "upper"]] = np.nan
    empty.loc[1, "customers"] = 0
    display = CalibrationDisplay(empty).plot()
    display.figure_.savefig(io.BytesIO())
    low, high = display.ax_.get_xlim()
    assert (low, high) == display.ax_.get_ylim()
    assert (low, high) == pytest.approx((0.4 - 0.03 * 0.55, 0.95 + 0.03 * 0.55))


@pytest.mark.parametrize("names", [["a" * 90, "b c " * 40, "short"], [f"predictor {i}" for i in range(7)]])
@pytest.mark.parametrize("make", [GainsDisplay, LiftDisplay, ProfitDisplay])
def test_long_and_many_names_leave_the_curves_their_room(make, names):
    data = pd.concat([frame[frame["predictor"] == "model"] for frame in (PROFIT.assign(lift=2.0),)])
    display = make(pd.concat([data.assign(predictor=name) for name in names])).plot()
    display.figure_.savefig(io.BytesIO())
    width, height = display.ax_.get_window_extent().size / display.figure_.dpi
    assert width > 3.5
    assert height > 2.2
    key = display.ax_.get_legend().get_window_extent()
    page = display.figure_.bbox
    assert key.x0 >= page.x0
    assert key.x1 <= page.x1
    assert key.y1 <= page.y1
    assert key.y0 >= display.ax_.get_window_extent().y1


def test_every_display_calls_its_frame_data():
    for make in DISPLAYS.values():
        assert isinstance(make().data, pd.DataFrame)


def test_calibration_draws_bins_intervals_and_counts():
    display = CalibrationDisplay(BINS).plot()
    (container,) = display.ax_.containers
    points, _, (bars,) = container.lines
    np.testing.assert_array_equal(points.get_xydata(), BINS[["predicted", "observed"]])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, BINS[["lower", "upper"]], rtol=1e-12)
    (counts,) = display.counts_ax_.collections
    assert [segment[1, 1] for segment in counts.get_segments()] == BINS["customers"].tolist()


def test_calibration_without_a_second_axes_draws_no_counts():
    assert CalibrationDisplay(BINS).plot(Figure().add_subplot()).counts_ax_ is None


def test_tracking_draws_weeks_running_totals_and_the_end_of_training():
    display = TrackingDisplay(WEEKS, TRAIN_END).plot()
    np.testing.assert_array_equal(labelled(display.ax_, "actual").get_ydata(), WEEKS["actual"])
    np.testing.assert_array_equal(labelled(display.ax_, "expected").get_ydata(), WEEKS["expected"])
    np.testing.assert_array_equal(labelled(display.cumulative_ax_, "expected").get_ydata(), [11.5, 22.0, 31.5, 40.5])
    vertical = display.ax_.lines[-1]
    assert date2num(vertical.get_xdata()).tolist() == [date2num(TRAIN_END)] * 2


def test_backtest_draws_a_dot_per_predictor_and_cutoff_the_latest_filled():
    ax = BacktestDisplay(RESULTS, "auc").plot().ax_
    earlier, latest = labelled(ax, "2017-08-01"), labelled(ax, "2017-09-01")
    np.testing.assert_array_equal(earlier.get_xydata(), [[0.81, 0], [0.74, 1]])
    np.testing.assert_array_equal(latest.get_xydata(), [[0.82, 0], [0.73, 1]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["model", "recency"]
    assert earlier.get_markerfacecolor() == "white"
    assert latest.get_markerfacecolor() != "white"


def test_a_backtest_of_many_cutoffs_has_two_marks_and_every_dot():
    cutoffs = pd.date_range("2016-01-01", periods=24, freq="MS")
    data = pd.DataFrame({"predictor": "model", "cutoff": cutoffs, "auc": np.linspace(0.7, 0.8, 24)})
    ax = BacktestDisplay(data, "auc").plot().ax_
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2016-01-01 to 2017-11-01", "2017-12-01"]
    np.testing.assert_array_equal(labelled(ax, "2016-01-01 to 2017-11-01").get_xdata(), data["auc"][:-1])
    np.testing.assert_array_equal(labelled(ax, "2017-12-01").get_xdata(), data["auc"][-1:])


@pytest.mark.parametrize("cutoffs", [3, 7, 8])
def test_a_backtest_of_long_names_keeps_its_key_on_the_page(cutoffs):
    when = pd.date_range("2016-01-01", periods=cutoffs, freq="MS")
    data = pd.DataFrame({"predictor": "a predictor of many words, " * 9, "cutoff": when, "auc": 0.7})
    display = BacktestDisplay(data, "auc").plot()
    display.figure_.savefig(io.BytesIO())
    page, key, names = (
        part.get_window_extent()
        for part in (display.figure_, display.ax_.get_legend(), display.ax_.get_yticklabels()[0])
    )
    assert page.x0 <= min(key.x0, names.x0)
    assert key.x1 <= page.x1


def test_a_currency_of_letters_keeps_its_space():
    assert short_number(-1_250, prefix="CHF") == "−CHF\N{NO-BREAK SPACE}1.25k"
    assert short_number(1_250, prefix="R$") == "R$1.25k"


def test_segments_draw_shares_not_totals():
    bars = SegmentsDisplay(SEGMENTS).plot().ax_.patches
    assert [bar.get_width() for bar in bars] == [0.75, 0.25, 0.25, 0.75]


def test_segments_draw_the_value_asked_for():
    segments = SEGMENTS.assign(clv=[10.0, 30.0])
    ax = SegmentsDisplay(segments, value="clv").plot().ax_
    assert [bar.get_width() for bar in ax.patches[:2]] == [0.25, 0.75]
    assert ax.get_legend().get_texts()[0].get_text() == "share of clv"


def test_concentration_reads_the_top_tenth_off_the_curve():
    ax = ConcentrationDisplay(CONCENTRATION).plot().ax_
    # between (0, 0) and (0.2, 0.6) the curve passes through (0.1, 0.3)
    (mark,) = (line for line in ax.lines if "top 10%" in str(line.get_label()))
    np.testing.assert_allclose(mark.get_xydata(), [[0.1, 0.3]], rtol=1e-12)
    assert mark.get_label() == "top 10% of customers: 30% of the value"


def test_frontier_marks_the_budget_on_the_line():
    ax = FrontierDisplay(FRONTIER, 1500.0, currency="$").plot().ax_
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), FRONTIER)
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), [[1500.0, 1100.0]], rtol=1e-12)
    assert ax.lines[-1].get_label() == "$1.5k spent: $1.1k expected gain"


def test_plan_draws_gains_then_spend_and_labels_losses():
    ax = PlanDisplay(COMPARISON, currency="$").plot().ax_
    assert [bar.get_width() for bar in ax.patches] == [900.0, -150.0, 1000.0, 990.0]
    assert [text.get_text() for text in ax.texts] == ["$900", "−$150", "$1k", "$990"]


def test_reasons_lead_from_the_average_to_the_customer_strongest_first():
    ax = ReasonsDisplay(REASONS, base=-1.0, prediction=0.45).plot().ax_
    texts = [" ".join(label.get_text().split()) for label in ax.get_yticklabels()]
    assert texts == ["has waited 2.4 × the usual 18 days", "bought on 9 days", "1 view in the last 30 days"]
    spans = {bar.get_y(): (bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches}
    assert [spans[y] for y in sorted(spans)] == [(-1.0, 0.25), (0.25, -0.25), (-0.25, 0.0)]
    assert [text.get_text() for text in ax.texts] == ["×3.49", "×0.607", "×1.28"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["on average: 26.9%", "this customer: 50%, 45% calibrated", "raises the risk", "lowers it"]
    fills = [tuple(bars.patches[0].get_facecolor()) for bars in ax.containers]
    assert len(set(fills)) == 2


def test_weaker_reasons_are_summed_so_that_the_bars_still_end_at_the_customer():
    many = pd.DataFrame({"text": [f"reason {i}" for i in range(12)], "contribution": np.linspace(1, -0.6, 12)})
    for top, bars in ((11, 11), (12, 12), (13, 12)):
        ax = ReasonsDisplay(many, base=0.0, top=top).plot().ax_
        assert len(ax.patches) == bars
        assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(many["contribution"].sum())
        assert (ax.get_yticklabels()[-1].get_text() == "2 weaker reasons") == (top == 11)


@pytest.mark.parametrize("base", [-9.0, -0.01, 6.0])
@pytest.mark.parametrize("scale", [0.001, 1.0, 6.0])
@pytest.mark.parametrize("words", ["short", "in the last 30 days, 29 in the 90 before and so on " * 3])
def test_reasons_of_any_size_stay_on_the_page_and_apart(base, scale, words):
    data = pd.DataFrame({"text": [f"{words} {i}" for i in range(9)], "contribution": scale * np.linspace(1, -0.7, 9)})
    display = ReasonsDisplay(data, base=base, prediction=0.00277).plot()
    display.figure_.savefig(io.BytesIO())
    page, ax = display.figure_.bbox, display.ax_
    ticks, names = ax.get_xticklabels(), ax.get_yticklabels()
    for artist in (ax.get_legend(), ax.xaxis.label, *ax.texts, *names):
        box = artist.get_window_extent()
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    for text in ax.texts:
        assert text.get_window_extent().x0 >= ax.get_window_extent().x0 - 2
    for row in (ticks, names[::-1]):
        boxes = [label.get_window_extent() for label in row]
        assert not [1 for one, other in itertools.pairwise(boxes) if one.overlaps(other)]
    assert len(ticks) >= 2


def test_importance_draws_shares_and_sums_the_weaker():
    ax = ImportanceDisplay(IMPORTANCE).plot().ax_
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.3, 0.1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["waiting", "money", "view"]
    assert [text.get_text() for text in ax.texts] == ["60%", "30%", "10%"]
    few = ImportanceDisplay(IMPORTANCE, top=2).plot().ax_
    assert [bar.get_width() for bar in few.patches] == [0.6, 0.4]
    assert [label.get_text() for label in few.get_yticklabels()] == ["waiting", "2 weaker ones"]


def test_dependence_draws_the_mean_and_where_most_customers_are():
    ax = PartialDependenceDisplay(DEPENDENCE, "recency_days").plot().ax_
    np.testing.assert_array_equal(labelled(ax, "mean").get_xydata(), DEPENDENCE[["value", "probability"]])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    for row in DEPENDENCE.to_dict("records"):
        drawn = corners[corners[:, 0] == row["value"], 1]
        assert {drawn.min(), drawn.max()} == {row["lower"], row["upper"]}
    assert ax.get_ylim()[0] == 0


class Explained(Rule):
    """Two features, one theme each; the first counts double."""

    def contributions(self, features, *, by="theme"):
        found = features[["feature", "other"]] * [2.0, 1.0]
        found.columns = ["waiting", "money"] if by == "theme" else found.columns
        return found.assign(base=-1.0, margin=found.sum(axis=1) - 1.0)

    def explain(self, features, *, top=3, lowering=False):
        assert top is None
        assert lowering
        found = self.contributions(features).drop(columns=["base", "margin"]).iloc[0]
        return pd.DataFrame({"text": found.index, "contribution": found.to_numpy()})


SHOP = pd.DataFrame({"feature": RISK["model"], "other": -RISK["recency"]})


def test_reasons_of_a_model_are_those_it_gives_for_one_customer():
    display = ReasonsDisplay.from_estimator(Explained(), SHOP.iloc[[4]], top=5)
    first, second = SHOP.iloc[4]
    assert display.data["contribution"].tolist() == [2 * first, second]
    assert (display.base, display.prediction, display.top) == (-1.0, first, 5)
    for rows, held in ((SHOP, "300"), (SHOP.iloc[:0], "0")):
        with pytest.raises(SchemaError, match=f"must hold the row of one customer; it holds {held}"):
            ReasonsDisplay.from_estimator(Explained(), rows)


def test_importance_of_a_model_is_that_of_its_contributions():
    for by, names in (("theme", ["waiting", "money"]), ("feature", ["feature", "other"])):
        display = ImportanceDisplay.from_estimator(Explained(), SHOP, by=by)
        sizes = [2 * SHOP["feature"].mean(), -SHOP["other"].mean()]
        assert display.data.index.tolist() == names
        np.testing.assert_allclose(display.data["share"], np.array(sizes) / sum(sizes), rtol=1e-12)
    drawn = ImportanceDisplay.from_estimator(Explained(), SHOP, rows=10, seed=3).data
    expected = importance(Explained().contributions, SHOP, rows=10, rng=np.random.default_rng(3))
    pd.testing.assert_frame_equal(drawn, expected)


def test_dependence_of_a_model_is_that_of_its_predictions():
    display = PartialDependenceDisplay.from_estimator(Explained(), SHOP, "feature", points=7, rows=20, seed=2)
    assert display.feature == "feature"
    assert len(display.data) == 7
    np.testing.assert_allclose(display.data["probability"], display.data["value"], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (lambda: GainsDisplay(CURVES.drop(columns="captured_share")), "captured_share"),
        (lambda: LiftDisplay(LIFT.drop(columns="lift")), "lift"),
        (lambda: ProfitDisplay(PROFIT.drop(columns="profit")), "profit"),
        (lambda: ProfitDisplay(PROFIT, BEST.drop(columns="share_upper")), "share_upper"),
        (lambda: CalibrationDisplay(BINS.drop(columns="lower")), "lower"),
        (lambda: TrackingDisplay(WEEKS.drop(columns="expected"), TRAIN_END), "expected"),
        (lambda: BacktestDisplay(RESULTS, "brier"), "brier"),
        (lambda: SegmentsDisplay(SEGMENTS, value="clv"), "clv"),
        (lambda: ConcentrationDisplay(CONCENTRATION.drop(columns="value_share")), "value_share"),
        (lambda: FrontierDisplay(FRONTIER.drop(columns="budget"), 1.0), "budget"),
        (lambda: PlanDisplay(COMPARISON.drop(columns="spend")), "spend"),
        (lambda: ReasonsDisplay(REASONS.drop(columns="text"), base=0.0), "text"),
        (lambda: ImportanceDisplay(IMPORTANCE.drop(columns="share")), "share"),
        (lambda: PartialDependenceDisplay(DEPENDENCE.drop(columns="upper"), "recency_days"), "upper"),
    ],
)
def test_a_missing_column_is_named(make, column):
    with pytest.raises(SchemaError, match=f"need a column `{column}`"):
        make()


def test_series_differ_by_line_style_and_marker_and_not_by_colour_alone():
    given = marks(f"series {i}" for i in range(len(MARKS)))
    assert len({str(mark.linestyle) for mark in given.values()}) == len(MARKS)
    assert len({mark.marker for mark in given.values()}) == len(MARKS)
    assert len({mark.colour for mark in given.values()}) == len(MARKS)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (999.6, "1k"), (1000, "1k"), (-1234, "−1.23k"), (2.5e9, "2.5B"), (0.25, "0.25")],
)
def test_short_numbers_round_up_into_the_next_scale(value, text):
    assert short_number(value) == text


HOSTILE = r'$\frac{$ <script>"x" id="y"'


@pytest.mark.parametrize(
    "display",
    [
        GainsDisplay(CURVES.assign(predictor=HOSTILE)),
        ProfitDisplay(PROFIT.assign(predictor=HOSTILE)),
        CalibrationDisplay(pd.concat([BINS.assign(predictor=name) for name in ("a", HOSTILE)])),
        BacktestDisplay(RESULTS.assign(predictor=HOSTILE), "auc"),
        SegmentsDisplay(SEGMENTS.rename(index={"new": HOSTILE})),
        ReasonsDisplay(REASONS.assign(text=HOSTILE), base=0.0),
        ImportanceDisplay(IMPORTANCE.rename(index={"view": HOSTILE})),
        PartialDependenceDisplay(DEPENDENCE, HOSTILE),
    ],
)
def test_names_are_drawn_as_written_not_as_mathematics_or_markup(display):
    element = draw_svg(display, name="figure", description=HOSTILE)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", element)
    assert HOSTILE in " ".join(map(html.unescape, texts))
    assert "<script" not in element
    label = re.search(r'aria-label="([^"]*)"', element)
    assert label is not None
    assert html.unescape(label.group(1)) == HOSTILE


def test_svg_is_the_same_under_any_settings_of_the_caller():
    plain = draw_svg(TrackingDisplay(WEEKS, TRAIN_END), name="tracking", description="weeks")
    with mpl.rc_context({"axes.linewidth": 5, "font.size": 30, "svg.fonttype": "path"}):
        styled = draw_svg(TrackingDisplay(WEEKS, TRAIN_END), name="tracking", description="weeks")
    assert plain == styled


def test_svg_ids_carry_the_name_and_every_reference_resolves():
    element = draw_svg(GainsDisplay(CURVES), name="gains", description="gains")
    ids = re.findall(r'\sid="([^"]*)"', element)
    references = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', element)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("gains-") for name in ids)
    assert references
    assert {one or other for one, other in references} <= set(ids)
